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
use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::rc::Rc;

use super::SpoolError;
use super::attach::{Attachment, FinishedChunk};
use super::cursor::Cursor;
use super::reader::ProcessSpool;
use crate::clock;
use crate::ids::{MId, WriterId};
use crate::order::{Next, Source};

/// The writers that no refresh has found yet.
const UNKNOWN: WriterId = WriterId(u32::MAX);

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
    /// not published within so many ticks of its happening may come out of order. See also [`Source::grace`].
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

    /// The streams of writers that are new since this was last asked; at first also one that has no events and stands for the writers that
    /// are not known yet. Without it, what others wrote after the last refresh would be ordered before a new writer's events are looked for.
    pub fn new_streams(&self) -> Vec<LiveStream> {
        let mut known = self.known.borrow_mut();
        let spool = self.shared.spool.borrow();
        let unknown = known.insert(UNKNOWN).then_some((UNKNOWN, MId(UNKNOWN.0)));
        let found: Vec<_> = spool
            .writers()
            .filter(|(writer, _)| known.insert(*writer))
            .collect();
        unknown
            .into_iter()
            .chain(found)
            .map(|(writer, m)| LiveStream {
                cursor: Cursor::new(writer),
                m,
                brought: 0,
                taken: 0,
                read: VecDeque::new(),
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
    /// Events that it brought.
    brought: u64,
    /// Those of them that are in the history.
    taken: u64,
    /// Chunks that were read to their end, each with the number of events brought until then: not all of those are in the history.
    read: VecDeque<(u64, FinishedChunk)>,
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

    /// Lets go of the chunks whose events are all in the history: with the next commit they are safe.
    fn finish_chunks(&mut self) {
        while let Some(&(_, chunk)) = self
            .read
            .front()
            .filter(|(events, _)| *events <= self.taken)
        {
            self.read.pop_front();
            self.shared.finished.borrow_mut().push(chunk);
        }
    }

    fn read(&mut self, spool: &ProcessSpool) -> Option<Next> {
        loop {
            let read = spool.read(&mut self.cursor);
            let finished = self.cursor.take_finished().into_iter();
            self.read
                .extend(finished.map(|chunk| (self.brought, chunk)));
            self.finish_chunks();
            match read? {
                Ok(recorded) => {
                    self.brought += 1;
                    return Some(Next::Event(recorded));
                }
                Err(e) => {
                    let mut errors = self.shared.errors.borrow_mut();
                    errors.push((self.cursor.writer(), e));
                }
            }
        }
    }
}

impl Source for LiveStream {
    fn taken(&mut self) {
        self.taken += 1;
        self.finish_chunks();
    }

    fn grace(&self) -> u64 {
        self.shared.grace
    }

    fn next(&mut self) -> Next {
        let shared = Rc::clone(&self.shared);
        let spool = shared.spool.borrow();
        if self.cursor.writer() == UNKNOWN && !spool.is_at_rest() {
            // Who is found after the last refresh writes of what happens after it.
            let progress = shared.now.get();
            return Next::Later { progress };
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, GKind, MKind, Placed, Rule, Source as From};
    use crate::ids::{GId, SiteId};
    use crate::order::{Orderer, Step};
    use crate::spool::writer::{Spool, SpoolOptions};

    fn add_new(live: &LiveSpool, orderer: &mut Orderer<LiveStream>) {
        for stream in live.new_streams() {
            orderer.add(stream.writer(), stream.m(), stream);
        }
    }

    /// Its events were once taken for ones that fit nowhere.
    #[test]
    fn what_a_writer_that_is_not_known_yet_says_is_waited_for() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let spool = Spool::create(dir.path(), &SpoolOptions::default()).expect("a spool");
        let mut old = spool.writer(MId(0), 1, MKind::Worker, "old");
        old.emit(clock::now_ticks(), Event::Procs { procs: 1 });
        let live = LiveSpool::attach(spool.dir(), 0).expect("attached");
        let mut orderer = Orderer::new(false);
        live.refresh(false).expect("readable");
        add_new(&live, &mut orderer);
        assert!(matches!(orderer.next(), Step::Event(o) if o.note.is_none()));
        let mut new = spool.writer(MId(1), 2, MKind::Worker, "new");
        let spawn = Event::Spawn {
            g: GId(1),
            kind: GKind::Stackful,
            site: SiteId(0),
            placed: Placed::Direct,
            kicked: GId::NONE,
            gq: 0,
        };
        new.emit(clock::now_ticks(), spawn);
        let start = Event::Start {
            g: GId(1),
            seq: 1,
            source: From::Netpoll,
            rule: Rule::Order,
            pos: 0,
        };
        old.emit(clock::now_ticks(), start);
        assert_eq!(orderer.next(), Step::Pending);
        drop((old, new));
        spool.finish();
        live.refresh(true).expect("readable");
        add_new(&live, &mut orderer);
        for event in [spawn, start] {
            assert!(matches!(orderer.next(), Step::Event(o) if (o.event, o.note) == (event, None)));
        }
        assert_eq!(orderer.next(), Step::End);
    }

    /// It was once given back when it had been read, though the order held its last events back.
    #[test]
    fn a_chunk_is_not_let_go_before_its_last_event_is_in_the_history() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let spool = Spool::create(dir.path(), &SpoolOptions::default()).expect("a spool");
        let mut writer = spool.writer(MId(0), 1, MKind::Worker, "w");
        (0..20_000).for_each(|i| writer.emit(i, Event::MUnpark {}));
        drop(writer);
        let live = LiveSpool::attach(spool.dir(), 0).expect("attached");
        let mut streams = live.new_streams();
        let stream = streams.last_mut().expect("the writer's");
        let mut brought = 0;
        while let Next::Event(_) = stream.next() {
            brought += 1;
        }
        assert_eq!((brought, live.finished_bytes()), (20_000, 0));
        (1..brought).for_each(|_| stream.taken());
        let all_but_the_last = live.finished_bytes();
        stream.taken();
        assert_eq!(
            all_but_the_last + FinishedChunk::BYTES,
            live.finished_bytes()
        );
        assert!(all_but_the_last > 0);
    }
}
