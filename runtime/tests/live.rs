//! A recorder that reads while the program runs: what it finds is all there was, in order, even if the spool has little room.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use gmp_runtime::{Builder, channel, go, yield_now};
use gmp_testing::program::{command, is_part};
use gmp_testing::recording::assert_counted;
use gmp_trace::event::{Event, Kind};
use gmp_trace::ids::WriterId;
use gmp_trace::order::{Next, Note, Ordered, Orderer, Source, Step};
use gmp_trace::spool::layout::SEGMENT;
use gmp_trace::spool::live::LiveSpool;
use gmp_trace::spool::reader::Recorded;
use gmp_trace::version::{ENV_RECORDER, ENV_SPOOL, ENV_SPOOL_FULL, ENV_SPOOL_LIMIT};

/// An event that a thread publishes later than this after it happened may come out of order; in ticks.
const GRACE: u64 = 2_000_000_000;

/// Names a file: the program of a test goes on until it exists.
const UNTIL: &str = "GMP_TEST_UNTIL";

/// Several times what fits into the spool.
fn busy(rounds: u64) {
    let until = std::env::var_os(UNTIL).map(PathBuf::from);
    // SAFETY: nothing bound to a thread is held over a call into the runtime.
    unsafe { Builder::new() }.procs(3).run(move || {
        let gs: Vec<_> = (0..8)
            .map(|_| {
                let until = until.clone();
                go(move || {
                    for round in 0..rounds {
                        if round % 500 == 0 && until.as_ref().is_some_and(|file| file.exists()) {
                            break;
                        }
                        let (tx, rx) = channel::<u64>(0);
                        let child = go(move || tx.send(round).expect("open"));
                        yield_now();
                        assert_eq!(rx.recv(), Ok(round));
                        child.join().expect("no panic");
                    }
                })
            })
            .collect();
        gs.into_iter().for_each(|g| g.join().expect("no panic"));
    });
}

fn start(test: &str, on_full: &str, dir: &Path, until: Option<&Path>) -> Child {
    let mut command = command(test, "busy");
    command
        .env(ENV_SPOOL, dir)
        .env(ENV_SPOOL_FULL, on_full)
        .env(ENV_SPOOL_LIMIT, SEGMENT.to_string())
        .env(ENV_RECORDER, std::process::id().to_string())
        .stdout(Stdio::null());
    if let Some(until) = until {
        command.env(UNTIL, until);
    }
    command.spawn().expect("it starts")
}

/// The folder of the process, as soon as it can be read.
fn attach(dir: &Path, child: &mut Child) -> LiveSpool {
    loop {
        let found: Option<PathBuf> = std::fs::read_dir(dir)
            .expect("readable")
            .next()
            .map(|p| p.expect("readable").path());
        if let Some(Ok(live)) = found.map(|p| LiveSpool::attach(&p, GRACE)) {
            return live;
        }
        assert!(
            child.try_wait().expect("a child").is_none(),
            "it ended early"
        );
        std::thread::yield_now();
    }
}

#[derive(Default)]
struct Record {
    events: Vec<Ordered>,
    /// The next number of each stream.
    next: BTreeMap<WriterId, u64>,
    lost: u64,
}

impl Record {
    /// Takes what is in order now.
    fn take(&mut self, orderer: &mut Orderer<impl Source>) {
        while let Step::Event(o) = orderer.next() {
            let next = self.next.entry(o.writer).or_default();
            assert_eq!(o.m_seq, *next + o.lost_before, "{o:?}");
            *next = o.m_seq + 1;
            self.lost += o.lost_before;
            self.events.push(o);
        }
    }
}

/// Records until the process has ended, as a recorder does; `step` is called after each round.
fn record(
    child: &mut Child,
    live: &LiveSpool,
    mut step: impl FnMut(&mut Child, &Record),
) -> Record {
    let mut orderer = Orderer::new(false);
    let mut record = Record::default();
    loop {
        let ended = child.try_wait().expect("a child").is_some();
        live.refresh(ended).expect("readable");
        for stream in live.new_streams() {
            orderer.add(stream.writer(), stream.m(), stream);
        }
        record.take(&mut orderer);
        assert!(live.take_errors().is_empty());
        live.give_back();
        if ended {
            return record;
        }
        step(child, &record);
    }
}

