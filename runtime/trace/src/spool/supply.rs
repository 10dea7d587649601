//! Where writers get their chunks: segments made ahead, chunks that the recorder has given back, and waiting when there are none.
//!
//! # Where a chunk comes from
//! 1. From those that the recorder has read and given back (a bit in the table of segments).
//! 2. From the present segment, in order; then from the one that a thread in the background keeps ready ahead.
//! 3. At the limit, or when the disk is full: under `block` the writer waits, looking again every fifth of a millisecond, in the order of arrival, for
//!    as long as the recorder lives; otherwise there is none, and the writer counts what it loses.
//!
//! # Using a chunk again
//! The recorder sets the chunk's bit when its events are safe. The supply clears the chunk's magic first and the bit second, and the writer
//! stores the magic last, after the rest of the header; a reader takes a chunk for one only if its bit is clear and its magic is
//! there. So at no moment, whoever dies at it, do old records show under a new header.
//!
//! # Nobody waits for ever
//! A waiting writer holds no lock. It gives up when the recorder has died. It also gives up when the recorder says that it works (its heartbeat)
//! and yet gives nothing back for [`PATIENCE`]: then what the recorder misses may be the very event that this writer waits to write,
//! or all chunks are open ones of other threads. Both take a limit of only a few chunks for each thread.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::control;
use super::layout::{CHUNK, CHUNKS, MAX_SEGMENTS, SEGMENT, control as words, table};
use super::map::Map;
use super::protocol::{self, Header};
use super::segment_name;
use crate::clock;

/// How long a writer waits for a recorder that works but gives nothing back.
const PATIENCE: Duration = Duration::from_secs(10);
/// A heartbeat that is younger says that the recorder works.
const FRESH_NS: u64 = 2_000_000_000;
/// Between two looks of a waiting writer.
const STEP: Duration = Duration::from_micros(200);
/// Between two questions to the kernel whether the recorder lives, in steps.
const ASK_EVERY: u32 = 100;

/// A chunk that was handed out.
#[derive(Clone, Copy)]
pub(super) struct Chunk {
    /// Where its bytes are.
    pub(super) at: *mut u8,
    /// The word that counts the chunks handed out of its segment.
    pub(super) handed_out: &'static AtomicU64,
    /// How long the writer waited for it, in ns.
    pub(super) waited_ns: u64,
}

/// The segments of a process.
pub(super) struct Supply {
    dir: PathBuf,
    control: &'static Map,
    table: &'static Map,
    limit: u64,
    blocks: bool,
    state: Mutex<State>,
    prepared: Condvar,
    stop: AtomicBool,
    /// Whether nothing is left but what the recorder gives back.
    exhausted: AtomicBool,
    /// Whether it is of no use to wait until the recorder gives something back.
    gave_up: AtomicBool,
    /// How much the recorder had given back when nothing was found.
    seen_freed: AtomicU64,
}

/// Segments are never unmapped: a thread may be in the middle of a store when the runtime ends.
struct State {
    maps: Vec<&'static Map>,
    /// The segment that fresh chunks come from.
    current: Option<usize>,
    next_chunk: usize,
    /// Whether the last of them is still to become the present one.
    ahead: bool,
    /// Whether making a segment failed: the disk is full or the limit is reached.
    full: bool,
    /// Chunks used again.
    reused: u64,
    /// The word of bits to look at first.
    scan: usize,
    /// Who waits, in the order of arrival.
    waiting: VecDeque<u64>,
    next_ticket: u64,
}

impl Supply {
    /// No segment yet.
    pub(super) fn new(
        dir: &Path,
        control: &'static Map,
        table: &'static Map,
        limit: u64,
        blocks: bool,
    ) -> Supply {
        Supply {
            dir: dir.to_owned(),
            control,
            table,
            limit: limit.min(MAX_SEGMENTS * SEGMENT as u64),
            blocks,
            state: Mutex::new(State {
                maps: Vec::new(),
                current: None,
                next_chunk: CHUNKS,
                ahead: false,
                full: false,
                reused: 0,
                scan: 0,
                waiting: VecDeque::new(),
                next_ticket: 0,
            }),
            prepared: Condvar::new(),
            stop: AtomicBool::new(false),
            exhausted: AtomicBool::new(false),
            gave_up: AtomicBool::new(false),
            seen_freed: AtomicU64::new(0),
        }
    }

