//! The model on small histories: what is derived, that it tiles, and that each planted fault is found.

use gmp_trace::event::{
    GKind, MKind, ParkReason, Placed, PreemptCause, Rule, Source, StealFrom, SyscallKind, Via,
};
use gmp_trace::ids::{MId, ObjectId, PId, SiteId};

use super::*;

mod gaps;

/// Keeps everything.
#[derive(Default)]
struct Kept {
    g: Vec<GInterval>,
    p: Vec<PInterval>,
    m: Vec<MInterval>,
    wakeups: Vec<Wakeup>,
    violations: Vec<Violation>,
    unanswered: Vec<Unanswered>,
}

impl Sink for Kept {
    fn g(&mut self, interval: &GInterval) {
        self.g.push(*interval);
    }
    fn p(&mut self, interval: &PInterval) {
        self.p.push(*interval);
    }
    fn m(&mut self, interval: &MInterval) {
        self.m.push(*interval);
    }
    fn wakeup(&mut self, wakeup: &Wakeup) {
        self.wakeups.push(*wakeup);
    }
    fn unanswered(&mut self, unanswered: &Unanswered) {
        self.unanswered.push(*unanswered);
    }
    fn violation(&mut self, violation: &Violation) {
        self.violations.push(violation.clone());
    }
}

/// A history that is written down event by event.
struct History(Vec<EventRow>);

impl History {
    fn at(mut self, ts: i64, m: u32, p: Option<u32>, g: u64, by: u64, event: Event) -> History {
        self.0.push(EventRow {
            id: self.0.len() as i64 + 1,
            process: 1,
            ts,
            m: MId(m),
            m_seq: self.0.len() as u64,
            p: p.map(PId),
            g: GId(g),
            by: GId(by),
            event,
        });
        self
    }

    fn run(&self) -> (Kept, Clamped) {
        let (mut model, mut kept) = (Model::new(Missing::default()), Kept::default());
        self.0.iter().for_each(|row| model.event(row, &mut kept));
        model.finish(&mut kept);
        (kept, model.clamped())
    }
}

fn spawn(g: u64, placed: Placed, kicked: u64, gq: u64) -> Event {
    Event::Spawn {
        g: GId(g),
        kind: GKind::Stackful,
        site: SiteId(1),
        placed,
        kicked: GId(kicked),
        gq,
    }
}

fn start(g: u64, seq: u64, source: Source) -> Event {
    Event::Start {
        g: GId(g),
        seq,
        source,
        rule: Rule::Order,
        pos: 0,
    }
}

fn grab(g: u64, gq: u64) -> Event {
    Event::GlobalGrab {
        g: GId(g),
        n: 1,
        gq,
        len: 1,
    }
}

const PARK: Event = Event::Park {
    reason: ParkReason::ChanRecv,
    object: ObjectId(1),
};

/// G1 runs on P0, spawns G2 into runnext, parks; G2 readies it and ends.
fn story() -> History {
    let worker = Event::MStart {
        tid: 1,
        kind: MKind::Worker,
    };
    History(Vec::new())
        .at(0, 0, None, 0, 0, Event::Procs { procs: 1 })
        .at(10, 0, None, 1, 0, spawn(1, Placed::Global, 0, 1))
        .at(20, 1, None, 0, 0, worker)
        .at(30, 1, Some(0), 0, 0, Event::PStart { p: PId(0), seq: 1 })
        .at(40, 1, Some(0), 1, 0, grab(1, 2))
        .at(50, 1, Some(0), 1, 0, start(1, 1, Source::Global))
        .at(60, 1, Some(0), 2, 1, spawn(2, Placed::Runnext, 0, 0))
        .at(70, 1, Some(0), 1, 0, PARK)
        .at(80, 1, Some(0), 2, 0, start(2, 1, Source::Runnext))
        .at(
            90,
            1,
            Some(0),
            1,
            2,
            Event::Ready {
                g: GId(1),
                seq: 2,
                via: Via::G,
                placed: Placed::Local,
                kicked: GId::NONE,
                gq: 0,
            },
        )
        .at(100, 1, Some(0), 2, 0, Event::Exit { panicked: false })
        .at(110, 1, Some(0), 1, 0, start(1, 3, Source::Local))
        .at(150, 1, Some(0), 1, 0, Event::Exit { panicked: false })
}

