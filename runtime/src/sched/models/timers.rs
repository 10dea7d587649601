//! Stopping, moving and firing timers at the same time: `timer_set.rs` under the model checker.

use loom::thread;

use super::*;

type Set = TimerSet<u32, u32>;

fn timer(name: u32, is_chan: bool) -> Arc<Timer<u32>> {
    Arc::new(Timer::new(name, is_chan))
}

/// Sets a timer, and does what is left to do then.
fn set_to(set: &Set, timer: &Arc<Timer<u32>>, when: u64) -> bool {
    let change = timer.modify(when, 0);
    settle(set, timer, change);
    change.pending
}

fn settle(set: &Set, timer: &Arc<Timer<u32>>, change: Change) {
    if change.add {
        set.add(timer, |_| ()).expect("open");
    }
}

/// Runs what is due; how often each of three timers fired.
fn run(set: &Set, now: u64) -> [u32; 3] {
    let mut fired = [0; 3];
    while let Some(due) = set.take_due(now) {
        match due {
            Due::Timer(timer, _) => fired[timer.action as usize] += 1,
            Due::Plain(..) => unreachable!("the models have none"),
        }
    }
    fired
}

/// *A timer moved earlier is overlooked*: another was moved too, so the runner puts the entries right and takes back the earliest time that
/// one was moved to, while this one is being moved. A third is in front of it in the heap, so that it is not put right as the first one.
#[test]
fn loom_a_timer_moved_earlier_is_not_overlooked() {
    loom::model(|| {
        let set = Arc::new(Set::new());
        let timers = [0, 1, 2].map(|name| timer(name, false));
        for (timer, when) in timers.iter().zip([100, 100, 50]) {
            set_to(&set, timer, when);
        }
        set_to(&set, &timers[1], 3);
        let (theirs, moved) = (Arc::clone(&set), Arc::clone(&timers[0]));
        let mover = thread::spawn(move || set_to(&theirs, &moved, 5));
        let [early, other, _] = run(&set, 10);
        assert!(mover.join().expect("no panic"), "it had not fired at 100");
        assert_eq!(other, 1);
        if early == 0 {
            assert!(
                set.next_when() <= 5,
                "nobody would look before {}",
                set.next_when()
            );
        }
        assert_eq!(early + run(&set, 10)[0], 1, "it fires once");
        assert_eq!(set.next_when(), 50);
    });
}

/// It fires or it is stopped.
#[test]
fn loom_a_stop_against_a_firing_has_one_winner() {
    loom::model(|| {
        let set = Arc::new(Set::new());
        let timer = timer(0, false);
        set_to(&set, &timer, 5);
        let theirs = Arc::clone(&timer);
        let stopper = thread::spawn(move || theirs.stop());
        let [fired, ..] = run(&set, 10);
        let stopped = stopper.join().expect("no panic");
        assert_eq!(fired + u32::from(stopped), 1);
        assert_eq!(run(&set, 1_000), [0; 3]);
        assert!(!timer.stop());
        set.compact();
        assert_eq!(set.len(), 0);
    });
}

/// It fires at the old time or is moved; at the new time it fires in any case.
#[test]
fn loom_a_reset_against_a_firing_loses_neither_time() {
    loom::model(|| {
        let set = Arc::new(Set::new());
        let timer = timer(0, false);
        set_to(&set, &timer, 5);
        let (theirs, moved) = (Arc::clone(&set), Arc::clone(&timer));
        let mover = thread::spawn(move || set_to(&theirs, &moved, 50));
        let [fired, ..] = run(&set, 10);
        let pending = mover.join().expect("no panic");
        assert_eq!(fired + u32::from(pending), 1);
        assert!(set.next_when() <= 50);
        assert_eq!(run(&set, 60), [1, 0, 0]);
    });
}

/// A timer's channel with one place.
struct Slot(Mutex<Option<u64>>);

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Option<u64>> {
        self.0.lock().expect("no panic")
    }

    fn fill(&self, timer: &Timer<u32>, firing: Firing) {
        let mut slot = self.lock();
        if timer.may_send(firing) {
            *slot = Some(firing.when);
        }
    }
}

/// Nobody receives, so whoever stops a channel's timer always prevents that anything is received.
#[test]
fn loom_nothing_old_is_received_after_a_stop() {
    loom::model(|| {
        let set = Arc::new(Set::new());
        let timer = timer(0, true);
        let slot = Arc::new(Slot(Mutex::new(None)));
        set_to(&set, &timer, 5);
        // Somebody waits, so it is in a heap.
        settle(&set, &timer, timer.block());
        let (theirs, chan) = (Arc::clone(&timer), Arc::clone(&slot));
        let stopper = thread::spawn(move || {
            let mut slot = chan.lock();
            let pending = theirs.stop();
            slot.take().is_some() || pending
        });
        while let Some(Due::Timer(timer, firing)) = set.take_due(10) {
            slot.fill(&timer, firing);
        }
        assert!(stopper.join().expect("no panic"));
        assert_eq!(*slot.lock(), None);
    });
}

/// Somebody stops waiting while the timer fires, and looks at the channel then: the firing is there, once.
#[test]
fn loom_a_firing_is_not_lost_when_the_wait_ends() {
    loom::model(|| {
        let set = Arc::new(Set::new());
        let timer = timer(0, true);
        let slot = Arc::new(Slot(Mutex::new(None)));
        set_to(&set, &timer, 5);
        settle(&set, &timer, timer.block());
        let (theirs, chan, heap) = (Arc::clone(&timer), Arc::clone(&slot), Arc::clone(&set));
        let waiter = thread::spawn(move || {
            theirs.unblock();
            if let Some(firing) = theirs.look(|| 10) {
                chan.fill(&theirs, firing);
            }
            drop(heap);
        });
        while let Some(Due::Timer(timer, firing)) = set.take_due(10) {
            slot.fill(&timer, firing);
        }
        waiter.join().expect("no panic");
        assert_eq!(*slot.lock(), Some(5));
        assert!(!timer.stop());
    });
}

/// Two who begin to wait at the same time both find that it has to be in a heap.
#[test]
fn loom_a_timer_is_in_one_heap_only() {
    loom::model(|| {
        let sets = [Arc::new(Set::new()), Arc::new(Set::new())];
        let timer = timer(0, true);
        set_to(&sets[0], &timer, 5);
        let (theirs, heap) = (Arc::clone(&timer), Arc::clone(&sets[1]));
        let other = thread::spawn(move || settle(&heap, &theirs, theirs.block()));
        settle(&sets[0], &timer, timer.block());
        other.join().expect("no panic");
        assert_eq!(sets[0].len() + sets[1].len(), 1);
        assert_eq!(run(&sets[0], 10)[0] + run(&sets[1], 10)[0], 1);
    });
}
