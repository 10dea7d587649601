//! The tables `m` and `p`: the threads are those that the events tell of, with the names that the runtime gives them, and each P was taken once.
//!
//! The name of a thread that is not the runtime's, and the start of one whose first events were lost, have no second witness.

use std::collections::{BTreeMap, BTreeSet};

use gmp_store::entity::{M, P, Process};
use gmp_store::{EventRow, Store};
use gmp_trace::event::{Event, MKind};
use gmp_trace::ids::{MId, PId};

use super::Checked;

const RULE: &str = "tables = events";

/// What the events of one M tell of it.
#[derive(Clone, Copy, Debug)]
struct Told {
    first_ts: i64,
    start: Option<(u32, MKind, i64)>,
    exit_ts: Option<i64>,
}

/// The Ms and Ps of a process, by its events.
#[derive(Debug, Default)]
pub struct Threads {
    ms: BTreeMap<MId, Told>,
    ps: BTreeSet<PId>,
}

impl Threads {
    /// The next event.
    pub fn event(&mut self, row: &EventRow) {
        match row.event {
            Event::MStart { tid, kind } => self.told(row).start = Some((tid, kind, row.ts)),
            Event::MExit {} => self.told(row).exit_ts = Some(row.ts),
            Event::PStart { p, .. } => {
                self.ps.insert(p);
            }
            // The first event of most.
            Event::PStatus { .. } | Event::GStatus { .. } => {
                self.told(row);
            }
            _ => {}
        }
    }

    fn told(&mut self, row: &EventRow) -> &mut Told {
        self.ms.entry(row.m).or_insert(Told {
            first_ts: row.ts,
            start: None,
            exit_ts: None,
        })
    }

    /// Compares with the tables. `lossy`: events are missing. `names_lost`: how many names may be missing too.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn finish(
        &self,
        store: &Store,
        process: &Process,
        lossy: bool,
        mut names_lost: u64,
        checked: &mut Checked,
    ) -> anyhow::Result<()> {
        let ps = P::all(store, process.run)?.into_iter();
        for p in ps.filter(|p| p.process == process.process) {
            if !self.ps.contains(&PId(p.p)) {
                checked.whole(
                    RULE,
                    format!("table p has {}, which no M ever took", PId(p.p)),
                );
            }
        }
        let ms = M::all(store, process.run)?.into_iter();
        for m in ms.filter(|m| m.process == process.process) {
            let told = self.ms.get(&MId(m.m));
            if told.is_none() && !lossy && process.finished {
                checked.whole(
                    RULE,
                    format!("table m has {}, of which there is no event", MId(m.m)),
                );
            }
            let is_named = m.name.is_some() || names_lost == 0;
            names_lost -= u64::from(!is_named);
            for what in differences(&m, told, is_named) {
                checked.whole(RULE, format!("table m, {}: {what}", MId(m.m)));
            }
        }
        Ok(())
    }
}

/// What of a row is other than the events say. `is_named`: the runtime's word for it is there, which also tells its kind.
fn differences(m: &M, told: Option<&Told>, is_named: bool) -> Vec<String> {
    let mut found = Vec::new();
    let text = |n: Option<i64>| n.map_or("NULL".to_owned(), |n| n.to_string());
    if let Some((tid, kind, start_ts)) = told.and_then(|told| told.start) {
        if m.tid != Some(tid) {
            let row = text(m.tid.map(i64::from));
            found.push(format!("its tid is {row}, by its start {tid}"));
        }
        if m.kind.as_deref() != Some(kind.word()) {
            let row = m.kind.as_deref().unwrap_or("NULL");
            found.push(format!("its kind is {row}, by its start {}", kind.word()));
        }
        if m.start_ts != Some(start_ts) {
            let row = text(m.start_ts);
            found.push(format!("its start_ts is {row}, by its start {start_ts}"));
        }
    } else if let Some(start_ts) = m.start_ts
        && told.is_some_and(|told| told.first_ts < start_ts)
    {
        found.push(format!("its start_ts {start_ts} is after its first event"));
    }
    let exit_ts = told.and_then(|told| told.exit_ts);
    if m.exit_ts != exit_ts {
        let (row, by_events) = (text(m.exit_ts), text(exit_ts));
        found.push(format!("its exit_ts is {row}, by its events {by_events}"));
    }
    if !is_named {
        return found;
    }
    let kind = MKind::ALL
        .iter()
        .find(|k| m.kind.as_deref() == Some(k.word()));
    let name = match kind {
        Some(MKind::Worker) => Some(format!("gmp-m{}", m.m)),
        Some(MKind::Sysmon) => Some("gmp-sysmon".to_owned()),
        Some(MKind::Netpoll) => Some("gmp-netpoll".to_owned()),
        Some(MKind::Foreign) => m.name.clone(),
        None => {
            let row = m.kind.as_deref().unwrap_or("NULL");
            found.push(format!("its kind {row} is none of those that there are"));
            return found;
        }
    };
    if name.is_none() || m.name != name {
        let row = m.name.as_deref().unwrap_or("NULL");
        let ours = name.as_deref().unwrap_or("one");
        found.push(format!("its name is {row}, where the runtime's is {ours}"));
    }
    found
}
