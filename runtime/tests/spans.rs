//! Spans of the `tracing` crate in a recording: they belong to their Gs, wherever these run.

use std::collections::BTreeMap;

use gmp_runtime::{Builder, channel, current_g, go, spans, syscall, yield_now};
use gmp_testing::Recording;
use gmp_testing::program::{command, is_part};
use gmp_testing::recording::streams;
use gmp_trace::event::{Event, Kind};
use gmp_trace::ids::{GId, SpanId};
use gmp_trace::spool::tables::Entry;
use tracing::{Span, info_span};
use tracing_subscriber::prelude::*;

const GS: u64 = 200;

/// One G: two spans, one in the other, with every way to suspend inside.
fn nested() {
    let me = current_g().expect("a G").0;
    assert!(Span::current().is_none(), "G{me} inherits a span");
    let outer = info_span!("outer", g = me).entered();
    yield_now();
    assert_eq!(Span::current().id(), outer.id());
    {
        let inner = info_span!("inner", g = me, text = "x").entered();
        for _ in 0..5 {
            yield_now();
            assert_eq!(Span::current().id(), inner.id());
        }
        let (tx, rx) = channel::<u64>(0);
        let sender = go(move || {
            assert!(Span::current().is_none());
            tx.send(1).expect("open")
        });
        assert_eq!(rx.recv(), Ok(1));
        syscall(|| assert_eq!(Span::current().id(), inner.id()));
        sender.join().expect("no panic");
        assert_eq!(Span::current().id(), inner.id());
    }
    assert_eq!(Span::current().id(), outer.id());
}

fn program() {
    tracing_subscriber::registry().with(spans::layer()).init();
    // SAFETY: nothing bound to a thread but guards of spans is held over a call into the runtime.
    unsafe { Builder::new() }.procs(3).run(|| {
        let gs: Vec<_> = (0..GS).map(|_| go(nested)).collect();
        for g in gs {
            g.join().expect("no panic");
        }
        // A guard that is never dropped ends with its G, and with nobody else.
        go(|| std::mem::forget(info_span!("leaked", g = current_g().map(|g| g.0)).entered()))
            .join()
            .expect("no panic");
        go(|| assert!(Span::current().is_none()))
            .join()
            .expect("no panic");
        let in_main = info_span!("on_g_1", g = 1);
        // Closed by a thread that is no G.
        std::thread::spawn(move || drop(in_main));
    });
}

#[derive(Default)]
struct Life {
    opened_by: Option<GId>,
    parent: SpanId,
    name: String,
    fields: String,
    entered: u32,
    left: u32,
}

#[test]
fn spans_belong_to_the_gs_that_made_them() {
    if is_part("program") {
        return program();
    }
    let test = "spans_belong_to_the_gs_that_made_them";
    let Recording { spool, .. } = &Recording::whole(&mut command(test, "program"));
    let strings: BTreeMap<_, _> = spool
        .entries
        .iter()
        .filter_map(|e| match e {
            Entry::String { string, text } => Some((*string, text.clone())),
            _ => None,
        })
        .collect();

    let mut lives: BTreeMap<SpanId, Life> = BTreeMap::new();
    let mut closed: BTreeMap<SpanId, u32> = BTreeMap::new();
    // Which G entered and left which span, to be compared when all makers are known.
    let mut uses = Vec::new();
    for stream in streams(spool).into_values() {
        let mut running = GId::NONE;
        for r in stream {
            match r.event {
                Event::Start { g, .. } => running = g,
                Event::SpanOpen {
                    span,
                    parent,
                    name,
                    fields,
                } => {
                    let life = lives.entry(span).or_default();
                    assert_eq!(life.opened_by.replace(running), None);
                    life.parent = parent;
                    life.name = strings[&name].clone();
                    life.fields = strings.get(&fields).cloned().unwrap_or_default();
                }
                Event::SpanEnter { span } => {
                    lives.entry(span).or_default().entered += 1;
                    uses.push((span, running));
                }
                Event::SpanExit { span } => {
                    lives.entry(span).or_default().left += 1;
                    uses.push((span, running));
                }
                Event::SpanClose { span } => *closed.entry(span).or_default() += 1,
                e if matches!(e.kind(), Kind::Park | Kind::Yield | Kind::Exit) => {
                    running = GId::NONE
                }
                _ => {}
            }
        }
    }
    assert_eq!(lives.len() as u64, 2 * GS + 2);
    for (span, life) in &lives {
        let g = life.opened_by.expect("opened");
        assert!(g.is_some());
        let once = u32::from(life.name != "on_g_1");
        assert_eq!(life.entered, once, "{span}");
        match life.name.as_str() {
            "outer" => assert_eq!(
                (life.fields.clone(), life.parent),
                (format!("g={}", g.0), SpanId(0))
            ),
            "inner" => {
                assert_eq!(life.fields, format!("g={}, text=x", g.0));
                let parent = &lives[&life.parent];
                assert_eq!((parent.name.as_str(), parent.opened_by), ("outer", Some(g)));
            }
            _ => continue,
        }
        assert_eq!((life.left, closed.get(span)), (1, Some(&1)), "{span}");
    }
    for (span, g) in uses {
        assert_eq!(lives[&span].opened_by, Some(g));
    }
}
