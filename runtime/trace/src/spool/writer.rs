//! The writing side: one [`Spool`] for a process, one [`Writer`] for each emitting thread.
//!
//! The way of an event ([`Writer::emit`]) is: encode into the mapped chunk, release-store the new length. About every two thousandth event
//! changes the chunk, which takes a lock; a thread in the background keeps a segment ready ahead, so that this is short.

use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::blocks::{Block, Blocks};
use super::layout::{CHUNK, CONTROL, CONTROL_MAGIC, HEADER, TABLE, chunk, control};
use super::losses::{self, LOSSES};
use super::map::Map;
use super::protocol::{self, Header};
use super::supply::{ChunkHeader, Supply};
use super::tables::Entry;
use super::tallies::{self, TALLIES};
use super::{SpoolError, attach, fork};
use crate::clock;
use crate::codec::{self, MAX_RECORD};
use crate::event::{Event, Kind, MKind};
use crate::ids::{MId, SiteId, StringId, WriterId};
use crate::version::{ENV_RECORDER, ENV_SPOOL_FULL, ENV_SPOOL_LIMIT, FORMAT_VERSION};

pub use super::tallies::TallyBlock;

/// What a writer does when there is no more room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFull {
    /// It goes on, and counts what it loses.
    #[default]
    Drop,
    /// It waits for the recorder to make room, as long as that lives.
    Block,
}

/// What may be set for a spool.
#[derive(Clone, Debug)]
pub struct SpoolOptions {
    /// The most bytes of segments.
    pub limit: u64,
    /// What becomes of what does not fit.
    pub on_full: OnFull,
    /// The recorder's process, if there is one already.
    pub recorder: Option<u32>,
}

impl Default for SpoolOptions {
    fn default() -> SpoolOptions {
        SpoolOptions {
            limit: u64::MAX,
            on_full: OnFull::Drop,
            recorder: None,
        }
    }
}

impl SpoolOptions {
    /// As the recorder asked for in the environment; without a limit if it did not.
    pub fn from_environment() -> SpoolOptions {
        let parsed = |name| std::env::var(name).ok().and_then(|v| v.parse().ok());
        let block = std::env::var(ENV_SPOOL_FULL).is_ok_and(|v| v == "block");
        SpoolOptions {
            limit: parsed(ENV_SPOOL_LIMIT).unwrap_or(u64::MAX),
            on_full: if block { OnFull::Block } else { OnFull::Drop },
            recorder: parsed(ENV_RECORDER).and_then(|pid| u32::try_from(pid).ok()),
        }
    }
}

/// The most different strings of a recording: each takes memory for as long as the process lives.
pub const MAX_STRINGS: usize = 1 << 20;
/// What stands for a string that found no room.
pub const TOO_MANY_STRINGS: &str = "(too many different strings)";

/// The spool of this process.
pub struct Spool {
    dir: PathBuf,
    /// Which process made it; see [`fork`].
    generation: u32,
    /// The kernel's number of the thread that makes segments.
    thread: OnceLock<u32>,
    control: &'static Map,
    supply: Supply,
    next_writer: AtomicU32,
    tallies: Blocks,
    losses: Blocks,
    tables: Mutex<Tables>,
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool").field("dir", &self.dir).finish()
    }
}

struct Tables {
    file: File,
    /// The end of an entry whose beginning is in the file: it goes before all else, or what follows would be read as it.
    rest: Vec<u8>,
    /// Entries of which nothing is in the file.
    lost: u64,
    sites: HashMap<(&'static str, u32, u32), SiteId>,
    strings: HashMap<String, StringId>,
}

impl Tables {
    /// With an empty file, which is appended to.
    fn new(file: File) -> Tables {
        Tables {
            file,
            rest: Vec::new(),
            lost: 0,
            sites: HashMap::new(),
            strings: HashMap::new(),
        }
    }

