//! The table of what can be varied: name, range, meaning, and how each is read and printed.

use crate::policy::{Policy, Steal, YieldTo};

/// One value of a [`Policy`] that can be set by name.
#[derive(Debug)]
pub struct Knob {
    /// Its name in the policy string and in the database.
    pub name: &'static str,
    /// What it means.
    pub doc: &'static str,
    /// What it takes, with units.
    pub takes: &'static str,
    /// Its present value as text.
    pub get: fn(&Policy) -> String,
    /// Reads it; `None` if the text is not a value of it.
    pub(crate) set: fn(&mut Policy, &str) -> Option<()>,
    /// Values that it takes, none of them the default, for tests.
    #[allow(dead_code, reason = "read by tests only")]
    pub(crate) examples: &'static [&'static str],
}

/// Every knob, in the order in which they are printed.
pub const KNOBS: &[Knob] = &[
    Knob {
        name: "local_queue",
        doc: "Gs that a P's ring holds, without runnext",
        takes: "1 to 256",
        get: |p| p.local_queue.to_string(),
        set: |p, v| number(v, 1, 256).map(|n| p.local_queue = n),
        examples: &["1", "64"],
    },
    Knob {
        name: "runnext",
        doc: "whether a readied or spawned G goes into the runnext slot",
        takes: "on or off",
        get: |p| switch_text(p.runnext),
        set: |p, v| switch(v).map(|on| p.runnext = on),
        examples: &["off"],
    },
    Knob {
        name: "runnext_inherits",
        doc: "whether a G taken from runnext goes on with the time slice of the one before it",
        takes: "on or off",
        get: |p| switch_text(p.runnext_inherits),
        set: |p, v| switch(v).map(|on| p.runnext_inherits = on),
        examples: &["off"],
    },
    Knob {
        name: "overflow",
        doc: "which part of a full ring goes to the global queue",
        takes: "1 to 100 percent",
        get: |p| p.overflow.to_string(),
        set: |p, v| number(v, 1, 100).map(|n| p.overflow = n),
        examples: &["1", "100"],
    },
    Knob {
        name: "global_tick",
        doc: "every how many time slices a P looks at the global queue first; 0 is never",
        takes: "0 to 1000000",
        get: |p| p.global_tick.to_string(),
        set: |p, v| number(v, 0, 1_000_000).map(|n| p.global_tick = n),
        examples: &["0", "31"],
    },
    Knob {
        name: "steal",
        doc: "how many Gs a thief takes from a ring",
        takes: "half, one or a number up to 128",
        get: |p| match p.steal {
            Steal::Half => "half".into(),
            Steal::Count(1) => "one".into(),
            Steal::Count(n) => n.to_string(),
        },
        set: |p, v| {
            p.steal = match v {
                "half" => Steal::Half,
                "one" => Steal::Count(1),
                n => Steal::Count(number(n, 1, 128)?),
            };
            Some(())
        },
        examples: &["one", "7"],
    },
    Knob {
        name: "steal_rounds",
        doc: "how often a thief passes over all Ps; the last pass also takes timers and runnext",
        takes: "1 to 64",
        get: |p| p.steal_rounds.to_string(),
        set: |p, v| number(v, 1, 64).map(|n| p.steal_rounds = n),
        examples: &["1", "8"],
    },
    Knob {
        name: "spin",
        doc: "spinning Ms allowed, in percent of the busy Ps; 0 is none",
        takes: "0 to 100 percent",
        get: |p| p.spin.to_string(),
        set: |p, v| number(v, 0, 100).map(|n| p.spin = n),
        examples: &["0", "100"],
    },
    Knob {
        name: "time_slice",
        doc: "how long a G may run before it is asked to give way",
        takes: "a time with its unit, 10us to 10s",
        get: |p| time_text(p.time_slice_ns),
        set: |p, v| time(v, 10_000, 10_000_000_000).map(|t| p.time_slice_ns = t),
        examples: &["1ms", "250us"],
    },
    Knob {
        name: "sysmon",
        doc: "the shortest pause of the monitor thread",
        takes: "a time with its unit, 1us to 10s",
        get: |p| time_text(p.sysmon_ns),
        set: |p, v| time(v, 1_000, 10_000_000_000).map(|t| p.sysmon_ns = t),
        examples: &["100us"],
    },
    Knob {
        name: "sysmon_max",
        doc: "the longest pause of the monitor thread",
        takes: "a time with its unit, 1us to 10s",
        get: |p| time_text(p.sysmon_max_ns),
        set: |p, v| time(v, 1_000, 10_000_000_000).map(|t| p.sysmon_max_ns = t),
        examples: &["1ms"],
    },
    Knob {
        name: "yield_to",
        doc: "where a G goes that yields",
        takes: "global or local",
        get: |p| match p.yield_to {
            YieldTo::Global => "global".into(),
            YieldTo::Local => "local".into(),
        },
        set: |p, v| {
            p.yield_to = match v {
                "global" => YieldTo::Global,
                "local" => YieldTo::Local,
                _ => return None,
            };
            Some(())
        },
        examples: &["local"],
    },
    Knob {
        name: "syscall",
        doc: "how long a P stays with a system call though no G waits for it",
        takes: "a time with its unit, 0us to 10s",
        get: |p| time_text(p.syscall_ns),
        set: |p, v| time(v, 0, 10_000_000_000).map(|t| p.syscall_ns = t),
        examples: &["0us", "20us"],
    },
];

fn number(text: &str, least: u32, most: u32) -> Option<u32> {
    text.parse().ok().filter(|n| (least..=most).contains(n))
}

fn switch(text: &str) -> Option<bool> {
    match text {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

fn switch_text(on: bool) -> String {
    if on { "on".into() } else { "off".into() }
}

fn time(text: &str, least: u64, most: u64) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        _ => return None,
    };
    let ns = digits.parse::<u64>().ok()?.checked_mul(unit)?;
    (least..=most).contains(&ns).then_some(ns)
}

fn time_text(ns: u64) -> String {
    match ns {
        0 => "0us".into(),
        n if n.is_multiple_of(1_000_000_000) => format!("{}s", n / 1_000_000_000),
        n if n.is_multiple_of(1_000_000) => format!("{}ms", n / 1_000_000),
        n if n.is_multiple_of(1_000) => format!("{}us", n / 1_000),
        n => format!("{n}ns"),
    }
}
