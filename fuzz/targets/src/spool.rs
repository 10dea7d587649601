//! The folder of a process: [`gmp_trace::spool`], as one that ended and as one that lives.
//!
//! The input is a list of changes ([`crate::patch`]) to files that make an empty spool of two segments, so that the reader comes beyond
//! their first words.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use gmp_trace::order::{Orderer, Step};
use gmp_trace::spool::SpoolError;
use gmp_trace::spool::layout::{CONTROL, CONTROL_MAGIC, SEGMENT, TABLE, control};
use gmp_trace::spool::live::LiveSpool;
use gmp_trace::spool::reader::ProcessSpool;
use gmp_trace::version::FORMAT_VERSION;

use crate::{patch, scratch};

/// The files and their lengths, in the order of the numbers that changes have for them. The length of `tables` is that of what is in it.
pub const FILES: [(&str, usize); 6] = [
    ("control", CONTROL),
    ("segments", TABLE),
    ("segment-0000", SEGMENT),
    ("segment-0001", SEGMENT),
    ("tables", 0),
    ("tallies-0000", 4096),
];
/// The furthest that a change may begin in `tables`.
const TABLES_MAX: u32 = 1 << 14;
/// The most events that so many segments can hold: a record takes at least two bytes.
const EVENTS_MAX: usize = 2 * SEGMENT / 2;

/// Makes the files, changes them, and reads them in every way there is.
pub fn spool(data: &[u8]) {
    scratch::with(|dir| {
        make(dir, data).expect("the folder is ours");
        // Before the other, which says in the control file that it reads.
        let _ = at_rest(dir);
        let _ = alive(dir);
    });
}

fn make(dir: &Path, data: &[u8]) -> std::io::Result<()> {
    let mut files = Vec::new();
    for (name, len) in FILES {
        let file = File::create(dir.join(name))?;
        file.set_len(len as u64)?;
        files.push(file);
    }
    let words = [
        (control::MAGIC, CONTROL_MAGIC),
        (control::VERSION, FORMAT_VERSION),
        (control::SEGMENTS, 2),
    ];
    for (index, value) in words {
        files[0].write_all_at(&u64::to_le_bytes(value), index as u64 * 8)?;
    }
    for patch in patch::read(data) {
        let number = usize::from(patch.file) % FILES.len();
        let (file, room) = match FILES[number].1 {
            0 => (&files[number], TABLES_MAX),
            len => (&files[number], len as u32),
        };
        let offset = u64::from(patch.offset % room);
        match patch.bytes {
            Some(bytes) => file.write_all_at(bytes, offset)?,
            None => file.set_len(offset)?,
        }
    }
    Ok(())
}

fn at_rest(dir: &Path) -> Result<(), SpoolError> {
    let spool = ProcessSpool::open(dir)?;
    let mut orderer = Orderer::new(!spool.finished);
    let mut read = 0;
    for (writer, m) in spool.writers() {
        let events: Vec<_> = spool.stream(writer).take(EVENTS_MAX + 1).collect();
        read += events.len();
        assert!(read <= EVENTS_MAX, "more events than there is room for");
        let _ = spool.tally(writer);
        orderer.add(writer, m, events.into_iter().map_while(Result::ok));
    }
    let mut ordered = 0;
    while let Step::Event(_) = orderer.next() {
        ordered += 1;
    }
    assert!(ordered <= read);
    Ok(())
}

fn alive(dir: &Path) -> Result<(), SpoolError> {
    let live = LiveSpool::attach(dir, 1_000)?;
    let mut orderer = Orderer::new(false);
    let mut ordered = 0;
    for ended in [false, false, true, true] {
        live.refresh(ended)?;
        for stream in live.new_streams() {
            orderer.add(stream.writer(), stream.m(), stream);
        }
        while let Step::Event(_) = orderer.next() {
            ordered += 1;
            assert!(ordered <= EVENTS_MAX, "more events than there is room for");
        }
        live.give_back();
        live.take_errors();
    }
    Ok(())
}
