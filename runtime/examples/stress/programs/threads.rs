//! Scenes of threads that are not the runtime's and that nobody joins: some begin while others end, and what each does last wakes a G.

use std::time::Duration;

use super::{Random, Setup, join_all, noise};
use gmp_runtime::sync::chan::Sender;
use gmp_runtime::{channel, go, time};

/// What a thread does last: in one way or another, the value gets to the channel.
pub(super) fn last_act(random: &mut Random, to: Sender<u64>, value: u64) {
    let d = random.micros(500);
    match random.below(4) {
        0 => to.send(value).expect("open"),
        1 => drop(go(move || to.send(value).expect("open"))),
        2 => drop(time::after_func(d, move || to.send(value).expect("open"))),
        _ => {
            time::sleep(d);
            to.send(value).expect("open");
        }
    }
}

/// A little time of a thread; more often none.
fn pause(random: &mut Random) {
    if random.percent(40) {
        std::thread::sleep(random.micros(200));
    }
}

/// Gs start threads, whose values all get there. That the channel is closed then is the last that is heard of the threads.
pub(super) fn last_acts(random: &mut Random, _: &Setup) {
    let (tx, rx) = channel::<u64>(random.below(3) as usize);
    let starters: Vec<_> = (0..random.within(1, 4))
        .map(|_| {
            let (tx, mut random) = (tx.clone(), random.fork());
            go(move || {
                (0..random.within(1, 8)).fold(0, |sum, _| {
                    let (tx, mut theirs, value) = (tx.clone(), random.fork(), random.below(1_000));
                    std::thread::spawn(move || {
                        pause(&mut theirs);
                        last_act(&mut theirs, tx, value);
                    });
                    noise(&mut random);
                    sum + value
                })
            })
        })
        .collect();
    drop(tx);
    let got: u64 = rx.iter().sum();
    let given: u64 = join_all(starters).into_iter().sum();
    assert_eq!(got, given, "what threads did last");
}

/// Chains of threads, each of which starts the next and ends: at times there is no other thread that could wake who waits for them.
pub(super) fn chains(random: &mut Random, _: &Setup) {
    /// Starts a thread that counts itself, sends what was counted so far or leaves it to those after it, of which there are so many.
    fn link(mut random: Random, after: u64, counted: u64, to: Sender<u64>) {
        std::thread::spawn(move || {
            pause(&mut random);
            let mut counted = counted + 1;
            if after == 0 {
                return last_act(&mut random, to, counted);
            }
            if random.percent(25) {
                last_act(&mut random, to.clone(), counted);
                counted = 0;
            }
            link(random, after - 1, counted, to);
        });
    }
    let (tx, rx) = channel::<u64>(random.below(3) as usize);
    let mut links = 0;
    for _ in 0..random.within(1, 3) {
        let n = random.within(1, 12);
        links += n;
        link(random.fork(), n - 1, 0, tx.clone());
    }
    drop(tx);
    let mut counted = 0;
    while counted < links {
        let hour = Duration::from_secs(3_600);
        counted += match random.percent(20) {
            true => rx.recv_timeout(hour).expect("open"),
            false => rx.recv().expect("open"),
        };
        noise(random);
    }
    assert_eq!(counted, links, "threads of all chains");
}
