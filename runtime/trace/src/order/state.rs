//! What is known of the Gs, Ps and Ms of a process after the events so far, what an event presupposes of it, and what it changes.
//!
//! Unknown things (after a loss, or before they were born) satisfy nothing: an event about them waits until it is clear that nothing
//! better comes, and is then adopted. So a clock that is off never lets an event pass before the spawn of its G.

use rustc_hash::FxHashMap;

use crate::event::{Event, GState, PState, Placed, Source, StealFrom, SyscallKind};
use crate::ids::{GId, MId, PId};
use crate::queues::global_operation;

use super::Subject;

/// What an M holds.
#[derive(Clone, Copy, Debug, Default)]
struct Context {
    p: Option<PId>,
    g: GId,
}

#[derive(Clone, Copy, Debug)]
struct G {
    state: GState,
    seq: u64,
}

#[derive(Clone, Copy, Debug)]
struct P {
    state: PState,
    seq: u64,
    m: Option<MId>,
    runnext: GId,
    head: u32,
    tail: u32,
}

impl P {
    fn new(state: PState) -> P {
        P {
            state,
            seq: 0,
            m: None,
            runnext: GId::NONE,
            head: 0,
            tail: 0,
        }
    }
}

/// What a head waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    G(GId),
    P(PId),
    GlobalQueue,
}

/// What an event moved.
#[derive(Debug, Default)]
pub(super) struct Touched {
    gs: Vec<GId>,
    ps: Vec<PId>,
    global: bool,
    all: bool,
}

impl Touched {
    pub fn clear(&mut self) {
        self.gs.clear();
        self.ps.clear();
        self.global = false;
        self.all = false;
    }

    pub fn meets(&self, need: &Need) -> bool {
        self.all
            || match need {
                Need::G(g) => self.gs.contains(g),
                Need::P(p) => self.ps.contains(p),
                Need::GlobalQueue => self.global,
            }
    }
}

/// The P and the G that an event names itself.
fn subject(event: &Event) -> (Option<PId>, Option<GId>) {
    match *event {
        Event::GStatus { g, .. }
        | Event::Spawn { g, .. }
        | Event::Start { g, .. }
        | Event::Ready { g, .. }
        | Event::Notify { g, .. }
        | Event::Steal { g, .. }
        | Event::Overflow { g, .. }
        | Event::GlobalGrab { g, .. } => (None, Some(g)),
        Event::PStatus { p, .. }
        | Event::PStart { p, .. }
        | Event::Retake { p, .. }
        | Event::Handoff { p, .. }
        | Event::PreemptRequest { p, .. }
        | Event::Drain { p, .. } => (Some(p), None),
        Event::Assign { p, g } => (Some(p), Some(g)),
        _ => (None, None),
    }
}

/// Where an event puts a G: the place and the G it pushed out.
fn placement(event: &Event) -> Option<(Placed, GId, u64)> {
    match *event {
        Event::Spawn {
            placed, kicked, gq, ..
        }
        | Event::Ready {
            placed, kicked, gq, ..
        }
        | Event::Preempt {
            placed, kicked, gq, ..
        } => Some((placed, kicked, gq)),
        Event::Yield { placed, gq } | Event::SyscallExitBlocked { placed, gq } => {
            Some((placed, GId::NONE, gq))
        }
        _ => None,
    }
}

/// The state of a process.
#[derive(Debug, Default)]
pub(super) struct State {
    gs: FxHashMap<GId, G>,
    ps: FxHashMap<PId, P>,
    ms: FxHashMap<MId, Context>,
    gq: u64,
}

impl State {
    /// What an M holds now.
    fn context(&self, m: MId) -> Context {
        self.ms.get(&m).copied().unwrap_or_default()
    }

    /// The queue that others must find without what the M's event took there, if that is so already before the M reads the clock for it.
    pub fn taken_from(&self, m: MId, event: &Event) -> Option<Need> {
        match *event {
            Event::GlobalGrab { .. } => Some(Need::GlobalQueue),
            Event::Steal { victim, .. } => Some(Need::P(victim)),
            Event::Start {
                source: Source::Local | Source::Youngest | Source::Runnext,
                ..
            } => self.context(m).p.map(Need::P),
            _ => None,
        }
    }

    /// What is missing before the event can have happened; nothing if it can be next.
    pub fn missing(&self, m: MId, event: &Event) -> Option<Need> {
        let context = self.context(m);
        self.missing_of_g(context, event)
            .or_else(|| self.missing_of_p(m, context, event))
            .or_else(|| {
                let gq = global_operation(event);
                (gq != 0 && !follows(self.gq, gq)).then_some(Need::GlobalQueue)
            })
    }

