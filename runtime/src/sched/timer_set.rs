//! The timers of one P: a heap, and timers that others may stop and move without touching it.
//!
//! # What is shared
//! - The heap has a lock. It is taken by who adds a timer (to the heap of its own P), and by who runs the due ones: the P itself, or a thief.
//! - A timer has a lock of its own, taken after the heap's. Stopping and moving a timer take that one only.
//! - `bits` of a timer, written under its lock, may be read without:
//!   ```text
//!    bit 0 HEAPED    it is in a heap
//!    bit 1 MODIFIED  its entry there has an old time
//!    bit 2 ZOMBIE    its entry is to be taken out: it is stopped, or nobody waits for its channel
//!   ```
//! - [`Gauges`] of a heap: when the earliest entry is due, the earliest time that a timer was moved to since, how many zombies there are.
//!
//! # Protocol
//! 1. Who stops a timer sets ZOMBIE; who moves one sets MODIFIED, *then* lowers `min_modified` of its heap to the new time, if that is
//!    earlier than its entry's; a later one is put right when the entry comes up.
//! 2. Who runs the heap, and sees `min_modified` reached, *first* takes it back to never, then looks at the bits of all timers and puts the
//!    entries right.
//!
//! *A timer moved earlier is overlooked*: A moves a timer while B puts the entries right, B has passed that one already, and its time is lost
//! when B takes `min_modified` back. It is not: if A lowers `min_modified` before B takes it back, then B sees A's bit, which was set before;
//! if after, the time stays there. Both are read-modify-writes of one word, so one of them is first, and the second acquires from it.
//!
//! # Timers of channels
//! Such a timer is in a heap only while somebody waits for its channel (`blocked`). Else it is looked at when somebody looks at the channel
//! ([`Timer::look`]), so a timer that is forgotten costs nothing and is freed with its channel. `seq` counts its changes: what it was about
//! to put into the channel when it was stopped or moved is not put there any more ([`Timer::may_send`]).
//!
//! This file knows no P, no G and no clock, so the model checker runs it as it is (`sched/models/timers.rs`).

use std::sync::{Arc, PoisonError};

use super::tidy::drop_for_others;
use crate::shim::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Mutex, MutexGuard, Ordering};
use crate::timer::TimerHeap;

/// No time at all: of a heap without entries.
pub(crate) const NEVER: u64 = u64::MAX;

/// The latest time there is, in ns: 292 years. Later ones are cut to it. Go: `maxWhen`.
pub(crate) const MAX_WHEN: u64 = i64::MAX as u64;

/// Of a timer that is not to fire.
const UNARMED: u64 = 0;

const HEAPED: u32 = 1;
const MODIFIED: u32 = 2;
const ZOMBIE: u32 = 4;

/// Entries from which on adding one rids a heap of its zombies, if they are more than a quarter.
const COMPACT_FROM: usize = 64;

/// What is known of a heap without its lock.
struct Gauges {
    /// When its earliest entry is due. Written under the heap's lock.
    min_heap: AtomicU64,
    /// The earliest time that a timer was moved to since the entries were put right.
    min_modified: AtomicU64,
    /// Its entries. Written under the heap's lock.
    len: AtomicUsize,
    /// How many of them are zombies. Written under the timers' locks.
    zombies: AtomicUsize,
}

/// A timer that can be stopped and moved.
pub(crate) struct Timer<A> {
    bits: AtomicU32,
    state: Mutex<State>,
    /// Whether it fills a channel.
    is_chan: bool,
    /// What it is to do.
    pub(crate) action: A,
}

/// What is behind a timer's lock.
struct State {
    /// When it fires next, in ns.
    when: u64,
    /// Time between two firings; 0 = it fires once.
    period: u64,
    /// Changes so far.
    seq: u64,
    /// The time of the last firing that went into its channel since the last change; 0 = none did.
    sent: u64,
    /// How many wait for its channel.
    blocked: u32,
    /// Firings that are on their way to its channel; not counted when it has a period.
    sending: u32,
    /// The heap it is in.
    home: Option<Arc<Gauges>>,
    /// The time of its entry there.
    entry_when: u64,
}

