//! Recorded and lost together are what the runtime counted: of each M, for each of its counters.
//!
//! What each M lost of which kind is in the spool and in the database beside what it counted (`lost.KIND`). Of a killed process each writer
//! may have counted one step that it did not come to record, or the other way round; a step is at most a few events one inside the
//! other, such as a `ready` whose ring overflows.

use std::collections::{BTreeMap, BTreeSet};

use gmp_store::entity::{Lost, OwnCounter, Process};
use gmp_store::{EventRow, Store, rusqlite};
use gmp_trace::event::Kind;
use gmp_trace::ids::MId;
use gmp_trace::tally::{Equals, Tally};
use rustc_hash::FxHashMap;

use super::Checked;

const RULE: &str = "recorded = counted";
/// The most events of one step: a hand-off that wakes an M, a ready that overflows a ring.
const STEP: u64 = 3;

/// What was recorded, by the M that did.
pub struct Counts {
    by_m: FxHashMap<MId, Vec<u64>>,
    of_kind: Vec<Vec<Tally>>,
}

/// What one M counted and lost.
#[derive(Default)]
struct Counted {
    values: BTreeMap<String, u64>,
    /// Lost by the table of losses.
    lost: u64,
    /// Whether it is known of which kinds that is.
    kinds_known: bool,
}

impl Counted {
    fn lost_of(&self, kind: Kind) -> u64 {
        let name = format!("lost.{}", kind.name());
        self.values.get(&name).copied().unwrap_or(0)
    }
}

impl Counts {
    /// Nothing recorded yet.
    pub fn new() -> Counts {
        let mut of_kind = vec![Vec::new(); 256];
        for tally in Tally::ALL {
            if let Some(kind) = tally.equals().kind() {
                of_kind[kind as usize].push(*tally);
            }
        }
        Counts {
            by_m: FxHashMap::default(),
            of_kind,
        }
    }

    /// The next event.
    pub fn event(&mut self, row: &EventRow) {
        let counts = self
            .by_m
            .entry(row.m)
            .or_insert_with(|| vec![0; Tally::ALL.len()]);
        for tally in &self.of_kind[row.event.kind() as usize] {
            let count = &mut counts[*tally as usize];
            *count = count.saturating_add(tally.added_by(&row.event));
        }
    }

    /// Compares with what the process counted.
    pub fn finish(
        &self,
        store: &Store,
        process: &Process,
        checked: &mut Checked,
    ) -> anyhow::Result<()> {
        let mut counted: BTreeMap<MId, Counted> = BTreeMap::new();
        let own = OwnCounter::all(store, process.run)?.into_iter();
        for c in own.filter(|c| c.process == process.process) {
            let of_m = counted.entry(MId(c.m)).or_default();
            of_m.values.insert(c.name, c.value as u64);
        }
        let mut somewhere: u64 = 0;
        let losses = Lost::all(store, process.run)?.into_iter();
        for l in losses.filter(|l| l.process == process.process) {
            // What is damaged cannot be counted.
            let n = l.n.map_or(u64::MAX, |n| n as u64);
            let lost = match l.m.filter(|_| l.n.is_some()) {
                Some(m) => &mut counted.entry(MId(m)).or_default().lost,
                None => &mut somewhere,
            };
            *lost = lost.saturating_add(n);
        }
        let known = known_counters(store)?;
        let none = vec![0; Tally::ALL.len()];
        let ms: BTreeSet<MId> = counted.keys().chain(self.by_m.keys()).copied().collect();
        for m in ms {
            let recorded = self.by_m.get(&m).unwrap_or(&none);
            match counted.get_mut(&m) {
                Some(counted) if !counted.values.is_empty() => {
                    losses_agree(m, counted, process, checked);
                    let compared = Compared {
                        m,
                        recorded,
                        counted,
                        somewhere,
                        process,
                    };
                    compared.check(&known, checked);
                }
                // Its name may be among what was lost.
                _ if somewhere > 0 => {}
                _ => checked.whole(RULE, format!("{m} left events, but no counters")),
            }
        }
        Ok(())
    }
}

