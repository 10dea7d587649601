//! The run queues with what is in them, rebuilt from the events alone.
//!
//! Each event that puts a G somewhere says where, and each that takes Gs says how many from where; the contents follow. A take of other
//! Gs than those that must be there is a contradiction: the trace or the runtime is wrong. So is a length that differs from the one that the
//! runtime read from its own queue and put into the event: that of the global queue at each grab, and of a whole queue when its P goes out
//! of use. (What a thief saw of its victim's ring is no such length: Gs that it did not take may be recorded after the steal.) So are the
//! positions of the rings' heads and the numbers of the global queue's operations, which go on without a gap.
//!
//! Where events are missing, the content of a queue is in doubt until an event proves it: a status that finds it empty, or a take of a G that
//! was put there since. What is in doubt is estimated, and contradicts nothing.

use std::collections::{BTreeMap, VecDeque};

use crate::event::{Event, Placed, Source, StealFrom};
use crate::ids::{GId, PId};

/// A run queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Queue {
    /// The ring of a P with its runnext.
    Local(PId),
    /// The global queue.
    Global,
}

/// Who did what happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// The P whose queue the event is about: that of the emitting M, unless the event names another.
    pub p: Option<PId>,
    /// The G that runs on the emitting M.
    pub running: GId,
}

/// Is told what becomes of the queues.
pub trait Watch {
    /// A queue has this length now.
    fn length(&mut self, _queue: Queue, _len: u32) {}
    /// The event says other than the events before it.
    fn contradiction(&mut self, what: impl FnOnce() -> String);
}

/// An event on its way.
struct Step<'a, W> {
    at: At,
    now: Now,
    watch: &'a mut W,
}

/// Whether events are missing, and how often that began.
#[derive(Clone, Copy, Debug, Default)]
struct Now {
    lossy: bool,
    epoch: u32,
}

/// Something that is certain until events are missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Known<T> {
    value: T,
    epoch: u32,
    unknown: bool,
}

impl<T: Copy> Known<T> {
    /// What it is, if that is certain.
    fn get(&self, now: Now) -> Option<T> {
        (!now.lossy && !self.unknown && self.epoch == now.epoch).then_some(self.value)
    }

    fn set(&mut self, value: T, now: Now) {
        (self.value, self.epoch, self.unknown) = (value, now.epoch, now.lossy);
    }
}

/// A queue, the oldest first, and how much of its end was put there since events were last missing; `()` stands for all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Line {
    gs: VecDeque<GId>,
    /// Whether nothing else is in it.
    whole: Known<()>,
    fresh: Known<usize>,
}

impl Line {
    fn fresh(&self, now: Now) -> usize {
        self.fresh.get(now).unwrap_or(0).min(self.gs.len())
    }

    fn push(&mut self, g: GId, now: Now) {
        let fresh = self.fresh(now);
        self.gs.push_back(g);
        self.fresh.set(fresh + 1, now);
    }

    fn is_whole(&self, now: Now) -> bool {
        self.whole.get(now).is_some()
    }

    /// It is empty for certain.
    fn clear(&mut self, now: Now) {
        self.gs.clear();
        self.fresh.set(0, now);
        self.whole.set((), now);
    }

    /// Takes `n` Gs from the front; the first must be `first`.
    fn take<W: Watch>(
        &mut self,
        now: Now,
        watch: &mut W,
        first: GId,
        n: u32,
        name: impl FnOnce() -> String,
    ) -> Vec<GId> {
        let n = n as usize;
        if self.is_whole(now) {
            let front = self.gs.front().copied();
            if front != Some(first) || self.gs.len() < n {
                let len = self.gs.len();
                watch.contradiction(|| {
                    let taken = match n {
                        1 => format!("{first} is taken"),
                        n => format!("{n} Gs are taken, {first} first,"),
                    };
                    let there = match (front, len) {
                        (None, _) => "nothing is".to_owned(),
                        (Some(front), 1) => format!("only {front} is"),
                        (Some(front), len) => format!("{len} Gs are, {front} first"),
                    };
                    format!("{taken} from the {}, where {there}", name())
                });
            }
            return self.gs.drain(..n.min(self.gs.len())).collect();
        }
        let (len, fresh) = (self.gs.len(), self.fresh(now));
        match self.gs.iter().position(|g| *g == first) {
            Some(at) => {
                // Those before it were taken by an event that is missing.
                self.gs.drain(..at);
                // Of what was put there since nothing is missing.
                if at >= len - fresh && !now.lossy {
                    self.whole.set((), now);
                }
                self.gs.drain(..n.min(self.gs.len())).collect()
            }
            None => self.gs.drain(..n.min(len - fresh)).collect(),
        }
    }

