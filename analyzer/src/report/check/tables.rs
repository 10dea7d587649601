//! The tables that repeat what events tell: each row of `g`, `object` and `span` says what the events about it say, no more and no less.
//!
//! There are millions of these rows, and they are in another order than the events. So what the events tell and what the rows tell are each
//! brought to one sum, in one pass and without memory; only where the sums differ are the events read once more, each with its row.
//!
//! After a loss a thing may be known from the middle of its life only: then its row may tell less than the events.

use std::hash::{DefaultHasher, Hash, Hasher};

use gmp_store::entity::Process;
use gmp_store::rusqlite::types::ValueRef;
use gmp_store::rusqlite::{self, Row};
use gmp_store::scan::Scan;
use gmp_store::{EventRow, Store, StoreError};
use gmp_trace::event::{Event, Kind};

use super::Checked;
use crate::model::Violation;

const RULE: &str = "tables = events";

/// The most columns that one event tells of.
const WIDTH: usize = 6;

/// One fact: the number of a thing, and what is told of it in one event.
type Fact = [Option<i64>; WIDTH];

/// The words that a column holds, with the numbers that events have for them; none if it holds numbers.
type Words = &'static [(u64, &'static str)];

/// A cell that no event can have told.
const NEVER: i64 = i64::MIN;

/// What one kind of event tells of a thing, as a table keeps it.
struct Telling {
    of: Kind,
    table: &'static str,
    /// The columns of a [`Fact`], that with the thing's number first.
    columns: &'static [&'static str],
}

const TELLINGS: [Telling; 5] = [
    Telling {
        of: Kind::Spawn,
        table: "g",
        columns: &["g", "kind", "parent", "site", "spawn_ts"],
    },
    Telling {
        of: Kind::Exit,
        table: "g",
        columns: &["g", "exit_ts"],
    },
    Telling {
        of: Kind::Object,
        table: "object",
        columns: &["object", "kind", "site"],
    },
    Telling {
        of: Kind::SpanOpen,
        table: "span",
        columns: &["span", "parent", "name", "fields", "g", "open_ts"],
    },
    Telling {
        of: Kind::SpanClose,
        table: "span",
        columns: &["span", "close_ts"],
    },
];

/// What an event tells: which [`Telling`] it is, and the fact.
fn told(row: &EventRow) -> Option<(usize, Fact)> {
    let number = |n: u64| (n != 0).then_some(n as i64);
    let mut fact = [None; WIDTH];
    let cells: &[Option<i64>] = match row.event {
        Event::Spawn { g, kind, site, .. } => &[
            number(g.0),
            Some(kind as i64),
            number(row.by.0),
            number(site.0.into()),
            Some(row.ts),
        ],
        Event::Exit { .. } => &[number(row.g.0), Some(row.ts)],
        Event::Object { object, kind, site } => {
            &[number(object.0), Some(kind as i64), number(site.0.into())]
        }
        Event::SpanOpen {
            span,
            parent,
            name,
            fields,
        } => &[
            number(span.0),
            number(parent.0),
            Some(name.0.into()),
            Some(fields.0.into()),
            number(row.g.0),
            Some(row.ts),
        ],
        Event::SpanClose { span } => &[number(span.0), Some(row.ts)],
        _ => return None,
    };
    fact[..cells.len()].copy_from_slice(cells);
    let telling = TELLINGS.iter().position(|t| t.of == row.event.kind())?;
    Some((telling, fact))
}

impl Telling {
    /// What a row tells. `words`: of each column.
    fn fact(&self, row: &Row<'_>, words: &[Words; WIDTH]) -> rusqlite::Result<Fact> {
        let mut fact = [None; WIDTH];
        for (at, cell) in fact.iter_mut().enumerate().take(self.columns.len()) {
            *cell = match (row.get_ref(at)?, words[at]) {
                (ValueRef::Null, _) => None,
                (ValueRef::Integer(n), []) => Some(n),
                (ValueRef::Text(text), words) => {
                    let word = words.iter().find(|(_, word)| word.as_bytes() == text);
                    Some(word.map_or(NEVER, |(n, _)| *n as i64))
                }
                _ => Some(NEVER),
            };
        }
        Ok(fact)
    }

    /// The words of each column, by the vocabulary of events.
    fn words(&self) -> [Words; WIDTH] {
        let mut words: [Words; WIDTH] = [&[]; WIDTH];
        for (words, column) in words.iter_mut().zip(self.columns) {
            let field = self.of.spec().fields.iter().find(|f| f.name == *column);
            *words = field.map_or(*words, |f| f.words);
        }
        words
    }

    fn sql(&self) -> String {
        let Telling { table, columns, .. } = self;
        format!(
            "SELECT {} FROM {table} WHERE run = ? AND process = ?",
            columns.join(", ")
        )
    }
}

/// Whether a row tells anything of this.
fn tells(fact: &Fact) -> bool {
    fact[1..].iter().any(Option::is_some)
}

/// A bag of facts of which only this is kept: how many there are, and the sum of their hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bag {
    n: u64,
    sum: u64,
}

