//! One event a line, for people and for golden tests.
//!
//! `W3 m=2 n=17 t=12345 start g=17 seq=3 source=stolen rule=order pos=0`: the writer, its M, the number in its stream, the ticks, the kind,
//! the arguments in the vocabulary's order. A blank within a word is written as `_`. Printing and parsing are inverse.

use std::fmt::Write;

use crate::event::{Event, Kind};
use crate::ids::{MId, WriterId};
use crate::spool::reader::Recorded;

/// An event with the stream that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The writer.
    pub writer: WriterId,
    /// The M that this writer is.
    pub m: MId,
    /// The event in its stream.
    pub recorded: Recorded,
}

/// A line that is no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} in `{line}`")]
pub struct TextError {
    /// What is wrong.
    pub what: String,
    /// The line.
    pub line: String,
}

/// The kind and arguments of an event.
///
/// ```
/// use gmp_trace::event::Event;
/// assert_eq!(gmp_trace::text::print_event(&Event::Exit { panicked: false }), "exit panicked=0");
/// ```
pub fn print_event(event: &Event) -> String {
    let mut out = event.kind().name().to_owned();
    event.texts(|name, value| {
        let _ = write!(out, " {name}={}", value.replace(' ', "_"));
    });
    out
}

/// The whole line.
pub fn print(line: &Line) -> String {
    let Recorded {
        ticks,
        m_seq,
        event,
    } = &line.recorded;
    format!(
        "{} m={} n={m_seq} t={ticks} {}",
        line.writer,
        line.m.0,
        print_event(event)
    )
}

/// Reads a line.
///
/// # Errors
/// Which part of it has no meaning.
pub fn parse(line: &str) -> Result<Line, TextError> {
    let wrong = |what: String| TextError {
        what,
        line: line.to_owned(),
    };
    let mut words = line.split_whitespace();
    let writer = words
        .next()
        .and_then(|w| w.strip_prefix('W')?.parse().ok())
        .ok_or_else(|| wrong("no writer".into()))?;
    let mut number = |prefix: &str| {
        words
            .next()
            .and_then(|w| w.strip_prefix(prefix)?.parse::<u64>().ok())
            .ok_or_else(|| wrong(format!("no {prefix}")))
    };
    let (m, m_seq, ticks) = (number("m=")?, number("n=")?, number("t=")?);
    let kind = words.next().unwrap_or_default();
    let kind = Kind::from_name(kind).ok_or_else(|| wrong(format!("unknown kind {kind}")))?;
    let args: Vec<(&str, String)> = words
        .filter_map(|w| w.split_once('='))
        .map(|(name, value)| (name, value.replace('_', " ")))
        .collect();
    let get = |name: &str| {
        args.iter()
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value.as_str())
    };
    let event = Event::from_texts(kind, get).map_err(|field| wrong(format!("no {field}")))?;
    Ok(Line {
        writer: WriterId(writer),
        m: MId(u32::try_from(m).map_err(|_| wrong("m out of range".into()))?),
        recorded: Recorded {
            ticks,
            m_seq,
            event,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::BadField;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_printed_is_parsed(kind in 0..Kind::ALL.len(), raws in prop::collection::vec(0..9_u64, 10), n in any::<u32>()) {
            let mut raws = raws.into_iter();
            let Ok(event) = Event::decode::<BadField>(Kind::ALL[kind], || Ok(raws.next().unwrap_or(0))) else {
                return Ok(());
            };
            let line = Line { writer: WriterId(n / 3), m: MId(n / 2), recorded: Recorded { ticks: u64::from(n) * 7, m_seq: n.into(), event } };
            prop_assert_eq!(parse(&print(&line)), Ok(line));
        }

        #[test]
        fn no_text_makes_it_panic(line in "(W[0-9]{1,12} m=[0-9]{1,12} n=[0-9]{1,21} t=1 start )?.{0,60}") {
            let _ = parse(&line);
        }
    }

    #[test]
    fn a_line_that_is_no_event_says_what_is_missing() {
        let error = parse("W0 m=0 n=0 t=5 start g=1").map_err(|e| e.to_string());
        assert_eq!(
            error,
            Err("no seq in `W0 m=0 n=0 t=5 start g=1`".to_owned())
        );
    }
}
