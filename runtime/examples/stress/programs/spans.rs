//! Scenes of spans that are held over calls into the runtime.

use std::sync::Once;

use super::{Random, Setup, join_all, noise};
use gmp_runtime::{go, spans};
use tracing::{Span, info_span};
use tracing_subscriber::prelude::*;

/// Gs are in their own spans, wherever they go on, and in no other's.
pub(super) fn nested(random: &mut Random, _: &Setup) {
    fn nest(random: &mut Random, depth: u64) {
        let outer = Span::current().id();
        for _ in 0..random.within(1, 3) {
            let inner = info_span!("nested", depth).entered();
            assert!(inner.id().is_some(), "nobody knows the span");
            noise(random);
            if depth > 0 {
                nest(random, depth - 1);
            }
            assert_eq!(Span::current().id(), inner.id(), "the inner span");
            drop(inner);
            noise(random);
            assert_eq!(Span::current().id(), outer, "the outer span");
        }
    }
    // For the process: other programs run in it, and they enter no span.
    static SUBSCRIBER: Once = Once::new();
    SUBSCRIBER.call_once(|| tracing_subscriber::registry().with(spans::layer()).init());
    let gs: Vec<_> = (0..random.within(1, 8))
        .map(|_| {
            let mut random = random.fork();
            go(move || {
                assert!(Span::current().is_none(), "another's span");
                let depth = random.below(3);
                nest(&mut random, depth);
                if random.percent(20) {
                    // Ends with its G.
                    std::mem::forget(info_span!("leaked").entered());
                }
            })
        })
        .collect();
    join_all(gs);
}
