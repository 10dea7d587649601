//! A place in one writer's stream, from which reading goes on.

use std::sync::atomic::Ordering;

use super::SpoolError;
use super::attach::FinishedChunk;
use super::layout::{CHUNK, HEADER, chunk};
use super::protocol::{self, Header};
use super::reader::{Place, ProcessSpool, Recorded};
use super::segment_name;
use crate::codec;
use crate::ids::WriterId;

/// A place in one writer's stream.
#[derive(Debug)]
pub struct Cursor {
    writer: WriterId,
    /// The number of the chunk that comes next; none after the largest, which only damage makes.
    next: Option<u64>,
    chunk: Option<Place>,
    /// Bytes of records read in the chunk.
    at: usize,
    ticks: u64,
    m_seq: u64,
    finished: Vec<FinishedChunk>,
    ended: bool,
}

impl Cursor {
    /// The beginning of a writer's stream.
    pub fn new(writer: WriterId) -> Cursor {
        Cursor {
            writer,
            next: Some(0),
            chunk: None,
            at: 0,
            ticks: 0,
            m_seq: 0,
            finished: Vec::new(),
            ended: false,
        }
    }

    /// Whose stream it is.
    pub fn writer(&self) -> WriterId {
        self.writer
    }

    /// The time of the last event that was read, in ticks.
    pub fn ticks(&self) -> u64 {
        self.ticks
    }

    /// Whether the writer said that nothing more comes, and all of it was read.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// The chunks that were read to their end since this was last asked. When their events are safe, they can be given back with
    /// [`ProcessSpool::give_back`].
    pub fn take_finished(&mut self) -> Vec<FinishedChunk> {
        std::mem::take(&mut self.finished)
    }

    /// Whether the writer sleeps: then nothing that it publishes after this moment has a time before it.
    pub fn is_quiet(&self, spool: &ProcessSpool) -> bool {
        self.chunk.is_some_and(|place| {
            // Acquire pairs with the release in `Writer::quiet`: all events before it are visible.
            let header = spool.header(place);
            let progress = header.word(chunk::PROGRESS).load(Ordering::Acquire);
            progress & 1 == 1
        })
    }

    /// The next event; `None` when there is none now. `at_rest`: whether what is not there will not come.
    pub(super) fn read(
        &mut self,
        spool: &ProcessSpool,
        at_rest: bool,
    ) -> Option<Result<Recorded, SpoolError>> {
        loop {
            let place = match self.chunk {
                Some(place) => place,
                None => self.enter_next(spool, at_rest)?,
            };
            let header = spool.header(place);
            let word = protocol::published(&header);
            let published = (word as u32 as usize).min(CHUNK - HEADER);
            if self.at < published {
                let (view, records) = (header.0, header.1 + HEADER);
                // SAFETY: what is published is not written again until the chunk is given back, which ends its being readable, and
                // takes the spool mutably.
                let bytes = unsafe { view.bytes(records + self.at, records + published) };
                return Some(self.decode(spool, place, bytes));
            }
            if word & chunk::CLOSED == 0 && !at_rest {
                return None;
            }
            self.chunk = None;
            if word & chunk::CLOSED != 0 {
                self.ended |= word & chunk::ENDED != 0;
                self.finished.push(FinishedChunk {
                    segment: place.segment,
                    index: place.index,
                });
            }
        }
    }

    /// Goes to the next chunk. While the process lives it is the one with the next number: a later one may be found before it.
    fn enter_next(&mut self, spool: &ProcessSpool, at_rest: bool) -> Option<Place> {
        let (number, place) = spool.find(self.writer, self.next?, at_rest)?;
        let header = spool.header(place);
        // Relaxed: written before the magic, which was acquired when the chunk was found.
        let word = |index: usize| header.word(index).load(Ordering::Relaxed);
        self.next = number.checked_add(1);
        self.chunk = Some(place);
        self.at = 0;
        self.ticks = word(chunk::BASE_TICKS);
        self.m_seq = word(chunk::FIRST_EVENT);
        Some(place)
    }

    fn decode(
        &mut self,
        spool: &ProcessSpool,
        place: Place,
        bytes: &[u8],
    ) -> Result<Recorded, SpoolError> {
        match codec::decode(bytes) {
            Ok((dt, event, len)) => {
                self.at += len;
                self.ticks = self.ticks.saturating_add(dt);
                let m_seq = self.m_seq;
                self.m_seq = m_seq.saturating_add(1);
                Ok(Recorded {
                    ticks: self.ticks,
                    m_seq,
                    event,
                })
            }
            Err(e) => {
                let what = format!("{e}, {} bytes into a chunk", self.at);
                self.at = CHUNK;
                Err(SpoolError::Format {
                    path: spool.dir().join(segment_name(place.segment as usize)),
                    what,
                })
            }
        }
    }
}