/// A firing that is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Firing {
    /// When it was to be.
    pub(crate) when: u64,
    seq: u64,
    once: bool,
}

/// What is still to be done after a change of a timer, by who made it.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// Whether the timer was to fire before.
    pub(crate) pending: bool,
    /// Whether it has to be added to a heap: [`TimerSet::add`].
    pub(crate) add: bool,
    /// When somebody has to be awake for the heap it is in.
    pub(crate) wake: Option<u64>,
}

impl<A> Timer<A> {
    /// One that is not to fire yet.
    pub(crate) fn new(action: A, is_chan: bool) -> Timer<A> {
        Timer {
            bits: AtomicU32::new(0),
            state: Mutex::new(State {
                when: UNARMED,
                period: 0,
                seq: 0,
                sent: 0,
                blocked: 0,
                sending: 0,
                home: None,
                entry_when: UNARMED,
            }),
            is_chan,
            action,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bits(&self) -> u32 {
        // Acquire pairs with the release in `set_bits`; where the lock is held it needs none.
        self.bits.load(Ordering::Acquire)
    }

    /// Under the lock.
    fn set_bits(&self, bits: u32) {
        // Release: who sees the bit without the lock takes the lock next; it only must not be later than `min_modified`, which is lowered
        // with release after it.
        self.bits.store(bits, Ordering::Release);
    }

    /// Whether it has to be in a heap, if it is to fire at all.
    fn is_wanted(&self, state: &State) -> bool {
        state.when != UNARMED && (!self.is_chan || state.blocked > 0)
    }

    /// Under the lock: brings the entry in a heap in line with the state, if there is one; says what else is to be done.
    fn settle(&self, state: &State) -> Change {
        let bits = self.bits();
        let wanted = self.is_wanted(state);
        let Some(home) = state.home.as_deref().filter(|_| bits & HEAPED != 0) else {
            return Change {
                add: wanted,
                ..Change::default()
            };
        };
        match (wanted, bits & ZOMBIE != 0) {
            // Relaxed: a statistic; who acts on it looks at each entry itself.
            (true, true) => _ = home.zombies.fetch_sub(1, Ordering::Relaxed),
            (false, false) => _ = home.zombies.fetch_add(1, Ordering::Relaxed),
            (true, false) | (false, true) => {}
        }
        if !wanted {
            self.set_bits(HEAPED | MODIFIED | ZOMBIE);
            return Change::default();
        }
        if state.when == state.entry_when {
            self.set_bits(HEAPED);
            return Change::default();
        }
        self.set_bits(HEAPED | MODIFIED);
        if state.when > state.entry_when {
            // Its entry comes up before it is due, and is moved then.
            return Change::default();
        }
        // AcqRel against `revise` (see the module header). SeqCst: who is about to block reads it after it stopped spinning and released its
        // P; who moves a timer writes it and then looks for spinners and for the poller. One of the two sees the other.
        let before = home.min_modified.fetch_min(state.when, Ordering::SeqCst);
        Change {
            wake: (state.when < before).then_some(state.when),
            ..Change::default()
        }
    }

    /// Sets it to fire at `when`, and every `period` after, if that is not 0. For a channel's timer the channel is locked. Go: `modify`.
    pub(crate) fn modify(&self, when: u64, period: u64) -> Change {
        let mut state = self.lock();
        let pending = self.change(&mut state);
        state.when = when.clamp(1, MAX_WHEN);
        state.period = period;
        Change {
            pending,
            ..self.settle(&state)
        }
    }

    /// Makes it not fire; whether it was to fire. For a channel's timer the channel is locked. Go: `stop`.
    pub(crate) fn stop(&self) -> bool {
        let mut state = self.lock();
        let pending = self.change(&mut state);
        state.when = UNARMED;
        // Nothing has to be added, and nobody woken, for a timer that does not fire.
        let _ = self.settle(&state);
        pending
    }

    /// Whether it was to fire before a change that is about to be made, or is about to now: then it does not.
    fn change(&self, state: &mut State) -> bool {
        state.seq += 1;
        state.sent = 0;
        state.when != UNARMED || (state.period == 0 && state.sending > 0)
    }

    /// Under both locks: its entry is taken out of the heap.
    fn leave(&self, state: &mut State) {
        state.home = None;
        self.set_bits(0);
    }

    /// Somebody begins to wait for its channel. Go: `blockTimerChan`.
    pub(crate) fn block(&self) -> Change {
        let mut state = self.lock();
        state.blocked += 1;
        self.settle(&state)
    }

    /// That wait is over. Go: `unblockTimerChan`.
    pub(crate) fn unblock(&self) {
        let mut state = self.lock();
        state.blocked -= 1;
        let _ = self.settle(&state);
    }

    /// Somebody is about to look at its channel: if it is due and no heap takes care of it, it fires now. The channel is not locked. Go:
    /// `maybeRunChan`.
    pub(crate) fn look(&self, now: impl FnOnce() -> u64) -> Option<Firing> {
        if self.bits() & (HEAPED | ZOMBIE) == HEAPED {
            return None;
        }
        let mut state = self.lock();
        if self.bits() & (HEAPED | ZOMBIE) == HEAPED || state.when == UNARMED {
            return None;
        }
        let now = now();
        (state.when <= now).then(|| self.fire(&mut state, now))
    }

    /// Under the lock: it is due.
    fn fire(&self, state: &mut State, now: u64) -> Firing {
        let when = state.when;
        state.when = match state.period {
            0 => UNARMED,
            // Missed firings are dropped, the phase is kept.
            period => {
                let late = now.saturating_sub(when);
                when.saturating_add(period.saturating_mul(1 + late / period))
                    .min(MAX_WHEN)
            }
        };
        let once = state.period == 0;
        if self.is_chan && once {
            state.sending += 1;
        }
        Firing {
            when,
            seq: state.seq,
            once,
        }
    }

    /// Whether a firing still counts: its timer was neither stopped nor moved since. Called once for each firing of a channel's timer, when
    /// the channel is locked: who changes the timer locks it too, so nothing is put there after a change that was made before it.
    ///
    /// *A tick overtakes another*: A takes a firing out of the heap and loses its CPU; B takes the next and fills the channel; then A goes on.
    /// The older one does not count any more, so that the times that are received only grow.
    pub(crate) fn may_send(&self, firing: Firing) -> bool {
        let mut state = self.lock();
        if firing.once {
            state.sending -= 1;
        }
        let counts = state.seq == firing.seq && firing.when > state.sent;
        if counts {
            state.sent = firing.when;
        }
        counts
    }
}

/// An entry of a heap.
enum Entry<W, A> {
    /// Fires for certain.
    Plain(W),
    /// Fires if the timer says so.
    Timer(Arc<Timer<A>>),
}

/// A timer that is due, out of the heap's hands.
pub(crate) enum Due<W, A> {
    /// When it was to fire, and what was added.
    Plain(u64, W),
    /// A timer that fires.
    Timer(Arc<Timer<A>>, Firing),
}

/// The timers of one P.
pub(crate) struct TimerSet<W, A> {
    heap: Mutex<TimerHeap<Entry<W, A>>>,
    /// Whether it is abandoned. Written and read under the lock.
    closed: AtomicBool,
    gauges: Arc<Gauges>,
}

/// The runtime of a heap has ended: it takes nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed;

impl<W, A> TimerSet<W, A> {
    /// None.
    pub(crate) fn new() -> TimerSet<W, A> {
        TimerSet {
            heap: Mutex::new(TimerHeap::new()),
            closed: AtomicBool::new(false),
            gauges: Arc::new(Gauges {
                min_heap: AtomicU64::new(NEVER),
                min_modified: AtomicU64::new(NEVER),
                len: AtomicUsize::new(0),
                zombies: AtomicUsize::new(0),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, TimerHeap<Entry<W, A>>> {
        self.heap.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Under the lock.
    fn is_open(&self) -> Result<(), Closed> {
        // Relaxed: the lock orders it.
        match self.closed.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(Closed),
        }
    }

    /// When the earliest is due; [`NEVER`] when there is none. It may be due later, or not at all, if one was stopped or moved.
    /// Go: `wakeTime`.
    pub(crate) fn next_when(&self) -> u64 {
        // SeqCst: see `settle` and `publish`. The modified one first: it is taken back only after its time is in the other.
        let modified = self.gauges.min_modified.load(Ordering::SeqCst);
        modified.min(self.gauges.min_heap.load(Ordering::SeqCst))
    }

    /// Entries, stopped ones included, as of some moment.
    pub(crate) fn len(&self) -> usize {
        // Relaxed: a statistic.
        self.gauges.len.load(Ordering::Relaxed)
    }

    /// Whether more than a quarter of the entries are of timers that do not fire.
    pub(crate) fn has_many_zombies(&self) -> bool {
        // Relaxed: as `len`.
        self.gauges.zombies.load(Ordering::Relaxed) > self.len() / 4
    }

    fn publish(&self, heap: &TimerHeap<Entry<W, A>>) {
        // SeqCst: who is about to block reads this after it stopped spinning and released its P; who adds a timer writes it and then
        // looks for spinners and for the poller. One of the two sees the other (the same argument as for run queues).
        self.gauges
            .min_heap
            .store(heap.next_when().unwrap_or(NEVER), Ordering::SeqCst);
        // Relaxed: a statistic.
        self.gauges.len.store(heap.len(), Ordering::Relaxed);
    }

    /// Adds an entry that fires for certain; `true` if it is the earliest now.
    pub(crate) fn add_plain(&self, when: u64, waiter: W) -> Result<bool, Closed> {
        let mut removed = Removed::new();
        let mut heap = self.lock();
        self.is_open()?;
        let earliest = when < self.next_when();
        self.push(&mut heap, when, Entry::Plain(waiter), &mut removed);
        Ok(earliest)
    }

    /// Adds a timer, if it still has to be in a heap; when somebody has to be awake for it, if it is the earliest now. `note` is called under
    /// the timer's lock if it is added. Go: `maybeAdd`.
    pub(crate) fn add(
        &self,
        timer: &Arc<Timer<A>>,
        note: impl FnOnce(&A),
    ) -> Result<Option<u64>, Closed> {
        let mut removed = Removed::new();
        let mut heap = self.lock();
        self.is_open()?;
        let mut state = timer.lock();
        if timer.bits() & HEAPED != 0 || !timer.is_wanted(&state) {
            return Ok(None);
        }
        timer.set_bits(HEAPED);
        note(&timer.action);
        state.home = Some(Arc::clone(&self.gauges));
        state.entry_when = state.when;
        let when = state.when;
        drop(state);
        let earliest = when < self.next_when();
        let entry = Entry::Timer(Arc::clone(timer));
        self.push(&mut heap, when, entry, &mut removed);
        Ok(earliest.then_some(when))
    }

    fn push(
        &self,
        heap: &mut TimerHeap<Entry<W, A>>,
        when: u64,
        entry: Entry<W, A>,
        removed: &mut Removed<W, A>,
    ) {
        if heap.len() >= COMPACT_FROM && self.has_many_zombies() {
            self.revise(heap, removed);
        }
        heap.add(when.min(MAX_WHEN), entry);
        self.publish(heap);
    }

    /// Puts all entries right. Go: `adjust`.
    fn revise(&self, heap: &mut TimerHeap<Entry<W, A>>, removed: &mut Removed<W, A>) {
        if self.is_open().is_err() {
            // Its timers may be in other heaps by now, with bits that are about those.
            return;
        }
        // Its time is in `min_heap` before it is taken back, so no reader misses it.
        self.gauges
            .min_heap
            .store(self.next_when(), Ordering::SeqCst);
        // AcqRel against `settle` (see the module header).
        self.gauges.min_modified.swap(NEVER, Ordering::SeqCst);
        let keep = |when: &mut u64, entry: &Entry<W, A>| match entry {
            Entry::Plain(_) => true,
            Entry::Timer(timer) => {
                if timer.bits() & (MODIFIED | ZOMBIE) == 0 {
                    return true;
                }
                match self.tidy(timer, &mut timer.lock()) {
                    Some(at) => *when = at,
                    None => return false,
                }
                true
            }
        };
        heap.revise(keep, |entry| removed.0.push(entry));
        self.publish(heap);
    }

    /// Under both locks: the time that a timer's entry is to have; none if the entry is to be taken out.
    fn tidy(&self, timer: &Timer<A>, state: &mut State) -> Option<u64> {
        if timer.bits() & ZOMBIE != 0 {
            // Relaxed: a statistic.
            self.gauges.zombies.fetch_sub(1, Ordering::Relaxed);
            timer.leave(state);
            return None;
        }
        timer.set_bits(HEAPED);
        state.entry_when = state.when;
        Some(state.when)
    }

    /// Puts all entries right if more than a quarter are of no use. The P itself does it now and then.
    pub(crate) fn compact(&self) {
        if self.has_many_zombies() {
            let mut removed = Removed::new();
            self.revise(&mut self.lock(), &mut removed);
        }
    }

    /// Takes the earliest timer out that is due at `now`; one with a period stays in, for its next time. Go: `check`, `run`.
    pub(crate) fn take_due(&self, now: u64) -> Option<Due<W, A>> {
        let mut removed = Removed::new();
        let mut heap = self.lock();
        self.is_open().ok()?;
        // SeqCst: as in `next_when`.
        if self.gauges.min_modified.load(Ordering::SeqCst) <= now {
            self.revise(&mut heap, &mut removed);
        }
        let due = self.first_due(&mut heap, now, &mut removed);
        self.publish(&heap);
        due
    }

    fn first_due(
        &self,
        heap: &mut TimerHeap<Entry<W, A>>,
        now: u64,
        removed: &mut Removed<W, A>,
    ) -> Option<Due<W, A>> {
        loop {
            let (when, entry) = heap.first()?;
            let Entry::Timer(timer) = entry else {
                if when > now {
                    return None;
                }
                break;
            };
            let timer = Arc::clone(timer);
            let mut state = timer.lock();
            if timer.bits() & (MODIFIED | ZOMBIE) != 0 {
                match self.tidy(&timer, &mut state) {
                    Some(at) => heap.move_first(at),
                    None => removed.0.extend(heap.pop_first().map(|(_, entry)| entry)),
                }
                continue;
            }
            if state.when > now {
                return None;
            }
            let firing = timer.fire(&mut state, now);
            if state.when == UNARMED {
                timer.leave(&mut state);
                heap.pop_first();
            } else {
                state.entry_when = state.when;
                heap.move_first(state.when);
            }
            drop(state);
            return Some(Due::Timer(timer, firing));
        }
        match heap.pop_first()? {
            (when, Entry::Plain(waiter)) => Some(Due::Plain(when, waiter)),
            (_, Entry::Timer(_)) => unreachable!("the first entry is a plain one"),
        }
    }

    /// Moves all entries to another heap: this one's P is no more. The world is stopped, so nobody moves the other way; timers may be
    /// stopped and moved meanwhile. Those that are in no heap afterwards go to `removed`.
    pub(crate) fn move_to(&self, other: &TimerSet<W, A>, removed: &mut Removed<W, A>) {
        let mut heap = self.lock();
        let mut heir = other.lock();
        while let Some((when, entry)) = heap.pop_first() {
            let mut at = when;
            if let Entry::Timer(timer) = &entry {
                let mut state = timer.lock();
                match self.tidy(timer, &mut state) {
                    Some(now) => at = now,
                    None => {
                        drop(state);
                        removed.0.push(entry);
                        continue;
                    }
                }
                state.home = Some(Arc::clone(&other.gauges));
            }
            heir.add(at, entry);
        }
        self.gauges.min_modified.store(NEVER, Ordering::SeqCst);
        self.publish(&heap);
        other.publish(&heir);
    }

    /// The runtime of this heap has ended, and nothing in it fires any more: its timers are stopped, and belong to no heap, so that they can be
    /// set in another runtime. The entries stay where they are: they may be the user's to drop, and there is no G any more that could. Nothing
    /// is added any more: code of that runtime may still run in calls that nobody waits for.
    pub(crate) fn abandon(&self) {
        let heap = self.lock();
        // Relaxed: the lock orders it.
        self.closed.store(true, Ordering::Relaxed);
        for entry in heap.actions() {
            if let Entry::Timer(timer) = entry {
                let mut state = timer.lock();
                timer.leave(&mut state);
                // A channel's goes on for who looks at the channel.
                if !timer.is_chan {
                    state.when = UNARMED;
                }
            }
        }
    }
}

/// Entries that were taken out of a heap. Declared before the guard of the heap's lock, and so dropped after it: the last of a timer may
/// be the user's to drop (`retire`).
pub(crate) struct Removed<W, A>(Vec<Entry<W, A>>);

impl<W, A> Removed<W, A> {
    /// None.
    pub(crate) fn new() -> Removed<W, A> {
        Removed(Vec::new())
    }
}

impl<W, A> Drop for Removed<W, A> {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            drop_for_others(std::mem::take(&mut self.0));
        }
    }
}

#[cfg(all(test, loom))]
#[path = "models/timers.rs"]
mod models;

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    type Set = TimerSet<usize, usize>;

    fn due(set: &Set, now: u64) -> Option<(usize, u64)> {
        match set.take_due(now)? {
            Due::Plain(when, waiter) => Some((waiter, when)),
            Due::Timer(timer, firing) => Some((timer.action, firing.when)),
        }
    }

    fn set_to(set: &Set, timer: &Arc<Timer<usize>>, when: u64, period: u64) -> bool {
        let change = timer.modify(when, period);
        if change.add {
            set.add(timer, |_| ()).expect("open");
        }
        change.pending
    }

    #[test]
    fn missed_firings_are_dropped_and_the_phase_is_kept() {
        let (set, timer) = (Set::new(), Arc::new(Timer::new(1, false)));
        set_to(&set, &timer, 100, 10);
        assert_eq!(due(&set, 99), None);
        assert_eq!(due(&set, 137), Some((1, 100)));
        assert_eq!(due(&set, 137), None);
        assert_eq!(set.next_when(), 140);
        assert_eq!(due(&set, 140), Some((1, 140)));
        assert_eq!(set.next_when(), 150);
    }

    /// The first firing is on its way when the second overtakes it.
    #[test]
    fn a_tick_that_was_overtaken_is_dropped() {
        let (set, timer) = (Set::new(), Arc::new(Timer::new(1, true)));
        let change = timer.modify(100, 10);
        assert!(!change.add && timer.block().add && set.add(&timer, |_| ()) == Ok(Some(100)));
        let fire = |now| match set.take_due(now) {
            Some(Due::Timer(_, firing)) => firing,
            _ => panic!("nothing is due at {now}"),
        };
        let (first, second) = (fire(104), fire(113));
        assert_eq!((first.when, second.when), (100, 110));
        assert!(timer.may_send(second) && !timer.may_send(first));
        // What it was set to before says nothing of what it is set to now.
        assert!(timer.modify(105, 10).pending);
        assert!(timer.may_send(fire(105)));
    }

    #[test]
    fn the_next_time_of_a_long_period_is_cut() {
        let (set, timer) = (Set::new(), Arc::new(Timer::new(1, false)));
        set_to(&set, &timer, u64::MAX, u64::MAX);
        assert_eq!(set.next_when(), MAX_WHEN);
        set_to(&set, &timer, 5, MAX_WHEN);
        assert_eq!(due(&set, 7), Some((1, 5)));
        assert_eq!(due(&set, MAX_WHEN - 1), None);
        assert_eq!(set.next_when(), MAX_WHEN);
    }

    #[test]
    fn stopped_timers_are_taken_out_when_they_are_many() {
        let set = Set::new();
        let timers: Vec<_> = (0..100).map(|i| Arc::new(Timer::new(i, false))).collect();
        for timer in &timers {
            set_to(&set, timer, 1_000, 0);
        }
        timers[..25].iter().for_each(|t| assert!(t.stop()));
        set.compact();
        assert_eq!(set.len(), 100, "a quarter is not many");
        assert!(timers[25].stop());
        set.compact();
        assert_eq!(set.len(), 74);
        // One that was taken out can be set again.
        assert!(!set_to(&set, &timers[0], 10, 0));
        assert_eq!(due(&set, 10), Some((0, 10)));
    }

    #[test]
    fn a_timer_of_an_abandoned_heap_can_be_set_in_another() {
        let (ended, set) = (Set::new(), Set::new());
        let (timer, ticker) = (
            Arc::new(Timer::new(1, false)),
            Arc::new(Timer::new(2, true)),
        );
        assert!(!set_to(&ended, &timer, 10, 0));
        assert!(!set_to(&ended, &ticker, 20, 5));
        assert!(ticker.block().add && ended.add(&ticker, |_| ()) == Ok(None));
        ended.abandon();
        assert!(!timer.stop(), "it was to fire no more");
        assert!(!set_to(&set, &timer, 30, 0));
        // Whoever waited for its channel in the runtime that ended does so for ever; this is another.
        assert!(ticker.block().add && set.add(&ticker, |_| ()) == Ok(Some(20)));
        assert_eq!(due(&set, 20), Some((2, 20)));
        assert_eq!(due(&set, 25), Some((2, 25)));
        assert_eq!(due(&set, 30), Some((1, 30)));
        assert_eq!(due(&set, 30), Some((2, 30)));
        // What looks at the heap that is over finds nothing, and changes no timer that is elsewhere now.
        assert_eq!(due(&ended, 1_000), None);
        assert!(timer.modify(40, 0).add && set.add(&timer, |_| ()) == Ok(None));
        assert_eq!(ended.add(&timer, |_| ()), Err(Closed));
        assert_eq!(ended.add_plain(1, 3), Err(Closed));
    }

    #[test]
    fn a_channels_timer_is_in_a_heap_while_somebody_waits() {
        let (set, timer) = (Set::new(), Arc::new(Timer::new(1, true)));
        assert!(!set_to(&set, &timer, 10, 0));
        assert_eq!(set.len(), 0);
        assert!(timer.block().add && set.add(&timer, |_| ()) == Ok(Some(10)));
        timer.unblock();
        set.compact();
        assert_eq!(set.len(), 0);
        assert_eq!(timer.look(|| 9), None);
        let firing = timer.look(|| 10).expect("it is due");
        // Stopped on the way: it counts as stopped, and is not to be put into the channel.
        assert!(timer.stop());
        assert!(!timer.may_send(firing));
        assert!(!timer.stop());
    }

    proptest! {
        /// Timers of one heap, each at one time at most, against a map from timer to time.
        #[test]
        fn behaves_like_a_map_of_times(steps in proptest::collection::vec((0..5u8, 0..40usize, 1..200u64), 0..300)) {
            let (set, other) = (Set::new(), Set::new());
            let timers: Vec<_> = (0..40).map(|i| Arc::new(Timer::new(i, false))).collect();
            let mut model: BTreeMap<usize, u64> = BTreeMap::new();
            let mut now = 0;
            for (step, i, t) in steps {
                match step {
                    0 | 1 => prop_assert_eq!(set_to(&set, &timers[i], now + t, 0), model.insert(i, now + t).is_some()),
                    2 => prop_assert_eq!(timers[i].stop(), model.remove(&i).is_some()),
                    3 => {
                        // Through another heap and back.
                        let mut removed = Removed::new();
                        set.move_to(&other, &mut removed);
                        other.move_to(&set, &mut removed);
                    }
                    _ => {
                        now += t / 4;
                        while let Some((fired, when)) = due(&set, now) {
                            prop_assert_eq!(model.remove(&fired), Some(when));
                            // None that is left was to fire before.
                            prop_assert!(model.values().all(|w| *w >= when));
                        }
                        prop_assert!(model.values().all(|w| *w > now));
                    }
                }
                if let Some(first) = model.values().min() {
                    prop_assert!(set.next_when() <= *first, "a timer would be late");
                }
            }
        }
    }
}
