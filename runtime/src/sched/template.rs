//! The thread from which new Ms are made when the one that needs them may have changed its own state. Go: `templateThread`.
//!
//! A new thread inherits much of the one that makes it: its signal mask, its CPUs, its namespaces, its folder if that is not shared. A G that
//! locks itself to its thread usually does so to change such things, and the Ms that it causes to be made should not have them. So
//! the first lock starts this thread, which is as clean as the M that starts it, and an M with a locked G asks it for new threads.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::sched::m::M;
use crate::sched::{Sched, boot};

/// The thread and what it is asked for.
pub(crate) struct Template {
    orders: Mutex<Orders>,
    changed: Condvar,
}

struct Orders {
    life: Life,
    tid: u32,
    wanted: VecDeque<&'static M>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    NotStarted,
    Starts,
    Runs,
    Ends,
    Ended,
}

impl Template {
    /// Not started.
    pub(crate) fn new() -> Template {
        Template {
            orders: Mutex::new(Orders {
                life: Life::NotStarted,
                tid: 0,
                wanted: VecDeque::new(),
            }),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the thread, unless somebody has, and waits until it is there and known by its number: the deadlock detector would take it
    /// for somebody who could wake a G. The caller's own thread is as it was made.
    pub(crate) fn start(&self, sched: &'static Sched) {
        let mut orders = self.lock();
        if orders.life == Life::NotStarted {
            orders.life = Life::Starts;
            boot::spawn_thread("gmp-template".into(), || sched.template.serve());
        }
        while orders.life == Life::Starts {
            orders = self.wait(orders);
        }
    }

    fn wait<'a>(&self, orders: MutexGuard<'a, Orders>) -> MutexGuard<'a, Orders> {
        self.changed
            .wait(orders)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The kernel's number of the thread; 0 if it was never started.
    pub(crate) fn tid(&self) -> u32 {
        self.lock().tid
    }

    /// Has the thread of a new M made by it, which need not be one of this runtime; `false` if it is not there.
    #[must_use]
    pub(crate) fn make(&self, m: &'static M) -> bool {
        let mut orders = self.lock();
        let is_there = matches!(orders.life, Life::Runs | Life::Ends);
        if is_there {
            orders.wanted.push_back(m);
            self.changed.notify_all();
        }
        is_there
    }

    /// Whether it is there: one more thread of the runtime.
    pub(crate) fn runs(&self) -> bool {
        matches!(self.lock().life, Life::Runs | Life::Ends)
    }

    /// Ends it. The runtime is shut down; what it is still asked for is made, and ends at once.
    pub(crate) fn end(&self) {
        let mut orders = self.lock();
        if orders.life == Life::Runs {
            orders.life = Life::Ends;
        }
        self.changed.notify_all();
    }

    fn serve(&self) {
        let mut orders = self.lock();
        orders.tid = crate::sys::thread::gettid();
        orders.life = Life::Runs;
        self.changed.notify_all();
        loop {
            if let Some(m) = orders.wanted.pop_front() {
                drop(orders);
                boot::spawn_m(m);
                orders = self.lock();
            } else if orders.life == Life::Ends {
                orders.life = Life::Ended;
                return;
            } else {
                orders = self.wait(orders);
            }
        }
    }
}