    fn missing_of_g(&self, context: Context, event: &Event) -> Option<Need> {
        let is = |g: GId, state: GState, seq: Option<u64>| {
            let fits = self.gs.get(&g).is_some_and(|known| {
                known.state == state && seq.is_none_or(|s| follows(known.seq, s))
            });
            (!fits).then_some(Need::G(g))
        };
        match *event {
            Event::Spawn { g, .. } => self.gs.contains_key(&g).then_some(Need::G(g)),
            Event::Start { g, seq, .. } => is(g, GState::Runnable, Some(seq)),
            Event::Ready { g, seq, .. } => is(g, GState::Waiting, Some(seq)),
            Event::Yield { .. }
            | Event::Preempt { .. }
            | Event::Park { .. }
            | Event::Exit { .. }
            | Event::SyscallEnter { .. } => is(context.g, GState::Running, None),
            Event::SyscallExit {} | Event::SyscallExitBlocked { .. } => {
                is(context.g, GState::Syscall, None)
            }
            _ => None,
        }
    }

    fn missing_of_p(&self, m: MId, context: Context, event: &Event) -> Option<Need> {
        let is = |p: PId, fits: &dyn Fn(&P) -> bool| {
            let fits = self.ps.get(&p).is_some_and(fits);
            (!fits).then_some(Need::P(p))
        };
        let own = |fits: &dyn Fn(&P) -> bool| context.p.and_then(|p| is(p, fits));
        if let Some((Placed::Runnext, kicked, _)) = placement(event) {
            return own(&|p| p.runnext == kicked);
        }
        match *event {
            Event::Start {
                source: Source::Local | Source::Youngest,
                pos,
                ..
            } => own(&|p| p.head == pos && p.tail != p.head),
            Event::Start {
                source: Source::Runnext,
                g,
                ..
            } => own(&|p| p.runnext == g),
            Event::PStart { p, seq } => is(p, &|p| p.state == PState::Idle && follows(p.seq, seq)),
            Event::Retake { p, seq, .. } => {
                is(p, &|p| p.state == PState::Syscall && follows(p.seq, seq))
            }
            Event::SyscallEnter { seq, .. } => {
                own(&|p| p.state == PState::Running && follows(p.seq, seq))
            }
            Event::SyscallExit {} => own(&|p| p.state == PState::Syscall && p.m == Some(m)),
            // It lost its P: whoever took it comes first.
            Event::SyscallExitBlocked { .. } => context.p.map(Need::P),
            Event::Steal {
                victim,
                g,
                from: StealFrom::Runnext,
                ..
            } => is(victim, &|p| p.runnext == g),
            Event::Steal { victim, n, pos, .. } => is(victim, &|p| holds(p, pos, n)),
            Event::Overflow { n, pos, .. } => own(&|p| holds(p, pos, n)),
            Event::Drain {
                p, n, runnext, pos, ..
            } => is(p, &|p| holds(p, pos, n.saturating_sub(u32::from(runnext)))),
            _ => None,
        }
    }

    /// The state after the event, whether or not it was to be expected; who it is about. `after_gap`: events of its stream are missing right
    /// before it.
    pub fn place(
        &mut self,
        m: MId,
        event: &Event,
        after_gap: bool,
        touched: &mut Touched,
    ) -> Subject {
        if after_gap {
            // What this M did in the gap is not known: neither its P nor its G are what they were.
            self.ms.remove(&m);
        }
        let context = self.context(m);
        touched.clear();
        self.apply(m, event, touched);
        let (p, g) = subject(event);
        let other = g.is_some_and(|g| g != context.g);
        Subject {
            p: p.or(context.p),
            g: g.unwrap_or(context.g),
            by: if other { context.g } else { GId::NONE },
        }
    }

    fn apply(&mut self, m: MId, event: &Event, touched: &mut Touched) {
        let context = self.context(m);
        self.apply_to_g(m, context, event, touched);
        self.apply_to_queues(context, event, touched);
        self.apply_to_p(m, context, event, touched);
        let gq = global_operation(event);
        if gq != 0 {
            // A lost operation must not hold up those that follow.
            self.gq = self.gq.max(gq);
            touched.global = true;
        }
    }

    fn apply_to_g(&mut self, m: MId, context: Context, event: &Event, touched: &mut Touched) {
        let mut set = |g: GId, state: GState, seq: Option<u64>| {
            if g.is_some() {
                let known = self.gs.entry(g).or_insert(G { state, seq: 0 });
                known.state = state;
                known.seq = seq.unwrap_or(known.seq);
                touched.gs.push(g);
            }
        };
        let runs = match *event {
            Event::GStatus {
                g,
                state,
                seq,
                on_m,
            } => {
                set(g, state, Some(seq));
                if let Some(on) = on_m {
                    self.ms.entry(on).or_default().g = g;
                }
                return;
            }
            Event::Spawn { g, .. } => return set(g, GState::Runnable, Some(0)),
            Event::Ready { g, seq, .. } => return set(g, GState::Runnable, Some(seq)),
            Event::Start { g, seq, .. } => {
                set(g, GState::Running, Some(seq));
                g
            }
            Event::Yield { .. } | Event::Preempt { .. } | Event::SyscallExitBlocked { .. } => {
                set(context.g, GState::Runnable, None);
                GId::NONE
            }
            Event::Park { .. } => {
                set(context.g, GState::Waiting, None);
                GId::NONE
            }
            Event::Exit { .. } => {
                self.gs.remove(&context.g);
                touched.gs.push(context.g);
                GId::NONE
            }
            Event::SyscallEnter { .. } => return set(context.g, GState::Syscall, None),
            Event::SyscallExit {} => return set(context.g, GState::Running, None),
            _ => return,
        };
        self.ms.entry(m).or_default().g = runs;
    }

