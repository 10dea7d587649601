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
    /// Published bytes of records in the lower half; whether the chunk is closed in the upper.
    pub const PUBLISHED: usize = 6;
    /// Up to which tick the writer has published everything; the lowest bit says that it sleeps.
    pub const PROGRESS: usize = 7;
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
    /// Events lost, by all writers, that no chunk's header tells of yet.
    pub const LOST: usize = 9;
    /// Entries of `tables` that could not be written.
    pub const TABLES_LOST: usize = 10;
}

const _: () = assert!(SEGMENT.is_multiple_of(CHUNK) && HEADER == 8 * 8);
