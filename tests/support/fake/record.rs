//! What the back end has seen.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::HeaderMap;
use tokio::sync::Notify;

use super::fault::Fault;

/// Inference requests by how they ended. `opened` is the sum of the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Begun.
    pub opened: usize,
    /// Being answered now.
    pub open: usize,
    /// Answered to the end, or to the end that a fault set.
    pub completed: usize,
    /// Left by the caller.
    pub aborted: usize,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Received {
    /// Method and path with query.
    pub line: String,
    /// All headers.
    pub headers: HeaderMap,
    /// SHA-256 of the body, in hex.
    pub sha256: String,
    /// The body's length in bytes.
    pub length: usize,
    /// The body, up to a megabyte; empty when it was larger.
    pub body: Bytes,
}

/// Everything seen since the start, and the faults still to come.
#[derive(Default)]
pub struct Record {
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Default)]
struct Inner {
    counts: Counts,
    aborts: Vec<Instant>,
    received: Vec<Received>,
    scripted: VecDeque<Option<Fault>>,
    always: Option<Fault>,
}

impl Record {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no test support code panics while it holds the record")
    }

    pub(super) fn script(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.lock().scripted.extend(faults);
    }

    pub(super) fn always(&self, fault: Option<Fault>) {
        self.lock().always = fault;
    }

    /// The fault for the next request; `asked` is what the request itself asks for.
    pub(super) fn next_fault(&self, asked: Option<Fault>) -> Option<Fault> {
        let mut inner = self.lock();
        match inner.scripted.pop_front() {
            Some(scripted) => scripted,
            None => inner.always.or(asked),
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.lock().counts
    }

    pub(super) fn aborts(&self) -> Vec<Instant> {
        self.lock().aborts.clone()
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.lock().received.clone()
    }

    pub(super) fn keep(&self, request: Received) {
        self.lock().received.push(request);
    }

    pub(super) async fn wait_until(
        &self,
        within: Duration,
        wanted: impl Fn(Counts) -> bool,
    ) -> bool {
        let reached = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if wanted(self.counts()) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(within, reached).await.is_ok()
    }

    fn update(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.lock());
        self.changed.notify_waiters();
    }
}

/// One request's entry in the counts; dropped before [`Entry::complete`], the caller has left.
pub(super) struct Entry {
    record: Arc<Record>,
    completed: bool,
}

impl Entry {
    pub(super) fn open(record: Arc<Record>) -> Self {
        record.update(|inner| {
            inner.counts.opened += 1;
            inner.counts.open += 1;
        });
        Self { record, completed: false }
    }

    pub(super) fn complete(&mut self) {
        if self.completed {
            return;
        }
        self.completed = true;
        self.record.update(|inner| {
            inner.counts.open -= 1;
            inner.counts.completed += 1;
        });
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if self.completed {
            return;
        }
        let now = Instant::now();
        self.record.update(|inner| {
            inner.counts.open -= 1;
            inner.counts.aborted += 1;
            inner.aborts.push(now);
        });
    }
}
