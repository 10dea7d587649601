//! Random programs, each a function of its seed, whose results are known beforehand.
//!
//! A program is a runtime with a random number of Ps and a random policy, in which several scenes run at once. A scene is a handful of Gs that
//! use one part of the runtime in random order and size, and that know what must come out, however they are scheduled. At the
//! end the runtime's own counters must balance: what was spawned has ended, what was parked was readied, and so on.
//!
//! The same seed gives the same program, policy and number of Ps; how it is scheduled depends on the machine as well.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gmp_runtime::net::TcpStream;
use gmp_runtime::sync::chan::{TryRecvError, TrySendError, nil};
use gmp_runtime::sync::{Cond, Mutex, RwLock, Select, Semaphore, WaitGroup};
use gmp_runtime::{
    Builder, JoinHandle, Policy, Receiver, Sender, Stats, Tally, blocking, channel, checkpoint, go,
    num_goroutines, select, set_procs, stats, syscall, time, yield_now,
};

/// How long the counters may take to balance after the last G has ended: what a thread counts is counted after it was done.
const BALANCE: Duration = Duration::from_secs(20);

/// splitmix64: small, and any seed is good.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// Any number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `0..n`.
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// A number in `least..=most`.
    fn within(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// True this many times in a hundred.
    fn percent(&mut self, n: u64) -> bool {
        self.below(100) < n
    }

    fn micros(&mut self, most: u64) -> Duration {
        Duration::from_micros(self.below(most + 1))
    }

    /// A source of its own for somebody else.
    fn fork(&mut self) -> Random {
        Random(self.next())
    }
}

/// What a program is run with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Its seed.
    pub seed: u64,
    /// Ps at the beginning.
    pub procs: usize,
    /// The most Ps at any time.
    pub procs_max: usize,
    /// The policy, as `GMP_POLICY` has it.
    pub policy: String,
}

/// Knobs and values to draw from. Policies under which a G may starve for ever are left out
/// too, because programs that wait for others by yielding do not end under them: looking at the global queue first every time starves the
/// rings of yielding Gs' Ps; never looking at it while yielding Gs stay with their P starves the global queue.
const KNOBS: &[(&str, &[&str])] = &[
    ("local_queue", &["1", "2", "7", "64"]),
    ("runnext", &["off"]),
    ("runnext_inherits", &["off"]),
    ("overflow", &["1", "25", "100"]),
    ("global_tick", &["0", "2", "3", "31"]),
    ("steal", &["one", "3", "128"]),
    ("steal_rounds", &["1", "2", "8"]),
    ("spin", &["0", "10", "100"]),
    ("time_slice", &["10us", "100us", "1ms"]),
    ("sysmon", &["5us", "100us", "2ms"]),
    ("sysmon_max", &["50us", "1ms"]),
    ("yield_to", &["local"]),
    ("syscall", &["0us", "20us", "200us", "at_once", "never"]),
    ("syscall_after", &["20us", "1ms"]),
    ("local_order", &["lifo"]),
    ("runnext_delay", &["0us", "50us"]),
    ("global_batch", &["1", "5"]),
    ("victims", &["sequential", "last", "nearest"]),
    ("spin_for", &["10us", "200us"]),
    ("wake", &["always", "never"]),
    ("sysmon_patience", &["0", "5"]),
    ("place", &["global", "round_robin"]),
    ("preempt_to", &["local"]),
    ("netpoll", &["thread"]),
    ("netpoll_period", &["50us", "1ms"]),
    ("netpoll_to", &["local", "global"]),
    ("timers", &["one", "spread"]),
    ("pin", &["core", "smt"]),
];

