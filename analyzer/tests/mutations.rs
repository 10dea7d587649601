//! `--report check` finds each change of one cell: of every column of every table, as the schema has them, or it is named here why it cannot.

mod recording;

use std::collections::{BTreeMap, BTreeSet};

use gmp_analyzer::report::Subject;
use gmp_analyzer::report::check::check;
use gmp_analyzer::select::Selection;
use gmp_store::Store;
use gmp_store::entity::Process;
use gmp_store::run::Run;
use gmp_store::rusqlite::types::Value;
use gmp_store::schema::column_name;
use gmp_trace::event::{Field, Kind};

use recording::Recording;

/// Cells of which a change need not show: `table.column`, for events `event.column kind`, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("run.label", "only the user knows"),
    ("run.command", "only the user knows"),
    ("run.cwd", "only the user knows"),
    ("run.kernel", "only the machine knew"),
    ("run.cpu_model", "only the machine knew"),
    ("run.cpus", "only the machine knew"),
    ("run.cpu_list", "only the machine knew"),
    ("run.smt", "only the machine knew"),
    ("run.event_cost_ns", "measured once"),
    ("run.spool_bytes", "measured once"),
    ("run.recorder_version", "only the recorder knew"),
    ("run.experiment", "reserved"),
    ("run.configuration", "reserved"),
    ("run.block", "reserved"),
    ("run.position", "reserved"),
    ("run.warmup", "reserved"),
    ("process.pid", "only the kernel knew"),
    ("process.parent", "only the kernel knew"),
    (
        "process.started_boottime_ns",
        "read once; no event may be before it",
    ),
    ("process_info.key", "a fact that nothing repeats"),
    ("process_info.value", "a fact that nothing repeats"),
    (
        "clock.monotonic_raw_ns",
        "another clock, which may run at another rate",
    ),
    (
        "clock.boottime_ns",
        "another clock; of the first reading it is checked",
    ),
    (
        "clock.realtime_ns",
        "another clock; of the first reading it is checked",
    ),
    ("clock.uncertainty_ns", "measured once"),
    ("site.file", "only the program knew"),
    ("site.line", "only the program knew"),
    ("site.col", "only the program knew"),
    ("counter_def.unit", "only explains"),
    ("counter.enabled_ns", "only the kernel counted"),
    ("counter.running_ns", "only the kernel counted"),
    ("counter.c0", "only the kernel counted"),
    ("counter.c1", "only the kernel counted"),
    ("counter.c2", "only the kernel counted"),
    ("counter.c3", "only the kernel counted"),
    ("counter.c4", "only the kernel counted"),
    ("counter.c5", "only the kernel counted"),
    ("counter.c6", "only the kernel counted"),
    ("counter.c7", "only the kernel counted"),
    (
        "counter.event",
        "between two events of its M, and so is the next one",
    ),
    (
        "counter.ts",
        "lies between two events of its M, and so does the changed one",
    ),
    ("event_note.event", "another event may be noted as well"),
    ("lost.why", "only the recorder knew"),
    (
        "event.a1 procs",
        "but for the first, only the upper bound of the Ps that are used",
    ),
    ("event.a1 park", "one kind of object has several reasons"),
    (
        "event.a2 park",
        "another object of the same kind may be waited for",
    ),
    (
        "event.a2 start",
        "a single G may be taken from the global queue by any rule",
    ),
    ("event.a1 exit", "only the program knew"),
    (
        "event.a1 preempt_request",
        "the request is a hint, which may reach another M",
    ),
    (
        "event.p preempt_request",
        "the request is a hint, which may be late",
    ),
    ("event.a3 preempt_request", "measured once"),
    (
        "event.a4 preempt_request",
        "whether the signal was sent is counted in all only",
    ),
    (
        "event.a2 spin_stop",
        "passes are told again by a steal only",
    ),
    ("event.a1 timer", "a P may run the timers of any other"),
    ("event.a2 timer", "measured once"),
    (
        "event.a1 p_stop",
        "a P that is let go for want of work while the world is being stopped",
    ),
    (
        "event.a1 handoff",
        "a P that becomes idle while the world is being stopped",
    ),
    (
        "event.a3 m_wake",
        "to work or to start: both may be after a stop",
    ),
    (
        "event.a4 m_wake",
        "one that is not woken to search may do so by itself",
    ),
    (
        "event.a4 steal",
        "others may have taken Gs of the thief and not said so yet",
    ),
    ("event.p assign", "any P may be meant"),
    (
        "event.a1 stw_begin",
        "a stop for ever that did not come to its end looks like any other",
    ),
    (
        "event.a2 netpoll",
        "at the end of the runtime an M without a P does not block",
    ),
    (
        "event.a1 preempt",
        "without runnext the G goes where it goes for either cause",
    ),
];

