//! Over gaps nothing is asserted: what the model says of a history with holes is what it says of the whole one, or unknown.

use std::collections::{BTreeMap, VecDeque};

use gmp_trace::event::{GState as GStatus, PStopReason, RetakeCause, SyscallKind};
use proptest::prelude::*;

use super::super::trust::Gap;
use super::*;

/// Two Ms and two Ps that run a random program; each M may lose its events for a while.
#[derive(Default)]
struct Machine {
    /// Everything, and what is recorded of it.
    whole: Vec<EventRow>,
    seen: Vec<EventRow>,
    gaps: BTreeMap<MId, Vec<Gap>>,
    ms: [Thread; 2],
    ps: [Proc; 2],
    moves: BTreeMap<u64, u64>,
    global: VecDeque<u64>,
    waiting: Vec<u64>,
    gq: u64,
    next: u64,
}

#[derive(Default)]
struct Thread {
    p: Option<u32>,
    g: u64,
    in_syscall: bool,
    events: u64,
    /// The number of its last event that is recorded.
    last: Option<u64>,
    loses: bool,
}

#[derive(Clone, Copy, Default)]
struct Proc {
    seq: u64,
    held: bool,
}

impl Machine {
    fn new() -> Machine {
        let mut machine = Machine::default();
        machine.say(0, 0, 0, Event::Procs { procs: 2 });
        for m in 0..2 {
            let kind = MKind::Worker;
            machine.say(m, 0, 0, Event::MStart { tid: 1, kind });
        }
        machine
    }

    fn row(&mut self, m: usize, g: u64, by: u64, event: Event) -> EventRow {
        let thread = &mut self.ms[m];
        thread.events += 1;
        EventRow {
            id: 0,
            process: 1,
            ts: 10 * self.whole.len() as i64,
            m: MId(m as u32),
            m_seq: thread.events - 1,
            p: thread.p.map(PId),
            g: GId(g),
            by: GId(by),
            event,
        }
    }

    fn say(&mut self, m: usize, g: u64, by: u64, event: Event) {
        if self.ms[m].loses {
            let row = self.row(m, g, by, event);
            return self.whole.push(row);
        }
        if self.ms[m].last.map_or(0, |last| last + 1) < self.ms[m].events {
            self.come_back(m, &event);
        }
        let row = self.row(m, g, by, event);
        self.ms[m].last = Some(row.m_seq);
        self.whole.push(row);
        self.record(row);
    }

    fn record(&mut self, row: EventRow) {
        let id = self.seen.len() as i64 + 1;
        self.seen.push(EventRow { id, ..row });
    }

    fn gap(&mut self, m: usize, until: Option<u64>) {
        let gap = Gap::new(self.ms[m].last, until);
        self.gaps.entry(MId(m as u32)).or_default().push(gap);
    }

    /// The first events after a gap say what the M has.
    fn come_back(&mut self, m: usize, event: &Event) {
        self.gap(m, Some(self.ms[m].events));
        let Thread {
            p, g, in_syscall, ..
        } = self.ms[m];
        let on_m = Some(MId(m as u32));
        if let Some(p) = p
            && !matches!(event, Event::PStart { .. })
        {
            let (head, tail, runnext) = (0, 0, GId::NONE);
            // An event that counts on has counted already.
            let counts = matches!(event, Event::SyscallEnter { .. });
            let seq = self.ps[p as usize].seq - u64::from(counts);
            let state = match in_syscall {
                true => gmp_trace::event::PState::Syscall,
                false => gmp_trace::event::PState::Running,
            };
            let p = PId(p);
            let row = self.row(
                m,
                0,
                0,
                Event::PStatus {
                    p,
                    state,
                    seq,
                    on_m,
                    head,
                    tail,
                    runnext,
                },
            );
            self.record(row);
        }
        if g != 0 && !matches!(event, Event::Start { .. }) {
            let state = match in_syscall {
                true => GStatus::Syscall,
                false => GStatus::Running,
            };
            let (seq, g) = (self.moves[&g], GId(g));
            let row = self.row(
                m,
                g.0,
                0,
                Event::GStatus {
                    g,
                    state,
                    seq,
                    on_m,
                },
            );
            self.record(row);
        }
    }

