//! The run queues with what is in them, rebuilt from the events alone.
//!
//! Each event that puts a G somewhere says where, and each that takes Gs says how many from where; the contents follow. A take of other
//! Gs than those that must be there is a contradiction: the trace or the runtime is wrong. So is a length that differs from the one that the
//! runtime read from its own queue and put into the event: that of the global queue at each grab, and of a whole queue when its P goes out
//! of use. (What a thief saw of its victim's ring is no such length: Gs that it did not take may be recorded after the steal.)

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
    lossy: bool,
    watch: &'a mut W,
}

/// The queue of a P.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Local {
    /// The G that runs next.
    pub runnext: Option<GId>,
    /// The others, the oldest first.
    pub ring: VecDeque<GId>,
}

impl Local {
    /// Gs in it, runnext included.
    pub fn len(&self) -> u32 {
        self.ring.len() as u32 + u32::from(self.runnext.is_some())
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
    global: VecDeque<GId>,
    /// Those of the global queue, or on their way into it, that are meant for a P.
    meant: BTreeMap<GId, PId>,
}

impl Queues {
    /// The queue of a P, if anything was ever put there.
    pub fn local(&self, p: PId) -> Option<&Local> {
        self.locals.get(&p)
    }

    /// The global queue, the oldest first.
    pub fn global(&self) -> &VecDeque<GId> {
        &self.global
    }

