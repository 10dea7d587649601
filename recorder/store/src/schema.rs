//! The tables, the views, and the texts in the file that explain them.
//!
//! The SQL is the source of the texts: a comment line above a table or view is its meaning, the comment behind a column is the column's. The
//! columns of a view have no lines of their own: each is a line `--   name: meaning` above it.
//! The view `event_named` and the table `vocabulary` are generated from the event table in `gmp-trace`.

use std::fmt::Write;

use gmp_trace::event::{Column, Field, Kind};
use gmp_trace::tally::Tally;
use rusqlite::{Connection, params};

/// The version of the schema.
pub const VERSION: i64 = 1;

const TABLES: &str = include_str!("../schema/0001_init.sql");

const VIEWS: &[&str] = &[
    include_str!("../schema/views/wakeup.sql"),
    include_str!("../schema/views/steal.sql"),
    include_str!("../schema/views/handoff.sql"),
    include_str!("../schema/views/spawn_site.sql"),
    include_str!("../schema/views/own_total.sql"),
];

/// The columns of the view `event_named`.
const EVENT_NAMED: &str = "\
--   id: position in the order
--   run: the run
--   process: the process
--   ts: when, ns since the run's start
--   ms: the same in ms
--   m: the M that says so
--   m_seq: number of the event on that M
--   kind: name of the kind
--   p: the P that the M held
--   g: the G that it is about
--   by: the G that did it
--   seq: number of the move of the G or P
--   args: the arguments of the kind, name=value
";

/// One text of the table `help`.
#[derive(Debug, PartialEq, Eq)]
pub struct Help {
    /// A table or view.
    pub topic: String,
    /// A column; empty for the table itself.
    pub name: String,
    /// The meaning.
    pub doc: String,
}

/// Makes all tables and views in an empty database and fills those that explain it.
///
/// # Errors
/// What SQLite refuses.
pub fn create(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(TABLES)?;
    for view in VIEWS {
        db.execute_batch(view)?;
    }
    let named = event_named();
    db.execute_batch(&named)?;
    fill_vocabulary(db)?;
    let mut texts = help(TABLES);
    VIEWS.iter().for_each(|view| texts.extend(help(view)));
    texts.extend(help(&named));
    texts.extend(Tally::ALL.iter().map(|tally| Help {
        topic: "own_counter".into(),
        name: tally.name().into(),
        doc: tally.doc().trim().into(),
    }));
    texts.push(Help {
        topic: "own_counter".into(),
        name: "lost.KIND".into(),
        doc: "Events of a kind that the M lost; no row where it lost none".into(),
    });
    let mut insert = db.prepare("INSERT INTO help (topic, name, doc) VALUES (?, ?, ?)")?;
    for text in &texts {
        insert.execute(params![text.topic, text.name, text.doc])?;
    }
    let about = [
        ("format", "trace database of the gmp toolkit"),
        ("made_by", concat!("gmp-store ", env!("CARGO_PKG_VERSION"))),
    ];
    for (key, value) in about {
        db.execute("INSERT INTO meta VALUES (?, ?)", params![key, value])?;
    }
    Ok(())
}

fn fill_vocabulary(db: &Connection) -> rusqlite::Result<()> {
    let mut insert = db.prepare("INSERT INTO vocabulary VALUES (?, ?, ?, ?, ?, ?, ?)")?;
    for kind in Kind::ALL {
        let (number, spec) = (*kind as u8, kind.spec());
        insert.execute(params![
            number,
            spec.name,
            "",
            None::<String>,
            None::<String>,
            None::<String>,
            spec.doc.trim()
        ])?;
        for field in spec.fields {
            let words = (!field.words.is_empty()).then(|| {
                let map: serde_json::Map<_, _> = field
                    .words
                    .iter()
                    .map(|(n, word)| (n.to_string(), (*word).into()))
                    .collect();
                serde_json::Value::from(map).to_string()
            });
            insert.execute(params![
                number,
                spec.name,
                field.name,
                column_name(field.column),
                field.ty,
                words,
                field.doc.trim()
            ])?;
        }
    }
    Ok(())
}

/// The name of a column of `event`; `None` for what is kept in another table.
pub fn column_name(column: Column) -> Option<&'static str> {
    Some(match column {
        Column::P => "p",
        Column::G => "g",
        Column::Seq => "seq",
        Column::A1 => "a1",
        Column::A2 => "a2",
        Column::A3 => "a3",
        Column::A4 => "a4",
        Column::A5 => "a5",
        Column::A6 => "a6",
        Column::A7 => "a7",
        Column::Other => return None,
    })
}

