//! Properties of the order: a legal history survives any skew of the clocks.
//!
//! What concrete traces become is in `tests/traces`.

use proptest::prelude::*;

use super::*;
use crate::event::{GKind, MKind, PState, ParkReason, Placed, Rule, Source as From, Via};
use crate::ids::{ObjectId, SiteId};

/// A small machine of two Ms that runs a random program and keeps the true history.
#[derive(Default)]
struct Machine {
    history: Vec<(usize, Event)>,
    ring: [std::collections::VecDeque<(GId, u64)>; 2],
    head: [u32; 2],
    running: [Option<(GId, u64)>; 2],
    waiting: Vec<(GId, u64)>,
    global: std::collections::VecDeque<(GId, u64)>,
    gq: u64,
    next: u64,
}

impl Machine {
    fn new() -> Machine {
        let mut machine = Machine::default();
        machine.say(0, Event::Procs { procs: 2 });
        for m in 0..2 {
            machine.say(
                m,
                Event::MStart {
                    tid: 1,
                    kind: MKind::Worker,
                },
            );
            machine.say(
                m,
                Event::PStart {
                    p: PId(m as u32),
                    seq: 1,
                },
            );
        }
        machine
    }

    fn say(&mut self, m: usize, event: Event) {
        self.history.push((m, event));
    }

    fn start(&mut self, m: usize, (g, seq): (GId, u64), source: From, pos: u32) {
        self.running[m] = Some((g, seq + 1));
        self.say(
            m,
            Event::Start {
                g,
                seq: seq + 1,
                source,
                rule: Rule::Order,
                pos,
            },
        );
    }

    fn step(&mut self, m: usize, choice: u8) {
        match (self.running[m], choice) {
            (None, 0..=3) if !self.ring[m].is_empty() => {
                let g = self.ring[m].pop_front().expect("not empty");
                self.head[m] += 1;
                self.start(m, g, From::Local, self.head[m] - 1);
            }
            (None, 4..=5) if self.ring[1 - m].len() > 1 => {
                let victim = 1 - m;
                let n = self.ring[victim].len() / 2;
                let taken: Vec<_> = self.ring[victim].drain(..n).collect();
                self.head[victim] += n as u32;
                let event = Event::Steal {
                    victim: PId(victim as u32),
                    g: taken[0].0,
                    n: n as u32,
                    pos: self.head[victim] - n as u32,
                    victim_len: 2 * n as u32,
                    thief_len: 0,
                    passes: 1,
                    tried: 1,
                    from: crate::event::StealFrom::Ring,
                };
                self.say(m, event);
                self.ring[m].extend(&taken[..n - 1]);
                self.start(m, taken[n - 1], From::Stolen, 0);
            }
            (None, 6..=7) => {
                if let Some(g) = self.global.pop_front() {
                    self.gq += 1;
                    let event = Event::GlobalGrab {
                        g: g.0,
                        n: 1,
                        gq: self.gq,
                        len: self.global.len() as u32 + 1,
                    };
                    self.say(m, event);
                    self.start(m, g, From::Global, 0);
                }
            }
            (Some(g), 0) => {
                self.say(
                    m,
                    Event::Park {
                        reason: ParkReason::ChanRecv,
                        object: ObjectId(1),
                    },
                );
                self.waiting.push(g);
                self.running[m] = None;
            }
            (Some(g), 1) => {
                self.gq += 1;
                self.say(
                    m,
                    Event::Yield {
                        placed: Placed::Global,
                        gq: self.gq,
                    },
                );
                self.global.push_back(g);
                self.running[m] = None;
            }
            (Some(_), 2) => {
                self.say(m, Event::Exit { panicked: false });
                self.running[m] = None;
            }
            (Some(_), 3..=4) => {
                if let Some((g, seq)) = self.waiting.pop() {
                    self.ring[m].push_back((g, seq + 1));
                    let event = Event::Ready {
                        g,
                        seq: seq + 1,
                        via: Via::G,
                        placed: Placed::Local,
                        kicked: GId::NONE,
                        gq: 0,
                    };
                    self.say(m, event);
                }
            }
            (running, _) => {
                self.next += 1;
                let g = GId(self.next);
                let local = running.is_some();
                self.gq += u64::from(!local);
                let event = Event::Spawn {
                    g,
                    kind: GKind::Stackful,
                    site: SiteId(1),
                    placed: if local { Placed::Local } else { Placed::Global },
                    kicked: GId::NONE,
                    gq: if local { 0 } else { self.gq },
                };
                self.say(m, event);
                if local {
                    self.ring[m].push_back((g, 0));
                } else {
                    self.global.push_back((g, 0));
                }
            }
        }
    }
}

