//! Every target on its seeds, and on some thousand changes of them that are the same in each run of this test.
//!
//! A seed that once broke something is kept under a name that says what.

use std::path::{Path, PathBuf};

use gmp_fuzz_targets::TARGETS;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// The seeds of a target, in the order of their names.
fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../seeds")
        .join(target);
    let mut paths: Vec<_> = std::fs::read_dir(&dir)
        .unwrap_or_else(|e| panic!("{}: {e}", dir.display()))
        .map(|entry| entry.expect("readable").path())
        .collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| (path.clone(), std::fs::read(&path).expect("readable")))
        .collect()
}

/// One change of some bytes, as a fuzzer makes it.
#[derive(Clone, Debug)]
enum Change {
    Set(Index, u8),
    Flip(Index, u8),
    /// Eight bytes, because most numbers in files are so wide.
    Word(Index, u64),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    /// A part of another seed.
    Copy(Index, Index, Index, usize),
    Cut(Index),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    let word = prop_oneof![any::<u64>(), 0..300u64, (u64::MAX - 300)..=u64::MAX];
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (at(), 0..8u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (at(), word).prop_map(|(at, word)| Change::Word(at, word)),
        (at(), vec(any::<u8>(), 1..20)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (at(), 1..40usize).prop_map(|(at, n)| Change::Remove(at, n)),
        (at(), at(), at(), 1..200usize)
            .prop_map(|(at, seed, from, n)| Change::Copy(at, seed, from, n)),
        at().prop_map(Change::Cut),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change, seeds: &[(PathBuf, Vec<u8>)]) {
    let place = |at: &Index, bytes: &[u8]| at.index(bytes.len() + 1);
    match change {
        Change::Set(at, value) => {
            let at = place(at, bytes);
            bytes.get_mut(at).into_iter().for_each(|b| *b = *value);
        }
        Change::Flip(at, bit) => {
            let at = place(at, bytes);
            bytes.get_mut(at).into_iter().for_each(|b| *b ^= 1 << bit);
        }
        Change::Word(at, word) => {
            let at = place(at, bytes);
            if let Some(old) = bytes.get_mut(at..at + 8) {
                old.copy_from_slice(&word.to_le_bytes());
            }
        }
        Change::Insert(at, new) => {
            let at = place(at, bytes);
            bytes.splice(at..at, new.iter().copied());
        }
        Change::Remove(at, n) => {
            let at = place(at, bytes);
            let end = bytes.len().min(at + n);
            bytes.drain(at..end);
        }
        Change::Copy(at, seed, from, n) => {
            let other = &seed.get(seeds).1;
            let (at, from) = (place(at, bytes), place(from, other));
            let part = &other[from..other.len().min(from + n)];
            bytes.splice(at..at, part.iter().copied());
        }
        Change::Cut(at) => {
            let at = place(at, bytes);
            bytes.truncate(at);
        }
    }
}

/// Runs a target on its seeds and on `cases` changes of them.
fn try_target(name: &str, cases: u32) {
    let (_, target) = TARGETS.iter().find(|t| t.0 == name).expect("a target");
    let seeds = seeds(name);
    assert!(seeds.len() >= 2, "{name} has too few seeds");
    target(&[]);
    for (path, seed) in &seeds {
        eprintln!("{}", path.display());
        target(seed);
    }
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let input = (any::<Index>(), vec(change(), 1..8)).prop_map(|(seed, changes)| {
        let mut bytes = seed.get(&seeds).1.clone();
        changes.iter().for_each(|c| apply(&mut bytes, c, &seeds));
        bytes
    });
    let result = TestRunner::new_with_rng(config, rng).run(&input, |bytes| {
        target(&bytes);
        Ok(())
    });
    result.unwrap_or_else(|e| panic!("{name}: {e}"));
}

/// One test a target, so that they run side by side. The numbers make each last a second or so.
macro_rules! tests {
    ($($name:ident: $cases:literal,)*) => {
        $(#[test]
        fn $name() {
            try_target(stringify!($name), $cases);
        })*

        #[test]
        fn every_target_is_tried() {
            let tried = [$(stringify!($name)),*];
            assert!(TARGETS.iter().map(|t| t.0).eq(tried));
        }
    };
}

tests! {
    clocks: 10_000,
    codec: 10_000,
    database: 1_000,
    order: 4_000,
    policy: 10_000,
    spool: 2_000,
    tables: 10_000,
    text: 10_000,
}
