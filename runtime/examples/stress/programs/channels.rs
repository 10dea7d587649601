//! Scenes of channels and of selects over them: no value is lost, doubled or out of order.

use super::{Random, Setup, join_all, noise};
use gmp_runtime::sync::Select;
use gmp_runtime::sync::chan::{TryRecvError, TrySendError, nil};
use gmp_runtime::{Receiver, Sender, channel, go, select};

/// Producers and consumers at one channel; nothing is lost or doubled, and each producer's values come in order.
pub(super) fn pipeline(random: &mut Random, _: &Setup) {
    let (producers, consumers) = (random.within(1, 5), random.within(1, 5));
    let each = random.within(1, 120);
    let (tx, rx) = channel::<(u64, u64)>(random.below(6) as usize);
    let sending: Vec<_> = (0..producers)
        .map(|producer| {
            let (tx, mut random) = (tx.clone(), random.fork());
            go(move || (0..each).for_each(|i| send(&tx, (producer, i), &mut random)))
        })
        .collect();
    drop(tx);
    let receiving: Vec<_> = (0..consumers)
        .map(|_| {
            let (rx, mut random) = (rx.clone(), random.fork());
            go(move || {
                let mut next = vec![0; producers as usize];
                let (mut n, mut sum) = (0, 0);
                while let Some((producer, i)) = receive(&rx, &mut random) {
                    let least = &mut next[producer as usize];
                    assert!(i >= *least, "producer {producer}: {i} came after {least}");
                    *least = i + 1;
                    n += 1;
                    sum += i;
                }
                (n, sum)
            })
        })
        .collect();
    join_all(sending);
    let (n, sum) = join_all(receiving)
        .into_iter()
        .fold((0, 0), |a: (u64, u64), b| (a.0 + b.0, a.1 + b.1));
    assert_eq!(
        (n, sum),
        (producers * each, producers * (each * (each - 1) / 2)),
        "values and their sum"
    );
}

fn send<T>(tx: &Sender<T>, value: T, random: &mut Random) {
    let mut value = value;
    loop {
        noise(random);
        value = match random.below(4) {
            0 => match tx.try_send(value) {
                Ok(()) => return,
                Err(TrySendError::Full(v)) => v,
                Err(TrySendError::Closed(_)) => panic!("the channel is closed"),
            },
            1 => match tx.send_timeout(value, random.micros(80)) {
                Ok(()) => return,
                Err(TrySendError::Full(v)) => v,
                Err(TrySendError::Closed(_)) => panic!("the channel is closed"),
            },
            _ => match tx.send(value) {
                Ok(()) => return,
                Err(_) => panic!("the channel is closed"),
            },
        };
    }
}

fn receive<T>(rx: &Receiver<T>, random: &mut Random) -> Option<T> {
    loop {
        noise(random);
        let got = match random.below(4) {
            0 => rx.try_recv(),
            1 => rx.recv_timeout(random.micros(80)),
            _ => rx.recv().map_err(|_| TryRecvError::Closed),
        };
        match got {
            Ok(value) => return Some(value),
            Err(TryRecvError::Closed) => return None,
            Err(TryRecvError::Empty) => {}
        }
    }
}

/// A token goes around, and each who has it adds one.
pub(super) fn ring(random: &mut Random, _: &Setup) {
    let (members, rounds) = (random.within(1, 12), random.within(1, 40));
    let (first, mut from) = channel::<u64>(1);
    let gs: Vec<_> = (0..members)
        .map(|_| {
            let (to, next) = channel::<u64>(random.below(2) as usize);
            let from = std::mem::replace(&mut from, next);
            let mut random = random.fork();
            go(move || {
                for _ in 0..rounds {
                    let token = from.recv().expect("the ring is whole");
                    if random.percent(10) {
                        noise(&mut random);
                    }
                    to.send(token + 1).expect("the ring is whole");
                }
            })
        })
        .collect();
    let mut token = 0;
    for _ in 0..rounds {
        first.send(token).expect("the ring is whole");
        token = from.recv().expect("the ring is whole");
    }
    join_all(gs);
    assert_eq!(token, members * rounds, "the token");
}

/// A value on its way through [`selects`]: who sends it, and how many that one has sent before.
type Numbered = (u64, u64);

/// What one G received in [`selects`].
struct Received {
    /// For each channel and each sender, the least number that may still come.
    next: Vec<Vec<u64>>,
    n: u64,
    sum: u64,
}