/// The streams of both Ms; `time` gives each event of the history its ticks.
fn streams(history: &[(usize, Event)], time: impl Fn(usize, usize) -> u64) -> [Vec<Recorded>; 2] {
    let mut out = [Vec::new(), Vec::new()];
    for (i, (m, event)) in history.iter().enumerate() {
        let stream: &mut Vec<Recorded> = &mut out[*m];
        let before = stream.last().map_or(0, |r| r.ticks);
        stream.push(Recorded {
            ticks: time(i, *m).max(before),
            m_seq: stream.len() as u64,
            event: *event,
        });
    }
    out
}

/// Whether the G is taken before the clock is read.
fn takes(event: &Event) -> bool {
    matches!(
        event,
        Event::GlobalGrab { .. } | Event::Steal { .. } | Event::Start { .. }
    )
}

/// The streams of both Ms where event `i` happened at `10 * i + 10`, and its thread was held up for a time between that and its reading of
/// the clock.
fn held_up(history: &[(usize, Event)], by: &[u64]) -> [Vec<Recorded>; 2] {
    let at = |i: usize| 10 * i as u64 + 10;
    let mut times = Vec::new();
    let mut before = [0; 2];
    for (i, (m, event)) in history.iter().enumerate() {
        let by = by[i % by.len()];
        let next = (i + 1..history.len()).find(|j| history[*j].0 == *m);
        let time = match (takes(event), next) {
            (true, Some(next)) => at(i) + by % (at(next) - at(i)),
            (true, None) => at(i) + by,
            // Before it, and after what the thread did and read before that.
            (false, _) => at(i) - by % (at(i) - before[*m]),
        };
        before[*m] = time.max(at(i));
        times.push(time);
    }
    streams(history, |i, _| times[i])
}

fn order(streams: [Vec<Recorded>; 2]) -> Vec<Ordered> {
    order_of(streams, false)
}

fn order_of(streams: [Vec<Recorded>; 2], lossy: bool) -> Vec<Ordered> {
    let mut orderer = Orderer::new(lossy);
    for (m, stream) in streams.into_iter().enumerate() {
        orderer.add(WriterId(m as u32), MId(m as u32), stream.into_iter());
    }
    let mut out = Vec::new();
    loop {
        match orderer.next() {
            Step::Event(event) => out.push(event),
            Step::Pending => unreachable!("whole streams"),
            Step::End => return out,
        }
    }
}

proptest! {
    #[test]
    fn any_skew_of_the_clocks_gives_a_legal_history(
        steps in prop::collection::vec((0..2_usize, 0..9_u8), 1..400),
        skew in 0..5_000_u64,
        jitter in prop::collection::vec(0..300_u64, 400),
    ) {
        let mut machine = Machine::new();
        steps.iter().for_each(|(m, choice)| machine.step(*m, *choice));
        let history = machine.history;
        let time = |i: usize, m: usize| 10 * i as u64 + m as u64 * skew + jitter[i % jitter.len()];
        let ordered = order(streams(&history, time));
        prop_assert_eq!(ordered.len(), history.len());
        prop_assert!(ordered.iter().all(|o| o.note.is_none()));
        // Legal again by the same rules, with true clocks this time: the order found is taken as the time.
        let again: Vec<_> = ordered.iter().map(|o| (o.m.0 as usize, o.event)).collect();
        let replayed = order(streams(&again, |i, _| i as u64));
        let events = |os: &[Ordered]| os.iter().map(|o| (o.m, o.event, o.p, o.g, o.by)).collect::<Vec<_>>();
        prop_assert_eq!(events(&replayed), events(&ordered));
    }

    #[test]
    fn true_clocks_give_the_true_history(steps in prop::collection::vec((0..2_usize, 0..9_u8), 1..400)) {
        let mut machine = Machine::new();
        steps.iter().for_each(|(m, choice)| machine.step(*m, *choice));
        let ordered = order(streams(&machine.history, |i, _| i as u64));
        let got: Vec<_> = ordered.iter().map(|o| (o.m.0 as usize, o.event)).collect();
        prop_assert_eq!(got, machine.history);
    }

    #[test]
    fn gaps_and_cuts_are_counted_and_everything_else_comes_out(
        steps in prop::collection::vec((0..2_usize, 0..9_u8), 1..300),
        cut in prop::collection::vec((0..2_usize, 0..200_usize, 1..40_usize), 1..4),
    ) {
        let mut machine = Machine::new();
        steps.iter().for_each(|(m, choice)| machine.step(*m, *choice));
        let mut streams = streams(&machine.history, |i, _| i as u64);
        for (m, from, n) in cut {
            let len = streams[m].len();
            streams[m].drain(from.min(len)..(from + n).min(len));
        }
        let lost: u64 = streams.iter().map(|s| s.last().map_or(0, |r| r.m_seq + 1) - s.len() as u64).sum();
        let n = streams.iter().map(Vec::len).sum::<usize>();
        let ordered = order_of(streams, true);
        prop_assert_eq!(ordered.len(), n);
        prop_assert_eq!(ordered.iter().map(|o| o.lost_before).sum::<u64>(), lost);
        prop_assert!(ordered.iter().all(|o| o.note != Some(Note::Unordered)));
        // Who has nothing but the history finds the same subjects in it, behind gaps too.
        let mut subjects = Subjects::default();
        for o in &ordered {
            let Subject { p, g, by } = subjects.next(o.m, &o.event, o.lost_before > 0);
            prop_assert_eq!((p, g, by), (o.p, o.g, o.by));
        }
    }
}

