//! The tables agree: what events refer to is there, and there are as many rows as the run says.

use gmp_store::EventRow;
use gmp_store::entity::{Process, ProcessInfo};
use gmp_store::{Store, rusqlite};
use gmp_trace::event::{Event, ObjectKind, ParkReason};
use gmp_trace::ids::{GId, MId, ObjectId};
use gmp_trace::version::info;
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

/// Whether Gs wait for things of this kind with this reason.
fn waits_for(reason: ParkReason, kind: ObjectKind) -> bool {
    use ObjectKind as Kind;
    match reason {
        ParkReason::ChanSend | ParkReason::ChanRecv => matches!(kind, Kind::Channel | Kind::Timer),
        ParkReason::Select => kind == Kind::Select,
        ParkReason::Forever => matches!(kind, Kind::Channel | Kind::Timer | Kind::Select),
        ParkReason::Sleep => kind == Kind::Timer,
        ParkReason::Mutex => kind == Kind::Mutex,
        ParkReason::WaitGroup => kind == Kind::WaitGroup,
        ParkReason::Join => kind == Kind::Join,
        ParkReason::NetRead
        | ParkReason::NetWrite
        | ParkReason::NetAccept
        | ParkReason::NetConnect => kind == Kind::Socket,
        ParkReason::Semaphore | ParkReason::Stw => kind == Kind::Semaphore,
        ParkReason::Cond => kind == Kind::Cond,
        ParkReason::RwLock => kind == Kind::RwLock,
        // No runtime says so yet.
        ParkReason::Unspecified | ParkReason::Pending => true,
    }
}

/// What there is of a process.
pub struct References {
    gs: Numbers,
    ms: FxHashSet<u64>,
    ps: FxHashSet<u64>,
    sites: FxHashSet<u64>,
    objects: Numbers,
    /// The kinds of objects, by their numbers.
    kinds: Vec<Option<ObjectKind>>,
    strings: FxHashSet<u64>,
    /// Whether the event that makes a thing known may be missing.
    lossy: bool,
    /// How many more names may be missing, because the process had no room for them.
    pub names_lost: u64,
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
        let stated = ProcessInfo::all(subject.store, process.run)?.into_iter();
        let mut of_process = stated.filter(|stated| stated.process == process.process);
        let names_lost = of_process
            .find(|stated| stated.key == info::NAMES_LOST)
            .map_or(0, |stated| stated.value.parse().unwrap_or(0));
        let mut found = References {
            gs: Numbers::default(),
            ms: FxHashSet::default(),
            ps: FxHashSet::default(),
            sites: FxHashSet::default(),
            objects: Numbers::default(),
            kinds: Vec::new(),
            strings: FxHashSet::default(),
            lossy: !process.finished || subject.run.lost > 0,
            names_lost,
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
        found
            .read_kinds(subject.store, process)
            .map_err(subject.store.sql())?;
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
        if let Event::Park { reason, object } = row.event {
            self.park(row, reason, object, checked);
        }
        match row.event {
            Event::MWake { woken, .. } => self.m(row, woken, checked),
            Event::PreemptRequest { of_m, .. } => self.m(row, of_m, checked),
            _ => {}
        }
    }

    /// Every wait names its object, which is of a kind that Gs wait for with this reason.
    fn park(
        &mut self,
        row: &EventRow,
        reason: ParkReason,
        object: ObjectId,
        checked: &mut Checked,
    ) {
        let kind = self.kinds.get(object.0 as usize).copied().flatten();
        if object.0 != 0 && !self.lossy && !self.objects.has(object.0) {
            let name = format!("object {}", object.0);
            self.tell(row, "object", object.0, name, checked);
        } else if object.0 == 0 || kind.is_some_and(|kind| !waits_for(reason, kind)) {
            let kind = kind.map_or("nothing", ObjectKind::word);
            checked.add(Violation {
                event: row.id,
                ts: row.ts,
                rule: RULE,
                what: format!(
                    "a G parks ({reason}) for object {}, which is a {kind}",
                    object.0
                ),
            });
        }
    }

