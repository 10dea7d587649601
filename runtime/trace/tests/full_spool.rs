//! A spool that is full: chunks are used again, writers wait while the recorder lives, and count what they lose when it does not.

use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use gmp_trace::event::{Event, MKind};
use gmp_trace::ids::{GId, MId};
use gmp_trace::spool::attach::Attachment;
use gmp_trace::spool::cursor::Cursor;
use gmp_trace::spool::layout::SEGMENT;
use gmp_trace::spool::reader::ProcessSpool;
use gmp_trace::spool::writer::{OnFull, Spool, SpoolOptions};

/// Events that fit into one segment with room to spare are fewer than this.
const MORE_THAN_FITS: u64 = 3_000_000;

fn spool(on_full: OnFull, recorder: u32) -> (tempfile::TempDir, Arc<Spool>) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let options = SpoolOptions {
        limit: SEGMENT as u64,
        on_full,
        recorder: Some(recorder),
    };
    let spool = Spool::create(dir.path(), &options).expect("a spool");
    (dir, spool)
}

fn numbered(i: u64) -> Event {
    Event::Notify {
        g: GId(i),
        seq: i,
        via: gmp_trace::event::Via::G,
    }
}

/// A thread that writes so many numbered events; it returns how many it lost.
fn write(spool: &Arc<Spool>, m: u32, events: u64) -> JoinHandle<u64> {
    let spool = Arc::clone(spool);
    std::thread::spawn(move || {
        let mut writer = spool.writer(MId(m), 1, MKind::Worker, "w");
        (0..events).for_each(|i| writer.emit(i, numbered(i)));
        writer.lost()
    })
}

/// Reads until all streams have ended, and gives back as it goes. Events and waits of each stream.
fn read_all(spool: &mut ProcessSpool, attachment: &Attachment, streams: u32) -> (u64, u64) {
    let mut cursors: Vec<Cursor> = (0..streams)
        .map(|w| Cursor::new(gmp_trace::ids::WriterId(w)))
        .collect();
    let mut next = vec![(0, 0); streams as usize];
    let (mut events, mut waited) = (0, 0);
    while !cursors.iter().all(Cursor::is_ended) {
        attachment.beat();
        spool.refresh().expect("readable");
        for (cursor, (number, m_seq)) in cursors.iter_mut().zip(&mut next) {
            while let Some(r) = spool.read(cursor) {
                let r = r.expect("whole records");
                assert_eq!(r.m_seq, *m_seq);
                *m_seq += 1;
                match r.event {
                    Event::Blocked { waited_ns } => waited += waited_ns,
                    event => {
                        assert_eq!(event, numbered(*number));
                        *number += 1;
                        events += 1;
                    }
                }
            }
            let finished = cursor.take_finished();
            spool.give_back(attachment, &finished);
        }
    }
    (events, waited)
}

#[test]
fn what_is_given_back_is_used_again() {
    let (_dir, spool) = spool(OnFull::Block, std::process::id());
    let threads: Vec<_> = (0..3).map(|m| write(&spool, m, MORE_THAN_FITS)).collect();
    let attachment = Attachment::new(spool.dir()).expect("attached");
    let mut read = ProcessSpool::open(spool.dir()).expect("readable");
    let (events, _) = read_all(&mut read, &attachment, 3);
    assert_eq!(events, 3 * MORE_THAN_FITS);
    for thread in threads {
        assert_eq!(thread.join().expect("no panic"), 0);
    }
    spool.finish();
    assert!(!spool.dir().join("segment-0001").exists());
}

#[test]
fn a_writer_waits_for_the_recorder_and_says_how_long() {
    let (_dir, spool) = spool(OnFull::Block, std::process::id());
    let thread = write(&spool, 0, MORE_THAN_FITS);
    let mut read = ProcessSpool::open(spool.dir()).expect("readable");
    while read.waiting() == 0 {
        std::thread::yield_now();
    }
    let attachment = Attachment::new(spool.dir()).expect("attached");
    let (events, waited) = read_all(&mut read, &attachment, 1);
    assert_eq!(events, MORE_THAN_FITS);
    assert!(waited > 0);
    assert_eq!(thread.join().expect("no panic"), 0);
    assert_eq!(read.waiting(), 0);
}

fn somebody() -> Child {
    Command::new("sleep").arg("600").spawn().expect("it starts")
}

#[test]
fn a_writer_does_not_wait_for_a_recorder_that_is_gone() {
    let mut recorder = somebody();
    let (_dir, spool) = spool(OnFull::Block, recorder.id());
    recorder.kill().expect("it runs");
    recorder.wait().expect("a child");
    let lost = write(&spool, 0, MORE_THAN_FITS).join().expect("no panic");
    assert!(lost > 0);
    let read = ProcessSpool::open(spool.dir()).expect("readable");
    assert_eq!(read.lost, lost);
}

#[test]
fn a_writer_stops_waiting_when_the_recorder_dies() {
    let mut recorder = somebody();
    let (_dir, spool) = spool(OnFull::Block, recorder.id());
    let thread = write(&spool, 0, MORE_THAN_FITS);
    let read = ProcessSpool::open(spool.dir()).expect("readable");
    while read.waiting() == 0 {
        std::thread::yield_now();
    }
    // A zombie is dead enough.
    recorder.kill().expect("it runs");
    assert!(thread.join().expect("no panic") > 0);
    recorder.wait().expect("a child");
}

#[test]
fn the_end_of_the_spool_ends_all_waiting() {
    let (_dir, spool) = spool(OnFull::Block, std::process::id());
    let thread = write(&spool, 0, MORE_THAN_FITS);
    let read = ProcessSpool::open(spool.dir()).expect("readable");
    while read.waiting() == 0 {
        std::thread::yield_now();
    }
    spool.finish();
    assert!(thread.join().expect("no panic") > 0);
}

#[test]
fn after_a_loss_the_status_comes_first_and_the_gap_shows() {
    let (_dir, spool) = spool(OnFull::Drop, std::process::id());
    let mut writer = spool.writer(MId(0), 1, MKind::Worker, "w");
    let mut i = 0;
    while writer.lost() < 100 {
        writer.emit(i, numbered(i));
        i += 1;
    }
    let attachment = Attachment::new(spool.dir()).expect("attached");
    let mut read = ProcessSpool::open(spool.dir()).expect("readable");
    let mut cursor = Cursor::new(gmp_trace::ids::WriterId(0));
    let mut kept = 0;
    while let Some(r) = read.read(&mut cursor) {
        assert_eq!(r.expect("whole").m_seq, kept);
        kept += 1;
    }
    assert_eq!(kept + 100, i);
    read.give_back(&attachment, &cursor.take_finished());
    let asked = AtomicU64::new(0);
    for n in [i, i + 1] {
        writer.emit_with(n, numbered(n), || {
            asked.fetch_add(1, Ordering::Relaxed);
            [Some(Event::MUnpark {}), Some(Event::MPark {})]
        });
    }
    assert_eq!(asked.into_inner(), 1);
    read.refresh().expect("readable");
    let rest: Vec<_> = std::iter::from_fn(|| read.read(&mut cursor))
        .map(|r| r.expect("whole"))
        .map(|r| (r.m_seq, r.event))
        .collect();
    let expected = [
        Event::MUnpark {},
        Event::MPark {},
        numbered(i),
        numbered(i + 1),
    ];
    let expected: Vec<_> = (i..).zip(expected).collect();
    assert_eq!(rest, expected);
}