impl Bag {
    fn add(&mut self, fact: &Fact) {
        let mut hasher = DefaultHasher::new();
        fact.hash(&mut hasher);
        self.n += 1;
        self.sum = self.sum.wrapping_add(hasher.finish());
    }
}

/// What the events of a process tell.
#[derive(Debug, Default)]
pub struct Tables([Bag; TELLINGS.len()]);

impl Tables {
    /// The next event.
    pub fn event(&mut self, row: &EventRow) {
        if let Some((telling, fact)) = told(row) {
            self.0[telling].add(&fact);
        }
    }

    /// Compares with what the tables say. `lossy`: events are missing.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn finish(
        &self,
        store: &Store,
        process: &Process,
        lossy: bool,
        checked: &mut Checked,
    ) -> anyhow::Result<()> {
        let mut differ = [false; TELLINGS.len()];
        let mut too_many = [None; TELLINGS.len()];
        for (at, telling) in TELLINGS.iter().enumerate() {
            let kept = kept(store, process, telling).map_err(store.sql())?;
            let by_events = self.0[at];
            differ[at] = kept != by_events;
            too_many[at] = Some(kept.n.saturating_sub(by_events.n)).filter(|n| *n > 0);
        }
        if differ.contains(&true) {
            let named = name(store, process, &differ, lossy, checked)?;
            for (at, telling) in TELLINGS.iter().enumerate() {
                let what = match too_many[at] {
                    Some(n) => format!("{n} rows more than events say what is in them"),
                    // Each event has its row, and yet they are not the same: two rows are of one thing, or one is told of twice.
                    None if differ[at] && !named[at] && !lossy => {
                        "the events say other than the rows".to_owned()
                    }
                    None => continue,
                };
                let columns = telling.columns.join(", ");
                checked.whole(
                    RULE,
                    format!(
                        "table {} of process {}, columns {columns}: {what}",
                        telling.table, process.process
                    ),
                );
            }
        }
        Ok(())
    }
}

/// What a table keeps of a telling.
fn kept(store: &Store, process: &Process, telling: &Telling) -> rusqlite::Result<Bag> {
    let mut bag = Bag::default();
    let words = telling.words();
    let mut statement = store.db().prepare(&telling.sql())?;
    let mut rows = statement.query((process.run, process.process))?;
    while let Some(row) = rows.next()? {
        let fact = telling.fact(row, &words)?;
        if tells(&fact) {
            bag.add(&fact);
        }
    }
    Ok(bag)
}

/// Names each event whose row says something else, of the tellings that differ; of which there were any.
fn name(
    store: &Store,
    process: &Process,
    differ: &[bool; TELLINGS.len()],
    lossy: bool,
    checked: &mut Checked,
) -> anyhow::Result<[bool; TELLINGS.len()]> {
    let mut named = [false; TELLINGS.len()];
    for row in Scan::process(store, process)? {
        let row = match row {
            // Named already.
            Err(StoreError::Damaged { .. }) => continue,
            row => row?,
        };
        let Some((at, by_event)) = told(&row).filter(|(at, _)| differ[*at]) else {
            continue;
        };
        let telling = &TELLINGS[at];
        let kept = look_up(store, process, telling, by_event[0]).map_err(store.sql())?;
        let what = match kept {
            Some(kept) if kept == by_event => continue,
            Some(kept) if lossy && !tells(&kept) => continue,
            None if lossy => continue,
            Some(kept) => different(telling, &kept, &by_event),
            None => "has no row".to_owned(),
        };
        named[at] = true;
        let number = by_event[0].unwrap_or(0);
        checked.add(Violation {
            event: row.id,
            ts: row.ts,
            rule: RULE,
            what: format!(
                "table {}, {} {number}: {what}",
                telling.table, telling.columns[0]
            ),
        });
    }
    Ok(named)
}

fn look_up(
    store: &Store,
    process: &Process,
    telling: &Telling,
    number: Option<i64>,
) -> rusqlite::Result<Option<Fact>> {
    let sql = format!("{} AND {} IS ?", telling.sql(), telling.columns[0]);
    let mut statement = store.db().prepare_cached(&sql)?;
    let mut rows = statement.query((process.run, process.process, number))?;
    rows.next()?
        .map(|row| telling.fact(row, &telling.words()))
        .transpose()
}

fn different(telling: &Telling, kept: &Fact, by_event: &Fact) -> String {
    let text = |cell: Option<i64>| match cell {
        None => "NULL".to_owned(),
        Some(NEVER) => "something else".to_owned(),
        Some(n) => n.to_string(),
    };
    let cells = telling.columns.iter().zip(kept.iter().zip(by_event));
    let different = cells.filter(|(_, (kept, by_event))| kept != by_event);
    let parts: Vec<String> = different
        .map(|(column, (kept, by_event))| {
            format!(
                "{column} is {}, by the event {}",
                text(*kept),
                text(*by_event)
            )
        })
        .collect();
    parts.join("; ")
}