/// Tables of which no row is here, or which only explain the file.
const WITHOUT: &[(&str, &str)] = &[
    ("meta", "about the file, not about a run"),
    ("help", "explains the file"),
    ("vocabulary", "explains the file"),
    ("ingest_cursor", "empty when the ingest is done"),
    ("string", "no bundled program has spans"),
    ("span", "no bundled program has spans"),
    ("stack", "reserved"),
    ("frame", "reserved"),
    ("sample", "reserved"),
    ("kernel_switch", "reserved"),
];

/// Kinds of events that no recording here has for certain.
const RARE: &[(Kind, &str)] = &[
    (Kind::GStatus, "after a loss only"),
    (Kind::PStatus, "after a loss only"),
    (Kind::Notify, "reserved"),
    (Kind::Drain, "no bundled program changes the number of Ps"),
    (
        Kind::StwEnd,
        "no bundled program stops the world but at its end",
    ),
    (Kind::SpanOpen, "no bundled program has spans"),
    (Kind::SpanClose, "no bundled program has spans"),
    (Kind::SpanEnter, "no bundled program has spans"),
    (Kind::SpanExit, "no bundled program has spans"),
    (Kind::Counters, "in a table of its own"),
    (Kind::Blocked, "where the spool is full only"),
    (Kind::Retake, "where sysmon is in time only"),
    (Kind::SyscallExit, "where sysmon is not in time only"),
    (Kind::Preempt, "where a time slice is over only"),
    (Kind::PreemptRequest, "where a time slice is over only"),
];

/// The row that is changed of a table, where it matters which.
fn condition(table: &str, column: &str) -> &'static str {
    match (table, column) {
        // What the counter of signals equals is not recorded.
        ("own_counter", _) => "name = 'steals'",
        // Other threads may have any name.
        ("m", "name") => "kind = 'worker'",
        // Tags are the user's.
        ("run_param", _) => "name LIKE 'policy.%'",
        _ => "1",
    }
}

/// Other values for a cell.
fn others(table: &str, column: &str, is_key: bool, value: &Value) -> Vec<Value> {
    vec![match (table, column, value) {
        // Clocks and threads agree to within a little only.
        ("clock", "ticks", Value::Integer(n)) => Value::Integer(n + 1_000_000_000_000),
        ("event", "ts", Value::Integer(n)) => Value::Integer(n + 1_000_000_000_000),
        // 0 would claim less, and what is not claimed is not checked.
        ("process", "finished", _) => Value::Integer(2),
        // The next number may be taken.
        (_, _, Value::Integer(n)) if is_key => Value::Integer(n + 1_000_000),
        (_, _, Value::Null) => Value::Integer(1),
        (_, _, Value::Integer(n)) => Value::Integer(n + 1),
        (_, _, Value::Real(x)) => Value::Real(x * 1.5 + 1.0),
        (_, _, Value::Text(text)) => Value::Text(format!("{text}x")),
        (_, _, Value::Blob(bytes)) => Value::Blob([bytes.as_slice(), &[1]].concat()),
    }]
}

/// The field of a kind that a column of `event` holds.
fn field(kind: Kind, column: &str) -> Option<&'static Field> {
    let mut fields = kind.spec().fields.iter();
    fields.find(|f| column_name(f.column) == Some(column))
}

