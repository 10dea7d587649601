//! What events refer to, one record type for each table: `insert` writes one row, `all` reads those of a run.
//!
//! Field by field the columns of `schema/0001_init.sql`, where their meanings and units stand.

use rusqlite::{Row, ToSql};

use crate::error::StoreError;
use crate::store::Store;

/// Declares a record: a struct whose fields are columns of the same names.
macro_rules! record {
    ($(#[$doc:meta])* $name:ident in $table:literal { $($field:ident: $ty:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs, reason = "the fields are the columns, documented in the schema")]
        pub struct $name {
            $(pub $field: $ty,)*
        }

        impl $name {
            const COLUMNS: &'static [&'static str] = &[$(stringify!($field)),*];

            /// Writes it as a new row, or over the row with its key.
            ///
            /// # Errors
            /// What SQLite refuses.
            pub fn insert(&self, store: &Store) -> Result<(), StoreError> {
                $crate::entity::insert(store, $table, Self::COLUMNS, &[$(&self.$field),*])
            }

            /// The records of a run, in order of their keys.
            ///
            /// # Errors
            /// What SQLite refuses.
            pub fn all(store: &Store, run: u32) -> Result<Vec<$name>, StoreError> {
                Self::select(store, "WHERE run = ?", &[&run])
            }

            /// The records that a condition picks.
            pub(crate) fn select(store: &Store, condition: &str, args: &[&dyn rusqlite::ToSql]) -> Result<Vec<$name>, StoreError> {
                $crate::entity::select(store, $table, Self::COLUMNS, condition, args, |row| {
                    let mut column = 0..;
                    Ok($name { $($field: row.get(column.next().unwrap_or_default())?,)* })
                })
            }
        }
    };
}
pub(crate) use record;

pub(crate) fn insert(
    store: &Store,
    table: &str,
    columns: &[&str],
    values: &[&dyn ToSql],
) -> Result<(), StoreError> {
    let marks = vec!["?"; columns.len()].join(", ");
    let names = columns.join(", ");
    let sql = format!("INSERT OR REPLACE INTO {table} ({names}) VALUES ({marks})");
    store
        .db()
        .prepare_cached(&sql)
        .and_then(|mut statement| statement.execute(values))
        .map(drop)
        .map_err(store.sql())
}

pub(crate) fn select<T>(
    store: &Store,
    table: &str,
    columns: &[&str],
    condition: &str,
    args: &[&dyn ToSql],
    read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreError> {
    let sql = format!("SELECT {} FROM {table} {condition}", columns.join(", "));
    store
        .db()
        .prepare(&sql)
        .and_then(|mut statement| statement.query_map(args, read)?.collect())
        .map_err(store.sql())
}

record! {
    /// A process that started a runtime.
    Process in "process" {
        run: u32, process: u32, pid: u32, parent: Option<u32>, started_boottime_ns: Option<i64>, executable: Option<String>,
        host: Option<String>, boot_id: Option<String>, finished: bool, clock_kind: String, base_ticks: i64, base_ts_ns: i64,
        interval_ticks: i64, interval_ns: i64, first_event: Option<i64>, last_event: Option<i64>,
    }
}

record! {
    /// A fact that a process stated about itself.
    ProcessInfo in "process_info" { run: u32, process: u32, key: String, value: String, }
}

record! {
    /// Something that the run was asked to be. A text that reads as a number is stored as one.
    RunParam in "run_param" { run: u32, name: String, value: rusqlite::types::Value, unit: Option<String>, }
}

record! {
    /// Something that the run achieved.
    RunMetric in "run_metric" { run: u32, name: String, value: Option<f64>, unit: Option<String>, }
}

record! {
    /// A reading of all clocks.
    Clock in "clock" {
        run: u32, at_ns: i64, ticks: i64, monotonic_ns: i64, monotonic_raw_ns: i64, boottime_ns: i64, realtime_ns: i64,
        uncertainty_ns: f64,
    }
}

record! {
    /// A G.
    G in "g" {
        run: u32, process: u32, g: i64, kind: Option<String>, parent: Option<i64>, site: Option<u32>, spawn_ts: Option<i64>,
        exit_ts: Option<i64>,
    }
}

record! {
    /// A thread that emitted events.
    M in "m" {
        run: u32, process: u32, m: u32, tid: Option<u32>, kind: Option<String>, name: Option<String>, start_ts: Option<i64>,
        exit_ts: Option<i64>,
    }
}

record! {
    /// A P.
    P in "p" { run: u32, process: u32, p: u32, }
}

record! {
    /// A place in the program's source.
    Site in "site" { run: u32, process: u32, site: u32, file: String, line: u32, col: u32, }
}

record! {
    /// A thing that Gs wait for.
    Object in "object" { run: u32, process: u32, object: i64, kind: String, site: Option<u32>, }
}

record! {
    /// A string of a process.
    Text in "string" { run: u32, process: u32, string: u32, text: String, }
}

record! {
    /// A perf counter of a process.
    CounterDef in "counter_def" {
        run: u32, process: u32, counter: u32, name: String, unit: String, source: String, available: bool, reason: Option<String>,
    }
}

record! {
    /// A reading of an M's counters.
    Counter in "counter" {
        event: i64, run: u32, process: u32, ts: i64, m: u32, m_seq: i64, p: Option<u32>, g: Option<i64>, enabled_ns: i64,
        running_ns: i64, c0: Option<i64>, c1: Option<i64>, c2: Option<i64>, c3: Option<i64>, c4: Option<i64>, c5: Option<i64>,
        c6: Option<i64>, c7: Option<i64>,
    }
}

record! {
    /// A span of the `tracing` crate.
    Span in "span" {
        run: u32, process: u32, span: i64, parent: Option<i64>, name: Option<u32>, fields: Option<u32>, g: Option<i64>,
        open_ts: Option<i64>, close_ts: Option<i64>,
    }
}

record! {
    /// A gap in a writer's stream.
    Lost in "lost" { run: u32, process: u32, m: Option<u32>, before_m_seq: Option<i64>, n: Option<i64>, why: String, }
}

record! {
    /// One of the runtime's own counters, as one M counted it.
    OwnCounter in "own_counter" { run: u32, process: u32, m: u32, name: String, value: i64, }
}

record! {
    /// Where the ingest of a run stands.
    IngestCursor in "ingest_cursor" { run: u32, spool: String, process: Option<u32>, events: i64, }
}

/// The sites of a run, found by their numbers.
#[derive(Debug, Default)]
pub struct Sites(std::collections::HashMap<(u32, u32), Site>);

impl Sites {
    /// Reads those of a run.
    ///
    /// # Errors
    /// What SQLite refuses.
    pub fn of(store: &Store, run: u32) -> Result<Sites, StoreError> {
        let all = Site::all(store, run)?;
        Ok(Sites(
            all.into_iter().map(|s| ((s.process, s.site), s)).collect(),
        ))
    }

    /// `file.rs:12` with the last part of the path only; `?` when it is not known.
    pub fn name(&self, process: u32, site: u32) -> String {
        match self.0.get(&(process, site)) {
            Some(s) => {
                let file = s.file.rsplit('/').next().unwrap_or(&s.file);
                format!("{file}:{}", s.line)
            }
            None => "?".into(),
        }
    }

    /// The site's record.
    pub fn get(&self, process: u32, site: u32) -> Option<&Site> {
        self.0.get(&(process, site))
    }
}