    /// Writes an entry behind all others; one that finds no room is counted.
    fn append(&mut self, entry: &Entry) {
        if !self.complete() {
            self.lost += 1;
            return;
        }
        self.rest = entry.encode();
        let len = self.rest.len();
        if !self.complete() && self.rest.len() == len {
            self.rest.clear();
            self.lost += 1;
        }
    }

    /// Whether all entries that were begun are whole now.
    fn complete(&mut self) -> bool {
        while !self.rest.is_empty() {
            match self.file.write(&self.rest) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return false,
                Ok(n) => drop(self.rest.drain(..n)),
            }
        }
        true
    }

    /// Entries that cannot be read, or not yet.
    fn missing(&self) -> u64 {
        self.lost + u64::from(!self.rest.is_empty())
    }
}

impl Spool {
    /// Makes this process's folder in `dir`, and in it a spool without events.
    ///
    /// # Errors
    /// What the system refused, on which file.
    pub fn create(dir: &Path, options: &SpoolOptions) -> Result<Arc<Spool>, SpoolError> {
        let started = clock::kernel_ns(libc::CLOCK_BOOTTIME);
        let dir = dir.join(format!("{}-{started}", std::process::id()));
        std::fs::create_dir(&dir).map_err(SpoolError::io("cannot create", &dir))?;
        // Leaked, as all mappings that threads write to: one of them may be in the middle of it when the runtime ends.
        let leak = |map: Map| -> &'static Map { Box::leak(Box::new(map)) };
        let control_map = leak(Map::create(&dir.join("control"), CONTROL)?);
        let table = leak(Map::create(&dir.join("segments"), TABLE)?);
        let tables = dir.join("tables");
        let file = File::options()
            .append(true)
            .create_new(true)
            .open(&tables)
            .map_err(SpoolError::io("cannot create", &tables))?;
        let words = [
            (control::VERSION, FORMAT_VERSION),
            (control::PID, u64::from(std::process::id())),
            (
                control::PARENT,
                u64::from(std::os::unix::process::parent_id()),
            ),
            (control::STARTED, started),
            (control::CLOCK, clock::kind() as u64),
            (control::STATE, 1),
            (control::LIMIT, options.limit),
            (control::ON_FULL, options.on_full as u64),
        ];
        for (word, value) in words {
            control_map.word(word).store(value, Ordering::Relaxed);
        }
        // Release: a reader that sees the magic sees the rest.
        control_map
            .word(control::MAGIC)
            .store(CONTROL_MAGIC, Ordering::Release);
        if let Some(pid) = options.recorder {
            attach::name_recorder(control_map, pid);
        }
        let blocks = options.on_full == OnFull::Block;
        let spool = Arc::new(Spool {
            supply: Supply::new(&dir, control_map, table, options.limit, blocks),
            dir,
            generation: fork::generation(),
            thread: OnceLock::new(),
            control: control_map,
            next_writer: AtomicU32::new(0),
            tallies: Blocks::new(TALLIES),
            losses: Blocks::new(LOSSES),
            tables: Mutex::new(Tables::new(file)),
        });
        let theirs = Arc::clone(&spool);
        let (there, its_number) = std::sync::mpsc::channel();
        std::thread::Builder::new()
            .name("gmp-spool".into())
            .spawn(move || {
                // SAFETY: no preconditions.
                let tid = unsafe { libc::gettid() };
                // The other side waits.
                let _ = there.send(u32::try_from(tid).unwrap_or(0));
                theirs.supply.prepare();
            })
            .map_err(SpoolError::io("cannot start the thread for", &spool.dir))?;
        if let Ok(tid) = its_number.recv() {
            // Nobody else has the spool yet.
            let _ = spool.thread.set(tid);
        }
        Ok(spool)
    }

    /// The kernel's number of the thread that makes segments, which is there until [`Spool::finish`]; 0 if it is not known.
    pub fn thread(&self) -> u32 {
        self.thread.get().copied().unwrap_or(0)
    }