#[test]
fn nothing_is_lost_in_a_spool_that_is_too_small_for_the_run() {
    if is_part("busy") {
        return busy(10_000);
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let test = "nothing_is_lost_in_a_spool_that_is_too_small_for_the_run";
    let mut child = start(test, "block", dir.path(), None);
    let live = attach(dir.path(), &mut child);
    let record = record(&mut child, &live, |_, _| {});
    assert!(child.wait().expect("a child").success());
    let spool = live.spool();
    assert!(spool.finished);
    assert_eq!((record.lost, spool.lost), (0, 0));
    assert!(!spool.dir().join("segment-0001").exists());
    let unproven = record.events.iter().filter(|o| o.note.is_some());
    assert_eq!(unproven.count(), 0);
    assert_counted(&spool, record.events.iter().map(|o| &o.event));
}

#[test]
fn after_losses_the_history_goes_on_from_status_events() {
    if is_part("busy") {
        return busy(u64::MAX);
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let until = tempfile::tempdir().expect("a temporary folder");
    let stop = until.path().join("stop");
    let test = "after_losses_the_history_goes_on_from_status_events";
    let mut child = start(test, "drop", dir.path(), Some(&stop));
    let live = attach(dir.path(), &mut child);
    // The recorder looks away until events are lost, reads on until it has seen what follows a gap, and has the program end.
    while live.spool().lost == 0 {
        live.refresh(false).expect("readable");
    }
    let (mut streams, mut read) = (Vec::new(), BTreeMap::<_, Vec<Recorded>>::new());
    let mut seen = [false; 2];
    loop {
        let ended = child.try_wait().expect("a child").is_some();
        live.refresh(ended).expect("readable");
        streams.extend(live.new_streams());
        for stream in &mut streams {
            while let Next::Event(r) = stream.next() {
                seen[0] |= r.event.kind() == Kind::PStatus;
                seen[1] |= r.event.kind() == Kind::GStatus;
                read.entry((stream.writer(), stream.m()))
                    .or_default()
                    .push(r);
                stream.taken();
            }
        }
        live.give_back();
        if ended {
            break;
        }
        if seen == [true; 2] && !stop.exists() {
            std::fs::write(&stop, "").expect("writable");
        }
    }
    let mut orderer = Orderer::new(false);
    for ((writer, m), events) in read {
        orderer.add(writer, m, events.into_iter());
    }
    let mut record = Record::default();
    record.take(&mut orderer);
    assert!(child.wait().expect("a child").success());
    let spool = live.spool();
    assert!(record.lost > 0 && record.lost <= spool.lost);
    let mut statuses = 0;
    for (i, o) in record.events.iter().enumerate() {
        // A loss is known, so nothing is called a contradiction.
        assert_ne!(o.note, Some(Note::Unordered));
        let first = [Kind::PStatus, Kind::GStatus].contains(&o.event.kind());
        if o.lost_before > 0 && first {
            statuses += 1;
            let mut own = record.events[i..].iter().filter(|e| e.writer == o.writer);
            let next = own.find(|e| ![Kind::PStatus, Kind::GStatus].contains(&e.event.kind()));
            // What the M went on with is about the G and the P that it said it had.
            if let (Event::GStatus { g, .. }, Some(next)) = (o.event, next)
                && matches!(next.event.kind(), Kind::Park | Kind::Yield | Kind::Exit)
            {
                assert_eq!(next.g, g);
            }
        }
    }
    assert!(statuses > 0);
}

#[test]
fn a_kill_at_any_moment_leaves_whole_streams() {
    if is_part("busy") {
        return busy(u64::MAX);
    }
    let test = "a_kill_at_any_moment_leaves_whole_streams";
    for round in 1..=4 {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut child = start(test, "block", dir.path(), None);
        let live = attach(dir.path(), &mut child);
        let enough = 30_000 * round;
        let record = record(&mut child, &live, |child, record| {
            if record.events.len() > enough {
                // The end is seen by the next round.
                child.kill().expect("it can be killed");
            }
        });
        assert_eq!(child.wait().expect("a child").signal(), Some(libc::SIGKILL));
        assert!(!live.spool().finished);
        assert_eq!(record.lost, 0);
    }
}
