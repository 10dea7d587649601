//! The statistics as text.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Write;

use gmp_trace::event::Kind;

use super::super::{counters, hogs};
use super::collect::{States, UNKNOWN};
use super::{Latency, PERCENTILES, Part, SHOWN, Stats};
use crate::frame::SiteTimes;
use crate::names::Names;
use crate::time::human;
use crate::words::count;

/// Prints a process.
///
/// # Errors
/// When the output cannot be written.
pub fn text(part: &Part<'_>, out: &mut dyn Write) -> anyhow::Result<()> {
    let Part {
        stats,
        passed,
        names,
        sites,
        ..
    } = part;
    let selection = &stats.selection;
    if selection.has_times() {
        latencies(stats, out)?;
    }
    if selection.has_ps() {
        ps(stats, out)?;
    }
    if selection.has_ms() {
        ms(stats, out)?;
    }
    if selection.has_times() {
        spawn_sites(names, sites, out)?;
        if let Some(of) = &stats.counters {
            counters::text(of, names, out)?;
        }
        hogs::text(&stats.hogs, names, out)?;
        waits_and_gs(stats, names, out)?;
    } else {
        writeln!(out, "events")?;
        for kind in &selection.kinds {
            writeln!(out, "  {:<26}{:>10}", kind.name(), stats.count(*kind))?;
        }
    }
    if selection.has_kind(Kind::Steal) {
        writeln!(out, "\nsteals (thief from victim)")?;
        for ((thief, victim), (n, gs)) in &stats.steals {
            let (n, gs) = (count(*n, "time"), count(*gs, "G"));
            writeln!(out, "  {thief} from {victim}: {n}, {gs}")?;
        }
    }
    writeln!(
        out,
        "\n{} in {}; {} moved so that intervals tile",
        count(passed.events, "event"),
        human(passed.last_ts - passed.first_ts),
        count(passed.clamped.n, "time")
    )?;
    Ok(())
}

fn latencies(stats: &Stats, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "scheduling latency (from runnable to running)")?;
    let line = |out: &mut dyn Write, name: &str, l: &Latency| -> anyhow::Result<()> {
        write!(out, "  {name:<26}{:>10}", l.len())?;
        for p in PERCENTILES {
            match l.percentile(*p) {
                Some(v) => write!(out, "{:>11}", human(v as i64))?,
                None => write!(out, "{:>11}", "-")?,
            }
        }
        Ok(writeln!(out, "{:>11}", human(l.max() as i64))?)
    };
    writeln!(
        out,
        "  {:<26}{:>10}{:>11}{:>11}{:>11}{:>11}{:>11}",
        "", "starts", "p50", "p90", "p99", "p99.9", "max"
    )?;
    line(out, "all", &stats.latency)?;
    for (cause, latency) in &stats.by_cause {
        line(out, cause, latency)?;
    }
    Ok(())
}

/// A part of a time in percent.
fn share(part: i64, all: i64) -> String {
    if all == 0 {
        "-".to_owned()
    } else {
        format!("{:.1} %", 100.0 * part as f64 / all as f64)
    }
}

fn ps(stats: &Stats, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "\nPs")?;
    let words = ["running", "scheduling", "syscall", "idle", "stopped"];
    shares(&words, &stats.ps, usize::MAX, out)
}

fn ms(stats: &Stats, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "\nMs")?;
    let words = [
        "running",
        "spinning",
        "scheduling",
        "syscall",
        "polling",
        "parked",
        "monitoring",
    ];
    shares(&words, &stats.ms, SHOWN, out)?;
    let most = stats.most_threads().unwrap_or(0);
    writeln!(out, "  at most {} at once", count(most, "thread"))?;
    Ok(())
}

/// A line for each subject, the first `most` of them: which share of its time it was in each state.
fn shares<I: Display>(
    words: &[&str],
    of: &BTreeMap<I, States>,
    most: usize,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut words = words.to_vec();
    // Only where events were lost.
    words.extend(
        of.values()
            .any(|s| s.contains_key(UNKNOWN))
            .then_some(UNKNOWN),
    );
    write!(out, "  {:<6}", "")?;
    for word in &words {
        write!(out, "{word:>12}")?;
    }
    writeln!(out, "{:>12}", "in all")?;
    for (subject, times) in of.iter().take(most) {
        let all: i64 = times.values().sum();
        write!(out, "  {:<6}", subject.to_string())?;
        for word in &words {
            let time = times.get(word).copied().unwrap_or(0);
            write!(out, "{:>12}", share(time, all))?;
        }
        writeln!(out, "{:>12}", human(all))?;
    }
    if of.len() > most {
        writeln!(out, "  ... and {} more", of.len() - most)?;
    }
    Ok(())
}

fn spawn_sites(names: &Names, sites: &[SiteTimes], out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "\nspawn sites")?;
    writeln!(
        out,
        "  {:<28}{:>9}{:>10}{:>11}{:>11}{:>11}{:>11}{:>14}",
        "", "Gs", "starts", "running", "runnable", "waiting", "syscall", "worst latency"
    )?;
    for s in sites.iter().take(SHOWN) {
        writeln!(
            out,
            "  {:<28}{:>9}{:>10}{:>11}{:>11}{:>11}{:>11}{:>14}",
            names.site(s.site),
            s.gs,
            s.starts,
            human(s.running),
            human(s.runnable),
            human(s.waiting),
            human(s.syscall),
            human(s.worst_latency)
        )?;
    }
    if sites.len() > SHOWN {
        writeln!(out, "  ... and {} more", sites.len() - SHOWN)?;
    }
    Ok(())
}

fn waits_and_gs(stats: &Stats, names: &Names, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "\nwaits")?;
    for (reason, (n, time)) in &stats.waits {
        writeln!(
            out,
            "  {reason:<20}{n:>10} times{:>12} in all",
            human(*time)
        )?;
    }
    writeln!(out, "\nGs that ran longest (of {})", stats.gs.len())?;
    writeln!(
        out,
        "  {:<8}{:<28}{:>9}{:>11}{:>11}{:>11}{:>11}",
        "", "spawned at", "starts", "running", "runnable", "waiting", "syscall"
    )?;
    for life in stats.longest() {
        writeln!(
            out,
            "  {:<8}{:<28}{:>9}{:>11}{:>11}{:>11}{:>11}",
            life.g.to_string(),
            names.site(life.site),
            life.starts,
            human(life.running),
            human(life.runnable),
            human(life.waiting),
            human(life.syscall)
        )?;
    }
    Ok(())
}
