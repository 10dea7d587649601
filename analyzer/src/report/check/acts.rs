//! What one M does one after another: some events come only right before or after certain others of the same M, because one function of the
//! scheduler makes both. So what one of them says the other one says too: where a P went that was let go, where a G came from, why an M was
//! woken, whether a search found something.
//!
//! Where events of the M are missing nothing is known of what was before.
//!
//! No second witness have: for what exactly a G parks among the reasons that one kind of object has, and for which of those objects; whether a
//! single G was taken from the global queue by its turn, at the release of the P or in the usual order; whether a panic ended a G; times that events
//! measure themselves (how late a timer was, how long a G had run when it was asked to give way); whether a request to give way found its M in a
//! preemptible section; and what a number of Ps is changed to, except that the Ps that are used later must be among them.

use gmp_policy::Policy;
use gmp_policy::view::{End, TakeView};
use gmp_store::EventRow;
use gmp_trace::event::{
    Event, HandoffTo, MKind, PStopReason, Placed, PreemptCause, RetakeCause, Rule, Source,
    StealFrom, StwKind, SyscallKind, Via, WakeReason,
};
use gmp_trace::ids::{GId, MId, PId};
use rustc_hash::FxHashMap;

use super::Checked;
use crate::model::{Queue, Violation};

const RULE: &str = "acts of an M";

/// What an M did last.
#[derive(Clone, Copy, Debug, Default)]
struct Acts {
    kind: Option<MKind>,
    last: Option<Event>,
    /// The G that the last event was about.
    last_g: GId,
    /// A P that was let go or taken away, for which this M is to find a use at once.
    let_go: Option<PId>,
    /// Gs that were polled and are not readied yet.
    polled: Option<u32>,
    /// Where the G came from that this M is to start.
    took: Option<(Source, Option<GId>)>,
    /// How many came with it.
    grabbed: u32,
    /// Whether the grab came with a new P and a new search.
    anew: bool,
    /// A search ended: whether it found something.
    found: Option<bool>,
    /// The stop of the world that this M makes.
    stop: Option<StwKind>,
    resized: bool,
    /// It started the world again just now.
    restarts: bool,
    in_syscall: bool,
    /// It was woken, so that the G that it starts may have been found by another.
    woken: bool,
    spins: Option<bool>,
}

/// What the policy lets an M do.
#[derive(Clone, Copy, Debug)]
struct May {
    /// To put what stops for the world into runnext; not, if nothing is known of the policy.
    runnext: bool,
    /// To take the oldest G of a ring.
    oldest: bool,
    /// To take the youngest.
    youngest: bool,
}

impl May {
    fn new(policy: Option<&Policy>) -> May {
        /// More time slices than any policy counts before it does what it did.
        const TICKS: u32 = 1 << 16;
        let takes = |end: End| {
            policy.is_none_or(|policy| {
                (0..TICKS).any(|tick| policy.takes_from(&TakeView { tick }) == end)
            })
        };
        May {
            runnext: policy.is_some_and(|policy| policy.runnext),
            oldest: takes(End::Oldest),
            youngest: takes(End::Youngest),
        }
    }
}

/// What the Ms of a process do.
#[derive(Debug)]
pub struct EachM {
    ms: FxHashMap<MId, Acts>,
    may: May,
    most_procs: u32,
    /// The length of the queue of each P.
    lens: Vec<u32>,
}

impl EachM {
    /// Nothing done yet, under a policy, if it is known.
    pub fn new(policy: Option<&Policy>) -> EachM {
        EachM {
            ms: FxHashMap::default(),
            may: May::new(policy),
            most_procs: 0,
            lens: Vec::new(),
        }
    }

    /// A queue has another length now.
    pub fn queue(&mut self, queue: Queue, len: u32) {
        /// No runtime has as many Ps.
        const MOST: usize = 1 << 16;
        if let Queue::Local(p) = queue
            && (p.0 as usize) < MOST
        {
            let at = p.0 as usize;
            if at >= self.lens.len() {
                self.lens.resize(at + 1, 0);
            }
            self.lens[at] = len;
        }
    }

