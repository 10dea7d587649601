//! The program: started with the handshake in its environment, waited for, and sent the signals that the recorder gets.
//!
//! A signal from the terminal reaches the program by itself, because it is in the same process group; one that was sent to the recorder
//! alone is passed on. In both cases the recorder goes on, so that the trace is finished.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use gmp_trace::version;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::Cause;

use crate::cli::{Args, Every, OnFull};
use crate::place::Place;

/// Why the program did not start.
#[derive(Debug)]
pub enum NotStarted {
    /// There is none.
    NotFound(String),
    /// It cannot be executed.
    NotRunnable(String),
}

impl NotStarted {
    /// The exit code for it, as shells have it.
    pub fn code(&self) -> u8 {
        match self {
            NotStarted::NotFound(_) => 127,
            NotStarted::NotRunnable(_) => 126,
        }
    }
}

/// Counts the signals that ask to stop; from the second on, waiting for more than the program ends.
#[derive(Clone, Debug, Default)]
pub struct Interrupts(Arc<AtomicUsize>);

impl Interrupts {
    /// How many came so far.
    pub fn count(&self) -> usize {
        // Relaxed: a number on its own.
        self.0.load(Ordering::Relaxed)
    }
}

/// Starts the program.
pub fn start(args: &Args, place: &Place) -> Result<Child, NotStarted> {
    let (program, rest) = match args.program.split_first() {
        Some((program, rest)) => (program.clone(), rest),
        None => (OsString::new(), &[][..]),
    };
    let mut command = Command::new(&program);
    command
        .args(rest)
        .env(version::ENV_SPOOL, &place.dir)
        .env(version::ENV_SPOOL_LIMIT, place.limit.to_string())
        .env(version::ENV_RECORDER, std::process::id().to_string())
        .env(
            version::ENV_SPOOL_FULL,
            match args.on_full {
                OnFull::Block => "block",
                OnFull::Drop => "drop",
            },
        )
        .env(version::ENV_COUNTERS, &args.counters)
        .env(
            version::ENV_COUNTERS_EVERY,
            match args.counters_every {
                Every::Auto => "auto",
                Every::Switch => "switch",
            },
        );
    if let Some(procs) = args.procs {
        command.env(version::ENV_PROCS, procs.to_string());
    }
    if let Some(policy) = &args.policy {
        command.env(version::ENV_POLICY, policy);
    }
    command.spawn().map_err(|e| {
        let text = format!("cannot run {}: {e}", program.to_string_lossy());
        if e.kind() == std::io::ErrorKind::NotFound {
            NotStarted::NotFound(text)
        } else {
            NotStarted::NotRunnable(text)
        }
    })
}

/// From now on signals do not end the recorder; those that the program would not get otherwise are passed on to it.
pub fn pass_signals(child: &Child) -> anyhow::Result<Interrupts> {
    let pid = child.id() as libc::pid_t;
    let mut signals = SignalsInfo::<WithOrigin>::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT])
        .context("cannot catch signals")?;
    let interrupts = Interrupts::default();
    let counted = interrupts.clone();
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for origin in &mut signals {
                counted.0.fetch_add(1, Ordering::Relaxed);
                if origin.cause != Cause::Kernel {
                    // SAFETY: no memory is involved. The child is not waited for before the recorder has done with it, or is
                    // gone already, in which case its number could at worst be that of a process of the same user.
                    unsafe { libc::kill(pid, origin.signal) };
                }
            }
        })
        .context("cannot start the thread for signals")?;
    Ok(interrupts)
}

/// The exit code that stands for how the program ended.
pub fn exit_code(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => code as u8,
        (None, Some(signal)) => (128 + signal) as u8,
        (None, None) => crate::FAILED,
    }
}
