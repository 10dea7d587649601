//! A trace database as a file: made, opened for adding a run, opened for reading, refused.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::error::StoreError;
use crate::schema;

/// "gmpT": the `application_id` that marks a trace database.
pub const APPLICATION_ID: i64 = 0x676d_7054;

/// How long a writer waits for another that holds the file: several recorders may add runs to one at the same time, each in transactions
/// of a second or less.
const PATIENCE: Duration = Duration::from_secs(120);

/// An open trace database.
#[derive(Debug)]
pub struct Store {
    db: Connection,
    path: PathBuf,
}

/// What lies at the path of an output file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// A trace database that can gain a run.
    Trace,
}

/// Says what lies at `path`, without touching it.
///
/// # Errors
/// [`StoreError::NotOurs`] if it is anything but a trace database, [`StoreError::Newer`] if a later version made it.
pub fn look(path: &Path) -> Result<Found, StoreError> {
    match std::fs::metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Found::Nothing),
        Err(error) => Err(StoreError::Open {
            path: path.to_owned(),
            error,
        }),
        // Empty: nothing is lost with it, or another recorder is about to fill it.
        Ok(meta) if meta.is_file() && meta.len() == 0 => Ok(Found::Nothing),
        Ok(_) => Store::open(path).map(|_| Found::Trace),
    }
}

/// A path that SQLite takes for nothing but a path: `:memory:` and names that begin with `file:` mean something else to it.
fn plain(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// An error of opening without the path that is in its text: the path is told beside it.
fn without_path(error: rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqliteFailure(e, Some(text)) => {
            let what = text
                .split_once(": ")
                .map_or(text.as_str(), |(what, _)| what);
            rusqlite::Error::SqliteFailure(e, Some(what.to_owned()))
        }
        e => e,
    }
}

impl Store {
    /// Opens a database for reading.
    ///
    /// # Errors
    /// When it is not there, is something else, or is of a later version.
    pub fn open(path: &Path) -> Result<Store, StoreError> {
        // SQLite's own message for a missing file names neither the file nor the cause.
        let meta = std::fs::metadata(path).map_err(|error| StoreError::Open {
            path: path.to_owned(),
            error,
        })?;
        if !meta.is_file() || meta.len() == 0 {
            return Err(StoreError::NotOurs {
                path: path.to_owned(),
            });
        }
        let db = Connection::open_with_flags(
            plain(path),
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        );
        let store = Store::wrap(path, db)?;
        store.db.busy_timeout(PATIENCE).map_err(store.sql())?;
        if store.needs_rollback() {
            // Whoever wrote was killed in the middle of a transaction. Any writable connection takes back what was half done.
            let writable = Store::wrap(path, Connection::open(plain(path)))?;
            let version = writable.db.pragma_query(None, "user_version", |_| Ok(()));
            version.map_err(store.sql())?;
        }
        store.check()?;
        Ok(store)
    }

    /// Whether the last transaction was cut off: such a file cannot be read by who may not write it.
    fn needs_rollback(&self) -> bool {
        let version = self.db.pragma_query(None, "user_version", |_| Ok(()));
        version.is_err_and(|e| {
            e.sqlite_error()
                .is_some_and(|e| e.extended_code == rusqlite::ffi::SQLITE_READONLY_ROLLBACK)
        })
    }