    fn step(&mut self, m: usize, choice: u8) {
        let other = 1 - m;
        let Thread {
            p, g, in_syscall, ..
        } = self.ms[m];
        match (p, g, choice) {
            (_, _, 12..) => self.ms[m].loses = !self.ms[m].loses,
            // Sysmon's part: the other one's P, if its G is in a system call.
            (_, _, 11) if self.ms[other].in_syscall && self.ms[other].p.is_some() => {
                let p = self.ms[other].p.take().expect("held");
                self.ps[p as usize].seq += 1;
                self.ps[p as usize].held = false;
                let (seq, p, from_m) = (self.ps[p as usize].seq, PId(p), MId(other as u32));
                let cause = RetakeCause::Syscall;
                self.say(
                    m,
                    g,
                    0,
                    Event::Retake {
                        p,
                        seq,
                        from_m,
                        cause,
                    },
                );
            }
            (Some(_), _, 0..=3) if in_syscall => {
                self.say(m, g, 0, Event::SyscallExit {});
                self.ms[m].in_syscall = false;
            }
            (None, 1.., _) if in_syscall => {
                self.gq += 1;
                let (placed, gq) = (Placed::Global, self.gq);
                self.say(m, g, 0, Event::SyscallExitBlocked { placed, gq });
                (self.ms[m].in_syscall, self.ms[m].g) = (false, 0);
                self.global.push_back(g);
            }
            _ if in_syscall => {}
            (None, _, _) => {
                if let Some(p) = self.ps.iter().position(|p| !p.held) {
                    self.ps[p].seq += 1;
                    self.ps[p].held = true;
                    self.ms[m].p = Some(p as u32);
                    let (seq, p) = (self.ps[p].seq, PId(p as u32));
                    self.say(m, 0, 0, Event::PStart { p, seq });
                }
            }
            (Some(p), 0, 0..=1) => {
                let reason = PStopReason::Idle;
                self.say(m, 0, 0, Event::PStop { reason });
                self.ms[m].p = None;
                self.ps[p as usize].held = false;
            }
            (Some(_), 0, 2..=7) => {
                let len = self.global.len() as u32;
                if let Some(g) = self.global.pop_front() {
                    self.gq += 1;
                    let (n, gq) = (1, self.gq);
                    self.say(
                        m,
                        g,
                        0,
                        Event::GlobalGrab {
                            g: GId(g),
                            n,
                            gq,
                            len,
                        },
                    );
                    let seq = self.moves.entry(g).or_default();
                    *seq += 1;
                    let event = start(g, *seq, Source::Global);
                    self.say(m, g, 0, event);
                    self.ms[m].g = g;
                }
            }
            (Some(_), 1.., 0..=1) => {
                self.say(m, g, 0, PARK);
                self.waiting.push(g);
                self.ms[m].g = 0;
            }
            (Some(_), 1.., 2) => {
                self.gq += 1;
                let (placed, gq) = (Placed::Global, self.gq);
                self.say(m, g, 0, Event::Yield { placed, gq });
                self.global.push_back(g);
                self.ms[m].g = 0;
            }
            (Some(_), 1.., 3) => {
                let panicked = false;
                self.say(m, g, 0, Event::Exit { panicked });
                self.moves.remove(&g);
                self.ms[m].g = 0;
            }
            (Some(p), 1.., 4) => {
                self.ps[p as usize].seq += 1;
                let (kind, seq) = (SyscallKind::Syscall, self.ps[p as usize].seq);
                self.say(m, g, 0, Event::SyscallEnter { kind, seq });
                self.ms[m].in_syscall = true;
            }
            (Some(_), 1.., 5..=7) if !self.waiting.is_empty() => {
                let ready = self.waiting.remove(0);
                self.gq += 1;
                let seq = self.moves.entry(ready).or_default();
                *seq += 1;
                let event = Event::Ready {
                    g: GId(ready),
                    seq: *seq,
                    via: Via::G,
                    placed: Placed::Global,
                    kicked: GId::NONE,
                    gq: self.gq,
                };
                self.say(m, ready, g, event);
                self.global.push_back(ready);
            }
            _ => {
                self.next += 1;
                self.gq += 1;
                let (new, gq) = (self.next, self.gq);
                self.moves.insert(new, 0);
                self.say(m, new, g, spawn(new, Placed::Global, 0, gq));
                self.global.push_back(new);
            }
        }
    }

    /// What the model says of everything, and of what is recorded.
    fn end(mut self) -> (Kept, Kept, Vec<EventRow>) {
        for m in 0..2 {
            if self.ms[m].last.map_or(0, |last| last + 1) < self.ms[m].events {
                self.gap(m, None);
            }
        }
        let run = |rows: &[EventRow], missing| {
            let (mut model, mut kept) = (Model::new(missing), Kept::default());
            rows.iter().for_each(|row| model.event(row, &mut kept));
            model.finish(&mut kept);
            kept
        };
        let (whole, missing) = (
            run(&self.whole, Missing::default()),
            Missing::with(self.gaps),
        );
        (whole, run(&self.seen, missing), self.seen)
    }
}

/// From when to when a subject was in a state.
type Span = (String, i64, i64, String);

