//! Channels against what they are said to be: a queue of limited length, and a flag. One thread, nothing waits.

use std::collections::VecDeque;

use proptest::prelude::*;

use gmp_runtime::sync::Select;
use gmp_runtime::sync::chan::{TryRecvError, TrySendError};
use gmp_runtime::{Receiver, Sender, channel};

/// What a channel is said to be.
struct Model {
    capacity: usize,
    values: VecDeque<u32>,
    closed: bool,
}

impl Model {
    fn send(&mut self, value: u32) -> Result<(), TrySendError<u32>> {
        if self.closed {
            return Err(TrySendError::Closed(value));
        }
        if self.values.len() == self.capacity {
            return Err(TrySendError::Full(value));
        }
        self.values.push_back(value);
        Ok(())
    }

    fn recv(&mut self) -> Result<u32, TryRecvError> {
        self.values.pop_front().ok_or(if self.closed {
            TryRecvError::Closed
        } else {
            TryRecvError::Empty
        })
    }

    /// Whether a select may do this now.
    fn can(&self, sends: bool) -> bool {
        if sends {
            self.closed || self.values.len() < self.capacity
        } else {
            self.closed || !self.values.is_empty()
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Send(usize),
    Recv(usize),
    Close(usize),
    /// Channels, and whether each is sent to.
    Select(Vec<(usize, bool)>),
}

const CHANNELS: usize = 3;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let case = (0..CHANNELS, any::<bool>());
    let step = prop_oneof![
        8 => (0..CHANNELS).prop_map(Step::Send),
        6 => (0..CHANNELS).prop_map(Step::Recv),
        1 => (0..CHANNELS).prop_map(Step::Close),
        8 => proptest::collection::vec(case, 0..6).prop_map(Step::Select),
    ];
    proptest::collection::vec(step, 0..80)
}

fn check(capacities: [usize; CHANNELS], steps: Vec<Step>) -> Result<(), TestCaseError> {
    let ends: [(Sender<u32>, Receiver<u32>); CHANNELS] = capacities.map(channel);
    let mut models = capacities.map(|capacity| Model {
        capacity,
        values: VecDeque::new(),
        closed: false,
    });
    for (value, step) in (0..).zip(steps) {
        match step {
            Step::Send(i) => prop_assert_eq!(ends[i].0.try_send(value), models[i].send(value)),
            Step::Recv(i) => prop_assert_eq!(ends[i].1.try_recv(), models[i].recv()),
            Step::Close(i) => {
                ends[i].0.close();
                models[i].closed = true;
            }
            Step::Select(cases) => {
                let mut select = Select::new();
                for (n, (i, sends)) in cases.iter().enumerate() {
                    // The result in the words of the plain operations that cannot wait.
                    if *sends {
                        select.send(&ends[*i].0, value, move |sent| {
                            (n, Ok(sent.map_err(|e| TrySendError::Closed(e.0))))
                        });
                    } else {
                        select.recv(&ends[*i].1, move |got| {
                            (n, Err(got.map_err(|_| TryRecvError::Closed)))
                        });
                    }
                }
                match select.try_now() {
                    None => prop_assert!(!cases.iter().any(|(i, sends)| models[*i].can(*sends))),
                    Some((n, Ok(sent))) => prop_assert_eq!(sent, models[cases[n].0].send(value)),
                    Some((n, Err(got))) => prop_assert_eq!(got, models[cases[n].0].recv()),
                }
            }
        }
        for ((tx, rx), model) in ends.iter().zip(&models) {
            prop_assert_eq!(
                (tx.len(), rx.len(), tx.capacity()),
                (model.values.len(), model.values.len(), model.capacity)
            );
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn channels_behave_like_queues_of_limited_length(capacities in [0..4usize, 0..4usize, 0..4usize], steps in steps()) {
        check(capacities, steps)?;
    }
}

/// Values that were not received, or lost a select, are dropped once each.
#[test]
fn values_are_dropped_once() {
    use std::sync::Arc;
    let value = Arc::new(());
    let (tx, rx) = channel(2);
    let (full, _kept) = channel(0);
    tx.send(Arc::clone(&value)).expect("open");
    let sent = gmp_runtime::select! {
        send(full, Arc::clone(&value)) -> _ => false,
        send(tx, Arc::clone(&value)) -> sent => sent.is_ok(),
    };
    assert!(sent);
    // Two in the buffer; the one that lost is gone.
    assert_eq!(Arc::strong_count(&value), 3);
    let lost = gmp_runtime::select! {
        send(full, Arc::clone(&value)) -> _ => false,
        send(tx, Arc::clone(&value)) -> _ => false,
        default(std::time::Duration::from_millis(1)) => true,
    };
    assert!(lost);
    assert_eq!(Arc::strong_count(&value), 3);
    tx.close();
    assert_eq!(
        tx.send(Arc::clone(&value))
            .map_err(|e| Arc::strong_count(&e.0)),
        Err(4)
    );
    drop(rx.recv());
    assert_eq!(Arc::strong_count(&value), 2);
    drop((tx, rx));
    assert_eq!(Arc::strong_count(&value), 1);
}
