//! A database that is damaged or was made to harm: [`gmp_store`].
//!
//! The input is a whole database if it begins as one, else a list of changes ([`crate::patch`]) to the golden one.

use std::path::Path;

use gmp_store::entity::{
    Clock, Counter, CounterDef, G, IngestCursor, Lost, M, Object, OwnCounter, P, Process,
    ProcessInfo, RunMetric, RunParam, Site, Sites, Span, Text,
};
use gmp_store::insert::EventInserter;
use gmp_store::run::Run;
use gmp_store::scan::Scan;
use gmp_store::{Store, StoreError};

use crate::{patch, scratch};

const GOLDEN: &[u8] = include_bytes!("../../../recorder/store/tests/golden/v1.db");
const MAGIC: &[u8] = b"SQLite format 3\0";

/// Opens it, reads everything that the analyzer reads, and adds a run.
pub fn database(data: &[u8]) {
    let bytes = if data.starts_with(MAGIC) {
        data.to_vec()
    } else {
        changed(data)
    };
    scratch::with(|dir| {
        let path = dir.join("t.db");
        // What an earlier run left would be rolled back into this one.
        let _ = std::fs::remove_file(dir.join("t.db-journal"));
        std::fs::write(&path, bytes).expect("the folder is ours");
        let _ = read(&path);
        let _ = add(&path);
    });
}

fn changed(data: &[u8]) -> Vec<u8> {
    let mut bytes = GOLDEN.to_vec();
    for patch in patch::read(data) {
        let at = patch.offset as usize % GOLDEN.len();
        match patch.bytes {
            None => bytes.truncate(at),
            Some(new) => {
                let end = bytes.len().min(at + new.len());
                if let Some(old) = bytes.get_mut(at..end) {
                    old.copy_from_slice(&new[..old.len()]);
                }
            }
        }
    }
    bytes
}

fn read(path: &Path) -> Result<(), StoreError> {
    let store = Store::open(path)?;
    let _ = Run::find(&store, "golden");
    let _ = Run::find(&store, "last");
    for run in Run::list(&store)?.iter().take(4) {
        let _ = run.name();
        let run = run.run;
        let _ = Sites::of(&store, run).map(|sites| sites.name(1, 1));
        let _ = (
            Clock::all(&store, run),
            G::all(&store, run),
            M::all(&store, run),
        );
        let _ = (
            P::all(&store, run),
            Object::all(&store, run),
            Lost::all(&store, run),
        );
        let _ = (
            Site::all(&store, run),
            Text::all(&store, run),
            Span::all(&store, run),
        );
        let _ = (Counter::all(&store, run), CounterDef::all(&store, run));
        let _ = (OwnCounter::all(&store, run), IngestCursor::all(&store, run));
        let _ = (RunParam::all(&store, run), RunMetric::all(&store, run));
        let _ = ProcessInfo::all(&store, run);
        for mut process in Process::all(&store, run)?.into_iter().take(4) {
            let _ = Scan::process(&store, &process).map(Iterator::count);
            // Wherever its events are.
            (process.first_event, process.last_event) = (Some(i64::MIN), Some(i64::MAX));
            let _ = Scan::process(&store, &process).map(Iterator::count);
        }
    }
    Ok(())
}

fn add(path: &Path) -> Result<(), StoreError> {
    let store = Store::create_or_open(path)?;
    store.transaction(|| {
        let run = Run {
            run: Run::next(&store)?,
            status: "ok".into(),
            ingest: "done".into(),
            ..Run::default()
        };
        run.insert(&store)?;
        EventInserter::new(&store, run.run)?.flush()?;
        EventInserter::next_id(&store).map(drop)
    })
}
