//! The stream of one writer, as far as it was read: its head, and what had to be read behind that.

use std::collections::VecDeque;

use super::{Next, Source};
use crate::ids::{MId, WriterId};
use crate::spool::reader::Recorded;

/// The most events that are read behind a head. Few share one reading of the clock, unless they are damaged.
const AHEAD: usize = 64;

/// An event, and how many of its stream are missing right before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub recorded: Recorded,
    pub lost_before: u64,
}

/// Until when what a head misses may still come, in ticks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    /// Not after this.
    By(u64),
    /// Not known yet, and not before this.
    NotBefore(u64),
}

/// The stream of one writer.
pub(super) struct Stream<S> {
    pub writer: WriterId,
    pub m: MId,
    source: S,
    /// The head, and what was read behind it.
    read: VecDeque<Head>,
    ended: bool,
    /// The number that the next event has if nothing is missing.
    expected: u64,
    /// Events before this number are in the history already.
    first: u64,
    /// The time of the last event that is in the history.
    before: Option<u64>,
    /// Of the present head, as far as it was looked for.
    until: Option<Until>,
}

impl<S: Source> Stream<S> {
    pub fn new(writer: WriterId, m: MId, source: S, first: u64) -> Stream<S> {
        Stream {
            writer,
            m,
            source,
            read: VecDeque::new(),
            ended: false,
            expected: first,
            first,
            before: None,
            until: None,
        }
    }

    pub fn head(&self) -> Option<&Head> {
        self.read.front()
    }

    /// When its head happened.
    pub fn ticks(&self) -> u64 {
        self.head().map_or(u64::MAX, |head| head.recorded.ticks)
    }

    /// When its head's thread had read the clock before, so that what the head says was done after that; the head's own time if that is not
    /// known.
    pub fn since(&self) -> u64 {
        let whole = self.head().is_some_and(|head| head.lost_before == 0);
        self.before
            .filter(|_| whole)
            .unwrap_or_else(|| self.ticks())
    }

    /// The head is in the history.
    pub fn pop(&mut self) {
        self.before = self.read.pop_front().map(|head| head.recorded.ticks);
        self.until = None;
        self.source.taken();
    }

    /// Sees to it that there is a head; if there is none now, how far the writer has got, and nothing after its end.
    pub fn fetch(&mut self) -> Option<u64> {
        if self.read.is_empty() {
            self.read_on()
        } else {
            None
        }
    }

    /// By when what the head says was done: its thread's next reading of the clock; the head's own time if that is not known. Of several
    /// heads that wait, the one that was done the earliest waits for none of the others.
    pub fn done(&mut self) -> u64 {
        let ticks = self.ticks();
        let until = self.until(u64::MAX);
        let mut behind = self.read.iter().skip(1);
        match (
            until,
            behind.find(|next| next.lost_before > 0 || next.recorded.ticks > ticks),
        ) {
            (Until::By(until), Some(next)) if next.lost_before == 0 => until,
            _ => ticks,
        }
    }

    /// Until when what the head misses may still come, as exactly as it must be known at the time `now`.
    pub fn until(&mut self, now: u64) -> Until {
        match self.until {
            Some(Until::By(until)) => Until::By(until),
            Some(Until::NotBefore(time)) if time >= now => Until::NotBefore(time),
            _ => {
                let until = self.find_until();
                *self.until.insert(until)
            }
        }
    }

    /// The thread did what the head says before it read the clock again. Without that reading it is waited for as long as a thread may be
    /// held up.
    fn find_until(&mut self) -> Until {
        let ticks = self.ticks();
        let patience = ticks.saturating_add(self.source.grace());
        let mut at = 1;
        loop {
            match self.read.get(at) {
                // What was lost may have had a reading of its own, before this one.
                Some(next) if next.lost_before > 0 || next.recorded.ticks > ticks => {
                    return Until::By(patience.min(next.recorded.ticks));
                }
                Some(_) => at += 1,
                None if self.ended || at >= AHEAD => return Until::By(patience),
                None => {
                    if let Some(progress) = self.read_on() {
                        return if progress < patience {
                            Until::NotBefore(progress)
                        } else {
                            Until::By(patience)
                        };
                    }
                }
            }
        }
    }

    /// Reads one more event, or finds the end; else says how far the writer has got.
    fn read_on(&mut self) -> Option<u64> {
        while !self.ended {
            match self.source.next() {
                Next::Event(known) if known.m_seq < self.first => self.source.taken(),
                Next::Event(recorded) => {
                    let lost_before = recorded.m_seq.saturating_sub(self.expected);
                    self.expected = recorded.m_seq.saturating_add(1);
                    self.read.push_back(Head {
                        recorded,
                        lost_before,
                    });
                    return None;
                }
                Next::Later { progress } => return Some(progress),
                Next::End => self.ended = true,
            }
        }
        None
    }
}