    /// Begins a stream of events for the calling thread.
    pub fn writer(self: &Arc<Spool>, m: MId, tid: u32, kind: MKind, name: &str) -> Writer {
        let writer = WriterId(self.next_writer.fetch_add(1, Ordering::Relaxed));
        self.control
            .word(control::WRITERS)
            .fetch_max(u64::from(writer.0) + 1, Ordering::Release);
        self.append(&Entry::Writer {
            writer,
            m,
            tid,
            kind,
            name: name.to_owned(),
        });
        let tally = self.tally(writer);
        let losses = if self.is_parents() {
            None
        } else {
            self.losses.block(&self.dir, writer)
        };
        Writer {
            spool: Arc::clone(self),
            id: writer,
            m,
            tally,
            losses,
            chunk: None,
            at: HEADER,
            last_ticks: 0,
            events: 0,
            lost: 0,
            is_quiet: false,
            after_gap: false,
            number: 0,
        }
    }

    fn tally(&self, writer: WriterId) -> TallyBlock {
        if self.is_parents() {
            return TallyBlock::in_memory();
        }
        tallies::block(&self.tallies, &self.dir, writer)
    }

    /// The number of a place in the source.
    pub fn site(&self, file: &'static str, line: u32, column: u32) -> SiteId {
        if self.is_parents() {
            return SiteId(0);
        }
        let mut tables = self.tables();
        let next = SiteId(tables.sites.len() as u32 + 1);
        match tables.sites.entry((file, line, column)) {
            std::collections::hash_map::Entry::Occupied(known) => *known.get(),
            std::collections::hash_map::Entry::Vacant(new) => {
                new.insert(next);
                self.write(
                    &mut tables,
                    &Entry::Site {
                        site: next,
                        file: file.to_owned(),
                        line,
                        column,
                    },
                );
                next
            }
        }
    }

    /// The number of a string. The table holds at most [`MAX_STRINGS`]; the strings beyond have the number of a text that says so.
    pub fn string(&self, text: &str) -> StringId {
        if text.is_empty() || self.is_parents() {
            return StringId(0);
        }
        let mut tables = self.tables();
        if let Some(known) = tables.strings.get(text) {
            return *known;
        }
        if tables.strings.len() >= MAX_STRINGS && text != TOO_MANY_STRINGS {
            drop(tables);
            return self.string(TOO_MANY_STRINGS);
        }
        let string = StringId(tables.strings.len() as u32 + 1);
        tables.strings.insert(text.to_owned(), string);
        self.write(
            &mut tables,
            &Entry::String {
                string,
                text: text.to_owned(),
            },
        );
        string
    }

    /// States a fact about the process.
    pub fn info(&self, key: &str, value: &str) {
        self.append(&Entry::Info {
            key: key.to_owned(),
            value: value.to_owned(),
        });
    }

    /// States what a field of [`Event::Counters`] counts: an [`Entry::Counter`].
    pub fn counter(&self, entry: &Entry) {
        self.append(entry);
    }

    /// Whether a thread waits for room in it, right now: it may go on when the recorder has read something.
    pub fn is_waited_for(&self) -> bool {
        // Relaxed: a number by itself.
        self.control.word(control::WAITING).load(Ordering::Relaxed) > 0
    }

    /// Says that the process ends properly: what is in the spool is all there was.
    pub fn finish(&self) {
        if self.is_parents() {
            return;
        }
        self.supply.stop();
        // Release: a reader that sees the end sees everything before it.
        self.control
            .word(control::STATE)
            .store(2, Ordering::Release);
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether this process is a child of the one that is recorded here: then it leaves the files alone.
    fn is_parents(&self) -> bool {
        self.generation != fork::generation()
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, entry: &Entry) {
        // A child has its parent's descriptor, and perhaps a lock that nobody will open.
        if !self.is_parents() {
            self.write(&mut self.tables(), entry);
        }
    }

    fn write(&self, tables: &mut Tables, entry: &Entry) {
        tables.append(entry);
        // Relaxed: a count, which who holds the lock keeps.
        self.control
            .word(control::TABLES_LOST)
            .store(tables.missing(), Ordering::Relaxed);
    }
}

/// One thread's stream of events. Dropping it ends the stream.
pub struct Writer {
    spool: Arc<Spool>,
    id: WriterId,
    m: MId,
    tally: TallyBlock,
    /// Where it counts what it loses; nowhere but in the total, if there was no room.
    losses: Option<Block>,
    chunk: Option<*mut u8>,
    /// Where in the chunk the next record goes.
    at: usize,
    last_ticks: u64,
    /// Events of this stream so far, lost ones included.
    events: u64,
    lost: u64,
    /// Whether it said that nothing comes.
    is_quiet: bool,
    /// Whether events were lost right before the present chunk began.
    after_gap: bool,
    number: u64,
}

// SAFETY: the chunk belongs to this writer alone, and its segment is never unmapped.
unsafe impl Send for Writer {}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("id", &self.id)
            .field("events", &self.events)
            .finish()
    }
}

