//! The names of a trace: an append-only file of small entries, never dropped.
//!
//! An entry is a tag byte, the length of the rest as LEB128, then numbers as LEB128 and texts as length and bytes. Each is one write(2), so
//! it survives the process, and a torn one at the end is recognised by its length. An unknown tag is skipped: later versions may add some.

use crate::event::MKind;
use crate::ids::{MId, SiteId, StringId, WriterId};
use crate::value::Value;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A thread begins to emit.
    Writer {
        /// Its number.
        writer: WriterId,
        /// The M it is.
        m: MId,
        /// The kernel's number of the thread.
        tid: u32,
        /// What it is.
        kind: MKind,
        /// Its name.
        name: String,
    },
    /// A place in the source.
    Site {
        /// Its number.
        site: SiteId,
        /// The file.
        file: String,
        /// The line, from 1.
        line: u32,
        /// The column, from 1.
        column: u32,
    },
    /// A string.
    String {
        /// Its number.
        string: StringId,
        /// The text.
        text: String,
    },
    /// A fact about the process.
    Info {
        /// What.
        key: String,
        /// Its value.
        value: String,
    },
    /// A counter that was asked for: what a `c` field of [`crate::event::Event::Counters`] counts.
    Counter {
        /// Which field: 0 is `c0`.
        index: u32,
        /// Its name.
        name: String,
        /// What one is: `events`, or `ns`.
        unit: String,
        /// Whether the processor counts it; else the kernel does.
        hardware: bool,
        /// Whether it counts at all; if not, its field says nothing.
        available: bool,
        /// Why it is not available, or what it leaves out; empty when there is nothing to say.
        reason: String,
    },
}

impl Entry {
    /// The entry as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let tag = match self {
            Entry::Writer {
                writer,
                m,
                tid,
                kind,
                name,
            } => {
                numbers(
                    &mut body,
                    &[writer.0.into(), m.0.into(), (*tid).into(), kind.to_raw()],
                );
                text(&mut body, name);
                1
            }
            Entry::Site {
                site,
                file,
                line,
                column,
            } => {
                numbers(
                    &mut body,
                    &[site.0.into(), (*line).into(), (*column).into()],
                );
                text(&mut body, file);
                2
            }
            Entry::String { string, text: t } => {
                number(&mut body, u64::from(string.0));
                text(&mut body, t);
                3
            }
            Entry::Info { key, value } => {
                text(&mut body, key);
                text(&mut body, value);
                4
            }
            Entry::Counter {
                index,
                name,
                unit,
                hardware,
                available,
                reason,
            } => {
                numbers(
                    &mut body,
                    &[(*index).into(), (*hardware).into(), (*available).into()],
                );
                [name, unit, reason]
                    .into_iter()
                    .for_each(|t| text(&mut body, t));
                5
            }
        };
        let mut out = vec![tag];
        number(&mut out, body.len() as u64);
        out.extend(body);
        out
    }
}

/// Reads all whole entries; says how many bytes they took, which are all unless the file ends in the middle of one.
pub fn decode_all(bytes: &[u8]) -> (Vec<Entry>, usize) {
    let mut entries = Vec::new();
    let mut cursor = Cursor(bytes);
    let mut whole = 0;
    while let Some(tag) = cursor.byte() {
        let Some(body) = cursor.number().and_then(|len| cursor.bytes(len)) else {
            break;
        };
        entries.extend(decode(tag, &mut Cursor(body)));
        whole = bytes.len() - cursor.0.len();
    }
    (entries, whole)
}

/// `None` for a tag or content that this version does not know.
fn decode(tag: u8, c: &mut Cursor<'_>) -> Option<Entry> {
    Some(match tag {
        1 => Entry::Writer {
            writer: WriterId(c.u32()?),
            m: MId(c.u32()?),
            tid: c.u32()?,
            kind: MKind::from_raw(c.number()?)?,
            name: c.text()?,
        },
        2 => {
            let (site, line, column) = (SiteId(c.u32()?), c.u32()?, c.u32()?);
            Entry::Site {
                site,
                file: c.text()?,
                line,
                column,
            }
        }
        3 => Entry::String {
            string: StringId(c.u32()?),
            text: c.text()?,
        },
        4 => Entry::Info {
            key: c.text()?,
            value: c.text()?,
        },
        5 => {
            let (index, hardware, available) = (c.u32()?, c.number()? != 0, c.number()? != 0);
            Entry::Counter {
                index,
                name: c.text()?,
                unit: c.text()?,
                hardware,
                available,
                reason: c.text()?,
            }
        }
        _ => return None,
    })
}

fn number(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn numbers(out: &mut Vec<u8>, numbers: &[u64]) {
    numbers.iter().for_each(|n| number(out, *n));
}

fn text(out: &mut Vec<u8>, text: &str) {
    number(out, text.len() as u64);
    out.extend(text.as_bytes());
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn bytes(&mut self, len: u64) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(usize::try_from(len).ok()?)?;
        self.0 = rest;
        Some(bytes)
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for group in 0..10 {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f).checked_shl(7 * group)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn u32(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    fn text(&mut self) -> Option<String> {
        let len = self.number()?;
        Some(String::from_utf8_lossy(self.bytes(len)?).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_torn_tail_keeps_what_was_whole() {
        let entries = vec![
            Entry::Writer {
                writer: WriterId(1),
                m: MId(2),
                tid: 300,
                kind: MKind::Sysmon,
                name: "gmp-sysmon".into(),
            },
            Entry::Site {
                site: SiteId(7),
                file: "a/b.rs".into(),
                line: 12,
                column: 5,
            },
            Entry::String {
                string: StringId(9),
                text: "ä".into(),
            },
            Entry::Info {
                key: "procs".into(),
                value: "4".into(),
            },
            Entry::Counter {
                index: 5,
                name: "context-switches".into(),
                unit: "events".into(),
                hardware: false,
                available: true,
                reason: String::new(),
            },
        ];
        let bytes: Vec<u8> = entries.iter().flat_map(Entry::encode).collect();
        assert_eq!(decode_all(&bytes), (entries.clone(), bytes.len()));
        assert_eq!(
            decode_all(&bytes[..bytes.len() - 1]),
            (
                entries[..4].to_vec(),
                bytes.len() - entries[4].encode().len()
            )
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            decode_all(&bytes);
        }
    }
}
