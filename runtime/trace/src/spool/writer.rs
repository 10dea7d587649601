//! The writing side: one [`Spool`] for a process, one [`Writer`] for each emitting thread.
//!
//! The way of an event ([`Writer::emit`]) is: encode into the mapped chunk, release-store the new length. About every two thousandth event
//! changes the chunk, which takes a lock; a thread in the background keeps a segment ready ahead, so that this is short.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::layout::{
    CHUNK, CHUNK_MAGIC, CHUNKS, CONTROL, CONTROL_MAGIC, HEADER, SEGMENT, chunk, control,
};
use super::map::Map;
use super::tables::Entry;
use super::{SpoolError, fork};
use crate::clock;
use crate::codec::{self, MAX_RECORD};
use crate::event::{Event, MKind, Rule, Source};
use crate::ids::{GId, MId, SiteId, StringId, WriterId};
use crate::tally::{SLOTS, Tally};
use crate::version::{ENV_SPOOL_LIMIT, FORMAT_VERSION};

/// What may be set for a spool.
#[derive(Clone, Debug)]
pub struct SpoolOptions {
    /// The most bytes of segments. What does not fit is lost and counted.
    pub limit: u64,
}

impl SpoolOptions {
    /// As the recorder asked for in the environment; without a limit if it did not.
    pub fn from_environment() -> SpoolOptions {
        let limit = std::env::var(ENV_SPOOL_LIMIT)
            .ok()
            .and_then(|v| v.parse().ok())
            .unwrap_or(u64::MAX);
        SpoolOptions { limit }
    }
}

/// The most different strings of a recording: each takes memory for as long as the process lives.
pub const MAX_STRINGS: usize = 1 << 20;
/// What stands for a string that found no room.
pub const TOO_MANY_STRINGS: &str = "(too many different strings)";

/// Blocks of counters in one file.
const TALLY_BLOCKS: usize = 128;

/// The spool of this process.
pub struct Spool {
    dir: PathBuf,
    /// Which process made it; see [`fork`].
    generation: u32,
    control: Map,
    options: SpoolOptions,
    segments: Mutex<Segments>,
    prepared: Condvar,
    stop: AtomicBool,
    next_writer: AtomicU32,
    tallies: Mutex<Vec<&'static Map>>,
    tables: Mutex<Tables>,
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool").field("dir", &self.dir).finish()
    }
}

/// Segments are never unmapped: a thread may be in the middle of a store when the runtime ends.
struct Segments {
    current: Option<&'static Map>,
    next_chunk: usize,
    ahead: Option<&'static Map>,
    made: u64,
    /// Whether making a segment failed: the disk is full or the limit is reached.
    full: bool,
}

