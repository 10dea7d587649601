//! `--report events`: the trace in sentences, one a line.

use std::io::Write;

use gmp_store::EventRow;
use gmp_trace::event::{
    Event, HandoffTo, MKind, PStopReason, Placed, PreemptCause, Rule, Source, StealFrom,
    SyscallKind, Via,
};
use gmp_trace::ids::{GId, PId};
use serde_json::json;

use super::{Output, Subject};
use crate::model::{Queue, Sink};
use crate::names::Names;
use crate::pass;
use crate::time::{at, human};
use crate::words::{agree, count};

/// Prints the selected events.
///
/// # Errors
/// When the database cannot be read or the output not written.
pub fn make(subject: &Subject<'_>, output: &Output) -> anyhow::Result<()> {
    let name = if subject.json {
        "events.jsonl"
    } else {
        "events.txt"
    };
    let mut told = 0_u64;
    output.text(name, |out| {
        for process in subject.processes {
            let mut writer = Sentences {
                subject,
                names: Names::of(subject.store, subject.run.run, process.process)?,
                out,
                told: 0,
                failed: None,
                lengths: Lengths::default(),
                several: subject.processes.len() > 1,
            };
            pass::pass(subject.store, subject.run, process, &mut writer)?;
            if let Some(e) = writer.failed {
                return Err(e.into());
            }
            told += writer.told;
        }
        Ok(())
    })?;
    if told == 0 {
        let words = subject.selection.words().unwrap_or_default();
        eprintln!(
            "gmp-analyze: run {} has no such event: {words}",
            subject.run.run
        );
    }
    Ok(())
}

/// Lengths of the queues as of the last event.
#[derive(Debug, Default)]
struct Lengths {
    locals: std::collections::BTreeMap<PId, u32>,
    global: u32,
}

struct Sentences<'a, 'o> {
    subject: &'a Subject<'a>,
    names: Names,
    out: &'o mut dyn Write,
    /// Events so far.
    told: u64,
    failed: Option<std::io::Error>,
    lengths: Lengths,
    several: bool,
}

impl Sink for Sentences<'_, '_> {
    fn event(&mut self, row: &EventRow) {
        self.names.learn(&row.event);
        if self.failed.is_none() && self.subject.selection.has(row) {
            let written = if self.subject.json {
                self.as_json(row)
            } else {
                self.as_text(row)
            };
            self.failed = written.err();
            self.told += 1;
        }
        if let Event::Exit { .. } = row.event {
            self.names.forget(row.g);
        }
    }

    fn queue(&mut self, _ts: i64, queue: Queue, len: u32) {
        match queue {
            Queue::Local(p) => drop(self.lengths.locals.insert(p, len)),
            Queue::Global => self.lengths.global = len,
        }
    }
}

impl Sentences<'_, '_> {
    fn as_text(&mut self, row: &EventRow) -> std::io::Result<()> {
        let who = match row.p {
            Some(p) => format!("{p}"),
            None => format!("{}", row.m),
        };
        let process = if self.several {
            format!("process {} ", row.process)
        } else {
            String::new()
        };
        let said = sentence(row, &self.names, &self.lengths);
        writeln!(self.out, "{:>14}  {process}{who:<4} {said}", at(row.ts))
    }

    fn as_json(&mut self, row: &EventRow) -> std::io::Result<()> {
        let mut value = json!({
            "id": row.id, "process": row.process, "ts_ns": row.ts, "m": row.m.0, "m_seq": row.m_seq,
            "kind": row.event.kind().name(),
        });
        if let Some(p) = row.p {
            value["p"] = json!(p.0);
        }
        if row.g.is_some() {
            value["g"] = json!(row.g.0);
        }
        if row.by.is_some() {
            value["by"] = json!(row.by.0);
        }
        row.event.texts(|name, text| {
            // Numbers stay numbers; words are text.
            value[name] = text
                .parse::<u64>()
                .map_or_else(|_| json!(text), |n| json!(n));
        });
        value["text"] = json!(sentence(row, &self.names, &self.lengths));
        writeln!(self.out, "{value}")
    }
}

/// Where a G was put, as the end of a sentence.
fn into(placed: Placed, kicked: GId, gq: u64) -> String {
    let place = match placed {
        Placed::Runnext => "into runnext",
        Placed::Local => "to the local queue",
        Placed::Global => "to the global queue",
        Placed::Direct => "to run at once",
    };
    match (kicked.is_some(), gq) {
        (false, _) => place.to_owned(),
        (true, 0) => format!("{place}, pushing {kicked} to the local queue"),
        (true, _) => {
            format!("{place}, pushing {kicked} to the global queue because the local one is full")
        }
    }
}

