//! Databases of every version that was ever released still open: `tests/golden/v1.db` and, later, its successors.
//!
//! They are never made anew. `v1.db` is `gmp-workloads yield-points --rounds 4`, recorded with 2 Ps.

use std::path::Path;

use gmp_store::Store;
use gmp_store::entity::{Clock, G, M, OwnCounter, Process, RunParam, Sites};
use gmp_store::run::Run;
use gmp_store::scan::Scan;

#[test]
fn version_1_opens_and_says_what_it_always_said() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1.db");
    let store = Store::open(&path).expect("it opens");
    let run = Run::find(&store, "golden").expect("its run");
    assert_eq!(
        (run.status.as_str(), run.procs, run.lost, run.unordered),
        ("ok", Some(2), 0, 0)
    );
    let processes = Process::all(&store, run.run).expect("its processes");
    assert_eq!(processes.len(), 1);
    let events: Vec<_> = Scan::process(&store, &processes[0])
        .and_then(Iterator::collect)
        .expect("its events");
    assert_eq!(events.len() as i64, run.events);
    let spawns = events
        .iter()
        .filter(|e| e.event.kind().name() == "spawn")
        .count();
    assert_eq!(spawns, G::all(&store, run.run).expect("its Gs").len());
    let own = OwnCounter::all(&store, run.run).expect("its counters");
    let counted: i64 = own
        .iter()
        .filter(|c| c.name == "spawns")
        .map(|c| c.value)
        .sum();
    assert_eq!(counted, spawns as i64);
    let g = &G::all(&store, run.run).expect("its Gs")[0];
    let sites = Sites::of(&store, run.run).expect("its sites");
    assert!(
        sites
            .name(g.process, g.site.expect("a site"))
            .starts_with("yield_points.rs:")
    );
    assert!(
        M::all(&store, run.run)
            .expect("its Ms")
            .iter()
            .any(|m| m.kind.as_deref() == Some("sysmon"))
    );
    assert!(Clock::all(&store, run.run).expect("its clocks").len() >= 2);
    let params = RunParam::all(&store, run.run).expect("its parameters");
    assert!(params.iter().any(|p| p.name == "tag.kind"));
    for view in [
        "event_named",
        "wakeup",
        "steal",
        "handoff",
        "spawn_site",
        "own_total",
    ] {
        let sql = format!("SELECT count(*) FROM {view}");
        let rows: i64 = store
            .db()
            .query_row(&sql, [], |r| r.get(0))
            .expect("readable");
        assert!(rows >= 0, "{view}");
    }
}