/// The counters that the runtimes had when the file was made; later ones may be there too.
fn known_counters(store: &Store) -> anyhow::Result<BTreeSet<String>> {
    let query = || -> rusqlite::Result<BTreeSet<String>> {
        store
            .db()
            .prepare("SELECT name FROM help WHERE topic = 'own_counter'")?
            .query_map([], |r| r.get(0))?
            .collect()
    };
    Ok(query().map_err(store.sql())?)
}

/// The losses of an M by kind and in its stream are the same.
fn losses_agree(m: MId, counted: &mut Counted, process: &Process, checked: &mut Checked) {
    let of_kinds = counted
        .values
        .iter()
        .filter(|(name, _)| name.starts_with("lost."))
        .fold(0, |sum: u64, (_, n)| sum.saturating_add(*n));
    counted.kinds_known = of_kinds > 0 || counted.lost == 0;
    let unfinished = u64::from(!process.finished);
    if counted.kinds_known && of_kinds.abs_diff(counted.lost) > unfinished {
        checked.whole(
            "lost = counted",
            format!(
                "{m} counted {of_kinds} lost events, its stream lacks {}",
                counted.lost
            ),
        );
    }
}

/// What one M recorded, and what it counted.
struct Compared<'a> {
    m: MId,
    recorded: &'a [u64],
    counted: &'a Counted,
    /// Events lost by Ms that are not known.
    somewhere: u64,
    process: &'a Process,
}

impl Compared<'_> {
    fn check(&self, known: &BTreeSet<String>, checked: &mut Checked) {
        let mut missing = 0u64;
        let mut unfinished = 0u64;
        let mut off = 0u64;
        for tally in Tally::ALL {
            let Some(counted) = self.counted.values.get(tally.name()).copied() else {
                if known.contains(tally.name()) {
                    let m = self.m;
                    checked.whole(RULE, format!("{}: {m} did not count it", tally.name()));
                }
                continue;
            };
            let recorded = self.recorded[*tally as usize];
            let Some(kind) = tally.equals().kind() else {
                continue;
            };
            let is_count = matches!(tally.equals(), Equals::Count(_));
            let lost = self.counted.lost_of(kind);
            let certain = self.somewhere == 0 && self.counted.kinds_known;
            let fits = if !certain {
                let gone = counted.saturating_sub(recorded);
                missing = missing.saturating_add(if is_count { gone } else { 0 });
                recorded <= counted
            } else if is_count {
                let diff = recorded.saturating_add(lost).abs_diff(counted);
                off += u64::from(diff > 0);
                unfinished = unfinished.saturating_add(diff);
                diff <= u64::from(!self.process.finished)
            } else if lost > 0 {
                recorded <= counted
            } else if self.process.finished {
                recorded == counted
            } else {
                // The step that was not recorded may be of this kind, and a search goes on for a while.
                recorded <= counted || tally.equals() == Equals::Parks
            };
            if !fits {
                let lost = match lost {
                    0 => String::new(),
                    lost => format!(" and {lost} lost"),
                };
                checked.whole(
                    RULE,
                    format!(
                        "{}: {recorded} recorded{lost}, {counted} counted by {}",
                        tally.name(),
                        self.m
                    ),
                );
            }
        }
        let lost = self.counted.lost.saturating_add(self.somewhere);
        if missing > lost {
            let m = self.m;
            checked.whole(
                RULE,
                format!("{m} counted {missing} events that are not there, and lost only {lost}"),
            );
        }
        if off > STEP {
            let m = self.m;
            checked.whole(
                RULE,
                format!(
                    "{m} has {unfinished} unfinished steps, where a killed thread can have one"
                ),
            );
        }
    }
}
