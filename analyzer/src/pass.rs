//! One pass over the events of a process: from the database through the model into a sink.

use gmp_store::entity::Process;
use gmp_store::run::Run;
use gmp_store::scan::Scan;
use gmp_store::{Store, StoreError};
use indicatif::{ProgressBar, ProgressStyle};

use crate::model::{Clamped, Missing, Model, Sink};

/// What a pass leaves behind beside what the sink has got.
#[derive(Clone, Copy, Debug)]
pub struct Passed {
    /// What had to be clamped.
    pub clamped: Clamped,
    /// The time of the first event.
    pub first_ts: i64,
    /// The time of the last event.
    pub last_ts: i64,
    /// Events.
    pub events: u64,
    /// Those of them right before which others may be missing, so that they prove nothing.
    pub in_doubt: u64,
}

/// The processes of a run.
///
/// # Errors
/// What SQLite refuses.
pub fn processes(store: &Store, run: &Run) -> Result<Vec<Process>, StoreError> {
    Process::all(store, run.run)
}

/// Streams the events of a process through the model into `sink`.
///
/// # Errors
/// When the database cannot be read or a row makes no sense.
pub fn pass(
    store: &Store,
    run: &Run,
    process: &Process,
    sink: &mut impl Sink,
) -> Result<Passed, StoreError> {
    through(Scan::process(store, process)?, store, run, process, sink)
}

/// As [`pass`], for a sink that wants to know of each row that is not as the recorder writes it.
///
/// # Errors
/// When the database cannot be read, or a row makes no sense and the sink does not take that upon itself.
pub fn exact(
    store: &Store,
    run: &Run,
    process: &Process,
    sink: &mut impl Sink,
) -> Result<Passed, StoreError> {
    through(Scan::exact(store, process)?, store, run, process, sink)
}

fn through(
    mut scan: Scan<'_>,
    store: &Store,
    run: &Run,
    process: &Process,
    sink: &mut impl Sink,
) -> Result<Passed, StoreError> {
    let bar = progress(run);
    let mut model = Model::new(Missing::of(store, process)?);
    let mut passed = Passed {
        clamped: Clamped::default(),
        first_ts: i64::MAX,
        last_ts: 0,
        events: 0,
        in_doubt: 0,
    };
    while let Some(row) = scan.next() {
        passed.events += 1;
        let row = match row {
            Err(StoreError::Damaged { id, what, .. }) if sink.damaged(id, &what) => continue,
            row => row?,
        };
        if let Some(odd) = scan.take_odd() {
            sink.odd(&row, &odd);
        }
        passed.first_ts = passed.first_ts.min(row.ts);
        if passed.events & 0xffff == 0 {
            bar.set_position(passed.events);
        }
        model.event(&row, sink);
    }
    model.finish(sink);
    bar.finish_and_clear();
    passed.clamped = model.clamped();
    passed.in_doubt = model.in_doubt();
    passed.last_ts = model.last_ts();
    passed.first_ts = passed.first_ts.min(passed.last_ts);
    Ok(passed)
}

/// Drawn on a terminal only.
fn progress(run: &Run) -> ProgressBar {
    let bar = ProgressBar::new(run.events.max(0) as u64);
    let template = "{bar:40} {human_pos} of {human_len} events, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
