//! Where things are in the files of a spool: the only place that knows offsets.

/// Bytes of a chunk, its header included.
pub const CHUNK: usize = 16 << 10;
/// Bytes of a segment.
pub const SEGMENT: usize = 4 << 20;
/// Chunks of a segment.
pub const CHUNKS: usize = SEGMENT / CHUNK;
/// Bytes of a chunk's header; records follow.
pub const HEADER: usize = 64;
/// Bytes of the control file.
pub const CONTROL: usize = 4096;
/// The most segments that a spool may have: those of the table.
pub const MAX_SEGMENTS: u64 = 16 << 10;
/// Bytes of the table of segments.
pub const TABLE: usize = MAX_SEGMENTS as usize * table::WORDS * 8;

/// The first word of a chunk that was handed out; written last, so that the rest of the header is there when it is.
pub const CHUNK_MAGIC: u64 = u64::from_le_bytes(*b"GMPchunk");
/// The first word of a control file.
pub const CONTROL_MAGIC: u64 = u64::from_le_bytes(*b"GMPspool");

/// Words of a chunk's header, by their index in units of 8 bytes.
pub mod chunk {
    /// [`super::CHUNK_MAGIC`].
    pub const MAGIC: usize = 0;
    /// The writer's number in the lower half, the M's in the upper.
    pub const WRITER: usize = 1;
    /// The chunk's number within its writer, from 0.
    pub const NUMBER: usize = 2;
    /// Ticks from which the first record counts.
    pub const BASE_TICKS: usize = 3;
    /// Events that this writer had lost before this chunk, in all.
    pub const LOST: usize = 4;
    /// The number, within its writer, of the chunk's first event; lost ones count.
    pub const FIRST_EVENT: usize = 5;
    /// Published bytes of records in the lower half; [`CLOSED`] and [`ENDED`] in the upper.
    pub const PUBLISHED: usize = 6;
    /// 0 while the writer may write; while it sleeps, the tick since when, with the lowest bit set.
    pub const PROGRESS: usize = 7;
    /// In [`PUBLISHED`]: nothing more comes in this chunk.
    pub const CLOSED: u64 = 1 << 32;
    /// In [`PUBLISHED`]: nothing more comes from this writer.
    pub const ENDED: u64 = 1 << 33;
}

/// Words of a segment in the table of segments. The chunks of a segment are used again one by one: a thread that sleeps then holds on
/// to one chunk, and not to the whole segment in which its last chunk happens to be.
pub mod table {
    /// Words of each segment.
    pub const WORDS: usize = 8;
    /// How many chunks of it were handed out, in all: a reader need not look at a segment where this has not changed.
    pub const HANDED_OUT: usize = 0;
    /// Bits of chunks that the recorder has read and the writers may use again; the first of several words. Set by the recorder, cleared
    /// by the writers.
    pub const FREE: usize = 1;
    /// Words of bits.
    pub const FREE_WORDS: usize = super::CHUNKS / 64;
}

/// Words of the control file, by their index in units of 8 bytes.
pub mod control {
    /// [`super::CONTROL_MAGIC`].
    pub const MAGIC: usize = 0;
    /// [`crate::version::FORMAT_VERSION`].
    pub const VERSION: usize = 1;
    /// The process's number.
    pub const PID: usize = 2;
    /// Its parent's.
    pub const PARENT: usize = 3;
    /// `CLOCK_BOOTTIME` when the spool was made, ns.
    pub const STARTED: usize = 4;
    /// The [`crate::clock::ClockKind`].
    pub const CLOCK: usize = 5;
    /// 1 = running, 2 = finished properly.
    pub const STATE: usize = 6;
    /// Segments that were made.
    pub const SEGMENTS: usize = 7;
    /// Writers that were registered.
    pub const WRITERS: usize = 8;
    /// Events lost, by all writers; `losses-NNNN` says by which.
    pub const LOST: usize = 9;
    /// Entries of `tables` that found no room; one of which only the beginning is there is among them.
    pub const TABLES_LOST: usize = 10;
    /// The most bytes of segments.
    pub const LIMIT: usize = 11;
    /// What writers do at the limit: 0 = drop, 1 = block.
    pub const ON_FULL: usize = 12;
    /// The recorder's number; 0 = nobody records.
    pub const RECORDER: usize = 13;
    /// When the recorder started, as its `/proc/PID/stat` says it: a number of a process may be given again.
    pub const RECORDER_STARTED: usize = 14;
    /// `CLOCK_MONOTONIC` when the recorder last said that it works, ns.
    pub const HEARTBEAT: usize = 15;
    /// Chunks that the recorder has given back, in all.
    pub const FREED: usize = 16;
    /// Writers that wait for room now.
    pub const WAITING: usize = 17;
}

const _: () = assert!(SEGMENT.is_multiple_of(CHUNK) && HEADER == 8 * 8);
const _: () = assert!(table::FREE + table::FREE_WORDS <= table::WORDS && CHUNKS.is_multiple_of(64));