fn of_g(kept: &Kept, g: u64) -> Vec<(&'static str, i64, i64)> {
    kept.g
        .iter()
        .filter(|i| i.g == GId(g))
        .map(|i| (i.state.word(), i.from, i.to))
        .collect()
}

#[test]
fn intervals_follow_from_events_and_tile() {
    let (kept, clamped) = story().run();
    assert_eq!(kept.violations, []);
    assert_eq!(clamped.n, 0);
    assert_eq!(
        of_g(&kept, 1),
        [
            ("runnable", 10, 50),
            ("running", 50, 70),
            ("waiting", 70, 90),
            ("runnable", 90, 110),
            ("running", 110, 150)
        ]
    );
    assert_eq!(of_g(&kept, 2), [("runnable", 60, 80), ("running", 80, 100)]);
    let p: Vec<_> = kept
        .p
        .iter()
        .map(|i| (i.state.word(), i.from, i.to))
        .collect();
    assert_eq!(
        p,
        [
            ("idle", 0, 30),
            ("scheduling", 30, 50),
            ("running", 50, 70),
            ("scheduling", 70, 80),
            ("running", 80, 100),
            ("scheduling", 100, 110),
            ("running", 110, 150),
            ("scheduling", 150, 150)
        ]
    );
    let latencies: Vec<_> = kept
        .wakeups
        .iter()
        .map(|w| (w.g.0, w.by.0, w.latency()))
        .collect();
    assert_eq!(latencies, [(1, 0, 40), (2, 1, 20), (1, 2, 20)]);
}

#[test]
fn clocks_that_disagree_are_clamped_and_counted() {
    let mut history = story();
    // G2's start by a clock that is 25 ns behind the one that spawned it.
    history.0[8].ts = 45;
    let (kept, clamped) = history.run();
    assert_eq!(kept.violations, []);
    assert_eq!(of_g(&kept, 2)[0], ("runnable", 60, 60));
    assert!(clamped.n >= 1 && clamped.max_ns == 25, "{clamped:?}");
    assert!(kept.p.windows(2).all(|w| w[0].to == w[1].from));
}

/// The rules that a change to the story breaks.
fn broken(change: impl Fn(&mut Vec<EventRow>)) -> Vec<&'static str> {
    let mut history = story();
    change(&mut history.0);
    let mut rules: Vec<_> = history.run().0.violations.iter().map(|v| v.rule).collect();
    rules.dedup();
    rules
}

/// The change that leaves one event out.
fn without(event: usize) -> impl Fn(&mut Vec<EventRow>) {
    move |history| {
        history.remove(event);
    }
}

#[test]
fn each_fault_is_found_by_its_rule() {
    assert!(broken(without(5)).contains(&"g states"));
    assert!(broken(without(9)).contains(&"g states"));
    assert!(broken(without(3)).contains(&"a g runs on a p"));
    assert!(broken(without(6)).contains(&"run queues"));
    assert!(broken(without(4)).is_empty());
    let two_holders = |h: &mut Vec<EventRow>| {
        let mut row = h[3];
        (row.id, row.m) = (99, MId(2));
        row.event = Event::PStart { p: PId(0), seq: 2 };
        h.insert(4, row);
    };
    assert_eq!(broken(two_holders), ["one m per p"]);
    let elsewhere = |h: &mut Vec<EventRow>| h[12].m = MId(3);
    assert_eq!(broken(elsewhere), ["one m per g"]);
    let stolen_from_nowhere = |h: &mut Vec<EventRow>| {
        let mut row = h[8];
        row.event = Event::Steal {
            victim: PId(0),
            g: GId(7),
            n: 2,
            pos: 0,
            victim_len: 2,
            thief_len: 0,
            passes: 1,
            tried: 1,
            from: StealFrom::Ring,
        };
        h.insert(8, row);
    };
    assert_eq!(broken(stolen_from_nowhere), ["run queues"]);
    let other_length = |h: &mut Vec<EventRow>| {
        if let Event::GlobalGrab { len, .. } = &mut h[4].event {
            *len = 2;
        }
    };
    assert_eq!(broken(other_length), ["run queues"]);
    let not_in_a_syscall = |h: &mut Vec<EventRow>| h[7].event = Event::SyscallExit {};
    assert!(broken(not_in_a_syscall).contains(&"g states"));
}