impl Setup {
    /// The setup of a seed; Go's policy in a third of all.
    pub fn of(seed: u64, procs_max: usize) -> Setup {
        let mut random = Random::new(seed ^ 0x5e7);
        let most = random.within(1, procs_max as u64);
        let procs = random.within(1, most) as usize;
        let mut policy = Vec::new();
        if !random.percent(33) {
            for (name, values) in KNOBS {
                let value = values[random.below(values.len() as u64) as usize];
                let setting = format!("{name}={value}");
                if random.percent(30) {
                    policy.push(setting);
                }
            }
        }
        if policy.iter().any(|p| p == "yield_to=local") {
            policy.retain(|p| p != "global_tick=0");
        }
        Setup {
            seed,
            procs,
            procs_max: most as usize,
            policy: policy.join(","),
        }
    }
}

/// Runs the program; what it did, or what was wrong.
///
/// # Errors
/// With what a scene found, or with the counters that do not balance.
pub fn run(setup: &Setup) -> Result<Stats, String> {
    let policy = setup.policy.parse::<Policy>().map_err(|e| e.to_string())?;
    let program = setup.clone();
    // SAFETY: nothing bound to a thread is held over a call into the runtime.
    unsafe { Builder::new() }
        .procs(setup.procs)
        .policy(policy)
        .seed(setup.seed)
        .run(move || play(&program))?;
    at_rest()
}

