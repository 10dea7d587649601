//! What two Ms say of one act: who wakes says with which P and how the woken one begins; who takes a P from a system call says whose it was; and the
//! world stands still only while somebody stops it.
//!
//! Only where no events are missing: one that is missing would be missed again and again.

use std::collections::VecDeque;

use gmp_store::EventRow;
use gmp_trace::event::{Event, HandoffTo, MKind, PStopReason, RetakeCause};
use gmp_trace::ids::{MId, PId};
use rustc_hash::FxHashMap;

use super::Checked;
use crate::model::Violation;

const RULE: &str = "what two Ms say";

/// How far apart the clocks of two threads may be, ns: it is only to be less than what a stop of the world takes to be noticed.
const SLACK_NS: i64 = 1_000_000;

/// How an M begins after it was made or woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Begin {
    p: Option<PId>,
    spinning: bool,
    made: bool,
}

impl Begin {
    fn text(&self) -> String {
        let p = self.p.map_or("no P".to_owned(), |p| p.to_string());
        let how = if self.made { "made" } else { "woken" };
        let spins = if self.spinning { ", to search" } else { "" };
        format!("{how} with {p}{spins}")
    }
}

/// An M, by what others say of it and what itself says.
#[derive(Debug, Default)]
struct Woken {
    wakes: VecDeque<(Begin, EventRow)>,
    begins: VecDeque<(Begin, i64)>,
    /// It is about to say how it begins: whether it was made, and the P that it took.
    now: Option<(bool, Option<PId>)>,
}

/// What is said by one M and by another.
#[derive(Debug, Default)]
pub struct Between {
    ms: FxHashMap<MId, Woken>,
    /// The M whose G took each P into a system call.
    in_syscall: FxHashMap<PId, MId>,
    stops: u32,
    last_end: Option<i64>,
    /// What stopped while nobody stops the world, unless a stop that had begun by then comes yet: who stops the world may have to wait for
    /// its place in the order.
    early: Vec<Violation>,
}

impl Between {
    /// The next event.
    pub fn event(&mut self, row: &EventRow, checked: &mut Checked) {
        self.begins(row, checked);
        match row.event {
            Event::MWake {
                woken,
                with_p,
                spinning,
                created,
                ..
            } => {
                let begin = Begin {
                    p: with_p,
                    spinning,
                    made: created,
                };
                let woken = self.ms.entry(woken).or_default();
                woken.wakes.push_back((begin, *row));
                compare(woken, checked);
            }
            Event::SyscallEnter { .. } => {
                if let Some(p) = row.p {
                    self.in_syscall.insert(p, row.m);
                }
            }
            Event::Retake {
                p, from_m, cause, ..
            } => {
                let known = self.in_syscall.get(&p).copied();
                if known != Some(from_m) {
                    let known = known.map_or("nobody".to_owned(), |m| m.to_string());
                    let what = format!("{p} is taken from {from_m}, and {known} has it");
                    add(checked, row, what);
                }
                if cause == RetakeCause::Stw {
                    self.in_a_stop(row);
                }
            }
            Event::PStop {
                reason: PStopReason::Stw,
            }
            | Event::Handoff {
                to: HandoffTo::Stw, ..
            } => self.in_a_stop(row),
            Event::StwBegin { .. } => {
                let ts = row.ts;
                self.early.retain(|v| v.ts.saturating_add(SLACK_NS) < ts);
                self.stops += 1;
                if self.stops > 1 {
                    add(
                        checked,
                        row,
                        "the world is stopped twice at once".to_owned(),
                    );
                }
            }
            Event::StwEnd {} => {
                self.stops = self.stops.saturating_sub(1);
                self.last_end = Some(row.ts);
            }
            _ => {}
        }
    }

    fn in_a_stop(&mut self, row: &EventRow) {
        let just_over = self
            .last_end
            .is_some_and(|end| row.ts <= end.saturating_add(SLACK_NS));
        if self.stops == 0 && !just_over {
            self.early.push(Violation {
                event: row.id,
                ts: row.ts,
                rule: RULE,
                what: "a P stops with the world, which nobody stops".to_owned(),
            });
        }
    }

    /// An M that was made or woken says how it begins, with its next events.
    fn begins(&mut self, row: &EventRow, checked: &mut Checked) {
        match row.event {
            Event::Blocked { .. } => return,
            Event::MStart {
                kind: MKind::Worker,
                ..
            } => {
                self.ms.entry(row.m).or_default().now = Some((true, None));
                return;
            }
            Event::MUnpark {} => {
                self.ms.entry(row.m).or_default().now = Some((false, None));
                return;
            }
            _ => {}
        }
        let Some(m) = self.ms.get_mut(&row.m) else {
            return;
        };
        match (m.now, row.event) {
            (None, _) => {}
            (Some((made, None)), Event::PStart { p, .. }) => m.now = Some((made, Some(p))),
            // The runtime ends: whatever it was woken with, it does not begin.
            (Some((_, None)), _) => m.now = None,
            (Some((made, p)), event) => {
                m.now = None;
                let spinning = matches!(event, Event::SpinStart {});
                m.begins.push_back((Begin { p, spinning, made }, row.id));
                compare(m, checked);
            }
        }
    }

    /// What can be told only at the end. `finished`: nothing of the process is cut off.
    pub fn finish(self, finished: bool, checked: &mut Checked) {
        for early in self.early {
            checked.add(early);
        }
        let mut left: Vec<(MId, Woken)> = self.ms.into_iter().collect();
        left.sort_unstable_by_key(|(m, _)| *m);
        for (m, woken) in left {
            for (begin, event) in woken.begins.iter().filter(|_| finished) {
                checked.add(Violation {
                    event: *event,
                    ts: 0,
                    rule: RULE,
                    what: format!("{m} begins, {}, and nobody woke it", begin.text()),
                });
            }
            // The last wake may find the runtime at its end.
            let unanswered = woken.wakes.len().saturating_sub(1);
            for (begin, row) in woken.wakes.iter().take(unanswered) {
                add(
                    checked,
                    row,
                    format!("{m} is {}, and never begins", begin.text()),
                );
            }
        }
    }
}

/// The first wake that is not compared yet belongs to the first beginning that is not.
fn compare(m: &mut Woken, checked: &mut Checked) {
    while let (Some((wake, row)), Some((begin, _))) = (m.wakes.front(), m.begins.front()) {
        // One that was not woken to search may do so by itself.
        let searches = begin.spinning || !wake.spinning;
        if (wake.p, wake.made) != (begin.p, begin.made) || !searches {
            let what = format!(
                "an M is {}, and begins {} (event {})",
                wake.text(),
                begin.text(),
                m.begins.front().map_or(0, |b| b.1)
            );
            add(checked, row, what);
        }
        m.wakes.pop_front();
        m.begins.pop_front();
    }
}

fn add(checked: &mut Checked, row: &EventRow, what: String) {
    checked.add(Violation {
        event: row.id,
        ts: row.ts,
        rule: RULE,
        what,
    });
}
