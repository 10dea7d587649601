//! What recording one event costs on this machine.

use std::sync::atomic::{AtomicU64, Ordering};

use super::layout::{CHUNK, HEADER};
use crate::clock;
use crate::codec::{self, MAX_RECORD};
use crate::event::{Event, Rule, Source};
use crate::ids::GId;

/// What recording one event costs here, the reading of the clock included, in ns: the best of a few rounds of what a writer does, into
/// memory of their own.
pub fn event_cost_ns() -> f64 {
    const EVENTS: u64 = 2_000;
    let mut chunk = vec![0u8; CHUNK];
    let published = AtomicU64::new(0);
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let (mut at, mut last) = (HEADER, clock::now_ticks());
        let began = std::time::Instant::now();
        for i in 0..EVENTS {
            if at + MAX_RECORD > CHUNK {
                at = HEADER;
            }
            let ticks = clock::now_ticks();
            let event = Event::Start {
                g: GId(i),
                seq: i,
                source: Source::Local,
                rule: Rule::Order,
                pos: i as u32,
            };
            let dt = ticks.saturating_sub(last);
            // SAFETY: there is room for the largest record behind `at`.
            at += unsafe { codec::encode(chunk.as_mut_ptr().add(at), dt, &event) };
            // Release: as a writer does it.
            published.store((at - HEADER) as u64, Ordering::Release);
            last = ticks;
        }
        best = best.min(began.elapsed().as_nanos() as f64 / EVENTS as f64);
    }
    best
}
