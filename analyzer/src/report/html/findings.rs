//! At most five findings in plain sentences, each with its figure and its evidence, the gravest first.
//!
//! Each rule looks at one thing and speaks only when it is out of the ordinary; the thresholds stand beside the rules.

use gmp_store::run::Run;
use gmp_trace::event::Kind;
use serde_json::{Value, json};

use super::super::hogs::ADVICE;
use super::super::stats::Stats;
use super::collect::Collected;
use crate::frame::SiteTimes;
use crate::time::{at, human};

/// Findings that are shown.
const MOST: usize = 5;

struct Finding {
    /// How grave, from 0 to 1.
    weight: f64,
    value: Value,
}

/// Looks for them.
pub fn find(run: &Run, stats: &Stats, collected: &Collected, sites: &[SiteTimes]) -> Vec<Value> {
    let mut found: Vec<Finding> = [
        lost(run),
        idle_beside_work(collected, stats),
        hogs(stats, collected),
        latency(stats, collected),
        imbalance(collected),
        one_site(sites, collected, stats),
        threads(run, stats),
        retakes(stats),
        overflows(stats),
        utilisation(stats),
    ]
    .into_iter()
    .flatten()
    .collect();
    found.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    found.truncate(MOST);
    found.into_iter().map(|f| f.value).collect()
}

