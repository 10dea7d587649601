//! The reading side: the files of one process, as far as they were published.
//!
//! A [`ProcessSpool`] maps the segments and reads nothing of them but the headers of chunks, so its memory does not depend on how much was
//! recorded. Of a process that ended, [`ProcessSpool::stream`] reads a writer's events. While a process lives,
//! [`ProcessSpool::refresh`] finds what it added, and [`ProcessSpool::read`] goes on where a [`Cursor`] stands.
//!
//! Nothing in the files is trusted: every offset is checked, and what makes no sense is an error that names the file. (A file that somebody
//! cuts short while it is mapped ends the reader with SIGBUS, as with all mapped files.)

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::attach::{Attachment, FinishedChunk};
use super::cursor::Cursor;
use super::layout::{
    CHUNK, CHUNKS, CONTROL, CONTROL_MAGIC, MAX_SEGMENTS, SEGMENT, TABLE, chunk, control, table,
};
use super::losses::{LOSSES, Losses};
use super::map::{MappedHeader, View};
use super::protocol::{self, Header};
use super::tables::{self, Entry};
use super::tallies::TALLIES;
use super::{SpoolError, segment_name};
use crate::event::Event;
use crate::ids::{MId, WriterId};
use crate::tally::Tally;
use crate::version::FORMAT_VERSION;

/// The spool of one process.
#[derive(Debug)]
pub struct ProcessSpool {
    /// The process's number.
    pub pid: u32,
    /// Its parent's.
    pub parent: u32,
    /// `CLOCK_BOOTTIME` when it began to record, ns.
    pub started_boottime_ns: u64,
    /// The number of its clock's kind.
    pub clock: u64,
    /// Whether it ended properly; else it was cut, or lives.
    pub finished: bool,
    /// Events that its writers lost.
    pub lost: u64,
    /// Its names.
    pub entries: Vec<Entry>,
    /// Names that found no room: what refers to them stays without one.
    pub names_lost: u64,
    dir: PathBuf,
    control: View,
    table: View,
    /// How much of the file of names was read.
    tables_read: u64,
    segments: Vec<Segment>,
    streams: BTreeMap<WriterId, Stream>,
    /// Whether the process is known to have ended.
    at_rest: bool,
}

#[derive(Debug)]
struct Segment {
    view: View,
    /// Chunks that had been handed out of it when it was last looked at.
    handed_out: u64,
    /// Which chunks of it are known.
    known: Box<[Option<(WriterId, u64)>; CHUNKS]>,
}

#[derive(Debug)]
struct Stream {
    m: MId,
    /// Where its chunks are, by their numbers; without those that were given back.
    chunks: BTreeMap<u64, Place>,
}

/// Where a chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u32,
    pub(super) index: u32,
}

/// An event of one writer's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// When, in ticks.
    pub ticks: u64,
    /// Its number in the stream; lost ones count, so a gap shows.
    pub m_seq: u64,
    /// What.
    pub event: Event,
}

impl ProcessSpool {
    /// Opens the folder of a process, which has ended or lives.
    ///
    /// # Errors
    /// Which file cannot be read, or what in it makes no sense.
    pub fn open(dir: &Path) -> Result<ProcessSpool, SpoolError> {
        let path = dir.join("control");
        let bad = |what: &str| SpoolError::Format {
            path: path.clone(),
            what: what.to_owned(),
        };
        let control = View::open(&path, CONTROL)?;
        // Acquire pairs with the release in `Spool::create`: the rest of the page is there.
        if control.word(control::MAGIC).load(Ordering::Acquire) != CONTROL_MAGIC {
            return Err(bad("this is no spool of a gmp runtime"));
        }
        // Relaxed: written before the magic.
        let word = |index: usize| control.word(index).load(Ordering::Relaxed);
        let version = word(control::VERSION);
        if version != FORMAT_VERSION {
            return Err(bad(&format!(
                "the spool has version {version}, this program reads {FORMAT_VERSION}"
            )));
        }
        let number =
            |index| u32::try_from(word(index)).map_err(|_| bad("a number is out of range"));
        let mut spool = ProcessSpool {
            pid: number(control::PID)?,
            parent: number(control::PARENT)?,
            started_boottime_ns: word(control::STARTED),
            clock: word(control::CLOCK),
            finished: false,
            lost: 0,
            entries: Vec::new(),
            names_lost: 0,
            dir: dir.to_owned(),
            table: View::open(&dir.join("segments"), TABLE)?,
            control,
            tables_read: 0,
            segments: Vec::new(),
            streams: BTreeMap::new(),
            at_rest: false,
        };
        spool.refresh()?;
        Ok(spool)
    }

