//! Makes the seeds in `fuzz/seeds` that are binary, from the real writers: `cargo run -p gmp-fuzz-targets --example seeds`.
//!
//! Needed only when the format changes; those that are there are read for ever.

use std::path::Path;

use gmp_fuzz_targets::{FILES, patch};
use gmp_trace::codec::{MAX_RECORD, encode_into};
use gmp_trace::event::{BadField, Event, Kind, MKind};
use gmp_trace::ids::MId;
use gmp_trace::spool::layout::{CHUNK, SEGMENT};
use gmp_trace::spool::writer::{Spool, SpoolOptions};
use gmp_trace::tally::Tally;

/// An event of each kind, its arguments small numbers.
fn events() -> impl Iterator<Item = Event> {
    Kind::ALL.iter().flat_map(|kind| {
        (0..3).filter_map(move |n| {
            let mut raws = (1..).map(|i| i * n);
            Event::decode::<BadField>(*kind, || Ok(raws.next().unwrap_or(0))).ok()
        })
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../seeds");
    let mut records = Vec::new();
    for (i, event) in events().enumerate() {
        let mut out = [0; MAX_RECORD];
        let len = encode_into(&mut out, 1 << (i % 64), &event);
        records.extend(&out[..len]);
    }
    let keep = |target: &str, name: &str, bytes: &[u8]| {
        let dir = seeds.join(target);
        std::fs::create_dir_all(&dir)?;
        std::fs::write(dir.join(name), bytes)
    };
    keep("codec", "every_kind", &records)?;

    let dir = tempfile::tempdir()?;
    for (name, finish) in [("finished", true), ("cut_short", false)] {
        let folder = dir.path().join(name);
        std::fs::create_dir(&folder)?;
        let options = SpoolOptions {
            limit: SEGMENT as u64,
            ..SpoolOptions::default()
        };
        let spool = Spool::create(&folder, &options)?;
        spool.site("a/b.rs", 12, 5);
        spool.string("a text");
        let mut writers: Vec<_> = (0..2)
            .map(|m| spool.writer(MId(m), 7, MKind::Worker, "w"))
            .collect();
        for (tick, event) in events().enumerate() {
            let writer = &mut writers[tick % 2];
            writer.tally().add(Tally::Spawns, 1);
            writer.emit(tick as u64 * 100, event);
        }
        if finish {
            // A second chunk of one writer.
            for tick in 0..CHUNK as u64 / 2 {
                writers[0].emit(100_000 + tick, Event::MPark {});
            }
            drop(writers);
            spool.finish();
        }
        let mut patches = Vec::new();
        for (number, (file, _)) in FILES.iter().enumerate() {
            if let Ok(bytes) = std::fs::read(spool.dir().join(file)) {
                patch::write(&mut patches, number as u8, &bytes);
            }
        }
        keep("spool", name, &patches)?;
        keep("tables", name, &std::fs::read(spool.dir().join("tables"))?)?;
    }
    Ok(())
}
