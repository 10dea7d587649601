//! Pinning, under the policy `pin`: each P has a CPU, and the M that holds the P runs there.
//!
//! # Why the P has the CPU
//! What is wanted is that N Ps occupy N CPUs. If each M had a CPU, that would not follow: Ms come and go with system calls, so two that hold Ps could
//! have the same CPU while another is idle. The price is paid by an M that takes a P with another CPU than that of the P it had last: one
//! system call and a move. So of the parked Ms the one is chosen that is on the P's CPU already ([`Pins::take_parked`]), and an M that comes
//! out of a system call takes its old P if that is idle. An M that keeps its P pays nothing.
//!
//! An M without a P stays where it was: waiting in the kernel it needs no CPU, and what it computes there (in `blocking`) it computes at the
//! expense of its old P, and not on a CPU that the experiment was to leave alone. Sysmon and the poller thread are not pinned. A
//! thread that the program starts from a G inherits the one CPU of its M, as every thread does.

use std::sync::atomic::{AtomicBool, Ordering};

use gmp_policy::Policy;
use gmp_trace::ids::PId;
use gmp_trace::spool::writer::Spool;
use gmp_trace::version::info;

use crate::sched::m::M;
use crate::sched::p::P;
use crate::sys::{affinity, topology};

/// In [`M::cpu`]: nowhere in particular.
pub(crate) const ANYWHERE: u32 = u32::MAX;

/// Which CPU each P has.
pub(crate) struct Pins {
    /// That of P `i` is the `i`th, beginning anew at the end; empty if nothing is pinned.
    cpus: Vec<u32>,
    /// Whether the kernel refused once: then nothing more is asked of it.
    refused: AtomicBool,
}

impl Pins {
    /// What the policy makes of the CPUs that this process may use.
    pub(crate) fn new(policy: &Policy) -> Pins {
        let cpus = if policy.pins_nothing() {
            Vec::new()
        } else {
            policy.pins(&affinity::allowed(), &topology::read())
        };
        Pins {
            cpus,
            refused: AtomicBool::new(false),
        }
    }

    /// States in the recording which CPUs they are.
    pub(crate) fn state(&self, spool: &Spool) {
        if !self.cpus.is_empty() {
            let cpus: Vec<_> = self.cpus.iter().map(u32::to_string).collect();
            spool.info(info::PINNED_CPUS, &cpus.join(","));
        }
    }

    /// The CPU of a P, if it has one.
    fn cpu(&self, p: PId) -> Option<u32> {
        // Relaxed: one attempt more does no harm.
        if self.cpus.is_empty() || self.refused.load(Ordering::Relaxed) {
            return None;
        }
        Some(self.cpus[p.0 as usize % self.cpus.len()])
    }

    /// Takes a parked M off the list for a P: one that is on its CPU if there is such a one, else the one parked last.
    pub(crate) fn take_parked(&self, parked: &mut Vec<&'static M>, p: PId) -> Option<&'static M> {
        // Relaxed: written before the M parked, which was under the same lock.
        let there = self.cpu(p).and_then(|cpu| {
            parked
                .iter()
                .rposition(|m| m.cpu.load(Ordering::Relaxed) == cpu)
        });
        match there {
            Some(at) => Some(parked.remove(at)),
            None => parked.pop(),
        }
    }
}

/// The calling M took this P: it goes to the P's CPU.
pub(crate) fn follow(m: &'static M, p: &P) {
    let pins = &m.sched.pins;
    let Some(cpu) = pins.cpu(p.id) else {
        return;
    };
    // Relaxed: written by this thread only.
    if m.cpu.load(Ordering::Relaxed) == cpu {
        return;
    }
    match affinity::pin(cpu) {
        Ok(()) => m.cpu.store(cpu, Ordering::Relaxed),
        Err(e) if !pins.refused.swap(true, Ordering::Relaxed) => {
            eprintln!(
                "gmp: warning: {} cannot be pinned to CPU {cpu}: {e}; no more Ms are pinned",
                m.id
            );
            if let Some(spool) = &m.sched.spool {
                spool.info(info::PINNED_CPUS, &format!("refused: {e}"));
            }
        }
        Err(_) => {}
    }
}