fn spans(kept: &Kept) -> Vec<Span> {
    let g = |i: &GInterval| (i.g.to_string(), i.from, i.to, i.state.word().to_owned());
    let p = |i: &PInterval| (i.p.to_string(), i.from, i.to, format!("{:?}", i.state));
    let m = |i: &MInterval| (i.m.to_string(), i.from, i.to, format!("{:?}", i.state));
    let (gs, ps) = (kept.g.iter().map(g), kept.p.iter().map(p));
    gs.chain(ps).chain(kept.m.iter().map(m)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_is_asserted_is_true(steps in prop::collection::vec((0..2_usize, 0..13_u8), 1..300)) {
        let mut machine = Machine::new();
        steps.iter().for_each(|(m, choice)| machine.step(*m, *choice));
        let (whole, seen, rows) = machine.end();
        prop_assert_eq!(&whole.violations, &[]);
        // Told with what fails, which nobody could understand from the steps.
        let told = || rows.iter().map(|r| format!("{} {} {}: {:?}\n", r.ts, r.m, r.m_seq, r.event)).collect::<String>();
        prop_assert_eq!(&seen.violations, &[], "{}", told());
        prop_assert!(spans(&whole).iter().all(|(.., state)| !state.eq_ignore_ascii_case("unknown")));
        let mut truth: BTreeMap<String, Vec<Span>> = BTreeMap::new();
        for span in spans(&whole) {
            truth.entry(span.0.clone()).or_default().push(span);
        }
        let mut ends: BTreeMap<String, i64> = BTreeMap::new();
        for span in spans(&seen) {
            let (who, from, to, state) = &span;
            // Known or not, the intervals tile.
            if let Some(before) = ends.insert(who.clone(), *to) {
                prop_assert_eq!(before, *from, "{:?}", &span);
            }
            if state.eq_ignore_ascii_case("unknown") {
                continue;
            }
            for (_, since, until, is) in truth.get(who).into_iter().flatten() {
                let overlap = *from.max(since) < *to.min(until);
                prop_assert!(!overlap || is == state, "{:?}, but it is {} from {} to {}\n{}", &span, is, since, until, told());
            }
        }
        // What is known is not thrown away either: a running G is, from its start to the next event of its M.
        for (i, row) in rows.iter().enumerate() {
            let next = rows[i + 1..].iter().find(|next| next.m == row.m);
            if let (Event::Start { g, .. }, Some(next)) = (row.event, next)
                && next.m_seq == row.m_seq + 1
            {
                let runs = |of: &GInterval| of.g == g && of.state == GState::Running && of.from == row.ts && of.to >= next.ts;
                prop_assert!(seen.g.iter().any(runs), "{} does not run from {} to {}", g, row.ts, next.ts);
            }
        }
        for wakeup in &seen.wakeups {
            prop_assert!(whole.wakeups.iter().any(|w| (w.g, w.ready_ts, w.start_ts) == (wakeup.g, wakeup.ready_ts, wakeup.start_ts)));
        }
    }
}

/// G1 runs from 50 on; what its M does after that is lost until 500.
fn lost_while_it_ran() -> Kept {
    let status = Event::GStatus {
        g: GId(1),
        state: GStatus::Running,
        seq: 1,
        on_m: Some(MId(1)),
    };
    let p_status = Event::PStatus {
        p: PId(0),
        state: gmp_trace::event::PState::Running,
        seq: 1,
        on_m: Some(MId(1)),
        head: 0,
        tail: 0,
        runnext: GId::NONE,
    };
    let mut history = story();
    history.0.truncate(6);
    let mut history = history
        .at(60, 9, Some(0), 0, 0, ask(PreemptCause::Slice))
        .at(500, 1, Some(0), 0, 0, p_status)
        .at(500, 1, Some(0), 1, 0, status)
        .at(510, 9, Some(0), 0, 0, ask(PreemptCause::Slice))
        .at(520, 1, Some(0), 1, 0, PARK);
    history.0[7..].iter_mut().for_each(|row| row.m_seq += 1_000);
    let gap = Gap::new(Some(5), Some(1_007));
    let missing = Missing::with([(MId(1), vec![gap])]);
    let (mut model, mut kept) = (Model::new(missing), Kept::default());
    history.0.iter().for_each(|row| model.event(row, &mut kept));
    model.finish(&mut kept);
    kept
}

#[test]
fn nothing_runs_over_a_gap() {
    let kept = lost_while_it_ran();
    assert_eq!(kept.violations, []);
    let known = [
        ("runnable", 10, 50),
        ("unknown", 50, 500),
        ("running", 500, 520),
        ("waiting", 520, 520),
    ];
    assert_eq!(of_g(&kept, 1), known);
    let p = kept.p.iter().map(|i| (i.state.word(), i.from, i.to));
    let p: Vec<_> = p.skip(2).collect();
    assert_eq!(p[0], ("unknown", 50, 500));
    assert_eq!(p[2..], [("running", 500, 520), ("scheduling", 520, 520)]);
    let m = kept.m.iter().filter(|i| i.m == MId(1));
    let m: Vec<_> = m.map(|i| (i.state.word(), i.from, i.to)).collect();
    assert_eq!(
        m[1..],
        [
            ("unknown", 50, 500),
            ("running", 500, 520),
            ("scheduling", 520, 520)
        ]
    );
}

#[test]
fn a_g_that_may_have_stopped_in_a_gap_is_no_hog() {
    let kept = lost_while_it_ran();
    let told = kept.unanswered.iter().map(|u| (u.from, u.asked, u.to));
    assert_eq!(told.collect::<Vec<_>>(), [(500, 510, 520)]);
}
