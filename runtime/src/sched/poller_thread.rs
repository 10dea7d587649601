//! The poller thread, under the policy `netpoll=thread`: it alone polls the network, and it waits for the next timer.
//!
//! To everybody else it is the M that is blocked in the poller: the turn (`poll_turn`) is taken from beginning to end. So no M polls,
//! blocking or not, and neither does sysmon; an M that finds nothing parks at once; who adds a timer, and an M that parks while it knows one,
//! breaks the wait if it is too long.
//! What this thread does about a timer that is due is to wake a spinner: it holds no P and runs none. A heap whose P is busy is left
//! to that, and is nothing to wake up for again and again.
//!
//! It is no M: it is not counted among them, so a program whose Gs wait for nothing that this thread could bring is found dead as ever
//! (`deadlock` asks for waiters and timers itself). While nothing is to be waited for it sleeps in the kernel.

use std::sync::atomic::Ordering;

use gmp_trace::event::{Event, MKind};
use gmp_trace::ids::MId;

use crate::netpoll::Wait;
use crate::sched::{Sched, deadlock, find, timers, wake};
use crate::time::now_ns;
use crate::tracer::Tracer;

/// The thread's name.
pub(crate) const NAME: &str = "gmp-netpoll";

/// In [`super::poll_turn`]: no timer is known.
const FOR_EVER: u64 = 0;

/// The thread's body. Ends when the runtime does, which breaks the wait.
pub(crate) fn run(sched: &'static Sched, id: MId) {
    let mut tracer = Tracer::start(sched.spool.as_ref(), id, MKind::Netpoll, NAME);
    sched.keep_tally(&tracer);
    sched.poller_tid.announce();
    while !sched.is_shutdown() {
        let wait = next_timer(sched, &mut tracer);
        if wait == Wait::Forever && sched.poller.waiters() == 0 {
            // *The last waiter*: its G may have run and all Ms parked before it was counted as woken, below. They took it for one that waits.
            deadlock::check(sched, &sched.lock());
        }
        tracer.quiet(tracer.now());
        let gs = find::poll(sched, &mut tracer, wait);
        wake::inject_without_p(sched, &mut tracer, &gs);
        // It looks again before it waits, so there is nobody to break.
        sched.poller.woken(gs.len());
    }
    tracer.emit(tracer.now(), Event::MExit {});
    tracer.finish();
    // Release pairs with the acquire in `has_ended`: what it counted and recorded is there.
    sched.poller_thread.store(false, Ordering::Release);
}

/// Whether it has ended, or never began.
pub(crate) fn has_ended(sched: &Sched) -> bool {
    !sched.poller_thread.load(Ordering::Acquire)
}

/// Sees to the timers that are due, and says how long to wait for the next.
fn next_timer(sched: &'static Sched, tracer: &mut Tracer) -> Wait {
    // From here on whoever adds a timer breaks the wait that follows, until the next announcement.
    sched.poll_turn.say(FOR_EVER);
    let now = now_ns();
    let (mut until, mut due) = (FOR_EVER, false);
    for p in sched.ps() {
        let when = p.timers.next_when();
        if when <= now {
            due = true;
        } else {
            until = timers::earlier(until, when);
        }
    }
    sched.poll_turn.say(until);
    if due {
        // If somebody spins already, it looks at all timers before it rests, and breaks the wait if it leaves one. If no P is idle, its holder
        // comes by its timers, or the last look at them when it releases the P breaks the wait.
        wake::wake_p_with(sched, tracer);
    }
    if until == FOR_EVER {
        Wait::Forever
    } else {
        Wait::Until(until)
    }
}
