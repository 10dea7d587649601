//! Hand-written traces and the history each must become: `tests/traces/*.test`.
//!
//! A file has a comment that says what it shows, a line `expect:`, the streams, and the order. `expect: SUCCESS` means that nothing is
//! noted; `expect: LOSSY` that the process was killed or has gaps; `expect: FAILURE` that an event fits nowhere though nothing was lost.
//! `UPDATE=1 cargo test -p gmp-trace --test golden` writes the orders anew, to be read before they are committed.

use std::fmt::Write;
use std::path::Path;

use gmp_trace::order::{Note, Orderer, Step};
use gmp_trace::text::{self, Line};

fn history(lines: &[Line], lossy: bool) -> (String, Vec<Note>) {
    let mut writers: Vec<_> = lines.iter().map(|l| (l.writer, l.m)).collect();
    writers.sort();
    writers.dedup();
    let mut orderer = Orderer::new(lossy);
    for (writer, m) in writers {
        let stream: Vec<_> = lines
            .iter()
            .filter(|l| l.writer == writer)
            .map(|l| l.recorded)
            .collect();
        orderer.add(writer, m, stream.into_iter());
    }
    let (mut out, mut notes) = (String::new(), Vec::new());
    while let Step::Event(o) = orderer.next() {
        let id = |n: u64| if n == 0 { "-".into() } else { n.to_string() };
        let p = o.p.map_or("-".into(), |p| p.0.to_string());
        let (g, by) = (id(o.g.0), id(o.by.0));
        let _ = write!(
            out,
            "{}.{} p={p} g={g} by={by} {}",
            o.writer,
            o.m_seq,
            o.event.kind().name()
        );
        if o.lost_before > 0 {
            let _ = write!(out, " [{} lost before]", o.lost_before);
        }
        if let Some(note) = o.note {
            let _ = write!(out, " [{}]", note.word());
            notes.push(note);
        }
        out.push('\n');
    }
    (out, notes)
}

fn check(path: &Path) {
    let name = path.display();
    let source = std::fs::read_to_string(path).expect("readable");
    let (head, rest) = source.split_once("--- trace\n").expect("a trace");
    let (trace, expected) = rest.split_once("--- order\n").expect("an order");
    assert!(head.starts_with("# "), "{name} does not say what it shows");
    let expect = head
        .lines()
        .find_map(|l| l.strip_prefix("expect: "))
        .expect("an expectation");
    let lines: Vec<_> = trace
        .lines()
        .filter(|l| !l.is_empty())
        .map(|l| text::parse(l).expect("an event"))
        .collect();
    for (line, source) in lines.iter().zip(trace.lines().filter(|l| !l.is_empty())) {
        assert_eq!(text::print(line), source, "{name}");
    }
    let (order, notes) = history(&lines, expect == "LOSSY");
    match expect {
        "SUCCESS" => assert!(notes.is_empty(), "{name}:\n{order}"),
        "LOSSY" => assert!(!notes.contains(&Note::Unordered), "{name}:\n{order}"),
        "FAILURE" => assert!(notes.contains(&Note::Unordered), "{name}:\n{order}"),
        other => panic!("{name}: expect: {other}"),
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, format!("{head}--- trace\n{trace}--- order\n{order}"))
            .expect("writable");
    } else {
        assert_eq!(order, expected, "{name}");
    }
}

#[test]
fn hand_written_traces_become_the_history_beside_them() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces");
    let mut paths: Vec<_> = std::fs::read_dir(dir)
        .expect("readable")
        .map(|e| e.expect("readable").path())
        .collect();
    paths.sort();
    assert!(paths.len() >= 12, "only {}", paths.len());
    paths.iter().for_each(|path| check(path));
}
