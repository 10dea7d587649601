//! The columns `p`, `g` and `by` of each row are what the events before it make of them: the order's own bookkeeping, once more. It depends on
//! nothing but the events that are there, so this holds after losses too.

use gmp_store::EventRow;
use gmp_trace::event::Event;
use gmp_trace::ids::{GId, PId};
use gmp_trace::order::{Subject, Subjects};

use super::Checked;
use crate::counters::Reading;
use crate::model::Violation;

const RULE: &str = "the columns p, g and by";

/// Who holds and runs what, as the order has it.
#[derive(Debug, Default)]
pub struct Columns(Subjects);

impl Columns {
    /// The next event. `after_gap`: events of its M are missing right before it.
    pub fn event(&mut self, row: &EventRow, after_gap: bool, checked: &mut Checked) {
        let by_events = self.0.next(row.m, &row.event, after_gap);
        let written = Subject {
            p: row.p,
            g: row.g,
            by: row.by,
        };
        if written != by_events {
            checked.add(Violation {
                event: row.id,
                ts: row.ts,
                rule: RULE,
                what: difference(written, by_events),
            });
        }
    }

    /// The next reading of counters, right after the event `event`.
    pub fn reading(&mut self, reading: &Reading, after_gap: bool, checked: &mut Checked) {
        let by_events = self.0.next(reading.m, &NO_COUNTS, after_gap);
        let written = Subject {
            p: reading.p,
            g: reading.g,
            by: GId::NONE,
        };
        if written != by_events {
            checked.add(Violation {
                event: reading.event,
                ts: reading.ts,
                rule: RULE,
                what: format!(
                    "the reading number {} of {} behind it: {}",
                    reading.m_seq,
                    reading.m,
                    difference(written, by_events)
                ),
            });
        }
    }
}

/// A reading, as far as the order cares what it is.
const NO_COUNTS: Event = Event::Counters {
    enabled_ns: 0,
    running_ns: 0,
    c0: 0,
    c1: 0,
    c2: 0,
    c3: 0,
    c4: 0,
    c5: 0,
    c6: 0,
    c7: 0,
};

fn difference(written: Subject, by_events: Subject) -> String {
    let p = |p: Option<PId>| p.map_or("none".to_owned(), |p| p.to_string());
    let g = |g: GId| match g.is_some() {
        true => g.to_string(),
        false => "none".to_owned(),
    };
    let mut parts = Vec::new();
    for (name, written, by_events) in [
        ("p", p(written.p), p(by_events.p)),
        ("g", g(written.g), g(by_events.g)),
        ("by", g(written.by), g(by_events.by)),
    ] {
        if written != by_events {
            parts.push(format!(
                "{name} is {written}, by the events before {by_events}"
            ));
        }
    }
    parts.join("; ")
}