    /// The next event. `after_gap`: events of its M are missing right before it. `lossy`: events of some M are missing somewhere.
    pub fn event(&mut self, row: &EventRow, after_gap: bool, lossy: bool, checked: &mut Checked) {
        // Between any two others: the spool was full, not the M.
        if matches!(row.event, Event::Blocked { .. }) {
            return;
        }
        let mut wrong = |what: String| {
            checked.add(Violation {
                event: row.id,
                ts: row.ts,
                rule: RULE,
                what,
            });
        };
        let acts = self.ms.entry(row.m).or_default();
        if after_gap {
            *acts = Acts {
                kind: acts.kind,
                ..Acts::default()
            };
        } else {
            follows(acts, row, &mut wrong);
        }
        if !lossy {
            self.numbers(row, &mut wrong);
        }
        let acts = self.ms.entry(row.m).or_default();
        says(acts, row, self.may, &mut wrong);
        acts.apply(row);
        if let Event::Procs { procs } = row.event {
            self.most_procs = self.most_procs.max(procs);
        }
    }

    /// What the number of Ps bounds.
    fn numbers(&self, row: &EventRow, wrong: &mut impl FnMut(String)) {
        let p = match row.event {
            // Others may have taken Gs of the thief's ring without having said so yet, but only the thief puts any there.
            Event::Steal { thief_len, .. }
                if row.p.is_none_or(|p| {
                    self.lens.get(p.0 as usize).copied().unwrap_or(0) < thief_len
                }) =>
            {
                return wrong(format!(
                    "the thief's ring holds {thief_len} Gs, by the events fewer"
                ));
            }
            // Who takes the last of them may come behind who retires it: nothing else is between the two.
            Event::PStart { p, .. }
            | Event::Assign { p, .. }
            | Event::PreemptRequest { p, .. }
            | Event::Steal { victim: p, .. }
            | Event::Timer { heap: p, .. } => p,
            _ => return,
        };
        if p.0 >= self.most_procs {
            let most = self.most_procs;
            wrong(format!(
                "{p} is used, and there never were more than {most} Ps"
            ));
        }
    }
}

/// What the event before demands of this one.
fn follows(acts: &Acts, row: &EventRow, wrong: &mut impl FnMut(String)) {
    let (m, event) = (row.m, row.event);
    let Some(last) = acts.last else { return };
    let name = event.kind().name();
    if let Some(p) = acts.let_go
        && !matches!(
            event,
            Event::Handoff { .. }
                | Event::MWake {
                    reason: WakeReason::Handoff | WakeReason::Locked,
                    ..
                }
        )
    {
        wrong(format!("{m} let {p} go for others, and then comes {name}"));
    }
    let must = match last {
        Event::MPark {} => Some(matches!(event, Event::MUnpark {})),
        Event::SyscallEnter {
            kind: SyscallKind::Blocking,
            ..
        } => Some(matches!(
            event,
            Event::PStop {
                reason: PStopReason::Blocking
            }
        )),
        Event::Preempt {
            placed: Placed::Direct,
            ..
        } => Some(matches!(
            event,
            Event::PStop {
                reason: PStopReason::Resize
            }
        )),
        Event::PStop {
            reason: PStopReason::Stw,
        } => Some(matches!(event, Event::MPark {} | Event::MExit {})),
        Event::PStop {
            reason: PStopReason::Resize,
        } => Some(matches!(event, Event::PStart { .. })),
        Event::MWake {
            reason: WakeReason::Handoff,
            ..
        } => Some(matches!(
            event,
            Event::Handoff {
                to: HandoffTo::M,
                ..
            }
        )),
        Event::Assign { g, .. } => Some(matches!(
            event,
            Event::Spawn { g: spawned, placed: Placed::Global, .. } if spawned == g
        )),
        _ => None,
    };
    if must == Some(false) {
        let before = last.kind().name();
        wrong(format!(
            "{name} of {m} comes right after {before}, as it never does"
        ));
    }
    if let Some(found) = acts.found
        && !matches!(event, Event::MWake { .. })
    {
        let goes_on = matches!(
            event,
            Event::Start { .. }
                | Event::PStop {
                    reason: PStopReason::Locked
                }
        );
        if goes_on != found {
            let says = if found { "found" } else { "found nothing" };
            wrong(format!("{m} {says}, and then comes {name}"));
        }
    }
    alone(acts, last, row, wrong);
}

