//! Traces for timeline viewers: what the model derives as tracks, slices, counters and arrows, in two encodings.
//!
//! `tracks.rs` derives them once; `chrome.rs` and `perfetto.rs` write them; `pieces.rs` splits what a viewer could not open.

mod chrome;
mod lanes;
mod perfetto;
mod pieces;
mod proto;
mod tracks;

use anyhow::Context;

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
        let mut clip = Clip::new(subject.selection.clone(), &mut tracks);
        pass::pass(subject.store, subject.run, process, &mut clip)?;
    }
    tracks
        .finish()
        .with_context(|| format!("cannot write {}", path.display()))?;
    if let Some(bytes) = pieces.too_large() {
        eprintln!(
            "gmp-analyze: warning: {} got {} MB in one piece, which a viewer may not open; into a file, pieces of {} MB are written",
            path.display(),
            bytes / 1_000_000,
            limit / 1_000_000
        );
    }
    for path in pieces.finish()? {
        output.tell(&path);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::{FileTypeExt, symlink};
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::model::{GInterval, GState, PInterval, PState, Sink};
    use gmp_trace::ids::{GId, MId, PId};

    /// A long run, in pieces that are full after 20,000 bytes.
    fn export_a_long_run(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
        export_run(path, chrome::Chrome::default(), 1_000)
    }

    fn export_run(path: &Path, encoder: impl Encoder, n: i64) -> anyhow::Result<Vec<PathBuf>> {
        let mut pieces = Pieces::create(path, 20_000)?;
        let processes = [(1, "test".to_owned())];
        let mut tracks = Tracks::new(encoder, &mut pieces, &processes, String::new())?;
        tracks.process(1, Names::default());
        for i in 0..n {
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
        tracks.finish()?;
        pieces.finish()
    }

    /// The slices of Ps in a whole piece.
    fn slices(text: &[u8]) -> usize {
        let value: serde_json::Value = serde_json::from_slice(text).expect("JSON");
        let events = value["traceEvents"].as_array().expect("events");
        let p0 = |e: &serde_json::Value| e["ph"] == "M" && e["args"]["name"] == "P0";
        assert!(events.iter().any(p0));
        events.iter().filter(|e| e["ph"] == "X").count()
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("readable");
        let name = |e: std::io::Result<std::fs::DirEntry>| e.expect("an entry").file_name();
        let mut names: Vec<String> = entries
            .map(|e| name(e).to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// Each is whole, and together they hold every slice.
    #[test]
    fn what_is_too_large_is_split_into_whole_pieces() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("trace.json");
        let paths = export_a_long_run(&path).expect("written");
        assert!(paths.len() > 3, "{paths:?}");
        assert!(paths[0].ends_with("trace-1.json") && !path.exists());
        let read = |path: &PathBuf| slices(&std::fs::read(path).expect("readable"));
        assert_eq!(paths.iter().map(read).sum::<usize>(), 1_000);
        assert_eq!(names(dir.path()).len(), paths.len());
    }

    #[test]
    fn a_link_leads_to_the_pieces() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let real = dir.path().join("real");
        std::fs::create_dir(&real).expect("a folder");
        let link = dir.path().join("link.json");
        symlink("real/trace.json", &link).expect("a link");
        let paths = export_a_long_run(&link).expect("written");
        assert_eq!(names(&real).len(), paths.len());
        assert_eq!(names(dir.path()), ["link.json", "real"]);
        assert!(link.is_symlink());
    }

    /// Links to devices, so that a mistake here would replace a link.
    #[test]
    fn devices_stay_and_get_one_piece() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for (device, has_room) in [("/dev/null", true), ("/dev/full", false)] {
            let link = dir.path().join("link");
            symlink(device, &link).expect("a link");
            let written = export_a_long_run(&link);
            assert_eq!(written.is_ok(), has_room, "{device}: {written:?}");
            assert!(written.unwrap_or_default().is_empty() && link.is_symlink());
            std::fs::remove_file(&link).expect("removed");
        }
        assert_eq!(names(dir.path()), [""; 0]);
    }

    #[test]
    fn a_pipe_gets_everything_in_one_piece() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.expect("mkfifo starts").success());
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || std::fs::read(pipe)
        });
        let paths = export_a_long_run(&pipe).expect("written");
        // Before the reader is waited for: it would wait for ever where something else is.
        assert!(paths.is_empty() && names(dir.path()) == ["pipe"]);
        let kind = std::fs::metadata(&pipe).expect("there").file_type();
        assert!(kind.is_fifo());
        let text = reader.join().expect("no panic").expect("read");
        assert_eq!(slices(&text), 1_000);
    }

    #[test]
    fn an_export_takes_the_place_of_all_of_an_earlier_one() {
        fn exports<E: Encoder>(path: &Path, encoder: impl Fn() -> E) {
            let (folder, stem) = (path.parent().expect("a folder"), "trace");
            let extension = path.extension().expect("one").to_string_lossy();
            let pieces = |n: usize| -> Vec<String> {
                (1..=n).map(|i| format!("{stem}-{i}.{extension}")).collect()
            };
            let one = [format!("{stem}.{extension}")];
            let export = |n| export_run(path, encoder(), n).expect("written").len();
            assert_eq!(export(10), 1);
            assert_eq!(names(folder), one);
            let many = export(1_000);
            assert!(many > 3);
            let sorted = |mut names: Vec<String>| {
                names.sort();
                names
            };
            assert_eq!(names(folder), sorted(pieces(many)));
            let fewer = export(400);
            assert!(fewer > 1 && fewer < many);
            assert_eq!(names(folder), sorted(pieces(fewer)));
            assert_eq!(export(10), 1);
            assert_eq!(names(folder), one);
        }
        let dir = tempfile::tempdir().expect("a temporary folder");
        exports(&dir.path().join("trace.json"), chrome::Chrome::default);
        std::fs::remove_file(dir.path().join("trace.json")).expect("removed");
        exports(&dir.path().join("trace.pftrace"), || {
            perfetto::Perfetto::new(0)
        });
    }

    #[test]
    fn who_merely_has_the_name_of_a_piece_stays() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("trace.json");
        // Two traces that a user numbered, and a text.
        for name in ["trace-1.json", "trace-2.json"] {
            let file = dir.path().join(name);
            export_run(&file, chrome::Chrome::default(), 10).expect("written");
        }
        std::fs::write(dir.path().join("trace-3.json"), "mine").expect("writable");
        export_run(&path, chrome::Chrome::default(), 10).expect("written");
        let all = ["trace-1.json", "trace-2.json", "trace-3.json", "trace.json"];
        assert_eq!(names(dir.path()), all);
    }

    #[test]
    fn two_exports_to_one_path_do_not_meet() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("trace.json");
        let mut both = ["one", "two"].map(|text| {
            let pieces = Pieces::create(&path, 20_000).expect("a file");
            (text, pieces)
        });
        for (text, pieces) in &mut both {
            pieces.write_all(text.as_bytes()).expect("written");
        }
        for (text, pieces) in both {
            let paths = pieces.finish().expect("written");
            assert_eq!(paths, std::slice::from_ref(&path));
            assert_eq!(std::fs::read_to_string(&path).expect("readable"), text);
        }
        assert_eq!(names(dir.path()), ["trace.json"]);
    }

    #[test]
    fn a_piece_that_cannot_get_its_name_leaves_none() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(dir.path().join("trace-3.json")).expect("a folder");
        let refused = export_a_long_run(&dir.path().join("trace.json")).expect_err("refused");
        assert!(refused.to_string().contains("trace-3.json"), "{refused:#}");
        assert_eq!(names(dir.path()), ["trace-3.json"]);
    }
}
