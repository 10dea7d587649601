//! Spans of the `tracing` crate, attached to the G that runs them.
//!
//! ```
//! use tracing_subscriber::prelude::*;
//!
//! tracing_subscriber::registry().with(gmp_runtime::spans::layer()).init();
//! // SAFETY: nothing bound to a thread is held over a call into the runtime (see `Builder::new`); spans are seen to, as below.
//! unsafe { gmp_runtime::Builder::new() }.run(|| {
//!     let _request = tracing::info_span!("request", id = 7).entered();
//!     gmp_runtime::yield_now();
//!     // May be another thread, but it is the same G, and so it is still in its span.
//!     assert_eq!(tracing::Span::current().metadata().map(|m| m.name()), Some("request"));
//! });
//! ```
//!
//! # Spans and threads
//! `tracing` keeps the spans that were entered for each thread, but a G changes threads. So a G that suspends first leaves its spans, the last
//! one first, and enters them again where it goes on: other Gs on its old thread don't inherit them, and it is in them on its
//! new one. Every layer of the subscriber sees that, just as it does when a future is polled inside a span; in the recording it doesn't show.
//! A guard of a span may therefore be held over calls into the runtime, if this layer is installed: it is the one exception to what
//! [`crate::Builder::new`] demands.
//!
//! What does not move with a G is a subscriber that was set for one thread (`tracing::subscriber::with_default`): set it for the process.
//! Code of a subscriber must not call into the runtime. This layer must see all spans: filter others, not this one.
//!
//! # What is recorded
//! A span when it is made, by a G or by another thread; its name, and the fields that have a value then, as `name=value, ...`, cut
//! after [`MAX_FIELDS_BYTES`] bytes; when it is entered and left by a G, and when its last handle is gone. Names and fields go to a table that each
//! different text is in once: at most [`MAX_STRINGS`](gmp_trace::spool::writer::MAX_STRINGS) of them. Fields that take millions of
//! different values fill it; the later ones are then recorded as one text that says so. Events of `tracing` are not recorded.

use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use gmp_trace::event::Event;
use gmp_trace::ids::SpanId;
use tracing::dispatcher::WeakDispatch;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Dispatch, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::sched;
use crate::sched::g::GRef;
use crate::sched::m::{self, M};
use crate::tracer::{Tracer, foreign};

/// The most bytes of a span's fields that are recorded.
pub const MAX_FIELDS_BYTES: usize = 256;

/// A layer that records the spans of Gs. See the module.
pub fn layer() -> SpanLayer {
    SpanLayer {
        dispatch: Arc::new(OnceLock::new()),
    }
}

/// Records the spans of Gs, and lets them move between threads with their Gs. Made by [`layer`].
#[derive(Debug)]
pub struct SpanLayer {
    /// The subscriber that this layer is a part of.
    dispatch: Arc<OnceLock<WeakDispatch>>,
}

/// The name of a span in the recording: `tracing`'s own are used again once a span is closed.
#[derive(Clone, Copy)]
struct Named {
    id: SpanId,
    /// Whether its making is in the recording.
    recorded: bool,
}

/// The spans that a G is in, with the subscribers that know them; the last entered last.
#[derive(Default)]
pub(crate) struct Entered(Vec<(Arc<OnceLock<WeakDispatch>>, Id)>);

impl<S> Layer<S> for SpanLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_register_dispatch(&self, subscriber: &Dispatch) {
        // A layer belongs to one subscriber; a second call says the same.
        let _ = self.dispatch.set(subscriber.downgrade());
    }

    fn on_new_span(&self, attrs: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let Some(span) = ctx.span(id) else { return };
        let parent = span
            .parent()
            .and_then(|p| p.extensions().get::<Named>().copied());
        // Relaxed: a number that nobody else has.
        let new = SpanId(NEXT.fetch_add(1, Ordering::Relaxed));
        let recorded = with_tracer(|tracer| {
            if !tracer.is_on() {
                return false;
            }
            let ticks = tracer.now();
            let mut fields = Fields::default();
            attrs.record(&mut fields);
            let event = Event::SpanOpen {
                span: new,
                parent: parent.filter(|p| p.recorded).map_or(SpanId(0), |p| p.id),
                name: tracer.name(attrs.metadata().name()),
                fields: tracer.text(&fields.text),
            };
            tracer.emit(ticks, event);
            true
        });
        span.extensions_mut().replace(Named {
            id: new,
            recorded: recorded.unwrap_or(false),
        });
    }

    fn on_enter(&self, id: &Id, ctx: Context<'_, S>) {
        let Some((m, g)) = running() else { return };
        if m.moving_spans.get() {
            return;
        }
        let mut spans = g.spans.take().unwrap_or_default();
        spans.0.push((Arc::clone(&self.dispatch), id.clone()));
        g.spans.set(Some(spans));
        if let Some(span) = recorded(id, &ctx) {
            let ticks = m.tracer().now();
            m.tracer().emit(ticks, Event::SpanEnter { span });
        }
    }

    fn on_exit(&self, id: &Id, ctx: Context<'_, S>) {
        let Some((m, g)) = running() else { return };
        if m.moving_spans.get() {
            return;
        }
        if let Some(mut spans) = g.spans.take() {
            // Not always the last: guards may be dropped in any order.
            if let Some(at) = spans.0.iter().rposition(|(_, entered)| entered == id) {
                spans.0.remove(at);
            }
            g.spans.set(Some(spans).filter(|s| !s.0.is_empty()));
        }
        if let Some(span) = recorded(id, &ctx) {
            let ticks = m.tracer().now();
            m.tracer().emit(ticks, Event::SpanExit { span });
        }
    }

    fn on_close(&self, id: Id, ctx: Context<'_, S>) {
        if let Some(span) = recorded(&id, &ctx) {
            with_tracer(|tracer| tracer.emit(tracer.now(), Event::SpanClose { span }));
        }
    }
}

