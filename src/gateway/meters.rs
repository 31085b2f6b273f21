//! Metrics of inference requests, with the handles of each endpoint looked up once.
//!
//! Names follow OpenTelemetry's semantic conventions for generative AI where they have one
//! (<https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/>). Labels come from the
//! catalogue alone: what callers write never makes a new series.

use std::sync::Arc;

use metrics::{Counter, Histogram, counter, histogram};

use crate::domain::{Endpoint, Route, UsageRow};

/// The metric handles of one endpoint.
pub struct EndpointMeters {
    routes: [RouteMeters; Route::ALL.len()],
}

struct RouteMeters {
    /// By the status' first digit, 2 to 5.
    requests: [Counter; 4],
    duration: Histogram,
    first_byte: Histogram,
    input_tokens: Histogram,
    output_tokens: Histogram,
}

impl std::fmt::Debug for EndpointMeters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EndpointMeters")
    }
}

impl EndpointMeters {
    /// Registers the series of `endpoint`, or finds them again.
    #[must_use]
    pub fn new(endpoint: &Endpoint) -> Arc<Self> {
        Arc::new(Self { routes: Route::ALL.map(|route| RouteMeters::new(endpoint, route)) })
    }

    /// A request has ended as `row` says.
    pub fn closed(&self, row: &UsageRow) {
        let meters = &self.routes[row.route as usize];
        if let Some(class) = meters.requests.get(usize::from(row.status / 100).wrapping_sub(2)) {
            class.increment(1);
        }
        meters.duration.record(seconds(row.duration_us));
        if let Some(first_byte) = row.first_byte_us {
            meters.first_byte.record(seconds(first_byte));
        }
        if row.tokens.prompt + row.tokens.completion > 0 {
            meters.input_tokens.record(precise(row.tokens.prompt));
            meters.output_tokens.record(precise(row.tokens.completion));
        }
    }
}

impl RouteMeters {
    fn new(endpoint: &Endpoint, route: Route) -> Self {
        let labels = [
            ("endpoint", endpoint.slug.clone()),
            ("gen_ai_request_model", endpoint.model.clone()),
            ("gen_ai_operation_name", operation(route).to_owned()),
        ];
        let requests = ["2xx", "3xx", "4xx", "5xx"].map(|class| {
            let mut labels = labels.to_vec();
            labels.push(("status", class.to_owned()));
            counter!("figw_requests_total", &labels)
        });
        let tokens = |kind: &str| {
            let mut labels = labels.to_vec();
            labels.push(("gen_ai_token_type", kind.to_owned()));
            histogram!("gen_ai_client_token_usage", &labels)
        };
        Self {
            requests,
            duration: histogram!("gen_ai_server_request_duration_seconds", &labels),
            first_byte: histogram!("gen_ai_server_time_to_first_token_seconds", &labels),
            input_tokens: tokens("input"),
            output_tokens: tokens("output"),
        }
    }
}

/// The convention's name of what a route does.
const fn operation(route: Route) -> &'static str {
    match route {
        Route::ChatCompletions | Route::Messages => "chat",
        Route::Completions => "text_completion",
        Route::Embeddings => "embeddings",
        Route::Responses => "generate_content",
    }
}

fn seconds(micros: u64) -> f64 {
    std::time::Duration::from_micros(micros).as_secs_f64()
}

#[allow(clippy::cast_precision_loss, reason = "a metric needs no more than 52 bits")]
const fn precise(count: u64) -> f64 {
    count as f64
}