/// A scene, by its name.
type Scene = (&'static str, fn(&mut Random, &Setup));

const SCENES: &[Scene] = &[
    ("tree", tree),
    ("pipeline", pipeline),
    ("ring", ring),
    ("mutex", mutex),
    ("wait_group", wait_group),
    ("system_calls", system_calls),
    ("deadlines", deadlines),
    ("panics", panics),
    ("resize", resize),
    ("sockets", sockets),
    ("socket_deadlines", socket_deadlines),
    ("foreign_threads", foreign_threads),
    ("yields", yields),
    ("hogs", hogs),
    ("ticker", ticker),
    ("selects", selects),
    ("timers", timers),
    ("semaphore", semaphore),
    ("rw_lock", rw_lock),
    ("cond", cond),
];

fn play(setup: &Setup) -> Result<(), String> {
    let mut random = Random::new(setup.seed);
    let scenes: Vec<_> = (0..random.within(1, 8))
        .map(|_| {
            let (name, scene) = SCENES[random.below(SCENES.len() as u64) as usize];
            let (mut random, setup) = (random.fork(), setup.clone());
            (name, go(move || scene(&mut random, &setup)))
        })
        .collect();
    let mut wrong = Vec::new();
    for (name, scene) in scenes {
        if let Err(payload) = scene.join() {
            wrong.push(format!("{name}: {}", message(&*payload)));
        }
    }
    if !wrong.is_empty() {
        return Err(wrong.join("; "));
    }
    balance()
}

fn message(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| payload.downcast_ref::<&str>().map(|s| (*s).to_owned()))
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

/// Waits for all other Gs to end, and for the counters to balance.
fn balance() -> Result<(), String> {
    let began = Instant::now();
    loop {
        let unbalanced = if num_goroutines() > 1 {
            Some(format!("{} Gs have not ended", num_goroutines()))
        } else {
            unbalanced(&stats())
        };
        match unbalanced {
            None => return Ok(()),
            Some(what) if began.elapsed() > BALANCE => return Err(what),
            Some(_) => yield_now(),
        }
    }
}

/// What does not balance while the main G alone lives, and runs.
fn unbalanced(s: &Stats) -> Option<String> {
    let get = |tally| s.get(tally);
    let stops = get(Tally::Yields)
        + get(Tally::Preempts)
        + get(Tally::Parks)
        + get(Tally::Exits)
        + get(Tally::SyscallExitsBlocked);
    let parks = [
        Tally::ParksSleep,
        Tally::ParksChan,
        Tally::ParksSync,
        Tally::ParksNet,
        Tally::ParksOther,
    ];
    [
        ("spawns - exits", get(Tally::Spawns), get(Tally::Exits) + 1),
        ("parks - readies", get(Tally::Parks), get(Tally::Readies)),
        ("starts - stops", get(Tally::Starts), stops + 1),
        (
            "parks - parks of each reason",
            get(Tally::Parks),
            parks.into_iter().map(get).sum(),
        ),
        (
            "system calls entered - left",
            get(Tally::SyscallEnters),
            get(Tally::SyscallExits) + get(Tally::SyscallExitsBlocked),
        ),
    ]
    .into_iter()
    .find(|(_, a, b)| a != b)
    .map(|(what, a, b)| format!("{what}: {a} and {b} do not balance"))
}

/// After the runtime has ended: every P that was taken was let go or taken away, every search was ended. The end does not wait for ever for a
/// thread that the kernel keeps from running, so it may come a little later.
fn at_rest() -> Result<Stats, String> {
    let began = Instant::now();
    loop {
        let s = stats();
        let wrong = [
            (
                "Ps taken - let go",
                s.get(Tally::PStarts),
                s.get(Tally::PStops) + s.get(Tally::Retakes),
            ),
            (
                "searches begun - ended",
                s.get(Tally::SpinStarts),
                s.get(Tally::SpinStops),
            ),
        ]
        .into_iter()
        .find(|(_, a, b)| a != b);
        match wrong {
            None => return Ok(s),
            Some((what, a, b)) if began.elapsed() > BALANCE => {
                return Err(format!("{what}: {a} and {b} do not balance at the end"));
            }
            Some(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// The result of a G that must not panic; if it did, this one panics in the same way.
fn join<T>(handle: JoinHandle<T>) -> T {
    match handle.join() {
        Ok(value) => value,
        Err(payload) => panic!("{}", message(&*payload)),
    }
}

fn join_all<T>(handles: impl IntoIterator<Item = JoinHandle<T>>) -> Vec<T> {
    handles.into_iter().map(join).collect()
}

/// A little of something that takes time or gives way, and changes nothing. It takes one random number.
fn noise(random: &mut Random) {
    let mut random = random.fork();
    match random.below(12) {
        0 | 1 => yield_now(),
        2 => time::sleep(random.micros(150)),
        3 => syscall(std::thread::yield_now),
        4 => {
            let d = random.micros(60);
            syscall(move || std::thread::sleep(d));
        }
        5 if random.percent(20) => {
            let d = random.micros(100);
            blocking(move || std::thread::sleep(d));
        }
        6 | 7 => {
            let mut x = random.next();
            for _ in 0..random.below(3_000) {
                x = std::hint::black_box(x.rotate_left(5).wrapping_mul(9));
            }
            checkpoint();
        }
        _ => {}
    }
}

/// Gs that spawn Gs; the sum over the tree is that of a plain loop.
fn tree(random: &mut Random, _: &Setup) {
    fn grow(random: &mut Random, depth: u64) -> u64 {
        noise(random);
        let value = random.below(1_000);
        if depth == 0 {
            return value;
        }
        let children: Vec<_> = (0..random.within(1, 4))
            .map(|_| {
                let mut random = random.fork();
                go(move || grow(&mut random, depth - 1))
            })
            .collect();
        value + join_all(children).into_iter().sum::<u64>()
    }
    fn expected(random: &mut Random, depth: u64) -> u64 {
        // As `noise` does.
        random.fork();
        let value = random.below(1_000);
        if depth == 0 {
            return value;
        }
        value
            + (0..random.within(1, 4))
                .map(|_| expected(&mut random.fork(), depth - 1))
                .sum::<u64>()
    }
    let depth = random.within(1, 4);
    let seed = random.fork();
    assert_eq!(
        grow(&mut seed.clone(), depth),
        expected(&mut seed.clone(), depth),
        "the tree's sum"
    );
}

/// Producers and consumers at one channel; nothing is lost or doubled, and each producer's values come in order.
fn pipeline(random: &mut Random, _: &Setup) {
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
fn ring(random: &mut Random, _: &Setup) {
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

/// Gs that change one value under a mutex, also over calls into the runtime.
fn mutex(random: &mut Random, _: &Setup) {
    let shared = Arc::new((Mutex::new((0_u64, 0_u64)), AtomicU64::new(0)));
    let (gs, each) = (random.within(1, 10), random.within(1, 60));
    let handles: Vec<_> = (0..gs)
        .map(|_| {
            let (shared, mut random) = (Arc::clone(&shared), random.fork());
            go(move || {
                for _ in 0..each {
                    let mut pair = match random.percent(20) {
                        true => loop {
                            match shared.0.try_lock() {
                                Some(pair) => break pair,
                                None => yield_now(),
                            }
                        },
                        false => shared.0.lock(),
                    };
                    let inside = shared.1.fetch_add(1, Ordering::SeqCst);
                    assert_eq!(inside, 0, "two hold the mutex");
                    pair.0 += 1;
                    if random.percent(15) {
                        noise(&mut random);
                    }
                    pair.1 += 1;
                    assert_eq!(pair.0, pair.1, "the mutex does not exclude");
                    shared.1.fetch_sub(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    join_all(handles);
    assert_eq!(shared.0.lock().0, gs * each, "additions");
}

/// Several wait for a group that is done by others, round after round.
fn wait_group(random: &mut Random, _: &Setup) {
    for _ in 0..random.within(1, 5) {
        let (group, done) = (WaitGroup::new(), Arc::new(AtomicU64::new(0)));
        let workers = random.within(1, 20);
        group.add(workers as usize);
        let waiters: Vec<_> = (0..random.within(1, 4))
            .map(|_| {
                let (group, done) = (group.clone(), Arc::clone(&done));
                go(move || {
                    group.wait();
                    assert_eq!(done.load(Ordering::SeqCst), workers, "woken too early");
                })
            })
            .collect();
        let working: Vec<_> = (0..workers)
            .map(|_| {
                let (group, done) = (group.clone(), Arc::clone(&done));
                let mut random = random.fork();
                go(move || {
                    noise(&mut random);
                    done.fetch_add(1, Ordering::SeqCst);
                    group.done();
                })
            })
            .collect();
        join_all(waiters);
        join_all(working);
    }
}

/// More Gs in system calls than there are Ps.
fn system_calls(random: &mut Random, _: &Setup) {
    let (gs, each) = (random.within(1, 12), random.within(1, 25));
    let handles: Vec<_> = (0..gs)
        .map(|_| {
            let mut random = random.fork();
            go(move || {
                (0..each)
                    .map(|i| {
                        let d = random.micros(80);
                        let work = move || {
                            if !d.as_micros().is_multiple_of(3) {
                                std::thread::sleep(d);
                            }
                            i
                        };
                        match random.below(5) {
                            0 => blocking(work),
                            _ => syscall(work),
                        }
                    })
                    .sum::<u64>()
            })
        })
        .collect();
    let sum: u64 = join_all(handles).into_iter().sum();
    assert_eq!(sum, gs * (each * (each - 1) / 2), "results of system calls");
}

/// Nothing ends too early; what comes in time is there, what does not is not.
fn deadlines(random: &mut Random, _: &Setup) {
    let handles: Vec<_> = (0..random.within(1, 30))
        .map(|_| {
            let mut random = random.fork();
            go(move || {
                let d = random.micros(3_000);
                let began = Instant::now();
                match random.below(4) {
                    0 => time::sleep(d),
                    1 => {
                        let (_tx, rx) = channel::<()>(0);
                        assert_eq!(rx.recv_timeout(d), Err(TryRecvError::Empty));
                    }
                    2 => {
                        let (tx, _rx) = channel::<()>(0);
                        assert_eq!(tx.send_timeout((), d), Err(TrySendError::Full(())));
                    }
                    _ => {
                        let (tx, rx) = channel::<u64>(0);
                        let value = random.next();
                        let sender = go(move || {
                            time::sleep(d);
                            tx.send(value)
                        });
                        let got = rx.recv_timeout(Duration::from_secs(3_600));
                        assert_eq!(got, Ok(value), "what was sent in time");
                        assert_eq!(join(sender), Ok(()));
                    }
                }
                let took = began.elapsed();
                assert!(took >= d, "{took:?} is shorter than {d:?}");
            })
        })
        .collect();
    join_all(handles);
}

/// What a G panics with on purpose.
struct OnPurpose(u64);

/// Calls into the runtime while its G unwinds.
struct Unwinding(Random, Arc<AtomicU64>);

impl Drop for Unwinding {
    fn drop(&mut self) {
        noise(&mut self.0);
        yield_now();
        self.1.fetch_add(1, Ordering::SeqCst);
    }
}

/// Gs that panic, some while others wait for them, some that call into the runtime while they unwind.
fn panics(random: &mut Random, _: &Setup) {
    let unwound = Arc::new(AtomicU64::new(0));
    let gs: Vec<_> = (0..random.within(1, 16))
        .map(|i| {
            let (mut random, unwound) = (random.fork(), Arc::clone(&unwound));
            go(move || {
                let _unwinding = Unwinding(random.fork(), unwound);
                noise(&mut random);
                if i % 3 == 0 {
                    let caught = catch_unwind(AssertUnwindSafe(|| {
                        yield_now();
                        std::panic::resume_unwind(Box::new(OnPurpose(i)))
                    }));
                    assert!(caught.is_err(), "a panic that was caught");
                }
                if i % 2 == 0 {
                    std::panic::resume_unwind(Box::new(OnPurpose(i)));
                }
                i
            })
        })
        .collect();
    let n = gs.len() as u64;
    for (i, g) in gs.into_iter().enumerate() {
        match g.join() {
            Ok(value) => assert_eq!((value, value % 2), (i as u64, 1), "who did not panic"),
            Err(payload) => match payload.downcast::<OnPurpose>() {
                Ok(p) => assert_eq!((p.0, p.0 % 2), (i as u64, 0), "who panicked"),
                Err(payload) => panic!("{}", message(&*payload)),
            },
        }
    }
    assert_eq!(unwound.load(Ordering::SeqCst), n, "destructors");
}

/// The number of Ps changes while others work.
fn resize(random: &mut Random, setup: &Setup) {
    for _ in 0..random.within(1, 6) {
        let n = random.within(1, setup.procs_max as u64);
        if random.percent(20) {
            blocking(move || set_procs(n as usize));
        } else {
            set_procs(n as usize);
        }
        for _ in 0..random.below(6) {
            noise(random);
        }
    }
}

/// A connection without a network: nothing of it stays behind in the kernel.
fn connection() -> (TcpStream, TcpStream) {
    let (a, b) = UnixStream::pair().expect("the system has room for two sockets");
    let stream = |s: UnixStream| {
        TcpStream::from_std(std::net::TcpStream::from(OwnedFd::from(s))).expect("it can be polled")
    };
    (stream(a), stream(b))
}

/// Bytes there and back, in pieces of any size.
fn sockets(random: &mut Random, _: &Setup) {
    let handles: Vec<_> = (0..random.within(1, 6))
        .map(|_| {
            let mut random = random.fork();
            go(move || {
                let (mut here, mut there) = connection();
                let size = random.within(1, 40_000) as usize;
                let mut echo_random = random.fork();
                let echo = go(move || {
                    let mut buffer = vec![0; echo_random.within(1, 9_000) as usize];
                    loop {
                        noise(&mut echo_random);
                        match there.read(&mut buffer).expect("no error") {
                            0 => return,
                            n => there.write_all(&buffer[..n]).expect("no error"),
                        }
                    }
                });
                let sent: Vec<u8> = (0..size).map(|i| (i * 31) as u8).collect();
                let (mut writer, theirs) = (here.clone(), sent.clone());
                let mut write_random = random.fork();
                let writing = go(move || {
                    let mut rest = &theirs[..];
                    while !rest.is_empty() {
                        let n = rest.len().min(write_random.within(1, 12_000) as usize);
                        writer.write_all(&rest[..n]).expect("no error");
                        rest = &rest[n..];
                        noise(&mut write_random);
                    }
                    writer
                        .shutdown(std::net::Shutdown::Write)
                        .expect("no error");
                });
                let mut back = Vec::new();
                here.read_to_end(&mut back).expect("no error");
                join(writing);
                join(echo);
                assert!(back == sent, "the echo is not what was sent");
            })
        })
        .collect();
    join_all(handles);
}

/// Deadlines that pass, that are moved, and that are cleared, while somebody reads.
fn socket_deadlines(random: &mut Random, _: &Setup) {
    let (mut here, mut there) = connection();
    let began = Instant::now();
    let d = random.micros(2_000);
    here.set_read_deadline(Some(began + d));
    let mut byte = [0];
    let error = here.read(&mut byte).expect_err("nothing was sent");
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "{error}");
    assert!(began.elapsed() >= d, "timed out before its time");
    // Others change the deadline all the time, none of them to one that passes; then the byte comes.
    here.set_read_deadline(None);
    let movers: Vec<_> = (0..random.within(1, 3))
        .map(|_| {
            let (here, mut random) = (here.clone(), random.fork());
            go(move || {
                for _ in 0..random.within(1, 20) {
                    let far = Instant::now() + Duration::from_secs(random.within(1_000, 9_000));
                    here.set_read_deadline(random.percent(70).then_some(far));
                    noise(&mut random);
                }
            })
        })
        .collect();
    let mut random_write = random.fork();
    let writing = go(move || {
        (0..4).for_each(|_| noise(&mut random_write));
        there.write_all(&[7]).expect("no error");
        there
    });
    assert_eq!(here.read(&mut byte).expect("in time"), 1, "bytes read");
    assert_eq!(byte, [7]);
    join_all(movers);
    // A deadline in the past ends a wait that has begun.
    let reading = {
        let mut here = here.clone();
        go(move || here.read(&mut [0]).map_err(|e| e.kind()))
    };
    (0..3).for_each(|_| noise(random));
    here.set_read_deadline(Some(began));
    assert_eq!(join(reading), Err(std::io::ErrorKind::TimedOut));
    drop(join(writing));
}

/// Threads that are no Ms send, lock, and spawn.
fn foreign_threads(random: &mut Random, _: &Setup) {
    let (tx, rx) = channel::<u64>(random.below(3) as usize);
    let shared = Arc::new(Mutex::new(0_u64));
    let (threads, each) = (random.within(1, 3), random.within(1, 30));
    let handles: Vec<_> = (0..threads)
        .map(|_| {
            let (tx, shared) = (tx.clone(), Arc::clone(&shared));
            std::thread::spawn(move || {
                for i in 0..each {
                    match i % 3 {
                        0 => tx.send(1).expect("open"),
                        1 => *shared.lock() += 1,
                        _ => {
                            let shared = Arc::clone(&shared);
                            let g = go(move || *shared.lock() += 1);
                            assert!(g.join().is_ok(), "a G of a thread");
                        }
                    }
                }
            })
        })
        .collect();
    drop(tx);
    let sent: u64 = rx.iter().sum();
    for handle in handles {
        blocking(move || handle.join()).expect("no panic");
    }
    let locked = *shared.lock();
    assert_eq!(sent + locked, threads * each, "what threads did");
}

/// Nothing but giving way, together.
fn yields(random: &mut Random, _: &Setup) {
    let each = random.within(1, 100);
    let handles: Vec<_> = (0..random.within(1, 40))
        .map(|_| go(move || (0..each).map(|_| yield_now()).count() as u64))
        .collect();
    assert!(
        join_all(handles).into_iter().all(|n| n == each),
        "yields that came back"
    );
}

/// Gs that compute without giving way, except that they look whether they are to.
fn hogs(random: &mut Random, _: &Setup) {
    let handles: Vec<_> = (0..random.within(1, 4))
        .map(|_| {
            let mut random = random.fork();
            go(move || {
                let until = Instant::now() + random.micros(4_000);
                let mut x = random.next();
                while Instant::now() < until {
                    x = std::hint::black_box(x.rotate_left(7) ^ 0x55);
                    checkpoint();
                }
            })
        })
        .collect();
    join_all(handles);
}

/// Ticks are never early, and dropped ones are counted.
fn ticker(random: &mut Random, _: &Setup) {
    let period = Duration::from_micros(random.within(1, 500));
    let began = Instant::now();
    let mut ticker = time::Ticker::new(period);
    let mut ticks = 0;
    for _ in 0..random.within(1, 20) {
        ticks += 1 + ticker.tick();
        let due = period * u32::try_from(ticks).expect("few");
        let took = began.elapsed();
        assert!(took >= due, "tick {ticks} is early: {took:?} of {due:?}");
        if random.percent(30) {
            noise(random);
        }
    }
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
fn selects(random: &mut Random, _: &Setup) {
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

/// Timers of all kinds: none fires early, and one that was stopped in time does not fire at all.
fn timers(random: &mut Random, _: &Setup) {
    let afters: Vec<_> = (0..random.within(1, 10))
        .map(|_| {
            let mut random = random.fork();
            go(move || {
                let (began, d) = (Instant::now(), random.micros(3_000));
                let timer = time::after(d);
                noise(&mut random);
                let at = timer.recv().expect("open");
                assert!(at >= began + d, "it fired early");
                assert!(at <= Instant::now(), "it was received before its time");
            })
        })
        .collect();
    // Functions, some of which are stopped or set anew.
    let (called, calls) = channel::<usize>(64);
    let mut to_come = vec![0_u64; random.within(1, 20) as usize];
    let functions: Vec<_> = (0..to_come.len())
        .map(|i| {
            let called = called.clone();
            let d = random.micros(2_000);
            time::after_func(d, move || called.send(i).expect("open"))
        })
        .collect();
    for (timer, to_come) in functions.iter().zip(&mut to_come) {
        noise(random);
        *to_come = match random.below(3) {
            0 => u64::from(!timer.stop()),
            1 => 1 + u64::from(!timer.reset(random.micros(1_000))),
            _ => 1,
        };
    }
    for _ in 0..to_come.iter().sum() {
        let i = calls.recv().expect("open");
        assert!(to_come[i] > 0, "function {i} was called too often");
        to_come[i] -= 1;
    }
    // A ticker whose period changes.
    let ticker = time::Ticker::new(Duration::from_micros(random.within(1, 500)));
    for _ in 0..random.within(1, 10) {
        noise(random);
        let (set, period) = (Instant::now(), random.within(1, 800));
        let period = Duration::from_micros(period);
        ticker.reset(period);
        let at = ticker.chan().recv().expect("open");
        assert!(at >= set + period, "a tick of the period before");
    }
    ticker.stop();
    noise(random);
    assert_eq!(ticker.chan().try_recv(), Err(TryRecvError::Empty));
    join_all(afters);
    assert_eq!(
        calls.try_recv(),
        Err(TryRecvError::Empty),
        "a call too many"
    );
}

/// No more Gs inside than there are permits, and all permits come back.
fn semaphore(random: &mut Random, _: &Setup) {
    let permits = random.within(1, 4);
    let shared = Arc::new((Semaphore::new(permits as u32), AtomicU64::new(0)));
    let each = random.within(1, 40);
    let handles: Vec<_> = (0..random.within(1, 12))
        .map(|_| {
            let (shared, mut random) = (Arc::clone(&shared), random.fork());
            go(move || {
                let (semaphore, inside) = &*shared;
                for _ in 0..each {
                    match random.percent(20) {
                        true => {
                            while !semaphore.try_acquire() {
                                yield_now();
                            }
                        }
                        false => semaphore.acquire(),
                    }
                    let others = inside.fetch_add(1, Ordering::SeqCst);
                    assert!(others < permits, "more are inside than there are permits");
                    if random.percent(25) {
                        noise(&mut random);
                    }
                    inside.fetch_sub(1, Ordering::SeqCst);
                    match random.percent(30) {
                        true => semaphore.release_handoff(),
                        false => semaphore.release(),
                    }
                }
            })
        })
        .collect();
    join_all(handles);
    assert_eq!(u64::from(shared.0.available()), permits, "permits");
}

/// Readers see no half of what a writer does, and writers are alone.
fn rw_lock(random: &mut Random, _: &Setup) {
    let shared = Arc::new(RwLock::new((0_u64, 0_u64)));
    let each = random.within(1, 40);
    let handles: Vec<_> = (0..random.within(1, 12))
        .map(|_| {
            let (shared, mut random) = (Arc::clone(&shared), random.fork());
            let writes = random.percent(40);
            go(move || {
                for _ in 0..each {
                    if writes {
                        let mut pair = shared.write();
                        pair.0 += 1;
                        if random.percent(20) {
                            noise(&mut random);
                        }
                        pair.1 += 1;
                    } else {
                        let pair = shared.read();
                        let before = *pair;
                        if random.percent(20) {
                            noise(&mut random);
                        }
                        assert_eq!(before.0, before.1, "half of a write");
                        assert_eq!(*pair, before, "a write beside a reader");
                    }
                }
                if writes { each } else { 0 }
            })
        })
        .collect();
    let writes: u64 = join_all(handles).into_iter().sum();
    assert_eq!(*shared.read(), (writes, writes), "writes");
}

/// A bounded buffer made of a mutex and two conditions; signals and broadcasts mixed.
fn cond(random: &mut Random, _: &Setup) {
    struct Buffer {
        values: Mutex<Vec<u64>>,
        room: Cond,
        filled: Cond,
    }
    let capacity = random.within(1, 4) as usize;
    let (pairs, each) = (random.within(1, 5), random.within(1, 50));
    let buffer = Arc::new(Buffer {
        values: Mutex::new(Vec::new()),
        room: Cond::new(),
        filled: Cond::new(),
    });
    let wake = |cond: &Cond, random: &mut Random| match random.percent(20) {
        true => cond.broadcast(),
        false => cond.signal(),
    };
    let mut handles = Vec::new();
    for _ in 0..pairs {
        let (shared, mut source) = (Arc::clone(&buffer), random.fork());
        handles.push(go(move || {
            for i in 0..each {
                noise(&mut source);
                let mut values = shared.values.lock();
                while values.len() == capacity {
                    values = shared.room.wait(values);
                }
                values.push(i);
                drop(values);
                wake(&shared.filled, &mut source);
            }
            0
        }));
        let (shared, mut source) = (Arc::clone(&buffer), random.fork());
        handles.push(go(move || {
            let mut sum = 0;
            for _ in 0..each {
                noise(&mut source);
                let mut values = shared.values.lock();
                let value = loop {
                    match values.pop() {
                        Some(value) => break value,
                        None => values = shared.filled.wait(values),
                    }
                };
                assert!(values.len() < capacity, "more than there is room for");
                drop(values);
                wake(&shared.room, &mut source);
                sum += value;
            }
            sum
        }));
    }
    let sum: u64 = join_all(handles).into_iter().sum();
    assert_eq!(sum, pairs * (each * (each - 1) / 2), "the sum");
}
