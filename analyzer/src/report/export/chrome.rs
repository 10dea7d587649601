//! Chrome JSON: opens in the Perfetto UI, in speedscope and in chrome://tracing.
//!
//! Ps and Ms are threads with complete events; Gs and spans are nestable async events, because a G has no thread. Times are microseconds
//! with exactly three decimals, so that no float rounds them. Arrows are bound to their slices by id (`bind_id`), not by time.

use std::io::{Result, Write};

use super::pieces::Pieces;
use super::{Arg, Encoder, Slice, Track};

/// Writes JSON.
#[derive(Debug, Default)]
pub struct Chrome {
    begun: bool,
}

/// Threads of one process: Ps from 1, Ms from 10,001. The real ids are in names and args.
fn tid(track: Track) -> u64 {
    match track {
        Track::P(p) => 1 + u64::from(p),
        Track::M(m) => 10_001 + u64::from(m),
        Track::G(g) | Track::Spans(g) => g,
        Track::Counter(_) => 0,
    }
}

/// ns as microseconds with three decimals.
struct Us(i64);

impl std::fmt::Display for Us {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let ns = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:03}", ns / 1_000, ns % 1_000)
    }
}

/// A text as JSON, quotes included.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn args(args: &[(&'static str, Arg)]) -> String {
    let map: serde_json::Map<String, serde_json::Value> = args
        .iter()
        .map(|(name, arg)| {
            let value = match arg {
                Arg::Number(n) => (*n).into(),
                Arg::Text(t) => t.as_str().into(),
            };
            ((*name).to_owned(), value)
        })
        .collect();
    serde_json::Value::from(map).to_string()
}

impl Chrome {
    fn event(&mut self, out: &mut Pieces, text: std::fmt::Arguments<'_>) -> Result<()> {
        let comma = if std::mem::replace(&mut self.begun, true) {
            ",\n"
        } else {
            "\n"
        };
        out.write_all(comma.as_bytes())?;
        out.write_fmt(text)
    }
}

impl Encoder for Chrome {
    // Perfetto sorts slices of the same time by length, and drops an arrow whose end it meets before its beginning.
    const SHORTEST_ARROW: i64 = 1;

    fn begin(&mut self, out: &mut Pieces, processes: &[(u32, String)], note: &str) -> Result<()> {
        self.begun = false;
        let note = serde_json::json!({"made by": out.mark(), "data": note});
        write!(
            out,
            "{{\"displayTimeUnit\":\"ns\",\"metadata\":{note},\"traceEvents\":["
        )?;
        for (process, name) in processes {
            let name = quoted(name);
            self.event(
                out,
                format_args!("{{\"ph\":\"M\",\"pid\":{process},\"name\":\"process_name\",\"args\":{{\"name\":{name}}}}}"),
            )?;
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Pieces) -> Result<()> {
        out.write_all(b"\n]}\n")
    }

    fn track(
        &mut self,
        out: &mut Pieces,
        process: u32,
        track: Track,
        name: &str,
        rank: u32,
    ) -> Result<()> {
        if !matches!(track, Track::P(_) | Track::M(_)) {
            return Ok(());
        }
        let (tid, name) = (tid(track), quoted(name));
        self.event(
            out,
            format_args!("{{\"ph\":\"M\",\"pid\":{process},\"tid\":{tid},\"name\":\"thread_name\",\"args\":{{\"name\":{name}}}}}"),
        )?;
        self.event(
            out,
            format_args!(
                "{{\"ph\":\"M\",\"pid\":{process},\"tid\":{tid},\"name\":\"thread_sort_index\",\"args\":{{\"sort_index\":{rank}}}}}"
            ),
        )
    }

    fn slice(&mut self, out: &mut Pieces, process: u32, s: &Slice<'_>) -> Result<()> {
        let (name, args) = (quoted(s.name), args(s.args));
        let (from, took, to) = (Us(s.from), Us(s.to - s.from), Us(s.to));
        let id = tid(s.track);
        match s.track {
            Track::G(_) | Track::Spans(_) => {
                let cat = if matches!(s.track, Track::G(_)) {
                    "G"
                } else {
                    "span"
                };
                // One async track for each id: the spans of a G must not share that of its states.
                let local = format!(
                    "\"{}{id:x}\"",
                    if cat == "G" { "0x" } else { "0x5000000000" }
                );
                self.event(
                    out,
                    format_args!(
                        "{{\"ph\":\"b\",\"cat\":\"{cat}\",\"name\":{name},\"pid\":{process},\"id2\":{{\"local\":{local}}},\"ts\":{from},\"args\":{args}}}"
                    ),
                )?;
                self.event(
                    out,
                    format_args!(
                        "{{\"ph\":\"e\",\"cat\":\"{cat}\",\"name\":{name},\"pid\":{process},\"id2\":{{\"local\":{local}}},\"ts\":{to}}}"
                    ),
                )
            }
            _ => {
                let flow = match s.flow {
                    Some(flow) => format!(",\"bind_id\":\"0x{flow:x}\",\"flow_in\":true"),
                    None => String::new(),
                };
                self.event(
                    out,
                    format_args!(
                        "{{\"ph\":\"X\",\"name\":{name},\"pid\":{process},\"tid\":{id},\"ts\":{from},\"dur\":{took}{flow},\"args\":{args}}}"
                    ),
                )
            }
        }
    }

    fn wake(
        &mut self,
        out: &mut Pieces,
        process: u32,
        track: Track,
        ts: i64,
        name: &str,
        flow: u64,
    ) -> Result<()> {
        let (name, ts, tid) = (quoted(name), Us(ts), tid(track));
        self.event(
            out,
            format_args!(
                "{{\"ph\":\"X\",\"cat\":\"wake\",\"name\":{name},\"pid\":{process},\"tid\":{tid},\"ts\":{ts},\"dur\":0,\"bind_id\":\"0x{flow:x}\",\"flow_out\":true}}"
            ),
        )
    }

    fn counter(
        &mut self,
        out: &mut Pieces,
        process: u32,
        _track: Track,
        name: &str,
        ts: i64,
        value: i64,
    ) -> Result<()> {
        let (name, ts) = (quoted(name), Us(ts));
        self.event(
            out,
            format_args!("{{\"ph\":\"C\",\"name\":{name},\"pid\":{process},\"ts\":{ts},\"args\":{{\"value\":{value}}}}}"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_decimals() {
        assert_eq!(Us(1_234_567).to_string(), "1234.567");
        assert_eq!(Us(5).to_string(), "0.005");
        assert_eq!(Us(-1_500).to_string(), "-1.500");
    }
}
