//! `telemetry`: metrics.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What others can measure of the gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// Whether metrics are kept, for `GET /metrics` on the admin listener; figw-metrics(7) lists them.
    pub metrics: bool,
}

impl Eq for Telemetry {}

impl Default for Telemetry {
    fn default() -> Self {
        Self { metrics: true }
    }
}
