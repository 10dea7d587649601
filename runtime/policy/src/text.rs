//! The one string form of a policy: `name=value,name=value`.

use std::fmt;
use std::str::FromStr;

use crate::knobs::{KNOBS, Policy};

/// Why a string is no policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// Not of the form `name=value`.
    Form(String),
    /// No knob has this name.
    Unknown(String),
    /// The knob is named twice.
    Twice(&'static str),
    /// The knob does not take this value.
    Value {
        /// The knob.
        name: &'static str,
        /// What was given.
        value: String,
        /// What it takes.
        takes: String,
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
            ParseError::Twice(name) => write!(f, "{name} is given twice"),
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
        let mut named = Vec::new();
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
            if named.contains(&knob.name) {
                return Err(ParseError::Twice(knob.name));
            }
            named.push(knob.name);
            let value = value.trim();
            (knob.set)(&mut policy, value).ok_or_else(|| ParseError::Value {
                name: knob.name,
                value: value.to_owned(),
                takes: knob.takes.to_string(),
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
    use crate::value::{Takes, Value};

    #[test]
    fn the_default_prints_and_parses_as_default() {
        assert_eq!(Policy::default().to_string(), "default");
        assert_eq!("default".parse(), Ok(Policy::default()));
        assert_eq!("".parse(), Ok(Policy::default()));
    }

    #[test]
    fn a_knob_that_is_named_twice_is_refused() {
        for again in ["one", "half"] {
            let policy = format!("steal=one,runnext=off,steal={again}").parse::<Policy>();
            assert_eq!(policy, Err(ParseError::Twice("steal")));
        }
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
    fn every_range_ends_where_it_says() {
        let takes = |name: &str, value: String| format!("{name}={value}").parse::<Policy>().is_ok();
        for knob in KNOBS {
            match knob.takes {
                Takes::Switch => {
                    assert!(takes(knob.name, "on".into()) && takes(knob.name, "off".into()));
                    assert!(!takes(knob.name, "1".into()), "{}", knob.name);
                }
                Takes::Number { least, most, .. } => {
                    assert!(takes(knob.name, least.to_string()), "{}", knob.name);
                    assert!(takes(knob.name, most.to_string()), "{}", knob.name);
                    let outside = [i64::from(least) - 1, i64::from(most) + 1];
                    assert!(!outside.iter().any(|n| takes(knob.name, n.to_string())));
                }
                Takes::Time { least, most } => {
                    assert!(takes(knob.name, least.show()), "{}", knob.name);
                    assert!(takes(knob.name, most.show()), "{}", knob.name);
                    let longer = most + std::time::Duration::from_nanos(1);
                    assert!(!takes(knob.name, longer.show()), "{}", knob.name);
                }
                Takes::OneOf(named) => {
                    assert!(
                        named()
                            .iter()
                            .all(|(name, _)| takes(knob.name, (*name).into()))
                    );
                    assert!(!takes(knob.name, "none_of_them".into()), "{}", knob.name);
                }
                Takes::Words(_) => assert!(!takes(knob.name, "none_of_them".into())),
            }
            assert!(!knob.examples.is_empty(), "{}", knob.name);
            let default = (knob.get)(&Policy::default());
            assert!(!knob.examples.contains(&default.as_str()), "{}", knob.name);
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
