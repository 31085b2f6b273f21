//! What the limiter counts. Labels name the kind of a limit, never a user.

use std::sync::Arc;

use metrics::{Counter, counter};

/// The kinds of limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Requests per second of a user.
    Requests,
    /// Tokens per minute of an endpoint.
    ModelTokens,
    /// Tokens per minute of a user at an endpoint.
    UserTokens,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Requests, Self::ModelTokens, Self::UserTokens];

    const fn label(self) -> &'static str {
        match self {
            Self::Requests => "requests_per_second",
            Self::ModelTokens => "tpm_model",
            Self::UserTokens => "tpm_user",
        }
    }

    /// The length of its window, in milliseconds.
    pub(super) const fn window(self) -> u64 {
        match self {
            Self::Requests => 1_000,
            Self::ModelTokens | Self::UserTokens => 60_000,
        }
    }
}

/// The counters of one kind.
pub(super) struct Meters {
    /// Decisions, by whether they were made without a Redis that there should be.
    admitted: [Counter; 2],
    refused: [Counter; 2],
    /// Questions for leases.
    pub(super) granted: Counter,
    pub(super) denied: Counter,
    pub(super) returned: Counter,
    pub(super) failed: Counter,
}

impl std::fmt::Debug for Meters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meters")
    }
}

impl Meters {
    pub(super) fn new(kind: Kind) -> Arc<Self> {
        let limit = kind.label();
        let decision = |decision| counter!("figw_limiter_decisions_total", "limit" => limit, "decision" => decision);
        let lease =
            |outcome| counter!("figw_limiter_leases_total", "limit" => limit, "outcome" => outcome);
        Arc::new(Self {
            admitted: ["admitted", "admitted_alone"].map(decision),
            refused: ["refused", "refused_alone"].map(decision),
            granted: lease("granted"),
            denied: lease("denied"),
            returned: lease("returned"),
            failed: lease("failed"),
        })
    }

    pub(super) fn decided(&self, admitted: bool, alone: bool) {
        let counters = if admitted { &self.admitted } else { &self.refused };
        counters[usize::from(alone)].increment(1);
    }
}
