//! What all programs share: their common options, the runtime they run on, and the form of what they report.

use std::time::Duration;

use gmp_runtime::{Builder, Stats, Tally};

/// Options of every program.
#[derive(Clone, Debug, clap::Args)]
pub struct Common {
    /// The seed of everything random
    #[arg(long, global = true, default_value_t = 1)]
    pub seed: u64,

    /// The number of Ps [default: as many as CPUs]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(gmp_runtime::MAX_PROCS)))]
    pub procs: Option<u32>,

    /// Print one JSON object instead of text
    #[arg(long, global = true)]
    pub json: bool,
}

/// The runtime of a program.
pub fn runtime(common: &Common) -> Builder {
    // SAFETY: no program holds a lock of std, a borrow of a thread-local, or anything else bound to a thread over a call into the runtime.
    let builder = unsafe { Builder::new() }.seed(common.seed);
    match common.procs {
        Some(procs) => builder.procs(procs as usize),
        None => builder,
    }
}

/// One thing that was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// What.
    pub name: String,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
}

/// What a program reports.
#[derive(Clone, Debug, Default)]
pub struct Report {
    name: &'static str,
    claim: &'static str,
    figures: Vec<Figure>,
    remarks: Vec<String>,
}

impl Report {
    /// A report without figures.
    pub fn new() -> Report {
        Report::default()
    }

    /// Says whose report it is.
    pub fn of(mut self, name: &'static str, claim: &'static str) -> Report {
        (self.name, self.claim) = (name, claim);
        self
    }

    /// Adds a figure.
    pub fn figure(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.figures.push(Figure {
            name: name.into(),
            value,
            unit,
        });
    }

    /// Adds a time in the unit that suits it best.
    pub fn time(&mut self, name: impl Into<String>, time: Duration) {
        self.figure(name, time.as_secs_f64() * 1e3, "ms");
    }

    /// Adds a sentence.
    pub fn remark(&mut self, text: impl Into<String>) {
        self.remarks.push(text.into());
    }

    /// Adds counters of the runtime.
    pub fn counters(&mut self, stats: &Stats, which: &[Tally]) {
        for tally in which {
            self.figure(tally.name(), stats.get(*tally) as f64, "");
        }
    }

    /// It as text, or as JSON.
    pub fn render(&self, common: &Common) -> String {
        if common.json {
            let figures: serde_json::Map<String, serde_json::Value> = self
                .figures
                .iter()
                .map(|f| {
                    let value = serde_json::json!({"value": f.value, "unit": f.unit});
                    (f.name.clone(), value)
                })
                .collect();
            let value = serde_json::json!({
                "program": self.name, "claim": self.claim, "seed": common.seed, "figures": figures, "remarks": self.remarks,
            });
            return format!("{value}\n");
        }
        let mut text = format!("{}: {}\n", self.name, self.claim);
        for f in &self.figures {
            let value = if f.value.fract() == 0.0 {
                format!("{}", f.value)
            } else {
                format!("{:.3}", f.value)
            };
            text += &format!("  {:<34}{value:>14} {}\n", f.name, f.unit);
        }
        for remark in &self.remarks {
            text += &format!("  {remark}\n");
        }
        text
    }
}

/// Burns about this much CPU time, so that the compiler cannot leave it out; returns something that depends on all of it.
pub fn burn(rounds: u64, seed: u64) -> u64 {
    let mut x = seed | 1;
    for _ in 0..rounds {
        // xorshift64
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    std::hint::black_box(x)
}
