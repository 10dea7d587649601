//! One thread's end of the trace, and its own counters.
//!
//! There is one [`Tracer`] for each emitting thread: an M, sysmon, or a foreign thread. Emitting costs one predictable branch when
//! nothing is recorded. Counting is independent of it and always on: the counters are what the trace is checked against.

use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};

use gmp_trace::clock;
use gmp_trace::event::{Event, MKind, ParkReason};
use gmp_trace::ids::{MId, SiteId, StringId};
use gmp_trace::spool::writer::{Spool, TallyBlock, Writer};
use gmp_trace::tally::Tally;

mod address_cache;
pub(crate) mod foreign;
mod status;

use crate::perf::{Plan, Readings};
use crate::sched::m::M;

use address_cache::AddressCache;

/// Whether anything is recorded in this process; switched off in a forked child.
static RECORDING: AtomicBool = AtomicBool::new(false);

/// Says that a recording has begun. A child that this process forks from now on is not recorded: the spool takes its files away
/// from it, and its events are not even made.
pub(crate) fn start_recording() {
    extern "C" fn in_child() {
        // Relaxed: this is the only thread.
        RECORDING.store(false, Ordering::Relaxed);
    }
    static INSTALL: Once = Once::new();
    // SAFETY: the handler does one store.
    INSTALL.call_once(|| unsafe {
        libc::pthread_atfork(None, None, Some(in_child));
    });
    // Relaxed: a hint read by the same threads that hold a writer; a writer itself is handed over through other means.
    RECORDING.store(true, Ordering::Relaxed);
}

/// One thread's end of the trace.
pub(crate) struct Tracer {
    recording: Option<Recording>,
    tally: TallyBlock,
}

struct Recording {
    writer: Writer,
    spool: Arc<Spool>,
    sites: AddressCache<SiteId>,
    names: AddressCache<StringId>,
    readings: Option<Readings>,
    /// The M whose tracer this is; none for other threads.
    m: Option<&'static M>,
}

impl Tracer {
    /// Records nothing and counts nowhere that anybody looks: the state before the thread starts.
    pub(crate) fn off() -> Tracer {
        Tracer {
            recording: None,
            tally: TallyBlock::in_memory(),
        }
    }

    /// Begins the stream of the calling thread.
    pub(crate) fn start(spool: Option<&Arc<Spool>>, m: MId, kind: MKind, name: &str) -> Tracer {
        let tid = crate::sys::thread::gettid();
        let recording = spool.map(|spool| Recording {
            writer: spool.writer(m, tid, kind, name),
            spool: Arc::clone(spool),
            sites: AddressCache::new(),
            names: AddressCache::new(),
            readings: None,
            m: None,
        });
        let tally = match &recording {
            Some(r) => r.writer.tally(),
            None => TallyBlock::in_memory(),
        };
        let mut tracer = Tracer { recording, tally };
        tracer.count(Tally::MStarts);
        tracer.emit(tracer.now(), Event::MStart { tid, kind });
        tracer
    }

    /// Says whose tracer this is.
    pub(crate) fn set_m(&mut self, m: &'static M) {
        if let Some(r) = &mut self.recording {
            r.m = Some(m);
        }
    }

    /// Opens the performance counters of the calling thread, whose tracer this is.
    pub(crate) fn open_counters(&mut self, plan: &Arc<Plan>, m: MId) {
        let ticks = self.now();
        if let Some(r) = &mut self.recording {
            r.readings = Readings::open(plan, &r.spool, m, ticks);
        }
    }

    /// The calling thread ends: the last reading of its counters.
    pub(crate) fn close_counters(&mut self) {
        let readings = self.recording.as_mut().and_then(|r| r.readings.as_mut());
        if let Some(event) = readings.and_then(Readings::close) {
            self.emit(self.now(), event);
        }
    }

    /// An interval of a G begins at `ticks`. The time of its `start`: later if the counters were read, which belongs to no G.
    #[inline(always)]
    pub(crate) fn begin_interval(&mut self, ticks: u64) -> u64 {
        let Some(readings) = self.recording.as_mut().and_then(|r| r.readings.as_mut()) else {
            return ticks;
        };
        if readings.passes(ticks) {
            return ticks;
        }
        self.begin_reading(ticks)
    }