impl Writer {
    /// Records an event that happened at `ticks`. A time before that of the event before counts as the same.
    ///
    /// # Blocking
    /// May wait for room, if the recorder asked for that.
    #[inline]
    pub fn emit(&mut self, ticks: u64, event: Event) {
        self.emit_with(ticks, event, || [None, None]);
    }

    /// As [`Writer::emit`]; if it is the first event after a loss, those of `status` go before it: what a reader must know to go on.
    #[inline]
    pub fn emit_with(
        &mut self,
        ticks: u64,
        event: Event,
        status: impl FnOnce() -> [Option<Event>; 2],
    ) {
        match self.chunk {
            Some(chunk) if self.at + MAX_RECORD <= CHUNK => self.put(chunk, ticks, event),
            _ => self.emit_into_next(ticks, event, status),
        }
    }

    #[cold]
    #[inline(never)]
    fn emit_into_next(
        &mut self,
        ticks: u64,
        event: Event,
        status: impl FnOnce() -> [Option<Event>; 2],
    ) {
        let Some(chunk) = self.change_chunk(ticks) else {
            return self.lose(ticks, event.kind());
        };
        // A new chunk has room for all of these.
        if std::mem::take(&mut self.after_gap) {
            for event in status().into_iter().flatten() {
                self.put(chunk, ticks, event);
            }
        }
        self.put(chunk, ticks, event);
    }

    #[inline(always)]
    fn put(&mut self, chunk: *mut u8, ticks: u64, event: Event) {
        let dt = ticks.saturating_sub(self.last_ticks);
        self.last_ticks += dt;
        self.events += 1;
        // SAFETY: the callers checked that there is room for the largest record.
        self.at += unsafe { codec::encode(chunk.add(self.at), dt, &event) };
        protocol::publish(&ChunkHeader(chunk), (self.at - HEADER) as u64);
    }

    /// Says that nothing comes until [`Writer::awake`]: readers need not wait for this writer.
    pub fn quiet(&mut self, ticks: u64) {
        self.is_quiet = true;
        if let Some(chunk) = self.chunk {
            // Release: a reader that sees it sees all events before it.
            ChunkHeader(chunk)
                .word(chunk::PROGRESS)
                .store(ticks | 1, Ordering::Release);
        }
    }

    /// Ends what [`Writer::quiet`] said. To be called before the time of the next event is taken.
    #[inline]
    pub fn awake(&mut self) {
        if std::mem::take(&mut self.is_quiet)
            && let Some(chunk) = self.chunk
        {
            ChunkHeader(chunk)
                .word(chunk::PROGRESS)
                .store(0, Ordering::Relaxed);
            // SeqCst: the store is out before the clock is read for the next event, so a reader that read its clock later sees that
            // this writer is not quiet, and does not take its own time for this stream's.
            std::sync::atomic::fence(Ordering::SeqCst);
        }
    }

    /// The counters of this thread.
    pub fn tally(&self) -> TallyBlock {
        self.tally
    }