/// What this event demands of the one before.
fn alone(acts: &Acts, last: Event, row: &EventRow, wrong: &mut impl FnMut(String)) {
    let m = row.m;
    match row.event {
        Event::MUnpark {} if !matches!(last, Event::MPark {}) => {
            wrong(format!("{m} is awake again, and was not parked"));
        }
        Event::PStop { reason } => {
            let fits = match reason {
                PStopReason::Blocking => matches!(
                    last,
                    Event::SyscallEnter {
                        kind: SyscallKind::Blocking,
                        ..
                    }
                ),
                PStopReason::Resize => matches!(
                    last,
                    Event::Preempt {
                        placed: Placed::Direct,
                        ..
                    }
                ),
                _ => true,
            };
            if !fits {
                let before = last.kind().name();
                wrong(format!(
                    "{m} lets its P go, {reason}, right after {before}, as it never does"
                ));
            }
        }
        Event::Handoff { p, to, to_m } => {
            if acts.let_go != Some(p) {
                wrong(format!("{m} hands {p} off, which it did not let go"));
            }
            let woken = match last {
                Event::MWake {
                    woken,
                    with_p: Some(with),
                    reason: WakeReason::Handoff,
                    ..
                } if with == p => Some(woken),
                _ => None,
            };
            if to_m != woken || (to == HandoffTo::M) != woken.is_some() {
                let to_m = to_m.map_or("no M".to_owned(), |m| m.to_string());
                let woken = woken.map_or("none".to_owned(), |m| m.to_string());
                wrong(format!(
                    "{p} is handed off ({to}, {to_m}), and for it {m} woke {woken}"
                ));
            }
        }
        Event::MWake {
            with_p,
            reason,
            spinning,
            ..
        } => {
            let let_go = with_p.is_some() && with_p == acts.let_go;
            let fits = match reason {
                WakeReason::Handoff => let_go,
                WakeReason::Locked => {
                    let_go
                        && !spinning
                        && matches!(
                            last,
                            Event::PStop {
                                reason: PStopReason::Locked
                            }
                        )
                }
                WakeReason::Start => acts.restarts && !spinning,
                WakeReason::Work if !spinning => matches!(
                    last,
                    Event::Ready {
                        via: Via::Netpoll,
                        ..
                    } | Event::MWake {
                        reason: WakeReason::Work,
                        spinning: false,
                        ..
                    }
                ),
                WakeReason::Work => true,
                // No runtime says so yet.
                WakeReason::Netpoll | WakeReason::Shutdown => false,
            };
            if !fits {
                let before = last.kind().name();
                wrong(format!(
                    "{m} wakes another M ({reason}) right after {before}, as it never does"
                ));
            }
        }
        Event::SpinStart {} if acts.spins == Some(true) => {
            wrong(format!("{m} begins to search, and searches already"));
        }
        Event::SpinStop { .. } if acts.spins == Some(false) => {
            wrong(format!("{m} ends a search that it did not begin"));
        }
        Event::Ready {
            g,
            via: Via::Scheduler,
            ..
        } if !matches!(last, Event::Park { .. }) || acts.last_g != g => {
            wrong(format!(
                "the scheduler readies {g}, which did not just park"
            ));
        }
        Event::Start { g, source, .. } => started(acts, g, source, wrong),
        _ => {}
    }
}

/// A G that starts was taken from where it says.
fn started(acts: &Acts, g: GId, source: Source, wrong: &mut impl FnMut(String)) {
    match acts.took {
        Some((from, taken)) => {
            if from != source || taken.is_some_and(|taken| taken != g) {
                let taken = taken.map_or("one".to_owned(), |taken| taken.to_string());
                wrong(format!(
                    "{g} starts ({source}), and {taken} was taken ({from})"
                ));
            }
        }
        None => {
            let from_a_queue = matches!(source, Source::Runnext | Source::Local | Source::Youngest);
            // What another M found for this one was taken there.
            if !from_a_queue && !acts.woken {
                wrong(format!(
                    "{g} starts ({source}), and nothing was taken there"
                ));
            }
        }
    }
}

