//! Stealing: looking for Gs, and for due timers, at other Ps.
//!
//! A thief makes up to four passes over all Ps, each from a random start and with a random step that visits every P once.
//! It takes half of the first ring that is not empty. In the last pass it also runs the timers of its victims and takes their
//! `runnext`, which it would rather leave to them: a P that runs a G is about to run its `runnext` itself, so the thief
//! first waits 3 us.

use gmp_trace::event::{Event, PState, Rule, Source, StealFrom};
use gmp_trace::tally::Tally;

use crate::limits::RUNNEXT_DELAY;
use crate::sched::find::{self, Pick};
use crate::sched::m::M;
use crate::sched::p::P;
use crate::sched::{timers, wake};
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

/// Looks at all other Ps; lowers `poll_until` to the earliest timer seen (0 = none). Go: `stealWork`.
pub(crate) fn from_others(m: &'static M, p: &'static P, poll_until: &mut u64) -> Outcome {
    let sched = m.sched;
    let mut ran_timer = false;
    for pass in 0..sched.policy.steal_rounds {
        let last = pass + 1 == sched.policy.steal_rounds;
        m.search.set((m.search.get().0 + 1, m.search.get().1));
        for victim in sched.policy.victims(sched.procs(), m.next_random()) {
            if sched.is_stopping() {
                return Outcome::NewWork;
            }
            let victim = sched.p(gmp_trace::ids::PId(victim));
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
                    let next = victim.timers.next_when();
                    if next != u64::MAX && (*poll_until == 0 || next < *poll_until) {
                        *poll_until = next;
                    }
                }
            }
            if victim.state() == PState::Idle {
                continue;
            }
            m.search.set((m.search.get().0, m.search.get().1 + 1));
            m.tracer().count(Tally::StealsTried);
            if let Some(pick) = from_victim(m, p, victim, last) {
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
    let (passes, tried) = m.search.get();
    let thief_len = p.runq.len();
    let ticks = m.tracer().now();
    // SAFETY: this M holds the thief's P.
    let stolen = unsafe {
        victim
            .runq
            .steal_into(|len| m.sched.policy.steal_amount(len), &p.runq)
    };
    if let Some(s) = stolen {
        let tracer = m.tracer();
        tracer.count(Tally::Steals);
        tracer.count_n(Tally::StolenGs, u64::from(s.n));
        tracer.count_n(Tally::VictimGs, u64::from(s.victim_len));
        let event = Event::Steal {
            victim: victim.id,
            g: gmp_trace::ids::GId(s.first),
            n: s.n,
            pos: s.pos,
            victim_len: s.victim_len,
            thief_len,
            passes,
            tried,
            from: StealFrom::Ring,
        };
        tracer.emit(ticks, event);
        return Some(Pick::new(s.last, Source::Stolen, Rule::Order));
    }
    if !last_pass || !victim.runq.has_runnext() {
        return None;
    }
    if victim.state() == PState::Running {
        // The victim is about to run it: give it the time to. A G in a system call will not.
        std::thread::sleep(RUNNEXT_DELAY);
    }
    let g = victim.runq.steal_runnext()?;
    let tracer = m.tracer();
    tracer.count(Tally::Steals);
    tracer.count(Tally::StolenGs);
    let event = Event::Steal {
        victim: victim.id,
        g: g.id(),
        n: 1,
        pos: 0,
        victim_len: 0,
        thief_len,
        passes,
        tried,
        from: StealFrom::Runnext,
    };
    tracer.emit(tracer.now(), event);
    Some(Pick::new(g, Source::Stolen, Rule::Order))
}

/// After a spinner found a G: it stops being one, and wakes the next, so that Ms ramp up one by one. Go: `resetspinning`.
pub(crate) fn found_while_spinning(m: &'static M) {
    find::stop_counting(m, true);
    wake::wake_p(m.sched);
}