fn finding(
    weight: f64,
    figure: String,
    sentence: String,
    evidence: String,
    link: &str,
) -> Option<Finding> {
    let value = json!({"figure": figure, "sentence": sentence, "evidence": evidence, "link": link});
    Some(Finding { weight, value })
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

fn lost(run: &Run) -> Option<Finding> {
    let share = run.lost as f64 / (run.lost + run.events).max(1) as f64;
    if run.lost == 0 {
        return None;
    }
    finding(
        1.0,
        percent(share),
        "of the events were lost: what happened meanwhile is unknown, and in no figure on this page.".into(),
        format!(
            "{} of {} events did not fit the spool; --spool-limit gives it more room. Lengths of queues are estimates around the gaps.",
            run.lost,
            run.lost + run.events
        ),
        "quality",
    )
}

/// More than a hundredth of the time.
fn idle_beside_work(collected: &Collected, stats: &Stats) -> Option<Finding> {
    let wasted = collected.idle_beside_work();
    let all = stats
        .ps
        .values()
        .next()
        .map_or(0, |s| s.values().sum::<i64>());
    let share = wasted as f64 / all.max(1) as f64;
    if share < 0.01 {
        return None;
    }
    finding(
        0.5 + share / 2.0,
        percent(share),
        "of the time a P was idle while Gs were queued.".into(),
        format!(
            "{} of {}, by bins in which a P or more was idle and a queue held two Gs or more.",
            human(wasted),
            human(all)
        ),
        "queues",
    )
}

/// Every one that ran on for longer than a time slice.
fn hogs(stats: &Stats, collected: &Collected) -> Option<Finding> {
    let hog = stats.hogs.longest.first()?;
    let (w, names) = (&hog.what, collected.names());
    let margin = (w.ran() / 10).max(1_000);
    let slices = w.ignored() as f64 / stats.hogs.time_slice.max(1) as f64;
    let value = json!({
        "figure": human(w.ignored()),
        "sentence": format!("is how long {} from {} ran on after it was asked to give way.", w.g, names.site(hog.site)),
        "evidence": format!("{}. In all, {}; {}.", hog.sentence(names), stats.hogs.sentence(), ADVICE),
        "window": [w.from - margin, w.to + margin],
    });
    let weight = (0.5 + slices.log10() / 5.0).min(0.95);
    Some(Finding { weight, value })
}

/// A tail more than a hundred times the median, or a wait of over a millisecond.
fn latency(stats: &Stats, collected: &Collected) -> Option<Finding> {
    let slowest = stats.slowest.first()?;
    let median = stats.latency.percentile(50.0)?.max(1);
    let ratio = slowest.latency() as f64 / median as f64;
    if ratio < 100.0 && slowest.latency() < 1_000_000 {
        return None;
    }
    let site = collected.names().site(collected.site_of(slowest.g));
    let margin = (slowest.latency() / 10).max(1_000);
    let sentence = format!(
        "is the longest that a G waited for a P: {} from {site}, made runnable by {}.",
        slowest.g,
        if slowest.by.is_some() {
            slowest.by.to_string()
        } else {
            slowest.cause.word().into()
        }
    );
    let evidence = format!(
        "The median wait is {}; this one began at {}.",
        human(median as i64),
        at(slowest.ready_ts)
    );
    let value = json!({
        "figure": human(slowest.latency()), "sentence": sentence, "evidence": evidence,
        "window": [slowest.ready_ts - margin, slowest.start_ts + margin],
    });
    let weight = (0.35 + ratio.log10() / 20.0).min(0.9);
    Some(Finding { weight, value })
}

/// The busiest P ran more than a fifth of the time longer than the least busy.
fn imbalance(collected: &Collected) -> Option<Finding> {
    let shares = collected.busy_shares();
    let most = shares.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let least = shares.iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
    let gap = most.1 - least.1;
    if gap < 0.2 {
        return None;
    }
    finding(
        0.3 + gap / 2.0,
        format!("{} : {}", percent(most.1), percent(least.1)),
        format!(
            "is how unevenly the Ps ran Gs: P{} against P{}.",
            most.0, least.0
        ),
        "A spread load keeps all Ps alike; see the row of each P.".into(),
        "utilisation",
    )
}

/// One place accounts for most of the time that Gs waited for a P.
fn one_site(sites: &[SiteTimes], collected: &Collected, stats: &Stats) -> Option<Finding> {
    let all: i64 = sites.iter().map(|s| s.runnable).sum();
    let worst = sites.iter().max_by_key(|s| s.runnable)?;
    let share = worst.runnable as f64 / all.max(1) as f64;
    let running: i64 = sites.iter().map(|s| s.running).sum();
    if sites.len() < 2 || share < 0.5 || all < running / 5 {
        return None;
    }
    finding(
        0.25 + share / 5.0,
        percent(share),
        format!(
            "of all waiting for a P falls on Gs spawned at {}.",
            collected.names().site(worst.site)
        ),
        format!(
            "{} of {} over {} starts.",
            human(worst.runnable),
            human(all),
            stats.count(Kind::Start)
        ),
        "sites",
    )
}

/// Twice as many threads as Ps.
fn threads(run: &Run, stats: &Stats) -> Option<Finding> {
    let procs = run.procs?.max(1);
    let most = stats.most_threads()?;
    // sysmon and one that polls are always there.
    if most <= 2 * procs + 2 {
        return None;
    }
    finding(
        0.3,
        most.to_string(),
        format!("threads at once for {procs} Ps: Gs that block in system calls each hold one."),
        format!(
            "{} system calls, {} Ps retaken from them.",
            stats.count(Kind::SyscallEnter),
            stats.count(Kind::Retake)
        ),
        "threads",
    )
}

/// A tenth of the system calls, and more than ten.
fn retakes(stats: &Stats) -> Option<Finding> {
    let (calls, retakes) = (stats.count(Kind::SyscallEnter), stats.count(Kind::Retake));
    let share = retakes as f64 / calls.max(1) as f64;
    if retakes < 10 || share < 0.1 {
        return None;
    }
    finding(
        0.3 + share / 5.0,
        percent(share),
        "of the system calls lasted so long that sysmon took their P away.".into(),
        format!(
            "{retakes} of {calls}; `blocking` gives the P up at once where that is known beforehand."
        ),
        "threads",
    )
}

/// More than ten.
fn overflows(stats: &Stats) -> Option<Finding> {
    let overflows = stats.count(Kind::Overflow);
    if overflows < 10 {
        return None;
    }
    finding(
        0.2,
        overflows.to_string(),
        "times a P's queue was full and gave half to the global queue.".into(),
        "One P spawns faster than the others steal; the global queue has a lock that all Ps share."
            .into(),
        "queues",
    )
}

/// Said when nothing else is: how busy the Ps were.
fn utilisation(stats: &Stats) -> Option<Finding> {
    let share = stats.utilisation()?;
    let (word, weight) = if share < 0.5 {
        ("only ", 0.22)
    } else {
        ("", 0.05)
    };
    finding(
        weight,
        percent(share),
        format!("of the Ps' time {word}ran Gs."),
        "The rest is idle, looking for work, in system calls, or stopped.".into(),
        "utilisation",
    )
}
