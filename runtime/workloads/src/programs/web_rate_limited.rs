//! A web server that rejects requests past a limit in flight.

use gmp_runtime::go;
use std::sync::Arc;

use crate::load::Plan;
use crate::report::{Common, Report};
use crate::web;

/// What it demonstrates.
pub const CLAIM: &str =
    "past 1,000 requests in flight the rest gets 503 at once, so that those accepted stay fast";

/// Its options.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The most requests in flight
    #[arg(long, default_value_t = 1_000)]
    limit: u64,
    #[command(flatten)]
    plan: Plan,
}

/// Runs it.
pub fn run(options: &Options, common: &Common) -> anyhow::Result<Report> {
    let limit = options.limit;
    web::run(
        &options.plan,
        common,
        |_| (),
        move |_, counts, stream| {
            let counts = Arc::clone(counts);
            go(move || {
                if counts.enter() > limit {
                    web::reject(stream);
                } else {
                    web::serve(stream);
                }
                counts.leave();
            });
        },
    )
}
