//! A G leaves only spans that it is in. (That it comes to be in them at all, and when they are closed, only it says.)

use gmp_store::EventRow;
use gmp_trace::event::Event;
use gmp_trace::ids::{GId, SpanId};
use rustc_hash::FxHashMap;

use super::Checked;
use crate::model::Violation;

/// The spans that the Gs of a process are in.
#[derive(Debug, Default)]
pub struct Spans(FxHashMap<GId, Vec<SpanId>>);

impl Spans {
    /// The next event, where no events are missing.
    pub fn event(&mut self, row: &EventRow, checked: &mut Checked) {
        match row.event {
            Event::SpanEnter { span } => self.0.entry(row.g).or_default().push(span),
            Event::SpanExit { span } => {
                let spans = self.0.get_mut(&row.g);
                // Not always the last one: guards may be dropped in any order.
                let at = spans
                    .as_ref()
                    .and_then(|s| s.iter().rposition(|s| *s == span));
                match (spans, at) {
                    (Some(spans), Some(at)) => {
                        spans.remove(at);
                    }
                    _ => checked.add(Violation {
                        event: row.id,
                        ts: row.ts,
                        rule: "spans",
                        what: format!("{} leaves span {}, which it is not in", row.g, span.0),
                    }),
                }
            }
            Event::Exit { .. } => {
                self.0.remove(&row.g);
            }
            _ => {}
        }
    }
}
