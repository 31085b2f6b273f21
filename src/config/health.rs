//! `health`: from where on what `figw health --deep` sees is no longer well.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    problem::Complaints,
    units::{PositiveDurationForm, Space},
};
use crate::domain::human::duration;

/// How long all endpoints, or all clusters, may take together, for nobody waits for ever.
pub const LONGEST_ROUND: Duration = Duration::from_mins(1);

/// From where on `/ready` and `figw health` find that something is not well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Health {
    /// Free space below which a file system that figw writes to is worth a warning: a part of it
    /// (`10%`) or a size (`20GiB`). Those are the file systems of `server.state_dir`, of backups, of
    /// the log file and of SQLite's database.
    pub disk_free_warning: Space,
    /// The same for a critical state. Where one of them is a part and the other a size, it depends on
    /// the file system which is reached first; a state that is critical is so whatever the other says.
    pub disk_free_critical: Space,
    /// Time before the end of the gateway's certificate from which on it is worth a warning.
    #[serde(with = "duration")]
    #[schemars(with = "PositiveDurationForm")]
    pub certificate_warning: Duration,
    /// The same for a critical state.
    #[serde(with = "duration")]
    #[schemars(with = "PositiveDurationForm")]
    pub certificate_critical: Duration,
    /// How far the clock of this machine may differ from those of the database, Redis, Globus and
    /// back ends before it is worth a warning.
    #[serde(with = "duration")]
    #[schemars(with = "PositiveDurationForm")]
    pub clock_warning: Duration,
    /// The same for a critical state.
    #[serde(with = "duration")]
    #[schemars(with = "PositiveDurationForm")]
    pub clock_critical: Duration,
    /// How long each endpoint and cluster may take to answer the one request that it is sent; less than
    /// a minute, which is what all of them together are given.
    #[serde(with = "duration")]
    #[schemars(with = "PositiveDurationForm")]
    pub endpoint_timeout: Duration,
    /// Endpoints and clusters that are asked at one time.
    #[schemars(range(min = 1, max = 100))]
    pub endpoints_at_once: u32,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            disk_free_warning: Space::Percent(10),
            disk_free_critical: Space::Percent(5),
            certificate_warning: Duration::from_hours(14 * 24),
            certificate_critical: Duration::from_hours(3 * 24),
            clock_warning: Duration::from_secs(5),
            clock_critical: Duration::from_mins(1),
            endpoint_timeout: Duration::from_secs(15),
            endpoints_at_once: 8,
        }
    }
}

impl Health {
    pub(super) fn check(&self, complaints: &mut Complaints) {
        if self.certificate_critical > self.certificate_warning {
            let why = "must be at most health.certificate_warning";
            complaints.add("health.certificate_critical", why);
        }
        if self.clock_critical < self.clock_warning {
            complaints.add("health.clock_critical", "must be at least health.clock_warning");
        }
        if self.endpoint_timeout >= LONGEST_ROUND {
            let why = "must be shorter than 1m, which is what all endpoints together are given";
            complaints.add("health.endpoint_timeout", why);
        }
        let parts = (self.disk_free_warning, self.disk_free_critical);
        let contradicts = match parts {
            (Space::Percent(warning), Space::Percent(critical)) => critical > warning,
            (Space::Bytes(warning), Space::Bytes(critical)) => critical > warning,
            _ => false,
        };
        if contradicts {
            let why = "must be at most health.disk_free_warning";
            complaints.add("health.disk_free_critical", why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_given_less_than_all_of_them() {
        let complaints = |endpoint_timeout| {
            let mut complaints = Complaints::default();
            Health { endpoint_timeout, ..Health::default() }.check(&mut complaints);
            complaints.0
        };
        assert_eq!(complaints(Duration::from_secs(59)), []);
        let refused = complaints(LONGEST_ROUND);
        assert_eq!(refused[0].0, "health.endpoint_timeout");
        assert!(refused[0].1.contains("shorter than 1m"), "{refused:?}");
    }
}