#[test]
fn a_system_call_keeps_the_p_until_it_is_retaken() {
    let enter = Event::SyscallEnter {
        kind: SyscallKind::Syscall,
        seq: 2,
    };
    let retake = Event::Retake {
        p: PId(0),
        seq: 3,
        from_m: MId(1),
        cause: gmp_trace::event::RetakeCause::Syscall,
    };
    let blocked = Event::SyscallExitBlocked {
        placed: Placed::Global,
        gq: 3,
    };
    let mut history = story();
    history.0.truncate(6);
    let (kept, _) = history
        .at(60, 1, Some(0), 1, 0, enter)
        .at(90, 9, Some(0), 0, 0, retake)
        .at(95, 1, None, 1, 0, blocked)
        .run();
    assert_eq!(kept.violations, []);
    assert_eq!(
        of_g(&kept, 1)[2..],
        [("syscall", 60, 95), ("runnable", 95, 95)]
    );
    let p: Vec<_> = kept
        .p
        .iter()
        .map(|i| (i.state.word(), i.from, i.to))
        .collect();
    assert_eq!(p[3..], [("syscall", 60, 90), ("idle", 90, 95)]);
}

/// Sysmon, M9, asks the G on P0 to give way.
fn ask(cause: PreemptCause) -> Event {
    Event::PreemptRequest {
        p: PId(0),
        of_m: MId(1),
        cause,
        ns: 10,
        signal: false,
    }
}

#[test]
fn a_g_that_is_asked_to_give_way_is_told_with_what_it_did() {
    let preempt = Event::Preempt {
        cause: PreemptCause::Slice,
        placed: Placed::Global,
        kicked: GId(0),
        gq: 3,
    };
    let worker = Event::MStart {
        tid: 1,
        kind: MKind::Worker,
    };
    let (kept, _) = History(Vec::new())
        .at(0, 0, None, 0, 0, Event::Procs { procs: 1 })
        .at(10, 0, None, 1, 0, spawn(1, Placed::Global, 0, 1))
        .at(20, 1, None, 0, 0, worker)
        // Nobody holds the P: there is nobody to ask.
        .at(25, 9, Some(0), 0, 0, ask(PreemptCause::Slice))
        .at(30, 1, Some(0), 0, 0, Event::PStart { p: PId(0), seq: 1 })
        .at(40, 1, Some(0), 1, 0, grab(1, 2))
        .at(50, 1, Some(0), 1, 0, start(1, 1, Source::Global))
        .at(60, 9, Some(0), 0, 0, ask(PreemptCause::Slice))
        .at(70, 9, Some(0), 0, 0, ask(PreemptCause::Stw))
        .at(100, 1, Some(0), 1, 0, preempt)
        .at(110, 1, Some(0), 1, 0, grab(1, 4))
        .at(120, 1, Some(0), 1, 0, start(1, 2, Source::Global))
        .at(130, 9, Some(0), 0, 0, ask(PreemptCause::Stw))
        .at(150, 9, None, 0, 0, Event::StwEnd {})
        .run();
    assert!(kept.violations.is_empty(), "{:?}", kept.violations);
    let first = Unanswered {
        g: GId(1),
        p: PId(0),
        m: Some(MId(1)),
        from: 50,
        asked: 60,
        to: 100,
        over: true,
        cause: PreemptCause::Slice,
        before_ns: 10,
        signal: false,
        requests: 2,
    };
    assert_eq!((first.ran(), first.ignored()), (50, 40));
    // It still runs when the trace ends.
    let second = Unanswered {
        from: 120,
        asked: 130,
        to: 150,
        over: false,
        cause: PreemptCause::Stw,
        requests: 1,
        ..first
    };
    assert_eq!(kept.unanswered, [first, second]);
}