    /// As [`Line::take`], but only of those that `wanted` picks; the others stay.
    fn take_some<W: Watch>(
        &mut self,
        now: Now,
        watch: &mut W,
        first: GId,
        n: u32,
        wanted: impl Fn(&GId) -> bool,
        name: impl FnOnce() -> String,
    ) -> Vec<GId> {
        let begin = match self.is_whole(now) {
            true => 0,
            // Those before it may have been taken by an event that is missing.
            false => self
                .gs
                .iter()
                .position(|g| *g == first)
                .unwrap_or(self.gs.len()),
        };
        let picked = self
            .gs
            .iter()
            .enumerate()
            .skip(begin)
            .filter(|(_, g)| wanted(g));
        let at: Vec<usize> = picked.map(|(at, _)| at).take(n as usize).collect();
        let front = at.first().map(|at| self.gs[*at]);
        if self.is_whole(now) && (front != Some(first) || at.len() < n as usize) {
            let found = at.len();
            watch.contradiction(|| {
                let there = there(front);
                format!("{n} Gs are taken, {first} first, from the {}, where {found} of them are and {there} first", name())
            });
        }
        let stale = self.gs.len() - self.fresh(now);
        let fresh = self.fresh(now) - at.iter().filter(|at| **at >= stale).count();
        let end = at.last().map_or(0, |at| at + 1);
        let mut next = at.into_iter().peekable();
        let (mut taken, mut stay) = (Vec::new(), Vec::new());
        for (i, g) in self.gs.drain(..end).enumerate() {
            match next.next_if_eq(&i) {
                Some(_) => taken.push(g),
                None => stay.push(g),
            }
        }
        for g in stay.into_iter().rev() {
            self.gs.push_front(g);
        }
        self.fresh.set(fresh, now);
        taken
    }

    /// Takes the last one, which must be `g`.
    fn take_last<W: Watch>(
        &mut self,
        now: Now,
        watch: &mut W,
        g: GId,
        name: impl FnOnce() -> String,
    ) {
        let (len, fresh) = (self.gs.len(), self.fresh(now));
        let last = self.gs.back().copied();
        if self.is_whole(now) {
            if last != Some(g) {
                watch.contradiction(|| {
                    format!("{g} is taken from the {}, where {}", name(), there(last))
                });
            }
            self.gs.pop_back();
            self.fresh.set(fresh.saturating_sub(1), now);
        } else if let Some(at) = self.gs.iter().rposition(|other| *other == g) {
            // Those behind it were taken by an event that is missing.
            self.gs.truncate(at);
            self.fresh.set(fresh.saturating_sub(len - at), now);
        }
    }
}

/// The queue of a P.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Local {
    /// The G that runs next.
    pub runnext: Option<GId>,
    runnext_known: Known<()>,
    ring: Line,
    /// The position of the ring's head.
    head: Known<u32>,
}

impl Local {
    /// Gs in it, runnext included.
    pub fn len(&self) -> u32 {
        self.ring.gs.len() as u32 + u32::from(self.runnext.is_some())
    }

