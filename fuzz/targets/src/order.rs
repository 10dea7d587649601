//! The causal order of any streams, legal or not: [`gmp_trace::order`].

use std::collections::BTreeMap;

use gmp_trace::ids::{MId, WriterId};
use gmp_trace::order::{Orderer, Step};
use gmp_trace::queues::{At, Queues, Watch};
use gmp_trace::spool::reader::Recorded;
use gmp_trace::text;

/// Any events contradict each other.
struct Deaf;

impl Watch for Deaf {
    fn contradiction(&mut self, what: impl FnOnce() -> String) {
        what();
    }
}

/// Reads lines of text as in `runtime/trace/tests/traces` and merges the streams. Each event comes out once, and each stream in its order.
/// The run queues are rebuilt from what comes out.
pub fn order(data: &[u8]) {
    let mut streams: BTreeMap<(WriterId, MId), Vec<Recorded>> = BTreeMap::new();
    for line in String::from_utf8_lossy(data)
        .lines()
        .filter_map(|l| text::parse(l).ok())
    {
        streams
            .entry((line.writer, line.m))
            .or_default()
            .push(line.recorded);
    }
    for lossy in [false, true] {
        let mut orderer = Orderer::new(lossy);
        for ((writer, m), stream) in &streams {
            orderer.add(*writer, *m, stream.iter().copied());
        }
        let mut left: BTreeMap<_, _> = streams.iter().map(|(k, s)| (*k, s.iter())).collect();
        let mut queues = Queues::default();
        while let Step::Event(o) = orderer.next() {
            let running = if o.by.is_some() { o.by } else { o.g };
            queues.event(At { p: o.p, running }, &o.event, lossy, &mut Deaf);
            let next = left.get_mut(&(o.writer, o.m)).and_then(Iterator::next);
            assert_eq!(
                next.map(|r| (r.m_seq, r.ticks, r.event)),
                Some((o.m_seq, o.ticks, o.event))
            );
        }
        assert!(
            left.values_mut().all(|s| s.next().is_none()),
            "some missing"
        );
    }
}