/// Every other word or truth that a field may say, else a number.
fn other_arguments(field: Option<&Field>, column: &str, value: &Value) -> Vec<Value> {
    match (field, value) {
        (Some(field), Value::Integer(n)) if !field.words.is_empty() => field
            .words
            .iter()
            .map(|(word, _)| Value::Integer(*word as i64))
            .filter(|word| *word != Value::Integer(*n))
            .chain([Value::Integer(99)])
            .collect(),
        (Some(field), Value::Integer(n)) if field.ty == "bool" => {
            vec![Value::Integer(1 - n), Value::Integer(2)]
        }
        _ => others("event", column, column == "id", value),
    }
}

fn is_clean(store: &Store) -> bool {
    let run = Run::find(store, "last").expect("a run");
    let processes = Process::all(store, run.run).expect("processes");
    let selection = Selection::default();
    let subject = Subject {
        store,
        run: &run,
        processes: &processes,
        selection: &selection,
        json: false,
    };
    check(&subject).expect("it can be read").is_clean()
}

/// Changes cells one by one and gathers those whose change is not found.
struct Changes<'a> {
    store: &'a Store,
    tried: BTreeSet<String>,
    missed: BTreeMap<String, String>,
}

impl Changes<'_> {
    /// Changes a cell of the middle row of those that a condition picks, in each of the ways.
    fn cell(
        &mut self,
        name: &str,
        table: &str,
        column: &str,
        condition: &str,
        ways: impl Fn(&Value) -> Vec<Value>,
    ) {
        let db = self.store.db();
        let number = format!("SELECT count(*) FROM {table} WHERE {condition}");
        let n: i64 = db.query_row(&number, [], |r| r.get(0)).expect("a number");
        if n == 0 || !self.tried.insert(name.to_owned()) {
            return;
        }
        let keys = keys(self.store, table);
        let quoted: Vec<String> = keys.iter().map(|k| format!("quote(\"{k}\")")).collect();
        let pick = format!(
            "SELECT \"{column}\", {} FROM {table} WHERE {condition} LIMIT 1 OFFSET {}",
            quoted.join(", "),
            n / 2
        );
        let (value, row): (Value, String) = db
            .query_row(&pick, [], |r| {
                let is = |(at, key): (usize, &String)| -> gmp_store::rusqlite::Result<String> {
                    Ok(format!("\"{key}\" = {}", r.get::<_, String>(at + 1)?))
                };
                let row: Result<Vec<_>, _> = keys.iter().enumerate().map(is).collect();
                Ok((r.get(0)?, row?.join(" AND ")))
            })
            .expect("a row");
        for other in ways(&value) {
            db.execute_batch("BEGIN").expect("begun");
            let change = format!("UPDATE {table} SET \"{column}\" = ? WHERE {row}");
            db.execute(&change, [&other])
                .unwrap_or_else(|e| panic!("{name}: {value:?} to {other:?}: {e}"));
            if is_clean(self.store) {
                let way = format!("{value:?} to {other:?} where {row}");
                self.missed.insert(name.to_owned(), way);
            }
            db.execute_batch("ROLLBACK").expect("undone");
        }
    }

    fn all(&mut self, table: &str) {
        let keys = keys(self.store, table);
        for column in columns(self.store, table) {
            if table == "event" {
                for kind in Kind::ALL {
                    let name = format!("event.{column} {}", kind.name());
                    let condition = format!("kind = {}", *kind as u8);
                    self.cell(&name, table, &column, &condition, |value| {
                        other_arguments(field(*kind, &column), &column, value)
                    });
                }
            } else {
                let name = format!("{table}.{column}");
                let condition = condition(table, &column);
                self.cell(&name, table, &column, condition, |value| {
                    others(table, &column, keys.contains(&column), value)
                });
            }
        }
    }
}

fn texts(store: &Store, sql: &str) -> Vec<String> {
    let mut statement = store.db().prepare(sql).expect("a query");
    let rows = statement.query_map([], |r| r.get(0)).expect("rows");
    rows.collect::<Result<_, _>>().expect("texts")
}

