//! Reading a process while it runs: its streams for [`crate::order::Orderer`], and room for its writers as soon as their events are safe.
//!
//! ```no_run
//! use gmp_trace::order::{Orderer, Step};
//! use gmp_trace::spool::live::LiveSpool;
//!
//! # fn main() -> Result<(), gmp_trace::spool::SpoolError> {
//! # let dir = std::path::Path::new("spool/1234-5678");
//! # let (process_has_ended, commit) = (|| true, || ());
//! let live = LiveSpool::attach(dir, 250_000_000)?;
//! let mut orderer = Orderer::new(false);
//! loop {
//!     let ended = process_has_ended();
//!     live.refresh(ended)?;
//!     for stream in live.new_streams() {
//!         orderer.add(stream.writer(), stream.m(), stream);
//!     }
//!     while let Step::Event(_ordered) = orderer.next() { /* into a table */ }
//!     commit();
//!     live.give_back();
//!     if ended {
//!         break;
//!     }
//! }
//! # Ok(())
//! # }
//! ```

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;

use super::SpoolError;
use super::attach::{Attachment, FinishedChunk};
use super::cursor::Cursor;
use super::reader::ProcessSpool;
use crate::clock;
use crate::ids::{MId, WriterId};
use crate::order::{Next, Source};

/// The spool of a process that runs, held by its recorder.
#[derive(Debug)]
pub struct LiveSpool {
    shared: Rc<Shared>,
    known: RefCell<BTreeSet<WriterId>>,
}

#[derive(Debug)]
struct Shared {
    spool: RefCell<ProcessSpool>,
    attachment: Attachment,
    finished: RefCell<Vec<FinishedChunk>>,
    errors: RefCell<Vec<(WriterId, SpoolError)>>,
    /// When it was last refreshed, in ticks.
    now: Cell<u64>,
    grace: u64,
}

impl LiveSpool {
    /// Attaches to the process whose folder this is. `grace` is for threads that are awake but silent: an event that such a thread has
    /// not published within so many ticks of its happening may come out of order.
    ///
    /// # Errors
    /// Which file cannot be opened, or what in it makes no sense.
    pub fn attach(dir: &Path, grace: u64) -> Result<LiveSpool, SpoolError> {
        let shared = Shared {
            attachment: Attachment::new(dir)?,
            spool: RefCell::new(ProcessSpool::open(dir)?),
            finished: RefCell::default(),
            errors: RefCell::default(),
            now: Cell::new(0),
            grace,
        };
        Ok(LiveSpool {
            shared: Rc::new(shared),
            known: RefCell::default(),
        })
    }

    /// Finds what is new, and tells the writers that the recorder works. `ended`: the process is gone, so that what is not found now never
    /// comes.
    ///
    /// # Errors
    /// As [`ProcessSpool::refresh`].
    pub fn refresh(&self, ended: bool) -> Result<(), SpoolError> {
        self.shared.attachment.beat();
        // Before anything is looked at: see `LiveStream::next`.
        self.shared.now.set(clock::now_ticks());
        let mut spool = self.shared.spool.borrow_mut();
        spool.refresh()?;
        if ended {
            spool.set_at_rest();
        }
        Ok(())
    }

    /// The streams of writers that are new since this was last asked.
    pub fn new_streams(&self) -> Vec<LiveStream> {
        let mut known = self.known.borrow_mut();
        let spool = self.shared.spool.borrow();
        let new = spool.writers().filter(|(writer, _)| known.insert(*writer));
        new.map(|(writer, m)| LiveStream {
            cursor: Cursor::new(writer),
            m,
            shared: Rc::clone(&self.shared),
        })
        .collect()
    }

    /// Lets the writers use again what the streams have read to its end. To be called when all events that the streams gave are safe.
    pub fn give_back(&self) {
        let finished = self.shared.finished.take();
        let mut spool = self.shared.spool.borrow_mut();
        spool.give_back(&self.shared.attachment, &finished);
    }

    /// Bytes of the spool that were read and not given back yet.
    pub fn finished_bytes(&self) -> usize {
        self.shared.finished.borrow().len() * FinishedChunk::BYTES
    }

    /// What was damaged, and in whose stream, since this was last asked.
    pub fn take_errors(&self) -> Vec<(WriterId, SpoolError)> {
        self.shared.errors.take()
    }

    /// The spool itself, for names and counters. Not to be held over calls of this or of a stream.
    pub fn spool(&self) -> std::cell::Ref<'_, ProcessSpool> {
        self.shared.spool.borrow()
    }
}

/// One writer's stream of a process that runs. A damaged record is skipped with the rest of its chunk: see [`LiveSpool::take_errors`].
#[derive(Debug)]
pub struct LiveStream {
    cursor: Cursor,
    m: MId,
    shared: Rc<Shared>,
}

impl LiveStream {
    /// Whose it is.
    pub fn writer(&self) -> WriterId {
        self.cursor.writer()
    }

    /// The M that this writer is.
    pub fn m(&self) -> MId {
        self.m
    }

    fn read(&mut self, spool: &ProcessSpool) -> Option<Next> {
        loop {
            let read = spool.read(&mut self.cursor);
            self.shared
                .finished
                .borrow_mut()
                .append(&mut self.cursor.take_finished());
            match read? {
                Ok(recorded) => return Some(Next::Event(recorded)),
                Err(e) => {
                    let mut errors = self.shared.errors.borrow_mut();
                    errors.push((self.cursor.writer(), e));
                }
            }
        }
    }
}

impl Source for LiveStream {
    fn next(&mut self) -> Next {
        let shared = Rc::clone(&self.shared);
        let spool = shared.spool.borrow();
        if let Some(event) = self.read(&spool) {
            return event;
        }
        if self.cursor.is_ended() || spool.is_at_rest() {
            return Next::End;
        }
        // In this order: the time, whether the writer sleeps, its events. What a sleeping writer publishes after the last look it does when
        // it is awake again, and it reads the clock for it after it woke, so after our time.
        let quiet = self.cursor.is_quiet(&spool);
        if let Some(event) = self.read(&spool) {
            return event;
        }
        let now = shared.now.get();
        let progress = if quiet {
            now
        } else {
            self.cursor.ticks().max(now.saturating_sub(shared.grace))
        };
        Next::Later { progress }
    }
}
