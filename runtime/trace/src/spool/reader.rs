//! The reading side: the files of one process, as far as they were published.
//!
//! Nothing in the files is trusted: every offset is checked, and what makes no sense is an error that names the file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::SpoolError;
use super::layout::{CHUNK, CHUNK_MAGIC, CONTROL, CONTROL_MAGIC, HEADER, chunk, control};
use super::tables::{self, Entry};
use crate::codec;
use crate::event::Event;
use crate::ids::{MId, WriterId};
use crate::tally::{SLOTS, Tally};
use crate::version::FORMAT_VERSION;

/// The spool of one process, read when its writers have ended.
#[derive(Debug)]
pub struct ProcessSpool {
    /// The process's number.
    pub pid: u32,
    /// Its parent's.
    pub parent: u32,
    /// `CLOCK_BOOTTIME` when it began to record, ns.
    pub started_boottime_ns: u64,
    /// The number of its clock's kind.
    pub clock: u64,
    /// Whether it ended properly; else it was cut.
    pub finished: bool,
    /// Events that its writers lost.
    pub lost: u64,
    /// Its names.
    pub entries: Vec<Entry>,
    dir: PathBuf,
    segments: Vec<Vec<u8>>,
    chunks: BTreeMap<WriterId, Vec<(u64, usize, usize)>>,
}

/// An event of one writer's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// When, in ticks.
    pub ticks: u64,
    /// Its number in the stream; lost ones count, so a gap shows.
    pub m_seq: u64,
    /// What.
    pub event: Event,
}

impl ProcessSpool {
    /// Reads the folder of a process.
    ///
    /// # Errors
    /// Which file cannot be read, or what in it makes no sense.
    pub fn open(dir: &Path) -> Result<ProcessSpool, SpoolError> {
        let path = dir.join("control");
        let bytes = read(&path)?;
        let bad = |what: &str| SpoolError::Format {
            path: path.clone(),
            what: what.to_owned(),
        };
        if bytes.len() != CONTROL || word(&bytes, control::MAGIC) != CONTROL_MAGIC {
            return Err(bad("this is no spool of a gmp runtime"));
        }
        let version = word(&bytes, control::VERSION);
        if version != FORMAT_VERSION {
            return Err(bad(&format!(
                "the spool has version {version}, this program reads {FORMAT_VERSION}"
            )));
        }
        let number =
            |index| u32::try_from(word(&bytes, index)).map_err(|_| bad("a number is out of range"));
        let mut spool = ProcessSpool {
            pid: number(control::PID)?,
            parent: number(control::PARENT)?,
            started_boottime_ns: word(&bytes, control::STARTED),
            clock: word(&bytes, control::CLOCK),
            finished: word(&bytes, control::STATE) == 2,
            lost: word(&bytes, control::LOST),
            entries: tables::decode_all(&read(&dir.join("tables"))?).0,
            dir: dir.to_owned(),
            segments: Vec::new(),
            chunks: BTreeMap::new(),
        };
        for segment in 0..word(&bytes, control::SEGMENTS) {
            let bytes = read(&spool.dir.join(format!("segment-{segment:04}")))?;
            spool.index(bytes);
        }
        spool
            .chunks
            .values_mut()
            .for_each(|chunks| chunks.sort_unstable());
        Ok(spool)
    }

    fn index(&mut self, segment: Vec<u8>) {
        let number = self.segments.len();
        for (i, bytes) in segment.chunks_exact(CHUNK).enumerate() {
            if word(bytes, chunk::MAGIC) == CHUNK_MAGIC {
                let writer = WriterId(word(bytes, chunk::WRITER) as u32);
                self.chunks.entry(writer).or_default().push((
                    word(bytes, chunk::NUMBER),
                    number,
                    i,
                ));
            }
        }
        self.segments.push(segment);
    }

    /// The writers that left events, with the Ms they are.
    pub fn writers(&self) -> impl Iterator<Item = (WriterId, MId)> + '_ {
        self.chunks.iter().filter_map(|(writer, chunks)| {
            let (_, segment, index) = chunks.first()?;
            let bytes = self.chunk(*segment, *index);
            Some((*writer, MId((word(bytes, chunk::WRITER) >> 32) as u32)))
        })
    }

    fn chunk(&self, segment: usize, index: usize) -> &[u8] {
        &self.segments[segment][index * CHUNK..(index + 1) * CHUNK]
    }

    /// The events of a writer, in order. An error ends the stream: what follows a damaged record cannot be told.
    pub fn stream(
        &self,
        writer: WriterId,
    ) -> impl Iterator<Item = Result<Recorded, SpoolError>> + '_ {
        let chunks = self.chunks.get(&writer).map_or(&[][..], Vec::as_slice);
        chunks
            .iter()
            .flat_map(move |(_, segment, index)| Records::new(self, *segment, *index))
    }

    /// The counters of a writer.
    ///
    /// # Errors
    /// When their file cannot be read.
    pub fn tally(&self, writer: WriterId) -> Result<Vec<(Tally, u64)>, SpoolError> {
        let per_file = 128;
        let path = self.dir.join(format!("tallies-{:04}", writer.0 / per_file));
        let bytes = read(&path)?;
        let block = (writer.0 % per_file) as usize * SLOTS;
        Ok(Tally::ALL
            .iter()
            .map(|t| (*t, word(&bytes, block + *t as usize)))
            .collect())
    }
}

