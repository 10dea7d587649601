//! The runtime's own counters: what it counted for itself, independent of the tracer.
//!
//! Each emitting thread has one block of counters that only it writes, so counting is a plain load, add and store.
//! The table says which events each counter must equal; `gmp-analyze --report check` compares them.

use crate::event::{Event, Kind, ParkReason, PreemptCause};

/// How a counter's value follows from the events of a complete trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Equals {
    /// The number of events of this kind.
    Count(Kind),
    /// The sum over the events of this kind of the argument with this name.
    Sum(Kind, &'static str),
    /// The number of events of this kind whose argument with this name has one of these values on the wire.
    CountOf(Kind, &'static str, &'static [u64]),
    /// The number of parks with a reason that [`Tally::of_park`] says is this counter's.
    Parks,
    /// Nothing in the trace: the counter says what is not recorded singly.
    Nothing,
}

macro_rules! tallies {
    ($($(#[doc = $doc:literal])* $variant:ident $name:literal $equals:expr;)*) => {
        /// One of the runtime's own counters.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(usize)]
        pub enum Tally {
            $($(#[doc = $doc])* $variant,)*
        }

        impl Tally {
            /// Every counter, in the order of its slot.
            pub const ALL: &'static [Tally] = &[$(Tally::$variant),*];

            /// Its name in the database and in reports.
            pub fn name(self) -> &'static str {
                match self { $(Tally::$variant => $name,)* }
            }

            /// Its meaning.
            pub fn doc(self) -> &'static str {
                match self { $(Tally::$variant => concat!($($doc),*),)* }
            }

            /// What it must equal in a trace that lost nothing.
            pub fn equals(self) -> Equals {
                match self { $(Tally::$variant => $equals,)* }
            }
        }
    };
}

use Equals::{Count, CountOf, Nothing, Parks, Sum};

tallies! {
    /// Gs spawned
    Spawns "spawns" Count(Kind::Spawn);
    /// Gs started: context switches into a G
    Starts "starts" Count(Kind::Start);
    /// Yields
    Yields "yields" Count(Kind::Yield);
    /// Preemptions
    Preempts "preempts" Count(Kind::Preempt);
    /// Parks, of any reason
    Parks "parks" Count(Kind::Park);
    /// Waiting Gs made runnable
    Readies "readies" Count(Kind::Ready);
    /// Gs ended
    Exits "exits" Count(Kind::Exit);
    /// System calls entered
    SyscallEnters "syscall_enters" Count(Kind::SyscallEnter);
    /// System calls ended with the P at hand
    SyscallExits "syscall_exits" Count(Kind::SyscallExit);
    /// System calls ended after the P was lost
    SyscallExitsBlocked "syscall_exits_blocked" Count(Kind::SyscallExitBlocked);
    /// Ps taken by an M
    PStarts "p_starts" Count(Kind::PStart);
    /// Ps let go by an M
    PStops "p_stops" Count(Kind::PStop);
    /// Ps taken from system calls
    Retakes "retakes" Count(Kind::Retake);
    /// Ps handed off
    Handoffs "handoffs" Count(Kind::Handoff);
    /// Threads that began to emit
    MStarts "m_starts" Count(Kind::MStart);
    /// Ms put to sleep
    MParks "m_parks" Count(Kind::MPark);
    /// Ms woken or made
    MWakes "m_wakes" Count(Kind::MWake);
    /// Ms made
    MCreated "m_created" Sum(Kind::MWake, "created");
    /// Searches begun at other Ps
    SpinStarts "spin_starts" Count(Kind::SpinStart);
    /// Searches ended
    SpinStops "spin_stops" Count(Kind::SpinStop);
    /// Victims looked at
    StealsTried "steals_tried" Sum(Kind::SpinStop, "tried");
    /// Steals that took something
    Steals "steals" Count(Kind::Steal);
    /// Gs stolen
    StolenGs "stolen_gs" Sum(Kind::Steal, "n");
    /// Times a full ring gave to the global queue
    Overflows "overflows" Count(Kind::Overflow);
    /// Gs that went to the global queue from a full ring
    OverflowedGs "overflowed_gs" Sum(Kind::Overflow, "n");
    /// Takes from the global queue
    GlobalGrabs "global_grabs" Count(Kind::GlobalGrab);
    /// Gs taken from the global queue
    GlobalGrabbedGs "global_grabbed_gs" Sum(Kind::GlobalGrab, "n");
    /// Questions to the network poller that are recorded: those that blocked, and those that found something
    Netpolls "netpolls" Count(Kind::Netpoll);
    /// Gs readied by the network poller
    NetpollReadies "netpoll_readies" Sum(Kind::Netpoll, "n");
    /// Timers fired
    Timers "timers" Count(Kind::Timer);
    /// Times the world was stopped
    Stws "stws" Count(Kind::StwBegin);
    /// Parks for a point in time
    ParksSleep "parks_sleep" Parks;
    /// Parks in a channel operation
    ParksChan "parks_chan" Parks;
    /// Parks in another synchronisation primitive, joins included
    ParksSync "parks_sync" Parks;
    /// Parks for the network
    ParksNet "parks_net" Parks;
    /// Parks of any other reason
    ParksOther "parks_other" Parks;
    /// New Gs meant for another P than the spawning one
    Assigns "assigns" Count(Kind::Assign);
    /// Preemptions by a signal
    AsyncPreempts "async_preempts" CountOf(Kind::Preempt, "cause", &[PreemptCause::AsyncSlice as u64, PreemptCause::AsyncStw as u64]);
    /// Requests to give way that are recorded: those that went unanswered so far
    PreemptRequests "preempt_requests" Count(Kind::PreemptRequest);
    /// Signals sent into preemptible sections
    PreemptSignals "preempt_signals" Nothing;
    /// Gs that the rings held which were stolen from
    VictimGs "victim_gs" Sum(Kind::Steal, "victim_len");
}

impl Equals {
    /// The kind of the events that it is about.
    pub fn kind(self) -> Option<Kind> {
        match self {
            Count(kind) | CountOf(kind, ..) | Sum(kind, _) => Some(kind),
            Parks => Some(Kind::Park),
            Nothing => None,
        }
    }
}

impl Tally {
    /// The counter of parks with this reason.
    pub fn of_park(reason: ParkReason) -> Tally {
        match reason {
            ParkReason::Sleep => Tally::ParksSleep,
            ParkReason::ChanSend | ParkReason::ChanRecv | ParkReason::Select => Tally::ParksChan,
            ParkReason::Mutex
            | ParkReason::WaitGroup
            | ParkReason::Join
            | ParkReason::Semaphore
            | ParkReason::Cond
            | ParkReason::RwLock => Tally::ParksSync,
            ParkReason::NetRead
            | ParkReason::NetWrite
            | ParkReason::NetAccept
            | ParkReason::NetConnect => Tally::ParksNet,
            ParkReason::Unspecified
            | ParkReason::Forever
            | ParkReason::Stw
            | ParkReason::Pending => Tally::ParksOther,
        }
    }

    /// What an event adds to it.
    pub fn added_by(self, event: &Event) -> u64 {
        match (self.equals(), event) {
            (Count(kind), event) => u64::from(event.kind() == kind),
            (Sum(kind, name), event) if event.kind() == kind => argument(event, name),
            (CountOf(kind, name, values), event) if event.kind() == kind => {
                u64::from(values.contains(&argument(event, name)))
            }
            (Parks, Event::Park { reason, .. }) => u64::from(Tally::of_park(*reason) == self),
            _ => 0,
        }
    }
}

/// The value of an event's argument with this name; 0 if it has none.
fn argument(event: &Event, name: &str) -> u64 {
    let mut fields = event.kind().spec().fields.iter();
    let mut found = 0;
    event.args(|value| {
        if fields.next().is_some_and(|f| f.name == name) {
            found = value;
        }
    });
    found
}

/// Slots of a block of counters: more than there are counters, so that later ones fit the same layout.
pub const SLOTS: usize = 64;

const _: () = assert!(Tally::ALL.len() <= SLOTS);
