//! `gateway` and `limits`: how requests travel to back ends, and how many.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{problem::Complaints, units::PositiveDurationForm};
use crate::domain::human::duration;

/// The longest pause between two questions about open batches that leaves time for an outage.
const LONGEST_POLL_INTERVAL: Duration = Duration::from_mins(5);

/// How long back ends may take, each budget being separate, and how one of several is chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Gateway {
    /// Longest time to connect to a back end.
    #[serde(with = "duration")]
    #[schemars(with = "PositiveDurationForm")]
    pub connect_timeout: Duration,
    /// Longest wait for the first byte of an answer; a model may still be loading.
    #[serde(with = "duration")]
    #[schemars(with = "PositiveDurationForm")]
    pub first_byte_timeout: Duration,
    /// Longest pause between two chunks of an answer.
    #[serde(with = "duration")]
    #[schemars(with = "PositiveDurationForm")]
    pub idle_timeout: Duration,
    /// Longest time for the whole request.
    #[serde(with = "duration")]
    #[schemars(with = "PositiveDurationForm")]
    pub request_timeout: Duration,
    /// Most unused connections kept open to each back end.
    #[schemars(range(max = 100_000))]
    pub max_idle_per_host: u32,
    /// Failures of an endpoint within `fail_timeout` after which requests are sent to others: at least
    /// one answer in ten must have been one. 0 leaves no endpoint out. Where there is no other that
    /// works, it is tried all the same.
    #[schemars(range(max = 1_000_000))]
    pub max_fails: u32,
    /// How long an endpoint that fails is left out, until one request tries it again; and the time in
    /// which its failures are counted.
    #[serde(with = "duration")]
    #[schemars(with = "PositiveDurationForm")]
    pub fail_timeout: Duration,
    /// Most endpoints of a model that one request is sent to, one after the other, until one answers.
    /// Nothing is sent again once the answer has begun.
    #[schemars(range(min = 1, max = 100))]
    pub max_attempts: u32,
    /// How long an endpoint may answer nobody, however many wait, before its requests are sent to
    /// another one of the model.
    #[serde(with = "duration")]
    #[schemars(with = "PositiveDurationForm")]
    pub attempt_timeout: Duration,
    /// Most requests of one model that wait while all its endpoints are starting or full; 0 lets none
    /// wait. The others get a 503 with `Retry-After`.
    #[schemars(range(max = 100_000))]
    pub waiting_room: u32,
    /// Longest time that a request waits there.
    #[serde(with = "duration")]
    #[schemars(with = "PositiveDurationForm")]
    pub waiting_timeout: Duration,
    /// Pause between two questions to an endpoint that requests are kept from, or of which nothing is
    /// known, whether it is there.
    #[serde(with = "duration")]
    #[schemars(with = "PositiveDurationForm")]
    pub probe_interval: Duration,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            first_byte_timeout: Duration::from_mins(10),
            idle_timeout: Duration::from_mins(2),
            request_timeout: Duration::from_mins(30),
            max_idle_per_host: 256,
            max_fails: 3,
            fail_timeout: Duration::from_secs(10),
            max_attempts: 3,
            attempt_timeout: Duration::from_mins(2),
            waiting_room: 100,
            waiting_timeout: Duration::from_secs(30),
            probe_interval: Duration::from_secs(5),
        }
    }
}

/// How batches are followed to their end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Batches {
    /// Pause between two questions to Globus Compute about open batches. It keeps results for 30
    /// minutes, so this must stay well below.
    #[serde(with = "duration")]
    #[schemars(with = "PositiveDurationForm")]
    pub poll_interval: Duration,
}

impl Default for Batches {
    fn default() -> Self {
        Self { poll_interval: Duration::from_secs(15) }
    }
}

impl Batches {
    pub(super) fn check(&self, complaints: &mut Complaints) {
        if self.poll_interval > LONGEST_POLL_INTERVAL {
            complaints.add("batches.poll_interval", "must be at most 5m: results are kept for 30m");
        }
    }
}

/// Limits for each user. Limits on tokens belong to the catalogue's endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests of one user in any second; 0 means no limit.
    #[schemars(range(max = 1_000_000))]
    pub requests_per_second_per_user: u32,
    /// Batches of one user that run at one time; 0 means no limit.
    #[schemars(range(max = 1_000_000))]
    pub max_active_batches_per_user: u32,
}
