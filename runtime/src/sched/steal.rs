//! Stealing: looking for Gs, and for due timers, at other Ps.
//!
//! A thief makes up to four passes over all Ps, each in an order that the policy makes and that names every P once.
//! It takes half of the first ring that is not empty, or what else the policy says. In the last pass it also runs the timers of its victims and takes their
//! `runnext`, which it would rather leave to them: a P that runs a G is about to run its `runnext` itself, so the thief
//! first waits a moment (the policy `runnext_delay`).

use gmp_policy::Topology;
use gmp_policy::view::{Ps, StealView};
use gmp_trace::event::{Event, PState, Rule, Source, StealFrom};
use gmp_trace::ids::{GId, PId};
use gmp_trace::tally::Tally;

use crate::sched::find::{self, Pick};
use crate::sched::g::GRef;
use crate::sched::m::M;
use crate::sched::p::P;
use crate::sched::{Sched, timers, wake};
use crate::time::now_ns;

/// What a search at other Ps came to.
pub(crate) enum Outcome {
    /// A G.
    Got(Pick),
    /// No G, but the search is to begin anew: timers ran, or the world stops.
    NewWork,
    /// Nothing anywhere.
    Nothing,
}

/// The Ps as a policy may look at them.
struct Seen(&'static Sched);

impl Seen {
    /// A policy may ask for anything.
    fn in_use(&self, p: u32) -> Option<&'static P> {
        (p < self.0.procs()).then(|| self.0.p(PId(p)))
    }
}

impl Ps for Seen {
    fn queue_len(&self, p: u32) -> u32 {
        self.in_use(p).map_or(0, |p| p.runq.len())
    }

    fn cpu(&self, p: u32) -> Option<u32> {
        self.in_use(p).and_then(P::cpu)
    }

    fn topology(&self) -> &Topology {
        self.0.topology()
    }
}

/// Puts the victims of a pass into `order`.
fn order_victims(m: &'static M, p: &'static P, pass: u32, order: &mut Vec<u32>) {
    let sched = m.sched;
    let procs = sched.procs();
    let view = StealView {
        thief: p.id.0,
        procs,
        pass,
        passes: sched.policy.steal_rounds,
        tick: p.ticks(),
        last_victim: Some(p.last_victim.get()).filter(|p| *p < procs),
        random: m.next_random(),
        ps: &Seen(sched),
    };
    sched.policy.victims(&view, order);
    if let Some(p) = order.iter().find(|p| **p >= procs) {
        let name = sched.policy.victims.name;
        crate::fatal::fatal(format_args!(
            "the policy victims={name} names P{p}, but there are {procs} Ps"
        ));
    }
}

/// Looks at all other Ps; lowers `poll_until` to the earliest timer seen (0 = none). Go: `stealWork`.
pub(crate) fn from_others(m: &'static M, p: &'static P, poll_until: &mut u64) -> Outcome {
    let sched = m.sched;
    let mut ran_timer = false;
    for pass in 0..sched.policy.steal_rounds {
        let last = pass + 1 == sched.policy.steal_rounds;
        m.search.set((m.search.get().0 + 1, m.search.get().1));
        let mut order = m.victims.borrow_mut();
        order_victims(m, p, pass, &mut order);
        for &victim in order.iter() {
            if sched.is_stopping() {
                return Outcome::NewWork;
            }
            let victim = sched.p(PId(victim));
            if std::ptr::eq(victim, p) {
                continue;
            }
            if last {
                let next = victim.timers.next_when();
                if next != u64::MAX {
                    let now = now_ns();
                    if next <= now && timers::run_due(m, victim, now) > 0 {
                        ran_timer = true;
                        if let Some(pick) = find::take_local(m, p) {
                            return Outcome::Got(pick);
                        }
                    }
                    *poll_until = timers::earlier(*poll_until, victim.timers.next_when());
                }
            }
            // *The P on its way*: it is idle too while an M that is to run its queue is being woken, and `find::recheck` sees that queue.
            // It would send every thief back here, around and around, if the P were passed over. Go passes over those on its idle list.
            if victim.state() == PState::Idle && victim.runq.is_empty() {
                continue;
            }
            m.search.set((m.search.get().0, m.search.get().1 + 1));
            m.tracer().count(Tally::StealsTried);
            if let Some(pick) = from_victim(m, p, victim, last) {
                p.last_victim.set(victim.id.0);
                return Outcome::Got(pick);
            }
        }
    }
    if ran_timer {
        Outcome::NewWork
    } else {
        Outcome::Nothing
    }
}