proptest! {
    #[test]
    fn where_nothing_is_missing_nothing_is_placed_by_its_time(
        steps in prop::collection::vec((0..2_usize, 0..9_u8), 1..400),
        by in prop::collection::vec(0..3_000_u64, 50),
    ) {
        let mut machine = Machine::new();
        steps.iter().for_each(|(m, choice)| machine.step(*m, *choice));
        // A loss may be known, of which nothing shows.
        let ordered = order_of(held_up(&machine.history, &by), true);
        prop_assert!(ordered.iter().all(|o| o.note.is_none()));
    }

    #[test]
    fn after_a_loss_nothing_comes_behind_what_is_later_than_its_next_reading_of_the_clock(
        steps in prop::collection::vec((0..2_usize, 0..9_u8), 1..400),
        by in prop::collection::vec(0..3_000_u64, 50),
        cut in prop::collection::vec((0..2_usize, 0..200_usize, 1..40_usize), 1..4),
    ) {
        let mut machine = Machine::new();
        steps.iter().for_each(|(m, choice)| machine.step(*m, *choice));
        let mut streams = held_up(&machine.history, &by);
        for (m, from, n) in cut {
            let len = streams[m].len();
            streams[m].drain(from.min(len)..(from + n).min(len));
        }
        let readings = streams.clone();
        let mut latest = 0;
        for o in order_of(streams, true) {
            let reading = |m_seq: Option<u64>| {
                let own = readings[o.m.0 as usize].iter();
                own.clone().find(|r| Some(r.m_seq) == m_seq).map(|r| r.ticks)
            };
            if let Some(next) = reading(o.m_seq.checked_add(1)) {
                prop_assert!(latest <= next, "{:?} comes behind {}", o, latest);
            }
            // What is taken may be missed since the reading before.
            let before = takes(&o.event).then(|| reading(o.m_seq.checked_sub(1))).flatten();
            latest = latest.max(before.unwrap_or(o.ticks));
        }
    }

    #[test]
    fn a_history_goes_on_where_it_was_left(
        steps in prop::collection::vec((0..2_usize, 0..9_u8), 1..300),
        left in 0..300_usize,
        overlap in 0..3_usize,
    ) {
        let mut machine = Machine::new();
        steps.iter().for_each(|(m, choice)| machine.step(*m, *choice));
        let whole = order(streams(&machine.history, |i, _| i as u64));
        let (done, rest) = whole.split_at(left.min(whole.len()));
        let mut orderer = Orderer::new(false);
        for o in done {
            orderer.replay(o.m, &o.event, false);
        }
        for (m, mut stream) in streams(&machine.history, |i, _| i as u64).into_iter().enumerate() {
            let first = done.iter().filter(|o| o.m.0 as usize == m).count();
            // What the spool still holds of what is done, a little or all of it.
            stream.drain(..first.checked_div(overlap).unwrap_or(first));
            orderer.add_from(WriterId(m as u32), MId(m as u32), stream.into_iter(), first as u64);
        }
        let again: Vec<_> = std::iter::from_fn(|| match orderer.next() {
            Step::Event(event) => Some(event),
            Step::Pending | Step::End => None,
        }).collect();
        prop_assert_eq!(again, rest);
    }
}

/// Only damage makes such numbers; they once ended the reader.
#[test]
fn nothing_comes_after_the_largest_number() {
    let p_status = Event::PStatus {
        p: PId(0),
        state: PState::Idle,
        seq: u64::MAX,
        on_m: None,
        head: 0,
        tail: 0,
        runnext: GId::NONE,
    };
    let p_start = Event::PStart { p: PId(0), seq: 0 };
    let events = [p_status, p_start].into_iter().zip(0..);
    let stream: Vec<_> = events
        .map(|(event, i)| Recorded {
            ticks: i,
            m_seq: i,
            event,
        })
        .collect();
    let mut orderer = Orderer::new(false);
    orderer.add(WriterId(0), MId(0), stream.into_iter());
    let Step::Event(first) = orderer.next() else {
        panic!("an event")
    };
    let Step::Event(second) = orderer.next() else {
        panic!("an event")
    };
    assert_eq!((first.event, first.note), (p_status, None));
    assert_eq!(
        (second.event, second.note),
        (p_start, Some(Note::Unordered))
    );
}

