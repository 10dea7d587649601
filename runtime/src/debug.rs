//! `GMP_DEBUG`: options for looking into a run, as `GODEBUG` has them: `name=value`, with commas between them.
//!
//! | option | meaning | default |
//! |---|---|---|
//! | `schedtrace=MS` | a line about the scheduler on stderr every so many milliseconds (`sched/schedtrace.rs`) | 0: none |
//! | `scheddetail=1` | with it: lines about each P, M and G too | 0 |
//! | `containermaxprocs=0` | the default number of Ps ignores the cgroup's quota | 1 |
//! | `updatemaxprocs=0` | the default number of Ps is computed at the start only | 1 |
//!
//! An option that is not known, or whose value is not a number, is ignored with a warning. Go says nothing; but the options change what is
//! shown and not what is computed, so a typing error should neither end the program nor pass unnoticed.

use std::fmt;

/// The name of the variable.
pub(crate) const ENV_DEBUG: &str = "GMP_DEBUG";

/// The options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Debug {
    /// Milliseconds between two lines about the scheduler; 0 = none.
    pub(crate) schedtrace_ms: u64,
    /// Whether those say all.
    pub(crate) scheddetail: bool,
    /// Whether the default number of Ps looks at the cgroup.
    pub(crate) containermaxprocs: bool,
    /// Whether it is followed when it changes.
    pub(crate) updatemaxprocs: bool,
}

impl Default for Debug {
    fn default() -> Debug {
        Debug {
            schedtrace_ms: 0,
            scheddetail: false,
            containermaxprocs: true,
            updatemaxprocs: true,
        }
    }
}

/// Why an option is ignored.
#[derive(Debug, PartialEq, Eq)]
enum Ignored<'a> {
    Form(&'a str),
    Unknown(&'a str),
    Value(&'a str, &'a str),
}

impl fmt::Display for Ignored<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ignored::Form(option) => write!(f, "`{option}` is not of the form name=value"),
            Ignored::Unknown(name) => write!(
                f,
                "no option `{name}`; there are schedtrace, scheddetail, containermaxprocs, updatemaxprocs"
            ),
            Ignored::Value(name, value) => write!(f, "{name}={value}: not a number"),
        }
    }
}

impl Debug {
    /// What the environment asks for.
    pub(crate) fn from_environment() -> Debug {
        let Some(text) = std::env::var_os(ENV_DEBUG) else {
            return Debug::default();
        };
        let text = text.to_string_lossy();
        let (debug, ignored) = Debug::parse(&text);
        for why in ignored {
            eprintln!("gmp: warning: {ENV_DEBUG}: ignored: {why}");
        }
        debug
    }

    fn parse(text: &str) -> (Debug, Vec<Ignored<'_>>) {
        let mut debug = Debug::default();
        let mut ignored = Vec::new();
        for option in text.split(',').map(str::trim).filter(|o| !o.is_empty()) {
            let Some((name, value)) = option.split_once('=') else {
                ignored.push(Ignored::Form(option));
                continue;
            };
            let Ok(number) = value.parse::<u64>() else {
                ignored.push(Ignored::Value(name, value));
                continue;
            };
            match name {
                "schedtrace" => debug.schedtrace_ms = number,
                "scheddetail" => debug.scheddetail = number != 0,
                "containermaxprocs" => debug.containermaxprocs = number != 0,
                "updatemaxprocs" => debug.updatemaxprocs = number != 0,
                _ => ignored.push(Ignored::Unknown(name)),
            }
        }
        (debug, ignored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_commas_between_them() {
        let (debug, ignored) = Debug::parse("schedtrace=1000, scheddetail=1,updatemaxprocs=0,");
        assert!(ignored.is_empty());
        let want = Debug {
            schedtrace_ms: 1000,
            scheddetail: true,
            updatemaxprocs: false,
            ..Debug::default()
        };
        assert_eq!(debug, want);
    }

    #[test]
    fn what_is_not_understood_is_named_and_the_rest_counts() {
        let (debug, ignored) = Debug::parse("schedtrace,gctrace=1,scheddetail=yes,schedtrace=5");
        assert_eq!(debug.schedtrace_ms, 5);
        let want = [
            Ignored::Form("schedtrace"),
            Ignored::Unknown("gctrace"),
            Ignored::Value("scheddetail", "yes"),
        ];
        assert_eq!(ignored, want);
    }
}
