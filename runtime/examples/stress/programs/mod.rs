//! Random programs, each a function of its seed, whose results are known beforehand.
//!
//! A program is a runtime with a random number of Ps and a random policy, in which several scenes run at once. A scene is a handful of Gs that
//! use one part of the runtime in random order and size, and that know what must come out, however they are scheduled. At the
//! end the runtime's own counters must balance: what was spawned has ended, what was parked was readied, and so on.
//!
//! The scenes are in the files beside this one, by the part of the runtime that they use.
//!
//! The same seed gives the same program, policy and number of Ps; how it is scheduled depends on the machine as well.

mod channels;
mod drops;
mod locked;
mod locks;
mod net;
mod sections;
mod spans;
mod tasks;
mod threads;
mod timers;

use std::time::{Duration, Instant};

use gmp_runtime::{
    Builder, JoinHandle, Policy, Stats, Tally, blocking, checkpoint, go, inspect, num_goroutines,
    stats, syscall, time, yield_now,
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

/// Knobs and values to draw from. Policies under which a G may starve for ever are left out too, because programs that wait for others by
/// yielding do not end under them. Looking at the global queue first every time starves the rings of yielding Gs' Ps. Never looking at it
/// starves the global queue while Gs that yield, or loop and are preempted, stay with their P; and one lane of it while nobody wakes its P.
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
        let has = |setting: &str| policy.iter().any(|p| p == setting);
        let lanes_wait = has("place=round_robin") && has("wake=never");
        if has("yield_to=local") || has("preempt_to=local") || lanes_wait {
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
    ("tree", tasks::tree),
    ("pipeline", channels::pipeline),
    ("ring", channels::ring),
    ("mutex", locks::mutex),
    ("wait_group", locks::wait_group),
    ("system_calls", tasks::system_calls),
    ("deadlines", timers::deadlines),
    ("panics", tasks::panics),
    ("resize", tasks::resize),
    ("sockets", net::sockets),
    ("socket_deadlines", net::socket_deadlines),
    ("foreign_threads", tasks::foreign_threads),
    ("yields", tasks::yields),
    ("hogs", tasks::hogs),
    ("ticker", timers::ticker),
    ("selects", channels::selects),
    ("timers", timers::timers),
    ("semaphore", locks::semaphore),
    ("rw_lock", locks::rw_lock),
    ("cond", locks::cond),
    ("last_acts", threads::last_acts),
    ("chains", threads::chains),
    ("locked", locked::locked),
    ("sections", sections::sections),
    ("loops", sections::loops),
    ("left_behind", drops::left_behind),
    ("functions", drops::functions),
    ("nested_spans", spans::nested),
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
            Some(what) if began.elapsed() > BALANCE => {
                // Now, because who has not ended may end as soon as this G does.
                eprint!("{}", inspect::dump());
                return Err(what);
            }
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
