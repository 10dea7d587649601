//! Who may send an M a preemption signal, and when: one at a time, and none that arrives after the section it was meant for.
//!
//! A signal interrupts its thread wherever it is and takes stack there, so it may come only while the M runs code that declared itself
//! preemptible (`async_preempt.rs`). The M says so in `section`; `flight` says what became of a signal.
//!
//! # Protocol
//! Sender (sysmon, the stopper of the world):
//! 1. `flight` from [`NONE`] to [`SENDING`]; whoever fails leaves it to the one that is on its way.
//! 2. Full barrier; look at `section`. Outside of one: `flight` back to [`NONE`].
//! 3. Send. `flight` from [`SENDING`] to [`SENT`]; from [`HANDLED`] (it arrived meanwhile) to [`NONE`].
//!
//! M, leaving the section:
//! 1. Clear `section`.
//! 2. Full barrier; look at `flight`. While a sender is at work ([`SENDING`], [`HANDLED`]): enter the kernel, look again.
//! 3. [`SENT`]: enter the kernel once. A signal that waits for a thread is delivered when the thread next returns from there.
//!
//! M, in the handler: [`SENDING`] to [`HANDLED`], or [`SENT`] to [`NONE`]; in any other case the signal is not ours.
//!
//! # Why none comes late
//! The two barriers are sequentially consistent, so one is first. If the M's is, the sender sees no section and sends nothing. If the sender's
//! is, the M sees its mark, waits until the signal is sent, and takes it on its way out of the kernel. *The late signal*, which this
//! prevents: a sender sees the section; the M leaves it and runs a G that has used up its stack but for a little; the signal's frame
//! does not fit there.
//!
//! The states in which a sender is at work are left by that sender alone, so a second one cannot begin before it is done.

use crate::shim::{AtomicU32, AtomicUsize, Ordering, fence};

/// No signal is on its way.
const NONE: u32 = 0;
/// A sender is at work; the signal may or may not be there yet.
const SENDING: u32 = 1;
/// A sender is at work and the signal has arrived.
const HANDLED: u32 = 2;
/// Sent, and not arrived yet.
const SENT: u32 = 3;

/// An M's part of the protocol.
pub(crate) struct PreemptSignal {
    /// What runs in the section, as an address; 0 outside. Written by the M alone.
    section: AtomicUsize,
    /// Where the signal is.
    flight: AtomicU32,
}

impl PreemptSignal {
    /// Outside a section, with no signal on its way.
    pub(crate) fn new() -> PreemptSignal {
        PreemptSignal {
            section: AtomicUsize::new(0),
            flight: AtomicU32::new(NONE),
        }
    }

    /// The M enters a section in which `what`, an address, runs.
    #[inline]
    pub(crate) fn enter(&self, what: usize) {
        // Relaxed: it publishes nothing. A sender that does not see it yet asks again.
        self.section.store(what, Ordering::Relaxed);
    }

    /// What runs in the M's section; 0 outside. A hint, except for the M itself and its handler.
    #[inline]
    pub(crate) fn section(&self) -> usize {
        // Relaxed: the M reads what it wrote.
        self.section.load(Ordering::Relaxed)
    }

