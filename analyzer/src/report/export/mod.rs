//! Traces for timeline viewers: what the model derives as tracks, slices, counters and arrows, in two encodings.
//!
//! `tracks.rs` derives them once; `chrome.rs` and `perfetto.rs` write them; `pieces.rs` splits what a viewer could not open.

mod chrome;
mod lanes;
mod perfetto;
mod pieces;
mod proto;
mod tracks;

use super::{Output, Subject};
use crate::names::Names;
use crate::pass;
use crate::select::Clip;
use pieces::Pieces;
use tracks::Tracks;

/// A JSON file that would pass 100 MB is split: browsers give up on larger ones. The rest is for what a piece still needs at its end.
const JSON_LIMIT: u64 = 99_000_000;
/// A protobuf file that would pass 300 MB is split.
const PROTOBUF_LIMIT: u64 = 299_000_000;

/// A track of a viewer, unique within a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Track {
    /// What a P does.
    P(u32),
    /// What an M does.
    M(u32),
    /// What a G does.
    G(u64),
    /// The spans that a G is in.
    Spans(u64),
    /// A number over time; the index is into the names that were given.
    Counter(u32),
}

/// A fact about a slice.
#[derive(Clone, Debug, PartialEq)]
enum Arg {
    Number(i64),
    Text(String),
}

/// A stretch of time on a track.
struct Slice<'a> {
    track: Track,
    from: i64,
    to: i64,
    name: &'a str,
    args: &'a [(&'static str, Arg)],
    /// The arrow that ends at its beginning.
    flow: Option<u64>,
}

/// Writes tracks in one of the formats. Times are ns since the run's start.
trait Encoder {
    /// How long an arrow must be, ns: one that ends where it begins is moved to begin earlier.
    const SHORTEST_ARROW: i64 = 0;
    /// Makes a track known before its first use in a piece.
    fn track(
        &mut self,
        out: &mut Pieces,
        process: u32,
        track: Track,
        name: &str,
        rank: u32,
    ) -> std::io::Result<()>;
    /// A slice.
    fn slice(&mut self, out: &mut Pieces, process: u32, slice: &Slice<'_>) -> std::io::Result<()>;
    /// A moment at which something was made runnable, where an arrow begins.
    fn wake(
        &mut self,
        out: &mut Pieces,
        process: u32,
        track: Track,
        ts: i64,
        name: &str,
        flow: u64,
    ) -> std::io::Result<()>;
    /// A counter's value from now on.
    fn counter(
        &mut self,
        out: &mut Pieces,
        process: u32,
        track: Track,
        name: &str,
        ts: i64,
        value: i64,
    ) -> std::io::Result<()>;
    /// Begins a piece; what was known before is not.
    fn begin(
        &mut self,
        out: &mut Pieces,
        processes: &[(u32, String)],
        note: &str,
    ) -> std::io::Result<()>;
    /// Ends a piece.
    fn end(&mut self, out: &mut Pieces) -> std::io::Result<()>;
}

/// The Chrome JSON report.
///
/// # Errors
/// When the database cannot be read or the output not written.
pub fn chrome(subject: &Subject<'_>, output: &Output) -> anyhow::Result<()> {
    export(
        subject,
        output,
        chrome::Chrome::default(),
        "trace",
        "json",
        JSON_LIMIT,
    )
}

/// The Perfetto protobuf report.
///
/// # Errors
/// When the database cannot be read or the output not written.
pub fn perfetto(subject: &Subject<'_>, output: &Output) -> anyhow::Result<()> {
    let encoder = perfetto::Perfetto::new(subject.run.started_boottime_ns);
    export(subject, output, encoder, "trace", "pftrace", PROTOBUF_LIMIT)
}

fn export(
    subject: &Subject<'_>,
    output: &Output,
    encoder: impl Encoder,
    stem: &str,
    extension: &str,
    limit: u64,
) -> anyhow::Result<()> {
    let path = output.path(&format!("{stem}.{extension}"));
    if path == std::path::Path::new("-") {
        anyhow::bail!("a trace may become several files: -o takes a file or a folder");
    }
    let mut pieces = Pieces::create(&path, limit)?;
    let processes: Vec<(u32, String)> = subject
        .processes
        .iter()
        .map(|p| {
            let name = p.executable.as_deref().unwrap_or(&subject.run.command);
            let name = name.rsplit('/').next().unwrap_or(name);
            (p.process, format!("{name} (pid {})", p.pid))
        })
        .collect();
    let note = super::summary::quality(subject.run).join("; ");
    let mut tracks = Tracks::new(encoder, &mut pieces, &processes, note)?;
    for process in subject.processes {
        let names = Names::of(subject.store, subject.run.run, process.process)?;
        tracks.process(process.process, names);
        let mut clip = Clip::new(subject.selection.clone(), super::stats::ByRef(&mut tracks));
        pass::pass(subject.store, subject.run, process, &mut clip)?;
    }
    tracks.finish()?;
    for path in pieces.finish()? {
        output.tell(&path);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::pieces::Pieces;
    use super::*;
    use crate::model::{GInterval, GState, PInterval, PState, Sink};
    use gmp_trace::ids::{GId, MId, PId};

    /// A long run in small pieces: each is whole, and together they hold every slice.
    #[test]
    fn what_is_too_large_is_split_into_whole_pieces() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("trace.json");
        let mut pieces = Pieces::create(&path, 20_000).expect("a file");
        let processes = [(1, "test".to_owned())];
        let mut tracks = Tracks::new(
            chrome::Chrome::default(),
            &mut pieces,
            &processes,
            String::new(),
        )
        .expect("begun");
        tracks.process(1, Names::default());
        for i in 0..1_000_i64 {
            let (from, to) = (i * 10, i * 10 + 10);
            tracks.p(&PInterval {
                p: PId(0),
                state: PState::Running(GId(1)),
                from,
                to,
                m: Some(MId(1)),
            });
            tracks.g(&GInterval {
                g: GId(1),
                state: GState::Running,
                from,
                to,
                p: Some(PId(0)),
                m: Some(MId(1)),
                by: GId::NONE,
                event: i,
                last: false,
            });
        }
        tracks.finish().expect("written");
        let paths = pieces.finish().expect("written");
        assert!(paths.len() > 3, "{paths:?}");
        assert!(paths[0].ends_with("trace-1.json") && !path.exists());
        let mut slices = 0;
        for path in paths {
            let text = std::fs::read(path).expect("readable");
            let value: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
            let events = value["traceEvents"].as_array().expect("events");
            slices += events.iter().filter(|e| e["ph"] == "X").count();
            assert!(
                events
                    .iter()
                    .any(|e| e["ph"] == "M" && e["args"]["name"] == "P0")
            );
        }
        assert_eq!(slices, 1_000);
    }
}