    /// The others, the oldest first.
    pub fn ring(&self) -> &VecDeque<GId> {
        &self.ring.gs
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// All run queues of a process.
#[derive(Debug, Default)]
pub struct Queues {
    locals: BTreeMap<PId, Local>,
    global: Line,
    /// The number of the last operation on the global queue.
    operations: Known<u64>,
    /// Those of the global queue, or on their way into it, that are meant for a P.
    meant: BTreeMap<GId, PId>,
    now: Now,
}

impl Queues {
    /// The queue of a P, if anything was ever put there.
    pub fn local(&self, p: PId) -> Option<&Local> {
        self.locals.get(&p)
    }

    /// The global queue, the oldest first.
    pub fn global(&self) -> &VecDeque<GId> {
        &self.global.gs
    }

    /// Events were missing since the last one.
    pub fn doubt(&mut self) {
        self.now.epoch += 1;
    }

    /// Applies the next event of the history. `lossy`: events may be missing before it.
    pub fn event(&mut self, at: At, event: &Event, lossy: bool, watch: &mut impl Watch) {
        self.now.epoch += u32::from(lossy && !self.now.lossy);
        self.now.lossy = lossy;
        let now = self.now;
        let step = &mut Step { at, now, watch };
        self.operation(step, event);
        match *event {
            Event::Spawn {
                g,
                placed,
                kicked,
                gq,
                ..
            }
            | Event::Ready {
                g,
                placed,
                kicked,
                gq,
                ..
            } => self.put(step, g, placed, kicked, gq),
            Event::Preempt {
                placed, kicked, gq, ..
            } => self.put(step, at.running, placed, kicked, gq),
            Event::Yield { placed, gq } | Event::SyscallExitBlocked { placed, gq } => {
                self.put(step, at.running, placed, GId::NONE, gq);
            }
            Event::Start { g, source, pos, .. } => self.start(step, g, source, pos),
            Event::Steal {
                victim,
                g,
                n,
                from,
                pos,
                ..
            } => self.steal(step, victim, g, n, from, pos),
            Event::Overflow { g, n, pos, .. } => {
                let Some(p) = at.p else { return };
                for g in self.take_ring(step, p, g, n, pos) {
                    self.global.push(g, now);
                }
                self.tell_local(step, p);
                self.tell_global(step);
            }
            Event::GlobalGrab { g, n, len, .. } => {
                let known = self.global.gs.len() as u32;
                if known != len && self.global.is_whole(now) {
                    step.watch.contradiction(|| {
                        format!("the global queue holds {len} Gs, by the events {known}")
                    });
                }
                let taken = self.take_global(step, g, n);
                if n == len && !lossy && !self.global.is_whole(now) {
                    self.global.clear(now);
                }
                self.tell_global(step);
                self.push_rest(step, taken.into_iter().skip(1), n);
            }
            Event::Assign { p, g } => {
                self.meant.insert(g, p);
            }
            Event::Drain {
                p, n, runnext, pos, ..
            } => self.drain(step, p, n, runnext, pos),
            Event::PStatus {
                p,
                head,
                tail,
                runnext,
                ..
            } => {
                let local = self.locals.entry(p).or_default();
                local.runnext = runnext.is_some().then_some(runnext);
                local.runnext_known.set((), now);
                local.head.set(head, now);
                if head == tail {
                    local.ring.clear(now);
                }
                self.tell_local(step, p);
            }
            _ => {}
        }
    }

    /// The operations on the global queue are numbered.
    fn operation<W: Watch>(&mut self, step: &mut Step<'_, W>, event: &Event) {
        let gq = global_operation(event);
        if gq == 0 {
            return;
        }
        if let Some(last) = self.operations.get(step.now)
            && last.checked_add(1) != Some(gq)
        {
            step.watch.contradiction(|| {
                format!("operation {gq} on the global queue comes after operation {last}")
            });
        }
        self.operations.set(gq, step.now);
    }

    fn put<W: Watch>(
        &mut self,
        step: &mut Step<'_, W>,
        g: GId,
        placed: Placed,
        kicked: GId,
        gq: u64,
    ) {
        match (placed, step.at.p) {
            (Placed::Direct, _) => {}
            (Placed::Global, _) => {
                self.global.push(g, step.now);
                self.tell_global(step);
            }
            (Placed::Local, Some(p)) => {
                self.locals.entry(p).or_default().ring.push(g, step.now);
                self.tell_local(step, p);
            }
            (Placed::Runnext, Some(p)) => {
                let local = self.locals.entry(p).or_default();
                let known = local.runnext_known.get(step.now).is_some();
                let before = local.runnext.replace(g);
                local.runnext_known.set((), step.now);
                if known && before != kicked.is_some().then_some(kicked) {
                    step.watch.contradiction(|| {
                        let there = there(before);
                        if kicked.is_some() {
                            format!("{g} pushes {kicked} out of the runnext of {p}, where {there}")
                        } else {
                            format!("{g} is put into the empty runnext of {p}, where {there}")
                        }
                    });
                }
                if kicked.is_some() {
                    // With a number of the global queue, the ring was full.
                    if gq == 0 {
                        local.ring.push(kicked, step.now);
                    } else {
                        self.global.push(kicked, step.now);
                        self.tell_global(step);
                    }
                }
                self.tell_local(step, p);
            }
            (Placed::Local | Placed::Runnext, None) => {
                if !step.now.lossy && step.now.epoch == 0 {
                    step.watch.contradiction(|| {
                        format!("{g} is put into the queue of a P, but the M holds none")
                    });
                }
            }
        }
    }

    fn start<W: Watch>(&mut self, step: &mut Step<'_, W>, g: GId, source: Source, pos: u32) {
        let Some(p) = step.at.p else { return };
        match source {
            Source::Runnext => self.take_runnext(step, p, g),
            Source::Local => drop(self.take_ring(step, p, g, 1, pos)),
            Source::Youngest => self.take_youngest(step, p, g, pos),
            _ => return,
        }
        self.tell_local(step, p);
    }

    fn steal<W: Watch>(
        &mut self,
        step: &mut Step<'_, W>,
        victim: PId,
        g: GId,
        n: u32,
        from: StealFrom,
        pos: u32,
    ) {
        let mut taken = match from {
            StealFrom::Ring => self.take_ring(step, victim, g, n, pos),
            StealFrom::Runnext => {
                self.take_runnext(step, victim, g);
                Vec::new()
            }
        };
        self.tell_local(step, victim);
        // The last of them is run at once.
        taken.truncate((n as usize).saturating_sub(1));
        self.push_rest(step, taken.into_iter(), n);
    }

    fn drain<W: Watch>(&mut self, step: &mut Step<'_, W>, p: PId, n: u32, runnext: bool, pos: u32) {
        let now = step.now;
        let local = self.locals.entry(p).or_default();
        let known = local.runnext_known.get(now).is_some() && local.ring.is_whole(now);
        let mut all: Vec<GId> = local.runnext.take().into_iter().collect();
        all.extend(local.ring.gs.drain(..));
        if known && all.len() as u32 != n {
            step.watch
                .contradiction(|| format!("{p} gives {n} Gs away, but has {}", all.len()));
        }
        local.runnext_known.set((), now);
        local.ring.clear(now);
        let of_ring = n.saturating_sub(u32::from(runnext));
        local.head.set(pos.wrapping_add(of_ring), now);
        let fresh = self.global.fresh(now);
        for g in all.into_iter().rev() {
            self.global.gs.push_front(g);
        }
        // What was in doubt before is so now: it is not at the end.
        self.global.fresh.set(fresh, now);
        if !known {
            self.global.whole.unknown = true;
        }
        self.tell_local(step, p);
        self.tell_global(step);
    }

    fn take_runnext<W: Watch>(&mut self, step: &mut Step<'_, W>, p: PId, g: GId) {
        let local = self.locals.entry(p).or_default();
        let found = local.runnext.take();
        if found != Some(g) && local.runnext_known.get(step.now).is_some() {
            step.watch.contradiction(|| {
                format!(
                    "{g} is taken from the runnext of {p}, where {}",
                    there(found)
                )
            });
        }
        local.runnext_known.set((), step.now);
    }

    /// Takes `n` Gs from the global queue: of those that are meant for the same P as the first, or for none.
    fn take_global<W: Watch>(&mut self, step: &mut Step<'_, W>, first: GId, n: u32) -> Vec<GId> {
        let name = || "global queue".to_owned();
        if self.meant.is_empty() {
            return self.global.take(step.now, step.watch, first, n, name);
        }
        let meant = &self.meant;
        let lane = meant.get(&first);
        let of_lane = |g: &GId| meant.get(g) == lane;
        let taken = self
            .global
            .take_some(step.now, step.watch, first, n, of_lane, name);
        for g in &taken {
            self.meant.remove(g);
        }
        taken
    }

    /// Takes the G at the tail of the ring of `p`, from which `pos` were taken before.
    fn take_youngest<W: Watch>(&mut self, step: &mut Step<'_, W>, p: PId, g: GId, pos: u32) {
        self.at_position(step, p, g, 1, pos);
        let local = self.locals.entry(p).or_default();
        local.ring.take_last(step.now, step.watch, g, || {
            format!("tail of the ring of {p}")
        });
    }

    /// Takes `n` Gs from the head of the ring of `p`, which is at `pos`.
    fn take_ring<W: Watch>(
        &mut self,
        step: &mut Step<'_, W>,
        p: PId,
        first: GId,
        n: u32,
        pos: u32,
    ) -> Vec<GId> {
        self.at_position(step, p, first, n, pos);
        let local = self.locals.entry(p).or_default();
        let name = || format!("ring of {p}");
        local.ring.take(step.now, step.watch, first, n, name)
    }

    /// Takes are numbered: `n` Gs, of which one is `first`, are taken after `pos` others.
    fn at_position<W: Watch>(
        &mut self,
        step: &mut Step<'_, W>,
        p: PId,
        first: GId,
        n: u32,
        pos: u32,
    ) {
        let local = self.locals.entry(p).or_default();
        if let Some(head) = local.head.get(step.now)
            && head != pos
        {
            step.watch.contradiction(|| {
                format!(
                    "{first} is taken from position {pos} of the ring of {p}, whose head is at {head}"
                )
            });
        }
        local.head.set(pos.wrapping_add(n), step.now);
    }

    /// Puts all of a batch of `n` but the one that is run at once into the taker's ring.
    fn push_rest<W: Watch>(
        &mut self,
        step: &mut Step<'_, W>,
        rest: impl Iterator<Item = GId>,
        n: u32,
    ) {
        if let Some(p) = step.at.p {
            let ring = &mut self.locals.entry(p).or_default().ring;
            let before = ring.gs.len();
            rest.for_each(|g| ring.push(g, step.now));
            if ((ring.gs.len() - before) as u64) < u64::from(n.saturating_sub(1)) {
                // Gs were put there that nobody knows.
                ring.whole.unknown = true;
                ring.fresh.set(0, step.now);
            }
            self.tell_local(step, p);
        }
    }

    fn tell_local<W: Watch>(&self, step: &mut Step<'_, W>, p: PId) {
        let len = self.locals.get(&p).map_or(0, Local::len);
        step.watch.length(Queue::Local(p), len);
    }

    fn tell_global<W: Watch>(&self, step: &mut Step<'_, W>) {
        let len = self.global.gs.len() as u32;
        step.watch.length(Queue::Global, len);
    }
}

/// The number of the operation on the global queue that an event is; 0 if it is none.
pub fn global_operation(event: &Event) -> u64 {
    match *event {
        Event::Spawn { gq, .. }
        | Event::Yield { gq, .. }
        | Event::Preempt { gq, .. }
        | Event::Ready { gq, .. }
        | Event::SyscallExitBlocked { gq, .. }
        | Event::Overflow { gq, .. }
        | Event::GlobalGrab { gq, .. }
        | Event::Drain { gq, .. } => gq,
        _ => 0,
    }
}

/// What is in a slot, as the end of a sentence.
fn there(g: Option<GId>) -> String {
    match g {
        Some(g) => format!("{g} is"),
        None => "nothing is".into(),
    }
}