    /// The M leaves its section: no signal of ours interrupts it from the moment this returns. `enter_kernel` is any system call.
    #[inline]
    pub(crate) fn leave(&self, mut enter_kernel: impl FnMut()) {
        // Relaxed, then the barrier: the store-load pair of "why none comes late"; the sender's is in `send`.
        self.section.store(0, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        // Acquire pairs with the release of the sender's last step: the signal was sent before.
        let mut flight = self.flight.load(Ordering::Acquire);
        while flight == SENDING || flight == HANDLED {
            enter_kernel();
            flight = self.flight.load(Ordering::Acquire);
        }
        if flight == SENT {
            enter_kernel();
            // Still there: the signal is blocked on this thread, or somebody put a handler in the place of ours. Nobody else writes
            // in this state.
            if self.flight.load(Ordering::Relaxed) == SENT {
                self.flight.store(NONE, Ordering::Relaxed);
            }
        }
    }

    /// Sends the M a signal with `kill`, which says whether the kernel took it, if the M is in a section and none is on its way;
    /// whether it was sent.
    pub(crate) fn send(&self, kill: impl FnOnce() -> bool) -> bool {
        if self.section() == 0 {
            return false;
        }
        // Acquire pairs with the release of the sender before. Relaxed on failure: somebody else sends, nothing is read.
        let turn =
            self.flight
                .compare_exchange(NONE, SENDING, Ordering::Acquire, Ordering::Relaxed);
        if turn.is_err() {
            return false;
        }
        // The barrier of "why none comes late"; its partner is in `leave`.
        fence(Ordering::SeqCst);
        if self.section() == 0 {
            // Release: as below, the M that waits may go on.
            self.flight.store(NONE, Ordering::Release);
            return false;
        }
        let sent = kill();
        let on_its_way = sent
            && self
                .flight
                // Release: the M that acquires this has a signal that is sent, not one that will be.
                .compare_exchange(SENDING, SENT, Ordering::Release, Ordering::Relaxed)
                .is_ok();
        if !on_its_way {
            // The handler was faster, or the kernel refused.
            self.flight.store(NONE, Ordering::Release);
        }
        sent
    }

    /// The handler, on the M: a signal arrived. Whether it is ours.
    pub(crate) fn arrived(&self) -> bool {
        // Acquire pairs with the sender's first step, which came after its request.
        match self.flight.load(Ordering::Acquire) {
            // Acquire on failure: the sender moved it on to SENT, which only this thread leaves.
            SENDING => {
                let marked = self.flight.compare_exchange(
                    SENDING,
                    HANDLED,
                    Ordering::Acquire,
                    Ordering::Acquire,
                );
                if marked.is_err() {
                    self.flight.store(NONE, Ordering::Release);
                }
                true
            }
            SENT => {
                self.flight.store(NONE, Ordering::Release);
                true
            }
            _ => false,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_sent_into_a_section_only_and_one_at_a_time() {
        let signal = PreemptSignal::new();
        assert!(!signal.send(|| true), "outside a section");
        signal.enter(8);
        assert!(signal.send(|| true));
        assert!(!signal.send(|| true), "one is on its way");
        assert!(signal.arrived());
        assert!(!signal.arrived(), "not ours: there was one");
        assert!(
            !signal.send(|| false) && !signal.arrived(),
            "the kernel refused"
        );
        assert!(
            signal.send(|| signal.arrived()),
            "it may arrive before the call returns"
        );
        signal.leave(|| {});
        assert_eq!((signal.section(), signal.arrived()), (0, false));
    }

    #[test]
    fn the_m_takes_a_signal_on_its_way_out() {
        let signal = PreemptSignal::new();
        signal.enter(8);
        assert!(signal.send(|| true));
        let mut entered = 0;
        signal.leave(|| {
            entered += 1;
            assert!(signal.arrived());
        });
        assert_eq!(entered, 1);
        // One that never comes is waited for once.
        signal.enter(8);
        assert!(signal.send(|| true));
        signal.leave(|| entered += 1);
        assert_eq!(entered, 2);
        signal.enter(8);
        assert!(signal.send(|| true), "the next one can be sent");
    }
}

#[cfg(all(test, loom))]
mod models {
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicBool, AtomicU32 as Count, Ordering};
    use loom::thread;

    use super::*;

    /// An M with what the kernel holds for its thread.
    struct Thread {
        signal: PreemptSignal,
        waiting: AtomicBool,
        arrived: Count,
        foreign: Count,
    }

    impl Thread {
        fn new() -> Arc<Thread> {
            Arc::new(Thread {
                signal: PreemptSignal::new(),
                waiting: AtomicBool::new(false),
                arrived: Count::new(0),
                foreign: Count::new(0),
            })
        }

        /// What is sent while one waits is merged with it. A swap, because the kernel has a lock for it.
        fn kill(&self) -> bool {
            assert!(!self.waiting.swap(true, Ordering::AcqRel), "two at once");
            true
        }

        /// A return from the kernel: what waits is delivered.
        fn enter_kernel(&self) {
            if self.waiting.swap(false, Ordering::AcqRel) {
                let ours = self.signal.arrived();
                let count = if ours { &self.arrived } else { &self.foreign };
                count.fetch_add(1, Ordering::Relaxed);
            } else {
                thread::yield_now();
            }
        }
    }

    /// The M leaves its section and uses up its stack, where the frame of a signal does not fit.
    #[test]
    fn loom_the_late_signal() {
        loom::model(|| {
            let m = Thread::new();
            m.signal.enter(8);
            let theirs = Arc::clone(&m);
            let sender = thread::spawn(move || theirs.signal.send(|| theirs.kill()));
            m.signal.leave(|| m.enter_kernel());
            let late = m.waiting.load(Ordering::Acquire);
            let arrived = m.arrived.load(Ordering::Relaxed);
            let sent = sender.join().expect("no panic");
            assert!(!late && !m.waiting.load(Ordering::Acquire), "it came late");
            assert_eq!(arrived, u32::from(sent));
            assert_eq!(m.foreign.load(Ordering::Relaxed), 0, "not taken for ours");
        });
    }

    /// The handler runs before the sender has written down that it sent, and another sender begins.
    #[test]
    fn loom_a_second_sender_begins_while_the_first_is_at_work() {
        // All interleavings of three threads are too many; those with two switches against their will are enough to begin and end a sender
        // anywhere in the other.
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(|| {
            let m = Thread::new();
            m.signal.enter(8);
            let senders: Vec<_> = (0..2)
                .map(|_| {
                    let theirs = Arc::clone(&m);
                    thread::spawn(move || theirs.signal.send(|| theirs.kill()))
                })
                .collect();
            m.enter_kernel();
            m.signal.leave(|| m.enter_kernel());
            let late = m.waiting.load(Ordering::Acquire);
            let arrived = m.arrived.load(Ordering::Relaxed);
            let sent = senders.into_iter().map(|s| s.join().expect("no panic"));
            assert_eq!(arrived, sent.map(u32::from).sum::<u32>());
            assert!(!late && !m.waiting.load(Ordering::Acquire), "it came late");
            assert_eq!(m.foreign.load(Ordering::Relaxed), 0, "not taken for ours");
        });
    }
}