/// What happened, in words.
fn sentence(row: &EventRow, names: &Names, lengths: &Lengths) -> String {
    let g = row.g;
    let runs = if row.by.is_some() { row.by } else { row.g };
    let who = |g: GId| {
        if g.is_some() {
            g.to_string()
        } else {
            "a thread".to_owned()
        }
    };
    match row.event {
        Event::GStatus { state, .. } => format!("{g} is {state}"),
        Event::PStatus { p, state, .. } => format!("{p} is {state}"),
        Event::Object { object, .. } => format!("{} gets its number", names.object(object)),
        Event::Procs { procs } => {
            format!("there {} {}", agree(procs, "is", "are"), count(procs, "P"))
        }
        Event::Spawn {
            site,
            placed,
            kicked,
            gq,
            ..
        } => format!(
            "{} spawns {g} at {} {}",
            who(row.by),
            names.site(site),
            into(placed, kicked, gq)
        ),
        Event::Start {
            source, rule, seq, ..
        } => {
            let from = match source {
                Source::Runnext => "from runnext",
                Source::Local => "from the local queue",
                Source::Global => "from the global queue",
                Source::Stolen => "which it stole",
                Source::Netpoll => "which the network poller reported",
                Source::Timer => "which a timer readied",
                Source::Direct => "directly",
                Source::Locked => "which is locked to its thread",
                Source::Youngest => "from the young end of the local queue",
            };
            let rule = match rule {
                Rule::Order => "",
                Rule::Tick => " (the tick that looks there first)",
                Rule::Recheck => " (the last look before sleeping)",
                Rule::Release => " (the last look before giving the P up)",
            };
            let site = names.site_of(g);
            let first = if seq == 1 && site.0 != 0 {
                format!(", spawned at {}", names.site(site))
            } else {
                String::new()
            };
            format!("runs {g} {from}{rule}{first}")
        }
        Event::Yield { placed, gq } => format!("{g} yields {}", into(placed, GId::NONE, gq)),
        Event::Preempt {
            cause,
            placed,
            kicked,
            gq,
        } => {
            let cause = match cause {
                PreemptCause::Slice => "its time slice is over",
                PreemptCause::Stw => "the world stops",
                PreemptCause::AsyncSlice => "its time slice is over (a signal stopped it)",
                PreemptCause::AsyncStw => "the world stops (a signal stopped it)",
            };
            format!(
                "{runs} is preempted, because {cause}, {}",
                into(placed, kicked, gq)
            )
        }
        Event::Park { reason, object } if object.0 != 0 => {
            format!("{g} waits: {reason} ({})", names.object(object))
        }
        Event::Park { reason, .. } => format!("{g} waits: {reason}"),
        Event::Ready {
            via,
            placed,
            kicked,
            gq,
            ..
        } => {
            let by = match via {
                Via::G => who(row.by),
                Via::Timer => "a timer".into(),
                Via::Netpoll => "the network poller".into(),
                Via::Foreign => "a thread of the program".into(),
                Via::Scheduler => "the scheduler".into(),
            };
            format!("{by} readies {g} {}", into(placed, kicked, gq))
        }
        Event::Exit { panicked: false } => format!("{g} ends"),
        Event::Exit { panicked: true } => format!("{g} ends with a panic"),
        Event::SyscallEnter { kind, .. } => match kind {
            SyscallKind::Syscall => format!("{g} enters a system call and keeps its P for now"),
            SyscallKind::Blocking => format!("{g} enters a blocking call and gives its P up"),
        },
        Event::SyscallExit {} => format!("{g} is back from its system call"),
        Event::SyscallExitBlocked { placed, gq } => format!(
            "{g} is back from its system call without a P and goes {}",
            into(placed, GId::NONE, gq)
        ),
        Event::PreemptRequest {
            p,
            of_m,
            cause,
            ns,
            signal,
        } => {
            let since = human(ns as i64);
            let why = match cause {
                PreemptCause::Slice | PreemptCause::AsyncSlice => {
                    format!("its time slice began {since} ago")
                }
                PreemptCause::Stw | PreemptCause::AsyncStw => {
                    format!("the world has been stopping for {since}")
                }
            };
            let how = if signal { ", by a signal" } else { "" };
            format!("the G on {p} ({of_m}) is asked to give way{how}: {why}")
        }
        Event::Notify { .. } => format!("{g} is readied while it runs"),
        Event::PStart { p, .. } => format!("{} takes {p}", row.m),
        Event::PStop { reason } => {
            let why = match reason {
                PStopReason::Idle => "nothing is to be run",
                PStopReason::Blocking => "its G is about to block",
                PStopReason::Stw => "the world stops",
                PStopReason::Resize => "there are fewer Ps now",
                PStopReason::Locked => "its G is locked to another thread",
                PStopReason::Shutdown => "the runtime ends",
            };
            format!("{} gives its P up: {why}", row.m)
        }
        Event::Retake {
            p, from_m, cause, ..
        } => match cause {
            gmp_trace::event::RetakeCause::Syscall => {
                format!("{p} is retaken from {from_m}, which is in a system call")
            }
            gmp_trace::event::RetakeCause::Stw => {
                format!("{p} is retaken from {from_m} to stop the world")
            }
        },
        Event::Handoff { p, to, to_m } => match (to, to_m) {
            (HandoffTo::M, Some(m)) => format!("{p} is handed off to {m}"),
            (HandoffTo::M, None) => format!("{p} is handed off"),
            (HandoffTo::Idle, _) => format!("{p} is handed off to nobody: nothing is to be run"),
            (HandoffTo::Stw, _) => format!("{p} is handed to the stopped world"),
        },
        Event::MStart { kind, tid } => match kind {
            MKind::Worker => format!("{} begins as thread {tid}", row.m),
            MKind::Sysmon => format!("{} begins as thread {tid}: sysmon", row.m),
            MKind::Netpoll => format!("{} begins as thread {tid}: network poller", row.m),
            MKind::Foreign => format!("thread {tid} of the program is known as {}", row.m),
        },
        Event::MPark {} => format!("{} goes to sleep", row.m),
        Event::MUnpark {} => format!("{} is awake", row.m),
        Event::MWake {
            woken,
            with_p,
            reason,
            created,
            ..
        } => {
            let verb = if created { "makes" } else { "wakes" };
            let p = with_p.map(|p| format!(" with {p}")).unwrap_or_default();
            format!("{} {verb} {woken}{p}: {reason}", row.m)
        }
        Event::MExit {} => format!("{} ends", row.m),
        Event::SpinStart {} => format!("{} looks for work at other Ps", row.m),
        Event::SpinStop {
            found,
            passes,
            tried,
        } => format!(
            "{} stops looking: {} after {passes} passes and {tried} victims",
            row.m,
            if found { "found some" } else { "found nothing" }
        ),
        Event::Steal {
            victim,
            n,
            victim_len,
            from,
            ..
        } => match from {
            StealFrom::Ring => format!(
                "takes {} from {victim}'s queue of {victim_len}, the first {g}",
                count(n, "G")
            ),
            StealFrom::Runnext => format!("takes {g} from {victim}'s runnext"),
        },
        Event::Overflow { n, .. } => format!(
            "the local queue is full: its {}, the first {g}, go to the global queue of {}",
            count(n, "oldest G"),
            lengths.global
        ),
        Event::Assign { p, .. } => format!("{} means {g} for {p}", who(row.by)),
        Event::GlobalGrab { n, len, .. } => {
            format!(
                "takes {} from the global queue of {len}, the first {g}",
                count(n, "G")
            )
        }
        Event::Drain { p, n, .. } => format!("{p} gives its {} to the global queue", count(n, "G")),
        Event::Netpoll { n, blocking } => format!(
            "{} {} the network poller: {} ready",
            row.m,
            if blocking { "waited in" } else { "asked" },
            count(n, "G")
        ),
        Event::Timer { heap, late_ns } => {
            format!("a timer of {heap} fires, {} late", human(late_ns as i64))
        }
        Event::StwBegin { kind } => format!("{} stops the world: {kind}", row.m),
        Event::StwEnd {} => "the world goes on".into(),
        Event::SpanOpen { span, name, .. } => {
            format!("{} opens the span {} ({span})", who(g), names.string(name))
        }
        Event::SpanClose { span } => format!("{span} is over"),
        Event::SpanEnter { span } => format!("{} enters {span}", who(g)),
        Event::SpanExit { span } => format!("{} leaves {span}", who(g)),
        Event::Counters { .. } => format!("{} reads its counters", row.m),
        Event::Blocked { waited_ns } => format!(
            "{} waited {} for room in the spool",
            row.m,
            human(waited_ns as i64)
        ),
    }
}
