//! Perf counters in the reports: the total of each with its interval and how many readings it stands on, in all and by spawn site.

use std::io::Write;

use serde_json::{Value, json};

use crate::counters::{Counters, Estimate, Totals};
use crate::names::Names;
use crate::time::human;

/// Spawn sites that are printed.
const SITES: usize = 5;

/// A number of events, or a time in ns.
fn amount(value: f64, unit: &str) -> String {
    if unit == "ns" {
        return human(value.round() as i64);
    }
    match value {
        v if v >= 1e9 => format!("{:.3} G", v / 1e9),
        v if v >= 1e6 => format!("{:.3} M", v / 1e6),
        v if v >= 1e4 => format!("{:.2} k", v / 1e3),
        v if v.fract() == 0.0 => format!("{v:.0}"),
        v => format!("{v:.1}"),
    }
}

/// The 95 % interval in words.
fn interval(e: &Estimate, unit: &str) -> String {
    match e.interval {
        _ if e.exact => "exact".into(),
        Some((low, high)) => format!("{} to {}", amount(low, unit), amount(high, unit)),
        None => "one reading: unknown".into(),
    }
}

/// One line for each counter: name, total, interval, readings, per ms of running.
pub fn lines(counters: &Counters, totals: &Totals) -> Vec<[String; 5]> {
    let of = |e: &Estimate, unit: &str| {
        let per_ms = e.total / (totals.running_ns / 1e6).max(f64::MIN_POSITIVE);
        [
            amount(e.total, unit),
            interval(e, unit),
            format!("{} of {}", e.n, totals.intervals),
            amount(per_ms, unit),
        ]
    };
    counters
        .defs
        .iter()
        .map(|def| {
            let name = def.name.clone();
            match totals.estimate(def.counter) {
                _ if !def.available => {
                    let why = def.reason.clone().unwrap_or_default();
                    [
                        name,
                        "unavailable".into(),
                        why,
                        String::new(),
                        String::new(),
                    ]
                }
                Some(e) => {
                    let [total, interval, n, rate] = of(&e, &def.unit);
                    [name, total, interval, n, rate]
                }
                None => [
                    name,
                    "-".into(),
                    "no interval was read".into(),
                    String::new(),
                    String::new(),
                ],
            }
        })
        .collect()
}

/// The counters in text, those of the run and of the sites that ran longest.
///
/// # Errors
/// When the output cannot be written.
pub fn text(counters: &Counters, names: &Names, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(
        out,
        "\nperf counters of run intervals (total, 95 % interval, intervals read, per ms of running)"
    )?;
    let known = |totals: &Totals| {
        let mut lines = lines(counters, totals);
        lines.retain(|[.., n, _]| !n.is_empty());
        lines
    };
    let parts = counters.sites.iter().take(SITES);
    let parts = parts.map(|(site, totals)| (names.site(*site), known(totals)));
    for (site, lines) in std::iter::once(("", lines(counters, &counters.all))).chain(parts) {
        if !site.is_empty() {
            writeln!(out, " {site}")?;
        }
        for [name, total, interval, n, rate] in lines {
            writeln!(
                out,
                "  {name:<18}{total:>12}  {interval:<28}{n:>18}{rate:>12}"
            )?;
        }
    }
    if let Some(ns) = counters.reading_ns {
        writeln!(
            out,
            "  each value includes one reading, about {} of time",
            human(ns as i64)
        )?;
    }
    if counters.unread_ns > 0.0 {
        let unread = human(counters.unread_ns as i64);
        writeln!(
            out,
            "  {unread} of running on threads that could read no counters is in no total"
        )?;
    }
    Ok(())
}

/// The counters as JSON.
pub fn json(counters: &Counters, names: &Names) -> Value {
    let of = |totals: &Totals| -> Vec<Value> {
        counters
            .defs
            .iter()
            .map(|def| {
                let e = totals.estimate(def.counter).filter(|_| def.available);
                json!({
                    "name": def.name, "unit": def.unit, "source": def.source, "available": def.available,
                    "reason": def.reason, "total": e.map(|e| e.total),
                    "low": e.and_then(|e| e.interval).map(|i| i.0), "high": e.and_then(|e| e.interval).map(|i| i.1),
                    "n": e.map_or(0, |e| e.n), "exact": e.map(|e| e.exact),
                })
            })
            .collect()
    };
    let part = |totals: &Totals| json!({"intervals": totals.intervals, "running_ns": totals.running_ns, "counters": of(totals)});
    let sites: Vec<Value> = counters
        .sites
        .iter()
        .map(|(site, totals)| {
            let mut value = part(totals);
            value["site"] = json!(names.site(*site));
            value
        })
        .collect();
    let mut value = part(&counters.all);
    value["method"] = json!(
        "ratio to running time under Poisson sampling, linearised variance, Student's t (Särndal, Swensson and Wretman 1992, 5.6 and 7.3)"
    );
    value["reading_ns"] = json!(counters.reading_ns);
    value["unread_ns"] = json!(counters.unread_ns);
    value["sites"] = json!(sites);
    value
}
