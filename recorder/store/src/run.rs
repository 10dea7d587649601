//! Runs: one row for each execution of a command.

use crate::entity::record;
use crate::error::StoreError;
use crate::store::Store;

record! {
    /// One execution of a command.
    #[derive(Default)]
    Run in "run" {
        run: u32, label: Option<String>, command: String, argv: String, cwd: Option<String>, status: String,
        exit_code: Option<i32>, signal: Option<i32>, started_realtime_ns: i64, started_boottime_ns: i64,
        started_monotonic_ns: i64, duration_ns: Option<i64>, procs: Option<u32>, policy: Option<String>, host: Option<String>,
        boot_id: Option<String>, kernel: Option<String>, cpu_model: Option<String>, cpus: Option<u32>,
        cpu_list: Option<String>, smt: Option<String>, clock_kind: Option<String>, tick_hz: Option<f64>,
        event_cost_ns: Option<f64>, counters: Option<String>, counters_reason: Option<String>,
        counters_probability: Option<f64>, events: i64, first_event: Option<i64>, last_event: Option<i64>, lost: i64,
        blocked_ns: i64, unordered: i64, resynced: i64, spool_bytes: Option<i64>, ingest: String, recovered: bool,
        recorder_version: Option<String>, runtime_version: Option<String>, format_version: Option<u32>,
    }
}

impl Run {
    /// All runs of the file, by their numbers.
    ///
    /// # Errors
    /// What SQLite refuses.
    pub fn list(store: &Store) -> Result<Vec<Run>, StoreError> {
        Run::select(store, "ORDER BY run", &[])
    }

    /// The number that the next run gets.
    ///
    /// # Errors
    /// What SQLite refuses.
    pub fn next(store: &Store) -> Result<u32, StoreError> {
        store
            .db()
            .query_row("SELECT ifnull(max(run), 0) + 1 FROM run", [], |r| r.get(0))
            .map_err(store.sql())
    }

    /// The run that a user named: a number, a label (the last run that has it), or `last`.
    ///
    /// # Errors
    /// [`StoreError::NoRun`] when there is none.
    pub fn find(store: &Store, wanted: &str) -> Result<Run, StoreError> {
        let mut found = match (wanted, wanted.parse::<u32>()) {
            ("last", _) => Run::select(store, "ORDER BY run DESC LIMIT 1", &[])?,
            (_, Ok(number)) => Run::select(store, "WHERE run = ?", &[&number])?,
            _ => Vec::new(),
        };
        if found.is_empty() {
            found = Run::select(
                store,
                "WHERE label = ? ORDER BY run DESC LIMIT 1",
                &[&wanted],
            )?;
        }
        found.pop().ok_or_else(|| StoreError::NoRun {
            path: store.path().to_owned(),
            wanted: wanted.to_owned(),
        })
    }

    /// How a person names it: its label, else its command.
    pub fn name(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_found_by_number_by_label_and_as_the_last() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let store = Store::create_or_open(&dir.path().join("t.db")).expect("made");
        for label in ["a", "b", "a"] {
            let run = Run {
                run: Run::next(&store).expect("a number"),
                label: Some(label.into()),
                status: "ok".into(),
                ingest: "done".into(),
                ..Run::default()
            };
            run.insert(&store).expect("written");
            assert_eq!(Run::find(&store, &run.run.to_string()).ok(), Some(run));
        }
        let number = |wanted| Run::find(&store, wanted).map(|r| r.run).ok();
        assert_eq!(
            (number("a"), number("b"), number("last")),
            (Some(3), Some(2), Some(3))
        );
        assert!(matches!(
            Run::find(&store, "7"),
            Err(StoreError::NoRun { .. })
        ));
    }
}
