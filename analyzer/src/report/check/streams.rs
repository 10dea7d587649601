//! The stream of each M: its events are numbered without a gap but those that are declared, begin with its start and end with its end, and
//! a search ends with the counts that its steal had.

use gmp_store::entity::{Lost, Process};
use gmp_store::{EventRow, Store};
use gmp_trace::event::{Event, MKind};
use gmp_trace::ids::MId;
use rustc_hash::{FxHashMap, FxHashSet};

use super::Checked;
use crate::counters::Reading;
use crate::model::Violation;

#[derive(Clone, Copy, Debug, Default)]
struct Stream {
    /// The number of the next event.
    next: u64,
    kind: Option<MKind>,
    has_ended: bool,
    /// Whether a G keeps it busy.
    runs: bool,
    /// Passes and victims tried, as the steal of this search says.
    steal: Option<(u32, u32)>,
}

/// The streams of a process.
pub struct Streams<'a> {
    process: &'a Process,
    streams: FxHashMap<MId, Stream>,
    /// Gaps that are declared: the first event after each, and how many are missing.
    declared: FxHashMap<(MId, u64), u64>,
    /// Ms whose last events are lost.
    open: FxHashSet<MId>,
    /// Whether more may be missing than is declared.
    damaged: bool,
}

impl<'a> Streams<'a> {
    /// Of a process, before its first event.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn new(store: &Store, process: &'a Process) -> anyhow::Result<Streams<'a>> {
        let mut streams = Streams {
            process,
            streams: FxHashMap::default(),
            declared: FxHashMap::default(),
            open: FxHashSet::default(),
            damaged: false,
        };
        let lost = Lost::all(store, process.run)?.into_iter();
        for l in lost.filter(|l| l.process == process.process) {
            match (l.m, l.before_m_seq, l.n) {
                (Some(m), Some(before), Some(n)) => {
                    streams.declared.insert((MId(m), before as u64), n as u64);
                }
                (Some(m), None, Some(_)) => {
                    streams.open.insert(MId(m));
                }
                _ => streams.damaged = true,
            }
        }
        Ok(streams)
    }

    /// The next event; whether others of its stream are missing right before it.
    pub fn event(&mut self, row: &EventRow, checked: &mut Checked) -> bool {
        let after_gap = self.number(row.m, row.m_seq, (row.id, row.ts), checked);
        let stream = self.streams.entry(row.m).or_default();
        let m = row.m;
        let mut wrong = |rule: &'static str, what: String| {
            checked.add(Violation {
                event: row.id,
                ts: row.ts,
                rule,
                what,
            });
        };
        if stream.has_ended {
            wrong("start and end", format!("{m} goes on after its end"));
        }
        let is_start = matches!(row.event, Event::MStart { .. });
        if is_start != (row.m_seq == 0) {
            let what = if is_start {
                "starts again"
            } else {
                "begins with something else than its start"
            };
            wrong("start and end", format!("{m} {what}"));
        }
        match row.event {
            Event::MStart { kind, .. } => stream.kind = Some(kind),
            Event::MExit {} => stream.has_ended = true,
            Event::Start { .. } => stream.runs = true,
            Event::Yield { .. }
            | Event::Preempt { .. }
            | Event::Park { .. }
            | Event::Exit { .. }
            | Event::SyscallExitBlocked { .. } => stream.runs = false,
            Event::SpinStart {} => stream.steal = None,
            Event::Steal { passes, tried, .. } => stream.steal = Some((passes, tried)),
            Event::SpinStop { passes, tried, .. } => {
                if let Some(steal) = stream.steal.take()
                    && steal != (passes, tried)
                {
                    wrong(
                        "searches",
                        format!(
                            "{m} ends its search after {passes} passes and {tried} victims, but stole after {} passes and {} victims",
                            steal.0, steal.1
                        ),
                    );
                }
            }
            _ => {}
        }
        after_gap
    }

    /// The next reading of counters; whether events of its stream are missing right before it.
    pub fn reading(&mut self, r: &Reading, checked: &mut Checked) -> bool {
        self.number(r.m, r.m_seq, (r.event, r.ts), checked)
    }

    /// The number of the next event or reading of a stream, seen at this event and time; whether it is larger than the next one is to be.
    fn number(&mut self, m: MId, m_seq: u64, at: (i64, i64), checked: &mut Checked) -> bool {
        let stream = self.streams.entry(m).or_default();
        let expected = stream.next;
        stream.next = m_seq.saturating_add(1);
        if m_seq == expected {
            return false;
        }
        stream.steal = None;
        stream.runs = false;
        let missing = m_seq.checked_sub(expected);
        let declared = self.declared.remove(&(m, m_seq));
        if missing.is_some() && (missing == declared || self.damaged) {
            return true;
        }
        let what = match (missing, declared) {
            (None, _) => format!(
                "event {m_seq} of {m} comes after its event {}",
                expected - 1
            ),
            (Some(n), None) => format!("{n} events are missing before event {m_seq} of {m}"),
            (Some(n), Some(told)) => {
                format!("{n} events are missing before event {m_seq} of {m}, {told} were lost")
            }
        };
        checked.add(Violation {
            event: at.0,
            ts: at.1,
            rule: "numbers in the stream",
            what,
        });
        missing.is_some()
    }

    /// What can be told only at the end.
    pub fn finish(self, checked: &mut Checked) {
        let mut left: Vec<_> = self.declared.iter().collect();
        left.sort_unstable();
        for ((m, before), n) in left {
            checked.whole(
                "numbers in the stream",
                format!("{n} events were lost before event {before} of {m}, which is not there"),
            );
        }
        if !self.process.finished || self.damaged {
            return;
        }
        let mut streams: Vec<_> = self.streams.iter().collect();
        streams.sort_unstable_by_key(|(m, _)| **m);
        for (m, stream) in streams {
            // A thread that is not the runtime's has no end that the runtime sees; one with a G comes back when that lets it.
            let must_end = matches!(stream.kind, Some(MKind::Worker | MKind::Sysmon));
            if must_end && !stream.has_ended && !stream.runs && !self.open.contains(m) {
                checked.whole(
                    "start and end",
                    format!("{m} started and never ended, though it ran no G"),
                );
            }
        }
    }
}
