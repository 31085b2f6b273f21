//! `telemetry`: metrics and traces.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::HttpUrl;

/// What others can measure of the gateway: metrics and traces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// Whether metrics are kept, for `GET /metrics` on the admin listener; figw-metrics(7) lists them.
    pub metrics: bool,
    /// Collector that traces are sent to, by OTLP over HTTP, such as `http://127.0.0.1:4318`; `/v1/traces`
    /// is added where there is no path. Without it there are no traces.
    pub otlp_endpoint: Option<HttpUrl>,
    /// Share of the requests that are traced, of those whose callers do not say: 1 is all, 0 none.
    pub sample_ratio: f64,
}

// Whatever is not a number is refused when the configuration is read.
impl Eq for Telemetry {}

impl Default for Telemetry {
    fn default() -> Self {
        Self { metrics: true, otlp_endpoint: None, sample_ratio: 1.0 }
    }
}