/// A stream that does what the test writes down; the last step is repeated.
struct Live(std::rc::Rc<std::cell::RefCell<Vec<Next>>>);

impl Source for Live {
    fn next(&mut self) -> Next {
        let mut script = self.0.borrow_mut();
        if script.len() > 1 {
            script.remove(0)
        } else {
            script[0]
        }
    }
}

fn script(steps: Vec<Next>) -> std::rc::Rc<std::cell::RefCell<Vec<Next>>> {
    std::rc::Rc::new(std::cell::RefCell::new(steps))
}

/// Misses the G that it starts.
fn start(m_seq: u64) -> Next {
    Next::Event(Recorded {
        ticks: 40,
        m_seq,
        event: Event::Start {
            g: GId(7),
            seq: 3,
            source: From::Global,
            rule: Rule::Order,
            pos: 0,
        },
    })
}

fn park(ticks: u64, m_seq: u64) -> Next {
    Next::Event(Recorded {
        ticks,
        m_seq,
        event: Event::MPark {},
    })
}

#[test]
fn after_a_loss_nothing_waits_for_what_would_have_come() {
    for (m_seq, expected) in [(0, None), (2, Some(Note::Resynced))] {
        let other = script(vec![Next::Later { progress: 45 }]);
        let mut orderer = Orderer::new(false);
        // It did what it says before it read the clock again.
        let own = script(vec![
            start(m_seq),
            park(45, m_seq + 1),
            Next::Later { progress: 90 },
        ]);
        orderer.add(WriterId(0), MId(0), Live(own));
        orderer.add(WriterId(1), MId(1), Live(other.clone()));
        // The other stream may still bring what the head misses.
        assert_eq!(orderer.next(), Step::Pending);
        *other.borrow_mut() = vec![Next::Later { progress: 46 }];
        let note = match orderer.next() {
            Step::Event(o) => o.note,
            _ => None,
        };
        assert_eq!(note, expected);
    }
}

#[test]
fn a_thread_that_says_nothing_more_is_waited_for_until_the_grace_is_over() {
    struct Patient(Live);
    impl Source for Patient {
        fn next(&mut self) -> Next {
            self.0.next()
        }
        fn grace(&self) -> u64 {
            10
        }
    }
    let lost = Next::Event(Recorded {
        ticks: 900,
        m_seq: 30,
        event: Event::MUnpark {},
    });
    // The thread is silent; what it says next is lost; it ended.
    for then in [Next::Later { progress: 40 }, lost, Next::End] {
        let mut orderer = Orderer::new(true);
        let own = script(vec![start(0), then]);
        let other = script(vec![
            park(41, 0),
            park(50, 1),
            park(51, 2),
            Next::Later { progress: 60 },
        ]);
        orderer.add(WriterId(0), MId(0), Patient(Live(own.clone())));
        orderer.add(WriterId(1), MId(1), Patient(Live(other)));
        if matches!(then, Next::Later { .. }) {
            // It may have read the clock again, at 41 or later.
            assert_eq!(orderer.next(), Step::Pending);
            *own.borrow_mut() = vec![Next::Later { progress: 50 }];
        }
        let found: Vec<_> = std::iter::from_fn(|| match orderer.next() {
            Step::Event(o) => Some((o.ticks, o.note.is_some())),
            Step::Pending | Step::End => None,
        })
        .take(3)
        .collect();
        assert_eq!(found, [(41, false), (50, false), (40, true)], "{then:?}");
    }
}

#[test]
fn a_stream_that_is_behind_holds_up_what_it_may_still_precede() {
    let slow = script(vec![Next::Later { progress: 50 }]);
    let mut orderer = Orderer::new(false);
    orderer.add(
        WriterId(0),
        MId(0),
        Live(script(vec![park(40, 0), park(60, 1), Next::End])),
    );
    orderer.add(WriterId(1), MId(1), Live(slow.clone()));
    let ticks = |step| match step {
        Step::Event(o) => Some(o.ticks),
        _ => None,
    };
    assert_eq!(ticks(orderer.next()), Some(40));
    assert_eq!(orderer.next(), Step::Pending);
    *slow.borrow_mut() = vec![park(55, 0), Next::End];
    assert_eq!(ticks(orderer.next()), Some(55));
    assert_eq!(ticks(orderer.next()), Some(60));
    assert_eq!(orderer.next(), Step::End);
}
