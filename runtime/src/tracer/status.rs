//! After a loss: what a reader must know to go on, said right before the first event that can be recorded again.
//!
//! An M says which G it runs and which P it holds, as they were before that event. Events are emitted at different points of the step that
//! they tell of, so some of it has happened already; what the event itself tells is taken back here. A sysmon or a foreign thread
//! holds nothing.

use gmp_trace::event::{Event, GState, PState, Placed, Source};
use gmp_trace::ids::GId;

use crate::sched::m::M;
use crate::sched::p::P;

/// The status of the G and of the P of the calling M, before `event`.
#[cold]
pub(super) fn before(m: &M, event: &Event) -> [Option<Event>; 2] {
    let p = m.p.get().filter(|_| !matches!(event, Event::PStart { .. }));
    [p.map(|p| p_status(m, p, event)), g_status(m, event)]
}

fn g_status(m: &M, event: &Event) -> Option<Event> {
    if matches!(event, Event::Start { .. }) {
        // It says all about its G; and no other ran before it.
        return None;
    }
    // Still the M's: it is set to none before the G is given away.
    let g = m.g.get()?;
    let in_syscall = match event {
        Event::SyscallExit {} | Event::SyscallExitBlocked { .. } => true,
        _ => g.state() == GState::Syscall,
    };
    Some(Event::GStatus {
        g: g.id(),
        state: if in_syscall {
            GState::Syscall
        } else {
            GState::Running
        },
        seq: g.seq(),
        on_m: Some(m.id),
    })
}

fn p_status(m: &M, p: &P, event: &Event) -> Event {
    let (mut head, mut tail, runnext) = p.runq.snapshot();
    let mut runnext = GId(runnext);
    let (mut state, mut seq) = (PState::Running, p.seq());
    match *event {
        Event::SyscallEnter { .. } => seq -= 1,
        Event::SyscallExit {} => state = PState::Syscall,
        Event::Start { source, pos, g, .. } => match source {
            Source::Local | Source::Youngest => head = pos,
            Source::Runnext => runnext = g,
            _ => {}
        },
        Event::Overflow { pos, .. } => head = pos,
        Event::Spawn {
            placed, kicked, gq, ..
        }
        | Event::Ready {
            placed, kicked, gq, ..
        }
        | Event::Preempt {
            placed, kicked, gq, ..
        } => match placed {
            Placed::Runnext => {
                runnext = kicked;
                // What it pushed out went to the ring, or with a number to the global queue.
                tail = tail.wrapping_sub(u32::from(kicked.is_some() && gq == 0));
            }
            Placed::Local => tail = tail.wrapping_sub(1),
            Placed::Global | Placed::Direct => {}
        },
        Event::Yield {
            placed: Placed::Local,
            ..
        } => tail = tail.wrapping_sub(1),
        Event::Steal { n, .. } => tail = tail.wrapping_sub(n - 1),
        _ => {}
    }
    Event::PStatus {
        p: p.id,
        state,
        seq,
        on_m: Some(m.id),
        head,
        tail,
        runnext,
    }
}
