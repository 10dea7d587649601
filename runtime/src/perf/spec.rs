//! The counters that can be asked for, and how they are asked for.

use std::str::FromStr;

use perf_event::Builder;
use perf_event::events::{Hardware, Software};

/// What somebody can count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The processor.
    Hardware(Hardware),
    /// The kernel.
    Software(Software),
}

/// One counter, by the name that `perf` has for it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Spec {
    /// Its name.
    pub(super) name: &'static str,
    /// What one is.
    pub(super) unit: &'static str,
    /// Who counts it.
    pub(super) source: Source,
    /// Whether it counts something that only happens in the kernel, so that it stays 0 for whom the kernel may not be counted.
    pub(super) in_kernel: bool,
}

const fn hardware(name: &'static str, event: Hardware) -> Spec {
    Spec {
        name,
        unit: "events",
        source: Source::Hardware(event),
        in_kernel: false,
    }
}

/// Every counter. Their number is that of the fields of an event.
pub(super) const ALL: [Spec; 8] = [
    hardware("cycles", Hardware::CPU_CYCLES),
    hardware("instructions", Hardware::INSTRUCTIONS),
    hardware("cache-misses", Hardware::CACHE_MISSES),
    hardware("branch-misses", Hardware::BRANCH_MISSES),
    Spec {
        name: "task-clock",
        unit: "ns",
        source: Source::Software(Software::TASK_CLOCK),
        in_kernel: false,
    },
    Spec {
        name: "context-switches",
        unit: "events",
        source: Source::Software(Software::CONTEXT_SWITCHES),
        in_kernel: true,
    },
    Spec {
        name: "page-faults",
        unit: "events",
        source: Source::Software(Software::PAGE_FAULTS),
        in_kernel: false,
    },
    Spec {
        name: "cpu-migrations",
        unit: "events",
        source: Source::Software(Software::CPU_MIGRATIONS),
        in_kernel: true,
    },
];

impl Spec {
    /// Whether the processor counts it.
    pub(super) fn is_hardware(&self) -> bool {
        matches!(self.source, Source::Hardware(_))
    }

    /// Whether it measures time, which it does in the kernel too, whatever this user may count.
    pub(super) fn is_clock(&self) -> bool {
        self.unit == "ns"
    }

    /// What opens it for the calling thread, on whatever CPU that runs.
    pub(super) fn builder(&self) -> Builder<'static> {
        let mut builder = match self.source {
            Source::Hardware(event) => Builder::new(event),
            Source::Software(event) => Builder::new(event),
        };
        builder.observe_self().any_cpu();
        builder
    }
}

/// What is to be counted, as the recorder asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted(pub(super) Vec<&'static Spec>);

impl Default for Wanted {
    fn default() -> Wanted {
        Wanted(ALL.iter().collect())
    }
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Wanted, String> {
        let names = gmp_trace::counter::parse(text)?;
        let spec = |name: &str| ALL.iter().find(|s| s.name == name);
        Ok(Wanted(names.into_iter().filter_map(spec).collect()))
    }
}

/// When to read, as the recorder asks for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Every {
    /// A random sample of the intervals.
    #[default]
    Auto,
    /// Each interval.
    Switch,
}

impl FromStr for Every {
    type Err = String;

    fn from_str(text: &str) -> Result<Every, String> {
        match text {
            "auto" => Ok(Every::Auto),
            "switch" => Ok(Every::Switch),
            other => Err(format!("{other} is neither auto nor switch")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_counter_is_one_that_can_be_counted() {
        let names: Vec<_> = ALL.iter().map(|s| s.name).collect();
        assert_eq!(names, gmp_trace::counter::NAMES);
        let wanted: Wanted = "page-faults,cycles".parse().expect("counters");
        assert_eq!(wanted.0, [&ALL[6], &ALL[0]]);
    }
}