    /// Finds what was added since it was opened or last refreshed: names, writers, chunks. (Events in known chunks need no refresh.)
    ///
    /// # Errors
    /// Which file cannot be read, or what in it makes no sense. What was known before stays.
    pub fn refresh(&mut self) -> Result<(), SpoolError> {
        // Acquire: who sees the end sees everything before it.
        self.finished = self.control.word(control::STATE).load(Ordering::Acquire) == 2;
        self.refresh_tables()?;
        // Acquire pairs with the release in `Supply::make_segment`: the files are there.
        let made = self.control.word(control::SEGMENTS).load(Ordering::Acquire);
        if made > MAX_SEGMENTS {
            return Err(SpoolError::Format {
                path: self.dir.join("control"),
                what: format!("{made} segments are more than there can be"),
            });
        }
        for number in self.segments.len()..made as usize {
            let view = View::open(&self.dir.join(segment_name(number)), SEGMENT)?;
            self.segments.push(Segment {
                view,
                handed_out: 0,
                known: Box::new([None; CHUNKS]),
            });
        }
        for number in 0..self.segments.len() {
            self.refresh_segment(number);
        }
        // Relaxed: a count; what was lost before a chunk is told by the chunk.
        self.lost = self.control.word(control::LOST).load(Ordering::Relaxed);
        // Relaxed: a count too.
        let names_lost = self.control.word(control::TABLES_LOST);
        self.names_lost = names_lost.load(Ordering::Relaxed);
        Ok(())
    }