/// The name of a span whose making is in the recording.
fn recorded<S>(id: &Id, ctx: &Context<'_, S>) -> Option<SpanId>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let named = ctx.span(id)?.extensions().get::<Named>().copied()?;
    named.recorded.then_some(named.id)
}

/// The G that calls, in a system call too, with its M.
fn running() -> Option<(&'static M, GRef)> {
    let m = m::current()?;
    Some((m, m.g.get()?))
}

/// Calls `f` with this thread's tracer, if a runtime was started.
fn with_tracer<T>(f: impl FnOnce(&mut Tracer) -> T) -> Option<T> {
    match m::current() {
        Some(m) => Some(f(m.tracer())),
        None => sched::home().map(|sched| foreign::with(sched, f)),
    }
}

/// The running G is about to suspend: takes its spans off this thread. They are to be given to [`enter_thread`] where it goes on.
#[inline]
pub(crate) fn leave_thread(m: &'static M, g: GRef) -> Option<Box<Entered>> {
    let spans = g.spans.take()?;
    leave(m, &spans);
    Some(spans)
}

#[cold]
fn leave(m: &'static M, spans: &Entered) {
    m.moving_spans.set(true);
    for (dispatch, id) in spans.0.iter().rev() {
        if let Some(subscriber) = dispatch.get().and_then(WeakDispatch::upgrade) {
            subscriber.exit(id);
        }
    }
    m.moving_spans.set(false);
}

/// The G goes on, perhaps on another thread than before: puts its spans on this one.
#[cold]
pub(crate) fn enter_thread(g: GRef, spans: Box<Entered>) {
    let Some(m) = m::current() else { return };
    m.moving_spans.set(true);
    for (dispatch, id) in &spans.0 {
        if let Some(subscriber) = dispatch.get().and_then(WeakDispatch::upgrade) {
            subscriber.enter(id);
        }
    }
    m.moving_spans.set(false);
    g.spans.set(Some(spans));
}

/// The G ends: what it never left (a guard that was leaked) is taken off this thread.
pub(crate) fn forget(g: GRef) {
    if let (Some(m), Some(spans)) = (m::current(), g.spans.take()) {
        leave(m, &spans);
    }
}

/// A span's fields as text, cut at the limit.
#[derive(Default)]
struct Fields {
    text: String,
    cut: bool,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format_args!("{value:?}"));
    }
}

impl Fields {
    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let separator = if self.text.is_empty() { "" } else { ", " };
        // An error says that the limit was reached.
        let _ = write!(self, "{separator}{}={value}", field.name());
    }
}

impl Write for Fields {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.cut {
            return Err(fmt::Error);
        }
        const MARK: char = '…';
        let room = (MAX_FIELDS_BYTES - MARK.len_utf8()).saturating_sub(self.text.len());
        if text.len() <= room {
            self.text.push_str(text);
            return Ok(());
        }
        let boundary = (0..=room).rev().find(|at| text.is_char_boundary(*at));
        self.text.push_str(&text[..boundary.unwrap_or(0)]);
        self.text.push(MARK);
        self.cut = true;
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_cut_between_characters() {
        let mut fields = Fields::default();
        let long = "ä".repeat(300);
        assert!(write!(fields, "a={long}").is_err());
        assert!(fields.text.len() <= MAX_FIELDS_BYTES && fields.text.ends_with("ä…"));
        assert!(write!(fields, "more").is_err());
    }
}
