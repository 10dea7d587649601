//! Every knob of the policy changes what it says: on a real runtime, by what that recorded of itself.
//!
//! A test runs itself again as the recorded program, under a policy, and asserts on the history. The programs wait for conditions and
//! never for time to pass; where a G must not give way they make the time slice so long that it is not asked to.

mod order;
mod place;
mod queue;
mod spin;
mod steal;
mod sysmon;
mod table;

use std::time::{Duration, Instant};

use gmp_runtime::{Builder, Stats, stats};
use gmp_testing::{Recording, program};
use gmp_trace::event::Event;
use gmp_trace::ids::MId;
use gmp_trace::order::Ordered;
use gmp_trace::queues::{At, Queue, Queues, Watch};
use gmp_trace::version::ENV_POLICY;

/// Makes the table of the programs that are recorded.
macro_rules! programs {
    ($($module:ident::$name:ident,)*) => {
        /// Runs the program of this name.
        fn run_program(name: &str) {
            match name {
                $(concat!(stringify!($module), "::", stringify!($name)) => $module::$name(),)*
                _ => panic!("there is no program {name}"),
            }
        }
    };
}

programs! {
    order::spawn_20,
    order::spawn_200,
    order::yield_until_another_ran,
    order::ten_that_yield,
    place::spawn_9,
    place::for_two_ps_one_of_them_busy,
    queue::spawn_20,
    queue::ping_pong_beside_a_waiting_g,
    queue::a_hundred_that_yield,
    spin::one_g_elsewhere,
    spin::sleep_in_turns,
    spin::yield_while_others_sleep,
    spin::two_gs_elsewhere,
    spin::spawn_and_join,
    spin::wake_in_every_way,
    steal::forty_gs_for_a_thief,
    steal::look_in_vain,
    steal::two_victims,
    sysmon::short_slices,
    sysmon::hold_for_100_ms,
    sysmon::call_until_another_ran,
    sysmon::call_for_50_ms,
    sysmon::a_thousand_rounds,
    sysmon::rounds_in_400_ms,
}

/// The recorded program, when a test runs this binary again; nothing else.
#[test]
fn recorded_program() {
    if let Some(name) = program::part() {
        run_program(&name);
    }
}

/// What a recorded program did, in order.
struct History(Vec<Ordered>);

impl History {
    /// Runs a program under a policy, in a process of its own, which is this binary again.
    fn of(program: &str, policy: &str) -> History {
        let mut command = program::command("recorded_program", program);
        History(Recording::whole(command.env(ENV_POLICY, policy)).history())
    }

    fn events(&self) -> impl Iterator<Item = &Event> {
        self.0.iter().map(|o| &o.event)
    }

    /// How many events are so.
    fn count(&self, is: impl Fn(&Event) -> bool) -> usize {
        self.events().filter(|e| is(e)).count()
    }

    /// What one M did.
    fn of_m(&self, m: MId) -> Vec<&Ordered> {
        self.0.iter().filter(|o| o.m == m).collect()
    }

    /// The history until the runtime begins to end: the world stops for no other reason in these programs, or for the program's own.
    fn until_the_end(&self) -> &[Ordered] {
        let end = self
            .0
            .iter()
            .rposition(|o| matches!(o.event, Event::StwBegin { .. }));
        &self.0[..end.expect("every run ends with a stop of the world")]
    }

    /// The most Gs that were in a ring at once, its runnext included.
    fn longest_local_queue(&self) -> u32 {
        struct Longest(u32);
        impl Watch for Longest {
            fn length(&mut self, queue: Queue, len: u32) {
                if matches!(queue, Queue::Local(_)) {
                    self.0 = self.0.max(len);
                }
            }
            fn contradiction(&mut self, what: impl FnOnce() -> String) {
                panic!("{}", what());
            }
        }
        let (mut queues, mut longest) = (Queues::default(), Longest(0));
        for o in &self.0 {
            let running = o.running();
            queues.event(At { p: o.p, running }, &o.event, false, &mut longest);
        }
        longest.0
    }
}

/// Runs the main G on this many Ps. The policy is that of the environment.
fn run(procs: usize, main: impl FnOnce() + Send + 'static) {
    // SAFETY: nothing bound to a thread is held over a call into the runtime.
    unsafe { Builder::new() }.procs(procs).run(main);
}

/// Keeps the P, without a call that could give it up, until it is so. Fails after a time that no machine needs.
fn hold_until(mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "it never is");
        std::hint::spin_loop();
    }
}

/// As [`hold_until`], by the runtime's own counters.
fn hold_until_counted(mut is_so: impl FnMut(&Stats) -> bool) {
    hold_until(|| is_so(&stats()));
}