/// The view that shows events with words: the arguments that have no column of their own name are one text.
fn event_named() -> String {
    let mut kinds = String::new();
    let mut args = String::new();
    for kind in Kind::ALL {
        let spec = kind.spec();
        let _ = write!(kinds, " WHEN {} THEN '{}'", *kind as u8, spec.name);
        let parts: Vec<String> = spec.fields.iter().filter_map(argument).collect();
        if !parts.is_empty() {
            let _ = write!(
                args,
                "\n    WHEN {} THEN ltrim({})",
                *kind as u8,
                parts.join(" || ")
            );
        }
    }
    format!(
        "-- Events with the names of their kinds and arguments.\n{EVENT_NAMED}\
         CREATE VIEW event_named AS\n\
         SELECT id, run, process, ts, ts / 1e6 AS ms, m, m_seq, CASE kind{kinds} END AS kind, p, g, by, seq,\n  \
         CASE kind{args} ELSE '' END AS args\nFROM event;\n"
    )
}

/// ` name=value` of one argument as SQL; nothing for a NULL.
fn argument(field: &Field) -> Option<String> {
    let column = column_name(field.column).filter(|c| c.starts_with('a'))?;
    let value = if field.words.is_empty() {
        column.to_owned()
    } else {
        let mut case = format!("CASE {column}");
        for (n, word) in field.words {
            let _ = write!(case, " WHEN {n} THEN '{word}'");
        }
        case + " END"
    };
    Some(format!("ifnull(' {}=' || {value}, '')", field.name))
}

/// The texts in a piece of the schema.
pub fn help(sql: &str) -> Vec<Help> {
    let mut texts = Vec::new();
    let mut above = Vec::new();
    let mut columns = Vec::new();
    let mut topic = String::new();
    for line in sql.lines() {
        if let Some(column) = line.strip_prefix("--   ") {
            columns.extend(column.split_once(": "));
        } else if let Some(comment) = line.strip_prefix("-- ") {
            above.push(comment);
        } else if let Some(rest) = line
            .strip_prefix("CREATE TABLE ")
            .or(line.strip_prefix("CREATE VIEW "))
        {
            let rest = rest.trim_start_matches("IF NOT EXISTS ");
            topic = rest.split([' ', '(']).next().unwrap_or_default().to_owned();
            texts.push(Help {
                topic: topic.clone(),
                name: String::new(),
                doc: above.join(" "),
            });
            above.clear();
            texts.extend(columns.drain(..).map(|(name, doc)| Help {
                topic: topic.clone(),
                name: name.to_owned(),
                doc: doc.to_owned(),
            }));
        } else if line.is_empty() {
            above.clear();
        } else if let Some((column, doc)) = line.split_once("-- ") {
            let name = column.split_whitespace().next().unwrap_or_default();
            texts.push(Help {
                topic: topic.clone(),
                name: name.trim_matches('"').to_owned(),
                doc: doc.to_owned(),
            });
        }
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> Connection {
        let db = Connection::open_in_memory().expect("a database");
        create(&db).expect("the schema");
        db
    }

    #[test]
    fn every_table_view_and_column_is_explained() {
        let db = made();
        let mut columns = db
            .prepare(
                "SELECT s.name, c.name FROM sqlite_schema s, pragma_table_info(s.name) c
                 WHERE s.type IN ('table', 'view')",
            )
            .expect("a query");
        let columns: Vec<(String, String)> = columns
            .query_map([], |r| Ok((r.get(0)?, r.get(1)?)))
            .and_then(Iterator::collect)
            .expect("the columns");
        assert!(columns.len() > 150, "only {}", columns.len());
        for (table, column) in columns {
            let explained = |name: &str| {
                db.query_row(
                    "SELECT length(doc) > 3 FROM help WHERE topic = ? AND name = ?",
                    [table.as_str(), name],
                    |r| r.get::<_, bool>(0),
                )
            };
            assert_eq!(explained(""), Ok(true), "{table}");
            assert_eq!(explained(&column), Ok(true), "{table}.{column}");
        }
    }

    #[test]
    fn every_view_can_be_read() {
        let db = made();
        let names: Vec<String> = db
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'view'")
            .and_then(|mut q| q.query_map([], |r| r.get(0))?.collect())
            .expect("the views");
        assert_eq!(names.len(), VIEWS.len() + 1);
        for name in names {
            let rows: i64 = db
                .query_row(&format!("SELECT count(*) FROM {name}"), [], |r| r.get(0))
                .expect("readable");
            assert!(rows == 0, "{name}");
        }
    }

    #[test]
    fn the_vocabulary_is_in_the_file() {
        let db = made();
        let reason: String = db
            .query_row(
                "SELECT json_extract(words, '$.\"4\"') FROM vocabulary WHERE name = 'park' AND field = 'reason'",
                [],
                |r| r.get(0),
            )
            .expect("a word");
        assert_eq!(reason, "chan receive");
    }
}
