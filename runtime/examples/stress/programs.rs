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
use gmp_runtime::sync::chan::{TryRecvError, TrySendError};
use gmp_runtime::sync::{Mutex, WaitGroup};
use gmp_runtime::{
    Builder, JoinHandle, Policy, Receiver, Sender, Stats, Tally, blocking, channel, checkpoint, go,
    num_goroutines, set_procs, stats, syscall, time, yield_now,
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

/// Knobs and values to draw from; one that this version does not know is left out. Policies under which a G may starve for ever are left out
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
    ("syscall", &["0us", "20us", "200us"]),
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
                if random.percent(30) && setting.parse::<Policy>().is_ok() {
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
        assert!(began.elapsed() >= due, "tick {ticks} is early");
        if random.percent(30) {
            noise(random);
        }
    }
}
