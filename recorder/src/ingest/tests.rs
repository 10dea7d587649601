//! A damaged spool becomes the rows that can be told from it, or an error; never a panic, and never a broken database.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use gmp_store::Store;
use gmp_store::entity::{M, OwnCounter, ProcessInfo};
use gmp_store::scan::Scan;
use gmp_trace::event::{BadField, Event, Kind, MKind};
use gmp_trace::ids::MId;
use gmp_trace::spool::layout::{self, CHUNK, HEADER, SEGMENT};
use gmp_trace::spool::tables::{Entry, decode_all};
use gmp_trace::spool::writer::{Spool, SpoolOptions};
use gmp_trace::tally::Tally;
use proptest::prelude::*;

use super::*;

/// A spool of two writers with an event of each kind; nothing more is needed to reach every row.
fn spool(dir: &Path) -> PathBuf {
    let options = SpoolOptions {
        limit: SEGMENT as u64,
        ..SpoolOptions::default()
    };
    let spool = Spool::create(dir, &options).expect("a spool");
    let mut writers: Vec<_> = (0..2)
        .map(|m| spool.writer(MId(m), 1, MKind::Worker, "w"))
        .collect();
    spool.site("a.rs", 1, 2);
    spool.string("text");
    for (tick, kind) in Kind::ALL.iter().enumerate() {
        if let Ok(event) = Event::decode::<BadField>(*kind, || Ok(1)) {
            writers[tick % 2].emit(tick as u64, event);
        }
    }
    drop(writers);
    spool.finish();
    spool.dir().to_owned()
}

/// Eight bytes of a header or a record in one of the two chunks, or in another file.
#[derive(Clone, Debug)]
struct Damage {
    file: &'static str,
    at: usize,
    word: u64,
}

fn damage() -> impl Strategy<Value = Damage> {
    let word = prop_oneof![
        any::<u64>(),
        0..300u64,
        // Eight bytes of a number that goes on, or of ones.
        Just(u64::MAX),
        Just(u64::MAX / 2),
    ];
    let chunk = (0..2usize, 0..HEADER + 400).prop_map(|(chunk, at)| chunk * CHUNK + at);
    prop_oneof![
        6 => (Just("segment-0000"), chunk),
        1 => (Just("control"), 0..160usize),
        1 => (Just("tables"), 0..60usize),
        1 => (Just("tallies-0000"), 0..600usize),
    ]
    .prop_flat_map(move |(file, at)| word.clone().prop_map(move |word| Damage { file, at, word }))
}

fn clocks() -> impl Strategy<Value = Vec<Snapshot>> {
    let number = || prop_oneof![0..1_000u64, any::<u64>(), Just(u64::MAX)];
    let reading = (number(), number()).prop_map(|(ticks, monotonic_ns)| Snapshot {
        ticks,
        monotonic_ns,
        monotonic_raw_ns: ticks,
        boottime_ns: monotonic_ns,
        realtime_ns: ticks,
        uncertainty_ticks: 1,
    });
    proptest::collection::vec(reading, 2..4)
}

/// A thread found no room for its name, though its events did.
#[test]
fn a_thread_without_a_name_is_there_with_what_it_counted() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let process = {
        let spool = Spool::create(dir.path(), &SpoolOptions::default()).expect("a spool");
        for m in 0..2 {
            let kind = MKind::Worker;
            let mut writer = spool.writer(MId(m), 10 + m, kind, "w");
            writer.emit(u64::from(m) + 1, Event::MStart { tid: 10 + m, kind });
            writer.tally().add(Tally::Readies, 3);
        }
        spool.finish();
        spool.dir().to_owned()
    };
    let tables = process.join("tables");
    let (entries, _) = decode_all(&std::fs::read(&tables).expect("readable"));
    let is_second = |e: &Entry| matches!(e, Entry::Writer { m: MId(1), .. });
    let kept = entries.iter().filter(|e| !is_second(e));
    std::fs::write(&tables, kept.flat_map(Entry::encode).collect::<Vec<_>>()).expect("writable");
    let mut options = std::fs::File::options();
    let control = options.write(true).open(process.join("control"));
    let word = (layout::control::TABLES_LOST * 8) as u64;
    let control = control.expect("writable");
    let one = 1u64.to_le_bytes();
    control.write_all_at(&one, word).expect("writable");
    let store = Store::create_or_open(&dir.path().join("t.db")).expect("made");
    let mut run = Run {
        run: 1,
        ingest: "running".into(),
        ..Run::default()
    };
    run.insert(&store).expect("written");
    let reading = |ticks| Snapshot {
        ticks,
        monotonic_ns: ticks,
        monotonic_raw_ns: ticks,
        boottime_ns: ticks,
        realtime_ns: ticks,
        uncertainty_ticks: 1,
    };
    Ingest::new(&store, &run, dir.path(), &Machine::default())
        .and_then(|ingest| {
            let clocks = [reading(0), reading(1_000)];
            ingest.finish(&mut run, &clocks, &ProgressBar::hidden(), |_| Ok(()))
        })
        .expect("whole");
    let ms = M::all(&store, 1).expect("readable");
    let told = ms
        .iter()
        .map(|m| (m.m, m.tid, m.kind.as_deref(), m.name.as_deref()));
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            (0, Some(10), Some("worker"), Some("w")),
            (1, Some(11), Some("worker"), None)
        ]
    );
    assert!(ms.iter().all(|m| m.start_ts.is_some()), "{ms:?}");
    let own = OwnCounter::all(&store, 1).expect("readable");
    let readies = own.iter().filter(|c| c.name == Tally::Readies.name());
    let readies: Vec<_> = readies.map(|c| (c.m, c.value)).collect();
    assert_eq!(readies, [(0, 3), (1, 3)]);
    let info = ProcessInfo::all(&store, 1).expect("readable");
    assert!(info.iter().any(|i| i.key == "names_lost" && i.value == "1"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_damaged_spool_becomes_rows_or_an_error(
        damages in proptest::collection::vec(damage(), 1..6),
        clocks in clocks(),
        started in any::<i64>(),
    ) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let process = spool(dir.path());
        for damage in damages {
            let file = std::fs::File::options().write(true).open(process.join(damage.file)).expect("writable");
            file.write_all_at(&damage.word.to_le_bytes(), damage.at as u64).expect("writable");
        }
        let path = dir.path().join("t.db");
        let store = Store::create_or_open(&path).expect("made");
        let mut run = Run {
            run: 1,
            started_monotonic_ns: started,
            ingest: "running".into(),
            ..Run::default()
        };
        run.insert(&store).expect("written");
        let machine = Machine::default();
        let done = Ingest::new(&store, &run, dir.path(), &machine)
            .and_then(|ingest| ingest.finish(&mut run, &clocks, &ProgressBar::hidden(), |_| Ok(())));
        drop(store);
        let store = Store::open(&path).expect("a database");
        let run = Run::find(&store, "1").expect("the run");
        prop_assert_eq!(run.ingest == "done", done.is_ok());
        let mut events = 0;
        for process in Process::all(&store, 1).expect("processes") {
            events += Scan::process(&store, &process).expect("a scan").filter(Result::is_ok).count();
        }
        prop_assert!(done.is_err() || events as i64 == run.events, "{} events, {events} rows", run.events);
    }
}
