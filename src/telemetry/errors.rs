//! How many lines of level `error` were logged: what a checklist asks a running gateway about.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use jiff::Timestamp;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

static COUNT: AtomicU64 = AtomicU64::new(0);
/// In seconds since 1970; 0 for never.
static LAST: AtomicI64 = AtomicI64::new(0);

/// Counts errors on their way to the log.
#[derive(Debug)]
pub(super) struct CountErrors;

impl<S: Subscriber> Layer<S> for CountErrors {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() == Level::ERROR {
            COUNT.fetch_add(1, Relaxed);
            LAST.store(Timestamp::now().as_second(), Relaxed);
        }
    }
}

/// How many there were since the process began, and when the last one was.
#[must_use]
pub fn seen() -> (u64, Option<Timestamp>) {
    let last = Some(LAST.load(Relaxed)).filter(|last| *last != 0);
    (COUNT.load(Relaxed), last.and_then(|last| Timestamp::from_second(last).ok()))
}