    #[cold]
    #[inline(never)]
    fn begin_reading(&mut self, ticks: u64) -> u64 {
        fn of(tracer: &mut Tracer) -> Option<&mut Readings> {
            tracer.recording.as_mut()?.readings.as_mut()
        }
        let (reading, late) = of(self).map_or((None, false), |r| r.begin(ticks));
        if let Some(event) = reading {
            self.emit(ticks, event);
            if let Some(null) = of(self).and_then(Readings::null) {
                self.emit(ticks, null);
            }
        }
        if late { self.now() } else { ticks }
    }

    /// The interval of a G ends; the time of its end. Its reading, if there is one, is made after that time but recorded before the end.
    #[inline(always)]
    pub(crate) fn end_interval(&mut self) -> u64 {
        let ticks = self.now();
        let readings = self.recording.as_mut().and_then(|r| r.readings.as_mut());
        if let Some(event) = readings.and_then(Readings::end) {
            self.emit(ticks, event);
        }
        ticks
    }

    /// The counters of this thread.
    pub(crate) fn tally(&self) -> TallyBlock {
        self.tally
    }

    /// Whether events go anywhere.
    #[inline(always)]
    pub(crate) fn is_on(&self) -> bool {
        self.recording.is_some()
    }

    /// The time of an event about to be published; 0 when nothing is recorded, which saves reading the clock.
    #[inline(always)]
    pub(crate) fn now(&self) -> u64 {
        if self.is_on() { clock::now_ticks() } else { 0 }
    }

    /// Records an event that happened at `ticks`.
    #[inline(always)]
    pub(crate) fn emit(&mut self, ticks: u64, event: Event) {
        if let Some(r) = &mut self.recording {
            // Relaxed: see `start_recording`.
            if RECORDING.load(Ordering::Relaxed) {
                let m = r.m;
                r.writer.emit_with(ticks, event, || match m {
                    Some(m) => status::before(m, &event),
                    None => [None, None],
                });
            }
        }
    }

    /// Counts one.
    #[inline(always)]
    pub(crate) fn count(&self, tally: Tally) {
        self.tally.add(tally, 1);
    }

    /// Counts several.
    #[inline(always)]
    pub(crate) fn count_n(&self, tally: Tally, n: u64) {
        self.tally.add(tally, n);
    }

    /// Counts a park, in all and by its reason.
    #[inline]
    pub(crate) fn count_park(&self, reason: ParkReason) {
        self.count(Tally::Parks);
        self.count(Tally::of_park(reason));
    }

    /// The trace's number for a place in the source; none when nothing is recorded.
    pub(crate) fn site(&mut self, location: &'static Location<'static>) -> SiteId {
        match &mut self.recording {
            None => SiteId(0),
            Some(r) => r.sites.get(location, || {
                let spool = &r.spool;
                spool.site(location.file(), location.line(), location.column())
            }),
        }
    }

    /// The trace's number for a name in the program; none when nothing is recorded.
    pub(crate) fn name(&mut self, name: &'static str) -> StringId {
        match &mut self.recording {
            None => StringId(0),
            Some(r) => r.names.get(name, || r.spool.string(name)),
        }
    }

    /// The trace's number for a text; none when nothing is recorded. Takes a lock.
    pub(crate) fn text(&mut self, text: &str) -> StringId {
        match &mut self.recording {
            None => StringId(0),
            Some(r) => r.spool.string(text),
        }
    }

    /// Says that this thread will write nothing until it is woken, so that readers need not wait for it.
    pub(crate) fn quiet(&mut self, ticks: u64) {
        if let Some(r) = &mut self.recording {
            r.writer.quiet(ticks);
        }
    }

    /// Ends what [`Tracer::quiet`] said; before the time of the next event is taken.
    #[inline]
    pub(crate) fn awake(&mut self) {
        if let Some(r) = &mut self.recording {
            r.writer.awake();
        }
    }

    /// Ends the stream.
    pub(crate) fn finish(&mut self) {
        self.recording = None;
    }
}
