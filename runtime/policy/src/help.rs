//! What can be varied, for people.

use std::fmt::Write;

use crate::knobs::{KNOBS, Policy};
use crate::value::Takes;

/// Every knob with its default, its range and its meaning; every named value with what it does.
pub fn help() -> String {
    let default = Policy::default();
    let mut out = String::from(
        "A policy is a comma list of NAME=VALUE, for example steal=one,runnext=off; what it does not name is as in Go.\n",
    );
    for knob in KNOBS {
        let _ = write!(
            out,
            "\n  {} (default {}; {})\n      {}\n",
            knob.name,
            (knob.get)(&default),
            knob.takes,
            knob.doc
        );
        if let Takes::OneOf(named) = knob.takes {
            let width = named()
                .iter()
                .map(|(name, _)| name.len())
                .max()
                .unwrap_or(0);
            for (name, doc) in named() {
                let _ = writeln!(out, "        {name:<width$}  {doc}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_says_name_default_range_and_meaning_of_every_knob() {
        let help = help();
        for knob in KNOBS {
            let default = (knob.get)(&Policy::default());
            let head = format!("{} (default {default}; {})", knob.name, knob.takes);
            assert!(help.contains(&head) && help.contains(knob.doc), "{head}");
            if let Takes::OneOf(named) = knob.takes {
                assert!(named().iter().all(|(_, doc)| help.contains(doc)), "{head}");
            }
        }
        assert!(help.lines().all(|line| line.len() <= 160), "{help}");
    }
}
