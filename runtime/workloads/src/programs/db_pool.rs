//! A database behind a pool of connections, and the same database called directly.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use gmp_runtime::net::{TcpListener, TcpStream};
use gmp_runtime::{channel, go, num_threads, procs, syscall};
use redb::{Database, ReadableDatabase, TableDefinition};

use crate::loopback::accept_all;
use crate::report::{Common, Report, runtime};

/// What it demonstrates.
pub const CLAIM: &str = "20 pooled connections serve 1,000 requests without a thread for each; called directly, at most P + 20 threads";

/// Its options.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How many requests
    #[arg(long, default_value_t = 1_000)]
    requests: u64,
    /// How many connections, and how many direct calls at once
    #[arg(long, default_value_t = 20)]
    pool: u64,
}

const TABLE: TableDefinition<'_, u64, u64> = TableDefinition::new("squares");

/// A database that knows the squares of the numbers below `n`.
fn create(path: &Path, n: u64) -> anyhow::Result<Database> {
    let db = Database::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    let write = db.begin_write().context("no transaction")?;
    {
        let mut table = write.open_table(TABLE).context("no table")?;
        for k in 0..n {
            table.insert(k, k * k).context("cannot insert")?;
        }
    }
    write.commit().context("cannot commit")?;
    Ok(db)
}

/// One query; blocks the thread while the database reads.
fn query(db: &Database, key: u64) -> anyhow::Result<u64> {
    let read = db.begin_read().context("no transaction")?;
    let table = read.open_table(TABLE).context("no table")?;
    let value = table.get(key).context("cannot read")?;
    Ok(value.context("no such key")?.value())
}

/// Answers the queries of one connection: a number a line, its square back.
fn answer(stream: TcpStream, db: &Database) -> anyhow::Result<()> {
    let mut writer = stream.try_clone().context("cannot clone a connection")?;
    for line in BufReader::new(stream).lines() {
        let key = line
            .context("cannot receive")?
            .parse()
            .context("no number")?;
        let value = syscall(|| query(db, key))?;
        writer
            .write_all(format!("{value}\n").as_bytes())
            .context("cannot send")?;
    }
    Ok(())
}

struct Connection {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Connection {
    fn open(address: SocketAddr) -> anyhow::Result<Connection> {
        let writer = TcpStream::connect(address).context("cannot connect")?;
        writer.set_nodelay(true).context("cannot set an option")?;
        let reader = BufReader::new(writer.try_clone().context("cannot clone a connection")?);
        Ok(Connection { reader, writer })
    }

    fn ask(&mut self, key: u64) -> anyhow::Result<u64> {
        self.writer
            .write_all(format!("{key}\n").as_bytes())
            .context("cannot send")?;
        let mut line = String::new();
        self.reader.read_line(&mut line).context("cannot receive")?;
        line.trim().parse().context("no number came back")
    }
}

struct Measured {
    right: u64,
    took: Duration,
    threads: usize,
}

/// All requests over the pool.
fn pooled(db: &Arc<Database>, requests: u64, pool: u64) -> anyhow::Result<Measured> {
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen on the loopback")?;
    let address = listener
        .local_addr()
        .context("the listener has no address")?;
    let listener = Arc::new(listener);
    let accepting = {
        let (listener, db) = (Arc::clone(&listener), Arc::clone(db));
        go(move || {
            // Until the deadline is set below.
            accept_all(&listener, |stream| {
                let db = Arc::clone(&db);
                go(move || {
                    if let Err(e) = answer(stream, &db) {
                        eprintln!("db-pool: the server: {e:#}");
                    }
                });
            });
        })
    };
    // The pool is a channel of connections: taken before a request, given back after.
    let (give, take) = channel::<Connection>(pool as usize);
    for _ in 0..pool {
        let connection = Connection::open(address)?;
        ensure!(give.send(connection).is_ok(), "the pool is closed");
    }
    let measured = measure(requests, move |key| {
        let mut connection = take.recv().context("the pool is closed")?;
        let value = connection.ask(key);
        ensure!(give.send(connection).is_ok(), "the pool is closed");
        value
    });
    listener.set_deadline(Some(Instant::now()));
    accepting
        .join()
        .unwrap_or_else(|e| std::panic::resume_unwind(e));
    measured
}

/// All requests by direct calls, at most `pool` at once.
fn direct(db: &Arc<Database>, requests: u64, pool: u64) -> anyhow::Result<Measured> {
    let (give, take) = channel::<()>(pool as usize);
    for _ in 0..pool {
        ensure!(give.send(()).is_ok(), "the permits are closed");
    }
    let db = Arc::clone(db);
    measure(requests, move |key| {
        take.recv().context("the permits are closed")?;
        let value = syscall(|| query(&db, key));
        ensure!(give.send(()).is_ok(), "the permits are closed");
        value
    })
}

fn measure(
    requests: u64,
    ask: impl Fn(u64) -> anyhow::Result<u64> + Send + Sync + 'static,
) -> anyhow::Result<Measured> {
    let ask = Arc::new(ask);
    let began = Instant::now();
    let gs: Vec<_> = (0..requests)
        .map(|key| {
            let ask = Arc::clone(&ask);
            go(move || ask(key))
        })
        .collect();
    let mut right = 0;
    for (key, g) in (0..).zip(gs) {
        let value = g.join().unwrap_or_else(|e| std::panic::resume_unwind(e))?;
        right += u64::from(value == key * key);
    }
    Ok(Measured {
        right,
        took: began.elapsed(),
        threads: num_threads(),
    })
}

/// Runs it.
pub fn run(options: &Options, common: &Common) -> anyhow::Result<Report> {
    let Options { requests, pool } = *options;
    let dir = tempfile::tempdir().context("cannot make a folder for the database")?;
    let db = Arc::new(create(&dir.path().join("squares.redb"), requests)?);
    // The database is called on the stacks of Gs and was not written for small ones.
    let builder = runtime(common).stack_size(512 << 10);
    let (pooled, direct, used) = builder.run(move || -> anyhow::Result<_> {
        let pooled = pooled(&db, requests, pool)?;
        let direct = direct(&db, requests, pool)?;
        Ok((pooled, direct, procs()))
    })?;
    let mut report = Report::new();
    report.figure("Ps", used as f64, "");
    for (name, measured) in [("pooled", &pooled), ("direct", &direct)] {
        ensure!(
            measured.right == requests,
            "{name}: {} of {requests} answers were right",
            measured.right
        );
        // The P + pool Ms of the claim, sysmon, and one that is just being replaced.
        ensure!(
            measured.threads as u64 <= used as u64 + pool + 2,
            "{name}: {} threads",
            measured.threads
        );
        report.time(format!("{name}: time"), measured.took);
        let rate = requests as f64 / measured.took.as_secs_f64();
        report.figure(format!("{name}: requests per second"), rate, "");
        report.figure(format!("{name}: threads"), measured.threads as f64, "");
    }
    Ok(report)
}
