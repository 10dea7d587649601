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
const G: i32 = 7;
const BY: i32 = 8;

/// Where the statement has a column; `None` if it is in another table.
fn place(column: Column) -> Option<i32> {
    Some(match column {
        Column::P => 6,
        Column::G => G,
        Column::Seq => 9,
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

    fn get_option(&self, column: i32) -> Option<i64> {
        // SAFETY: as in `get`.
        let kind = unsafe { ffi::sqlite3_column_type(self.statement, column) };
        (kind != ffi::SQLITE_NULL).then(|| self.get(column))
    }

    /// A column as an integer or NULL; what it is instead.
    fn strict(&self, column: i32) -> Result<Option<i64>, String> {
        // SAFETY: as in `get`.
        match unsafe { ffi::sqlite3_column_type(self.statement, column) } {
            ffi::SQLITE_NULL => Ok(None),
            ffi::SQLITE_INTEGER => Ok(Some(self.get(column))),
            _ => Err(format!("{} is no integer", NAMES[column as usize])),
        }
    }

    /// What of the row is not as the recorder writes it for this event.
    fn oddity(&self, event: &Event) -> Option<String> {
        let mut own = [None; NAMES.len()];
        event.columns(|column, value| {
            if let Some(at) = place(column) {
                own[at as usize] = Some(value);
            }
        });
        let kind = event.kind().name();
        for (at, name) in (0..).zip(NAMES) {
            let found = match self.strict(at) {
                Ok(found) => found,
                Err(odd) => return Some(odd),
            };
            let Some(found) = found else { continue };
            match own[at as usize] {
                // What another column says must be there is decoded already; only "none" has two forms.
                Some(Some(_)) => {}
                Some(None) => return Some(format!("{name} is {found}, and none is NULL")),
                None if at > BY => {
                    return Some(format!("{name} is {found}, and {kind} has none"));
                }
                // The G of the emitter.
                None if at >= G && found == 0 => {
                    return Some(format!("{name} is 0, and none is NULL"));
                }
                None => {}
            }
        }
        None
    }

    fn row(&self) -> Result<EventRow, StoreError> {
        let id = self.get(0);
        let damaged = |what: String| StoreError::Damaged {
            path: self.store.path().to_owned(),
            id,
            what,
        };
        let number = self.get(5);
        let kind = u8::try_from(number)
            .ok()
            .and_then(Kind::from_u8)
            .ok_or_else(|| damaged(format!("{number} is no kind of event")))?;
        let narrow = |column, name: &str| {
            u32::try_from(self.get(column)).map_err(|_| damaged(format!("{name} is out of range")))
        };
        let event = Event::from_columns(kind, |column| self.get_option(place(column)?))
            .ok_or_else(|| damaged(format!("its columns make no {}", kind.name())))?;
        let p = match self.get_option(6) {
            Some(_) => Some(PId(narrow(6, "p")?)),
            None => None,
        };
        Ok(EventRow {
            id,
            process: narrow(1, "process")?,
            ts: self.get(2),
            m: MId(narrow(3, "m")?),
            m_seq: self.get(4) as u64,
            p,
            g: GId(self.get(7) as u64),
            by: GId(self.get(8) as u64),
            event,
        })
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
            ffi::SQLITE_ROW => {
                let row = self.row();
                self.odd = match &row {
                    Ok(row) if self.exact => self.oddity(&row.event),
                    _ => None,
                };
                Some(row)
            }
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
