//! Clusters, endpoints, federations and keys as one immutable view, swapped when the store changes.

pub mod edits;
pub mod fixtures;
mod rules;
pub mod snapshot;
pub mod watch;

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

pub use rules::{Fault, Kind};
pub use snapshot::{Federated, FederatedTarget, KeyRefusal, Served, Snapshot};

use crate::domain::{Health, Trouble};

/// The catalogue of a running gateway: the newest [`Snapshot`], and whether it is kept up to date.
#[derive(Debug)]
pub struct Catalog {
    current: ArcSwap<Snapshot>,
    /// Whether the snapshot is kept up to date.
    health: Health,
}

impl Catalog {
    /// Starts with `snapshot`.
    #[must_use]
    pub fn new(snapshot: Snapshot) -> Self {
        Self { current: ArcSwap::from_pointee(snapshot), health: Health::default() }
    }

    /// The newest snapshot, for the length of one short task; costs no reference count.
    pub fn load(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// The newest snapshot, to be kept across `await` points.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Puts a newer snapshot in place; requests under way keep theirs.
    pub fn replace(&self, snapshot: Snapshot) {
        self.current.store(Arc::new(snapshot));
    }

    /// Why the snapshot may be out of date; `None` while the store answers.
    #[must_use]
    pub fn trouble(&self) -> Option<Arc<Trouble>> {
        self.health.trouble()
    }
}