    /// An M that another speaks of must be there, if it came to say anything.
    fn m(&mut self, row: &EventRow, m: MId, checked: &mut Checked) {
        if !self.lossy && !self.ms.contains(&m.0.into()) {
            self.tell(row, "m", m.0.into(), m, checked);
        }
    }

    fn read_kinds(&mut self, store: &Store, process: &Process) -> rusqlite::Result<()> {
        /// Beyond this many a wait is not compared with its object.
        const MOST: i64 = 1 << 24;
        let sql = "SELECT object, kind FROM object WHERE run = ? AND process = ? AND object BETWEEN 0 AND ?";
        let mut statement = store.db().prepare(sql)?;
        let mut rows = statement.query((process.run, process.process, MOST))?;
        while let Some(row) = rows.next()? {
            let at = row.get::<_, i64>(0)? as usize;
            if at >= self.kinds.len() {
                self.kinds.resize(at + 1, None);
            }
            let word = row.get_ref(1)?.as_str().unwrap_or_default();
            self.kinds[at] = ObjectKind::ALL.iter().copied().find(|k| k.word() == word);
        }
        Ok(())
    }

    fn g(&mut self, row: &EventRow, g: GId, checked: &mut Checked) {
        // After a loss a G may be known from a queue alone.
        if g.is_some() && !self.lossy && !self.gs.has(g.0) {
            self.tell(row, "g", g.0, g, checked);
        }
    }

    /// Says it once of each thing, unless it is one of the names that were lost.
    fn tell(
        &mut self,
        row: &EventRow,
        table: &'static str,
        number: u64,
        name: impl std::fmt::Display,
        checked: &mut Checked,
    ) {
        if !self.told.insert((table, number)) {
            return;
        }
        if matches!(table, "site" | "string") && self.names_lost > 0 {
            self.names_lost -= 1;
        } else {
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
    let total: i64 = store
        .db()
        .query_row("SELECT count(*) FROM event WHERE run = ?", [run.run], |r| {
            r.get(0)
        })
        .map_err(store.sql())?;
    let query = || -> rusqlite::Result<Vec<(u32, i64, i64)>> {
        store
            .db()
            .prepare("SELECT process, count(*), min(id) FROM event WHERE run = ? GROUP BY process")?
            .query_map([run.run], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?
            .collect()
    };
    let rows = match looked_at.iter().sum::<u64>() == total as u64 {
        true => Vec::new(),
        // To sort them by their process takes as long as to look at all of them.
        false => query().map_err(store.sql())?,
    };
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

/// Whether each row belongs to a run and a process that there are, in every table that says so.
///
/// # Errors
/// When the database cannot be read.
pub fn strays(store: &Store, checked: &mut Checked) -> anyhow::Result<()> {
    let find = || -> rusqlite::Result<Vec<(String, i64)>> {
        let columns = "SELECT s.name, sum(c.name = 'process') FROM sqlite_schema s, pragma_table_info(s.name) c \
            WHERE s.type = 'table' AND c.name IN ('run', 'process') AND s.name NOT IN ('event', 'run') \
            GROUP BY s.name HAVING sum(c.name = 'run')";
        let mut tables = store.db().prepare(columns)?;
        let tables = tables.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?;
        let mut found = Vec::new();
        for table in tables {
            let (table, of_process): (String, bool) = table?;
            let unknown = match (table.as_str(), of_process) {
                // Their process is one of those that are there, or none yet.
                ("process" | "ingest_cursor", _) | (_, false) => "run NOT IN (SELECT run FROM run)",
                _ => {
                    "NOT EXISTS (SELECT 1 FROM process p WHERE p.run = t.run AND p.process = t.process)"
                }
            };
            let sql = format!("SELECT count(*) FROM \"{table}\" t WHERE {unknown}");
            found.push((table, store.db().query_row(&sql, [], |r| r.get(0))?));
        }
        Ok(found)
    };
    for (table, n) in find().map_err(store.sql())? {
        if n > 0 {
            checked.whole(
                "rows",
                format!("{n} rows of the table {table} are of a run or process that is not there"),
            );
        }
    }
    Ok(())
}
