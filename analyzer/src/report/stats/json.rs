//! The statistics as JSON. Times are ns.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::{counters, hogs};
use super::{Latency, PERCENTILES, Part};

/// A latency distribution as JSON, ns.
pub fn latency(l: &Latency) -> Value {
    let mut value = json!({"n": l.len(), "max_ns": l.max(), "mean_ns": l.mean()});
    for p in PERCENTILES {
        value[format!("p{p}_ns")] = json!(l.percentile(*p));
    }
    value
}

/// A process.
pub fn json(part: &Part<'_>) -> Value {
    let Part {
        process,
        stats,
        passed,
        names,
        sites,
    } = part;
    let by_cause: BTreeMap<_, _> = stats
        .by_cause
        .iter()
        .map(|(c, l)| (*c, latency(l)))
        .collect();
    let kinds: BTreeMap<_, _> = stats.kinds.iter().map(|(k, n)| (k.name(), n)).collect();
    let sites: Vec<Value> = sites
        .iter()
        .map(|s| {
            json!({
                "site": names.site(s.site), "gs": s.gs, "starts": s.starts, "running_ns": s.running,
                "runnable_ns": s.runnable, "waiting_ns": s.waiting, "syscall_ns": s.syscall,
                "median_running_ns": s.median_running, "worst_latency_ns": s.worst_latency,
            })
        })
        .collect();
    let ps: BTreeMap<_, _> = stats.ps.iter().map(|(p, s)| (p.to_string(), s)).collect();
    let ms: BTreeMap<_, _> = stats.ms.iter().map(|(m, s)| (m.to_string(), s)).collect();
    let waits: BTreeMap<_, _> = stats
        .waits
        .iter()
        .map(|(r, (n, ns))| (*r, json!({"n": n, "ns": ns})))
        .collect();
    let steals: Vec<Value> = stats
        .steals
        .iter()
        .map(|((thief, victim), (n, gs))| json!({"thief": thief.0, "victim": victim.0, "n": n, "gs": gs}))
        .collect();
    let gs: Vec<Value> = stats
        .longest()
        .iter()
        .map(|l| {
            json!({
                "g": l.g.0, "site": names.site(l.site), "starts": l.starts, "running_ns": l.running,
                "runnable_ns": l.runnable, "waiting_ns": l.waiting, "syscall_ns": l.syscall, "ended": l.ended,
            })
        })
        .collect();
    json!({
        "process": process.process,
        "events": passed.events,
        "from_ns": passed.first_ts,
        "to_ns": passed.last_ts,
        "clamped": {"n": passed.clamped.n, "max_ns": passed.clamped.max_ns},
        "gs": stats.gs.len(),
        "utilisation": stats.utilisation(),
        "most_threads": stats.most_threads(),
        "latency": latency(&stats.latency),
        "latency_by_cause": by_cause,
        "kinds": kinds,
        "ps_ns": ps,
        "ms_ns": ms,
        "waits": waits,
        "steals": steals,
        "sites": sites,
        "longest_gs": gs,
        "hogs": hogs::json(&stats.hogs, names),
        "counters": stats.counters.as_ref().map(|c| counters::json(c, names)),
    })
}
