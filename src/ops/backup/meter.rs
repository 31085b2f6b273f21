//! How far a long operation has come, for whoever shows it.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

/// How far a long operation has come. Written by the operation, read by whoever shows it.
#[derive(Debug, Default)]
pub struct Meter {
    step: Mutex<String>,
    done: AtomicU64,
    total: AtomicU64,
}

/// A look at a [`Meter`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// What is being done, such as `dumping the database`.
    pub step: String,
    /// Bytes done in this step.
    pub done: u64,
    /// About how many bytes there are; 0 when nobody knows.
    pub total: u64,
}

impl Meter {
    /// A step begins, with about `total` bytes; 0 when nobody knows.
    pub fn begin(&self, step: impl Into<String>, total: u64) {
        *self.step.lock().unwrap_or_else(PoisonError::into_inner) = step.into();
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    /// More bytes are done.
    pub fn advance(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Where it stands now.
    #[must_use]
    pub fn read(&self) -> Reading {
        Reading {
            step: self.step.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            done: self.done.load(Ordering::Relaxed),
            total: self.total.load(Ordering::Relaxed),
        }
    }
}