fn tables(store: &Store) -> Vec<String> {
    texts(
        store,
        "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name",
    )
}

fn columns(store: &Store, table: &str) -> Vec<String> {
    texts(
        store,
        &format!("SELECT name FROM pragma_table_info('{table}')"),
    )
}

/// What names a row.
fn keys(store: &Store, table: &str) -> Vec<String> {
    let sql = format!("SELECT name FROM pragma_table_info('{table}') WHERE pk > 0");
    match texts(store, &sql) {
        keys if keys.is_empty() => vec!["rowid".to_owned()],
        keys => keys,
    }
}

#[test]
fn each_change_of_one_cell_is_found() {
    let mut tried = BTreeSet::new();
    let mut missed = BTreeMap::new();
    let mut schema = BTreeSet::new();
    let mut readings = false;
    for (options, program) in [
        (
            &[
                "--procs",
                "3",
                "--policy",
                "place=round_robin,netpoll=thread",
                "--counters-every",
                "switch",
            ][..],
            &["yield-points", "--rounds", "5"][..],
        ),
        (
            &["--procs", "4"],
            &["steal-imbalance", "--tasks", "600", "--heavy", "60"],
        ),
        (&["--procs", "1"], &["queue-overflow", "--tasks", "600"]),
        (
            &["--procs", "2"],
            &["syscall-handoff", "--tasks", "20", "--rounds", "1000"],
        ),
        (
            &["--procs", "2", "--counters", "none"],
            &["netpoll", "--requests", "20"],
        ),
    ] {
        let r = Recording::of(options, program);
        let store = Store::open_writable(&r.path()).expect("a database");
        assert!(is_clean(&store), "{program:?}");
        let mut changes = Changes {
            store: &store,
            tried,
            missed,
        };
        readings |= !texts(&store, "SELECT name FROM counter_def WHERE available").is_empty();
        for table in tables(&store) {
            schema.insert(table.clone());
            if WITHOUT.iter().all(|(without, _)| *without != table) {
                changes.all(&table);
            }
        }
        (tried, missed) = (changes.tried, changes.missed);
    }
    // The tables that tell of losses.
    let r = Recording::of(
        &["--spool-limit", "4MiB", "--on-full", "drop", "--procs", "2"],
        &["yield", "--tasks", "50", "--yields", "10000"],
    );
    let store = Store::open_writable(&r.path()).expect("a database");
    assert!(is_clean(&store));
    let mut changes = Changes {
        store: &store,
        tried,
        missed,
    };
    changes.all("lost");
    changes.all("event_note");
    (tried, missed) = (changes.tried, changes.missed);

    let excepted = |name: &str| EXCEPTIONS.iter().any(|(e, _)| *e == name);
    missed.retain(|name, _| !excepted(name));
    assert!(missed.is_empty(), "changes that are not found: {missed:#?}");
    // Nothing was left out.
    for table in &schema {
        if WITHOUT.iter().any(|(without, _)| without == table) || table == "event_note" {
            continue;
        }
        for column in columns(&store, table) {
            let kinds = Kind::ALL.iter().filter(|_| table == "event");
            let kinds = kinds.filter(|kind| RARE.iter().all(|(rare, _)| rare != *kind));
            let mut names: Vec<String> = kinds
                .map(|kind| format!("event.{column} {}", kind.name()))
                .collect();
            if table != "event" {
                names.push(format!("{table}.{column}"));
            }
            for name in names {
                // A sandbox may refuse every counter.
                if table == "counter" && !readings {
                    continue;
                }
                assert!(tried.contains(&name), "{name} was not tried");
            }
        }
    }
    for (name, _) in EXCEPTIONS {
        let (table, column) = name.split_once('.').expect("a table and a column");
        let (column, kind) = column.split_once(' ').unwrap_or((column, "exit"));
        assert!(columns(&store, table).iter().any(|c| c == column), "{name}");
        assert!(Kind::from_name(kind).is_some(), "{name}");
    }
    for (table, _) in WITHOUT {
        assert!(schema.contains(*table), "{table}");
    }
}
