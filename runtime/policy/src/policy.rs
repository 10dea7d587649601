//! The values of a policy, and their one string form.

use std::fmt;
use std::str::FromStr;

use crate::knobs::KNOBS;

/// How many Gs a thief takes from a victim's ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steal {
    /// Half, rounded up.
    Half,
    /// This many, at most half of the ring's capacity.
    Count(u32),
}

/// Where a G goes that yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum YieldTo {
    /// The tail of the global queue.
    Global,
    /// The tail of the P's own ring.
    Local,
}

/// Every decision of the scheduler that can be varied. The default is what Go does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Gs that a P's ring holds, without `runnext`.
    pub local_queue: u32,
    /// Whether a readied or spawned G goes into `runnext`.
    pub runnext: bool,
    /// Whether a G taken from `runnext` goes on with the time slice of the one before it.
    pub runnext_inherits: bool,
    /// Which part of a full ring goes to the global queue, in percent.
    pub overflow: u32,
    /// Every how many time slices a P looks at the global queue first; 0 = never.
    pub global_tick: u32,
    /// How many Gs a thief takes.
    pub steal: Steal,
    /// How often a thief passes over all Ps; the last pass also takes timers and `runnext`.
    pub steal_rounds: u32,
    /// Spinning Ms allowed, in percent of the busy Ps.
    pub spin: u32,
    /// How long a G may run before it is asked to give way, in ns.
    pub time_slice_ns: u64,
    /// The shortest pause of sysmon, in ns.
    pub sysmon_ns: u64,
    /// The longest pause of sysmon, in ns.
    pub sysmon_max_ns: u64,
    /// Where a G goes that yields.
    pub yield_to: YieldTo,
    /// How long a P stays with a system call though nothing waits for it, in ns.
    pub syscall_ns: u64,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            local_queue: 256,
            runnext: true,
            runnext_inherits: true,
            overflow: 50,
            global_tick: 61,
            steal: Steal::Half,
            steal_rounds: 4,
            spin: 50,
            time_slice_ns: 10_000_000,
            sysmon_ns: 20_000,
            sysmon_max_ns: 10_000_000,
            yield_to: YieldTo::Global,
            syscall_ns: 10_000_000,
        }
    }
}

/// Why a string is no policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// Not of the form `name=value`.
    Form(String),
    /// No knob has this name.
    Unknown(String),
    /// The knob does not take this value.
    Value {
        /// The knob.
        name: &'static str,
        /// What was given.
        value: String,
        /// What it takes.
        takes: &'static str,
    },
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParseError::Form(part) => write!(f, "'{part}' is not of the form name=value"),
            ParseError::Unknown(name) => {
                let names: Vec<_> = KNOBS.iter().map(|k| k.name).collect();
                write!(
                    f,
                    "no policy knob is called '{name}' (there are {})",
                    names.join(", ")
                )
            }
            ParseError::Value { name, value, takes } => {
                write!(f, "{name} takes {takes}, not '{value}'")
            }
        }
    }
}

impl std::error::Error for ParseError {}

impl FromStr for Policy {
    type Err = ParseError;

    /// Reads `name=value,name=value…`; what is not named keeps Go's value. `default` and the empty string are Go's policy.
    fn from_str(s: &str) -> Result<Policy, ParseError> {
        let mut policy = Policy::default();
        for part in s
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty() && *part != "default")
        {
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| ParseError::Form(part.to_owned()))?;
            let knob = KNOBS
                .iter()
                .find(|k| k.name == name.trim())
                .ok_or_else(|| ParseError::Unknown(name.trim().to_owned()))?;
            let value = value.trim();
            (knob.set)(&mut policy, value).ok_or_else(|| ParseError::Value {
                name: knob.name,
                value: value.to_owned(),
                takes: knob.takes,
            })?;
        }
        Ok(policy)
    }
}

impl fmt::Display for Policy {
    /// The knobs that differ from Go's, in the order of the table; `default` if none does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let go = Policy::default();
        let mut first = true;
        for knob in KNOBS {
            let value = (knob.get)(self);
            if value != (knob.get)(&go) {
                write!(f, "{}{}={value}", if first { "" } else { "," }, knob.name)?;
                first = false;
            }
        }
        if first {
            f.write_str("default")
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_prints_and_parses_as_default() {
        assert_eq!(Policy::default().to_string(), "default");
        assert_eq!("default".parse(), Ok(Policy::default()));
        assert_eq!("".parse(), Ok(Policy::default()));
    }

    #[test]
    fn every_knob_reads_what_it_prints() {
        for knob in KNOBS {
            for value in knob.examples {
                let policy: Policy = format!("{}={value}", knob.name).parse().expect(knob.name);
                assert_eq!(&(knob.get)(&policy), value, "{}", knob.name);
                assert_eq!(policy.to_string().parse(), Ok(policy), "{}", knob.name);
            }
        }
    }

    #[test]
    fn nonsense_is_refused_with_what_would_be_right() {
        let error = |s: &str| s.parse::<Policy>().expect_err(s).to_string();
        assert!(error("steal").contains("name=value"));
        assert!(error("stael=one").contains("steal,"), "lists the names");
        assert!(error("steal=some").contains("half, one or a number"));
        assert!(error("local_queue=0").contains("1 to 256"));
        assert!(error("time_slice=10").contains("unit"));
    }
}
