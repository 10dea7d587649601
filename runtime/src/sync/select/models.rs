//! Selects that race: the channel, the engine and the wait queues under the model checker, as they are.

use loom::sync::Arc;
use loom::thread;

use gmp_trace::event::ObjectKind;

use super::case::{Case, Operation};
use super::engine::{self, Scratch};
use crate::sched::park::Object;
use crate::sync::chan::core::{Chan, Direction, Nature, Patience};

/// Two channels side by side: what depends on the order of their addresses must be the same in all runs of a model.
type Pair = Arc<[Chan<u32>; 2]>;

/// A time that is never read: in a model, a deadline may pass at any moment.
const SOME_TIME: Patience = Patience::Until(1);

fn unbuffered() -> Pair {
    Arc::new([(); 2].map(|()| Chan::new(0, Nature::Plain)))
}

fn recv(chan: &Chan<u32>) -> Case<'_, u32> {
    Case::new(chan, Direction::Recv, None)
}

fn send(chan: &Chan<u32>, value: u32) -> Case<'_, u32> {
    Case::new(chan, Direction::Send, Some(value))
}

/// A select of two operations. Which one was done, and what was in its slot then: a value received, or one not sent.
fn select(cases: [Case<'_, u32>; 2], patience: Patience) -> Option<(usize, Option<u32>)> {
    let done = {
        let operations: [&dyn Operation; 2] = [&cases[0], &cases[1]];
        let mut guards = [None, None];
        let scratch = Scratch {
            poll: &mut [0; 2],
            lock: &mut [0; 2],
            guards: &mut guards,
        };
        let object = Object::new(ObjectKind::Select);
        engine::run(&object, &operations, scratch, patience, |_| 0)
    };
    let mut selected = cases
        .into_iter()
        .enumerate()
        .filter_map(|(i, case)| Some((i, case.into_slot()?)));
    let one = selected.next();
    assert!(selected.next().is_none(), "two operations were done");
    assert_eq!(one.map(|(i, _)| i), done);
    one
}

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    // Two locks for each select make the full search too large; races of this kind need two or three switches.
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// One value, two selects: one gets it, the other gets the close.
#[test]
fn loom_two_selects_racing_for_one_value_do_not_both_get_it() {
    check(|| {
        let chans = unbuffered();
        let theirs = Arc::clone(&chans);
        let rival =
            thread::spawn(move || select([recv(&theirs[0]), recv(&theirs[1])], Patience::Forever));
        let theirs = Arc::clone(&chans);
        let sender = thread::spawn(move || {
            let sent = theirs[0].send(7, Patience::Forever);
            assert!(sent.is_ok(), "somebody receives");
            theirs[0].close();
        });
        let mine = select([recv(&chans[1]), recv(&chans[0])], Patience::Forever);
        let got = [
            mine.expect("no deadline").1,
            rival.join().expect("no panic").expect("no deadline").1,
        ];
        sender.join().expect("no panic");
        assert!(got == [Some(7), None] || got == [None, Some(7)], "{got:?}");
    });
}

/// Two channels are closed while a select waits for both: it wakes once, with nothing.
#[test]
fn loom_a_select_against_two_closes_wakes_once() {
    check(|| {
        let chans = unbuffered();
        let closers = [0, 1].map(|i| {
            let chans = Arc::clone(&chans);
            thread::spawn(move || chans[i].close())
        });
        let done = select([recv(&chans[0]), send(&chans[1], 7)], Patience::Forever);
        assert!(
            done == Some((0, None)) || done == Some((1, Some(7))),
            "{done:?}"
        );
        for closer in closers {
            closer.join().expect("no panic");
        }
    });
}

/// Two senders find the same select in their queues. One wins; the other passes it over, and its value is still there for the next receiver.
#[test]
fn loom_a_select_that_lost_is_passed_over_and_no_value_is_lost() {
    check(|| {
        let chans = unbuffered();
        let senders = [0, 1].map(|i| {
            let chans = Arc::clone(&chans);
            thread::spawn(move || assert!(chans[i].send(i as u32, Patience::Forever).is_ok()))
        });
        let first = select([recv(&chans[0]), recv(&chans[1])], Patience::Forever);
        let (i, value) = first.expect("no deadline");
        assert_eq!(value, Some(i as u32));
        assert_eq!(chans[1 - i].recv(Patience::Forever), Ok(1 - i as u32));
        for sender in senders {
            sender.join().expect("no panic");
        }
    });
}

/// Each offers what the other wants, on two channels in opposite order: they meet on one, and neither waits for the other's locks.
#[test]
fn loom_two_selects_meet_on_one_channel_and_do_not_deadlock() {
    check(|| {
        let chans = unbuffered();
        let theirs = Arc::clone(&chans);
        let other = thread::spawn(move || {
            select([send(&theirs[1], 2), recv(&theirs[0])], Patience::Forever)
        });
        let mine = select([send(&chans[0], 1), recv(&chans[1])], Patience::Forever);
        let met = (mine, other.join().expect("no panic"));
        let on_first = (Some((0, None)), Some((1, Some(1))));
        let on_second = (Some((1, Some(2))), Some((0, None)));
        assert!(met == on_first || met == on_second, "{met:?}");
    });
}

/// The deadline of a select against a sender that does not wait: the value is sent exactly if it is received.
#[test]
fn loom_a_deadline_against_a_sender_has_one_winner() {
    check(|| {
        let chans = unbuffered();
        let theirs = Arc::clone(&chans);
        let sender = thread::spawn(move || theirs[0].send(7, Patience::None).is_ok());
        let got = select([recv(&chans[0]), recv(&chans[1])], SOME_TIME);
        let sent = sender.join().expect("no panic");
        assert_eq!(got, sent.then_some((0, Some(7))));
    });
}

/// The same channel twice: both records go, whichever is taken.
#[test]
fn loom_the_same_channel_twice_leaves_no_record_behind() {
    check(|| {
        let chans = unbuffered();
        let theirs = Arc::clone(&chans);
        let sender = thread::spawn(move || assert!(theirs[0].send(7, Patience::Forever).is_ok()));
        let got = select([recv(&chans[0]), recv(&chans[0])], Patience::Forever);
        assert_eq!(got.expect("no deadline").1, Some(7));
        sender.join().expect("no panic");
        assert!(chans[0].lock().queue(Direction::Recv).is_empty());
        assert!(chans[0].send(8, Patience::None).is_err(), "nobody waits");
    });
}
