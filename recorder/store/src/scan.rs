//! The events of a run, in order, without a row-by-row cost worth speaking of: 20 million rows are read in seconds.
//!
//! The rows of a process lie between its first and its last, so a scan is a range of the table and needs no index. Rows of other
//! processes may lie between them: processes that are read while they run take turns.

use std::ffi::CStr;
use std::ptr;

use gmp_trace::event::{Column, Event, Kind};
use gmp_trace::ids::{GId, MId, PId};
use rusqlite::ffi;

use crate::entity::Process;
use crate::error::StoreError;
use crate::row::EventRow;
use crate::store::Store;

const SQL: &CStr =
    c"SELECT id, process, ts, m, m_seq, kind, p, g, by, seq, a1, a2, a3, a4, a5, a6, a7 \
    FROM event WHERE id BETWEEN ?1 AND ?2 AND run = ?3 AND process = ?4 ORDER BY id";

/// The columns of the statement.
const NAMES: [&str; 17] = [
    "id", "process", "ts", "m", "m_seq", "kind", "p", "g", "by", "seq", "a1", "a2", "a3", "a4",
    "a5", "a6", "a7",
];
const TS: i32 = 2;
const M: i32 = 3;
const M_SEQ: i32 = 4;
const KIND: i32 = 5;
const P: i32 = 6;
const G: i32 = 7;
const BY: i32 = 8;
const SEQ: i32 = 9;
/// Those that may be NULL: from `p` on.
const CELLS: usize = NAMES.len() - P as usize;

/// Where the statement has a column; `None` if it is in another table.
fn place(column: Column) -> Option<i32> {
    Some(match column {
        Column::P => P,
        Column::G => G,
        Column::Seq => SEQ,
        Column::A1 => 10,
        Column::A2 => 11,
        Column::A3 => 12,
        Column::A4 => 13,
        Column::A5 => 14,
        Column::A6 => 15,
        Column::A7 => 16,
        Column::Other => return None,
    })
}

/// An iterator over the events of a process. A row that makes no event is an error, behind which it goes on.
pub struct Scan<'a> {
    store: &'a Store,
    statement: *mut ffi::sqlite3_stmt,
    done: bool,
    /// Whether each row is compared with what the recorder would have written.
    exact: bool,
    odd: Option<String>,
}

impl std::fmt::Debug for Scan<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scan").field("done", &self.done).finish()
    }
}