struct Tables {
    file: File,
    sites: HashMap<(&'static str, u32, u32), SiteId>,
    strings: HashMap<String, StringId>,
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
        let control_map = Map::create(&dir.join("control"), CONTROL)?;
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
        ];
        for (word, value) in words {
            control_map.word(word).store(value, Ordering::Relaxed);
        }
        // Release: a reader that sees the magic sees the rest.
        control_map
            .word(control::MAGIC)
            .store(CONTROL_MAGIC, Ordering::Release);
        let spool = Arc::new(Spool {
            dir,
            generation: fork::generation(),
            control: control_map,
            options: options.clone(),
            segments: Mutex::new(Segments {
                current: None,
                next_chunk: CHUNKS,
                ahead: None,
                made: 0,
                full: false,
            }),
            prepared: Condvar::new(),
            stop: AtomicBool::new(false),
            next_writer: AtomicU32::new(0),
            tallies: Mutex::new(Vec::new()),
            tables: Mutex::new(Tables {
                file,
                sites: HashMap::new(),
                strings: HashMap::new(),
            }),
        });
        spool.start_preparing()?;
        Ok(spool)
    }

    /// The thread that keeps one segment ready ahead.
    fn start_preparing(self: &Arc<Spool>) -> Result<(), SpoolError> {
        let spool = Arc::clone(self);
        let body = move || {
            let mut segments = spool.lock();
            while !spool.stop.load(Ordering::Relaxed) {
                if segments.ahead.is_none() && !segments.full {
                    let number = segments.made;
                    drop(segments);
                    let made = spool.make_segment(number);
                    segments = spool.lock();
                    // A writer may have made one itself in between; then this one, with the same number, failed.
                    if let Some(map) = made {
                        segments.made = segments.made.max(number + 1);
                        segments.ahead = Some(map);
                    }
                } else {
                    segments = spool
                        .prepared
                        .wait(segments)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
        };
        let started = std::thread::Builder::new()
            .name("gmp-spool".into())
            .spawn(body);
        started
            .map(drop)
            .map_err(SpoolError::io("cannot start the thread for", &self.dir))
    }

    fn lock(&self) -> MutexGuard<'_, Segments> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a segment; `None` when the limit is reached or the disk is full.
    fn make_segment(&self, number: u64) -> Option<&'static Map> {
        if (number + 1).saturating_mul(SEGMENT as u64) > self.options.limit {
            self.lock().full = true;
            return None;
        }
        let path = self.dir.join(format!("segment-{number:04}"));
        match Map::create(&path, SEGMENT) {
            Ok(map) => {
                map.populate();
                // Release: a reader that sees the count finds the file.
                self.control
                    .word(control::SEGMENTS)
                    .fetch_max(number + 1, Ordering::Release);
                Some(Box::leak(Box::new(map)))
            }
            Err(SpoolError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::AlreadyExists =>
            {
                None
            }
            Err(_) => {
                self.lock().full = true;
                None
            }
        }
    }

    /// The next chunk that nobody has; `None` when there is no more room.
    fn take_chunk(&self) -> Option<(&'static Map, usize)> {
        if self.is_parents() {
            return None;
        }
        let mut segments = self.lock();
        loop {
            if let Some(map) = segments.current.filter(|_| segments.next_chunk < CHUNKS) {
                segments.next_chunk += 1;
                return Some((map, segments.next_chunk - 1));
            }
            if let Some(map) = segments.ahead.take() {
                segments.current = Some(map);
                segments.next_chunk = 0;
                self.prepared.notify_one();
                continue;
            }
            if segments.full || self.stop.load(Ordering::Relaxed) {
                return None;
            }
            // The writers outran the thread that prepares: wait for it, it is at work.
            drop(segments);
            self.prepared.notify_one();
            std::thread::yield_now();
            segments = self.lock();
        }
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
        Writer {
            spool: Arc::clone(self),
            id: writer,
            m,
            tally,
            chunk: None,
            at: HEADER,
            last_ticks: 0,
            events: 0,
            lost: 0,
            number: 0,
        }
    }

    fn tally(&self, writer: WriterId) -> TallyBlock {
        if self.is_parents() {
            return TallyBlock::in_memory();
        }
        let (file, block) = (
            writer.0 as usize / TALLY_BLOCKS,
            writer.0 as usize % TALLY_BLOCKS,
        );
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        while tallies.len() <= file {
            let path = self.dir.join(format!("tallies-{:04}", tallies.len()));
            match Map::create(&path, TALLY_BLOCKS * SLOTS * 8) {
                Ok(map) => tallies.push(Box::leak(Box::new(map))),
                // Counted all the same, only not where the recorder can see it.
                Err(_) => return TallyBlock::in_memory(),
            }
        }
        TallyBlock {
            slots: std::ptr::from_ref(tallies[file].word(block * SLOTS)),
        }
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

    /// Says that the process ends properly: what is in the spool is all there was.
    pub fn finish(&self) {
        if self.is_parents() {
            return;
        }
        self.stop.store(true, Ordering::Relaxed);
        self.prepared.notify_all();
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
        if tables.file.write_all(&entry.encode()).is_err() {
            self.control
                .word(control::TABLES_LOST)
                .fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// One thread's stream of events. Dropping it ends the stream.
pub struct Writer {
    spool: Arc<Spool>,
    id: WriterId,
    m: MId,
    tally: TallyBlock,
    chunk: Option<*mut u8>,
    /// Where in the chunk the next record goes.
    at: usize,
    last_ticks: u64,
    /// Events of this stream so far, lost ones included.
    events: u64,
    lost: u64,
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
    #[inline]
    pub fn emit(&mut self, ticks: u64, event: Event) {
        let chunk = match self.chunk {
            Some(chunk) if self.at + MAX_RECORD <= CHUNK => chunk,
            _ => match self.change_chunk(ticks) {
                Some(chunk) => chunk,
                None => return self.lose(),
            },
        };
        let dt = ticks.saturating_sub(self.last_ticks);
        self.last_ticks += dt;
        self.events += 1;
        // SAFETY: room for the largest record was checked.
        self.at += unsafe { codec::encode(chunk.add(self.at), dt, &event) };
        // Release publishes the record to a reader that acquires the length; one plain store on x86.
        word(chunk, chunk::PUBLISHED).store((self.at - HEADER) as u64, Ordering::Release);
    }

    /// Says that nothing more comes until the thread is woken.
    pub fn quiet(&mut self, ticks: u64) {
        if let Some(chunk) = self.chunk {
            word(chunk, chunk::PROGRESS).store(ticks | 1, Ordering::Release);
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

    #[cold]
    #[inline(never)]
    fn change_chunk(&mut self, ticks: u64) -> Option<*mut u8> {
        self.close();
        let (map, index) = self.spool.take_chunk()?;
        let chunk = map.at(index * CHUNK);
        let writer = u64::from(self.id.0) | u64::from(self.m.0) << 32;
        let base = self.last_ticks.max(ticks);
        let words = [
            (chunk::WRITER, writer),
            (chunk::NUMBER, self.number),
            (chunk::BASE_TICKS, base),
            (chunk::LOST, self.lost),
            (chunk::FIRST_EVENT, self.events),
            (chunk::PUBLISHED, 0),
        ];
        for (index, value) in words {
            word(chunk, index).store(value, Ordering::Relaxed);
        }
        // Release: a reader that sees the magic sees the header.
        word(chunk, chunk::MAGIC).store(CHUNK_MAGIC, Ordering::Release);
        self.number += 1;
        self.last_ticks = base;
        self.at = HEADER;
        self.chunk = Some(chunk);
        Some(chunk)
    }

    #[cold]
    #[inline(never)]
    fn lose(&mut self) {
        self.lost += 1;
        self.events += 1;
        self.spool
            .control
            .word(control::LOST)
            .fetch_add(1, Ordering::Relaxed);
    }

    fn close(&mut self) {
        if let Some(chunk) = self.chunk.take() {
            word(chunk, chunk::PUBLISHED).fetch_or(1 << 32, Ordering::Release);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

/// What recording one event costs here, the reading of the clock included, in ns: the best of a few rounds into memory of its own.
pub fn event_cost_ns() -> f64 {
    const EVENTS: u64 = 2_000;
    let mut chunk = vec![0u64; CHUNK / 8];
    let bytes = chunk.as_mut_ptr().cast::<u8>();
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let (mut at, mut last) = (HEADER, clock::now_ticks());
        let began = std::time::Instant::now();
        for i in 0..EVENTS {
            if at + MAX_RECORD > CHUNK {
                at = HEADER;
            }
            let ticks = clock::now_ticks();
            let event = Event::Start {
                g: GId(i),
                seq: i,
                source: Source::Local,
                rule: Rule::Order,
                pos: i as u32,
            };
            // SAFETY: there is room for the largest record behind `at`.
            at += unsafe { codec::encode(bytes.add(at), ticks.saturating_sub(last), &event) };
            // Release: as `emit` does it.
            word(bytes, chunk::PUBLISHED).store((at - HEADER) as u64, Ordering::Release);
            last = ticks;
        }
        best = best.min(began.elapsed().as_nanos() as f64 / EVENTS as f64);
    }
    best
}

fn word(chunk: *mut u8, index: usize) -> &'static AtomicU64 {
    // SAFETY: `chunk` is the start of a chunk, aligned to 8, in a mapping that is never taken down or in memory of the caller's that
    // outlives the use; `index` is within the header, whose words are only accessed as atomics.
    unsafe { &*chunk.cast::<AtomicU64>().add(index) }
}

/// One thread's counters: a plain load, add and store by that thread; readable by all.
#[derive(Clone, Copy, Debug)]
pub struct TallyBlock {
    slots: *const AtomicU64,
}

// SAFETY: it points to `SLOTS` atomics that live for ever.
unsafe impl Send for TallyBlock {}
// SAFETY: as above.
unsafe impl Sync for TallyBlock {}

impl TallyBlock {
    /// Counters that no recorder sees. Their memory is never given back.
    pub fn in_memory() -> TallyBlock {
        let slots: &'static [AtomicU64; SLOTS] =
            Box::leak(Box::new([const { AtomicU64::new(0) }; SLOTS]));
        TallyBlock {
            slots: slots.as_ptr(),
        }
    }

    /// Adds to a counter. One thread may call this.
    #[inline(always)]
    pub fn add(&self, tally: Tally, n: u64) {
        let slot = self.slot(tally);
        // Relaxed, and no read-modify-write: one writer; readers want a value, not an order.
        slot.store(slot.load(Ordering::Relaxed) + n, Ordering::Relaxed);
    }

    /// The value of a counter at some moment.
    pub fn get(&self, tally: Tally) -> u64 {
        self.slot(tally).load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn slot(&self, tally: Tally) -> &AtomicU64 {
        // SAFETY: there are SLOTS of them, more than there are counters.
        unsafe { &*self.slots.add(tally as usize) }
    }
}
