//! Perf counters in the reports: the total of each with its interval and how many readings it stands on, in all and by spawn site.

use std::io::Write;

use gmp_store::entity::CounterDef;
use serde_json::{Value, json};

use crate::counters::{Counters, Estimate, Totals, Why, is_clock};
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
    let low = amount(e.low, unit);
    match e.high {
        Some(high) if e.low == high && e.exact => "exact".into(),
        Some(high) if e.exact => format!(
            "exact, but for the readings: {low} to {}",
            amount(high, unit)
        ),
        Some(high) => format!("{low} to {}", amount(high, unit)),
        None => format!("at least {low}"),
    }
}

/// One line for each counter: name, total, interval, readings, per ms of running.
pub fn lines(counters: &Counters, totals: &Totals) -> Vec<[String; 5]> {
    let line = |def: &CounterDef| {
        let name = def.name.clone();
        let nothing = String::new;
        if !def.available {
            let why = def.reason.clone().unwrap_or_default();
            return [name, "unavailable".into(), why, nothing(), nothing()];
        }
        let e = counters.estimate(totals, def);
        let read = format!("{} of {}", e.n, totals.intervals());
        let Some(total) = e.total else {
            let why = e.why.map_or("", Why::words);
            let limits = format!("{}: {why}", interval(&e, &def.unit));
            return [name, "no estimate".into(), limits, read, nothing()];
        };
        let per_ms = total / (totals.running_ns() / 1e6).max(f64::MIN_POSITIVE);
        [
            name,
            amount(total, &def.unit),
            interval(&e, &def.unit),
            read,
            amount(per_ms, &def.unit),
        ]
    };
    counters.defs.iter().map(line).collect()
}

/// What is to be known beside the totals, in sentences.
pub fn notes(counters: &Counters) -> Vec<String> {
    let mut notes = Vec::new();
    let available = || counters.defs.iter().filter(|d| d.available);
    if available().next().is_none() {
        return notes;
    }
    let whole: Vec<String> = available()
        .filter_map(|d| Some(format!("{} {}", d.name, amount(counters.most(d)?, &d.unit))))
        .collect();
    notes.push(if whole.is_empty() {
        "a thread did not end, or had no counters: what all Ms counted is not known, and nothing bounds what was not read".into()
    } else {
        format!(
            "all Ms in their whole lives (exact, scheduler and readings included): {}",
            whole.join(", ")
        )
    });
    if let Some(d) = available().next() {
        let null = &counters.nulls[d.counter as usize];
        let cost: Vec<String> = available()
            .map(|d| (d, counters.nulls[d.counter as usize].mean()))
            .filter(|(d, mean)| *mean >= if is_clock(d) { 1.0 } else { 0.001 })
            .map(|(d, mean)| match is_clock(d) {
                true => format!("{} {}", d.name, human(mean.round() as i64)),
                false => format!("{} {mean:.3}", d.name),
            })
            .collect();
        notes.push(match null.n {
            0 => "what a reading itself counts was not measured: it is in the totals".into(),
            n if cost.is_empty() => format!("a reading itself counts nothing ({n} null readings)"),
            n => format!(
                "taken off for each reading ({n} null readings): {}",
                cost.join(", ")
            ),
        });
    }
    let (uncovered, running) = (counters.all.uncovered_ns(), counters.all.running_ns());
    if uncovered > 0.0 && running > 0.0 {
        notes.push(format!(
            "not covered: {} of running ({:.1} %) is in intervals of lengths that were hardly read; upper limits allow for it",
            human(uncovered as i64),
            100.0 * uncovered / running
        ));
    }
    if counters.unread_ns > 0.0 {
        let unread = human(counters.unread_ns as i64);
        notes.push(format!(
            "{unread} of running on threads that could read no counters is in no total"
        ));
    }
    notes
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
        lines.retain(|[.., n, _]| !n.is_empty() && !n.starts_with("0 of"));
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
    for note in notes(counters) {
        writeln!(out, "  {note}")?;
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
                let e = def.available.then(|| counters.estimate(totals, def));
                let null = &counters.nulls[def.counter as usize];
                let (nulls, mean) = (null.n, (null.n > 0).then(|| null.mean()));
                json!({
                    "name": def.name, "unit": def.unit, "source": def.source, "available": def.available,
                    "reason": def.reason, "total": e.and_then(|e| e.total),
                    "low": e.map(|e| e.low), "high": e.and_then(|e| e.high),
                    "n": e.map_or(0, |e| e.n), "exact": e.map(|e| e.exact),
                    "why": e.and_then(|e| e.why).map(Why::words),
                    "all_ms": counters.most(def).filter(|_| def.available),
                    "null_readings": nulls, "null_mean": mean,
                })
            })
            .collect()
    };
    let part = |totals: &Totals| {
        json!({"intervals": totals.intervals(), "running_ns": totals.running_ns(),
        "uncovered_ns": totals.uncovered_ns(), "counters": of(totals)})
    };
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
        "ratio to running time in classes of lengths under Poisson sampling, less the mean of null readings, linearised variance, Student's t (Särndal, Swensson and Wretman 1992, 5.6, 7.3 and 7.6); limits where the sample cannot say"
    );
    value["reading_ns"] = json!(counters.reading_ns);
    value["unread_ns"] = json!(counters.unread_ns);
    value["sites"] = json!(sites);
    value
}
