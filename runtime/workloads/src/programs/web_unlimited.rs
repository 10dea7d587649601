//! A web server with a task for each request, however many come.

use gmp_runtime::go;
use std::sync::Arc;

use crate::load::Plan;
use crate::report::{Common, Report};
use crate::web;

/// What it demonstrates.
pub const CLAIM: &str =
    "a task for each request carries thousands in flight on few threads, and nothing bounds them";

/// Its options.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    plan: Plan,
}

/// Runs it.
pub fn run(options: &Options, common: &Common) -> anyhow::Result<Report> {
    web::run(
        &options.plan,
        common,
        |_| (),
        |_, counts, stream| {
            let counts = Arc::clone(counts);
            go(move || {
                counts.enter();
                web::serve(stream);
                counts.leave();
            });
        },
    )
}