/// The records of one chunk.
struct Records<'a> {
    spool: &'a ProcessSpool,
    bytes: &'a [u8],
    segment: usize,
    at: usize,
    ticks: u64,
    m_seq: u64,
}

impl<'a> Records<'a> {
    fn new(spool: &'a ProcessSpool, segment: usize, index: usize) -> Records<'a> {
        let chunk_bytes = spool.chunk(segment, index);
        let published = word(chunk_bytes, chunk::PUBLISHED) as u32 as usize;
        Records {
            spool,
            bytes: &chunk_bytes[HEADER..(HEADER + published).min(CHUNK)],
            segment,
            at: 0,
            ticks: word(chunk_bytes, chunk::BASE_TICKS),
            m_seq: word(chunk_bytes, chunk::FIRST_EVENT),
        }
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Recorded, SpoolError>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.bytes.get(self.at..).filter(|b| !b.is_empty())?;
        match codec::decode(bytes) {
            Ok((dt, event, len)) => {
                self.at += len;
                self.ticks = self.ticks.saturating_add(dt);
                self.m_seq += 1;
                Some(Ok(Recorded {
                    ticks: self.ticks,
                    m_seq: self.m_seq - 1,
                    event,
                }))
            }
            Err(e) => {
                let path = self.spool.dir.join(format!("segment-{:04}", self.segment));
                let what = format!("{e}, {} bytes into a chunk", self.at);
                self.at = self.bytes.len();
                Some(Err(SpoolError::Format { path, what }))
            }
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, SpoolError> {
    std::fs::read(path).map_err(SpoolError::io("cannot read", path))
}

/// A word of a file's bytes; 0 beyond their end.
fn word(bytes: &[u8], index: usize) -> u64 {
    bytes.get(index * 8..index * 8 + 8).map_or(0, |b| {
        let mut le = [0; 8];
        le.copy_from_slice(b);
        u64::from_le_bytes(le)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::MKind;
    use crate::ids::GId;
    use crate::spool::writer::{Spool, SpoolOptions};

    fn exit(panicked: bool) -> Event {
        Event::Exit { panicked }
    }

    #[test]
    fn what_several_writers_wrote_is_read_in_their_order() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let spool = Spool::create(dir.path(), &SpoolOptions { limit: u64::MAX }).expect("a spool");
        std::thread::scope(|s| {
            for m in 0..4u32 {
                let spool = &spool;
                s.spawn(move || {
                    let mut w = spool.writer(MId(m), 1, MKind::Worker, "w");
                    for i in 0..10_000u64 {
                        w.emit(
                            i * 3,
                            Event::Ready {
                                g: GId(i * u64::from(m + 1)),
                                seq: i,
                                via: crate::event::Via::G,
                                placed: crate::event::Placed::Local,
                                kicked: GId::NONE,
                                gq: 0,
                            },
                        );
                        w.tally().add(Tally::Readies, 1);
                    }
                });
            }
        });
        spool.finish();
        let read = ProcessSpool::open(spool.dir()).expect("readable");
        assert!(read.finished && read.lost == 0);
        let writers: Vec<_> = read.writers().collect();
        assert_eq!(writers.len(), 4);
        for (writer, m) in writers {
            let events: Vec<_> = read
                .stream(writer)
                .collect::<Result<_, _>>()
                .expect("whole records");
            assert_eq!(events.len(), 10_000);
            for (i, e) in events.iter().enumerate() {
                let i = i as u64;
                assert_eq!((e.ticks, e.m_seq), (i * 3, i));
                assert!(matches!(e.event, Event::Ready { g, .. } if g.0 == i * u64::from(m.0 + 1)));
            }
            let tally = read.tally(writer).expect("counters");
            assert!(tally.contains(&(Tally::Readies, 10_000)));
        }
    }

    #[test]
    fn a_reached_limit_loses_a_counted_number_of_events() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let spool = Spool::create(
            dir.path(),
            &SpoolOptions {
                limit: super::super::layout::SEGMENT as u64,
            },
        )
        .expect("a spool");
        let mut w = spool.writer(MId(0), 1, MKind::Worker, "w");
        let all = 3_000_000;
        (0..all).for_each(|i| w.emit(i, exit(false)));
        let lost = w.lost();
        drop(w);
        spool.finish();
        let read = ProcessSpool::open(spool.dir()).expect("readable");
        let kept = read.stream(WriterId(0)).count() as u64;
        assert!(lost > 0);
        assert_eq!((kept + lost, read.lost), (all, lost));
    }

    #[test]
    fn damage_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let spool = Spool::create(dir.path(), &SpoolOptions { limit: u64::MAX }).expect("a spool");
        let mut w = spool.writer(MId(0), 1, MKind::Worker, "w");
        (0..10).for_each(|i| w.emit(i, exit(true)));
        spool.finish();
        let path = spool.dir().join("segment-0000");
        let mut bytes = std::fs::read(&path).expect("readable");
        bytes[HEADER + 6] = 255;
        std::fs::write(&path, &bytes).expect("writable");
        let read = ProcessSpool::open(spool.dir()).expect("readable");
        let results: Vec<_> = read.stream(WriterId(0)).collect();
        let last = results
            .last()
            .and_then(|r| r.as_ref().err())
            .map(ToString::to_string);
        assert!(last.is_some_and(|e| e.contains("segment-0000") && e.contains("255 is no kind")));
    }
}