/// Takes from one victim's ring, or in the last pass from its `runnext`. Go: `runqsteal`.
fn from_victim(m: &'static M, p: &'static P, victim: &'static P, last_pass: bool) -> Option<Pick> {
    loop {
        if let Some(pick) = from_ring(m, p, victim) {
            return Some(pick);
        }
        if !last_pass {
            return None;
        }
        let next = victim.runq.see_runnext()?;
        let delay = m.sched.policy.runnext_delay;
        if victim.state() == PState::Running && !delay.is_zero() {
            // The victim is about to run it: give it the time to. A G in a system call will not.
            std::thread::sleep(delay);
        }
        // The one that was there before the pause, or none: in a pair that ready each other all the time the other one is in its place
        // now, and has been there for no time at all. As in Go, the ring is looked at again then.
        if let Some(g) = victim.runq.steal_seen_runnext(next) {
            return Some(took_runnext(m, p, victim, g));
        }
    }
}

fn from_ring(m: &'static M, p: &'static P, victim: &'static P) -> Option<Pick> {
    let (passes, tried) = m.search.get();
    let thief_len = p.runq.len();
    let ticks = m.tracer().now();
    // SAFETY: this M holds the thief's P.
    let s = unsafe {
        victim
            .runq
            .steal_into(|len| m.sched.policy.steal_amount(len), &p.runq)
    }?;
    let tracer = m.tracer();
    tracer.count(Tally::Steals);
    tracer.count_n(Tally::StolenGs, u64::from(s.n));
    tracer.count_n(Tally::VictimGs, u64::from(s.victim_len));
    let event = Event::Steal {
        victim: victim.id,
        g: GId(s.first),
        n: s.n,
        pos: s.pos,
        victim_len: s.victim_len,
        thief_len,
        passes,
        tried,
        from: StealFrom::Ring,
    };
    tracer.emit(ticks, event);
    Some(Pick::new(s.last, Source::Stolen, Rule::Order))
}

fn took_runnext(m: &'static M, p: &'static P, victim: &'static P, g: GRef) -> Pick {
    let (passes, tried) = m.search.get();
    let tracer = m.tracer();
    tracer.count(Tally::Steals);
    tracer.count(Tally::StolenGs);
    let event = Event::Steal {
        victim: victim.id,
        g: g.id(),
        n: 1,
        pos: 0,
        victim_len: 0,
        thief_len: p.runq.len(),
        passes,
        tried,
        from: StealFrom::Runnext,
    };
    tracer.emit(tracer.now(), event);
    Pick::new(g, Source::Stolen, Rule::Order)
}