    /// Opens a database for writing to what is already in it.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_writable(path: &Path) -> Result<Store, StoreError> {
        drop(Store::open(path)?);
        let store = Store::wrap(path, Connection::open(plain(path)))?;
        store.tune()?;
        Ok(store)
    }

    /// Opens a database to add a run to it; makes it if there is nothing.
    ///
    /// # Errors
    /// When the path holds something else, or cannot be written.
    pub fn create_or_open(path: &Path) -> Result<Store, StoreError> {
        if look(path)? == Found::Trace {
            return Store::open_writable(path);
        }
        let store = Store::wrap(path, Connection::open(plain(path)))?;
        store
            .db
            .pragma_update(None, "page_size", 16384)
            .map_err(store.sql())?;
        store.tune()?;
        store.transaction(|| store.fill())?;
        Ok(store)
    }

    /// Makes the tables, inside a transaction, unless another recorder was faster.
    fn fill(&self) -> Result<(), StoreError> {
        let objects = self
            .db
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| {
                row.get::<_, i64>(0)
            })
            .map_err(self.sql())?;
        if objects > 0 {
            return self.check();
        }
        schema::create(&self.db).map_err(self.sql())?;
        for (name, value) in [
            ("application_id", APPLICATION_ID),
            ("user_version", schema::VERSION),
        ] {
            self.db
                .pragma_update(None, name, value)
                .map_err(self.sql())?;
        }
        Ok(())
    }

    fn wrap(path: &Path, db: rusqlite::Result<Connection>) -> Result<Store, StoreError> {
        let path = path.to_owned();
        match db {
            Ok(db) => Ok(Store { db, path }),
            Err(error) => Err(StoreError::Sql {
                path,
                error: without_path(error),
            }),
        }
    }

    /// A rollback journal without syncs: a killed process loses at most its last transaction and never the file.
    /// A crash of the whole machine may lose more; the workload and its spool would be gone as well.
    fn tune(&self) -> Result<(), StoreError> {
        self.db.busy_timeout(PATIENCE).map_err(self.sql())?;
        for (name, value) in [("journal_mode", "DELETE"), ("synchronous", "OFF")] {
            self.db
                .pragma_update_and_check(None, name, value, |_| Ok(()))
                .or_else(|e| match e {
                    rusqlite::Error::QueryReturnedNoRows => Ok(()),
                    e => Err(e),
                })
                .map_err(self.sql())?;
        }
        self.db
            .pragma_update(None, "cache_size", -65536)
            .map_err(self.sql())
    }

    fn check(&self) -> Result<(), StoreError> {
        let pragma = |name| {
            self.db
                .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
        };
        let not_ours = |_| StoreError::NotOurs {
            path: self.path.clone(),
        };
        if pragma("application_id").map_err(not_ours)? != APPLICATION_ID {
            return Err(StoreError::NotOurs {
                path: self.path.clone(),
            });
        }
        let found = pragma("user_version").map_err(not_ours)?;
        if found > schema::VERSION {
            return Err(StoreError::Newer {
                path: self.path.clone(),
                found,
                known: schema::VERSION,
            });
        }
        Ok(())
    }

    /// The connection, for queries of one's own.
    pub fn db(&self) -> &Connection {
        &self.db
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names this file in an error of SQLite.
    pub fn sql(&self) -> impl Fn(rusqlite::Error) -> StoreError + '_ {
        |error| StoreError::Sql {
            path: self.path.clone(),
            error,
        }
    }

    /// Runs `work` in one transaction: all of it is in the file afterwards, or nothing.
    ///
    /// # Errors
    /// What `work` returned, or what SQLite refused.
    pub fn transaction<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        self.db
            .execute_batch("BEGIN IMMEDIATE")
            .map_err(self.sql())?;
        match work() {
            Ok(value) => {
                self.db.execute_batch("COMMIT").map_err(self.sql())?;
                Ok(value)
            }
            Err(e) => {
                // The first error is the one to tell; a rollback that fails leaves a journal that the next opening rolls back.
                let _ = self.db.execute_batch("ROLLBACK");
                Err(e)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_trace_database_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let text = dir.path().join("notes.txt");
        std::fs::write(&text, "some notes, long enough to look like something").expect("writable");
        assert!(matches!(
            Store::create_or_open(&text),
            Err(StoreError::NotOurs { .. })
        ));
        let other = dir.path().join("other.db");
        Connection::open(&other)
            .and_then(|db| db.execute_batch("CREATE TABLE t(x)"))
            .expect("another database");
        assert!(matches!(look(&other), Err(StoreError::NotOurs { .. })));
        assert_eq!(look(&dir.path().join("none")).ok(), Some(Found::Nothing));
        std::fs::write(dir.path().join("empty"), "").expect("writable");
        assert_eq!(look(&dir.path().join("empty")).ok(), Some(Found::Nothing));
        let missing = Store::open(&dir.path().join("none"))
            .err()
            .map(|e| e.to_string());
        assert!(missing.is_some_and(|e| e.contains("none: No such file")));
    }

    #[test]
    fn a_later_version_is_refused_by_its_number() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("t.db");
        let store = Store::create_or_open(&path).expect("made");
        store
            .db
            .pragma_update(None, "user_version", 99)
            .expect("set");
        drop(store);
        let error = Store::open(&path).err().map(|e| e.to_string());
        assert!(error.is_some_and(|e| e.contains("schema version 99")));
    }

    #[test]
    fn several_recorders_make_one_file() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("t.db");
        std::thread::scope(|scope| {
            for i in 0..4 {
                let path = &path;
                scope.spawn(move || {
                    let store = Store::create_or_open(path).expect("made or opened");
                    let row = || store.db.execute("INSERT INTO meta VALUES (?, '')", [i]);
                    let written: Result<usize, StoreError> =
                        store.transaction(|| row().map_err(store.sql()));
                    assert_eq!(written.expect("written"), 1);
                });
            }
        });
        let store = Store::open(&path).expect("a trace database");
        let rows: i64 = store
            .db
            .query_row("SELECT count(*) FROM meta WHERE value = ''", [], |r| {
                r.get(0)
            })
            .expect("a count");
        assert_eq!(rows, 4);
    }

    #[test]
    fn a_failed_transaction_leaves_nothing() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let store = Store::create_or_open(&dir.path().join("t.db")).expect("made");
        let failed: Result<(), StoreError> = store.transaction(|| {
            store
                .db
                .execute("INSERT INTO meta VALUES ('a', 'b')", [])
                .map_err(store.sql())?;
            Err(StoreError::NotOurs {
                path: PathBuf::new(),
            })
        });
        assert!(failed.is_err());
        let rows: i64 = store
            .db
            .query_row("SELECT count(*) FROM meta WHERE key = 'a'", [], |r| {
                r.get(0)
            })
            .expect("a count");
        assert_eq!(rows, 0);
    }
}
