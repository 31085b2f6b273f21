//! Why one endpoint did not answer a request, and what that says about it.

use super::{refusal::Refusal, routing::Fault};
use crate::backends::Presence;

/// An endpoint that did not answer. Nothing has gone out to the caller yet.
#[derive(Debug)]
pub struct Miss {
    /// What the caller is told, if no other endpoint answers.
    pub refusal: Refusal,
    /// What is to follow from it.
    pub blame: Blame,
}

/// Whose fault it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The request's, or the gateway's: no other endpoint would do better.
    Request,
    /// Nobody's: the endpoint does not do this, another may.
    Nobody,
    /// Nobody's: the endpoint takes no requests at present.
    Absence(Presence),
    /// The endpoint's.
    Endpoint(Fault),
}

impl Refusal {
    /// Lays the blame for it.
    pub(super) const fn blamed_on(self, blame: Blame) -> Miss {
        Miss { refusal: self, blame }
    }

    /// Blames the endpoint: it failed.
    pub(super) const fn failed(self) -> Miss {
        self.blamed_on(Blame::Endpoint(Fault::Failed))
    }
}