    fn apply_to_queues(&mut self, context: Context, event: &Event, touched: &mut Touched) {
        if let (Some((placed, kicked, gq)), Some(p)) = (placement(event), context.p) {
            let p = self.touch(p, touched);
            match placed {
                Placed::Runnext => {
                    // A preempted G is the one that ran.
                    p.runnext = subject(event).1.unwrap_or(context.g);
                    // With a number of the global queue, the ring was full and it went there.
                    if kicked.is_some() && gq == 0 {
                        p.tail = p.tail.wrapping_add(1);
                    }
                }
                Placed::Local => p.tail = p.tail.wrapping_add(1),
                Placed::Global | Placed::Direct => {}
            }
        }
        match *event {
            Event::Start { source, pos, .. } => {
                if let Some(p) = context.p {
                    let p = self.touch(p, touched);
                    match source {
                        Source::Local | Source::Youngest => p.head = pos.wrapping_add(1),
                        Source::Runnext => p.runnext = GId::NONE,
                        _ => {}
                    }
                }
            }
            Event::Steal {
                victim,
                n,
                pos,
                from,
                ..
            } => {
                let victim = self.touch(victim, touched);
                match from {
                    StealFrom::Ring => victim.head = pos.wrapping_add(n),
                    StealFrom::Runnext => victim.runnext = GId::NONE,
                }
                self.push_rest(context.p, n, touched);
            }
            Event::GlobalGrab { n, .. } => self.push_rest(context.p, n, touched),
            Event::Overflow { n, pos, .. } => {
                if let Some(p) = context.p {
                    self.touch(p, touched).head = pos.wrapping_add(n);
                }
            }
            Event::Drain {
                p, n, runnext, pos, ..
            } => {
                let p = self.touch(p, touched);
                p.head = pos.wrapping_add(n.saturating_sub(u32::from(runnext)));
                p.runnext = GId::NONE;
            }
            _ => {}
        }
    }

    /// All of a batch but the one that is run at once goes to the taker's ring.
    fn push_rest(&mut self, p: Option<PId>, n: u32, touched: &mut Touched) {
        if let Some(p) = p {
            let p = self.touch(p, touched);
            p.tail = p.tail.wrapping_add(n.saturating_sub(1));
        }
    }

    fn apply_to_p(&mut self, m: MId, context: Context, event: &Event, touched: &mut Touched) {
        match *event {
            Event::PStatus {
                p: id,
                state,
                seq,
                on_m,
                head,
                tail,
                runnext,
            } => {
                *self.touch(id, touched) = P {
                    state,
                    seq,
                    m: on_m,
                    runnext,
                    head,
                    tail,
                };
                if let Some(on) = on_m {
                    self.ms.entry(on).or_default().p = Some(id);
                }
            }
            Event::Procs { procs } => {
                // A count beyond what a runtime can have comes from damage, and must not take all memory.
                for p in 0..procs.min(1 << 16) {
                    self.ps.entry(PId(p)).or_insert(P::new(PState::Idle));
                }
                touched.all = true;
            }
            Event::PStart { p: id, seq } => {
                let p = self.touch(id, touched);
                (p.state, p.seq, p.m) = (PState::Running, seq, Some(m));
                self.ms.entry(m).or_default().p = Some(id);
            }
            Event::PStop { .. } => {
                if let Some(p) = context.p {
                    let p = self.touch(p, touched);
                    (p.state, p.m) = (PState::Idle, None);
                }
                self.ms.entry(m).or_default().p = None;
            }
            Event::Retake {
                p: id, seq, from_m, ..
            } => {
                let p = self.touch(id, touched);
                (p.state, p.seq, p.m) = (PState::Idle, seq, None);
                let from = self.ms.entry(from_m).or_default();
                if from.p == Some(id) {
                    from.p = None;
                }
            }
            Event::SyscallEnter { seq, kind } => {
                if let Some(p) = context.p {
                    let p = self.touch(p, touched);
                    p.seq = seq;
                    // Who gives the P up at once still has to stop it; nobody can retake it meanwhile.
                    if kind == SyscallKind::Syscall {
                        p.state = PState::Syscall;
                    }
                }
            }
            Event::SyscallExit {} => {
                if let Some(p) = context.p {
                    self.touch(p, touched).state = PState::Running;
                }
            }
            _ => {}
        }
    }

    fn touch(&mut self, p: PId, touched: &mut Touched) -> &mut P {
        touched.ps.push(p);
        self.ps.entry(p).or_insert(P::new(PState::Idle))
    }
}

/// Whether a number comes right after another. Nothing comes after the last one, which only damage makes.
fn follows(last: u64, next: u64) -> bool {
    last.checked_add(1) == Some(next)
}

/// Whether a ring's head is at `pos` and `n` Gs are in it.
fn holds(p: &P, pos: u32, n: u32) -> bool {
    p.head == pos && p.tail.wrapping_sub(p.head) >= n
}