impl Received {
    fn new(channels: usize, senders: u64) -> Received {
        Received {
            next: vec![vec![0; senders as usize]; channels],
            n: 0,
            sum: 0,
        }
    }

    fn add(&mut self, channel: usize, (sender, i): Numbered) {
        let least = &mut self.next[channel][sender as usize];
        assert!(i >= *least, "sender {sender}: {i} came after {least}");
        *least = i + 1;
        self.n += 1;
        self.sum += i;
    }
}

/// Selects that send, receive, or do whichever is possible, on several channels at once; nothing is lost or doubled, and what one sends through
/// one channel comes in order.
pub(super) fn selects(random: &mut Random, _: &Setup) {
    let channels = random.within(1, 4) as usize;
    let (senders, receivers) = (random.within(1, 6), random.within(1, 3));
    let each = random.within(1, 80);
    let (txs, rxs): (Vec<_>, Vec<_>) = (0..channels)
        .map(|_| channel::<Numbered>(random.below(4) as usize))
        .unzip();
    let mut handles = Vec::new();
    for sender in 0..senders {
        let (txs, rxs, mut random) = (txs.clone(), rxs.clone(), random.fork());
        handles.push(go(move || {
            let mut received = Received::new(txs.len(), senders);
            for i in 0..each {
                while !select_send(&txs, &rxs, (sender, i), &mut received, &mut random) {}
            }
            received
        }));
    }
    drop(txs);
    for _ in 0..receivers {
        let (mut rxs, mut random) = (rxs.clone(), random.fork());
        handles.push(go(move || {
            let mut received = Received::new(rxs.len(), senders);
            let mut open = rxs.len();
            while open > 0 {
                noise(&mut random);
                if let Some(closed) = select_receive(&rxs, &mut received, &mut random) {
                    // As in Go: a closed channel is always ready, a nil one never.
                    rxs[closed] = nil().1;
                    open -= 1;
                }
            }
            received
        }));
    }
    drop(rxs);
    let (n, sum) = join_all(handles)
        .into_iter()
        .fold((0, 0), |(n, sum), r| (n + r.n, sum + r.sum));
    assert_eq!(
        (n, sum),
        (senders * each, senders * (each * (each - 1) / 2)),
        "values and their sum"
    );
}

/// One select that sends; whether it did. Half of them receive instead if that is possible earlier.
fn select_send(
    txs: &[Sender<Numbered>],
    rxs: &[Receiver<Numbered>],
    value: Numbered,
    received: &mut Received,
    random: &mut Random,
) -> bool {
    noise(random);
    let mut any = || random.below(txs.len() as u64) as usize;
    let (a, b, from) = (any(), any(), any());
    let (a, b, rx) = (&txs[a], &txs[b], &rxs[from]);
    let patience = random.micros(80);
    match random.below(5) {
        0 => select! {
            send(a, value) -> sent => sent.expect("open"),
            send(b, value) -> sent => sent.expect("open"),
            default => return false,
        },
        1 => select! {
            send(a, value) -> sent => sent.expect("open"),
            send(b, value) -> sent => sent.expect("open"),
            default(patience) => return false,
        },
        2 => select! {
            send(a, value) -> sent => sent.expect("open"),
            recv(rx) -> got => {
                received.add(from, got.expect("open"));
                return false;
            },
        },
        3 => select! {
            recv(rx) -> got => {
                received.add(from, got.expect("open"));
                return false;
            },
            send(a, value) -> sent => sent.expect("open"),
            default(patience) => return false,
        },
        _ => {
            let mut all = Select::new();
            for tx in txs {
                all.send(tx, value, |sent| sent.expect("open"));
            }
            all.wait();
        }
    }
    true
}

/// One select that receives from any of the channels; which one it found closed.
fn select_receive(
    rxs: &[Receiver<Numbered>],
    received: &mut Received,
    random: &mut Random,
) -> Option<usize> {
    let mut all = Select::new();
    for (i, rx) in rxs.iter().enumerate() {
        all.recv(rx, move |got| (i, got));
    }
    let got = match random.below(4) {
        0 => all.try_now(),
        1 => all.wait_timeout(random.micros(80)),
        _ => Some(all.wait()),
    };
    match got {
        Some((i, Ok(value))) => {
            received.add(i, value);
            None
        }
        Some((i, Err(_))) => Some(i),
        None => None,
    }
}
