//! A damaged spool is an error or fewer events, never a panic.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use gmp_trace::event::{Event, MKind};
use gmp_trace::ids::MId;
use gmp_trace::spool::cursor::Cursor;
use gmp_trace::spool::layout::{CHUNK, SEGMENT};
use gmp_trace::spool::reader::ProcessSpool;
use gmp_trace::spool::writer::{Spool, SpoolOptions};
use proptest::prelude::*;

/// A spool of two writers with a few chunks each.
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
    for i in 0..20_000 {
        for w in &mut writers {
            w.emit(i, Event::MPark {});
        }
    }
    drop(writers);
    spool.finish();
    spool.dir().to_owned()
}

/// Reads all there is, in every way there is.
fn read(dir: &Path) -> Option<usize> {
    let mut spool = ProcessSpool::open(dir).ok()?;
    let writers: Vec<_> = spool.writers().collect();
    let mut events = 0;
    for (writer, _) in &writers {
        events += spool.stream(*writer).filter(Result::is_ok).count();
        let _ = spool.tally(*writer);
    }
    let mut cursors: Vec<_> = writers.iter().map(|(w, _)| Cursor::new(*w)).collect();
    for _ in 0..2 {
        for cursor in &mut cursors {
            while spool.read(cursor).is_some() {}
            cursor.is_quiet(&spool);
            cursor.take_finished();
        }
        let _ = spool.refresh();
        spool.set_at_rest();
    }
    Some(events)
}

#[derive(Clone, Debug)]
enum Damage {
    /// Eight bytes somewhere in a chunk, its header preferred, or at the start of another file.
    Word {
        file: usize,
        chunk: usize,
        at: usize,
        value: u64,
    },
    /// The end of a file is missing.
    Cut { file: usize, keep: f64 },
}

const FILES: [&str; 5] = [
    "control",
    "segments",
    "segment-0000",
    "tables",
    "tallies-0000",
];

fn damage() -> impl Strategy<Value = Damage> {
    let value = prop_oneof![any::<u64>(), 0..300u64, Just(u64::MAX)];
    let at = prop_oneof![0..128usize, 0..CHUNK - 8];
    prop_oneof![
        9 => (0..FILES.len(), 0..12usize, at, value)
            .prop_map(|(file, chunk, at, value)| Damage::Word { file, chunk, at, value }),
        1 => (0..FILES.len(), 0.0..1.0).prop_map(|(file, keep)| Damage::Cut { file, keep }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_damaged_spool_is_read_without_a_panic(damages in proptest::collection::vec(damage(), 1..6)) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let process = spool(dir.path());
        prop_assert_eq!(read(&process), Some(40_000));
        for damage in damages {
            match damage {
                Damage::Word { file, chunk, at, value } => {
                    let path = process.join(FILES[file]);
                    let file = std::fs::File::options().write(true).open(path).expect("writable");
                    let len = file.metadata().expect("readable").len();
                    let base = if len as usize >= SEGMENT { chunk * CHUNK } else { 0 };
                    let at = (base + at) as u64;
                    if at + 8 <= len {
                        file.write_all_at(&value.to_le_bytes(), at).expect("writable");
                    }
                }
                Damage::Cut { file, keep } => {
                    let path = process.join(FILES[file]);
                    let file = std::fs::File::options().write(true).open(path).expect("writable");
                    let len = file.metadata().expect("readable").len();
                    file.set_len((len as f64 * keep) as u64).expect("writable");
                }
            }
        }
        read(&process);
    }
}