impl<'a> Scan<'a> {
    /// The events of a process; none if it left none.
    ///
    /// # Errors
    /// What SQLite refuses.
    pub fn process(store: &'a Store, process: &Process) -> Result<Scan<'a>, StoreError> {
        let (first, last) = (
            process.first_event.unwrap_or(1),
            process.last_event.unwrap_or(0),
        );
        let key = [process.run.into(), process.process.into()];
        Scan::bound(store, [first, last, key[0], key[1]])
    }

    /// As [`Scan::process`], but each row is compared with what the recorder would have written for its event: see [`Scan::take_odd`].
    ///
    /// # Errors
    /// What SQLite refuses.
    pub fn exact(store: &'a Store, process: &Process) -> Result<Scan<'a>, StoreError> {
        let mut scan = Scan::process(store, process)?;
        scan.exact = true;
        Ok(scan)
    }

    /// What of the last row is not as the recorder writes it, though it makes an event: a value where its kind has none, a number that is
    /// no integer.
    pub fn take_odd(&mut self) -> Option<String> {
        self.odd.take()
    }

    /// With numbers in place of the parameters.
    fn bound(store: &'a Store, numbers: [i64; 4]) -> Result<Scan<'a>, StoreError> {
        let mut statement = ptr::null_mut();
        // SAFETY: the connection is open for as long as `store` is borrowed; the SQL is a C string; `statement` is ours.
        let rc = unsafe {
            ffi::sqlite3_prepare_v2(
                store.db().handle(),
                SQL.as_ptr(),
                -1,
                &raw mut statement,
                ptr::null_mut(),
            )
        };
        let scan = Scan {
            store,
            statement,
            done: false,
            exact: false,
            odd: None,
        };
        if rc != ffi::SQLITE_OK {
            return Err(scan.error());
        }
        for (index, number) in (1..).zip(numbers) {
            // SAFETY: the statement was prepared above and has these parameters.
            unsafe { ffi::sqlite3_bind_int64(statement, index, number) };
        }
        Ok(scan)
    }

    fn error(&self) -> StoreError {
        // SAFETY: the connection is open; the code is that of its last call, which failed.
        let code = unsafe { ffi::sqlite3_errcode(self.store.db().handle()) };
        // SAFETY: as above; SQLite owns the text and it is copied before the next call.
        let text = unsafe { CStr::from_ptr(ffi::sqlite3_errmsg(self.store.db().handle())) };
        let text = text.to_string_lossy().into_owned();
        self.store.sql()(rusqlite::Error::SqliteFailure(
            ffi::Error::new(code),
            Some(text),
        ))
    }

    fn get(&self, column: i32) -> i64 {
        // SAFETY: called only while the statement stands on a row, with a column of the query.
        unsafe { ffi::sqlite3_column_int64(self.statement, column) }
    }

    /// The columns from `p` on, and which of them hold something else than an integer or NULL.
    fn cells(&self) -> ([Option<i64>; CELLS], u32) {
        let mut cells = [None; CELLS];
        let mut others = 0;
        for (at, cell) in cells.iter_mut().enumerate() {
            let column = P + at as i32;
            // SAFETY: as in `get`.
            match unsafe { ffi::sqlite3_column_type(self.statement, column) } {
                ffi::SQLITE_NULL => {}
                kind => {
                    *cell = Some(self.get(column));
                    others |= u32::from(kind != ffi::SQLITE_INTEGER) << at;
                }
            }
        }
        (cells, others)
    }

    /// What of the row is not as the recorder writes it for this event.
    fn oddity(&self, event: &Event, cells: &[Option<i64>; CELLS], others: u32) -> Option<String> {
        for column in [TS, M, M_SEQ, KIND] {
            // SAFETY: as in `get`.
            if unsafe { ffi::sqlite3_column_type(self.statement, column) } != ffi::SQLITE_INTEGER {
                return Some(format!("{} is no integer", NAMES[column as usize]));
            }
        }
        if others != 0 {
            let at = P as usize + others.trailing_zeros() as usize;
            return Some(format!("{} is no integer", NAMES[at]));
        }
        let mut own = *cells;
        // What an event has none of is NULL, but for the P and the Gs of its M.
        own[(SEQ - P) as usize..].fill(None);
        for at in [G, BY].map(|column| (column - P) as usize) {
            own[at] = own[at].filter(|g| *g != 0);
        }
        event.columns(|column, value| {
            if let Some(column) = place(column) {
                own[(column - P) as usize] = value;
            }
        });
        if own == *cells {
            return None;
        }
        let at = own.iter().zip(cells).position(|(own, cell)| own != cell)?;
        let text = |cell: Option<i64>| cell.map_or("NULL".to_owned(), |n| n.to_string());
        Some(format!(
            "{} is {}, where the recorder writes {} for this {}",
            NAMES[P as usize + at],
            text(cells[at]),
            text(own[at]),
            event.kind().name()
        ))
    }

    fn row(&mut self) -> Result<EventRow, StoreError> {
        let id = self.get(0);
        let damaged = |what: String| StoreError::Damaged {
            path: self.store.path().to_owned(),
            id,
            what,
        };
        let number = self.get(KIND);
        let kind = u8::try_from(number)
            .ok()
            .and_then(Kind::from_u8)
            .ok_or_else(|| damaged(format!("{number} is no kind of event")))?;
        let narrow = |column, name: &str| {
            u32::try_from(self.get(column)).map_err(|_| damaged(format!("{name} is out of range")))
        };
        let (cells, others) = self.cells();
        let event = Event::from_columns(kind, |column| cells[(place(column)? - P) as usize])
            .ok_or_else(|| damaged(format!("its columns make no {}", kind.name())))?;
        let p = match cells[0] {
            Some(_) => Some(PId(narrow(P, "p")?)),
            None => None,
        };
        let g = |column| GId(cells[(column - P) as usize].unwrap_or(0) as u64);
        let row = EventRow {
            id,
            process: narrow(1, "process")?,
            ts: self.get(TS),
            m: MId(narrow(M, "m")?),
            m_seq: self.get(M_SEQ) as u64,
            p,
            g: g(G),
            by: g(BY),
            event,
        };
        self.odd = match self.exact {
            true => self.oddity(&event, &cells, others),
            false => None,
        };
        Ok(row)
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<EventRow, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        // SAFETY: the statement is ours and was prepared.
        match unsafe { ffi::sqlite3_step(self.statement) } {
            ffi::SQLITE_ROW => Some(self.row()),
            ffi::SQLITE_DONE => {
                self.done = true;
                None
            }
            _ => {
                self.done = true;
                Some(Err(self.error()))
            }
        }
    }
}

impl Drop for Scan<'_> {
    fn drop(&mut self) {
        // SAFETY: the statement is ours; finalizing a null one does nothing.
        unsafe { ffi::sqlite3_finalize(self.statement) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insert::EventInserter;
    use gmp_trace::event::BadField;
    use proptest::prelude::*;

    /// Any event that a runtime may emit: random integers for its fields, where they mean something.
    fn events() -> impl Strategy<Value = Event> {
        (0..Kind::ALL.len(), prop::collection::vec(0..200_u64, 10)).prop_filter_map(
            "integers without a meaning",
            |(kind, raws)| {
                let kind = Kind::ALL[kind];
                let kept = kind.spec().fields.iter().all(|f| f.column != Column::Other);
                let mut raws = raws.into_iter();
                kept.then(|| Event::decode::<BadField>(kind, || Ok(raws.next().unwrap_or(0))))?
                    .ok()
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn what_was_written_is_read(events in prop::collection::vec((events(), any::<i32>(), 0..9_u64), 0..350)) {
            let dir = tempfile::tempdir().expect("a temporary folder");
            let store = Store::create_or_open(&dir.path().join("t.db")).expect("made");
            let mut rows = Vec::new();
            for (i, (event, ts, other)) in events.into_iter().enumerate() {
                let mut row = EventRow {
                    id: i as i64 + 1, process: 1, ts: ts.into(), m: MId(other as u32), m_seq: other, p: None,
                    g: GId(other), by: GId(other / 2), event,
                };
                // The rule of the columns: what the event says itself stands there.
                event.columns(|column, value| match column {
                    Column::P => row.p = value.map(|v| PId(v as u32)),
                    Column::G => row.g = GId(value.unwrap_or(0) as u64),
                    _ => {}
                });
                rows.push(row);
            }
            store.transaction(|| {
                let mut inserter = EventInserter::new(&store, 1)?;
                rows.iter().try_for_each(|row| inserter.push(row))?;
                inserter.flush()
            }).expect("written");
            let read: Vec<_> = Scan::bound(&store, [1, i64::MAX, 1, 1]).and_then(Iterator::collect).expect("read");
            prop_assert_eq!(read, rows);
            let named: i64 = store.db().query_row("SELECT count(args) FROM event_named", [], |r| r.get(0)).expect("a count");
            prop_assert_eq!(named, EventInserter::next_id(&store).expect("an id") - 1);
        }
    }

    #[test]
    fn a_row_that_is_not_as_it_is_written_is_odd_and_one_that_makes_no_event_is_passed() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let store = Store::create_or_open(&dir.path().join("t.db")).expect("made");
        store
            .db()
            .execute_batch(
                "INSERT INTO event (id, run, process, ts, m, m_seq, kind, g, seq, a1, a7) VALUES
                 (1, 1, 1, 0, 0, 0, 16, 3, NULL, 0, NULL), (2, 1, 1, 0, 0, 1, 16, 3, NULL, 5, NULL),
                 (3, 1, 1, 0, 0, 2, 16, 3, NULL, 0, 0), (4, 1, 1, 0, 0, 3, 16, 0, NULL, 0, NULL),
                 (5, 1, 1, 'noon', 0, 4, 16, 3, NULL, 0, NULL), (6, 1, 1, 0, 0, 5, 16, 3, 1.5, 0, NULL)",
            )
            .expect("inserted");
        let mut scan = Scan::bound(&store, [1, 9, 1, 1]).expect("a scan");
        scan.exact = true;
        let mut found = Vec::new();
        while let Some(row) = scan.next() {
            found.push((row.ok().map(|r| r.id), scan.take_odd()));
        }
        let odd = |id, what: &str| (Some(id), Some(what.to_owned()));
        assert_eq!(
            found,
            [
                (Some(1), None),
                (None, None),
                odd(3, "a7 is 0, where the recorder writes NULL for this exit"),
                odd(4, "g is 0, where the recorder writes NULL for this exit"),
                odd(5, "ts is no integer"),
                odd(6, "seq is no integer"),
            ]
        );
    }

    #[test]
    fn a_damaged_row_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let store = Store::create_or_open(&dir.path().join("t.db")).expect("made");
        store
            .db()
            .execute_batch("INSERT INTO event (id, run, process, ts, m, m_seq, kind, a1) VALUES (7, 1, 1, 0, 0, 0, 16, 5)")
            .expect("inserted");
        let error = Scan::bound(&store, [1, 9, 1, 1])
            .expect("a scan")
            .next()
            .and_then(Result::err)
            .map(|e| e.to_string());
        assert!(error.is_some_and(|e| e.contains("event 7: its columns make no exit")));
    }
}