    /// The body of the thread that keeps one segment ready ahead.
    pub(super) fn prepare(&self) {
        let mut state = self.lock();
        // Relaxed: who stops it notifies afterwards, under no lock; the worst is one segment too many.
        while !self.stop.load(Ordering::Relaxed) {
            if !state.ahead && !state.full {
                let number = state.maps.len();
                drop(state);
                let made = self.make_segment(number);
                state = self.lock();
                match made {
                    Some(map) => {
                        state.maps.push(map);
                        state.ahead = true;
                    }
                    None => state.full = true,
                }
            } else {
                state = self
                    .prepared
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// No chunk is handed out any more, and nobody waits for one.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.prepared.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a segment; `None` when the limit is reached or the disk is full.
    fn make_segment(&self, number: usize) -> Option<&'static Map> {
        if (number as u64 + 1).saturating_mul(SEGMENT as u64) > self.limit {
            return None;
        }
        let map = Map::create(&self.dir.join(segment_name(number)), SEGMENT).ok()?;
        map.populate();
        // Release: a reader that sees the count finds the file.
        self.control
            .word(words::SEGMENTS)
            .store(number as u64 + 1, Ordering::Release);
        Some(Box::leak(Box::new(map)))
    }

    /// A chunk that nobody has; `None` when there is none and none is to be waited for.
    pub(super) fn take(&self) -> Option<Chunk> {
        // Relaxed: a shortcut for who loses event after event; what it misses for a moment, it finds at the next.
        if self.exhausted.load(Ordering::Relaxed)
            && (!self.blocks || self.gave_up.load(Ordering::Relaxed))
            && self.freed() == self.seen_freed.load(Ordering::Relaxed)
        {
            return None;
        }
        let mut state = self.lock();
        if state.waiting.is_empty() {
            let chunk;
            (state, chunk) = self.try_take(state);
            if chunk.is_some() {
                return chunk;
            }
        }
        let nothing_to_wait_for = state.maps.is_empty() || self.stop.load(Ordering::Relaxed);
        drop(state);
        if !self.blocks || nothing_to_wait_for {
            return None;
        }
        if !self.recorder_lives() {
            self.gave_up.store(true, Ordering::Relaxed);
            return None;
        }
        let mut state = self.lock();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.waiting.push_back(ticket);
        drop(state);
        let waiting = self.control.word(words::WAITING);
        // Relaxed: a number for whoever wants to see it.
        waiting.fetch_add(1, Ordering::Relaxed);
        let (began, chunk) = (Instant::now(), self.wait(ticket));
        waiting.fetch_sub(1, Ordering::Relaxed);
        self.lock().waiting.retain(|t| *t != ticket);
        self.gave_up.store(chunk.is_none(), Ordering::Relaxed);
        chunk.map(|c| Chunk {
            waited_ns: began.elapsed().as_nanos() as u64,
            ..c
        })
    }

    /// Waits until it is this ticket's turn and there is a chunk.
    fn wait(&self, ticket: u64) -> Option<Chunk> {
        let (mut freed, mut since, mut steps) = (self.freed(), Instant::now(), 0u32);
        loop {
            std::thread::sleep(STEP);
            steps = steps.wrapping_add(1);
            let state = self.lock();
            // Those before it come first, but need not have woken up.
            let before = state.waiting.iter().take_while(|t| **t != ticket).count() as u64;
            if before == 0 || self.freed().saturating_sub(state.reused) > before {
                let (state, chunk) = self.try_take(state);
                drop(state);
                if chunk.is_some() {
                    return chunk;
                }
            }
            let stopped = self.stop.load(Ordering::Relaxed);
            if stopped || (steps.is_multiple_of(ASK_EVERY) && !self.recorder_lives()) {
                return None;
            }
            let now = self.freed();
            if now != freed || !self.recorder_works() {
                (freed, since) = (now, Instant::now());
            } else if since.elapsed() > PATIENCE {
                return None;
            }
        }
    }

    /// A chunk, if there is one; waits only for the thread that prepares, which is at work then.
    fn try_take<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
    ) -> (MutexGuard<'a, State>, Option<Chunk>) {
        loop {
            if let Some((segment, index)) = self.find_free(&mut state) {
                let chunk = self.hand_out(&state, segment, index);
                return (state, Some(chunk));
            }
            if let Some(segment) = state.current.filter(|_| state.next_chunk < CHUNKS) {
                state.next_chunk += 1;
                let chunk = self.hand_out(&state, segment, state.next_chunk - 1);
                return (state, Some(chunk));
            }
            if state.ahead {
                state.ahead = false;
                state.current = Some(state.maps.len() - 1);
                state.next_chunk = 0;
                self.prepared.notify_one();
                continue;
            }
            if state.full || self.stop.load(Ordering::Relaxed) {
                // Relaxed: see `take`.
                self.seen_freed.store(state.reused, Ordering::Relaxed);
                self.exhausted.store(true, Ordering::Relaxed);
                return (state, None);
            }
            // The writers outran the thread that prepares.
            drop(state);
            self.prepared.notify_one();
            std::thread::yield_now();
            state = self.lock();
        }
    }

    /// A chunk that the recorder has given back; its old header is gone.
    fn find_free(&self, state: &mut State) -> Option<(usize, usize)> {
        if self.freed() <= state.reused {
            return None;
        }
        let all = state.maps.len() * table::FREE_WORDS;
        for step in 0..all {
            let at = (state.scan + step) % all;
            let (segment, part) = (at / table::FREE_WORDS, at % table::FREE_WORDS);
            let bits = self.table.word(segment * table::WORDS + table::FREE + part);
            if let Some(bit) = protocol::find_free(bits) {
                let index = part * 64 + bit as usize;
                protocol::reclaim(
                    &ChunkHeader(state.maps[segment].at(index * CHUNK)),
                    bits,
                    bit,
                );
                state.reused += 1;
                state.scan = at;
                return Some((segment, index));
            }
        }
        None
    }

    fn hand_out(&self, state: &State, segment: usize, index: usize) -> Chunk {
        Chunk {
            at: state.maps[segment].at(index * CHUNK),
            handed_out: self.table.word(segment * table::WORDS + table::HANDED_OUT),
            waited_ns: 0,
        }
    }

    /// How many chunks the recorder has given back.
    fn freed(&self) -> u64 {
        // Acquire pairs with the release in `Attachment::give_back`: the bits are there.
        self.control.word(words::FREED).load(Ordering::Acquire)
    }

    fn recorder_lives(&self) -> bool {
        // Relaxed: two words of the recorder's, written once; a mixture of them names nobody.
        let pid = self.control.word(words::RECORDER).load(Ordering::Relaxed);
        let started = self.control.word(words::RECORDER_STARTED);
        u32::try_from(pid)
            .ok()
            .and_then(control::start_of)
            .is_some_and(|s| s == started.load(Ordering::Relaxed))
    }

    fn recorder_works(&self) -> bool {
        // Relaxed: a time, compared with now.
        let beat = self.control.word(words::HEARTBEAT).load(Ordering::Relaxed);
        clock::kernel_ns(libc::CLOCK_MONOTONIC).saturating_sub(beat) < FRESH_NS
    }
}

/// The header of a chunk that a writer has.
#[derive(Clone, Copy)]
pub(super) struct ChunkHeader(pub(super) *mut u8);

impl Header for ChunkHeader {
    #[inline(always)]
    fn word(&self, index: usize) -> &AtomicU64 {
        // SAFETY: it is the start of a chunk, aligned to its size, in a mapping that is never taken down; `index` is within the header,
        // whose words are only accessed as atomics.
        unsafe { &*self.0.cast::<AtomicU64>().add(index) }
    }
}