/// After a spinner found a G: it stops being one, and wakes the next, so that Ms ramp up one by one, if the policy lets it.
/// Go: `resetspinning`.
pub(crate) fn found_while_spinning(m: &'static M) {
    find::stop_counting(m, true);
    wake::wake_for_work(m.sched, m.tracer(), true);
    if !m.sched.policy.trusts_spinners() {
        find::leave_timers(m.sched);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use gmp_policy::Cpu;

    use super::*;
    use crate::sched::m;
    use crate::sys::affinity;

    /// A P's number, or none yet.
    struct Where(AtomicU32);

    impl Where {
        /// This P is where the calling G runs, and goes on running until the other G has ended.
        fn hold(&self, cpu: u32, until: &AtomicU32) {
            affinity::pin(cpu).expect("one of ours");
            let p = m::current().expect("an M").held_p();
            p.note_cpu();
            self.0.store(p.id.0, Ordering::Release);
            while until.load(Ordering::Acquire) == 0 {
                std::hint::spin_loop();
            }
        }

        fn wait(&self) -> u32 {
            loop {
                match self.0.load(Ordering::Acquire) {
                    u32::MAX => std::hint::spin_loop(),
                    p => return p,
                }
            }
        }
    }

    /// Two Ps are in use, one on the thief's CPU and one on another, by a topology that says that these are far apart.
    #[test]
    fn nearest_visits_the_p_on_the_same_cpu_first() {
        let policy = "victims=nearest,time_slice=10s".parse().expect("a policy");
        // SAFETY: the Gs hold nothing bound to a thread over a call into the runtime, and do not call it while they hold their Ps.
        let runtime = unsafe { crate::Builder::new() }.procs(3).policy(policy);
        let (near, far) = affinity::two_for_tests();
        runtime.run(move || {
            let done = Arc::new(AtomicU32::new(0));
            let hold = |cpu: u32| {
                let (place, done) = (Arc::new(Where(AtomicU32::new(u32::MAX))), Arc::clone(&done));
                let there = Arc::clone(&place);
                crate::go(move || there.hold(cpu, &done));
                place.wait()
            };
            let (far_p, near_p) = (hold(far), hold(near));
            affinity::pin(near).expect("one of ours");
            let m = m::current().expect("an M");
            let group = |cpu: u32| Cpu {
                core: cpu,
                cache: cpu,
                node: cpu,
            };
            let cpus = (0..=near.max(far)).map(|cpu| Some(group(cpu))).collect();
            assert!(m.sched.topology.set(Topology { cpus }).is_ok());
            let p = m.held_p();
            p.note_cpu();
            let mut order = Vec::new();
            let mut first = [0; 2];
            for _ in 0..100 {
                order_victims(m, p, 0, &mut order);
                order.retain(|victim| *victim != p.id.0);
                assert_eq!(order.len(), 2);
                first[usize::from(order[0] == near_p)] += 1;
                assert!(near == far || order == [near_p, far_p], "{order:?}");
            }
            // With one CPU to run on they are equally near, and either comes first.
            assert!(near != far || first.iter().all(|n| *n > 0), "{first:?}");
            done.store(1, Ordering::Release);
        });
    }

    /// The other P is as `handoff_p` has it while it wakes an M for it: off the list of idle ones, with a G in its ring, and idle still.
    #[test]
    fn a_p_that_is_being_handed_over_is_a_victim() {
        let policy = "runnext=off,time_slice=10s".parse().expect("a policy");
        // SAFETY: no value bound to a thread is held over a call into the runtime.
        let runtime = unsafe { crate::Builder::new() }.procs(2).policy(policy);
        runtime.run(|| {
            let m = m::current().expect("an M");
            let p = m.held_p();
            let other = loop {
                // The one M that may have it looks for work, and finds none.
                match wake::take_idle_p(m.sched) {
                    Some(other) => break other,
                    None => std::thread::yield_now(),
                }
            };
            let ran = crate::go(|| ());
            // SAFETY: this M holds `p`, and has taken `other`.
            let moved = unsafe {
                let (g, _) = p.runq.pop_front().expect("nobody else has a P");
                other.runq.push_back(g)
            };
            assert!(moved.is_ok());
            let Outcome::Got(pick) = from_others(m, p, &mut 0) else {
                panic!("there is a G");
            };
            // SAFETY: as above.
            assert!(unsafe { p.runq.push_back(pick.g) }.is_ok());
            wake::put_idle_p(m.sched, &mut m.sched.lock(), other);
            ran.join().expect("no panic");
        });
    }
}
