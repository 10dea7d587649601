//! Every event that a trace can hold, in one table.
//!
//! The table below is the vocabulary. It generates the [`Event`] type that the runtime emits, the wire form
//! ([`Event::args`], [`Event::decode`]), the text form, the database columns, and the `help` table and documents
//! that name them. Nothing about an event is written anywhere else.
//!
//! # Context
//! An event is emitted by a writer: an M, sysmon, the poller thread, or a foreign thread. What it does not say is taken from its
//! context: the M that emits it, the P that this M holds, the G that this M runs. whoever merges the streams tracks the
//! context and fills the columns `m`, `p`, `g` and `by` of every row. `g` is the G the event is about (its own field,
//! else the running one); `by` is the running G when that is another.
//!
//! # Order
//! Clocks only suggest an order; these fields decide it:
//! - `seq` of a G counts its moves between Ms. [`Event::Start`] and [`Event::Ready`] carry it; each is the last one plus 1,
//!   and a spawned G begins at 0. Events about a running G need none: they are in the stream of the M that runs it.
//! - `seq` of a P counts its changes of owner: [`Event::PStart`], [`Event::Retake`], [`Event::SyscallEnter`].
//! - `gq` counts the operations on the global queue, which has a lock: each takes the next number. 0 means that the
//!   global queue was not touched; the first operation is 1.
//! - `pos` is the head position of a P's ring before the take ([`Event::Start`] from `local` or `youngest`, [`Event::Steal`],
//!   [`Event::Overflow`]); it counts every G ever taken from that ring, from either end, modulo 2^32.
//! - `kicked` is the G that a new `runnext` pushed out to the tail of the ring, or none.
//!   With a `gq` beside it the ring was full: the kicked G went to the tail of the global queue instead, after the Gs of the
//!   [`Event::Overflow`] that precedes it.
//!
//! A field of time is in clock ticks on the wire and in nanoseconds in the database.

use crate::ids::{GId, MId, ObjectId, PId, SiteId, SpanId, StringId};
use crate::value::{Value, words};

/// The most arguments that one event has.
pub const MAX_ARGS: usize = 10;

/// A column of the `event` table that an argument is stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "the names are those of the columns, documented in the schema"
)]
pub enum Column {
    P,
    G,
    Seq,
    A1,
    A2,
    A3,
    A4,
    A5,
    A6,
    A7,
    /// Not in the `event` table: the event goes to a table of its own.
    Other,
}

/// One argument of one kind of event, as documentation and as a rule for generic code.
#[derive(Debug)]
pub struct Field {
    /// Its name in text form, in views and in JSON.
    pub name: &'static str,
    /// Its type: an integer, an id, or one of the closed sets of words.
    pub ty: &'static str,
    /// The words of its values with the integers that stand for them, if its type is a closed set of words.
    pub words: &'static [(u64, &'static str)],
    /// Where the database keeps it.
    pub column: Column,
    /// What it means, with its unit.
    pub doc: &'static str,
}

/// One kind of event, as documentation and as a rule for generic code.
#[derive(Debug)]
pub struct KindSpec {
    /// The kind.
    pub kind: Kind,
    /// Its name in text form, in views and in reports.
    pub name: &'static str,
    /// What happened.
    pub doc: &'static str,
    /// Its arguments, in wire order.
    pub fields: &'static [Field],
}