    fn refresh_tables(&mut self) -> Result<(), SpoolError> {
        let path = self.dir.join("tables");
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(self.tables_read))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().map_err(SpoolError::io("cannot read", &path))?;
        let (entries, whole) = tables::decode_all(&bytes);
        self.entries.extend(entries);
        // A torn entry may be one that is being written: it is read again.
        self.tables_read += whole as u64;
        Ok(())
    }

    fn refresh_segment(&mut self, number: usize) {
        let base = number * table::WORDS;
        let segment = &mut self.segments[number];
        // Acquire pairs with the release in `Writer::change_chunk`: the headers of all that were counted are there.
        let handed_out = self
            .table
            .word(base + table::HANDED_OUT)
            .load(Ordering::Acquire);
        if handed_out == segment.handed_out && handed_out != 0 {
            return;
        }
        segment.handed_out = handed_out;
        for index in 0..CHUNKS {
            let header = MappedHeader(&segment.view, index * CHUNK);
            let free = self.table.word(base + table::FREE + index / 64);
            if !protocol::is_there(&header, free, index as u32 % 64) {
                continue;
            }
            // Relaxed: written before the magic.
            let who = header.word(chunk::WRITER).load(Ordering::Relaxed);
            let chunk_number = header.word(chunk::NUMBER).load(Ordering::Relaxed);
            let writer = WriterId(who as u32);
            if segment.known[index].replace((writer, chunk_number)) == Some((writer, chunk_number))
            {
                continue;
            }
            let stream = self.streams.entry(writer).or_insert(Stream {
                m: MId((who >> 32) as u32),
                chunks: BTreeMap::new(),
            });
            let place = Place {
                segment: number as u32,
                index: index as u32,
            };
            stream.chunks.insert(chunk_number, place);
        }
    }

    /// Says that the process has ended: what is not there after the next refresh never comes.
    pub fn set_at_rest(&mut self) {
        self.at_rest = true;
    }

    /// Whether the process is known to have ended.
    pub fn is_at_rest(&self) -> bool {
        self.at_rest
    }

    /// The writers that left events so far, with the Ms they are.
    pub fn writers(&self) -> impl Iterator<Item = (WriterId, MId)> + '_ {
        self.streams
            .iter()
            .map(|(writer, stream)| (*writer, stream.m))
    }

    /// The writers that are known so far, by their names or by the events that they left, with the Ms they are. A name may have found no
    /// room, and events may have been given back or lost.
    pub fn known_writers(&self) -> BTreeMap<WriterId, MId> {
        let named = self.entries.iter().filter_map(|entry| match entry {
            Entry::Writer { writer, m, .. } => Some((*writer, *m)),
            _ => None,
        });
        self.writers().chain(named).collect()
    }

    /// How many writers wait for room now, because the spool is full.
    pub fn waiting(&self) -> u64 {
        // Relaxed: a number at some moment.
        self.control.word(control::WAITING).load(Ordering::Relaxed)
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The events of a writer that are there now, in order. An error ends the stream: what follows a damaged record cannot be told.
    pub fn stream(
        &self,
        writer: WriterId,
    ) -> impl Iterator<Item = Result<Recorded, SpoolError>> + '_ {
        let mut cursor = Cursor::new(writer);
        std::iter::from_fn(move || cursor.read(self, true))
    }

    /// The next event of a stream; `None` when there is none now. After an error the rest of the damaged chunk is skipped.
    pub fn read(&self, cursor: &mut Cursor) -> Option<Result<Recorded, SpoolError>> {
        cursor.read(self, self.at_rest)
    }

    /// Lets the writers use chunks again whose events are safe. They can be read no more.
    pub fn give_back(&mut self, attachment: &Attachment, chunks: &[FinishedChunk]) {
        for chunk in chunks {
            let known = self
                .segments
                .get_mut(chunk.segment as usize)
                .and_then(|s| s.known.get_mut(chunk.index as usize)?.take());
            if let Some((writer, number)) = known
                && let Some(stream) = self.streams.get_mut(&writer)
            {
                stream.chunks.remove(&number);
            }
        }
        attachment.give_back(chunks);
    }

    /// The counters of a writer; none if it had no room for them.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn tally(&self, writer: WriterId) -> Result<Vec<(Tally, u64)>, SpoolError> {
        let (file, block) = TALLIES.place(writer);
        let path = self.dir.join(file);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(SpoolError::io("cannot read", &path)(e)),
        };
        let value = words(&bytes, block);
        Ok(Tally::ALL
            .iter()
            .map(|t| (*t, value(*t as usize)))
            .collect())
    }

    /// What a writer lost; nothing if it had no room to say so.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn losses(&self, writer: WriterId) -> Result<Losses, SpoolError> {
        let (file, block) = LOSSES.place(writer);
        let path = self.dir.join(file);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Losses::read(words(&bytes, block))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Losses::default()),
            Err(e) => Err(SpoolError::io("cannot read", &path)(e)),
        }
    }

    /// Where a writer's chunk with this number is, or the first one after it if `later` ones will do.
    pub(super) fn find(&self, writer: WriterId, number: u64, later: bool) -> Option<(u64, Place)> {
        let chunks = &self.streams.get(&writer)?.chunks;
        let (found, place) = chunks.range(number..).next()?;
        (later || *found == number).then_some((*found, *place))
    }

    /// The header of a chunk.
    pub(super) fn header(&self, place: Place) -> MappedHeader<'_> {
        let view = &self.segments[place.segment as usize].view;
        MappedHeader(view, place.index as usize * CHUNK)
    }
}

