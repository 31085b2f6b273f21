//! How a replica is.

use std::time::Duration;

/// How a replica is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Nobody has looked yet.
    Unknown,
    /// It may be read from.
    Usable {
        /// How far it is behind.
        lag: Duration,
    },
    /// It is well but too far behind.
    Behind {
        /// How far.
        lag: Duration,
        /// How far it may be.
        limit: Duration,
    },
    /// It is the primary itself, by now.
    Primary,
    /// It cannot be read from, for this reason.
    Away(String),
}

impl Condition {
    /// Whether it may be read from.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        matches!(self, Self::Usable { .. })
    }

    /// Whether no answer is to be expected.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Away(_))
    }

    /// How far it is behind, as far as that is known.
    #[must_use]
    pub fn lag(&self) -> Option<Duration> {
        match self {
            Self::Usable { lag } | Self::Behind { lag, .. } => Some(*lag),
            Self::Unknown | Self::Primary | Self::Away(_) => None,
        }
    }

    /// What is wrong with it. That it has become the primary is not: after a failover back, it will
    /// be a replica again.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        match self {
            Self::Unknown => Some("has not answered yet".to_owned()),
            Self::Usable { .. } | Self::Primary => None,
            Self::Behind { lag, limit } => Some(format!(
                "is {} s behind, and database.replica_max_lag is {} s",
                lag.as_secs(),
                limit.as_secs_f32()
            )),
            Self::Away(reason) => Some(reason.clone()),
        }
    }
}
