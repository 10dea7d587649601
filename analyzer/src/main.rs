//! The program `gmp-analyze`.

use std::process::ExitCode;

use clap::Parser;
use gmp_analyzer::{cli, interrupted, report};

fn main() -> ExitCode {
    let args = cli::Args::parse();
    let profile = match args.profile.as_deref().map(report::open).transpose() {
        Ok(file) => file.map(|file| {
            use tracing_subscriber::layer::SubscriberExt;
            use tracing_subscriber::util::SubscriberInitExt;
            let (layer, guard) = tracing_chrome::ChromeLayerBuilder::new()
                .writer(file)
                .build();
            tracing_subscriber::registry().with(layer).init();
            guard
        }),
        Err(e) => return failed(&e),
    };
    if let Err(e) = interrupted::watch() {
        eprintln!("gmp-analyze: warning: an interrupt may leave a temporary file: {e}");
    }
    let result = report::run(&args);
    drop(profile);
    match result {
        Ok(code) => ExitCode::from(code),
        Err(e) if is_closed_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => failed(&e),
    }
}

fn failed(e: &anyhow::Error) -> ExitCode {
    eprintln!("gmp-analyze: {e:#}");
    ExitCode::from(2)
}

/// Whether whoever read our output (`head`, a pager) has seen enough.
fn is_closed_pipe(e: &anyhow::Error) -> bool {
    e.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