/// What the event says that follows from the state of its M.
fn says(acts: &Acts, row: &EventRow, may: May, wrong: &mut impl FnMut(String)) {
    let m = row.m;
    let kind = acts.kind;
    if let Event::Spawn { placed, kicked, .. }
    | Event::Ready { placed, kicked, .. }
    | Event::Preempt { placed, kicked, .. } = row.event
        && kicked.is_some()
        && placed != Placed::Runnext
    {
        wrong(format!(
            "{kicked} is pushed out of a runnext that nothing is put into"
        ));
    }
    match row.event {
        Event::Ready { g, via, placed, .. } => ready(acts, row, g, via, placed, wrong),
        Event::Spawn {
            placed: Placed::Direct,
            ..
        } => wrong("a G is spawned into no queue".to_owned()),
        Event::Preempt { cause, placed, .. } => {
            let stw = matches!(cause, PreemptCause::Stw | PreemptCause::AsyncStw);
            let next = matches!(placed, Placed::Runnext | Placed::Direct);
            if stw != next && (may.runnext || !stw) {
                wrong(format!(
                    "a G is preempted ({cause}) and put to {placed}, as it never is"
                ));
            }
        }
        Event::Start {
            source, rule, pos, ..
        } => {
            let fits = match rule {
                Rule::Order => true,
                _ if source != Source::Global => false,
                Rule::Tick => acts.took.is_none() || acts.grabbed == 1,
                Rule::Recheck => acts.took.is_none() || acts.anew,
                Rule::Release => true,
            };
            let taken = match source {
                Source::Local => may.oldest,
                Source::Youngest => may.youngest,
                _ => true,
            };
            if !taken {
                wrong(format!(
                    "a start ({source}) is from an end of the ring that the policy never takes from"
                ));
            }
            let of_ring = matches!(source, Source::Local | Source::Youngest);
            if pos != 0 && !of_ring {
                wrong(format!(
                    "a start ({source}) is from position {pos} of a ring"
                ));
            }
            if !fits {
                wrong(format!(
                    "a start ({source}) is by the rule {rule}, which never takes so"
                ));
            }
        }
        Event::PreemptRequest { cause, .. } => {
            let expected = match acts.stop {
                Some(_) => PreemptCause::Stw,
                None => PreemptCause::Slice,
            };
            let asks = expected == PreemptCause::Stw || kind.is_none_or(|k| k == MKind::Sysmon);
            if acts.last.is_some() && (cause != expected || !asks) {
                wrong(format!(
                    "{m} asks a G to give way ({cause}), which is not its to ask"
                ));
            }
        }
        Event::Retake { cause, from_m, .. } => {
            let expected = match acts.stop.is_some() || from_m == m {
                true => RetakeCause::Stw,
                false => RetakeCause::Syscall,
            };
            let takes = expected == RetakeCause::Stw || kind.is_none_or(|k| k == MKind::Sysmon);
            if acts.last.is_some() && (cause != expected || !takes) {
                wrong(format!(
                    "{m} takes a P from a system call ({cause}), which it never does"
                ));
            }
        }
        Event::Netpoll { n, blocking } => {
            let fits = match kind {
                Some(MKind::Worker) if blocking => row.p.is_none(),
                // At the end of the runtime one without a P does not block either.
                Some(MKind::Worker) => n > 0,
                Some(MKind::Netpoll) => blocking,
                Some(MKind::Sysmon | MKind::Foreign) => !blocking && n > 0,
                None => true,
            };
            if !fits {
                let how = if blocking {
                    "blocking"
                } else {
                    "without blocking"
                };
                wrong(format!(
                    "{m} polls the network {how}, as it never does there"
                ));
            }
        }
        Event::Steal {
            from: StealFrom::Runnext,
            n,
            pos,
            victim_len,
            ..
        } if (n, pos, victim_len) != (1, 0, 0) => {
            wrong(format!("{m} takes the runnext of a P as no thief does"));
        }
        Event::SpinStop { passes, tried, .. } if tried > 0 && passes == 0 => {
            wrong(format!("{m} tried {tried} victims in no pass"));
        }
        Event::StwEnd {} => {
            let fits = match acts.stop {
                Some(StwKind::SetProcs) => acts.resized,
                Some(StwKind::Inspect) => !acts.resized,
                Some(StwKind::Shutdown) => false,
                None => acts.last.is_none(),
            };
            if !fits {
                let stop = acts.stop.map_or("none", StwKind::word);
                wrong(format!(
                    "{m} lets the world go on, which does not fit its stop ({stop})"
                ));
            }
        }
        _ => {}
    }
}