    /// Applies the next event of the history. `lossy`: events may be missing before it.
    pub fn event(&mut self, at: At, event: &Event, lossy: bool, watch: &mut impl Watch) {
        let step = &mut Step { at, lossy, watch };
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
            Event::Start { g, source, .. } => self.start(step, g, source),
            Event::Steal {
                victim, g, n, from, ..
            } => self.steal(step, victim, g, n, from),
            Event::Overflow { g, n, .. } => {
                let Some(p) = at.p else { return };
                let ring = &mut self.locals.entry(p).or_default().ring;
                let taken = take(step, ring, g, n, "overflow");
                self.global.extend(taken);
                self.tell_local(step, p);
                self.tell_global(step);
            }
            Event::GlobalGrab { g, n, len, .. } => {
                let known = self.global.len() as u32;
                if known != len {
                    step.watch.contradiction(|| {
                        format!("the global queue holds {len} Gs, by the events {known}")
                    });
                }
                let taken = self.take_global(step, g, n);
                self.tell_global(step);
                self.push_rest(step, taken.into_iter().skip(1));
            }
            Event::Assign { p, g } => {
                self.meant.insert(g, p);
            }
            Event::Drain { p, n, .. } => {
                let local = self.locals.entry(p).or_default();
                let mut all: Vec<GId> = local.runnext.take().into_iter().collect();
                all.extend(local.ring.drain(..));
                if all.len() as u32 != n {
                    step.watch
                        .contradiction(|| format!("{p} gives {n} Gs away, but has {}", all.len()));
                }
                for g in all.into_iter().rev() {
                    self.global.push_front(g);
                }
                self.tell_local(step, p);
                self.tell_global(step);
            }
            _ => {}
        }
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
                self.global.push_back(g);
                self.tell_global(step);
            }
            (Placed::Local, Some(p)) => {
                self.locals.entry(p).or_default().ring.push_back(g);
                self.tell_local(step, p);
            }
            (Placed::Runnext, Some(p)) => {
                let local = self.locals.entry(p).or_default();
                let before = local.runnext.replace(g);
                if before != kicked.is_some().then_some(kicked) {
                    step.watch.contradiction(|| {
                        format!(
                            "{g} pushes {kicked} out of the runnext of {p}, where {before:?} is"
                        )
                    });
                }
                if kicked.is_some() {
                    // With a number of the global queue, the ring was full.
                    if gq == 0 {
                        local.ring.push_back(kicked);
                    } else {
                        self.global.push_back(kicked);
                        self.tell_global(step);
                    }
                }
                self.tell_local(step, p);
            }
            (Placed::Local | Placed::Runnext, None) => step.watch.contradiction(|| {
                format!("{g} is put into the queue of a P, but the M holds none")
            }),
        }
    }

    fn start<W: Watch>(&mut self, step: &mut Step<'_, W>, g: GId, source: Source) {
        let Some(p) = step.at.p else { return };
        let local = self.locals.entry(p).or_default();
        let found = match source {
            Source::Runnext => local.runnext.take(),
            Source::Local => local.ring.pop_front(),
            Source::Youngest => local.ring.pop_back(),
            _ => return,
        };
        if found != Some(g) {
            step.watch.contradiction(|| {
                format!(
                    "{g} is taken from the {} of {p}, where {found:?} is",
                    match source {
                        Source::Runnext => "runnext",
                        Source::Youngest => "tail",
                        _ => "head",
                    }
                )
            });
        }
        self.tell_local(step, p);
    }

    /// Takes `n` Gs from the global queue: of those that are meant for the same P as the first, or for none.
    fn take_global<W: Watch>(&mut self, step: &mut Step<'_, W>, first: GId, n: u32) -> Vec<GId> {
        if self.meant.is_empty() {
            return take(step, &mut self.global, first, n, "global queue");
        }
        let lane = self.meant.get(&first).copied();
        let of_lane = |g: &GId| self.meant.get(g).copied() == lane;
        // Split off up to the last one taken, so that the cost does not grow with what stays.
        let mut left = n as usize;
        let end = self.global.iter().position(|g| {
            left = left.saturating_sub(usize::from(of_lane(g)));
            left == 0
        });
        let end = end.map_or(self.global.len(), |at| at + 1);
        let (lane_gs, others): (Vec<GId>, Vec<GId>) = self.global.drain(..end).partition(of_lane);
        let mut lane_gs = VecDeque::from(lane_gs);
        let taken = take(step, &mut lane_gs, first, n, "global queue");
        debug_assert!(lane_gs.is_empty());
        for g in others.into_iter().rev() {
            self.global.push_front(g);
        }
        for g in &taken {
            self.meant.remove(g);
        }
        taken
    }

    fn steal<W: Watch>(
        &mut self,
        step: &mut Step<'_, W>,
        victim: PId,
        g: GId,
        n: u32,
        from: StealFrom,
    ) {
        let local = self.locals.entry(victim).or_default();
        let mut taken: Vec<GId> = match from {
            StealFrom::Ring => take(step, &mut local.ring, g, n, "ring of the victim"),
            StealFrom::Runnext => {
                let found = local.runnext.take();
                if found != Some(g) {
                    step.watch.contradiction(|| {
                        format!("{g} is stolen from the runnext of {victim}, where {found:?} is")
                    });
                }
                found.into_iter().collect()
            }
        };
        self.tell_local(step, victim);
        // The last of them is run at once.
        taken.pop();
        self.push_rest(step, taken.into_iter());
    }

    fn push_rest<W: Watch>(&mut self, step: &mut Step<'_, W>, rest: impl Iterator<Item = GId>) {
        if let Some(p) = step.at.p {
            self.locals.entry(p).or_default().ring.extend(rest);
            self.tell_local(step, p);
        }
    }

    fn tell_local<W: Watch>(&self, step: &mut Step<'_, W>, p: PId) {
        let len = self.locals.get(&p).map_or(0, Local::len);
        step.watch.length(Queue::Local(p), len);
    }

    fn tell_global<W: Watch>(&self, step: &mut Step<'_, W>) {
        let len = self.global.len() as u32;
        step.watch.length(Queue::Global, len);
    }
}

/// Takes `n` Gs from the front; the first must be `first`.
fn take<W: Watch>(
    step: &mut Step<'_, W>,
    queue: &mut VecDeque<GId>,
    first: GId,
    n: u32,
    name: &str,
) -> Vec<GId> {
    let front = queue.front().copied();
    if front != Some(first) || (queue.len() as u64) < u64::from(n) {
        step.watch.contradiction(|| {
            format!(
                "{n} Gs from {first} on are taken from the {name}, where {} are, the first {front:?}",
                queue.len()
            )
        });
    }
    if step.lossy
        && let Some(at) = queue.iter().position(|g| *g == first)
    {
        // Those before it were taken by an event that is missing.
        queue.drain(..at);
    }
    queue.drain(..(n as usize).min(queue.len())).collect()
}
