//! Events into the database, a hundred to a statement: on millions of rows the statement's own cost is what counts.
//!
//! The caller holds the transaction. Rows are written in the order they come, under consecutive ids.

use gmp_trace::event::Column;
use rusqlite::CachedStatement;

use crate::error::StoreError;
use crate::row::EventRow;
use crate::store::Store;

const COLUMNS: usize = 18;
const BATCH: usize = 100;

/// Writes the events of a run.
pub struct EventInserter<'a> {
    store: &'a Store,
    run: u32,
    many: CachedStatement<'a>,
    pending: Vec<[Option<i64>; COLUMNS]>,
}

impl std::fmt::Debug for EventInserter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventInserter")
            .field("pending", &self.pending.len())
            .finish()
    }
}

/// The statement that inserts `n` rows.
fn statement(n: usize) -> String {
    let row = format!("({})", vec!["?"; COLUMNS].join(","));
    format!("INSERT INTO event VALUES {}", vec![row; n].join(","))
}

impl<'a> EventInserter<'a> {
    /// For the events of one run.
    ///
    /// # Errors
    /// What SQLite refuses.
    pub fn new(store: &'a Store, run: u32) -> Result<EventInserter<'a>, StoreError> {
        let many = store
            .db()
            .prepare_cached(&statement(BATCH))
            .map_err(store.sql())?;
        Ok(EventInserter {
            store,
            run,
            many,
            pending: Vec::with_capacity(BATCH),
        })
    }

    /// The id that the next event of the file gets.
    ///
    /// # Errors
    /// What SQLite refuses.
    pub fn next_id(store: &Store) -> Result<i64, StoreError> {
        store
            .db()
            .query_row("SELECT ifnull(max(id), 0) + 1 FROM event", [], |r| r.get(0))
            .map_err(store.sql())
    }

    /// Adds an event.
    ///
    /// # Errors
    /// What SQLite refuses.
    pub fn push(&mut self, row: &EventRow) -> Result<(), StoreError> {
        let mut columns = [None; COLUMNS];
        let g = |g: gmp_trace::ids::GId| g.is_some().then_some(g.0 as i64);
        columns[0] = Some(row.id);
        columns[1] = Some(self.run.into());
        columns[2] = Some(row.process.into());
        columns[3] = Some(row.ts);
        columns[4] = Some(row.m.0.into());
        columns[5] = Some(row.m_seq as i64);
        columns[6] = Some((row.event.kind() as u8).into());
        columns[7] = row.p.map(|p| p.0.into());
        columns[8] = g(row.g);
        columns[9] = g(row.by);
        row.event.columns(|column, value| match column {
            // Already there, by the rule of `EventRow`.
            Column::P | Column::G | Column::Other => {}
            Column::Seq => columns[10] = value,
            Column::A1 => columns[11] = value,
            Column::A2 => columns[12] = value,
            Column::A3 => columns[13] = value,
            Column::A4 => columns[14] = value,
            Column::A5 => columns[15] = value,
            Column::A6 => columns[16] = value,
            Column::A7 => columns[17] = value,
        });
        self.pending.push(columns);
        if self.pending.len() == BATCH {
            bind_and_run(&mut self.many, &self.pending).map_err(self.store.sql())?;
            self.pending.clear();
        }
        Ok(())
    }

    /// Writes what is still pending; to be called before the transaction ends.
    ///
    /// # Errors
    /// What SQLite refuses.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.store
            .db()
            .prepare_cached(&statement(self.pending.len()))
            .and_then(|mut statement| bind_and_run(&mut statement, &self.pending))
            .map_err(self.store.sql())?;
        self.pending.clear();
        Ok(())
    }
}

fn bind_and_run(
    statement: &mut CachedStatement<'_>,
    rows: &[[Option<i64>; COLUMNS]],
) -> rusqlite::Result<()> {
    for (i, value) in rows.iter().flatten().enumerate() {
        statement.raw_bind_parameter(i + 1, *value)?;
    }
    statement.raw_execute().map(drop)
}
