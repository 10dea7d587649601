//! What a knob takes, and how its value is read and printed.

use std::fmt;
use std::time::Duration;

/// What a knob takes.
#[derive(Clone, Copy, Debug)]
pub enum Takes {
    /// `on` or `off`.
    Switch,
    /// A whole number.
    Number {
        /// The least one.
        least: u32,
        /// The greatest one.
        most: u32,
        /// What is counted; may be empty.
        unit: &'static str,
    },
    /// A time with its unit: `250us`, `10ms`, `1s`.
    Time {
        /// The shortest.
        least: Duration,
        /// The longest.
        most: Duration,
    },
    /// One of these names; each with its meaning.
    OneOf(fn() -> Vec<(&'static str, &'static str)>),
    /// Something else, in words.
    Words(&'static str),
}

impl fmt::Display for Takes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Takes::Switch => f.write_str("on or off"),
            Takes::Number { least, most, unit } => {
                write!(f, "{least} to {most}")?;
                if unit.is_empty() {
                    Ok(())
                } else {
                    write!(f, " {unit}")
                }
            }
            Takes::Time { least, most } => {
                write!(
                    f,
                    "a time with its unit, {} to {}",
                    least.show(),
                    most.show()
                )
            }
            Takes::OneOf(named) => {
                let names: Vec<_> = named().iter().map(|(name, _)| *name).collect();
                match names.split_last() {
                    Some((last, [])) => f.write_str(last),
                    Some((last, others)) => write!(f, "{} or {last}", others.join(", ")),
                    None => Ok(()),
                }
            }
            Takes::Words(words) => f.write_str(words),
        }
    }
}

/// A value that a knob can have.
pub trait Value: Sized {
    /// Reads it; `None` if the text is none that the knob takes.
    fn read(text: &str, takes: &Takes) -> Option<Self>;
    /// Prints it as it is read.
    fn show(&self) -> String;
}

impl Value for bool {
    fn read(text: &str, _takes: &Takes) -> Option<bool> {
        match text {
            "on" => Some(true),
            "off" => Some(false),
            _ => None,
        }
    }

    fn show(&self) -> String {
        if *self { "on".into() } else { "off".into() }
    }
}

impl Value for u32 {
    fn read(text: &str, takes: &Takes) -> Option<u32> {
        let Takes::Number { least, most, .. } = takes else {
            return None;
        };
        text.parse().ok().filter(|n| (least..=most).contains(&n))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for Duration {
    fn read(text: &str, takes: &Takes) -> Option<Duration> {
        let Takes::Time { least, most } = takes else {
            return None;
        };
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match &text[digits.len()..] {
            "ns" => 1,
            "us" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            _ => return None,
        };
        let ns = digits.parse::<u64>().ok()?.checked_mul(unit)?;
        let time = Duration::from_nanos(ns);
        (least..=most).contains(&&time).then_some(time)
    }

    fn show(&self) -> String {
        match self.as_nanos() {
            0 => "0us".into(),
            n if n.is_multiple_of(1_000_000_000) => format!("{}s", n / 1_000_000_000),
            n if n.is_multiple_of(1_000_000) => format!("{}ms", n / 1_000_000),
            n if n.is_multiple_of(1_000) => format!("{}us", n / 1_000),
            n => format!("{n}ns"),
        }
    }
}

/// A time as the runtime counts it. No knob takes one that does not fit.
pub(crate) fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