/// The words from number `first` on of what a file holds; 0 beyond its end.
fn words(bytes: &[u8], first: usize) -> impl Fn(usize) -> u64 + '_ {
    move |index| {
        let at = (first + index) * 8;
        let word = bytes.get(at..at + 8).and_then(|w| w.try_into().ok());
        word.map_or(0, u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::MKind;
    use crate::ids::GId;
    use crate::spool::layout::HEADER;
    use crate::spool::writer::{Spool, SpoolOptions};

    fn exit(panicked: bool) -> Event {
        Event::Exit { panicked }
    }

    #[test]
    fn what_several_writers_wrote_is_read_in_their_order() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let spool = Spool::create(dir.path(), &SpoolOptions::default()).expect("a spool");
        std::thread::scope(|s| {
            for m in 0..4u32 {
                let spool = &spool;
                s.spawn(move || {
                    let mut w = spool.writer(MId(m), 1, MKind::Worker, "w");
                    for i in 0..10_000u64 {
                        w.emit(
                            i * 3,
                            Event::Ready {
                                g: GId(i * u64::from(m + 1)),
                                seq: i,
                                via: crate::event::Via::G,
                                placed: crate::event::Placed::Local,
                                kicked: GId::NONE,
                                gq: 0,
                            },
                        );
                        w.tally().add(Tally::Readies, 1);
                    }
                });
            }
        });
        spool.finish();
        let read = ProcessSpool::open(spool.dir()).expect("readable");
        assert!(read.finished && read.lost == 0);
        let writers: Vec<_> = read.writers().collect();
        assert_eq!(writers.len(), 4);
        for (writer, m) in writers {
            let events: Vec<_> = read
                .stream(writer)
                .collect::<Result<_, _>>()
                .expect("whole records");
            assert_eq!(events.len(), 10_000);
            for (i, e) in events.iter().enumerate() {
                let i = i as u64;
                assert_eq!((e.ticks, e.m_seq), (i * 3, i));
                assert!(matches!(e.event, Event::Ready { g, .. } if g.0 == i * u64::from(m.0 + 1)));
            }
            let tally = read.tally(writer).expect("counters");
            assert!(tally.contains(&(Tally::Readies, 10_000)));
        }
    }

    #[test]
    fn a_reached_limit_loses_a_counted_number_of_events() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let spool = Spool::create(
            dir.path(),
            &SpoolOptions {
                limit: SEGMENT as u64,
                ..SpoolOptions::default()
            },
        )
        .expect("a spool");
        let mut w = spool.writer(MId(0), 1, MKind::Worker, "w");
        let all = 3_000_000;
        (0..all).for_each(|i| w.emit(i, exit(false)));
        let lost = w.lost();
        drop(w);
        spool.finish();
        let read = ProcessSpool::open(spool.dir()).expect("readable");
        let kept = read.stream(WriterId(0)).count() as u64;
        assert!(lost > 0);
        assert_eq!((kept + lost, read.lost), (all, lost));
        let losses = read.losses(WriterId(0)).expect("readable");
        assert_eq!(losses.by_kind, [(crate::event::Kind::Exit, lost)]);
        assert_eq!((losses.total(), losses.first_ticks), (lost, Some(kept | 1)));
        assert_eq!(read.losses(WriterId(1)).ok(), Some(Losses::default()));
    }

    /// It was once read again and again, without an end.
    #[test]
    fn a_chunk_with_the_largest_number_is_read_once() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let spool = Spool::create(dir.path(), &SpoolOptions::default()).expect("a spool");
        let mut w = spool.writer(MId(0), 1, MKind::Worker, "w");
        (0..10).for_each(|i| w.emit(i, exit(true)));
        spool.finish();
        let path = spool.dir().join("segment-0000");
        let mut bytes = std::fs::read(&path).expect("readable");
        bytes[chunk::NUMBER * 8..][..8].fill(255);
        std::fs::write(&path, &bytes).expect("writable");
        let read = ProcessSpool::open(spool.dir()).expect("readable");
        assert_eq!(read.stream(WriterId(0)).take(100).count(), 10);
    }

    #[test]
    fn damage_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let spool = Spool::create(dir.path(), &SpoolOptions::default()).expect("a spool");
        let mut w = spool.writer(MId(0), 1, MKind::Worker, "w");
        (0..10).for_each(|i| w.emit(i, exit(true)));
        spool.finish();
        let path = spool.dir().join("segment-0000");
        let mut bytes = std::fs::read(&path).expect("readable");
        bytes[HEADER + 6] = 255;
        std::fs::write(&path, &bytes).expect("writable");
        let read = ProcessSpool::open(spool.dir()).expect("readable");
        let results: Vec<_> = read.stream(WriterId(0)).collect();
        let last = results
            .last()
            .and_then(|r| r.as_ref().err())
            .map(ToString::to_string);
        assert!(last.is_some_and(|e| e.contains("segment-0000") && e.contains("255 is no kind")));
    }
}