/// What readied a G follows from who ran there.
fn ready(
    acts: &Acts,
    row: &EventRow,
    g: GId,
    via: Via,
    placed: Placed,
    wrong: &mut impl FnMut(String),
) {
    let (m, by) = (row.m, row.by);
    let expected = match (acts.polled, acts.kind) {
        // Behind a gap nobody knows.
        (None, _) | (_, None) => return,
        (Some(1..), _) => Via::Netpoll,
        (Some(0), _) if placed == Placed::Direct => Via::Scheduler,
        (Some(0), Some(MKind::Worker)) if by.is_some() && !acts.in_syscall => Via::G,
        (Some(0), Some(MKind::Worker)) if !by.is_some() && row.p.is_some() => Via::Timer,
        (Some(0), _) => Via::Foreign,
    };
    if via != expected {
        wrong(format!(
            "{g} is readied by {m} ({via}), which can only be {expected}"
        ));
    }
}

impl Acts {
    fn apply(&mut self, row: &EventRow) {
        // Only the first act of a search and of the world's new beginning say more than themselves.
        let new_p = matches!(self.last, Some(Event::SpinStart {})) && self.anew;
        match row.event {
            Event::MWake { .. } | Event::Netpoll { .. } | Event::Ready { .. } => {}
            _ => self.restarts = false,
        }
        if !matches!(row.event, Event::MWake { .. }) {
            self.found = None;
        }
        match row.event {
            Event::MStart { kind, .. } => {
                self.kind = Some(kind);
                self.polled = Some(0);
                self.spins = Some(false);
                self.woken = true;
            }
            Event::MUnpark {} => self.woken = true,
            Event::PStart { .. } => self.anew = true,
            Event::PStop {
                reason: PStopReason::Blocking,
            } => self.let_go = row.p,
            Event::PStop {
                reason: PStopReason::Locked,
            } => {
                self.let_go = row.p;
                self.took = None;
            }
            Event::Retake {
                p,
                cause: RetakeCause::Syscall,
                ..
            } => self.let_go = Some(p),
            Event::Handoff { .. }
            | Event::MWake {
                reason: WakeReason::Locked,
                ..
            } => self.let_go = None,
            Event::MWake {
                reason: WakeReason::Work,
                spinning: true,
                ..
            } => self.restarts = false,
            Event::SpinStart {} => self.spins = Some(true),
            Event::SpinStop { found, .. } => {
                self.spins = Some(false);
                self.found = Some(found);
            }
            Event::Netpoll { n, .. } => self.polled = Some(n),
            Event::Ready { g, via, placed, .. } => {
                if via == Via::Netpoll {
                    self.polled = self.polled.map(|n| n.saturating_sub(1));
                }
                if placed == Placed::Direct {
                    let source = match via {
                        Via::Netpoll => Source::Netpoll,
                        _ => Source::Direct,
                    };
                    self.took = Some((source, Some(g)));
                }
            }
            Event::GlobalGrab { g, n, .. } => {
                self.took = Some((Source::Global, Some(g)));
                self.grabbed = n;
                self.anew = new_p;
            }
            Event::Steal { .. } => self.took = Some((Source::Stolen, None)),
            Event::SyscallEnter { .. } => self.in_syscall = true,
            Event::SyscallExit {} => self.in_syscall = false,
            Event::SyscallExitBlocked { placed, .. } => {
                self.in_syscall = false;
                if placed == Placed::Direct {
                    self.took = Some((Source::Direct, Some(row.g)));
                }
            }
            Event::Preempt {
                placed: Placed::Direct,
                ..
            } => self.took = Some((Source::Direct, Some(row.g))),
            Event::Start { .. } => {
                self.took = None;
                self.woken = false;
                self.in_syscall = false;
            }
            Event::StwBegin { kind } => {
                self.stop = Some(kind);
                self.resized = false;
            }
            Event::Procs { .. } => self.resized = true,
            Event::StwEnd {} => {
                self.stop = None;
                self.restarts = true;
            }
            _ => {}
        }
        if !matches!(
            row.event,
            Event::PStart { .. }
                | Event::SpinStart {}
                | Event::GlobalGrab { .. }
                | Event::SpinStop { .. }
                | Event::MWake { .. }
        ) {
            self.anew = false;
        }
        self.last = Some(row.event);
        self.last_g = row.g;
    }
}
