//! The tables agree: what events refer to is there, and there are as many rows as the run says.

use gmp_store::EventRow;
use gmp_store::entity::Process;
use gmp_store::{Store, rusqlite};
use gmp_trace::event::Event;
use gmp_trace::ids::GId;
use rustc_hash::FxHashSet;

use super::{Checked, Subject};
use crate::model::Violation;

const RULE: &str = "what events refer to";

/// Numbers that are mostly dense: one bit each.
#[derive(Debug, Default)]
struct Numbers {
    bits: Vec<u64>,
    /// Those so large that bits would waste memory.
    large: FxHashSet<u64>,
}

impl Numbers {
    const DENSE: u64 = 1 << 32;

    fn insert(&mut self, n: u64) {
        if n >= Numbers::DENSE {
            self.large.insert(n);
            return;
        }
        let word = (n / 64) as usize;
        if word >= self.bits.len() {
            self.bits.resize(word + 1, 0);
        }
        self.bits[word] |= 1 << (n % 64);
    }

    fn has(&self, n: u64) -> bool {
        match self.bits.get((n / 64) as usize) {
            Some(word) if n < Numbers::DENSE => word >> (n % 64) & 1 == 1,
            _ => self.large.contains(&n),
        }
    }
}

/// What there is of a process.
pub struct References {
    gs: Numbers,
    ms: FxHashSet<u64>,
    ps: FxHashSet<u64>,
    sites: FxHashSet<u64>,
    objects: Numbers,
    strings: FxHashSet<u64>,
    /// Whether the event that makes a thing known may be missing.
    lossy: bool,
    told: FxHashSet<(&'static str, u64)>,
}

impl References {
    /// Reads the tables.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn new(subject: &Subject<'_>, process: &Process) -> anyhow::Result<References> {
        let read = |table: &str, column: &str, keep: &mut dyn FnMut(u64)| {
            numbers(subject.store, process, table, column, keep).map_err(subject.store.sql())
        };
        let mut found = References {
            gs: Numbers::default(),
            ms: FxHashSet::default(),
            ps: FxHashSet::default(),
            sites: FxHashSet::default(),
            objects: Numbers::default(),
            strings: FxHashSet::default(),
            lossy: !process.finished || subject.run.lost > 0,
            told: FxHashSet::default(),
        };
        read("g", "g", &mut |n| found.gs.insert(n))?;
        read("m", "m", &mut |n| {
            found.ms.insert(n);
        })?;
        read("p", "p", &mut |n| {
            found.ps.insert(n);
        })?;
        read("site", "site", &mut |n| {
            found.sites.insert(n);
        })?;
        read("object", "object", &mut |n| found.objects.insert(n))?;
        read("string", "string", &mut |n| {
            found.strings.insert(n);
        })?;
        Ok(found)
    }

    /// The next event.
    pub fn event(&mut self, row: &EventRow, checked: &mut Checked) {
        self.g(row, row.by, checked);
        self.g(row, row.g, checked);
        if !self.ms.contains(&row.m.0.into()) {
            self.tell(row, "m", row.m.0.into(), row.m, checked);
        }
        if let Event::PStart { p, .. } = row.event
            && !self.ps.contains(&p.0.into())
        {
            self.tell(row, "p", p.0.into(), p, checked);
        }
        let site = match row.event {
            Event::Spawn { site, .. } | Event::Object { site, .. } => site.0,
            _ => 0,
        };
        if site != 0 && !self.sites.contains(&site.into()) {
            self.tell(row, "site", site.into(), format!("site {site}"), checked);
        }
        if let Event::SpanOpen { name, fields, .. } = row.event {
            for string in [name.0, fields.0] {
                if string != 0 && !self.strings.contains(&string.into()) {
                    let name = format!("string {string}");
                    self.tell(row, "string", string.into(), name, checked);
                }
            }
        }
        if let Event::Park { object, .. } = row.event
            && object.0 != 0
            && !self.lossy
            && !self.objects.has(object.0)
        {
            let name = format!("object {}", object.0);
            self.tell(row, "object", object.0, name, checked);
        }
    }

    fn g(&mut self, row: &EventRow, g: GId, checked: &mut Checked) {
        // After a loss a G may be known from a queue alone.
        if g.is_some() && !self.lossy && !self.gs.has(g.0) {
            self.tell(row, "g", g.0, g, checked);
        }
    }

    /// Says it once of each thing.
    fn tell(
        &mut self,
        row: &EventRow,
        table: &'static str,
        number: u64,
        name: impl std::fmt::Display,
        checked: &mut Checked,
    ) {
        if self.told.insert((table, number)) {
            checked.add(Violation {
                event: row.id,
                ts: row.ts,
                rule: RULE,
                what: format!("{name} is not in the table {table}"),
            });
        }
    }
}

fn numbers(
    store: &Store,
    process: &Process,
    table: &str,
    column: &str,
    keep: &mut dyn FnMut(u64),
) -> rusqlite::Result<()> {
    let sql = format!("SELECT {column} FROM {table} WHERE run = ? AND process = ?");
    let mut statement = store.db().prepare(&sql)?;
    let mut rows = statement.query((process.run, process.process))?;
    while let Some(row) = rows.next()? {
        keep(row.get::<_, i64>(0)? as u64);
    }
    Ok(())
}

/// Whether the run has the rows that it says it has. How many it has.
///
/// # Errors
/// When the database cannot be read.
pub fn count(
    subject: &Subject<'_>,
    looked_at: &[u64],
    checked: &mut Checked,
) -> anyhow::Result<u64> {
    let (store, run) = (subject.store, subject.run);
    let query = || -> rusqlite::Result<Vec<(u32, i64, i64)>> {
        store
            .db()
            .prepare("SELECT process, count(*), min(id) FROM event WHERE run = ? GROUP BY process")?
            .query_map([run.run], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?
            .collect()
    };
    let rows = query().map_err(store.sql())?;
    let total: i64 = rows.iter().map(|(_, n, _)| n).sum();
    if total != run.events {
        checked.whole(
            "rows",
            format!(
                "the run says that it has {} events, there are {total}",
                run.events
            ),
        );
    }
    for (process, n, first) in &rows {
        let known = subject.processes.iter().position(|p| p.process == *process);
        let what = match known.map(|at| looked_at[at]) {
            None => {
                format!("{n} events are of process {process}, which is not in the table process")
            }
            Some(seen) if seen != *n as u64 => {
                format!(
                    "process {process} has {n} events, of which {seen} are between its first and its last"
                )
            }
            Some(_) => continue,
        };
        checked.add(Violation {
            event: *first,
            ts: 0,
            rule: "rows",
            what,
        });
    }
    let lost = store
        .db()
        .query_row(
            "SELECT CAST(total(n) AS INTEGER) FROM lost WHERE run = ?",
            [run.run],
            |r| r.get::<_, i64>(0),
        )
        .map_err(store.sql())?;
    if lost != run.lost {
        checked.whole(
            "rows",
            format!(
                "the run says that {} events were lost, the table lost says {lost}",
                run.lost
            ),
        );
    }
    Ok(total as u64)
}
