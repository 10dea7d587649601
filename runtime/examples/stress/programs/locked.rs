//! Scenes of Gs that are locked to their threads.

use std::cell::Cell;
use std::thread::ThreadId;

use super::threads::last_act;
use super::{Random, Setup, join, message, noise};
use gmp_runtime::sync::chan::{Receiver, Sender};
use gmp_runtime::{channel, go, lock_os_thread, unlock_os_thread};

/// What a G leaves to the thread that ends with it: does what a thread does last, when the thread's own values are dropped.
struct Bequest(Random, Option<Sender<u64>>);

impl Drop for Bequest {
    fn drop(&mut self) {
        if let Some(to) = self.1.take() {
            last_act(&mut self.0, to, 1);
        }
    }
}

thread_local! {
    static BEQUEST: Cell<Option<Bequest>> = const { Cell::new(None) };
}

/// What a locked G panics with on purpose.
struct OnPurpose;

fn thread() -> ThreadId {
    std::thread::current().id()
}

/// Gs lock themselves and ask others, which may be locked too, again and again; then they end unlocked, locked, or in a panic. The
/// threads of those that end locked send something when they end.
pub(super) fn locked(random: &mut Random, _: &Setup) {
    fn answer(questions: &Receiver<u64>, answers: &Sender<u64>, random: &mut Random) {
        if random.percent(40) {
            lock_os_thread();
        }
        for question in questions.iter() {
            noise(random);
            answers.send(question + 1).expect("open");
        }
        // Does nothing if it is not locked.
        unlock_os_thread();
    }
    /// Whether its thread is to send something.
    fn ask(questions: &Sender<u64>, answers: &Receiver<u64>, random: &mut Random) -> bool {
        let depth = random.within(1, 3);
        (0..depth).for_each(|_| lock_os_thread());
        let mine = thread();
        for question in 0..random.within(1, 20) {
            questions.send(question).expect("open");
            noise(random);
            assert_eq!(answers.recv(), Ok(question + 1), "an answer");
            assert_eq!(thread(), mine, "a locked G's thread");
        }
        (1..depth).for_each(|_| unlock_os_thread());
        noise(random);
        assert_eq!(thread(), mine, "one lock is left");
        random.percent(60)
    }
    let (tx, rx) = channel::<u64>(random.below(3) as usize);
    let gs: Vec<_> = (0..random.within(1, 5))
        .map(|_| {
            let ((questions, asked), (answers, answered)) = (channel(0), channel(0));
            let mut theirs = random.fork();
            let other = go(move || answer(&asked, &answers, &mut theirs));
            let (tx, mut random) = (tx.clone(), random.fork());
            let asks = go(move || {
                if !ask(&questions, &answered, &mut random) {
                    unlock_os_thread();
                    noise(&mut random);
                    return false;
                }
                BEQUEST.set(Some(Bequest(random.fork(), Some(tx))));
                if random.percent(40) {
                    std::panic::resume_unwind(Box::new(OnPurpose));
                }
                true
            });
            (asks, other)
        })
        .collect();
    drop(tx);
    let sent: u64 = rx.iter().sum();
    let mut bequests = 0;
    for (asks, other) in gs {
        bequests += match asks.join() {
            Ok(bequest) => u64::from(bequest),
            Err(payload) if payload.is::<OnPurpose>() => 1,
            Err(payload) => panic!("{}", message(&*payload)),
        };
        join(other);
    }
    assert_eq!(sent, bequests, "what threads that end send");
}