macro_rules! vocabulary {
    ($(
        $(#[doc = $doc:literal])*
        $id:literal $variant:ident $name:literal { $($(#[doc = $fdoc:literal])* $field:ident: $ty:ty => $col:ident,)* }
    )*) => {
        /// What kind of event; the number is the first byte of its record and the `kind` column.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "documented on the variants of Event")]
        pub enum Kind {
            $($variant = $id,)*
        }

        impl Kind {
            /// Every kind, in order of its number.
            pub const ALL: &'static [Kind] = &[$(Kind::$variant),*];

            /// The kind with this number.
            pub fn from_u8(n: u8) -> Option<Kind> {
                match n { $($id => Some(Kind::$variant),)* _ => None }
            }

            /// The kind with this name.
            pub fn from_name(name: &str) -> Option<Kind> {
                match name { $($name => Some(Kind::$variant),)* _ => None }
            }

            /// Its name in text form, in views and in reports.
            pub fn name(self) -> &'static str {
                match self { $(Kind::$variant => $name,)* }
            }

            /// Its entry in the vocabulary.
            pub fn spec(self) -> &'static KindSpec {
                match self {
                    $(Kind::$variant => {
                        const FIELDS: &[Field] = &[$(Field {
                            name: stringify!($field),
                            ty: <$ty as Value>::TYPE,
                            words: <$ty as Value>::WORDS,
                            column: Column::$col,
                            doc: concat!($($fdoc),*),
                        }),*];
                        const { assert!(FIELDS.len() <= MAX_ARGS) };
                        const SPEC: &KindSpec = &KindSpec {
                            kind: Kind::$variant,
                            name: $name,
                            doc: concat!($($doc),*),
                            fields: FIELDS,
                        };
                        SPEC
                    })*
                }
            }
        }

        /// One thing that happened, as the runtime says it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Event {
            $($(#[doc = $doc])* $variant { $($(#[doc = $fdoc])* $field: $ty,)* },)*
        }

        impl Event {
            /// Its kind.
            #[inline(always)]
            pub fn kind(&self) -> Kind {
                match self { $(Event::$variant { .. } => Kind::$variant,)* }
            }

            /// Hands each argument's wire integer to `put`, in wire order.
            #[inline(always)]
            pub fn args(&self, mut put: impl FnMut(u64)) {
                match *self {
                    $(Event::$variant { $($field),* } => { $(put($field.to_raw());)* let _ = &mut put; })*
                }
            }

            /// Builds the event of a kind from its arguments' wire integers, asking `next` for each in order.
            ///
            /// # Errors
            /// What `next` returned, or the name of the field whose integer has no meaning.
            pub fn decode<E: From<BadField>>(kind: Kind, mut next: impl FnMut() -> Result<u64, E>) -> Result<Event, E> {
                let _ = &mut next;
                Ok(match kind {
                    $(Kind::$variant => Event::$variant { $(
                        $field: {
                            let raw = next()?;
                            <$ty as Value>::from_raw(raw).ok_or(BadField { kind, field: stringify!($field), raw })?
                        },
                    )* },)*
                })
            }

            /// Hands each argument with its column and the column's value (`None` is NULL) to `put`.
            pub fn columns(&self, mut put: impl FnMut(Column, Option<i64>)) {
                let _ = &mut put;
                match *self {
                    $(Event::$variant { $($field),* } => { $(put(Column::$col, $field.to_column());)* })*
                }
            }

            /// Builds the event of a kind from its columns; `None` when a column's value has no meaning there.
            pub fn from_columns(kind: Kind, get: impl Fn(Column) -> Option<i64>) -> Option<Event> {
                let _ = &get;
                Some(match kind {
                    $(Kind::$variant => Event::$variant { $(
                        $field: <$ty as Value>::from_column(get(Column::$col))?,
                    )* },)*
                })
            }

            /// Hands each argument's name and text form to `put`, in wire order.
            pub fn texts(&self, mut put: impl FnMut(&'static str, String)) {
                let _ = &mut put;
                match *self {
                    $(Event::$variant { $($field),* } => { $(put(stringify!($field), $field.to_text());)* })*
                }
            }

            /// Builds the event of a kind from its arguments' text forms.
            ///
            /// # Errors
            /// The name of the first field that is missing or whose word has no meaning.
            pub fn from_texts<'a>(kind: Kind, get: impl Fn(&str) -> Option<&'a str>) -> Result<Event, &'static str> {
                let _ = &get;
                Ok(match kind {
                    $(Kind::$variant => Event::$variant { $(
                        $field: get(stringify!($field)).and_then(<$ty as Value>::from_text).ok_or(stringify!($field))?,
                    )* },)*
                })
            }
        }
    };
}

/// A wire integer that its field gives no meaning to: a damaged record, or a later version's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{raw} means nothing as {field} of {}", kind.name())]
pub struct BadField {
    /// The event's kind.
    pub kind: Kind,
    /// The field's name.
    pub field: &'static str,
    /// The integer found.
    pub raw: u64,
}

words! {
    /// What a G is made of.
    GKind {
        /// A task with a stack of its own.
        Stackful = 0 "stackful",
        /// A `Future`, polled.
        Future = 1 "future",
        /// A task of the runtime itself.
        System = 2 "system",
    }

    /// The state of a G.
    GState {
        /// In a run queue, or on its way into one.
        Runnable = 1 "runnable",
        /// On an M with a P.
        Running = 2 "running",
        /// On an M, in a system call; the P may be taken away.
        Syscall = 3 "syscall",
        /// Parked until something readies it.
        Waiting = 4 "waiting",
        /// Ended.
        Dead = 6 "dead",
    }

    /// The state of a P.
    PState {
        /// Held by no M; its run queue is empty.
        Idle = 0 "idle",
        /// Held by an M that runs or looks for Gs.
        Running = 1 "running",
        /// Held by an M whose G is in a system call; may be retaken.
        Syscall = 2 "syscall",
        /// Stopped with the world.
        Stopped = 3 "stopped",
        /// Beyond the current P count.
        Dead = 4 "dead",
    }

    /// Where a G that became runnable was put.
    Placed {
        /// The `runnext` slot of the emitter's P.
        Runnext = 0 "runnext",
        /// The tail of the emitter's P's ring.
        Local = 1 "local",
        /// The tail of the global queue.
        Global = 2 "global",
        /// No queue: the emitting M runs it at once.
        Direct = 3 "direct",
    }

    /// Where a G that starts was taken from.
    Source {
        /// The P's own `runnext`; the time slice goes on.
        Runnext = 0 "runnext",
        /// The head of the P's own ring.
        Local = 1 "local",
        /// The head of the global queue: the first of the batch just grabbed.
        Global = 2 "global",
        /// The last of the batch just stolen.
        Stolen = 3 "stolen",
        /// The first of those that the network poller just reported.
        Netpoll = 4 "netpoll",
        /// A timer that just fired.
        Timer = 5 "timer",
        /// No queue: it was made runnable by the M that starts it (a park refused, a system call that ended with a P at hand).
        Direct = 6 "direct",
        /// Handed over by the M that found it, because it is locked to this one.
        Locked = 7 "locked",
        /// The tail of the P's own ring, under a policy that takes the youngest first.
        Youngest = 8 "youngest",
    }

    /// Which rule of `find_runnable` chose.
    Rule {
        /// The usual order of the search.
        Order = 0 "order",
        /// The tick that looks at the global queue first (every 61st by default).
        Tick = 1 "tick",
        /// The search again after the last spinner gave up.
        Recheck = 2 "recheck",
        /// The last look under the scheduler lock before the P is released.
        Release = 3 "release",
    }

    /// What readied a G.
    Via {
        /// The G running on the emitting M.
        G = 0 "g",
        /// A timer that fired.
        Timer = 1 "timer",
        /// The network poller.
        Netpoll = 2 "netpoll",
        /// A thread that is not an M, or an M without a P.
        Foreign = 3 "foreign",
        /// The scheduler itself.
        Scheduler = 4 "scheduler",
    }

    /// What a G waits for.
    ParkReason {
        /// Not told.
        Unspecified = 0 "unspecified",
        /// Nothing can wake it.
        Forever = 1 "forever",
        /// A point in time.
        Sleep = 2 "sleep",
        /// Room in a channel, or a receiver.
        ChanSend = 3 "chan send",
        /// A value in a channel.
        ChanRecv = 4 "chan receive",
        /// One of several channel operations.
        Select = 5 "select",
        /// A mutex.
        Mutex = 6 "mutex",
        /// A wait group to reach zero.
        WaitGroup = 7 "wait group",
        /// The end of another G.
        Join = 8 "join",
        /// A socket to become readable.
        NetRead = 9 "net read",
        /// A socket to become writable.
        NetWrite = 10 "net write",
        /// A connection to accept.
        NetAccept = 11 "net accept",
        /// A connection to be made.
        NetConnect = 12 "net connect",
        /// A semaphore.
        Semaphore = 13 "semaphore",
        /// A condition variable.
        Cond = 14 "cond",
        /// A reader-writer lock.
        RwLock = 15 "rwlock",
        /// The world to be stopped for it.
        Stw = 16 "stop the world",
        /// A future that is pending.
        Pending = 17 "pending",
    }

    /// What kind of thing a G can wait for.
    ObjectKind {
        /// A channel.
        Channel = 0 "channel",
        /// A mutex.
        Mutex = 1 "mutex",
        /// A wait group.
        WaitGroup = 2 "wait group",
        /// A timer.
        Timer = 3 "timer",
        /// A socket.
        Socket = 4 "socket",
        /// The end of a G.
        Join = 5 "join",
        /// A semaphore.
        Semaphore = 6 "semaphore",
        /// A condition variable.
        Cond = 7 "cond",
        /// A reader-writer lock.
        RwLock = 8 "rwlock",
        /// Anything else.
        Other = 9 "other",
        /// A place in the source where several channel operations are waited for at once.
        Select = 10 "select",
    }

    /// Why a running G was stopped against its will.
    PreemptCause {
        /// It used up its time slice.
        Slice = 0 "slice",
        /// The world is to be stopped.
        Stw = 1 "stw",
        /// It used up its time slice in a preemptible section, and a signal stopped it.
        AsyncSlice = 2 "async slice",
        /// The world is to be stopped, it was in a preemptible section, and a signal stopped it.
        AsyncStw = 3 "async stw",
    }

    /// How a G left the world of Gs for the kernel.
    SyscallKind {
        /// It keeps the P until sysmon takes it.
        Syscall = 0 "syscall",
        /// It gave the P away at once.
        Blocking = 1 "blocking",
    }

    /// Why an M let go of its P.
    PStopReason {
        /// Nothing to run.
        Idle = 0 "idle",
        /// Its G is about to block in the kernel.
        Blocking = 1 "blocking",
        /// The world stops.
        Stw = 2 "stw",
        /// The P count shrank below it.
        Resize = 3 "resize",
        /// It gave the P to the M that its G is locked to.
        Locked = 4 "locked",
        /// The runtime ends.
        Shutdown = 5 "shutdown",
    }

    /// Why a P was taken from a G in a system call.
    RetakeCause {
        /// There is work for it, or it was away for long.
        Syscall = 0 "syscall",
        /// The world stops.
        Stw = 1 "stw",
    }

    /// Where a P went that was handed off.
    HandoffTo {
        /// To an M, woken or made for it.
        M = 0 "m",
        /// To the list of idle Ps.
        Idle = 1 "idle",
        /// To the stopped world.
        Stw = 2 "stw",
    }

    /// Why an M was woken.
    WakeReason {
        /// To look for work: something became runnable and nobody was looking.
        Work = 0 "work",
        /// To run a P that another M had to let go.
        Handoff = 1 "handoff",
        /// Because the world starts again.
        Start = 2 "start",
        /// To run the G that is locked to it.
        Locked = 3 "locked",
        /// To leave the network poller before its time.
        Netpoll = 4 "netpoll",
        /// Because the runtime ends.
        Shutdown = 5 "shutdown",
    }

    /// What a thread that emits is.
    MKind {
        /// An M that runs Gs.
        Worker = 0 "worker",
        /// The monitor thread.
        Sysmon = 1 "sysmon",
        /// A thread that is not the runtime's, which readied a G.
        Foreign = 2 "foreign",
        /// The thread that polls the network, where that is a policy.
        Netpoll = 3 "netpoll",
    }

    /// Which part of a victim's queue was stolen from.
    StealFrom {
        /// The ring.
        Ring = 0 "ring",
        /// The `runnext` slot.
        Runnext = 1 "runnext",
    }

    /// Why the world was stopped.
    StwKind {
        /// To change the number of Ps.
        SetProcs = 0 "set procs",
        /// To look at everything at rest.
        Inspect = 1 "inspect",
        /// To end the run.
        Shutdown = 2 "shutdown",
    }
}

vocabulary! {
    /// The state of a G as of now, for a reader that could not see how it came about.
    1 GStatus "g_status" {
        /// the G
        g: GId => G,
        /// its state
        state: GState => A1,
        /// the sequence number it has reached
        seq: u64 => Seq,
        /// the M it is on, if running or in a system call
        on_m: Option<MId> => A2,
    }
    /// The state of a P as of now, for a reader that could not see how it came about.
    2 PStatus "p_status" {
        /// the P
        p: PId => P,
        /// its state
        state: PState => A1,
        /// the sequence number it has reached
        seq: u64 => Seq,
        /// the M that holds it
        on_m: Option<MId> => A2,
        /// head position of its ring
        head: u32 => A3,
        /// tail position of its ring
        tail: u32 => A4,
        /// the G in its runnext
        runnext: GId => A5,
    }
    /// An object got its id: before the first wait for it.
    3 Object "object" {
        /// the object
        object: ObjectId => A1,
        /// what it is
        kind: ObjectKind => A2,
        /// where it was made
        site: SiteId => A3,
    }
    /// The number of Ps changed; also emitted once at the start.
    4 Procs "procs" {
        /// the new number
        procs: u32 => A1,
    }

    /// A G was spawned by the running G (or by nobody, for the first) and is runnable.
    10 Spawn "spawn" {
        /// the new G
        g: GId => G,
        /// what it is made of
        kind: GKind => A1,
        /// where it was spawned
        site: SiteId => A2,
        /// where it was put
        placed: Placed => A3,
        /// the G it pushed out of runnext
        kicked: GId => A4,
        /// the global queue's operation number, if it was put there
        gq: u64 => A5,
    }
    /// A runnable G runs on this M.
    11 Start "start" {
        /// the G
        g: GId => G,
        /// its sequence number
        seq: u64 => Seq,
        /// where it was taken from
        source: Source => A1,
        /// by which rule
        rule: Rule => A2,
        /// head position of the ring before the take, if taken from local or youngest
        pos: u32 => A3,
    }
    /// The running G gave way and is runnable.
    12 Yield "yield" {
        /// where it was put
        placed: Placed => A3,
        /// the global queue's operation number, if it was put there
        gq: u64 => A5,
    }
    /// The running G was preempted and is runnable.
    13 Preempt "preempt" {
        /// why
        cause: PreemptCause => A1,
        /// where it was put
        placed: Placed => A3,
        /// the G it pushed out of runnext
        kicked: GId => A4,
        /// the global queue's operation number, if it was put there
        gq: u64 => A5,
    }
    /// The running G waits.
    14 Park "park" {
        /// for what kind of thing
        reason: ParkReason => A1,
        /// for which one
        object: ObjectId => A2,
    }
    /// A waiting G became runnable.
    15 Ready "ready" {
        /// the G
        g: GId => G,
        /// its sequence number
        seq: u64 => Seq,
        /// what readied it
        via: Via => A1,
        /// where it was put
        placed: Placed => A3,
        /// the G it pushed out of runnext
        kicked: GId => A4,
        /// the global queue's operation number, if it was put there
        gq: u64 => A5,
    }
    /// The running G ended.
    16 Exit "exit" {
        /// whether by a panic
        panicked: bool => A1,
    }
    /// The running G enters a system call.
    17 SyscallEnter "syscall_enter" {
        /// whether it keeps the P for now
        kind: SyscallKind => A1,
        /// the P's sequence number
        seq: u64 => Seq,
    }
    /// The system call ended with the P still at hand: the G runs on.
    18 SyscallExit "syscall_exit" {}
    /// The system call ended after the P was lost: the G is runnable.
    19 SyscallExitBlocked "syscall_exit_blocked" {
        /// where it was put
        placed: Placed => A3,
        /// the global queue's operation number, if it was put there
        gq: u64 => A5,
    }
    /// A G was readied while it ran: its next park is no park. Reserved for futures.
    20 Notify "notify" {
        /// the G
        g: GId => G,
        /// its sequence number
        seq: u64 => Seq,
        /// what readied it
        via: Via => A1,
    }
    /// The running G of a P was asked to give way and went on, so far: emitted by who asked (sysmon, once for each time slice that it goes
    /// on; the stopper of the world, once). Which G that was, the P's other events say.
    22 PreemptRequest "preempt_request" {
        /// the P
        p: PId => P,
        /// the M that held it
        of_m: MId => A1,
        /// why
        cause: PreemptCause => A2,
        /// for how long its time slice had lasted, or the world had been stopping, in nanoseconds
        ns: u64 => A3,
        /// whether it was in a preemptible section, so that a signal was sent
        signal: bool => A4,
    }

    /// An M took an idle P.
    25 PStart "p_start" {
        /// the P
        p: PId => P,
        /// its sequence number
        seq: u64 => Seq,
    }
    /// The M let its P go: the P is idle.
    26 PStop "p_stop" {
        /// why
        reason: PStopReason => A1,
    }
    /// A P was taken from an M whose G is in a system call: the P is idle.
    27 Retake "retake" {
        /// the P
        p: PId => P,
        /// its sequence number
        seq: u64 => Seq,
        /// the M it was taken from
        from_m: MId => A1,
        /// why
        cause: RetakeCause => A2,
    }
    /// A P that was retaken or given up was passed on.
    28 Handoff "handoff" {
        /// the P
        p: PId => P,
        /// where to
        to: HandoffTo => A1,
        /// the M that gets it
        to_m: Option<MId> => A2,
    }

    /// A thread begins to emit: the first event of its stream.
    30 MStart "m_start" {
        /// the kernel's thread id
        tid: u32 => A1,
        /// what the thread is
        kind: MKind => A2,
    }
    /// The M sleeps until it is woken.
    31 MPark "m_park" {}
    /// The M is awake again.
    32 MUnpark "m_unpark" {}
    /// An M was woken, or made, by this one.
    33 MWake "m_wake" {
        /// the M
        woken: MId => A1,
        /// the P it gets
        with_p: Option<PId> => A2,
        /// why
        reason: WakeReason => A3,
        /// whether it begins as a spinner
        spinning: bool => A4,
        /// whether the thread was made for it
        created: bool => A5,
    }
    /// The M ends: the last event of its stream.
    34 MExit "m_exit" {}
    /// The M begins to look for work at other Ps.
    35 SpinStart "spin_start" {}
    /// The M stops looking.
    36 SpinStop "spin_stop" {
        /// whether it found a G
        found: bool => A1,
        /// passes made over all Ps in this search
        passes: u32 => A2,
        /// victims tried in this search
        tried: u32 => A3,
    }

    /// Gs were stolen from another P; the last of them is run, the rest are in the thief's ring.
    40 Steal "steal" {
        /// the P they were taken from
        victim: PId => A1,
        /// the first of them
        g: GId => G,
        /// how many
        n: u32 => A2,
        /// head position of the victim's ring before the take
        pos: u32 => Seq,
        /// length of the victim's ring before
        victim_len: u32 => A3,
        /// length of the thief's ring before
        thief_len: u32 => A4,
        /// passes made over all Ps in this search, this one included
        passes: u32 => A5,
        /// victims tried in this search, this one included
        tried: u32 => A6,
        /// which part of the victim's queue
        from: StealFrom => A7,
    }
    /// The P's ring was full: its oldest Gs went to the tail of the global queue, and the G that found it full follows them.
    41 Overflow "overflow" {
        /// the first of them
        g: GId => G,
        /// how many
        n: u32 => A1,
        /// head position of the ring before the take
        pos: u32 => Seq,
        /// the global queue's operation number
        gq: u64 => A2,
    }
    /// Gs were taken from the head of the global queue; the first is run, the rest are in the P's ring. Where Gs of the queue are meant
    /// for Ps, these are the oldest of those with the same P as the first, or of those without one.
    42 GlobalGrab "global_grab" {
        /// the first of them
        g: GId => G,
        /// how many
        n: u32 => A1,
        /// the global queue's operation number
        gq: u64 => A2,
        /// length of the global queue before
        len: u32 => A3,
    }
    /// A P beyond the new count gave its whole queue, runnext first, to the head of the global queue.
    43 Drain "drain" {
        /// the P
        p: PId => P,
        /// how many, runnext included
        n: u32 => A1,
        /// whether its runnext was among them
        runnext: bool => A3,
        /// the global queue's operation number
        gq: u64 => A2,
        /// head position of the ring before
        pos: u32 => Seq,
    }

    /// The G that the emitter is about to spawn onto the global queue is meant for this P; others take it only before they have nothing.
    44 Assign "assign" {
        /// the P
        p: PId => P,
        /// the G
        g: GId => G,
    }

    /// The network poller was asked.
    50 Netpoll "netpoll" {
        /// how many Gs became ready
        n: u32 => A1,
        /// whether the M blocked in it
        blocking: bool => A2,
    }
    /// A timer fired.
    51 Timer "timer" {
        /// the P whose heap held it
        heap: PId => A1,
        /// how late, in nanoseconds
        late_ns: u64 => A2,
    }

    /// The emitter begins to stop the world.
    55 StwBegin "stw_begin" {
        /// why
        kind: StwKind => A1,
    }
    /// The world goes on from here. What comes before it in the order is what the world was when it stood still.
    56 StwEnd "stw_end" {}

    /// A span of the `tracing` crate was made by the running G.
    60 SpanOpen "span_open" {
        /// the span
        span: SpanId => A1,
        /// the span it is part of
        parent: SpanId => A2,
        /// its name
        name: StringId => A3,
        /// its fields, as text
        fields: StringId => A4,
    }
    /// The span is over.
    61 SpanClose "span_close" {
        /// the span
        span: SpanId => A1,
    }
    /// The running G enters the span.
    62 SpanEnter "span_enter" {
        /// the span
        span: SpanId => A1,
    }
    /// The running G leaves the span.
    63 SpanExit "span_exit" {
        /// the span
        span: SpanId => A1,
    }

    /// The M's hardware or software counters were read: what they counted since the last reading on this M.
    80 Counters "counters" {
        /// time the group was enabled since, in nanoseconds
        enabled_ns: u64 => Other,
        /// time the group was counting since, in nanoseconds
        running_ns: u64 => Other,
        /// counter 0
        c0: u64 => Other,
        /// counter 1
        c1: u64 => Other,
        /// counter 2
        c2: u64 => Other,
        /// counter 3
        c3: u64 => Other,
        /// counter 4
        c4: u64 => Other,
        /// counter 5
        c5: u64 => Other,
        /// counter 6
        c6: u64 => Other,
        /// counter 7
        c7: u64 => Other,
    }
    /// The writer waited because the spool was full.
    85 Blocked "blocked" {
        /// how long, in nanoseconds
        waited_ns: u64 => A1,
    }
}

/// Numbers kept for kinds that a later version will define; a reader of this version refuses them by name.
pub const RESERVED: &[(u8, &str)] = &[
    (21, "stop_notified"),
    (70, "poll_result"),
    (71, "metric"),
    (72, "label"),
    (73, "log"),
    (74, "cancel"),
    (75, "range_begin"),
    (76, "range_end"),
    (77, "task_begin"),
    (78, "task_end"),
    (79, "cpu_sample"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_reserved_numbers_are_distinct() {
        let mut seen = std::collections::BTreeSet::new();
        for kind in Kind::ALL {
            assert!(seen.insert(*kind as u8), "{} twice", kind.name());
            assert_eq!(Kind::from_u8(*kind as u8), Some(*kind));
            assert_eq!(Kind::from_name(kind.name()), Some(*kind));
        }
        for (n, name) in RESERVED {
            assert!(seen.insert(*n), "{name} twice");
        }
    }

    #[test]
    fn no_kind_uses_a_column_twice() {
        for kind in Kind::ALL {
            let mut seen = Vec::new();
            for field in kind
                .spec()
                .fields
                .iter()
                .filter(|f| f.column != Column::Other)
            {
                assert!(
                    !seen.contains(&field.column),
                    "{} of {}",
                    field.name,
                    kind.name()
                );
                seen.push(field.column);
            }
        }
    }
}