    /// Events lost so far.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    fn change_chunk(&mut self, ticks: u64) -> Option<*mut u8> {
        self.close(chunk::CLOSED);
        if self.spool.is_parents() {
            return None;
        }
        let next = self.spool.supply.take()?;
        let writer = u64::from(self.id.0) | u64::from(self.m.0) << 32;
        let base = self.last_ticks.max(ticks);
        let fields = [
            (chunk::WRITER, writer),
            (chunk::NUMBER, self.number),
            (chunk::BASE_TICKS, base),
            (chunk::LOST, self.lost),
            (chunk::FIRST_EVENT, self.events),
            (chunk::PUBLISHED, 0),
            (chunk::PROGRESS, 0),
        ];
        protocol::hand_out(&ChunkHeader(next.at), &fields);
        // Release: a reader that sees the count finds the chunk.
        next.handed_out.fetch_add(1, Ordering::Release);
        self.number += 1;
        self.last_ticks = base;
        self.at = HEADER;
        self.chunk = Some(next.at);
        if next.waited_ns > 0 {
            let waited = Event::Blocked {
                waited_ns: next.waited_ns,
            };
            self.put(next.at, ticks, waited);
        }
        Some(next.at)
    }

    fn lose(&mut self, ticks: u64, kind: Kind) {
        self.lost += 1;
        self.events += 1;
        self.after_gap = true;
        if let Some(block) = &self.losses {
            losses::count(block, ticks, kind);
        }
        // Relaxed: a count.
        self.spool
            .control
            .word(control::LOST)
            .fetch_add(1, Ordering::Relaxed);
    }

    fn close(&mut self, how: u64) {
        if let Some(chunk) = self.chunk.take() {
            protocol::close(&ChunkHeader(chunk), how);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close(chunk::CLOSED | chunk::ENDED);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsRawFd;

    use super::*;
    use crate::spool::reader::ProcessSpool;
    use crate::spool::tables::decode_all;

    fn info(value: &str) -> Entry {
        Entry::Info {
            key: "k".into(),
            value: value.to_owned(),
        }
    }

    /// What follows an entry that was cut off was once read as its end.
    #[test]
    fn an_entry_that_was_cut_off_is_completed_before_the_next() {
        let (mut from, to) = std::io::pipe().expect("a pipe");
        // SAFETY: the descriptor is open; its room is less than one of the entries takes.
        let room = unsafe { libc::fcntl(to.as_raw_fd(), libc::F_SETPIPE_SZ, 4096) };
        // SAFETY: the descriptor is open.
        let rc = unsafe { libc::fcntl(to.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
        assert!(room > 0 && rc == 0);
        let long = info(&"x".repeat(room as usize));
        let mut tables = Tables::new(File::from(std::os::fd::OwnedFd::from(to)));
        // As much of it as there is room for.
        tables.append(&long);
        assert_eq!(tables.missing(), 1);
        tables.append(&info("no room"));
        assert_eq!(tables.missing(), 2);
        let mut bytes = vec![0; room as usize];
        let cut_off = from.read(&mut bytes).expect("readable");
        assert!(cut_off > 0 && cut_off < long.encode().len());
        bytes.truncate(cut_off);
        tables.append(&info("last"));
        assert_eq!(tables.missing(), 1);
        drop(tables);
        from.read_to_end(&mut bytes).expect("readable");
        let (entries, whole) = decode_all(&bytes);
        assert_eq!(entries, [long, info("last")]);
        assert_eq!(whole, bytes.len());
    }

    #[test]
    fn names_that_find_no_room_are_counted_for_the_reader() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let spool = Spool::create(dir.path(), &SpoolOptions::default()).expect("a spool");
        spool.string("there");
        let mut read = ProcessSpool::open(spool.dir()).expect("readable");
        assert_eq!((read.entries.len(), read.names_lost), (1, 0));
        let full = File::options().write(true).open("/dev/full");
        spool.tables().file = full.expect("a device");
        for text in ["not", "neither"] {
            assert!(spool.string(text).0 > 1);
        }
        // It has its number, and is not tried again.
        spool.string("not");
        read.refresh().expect("readable");
        assert_eq!((read.entries.len(), read.names_lost), (1, 2));
        spool.finish();
    }
}
