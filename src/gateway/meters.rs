//! Metrics of inference requests, with the handles of each endpoint looked up once.
//!
//! Names follow OpenTelemetry's semantic conventions for generative AI where they have one
//! (<https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/>). Labels come from the
//! catalogue alone: what callers write never makes a new series.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use metrics::{Counter, Histogram, counter, histogram};

use crate::{
    domain::{Endpoint, Route, UsageRow},
    telemetry::metrics::float,
};

/// The metric handles of one endpoint. Those of a route are made with its first request: most
/// endpoints are only ever asked on one.
pub struct EndpointMeters {
    endpoint: String,
    model: String,
    routes: [OnceLock<RouteMeters>; Route::ALL.len()],
}

struct RouteMeters {
    /// By the status' first digit, 2 to 5.
    requests: [Counter; 4],
    duration: Histogram,
    first_byte: Histogram,
    each_token: Histogram,
    overhead: Histogram,
    input_tokens: Histogram,
    output_tokens: Histogram,
}

impl std::fmt::Debug for EndpointMeters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EndpointMeters")
    }
}

impl EndpointMeters {
    /// Those of `endpoint`.
    #[must_use]
    pub fn new(endpoint: &Endpoint) -> Arc<Self> {
        let (endpoint, model) = (endpoint.slug.clone(), endpoint.model.clone());
        Arc::new(Self { endpoint, model, routes: Default::default() })
    }

    fn of(&self, route: Route) -> &RouteMeters {
        self.routes[route as usize]
            .get_or_init(|| RouteMeters::new(&self.endpoint, &self.model, route))
    }

    /// An answer begins to go out; figw itself has taken `overhead` until now.
    pub fn handed_on(&self, route: Route, overhead: Duration) {
        self.of(route).overhead.record(overhead.as_secs_f64());
    }

    /// A request has ended as `row` says.
    pub fn closed(&self, row: &UsageRow) {
        let meters = self.of(row.route);
        if let Some(class) = meters.requests.get(usize::from(row.status / 100).wrapping_sub(2)) {
            class.increment(1);
        }
        meters.duration.record(seconds(row.duration_us));
        if let Some(first_byte) = row.first_byte_us {
            meters.first_byte.record(seconds(first_byte));
            let further = row.tokens.completion.saturating_sub(1);
            if row.streamed && row.error.is_none() && further > 0 {
                let after = row.duration_us.saturating_sub(first_byte);
                meters.each_token.record(seconds(after) / float(further));
            }
        }
        if row.tokens.prompt + row.tokens.completion > 0 {
            meters.input_tokens.record(float(row.tokens.prompt));
            meters.output_tokens.record(float(row.tokens.completion));
        }
    }
}

impl RouteMeters {
    fn new(endpoint: &str, model: &str, route: Route) -> Self {
        let labels = [
            ("endpoint", endpoint.to_owned()),
            ("gen_ai_request_model", model.to_owned()),
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
            each_token: histogram!("gen_ai_server_time_per_output_token_seconds", &labels),
            overhead: histogram!(
                "figw_gateway_overhead_seconds",
                "gen_ai_operation_name" => operation(route)
            ),
            input_tokens: tokens("input"),
            output_tokens: tokens("output"),
        }
    }
}

/// The convention's name of what a route does.
pub(super) const fn operation(route: Route) -> &'static str {
    match route {
        Route::ChatCompletions | Route::Messages => "chat",
        Route::Completions => "text_completion",
        Route::Embeddings => "embeddings",
        Route::Responses => "generate_content",
    }
}

fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}
