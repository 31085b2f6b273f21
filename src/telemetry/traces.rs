//! Traces: a span for each inference request and for each endpoint that it was sent to, sent to a
//! collector by OTLP.
//!
//! Spans are made when they are over, out of what is known then; what is under way is two numbers.
//! The SDK's processor has a bounded queue and a thread of its own.

use std::{
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, TraceFlags, TraceId,
    trace::{SpanContext, SpanKind, Status, TraceState},
};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor},
};
use tokio::runtime::Handle;
use url::Url;

use super::context::Trace;
use crate::{config::Telemetry, domain::Health, outbound};

/// How long the collector may take for one batch.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the last spans may take at the end.
const LAST: Duration = Duration::from_secs(2);

/// Where OTLP has traces.
const PATH: &str = "v1/traces";

static TRACER: OnceLock<Tracer> = OnceLock::new();

#[derive(Debug)]
struct Tracer {
    processor: BatchSpanProcessor,
    sample_ratio: f64,
    scope: InstrumentationScope,
}

/// A span that is over.
#[derive(Debug)]
pub struct Span {
    /// Its trace.
    pub trace: Trace,
    /// Its own id.
    pub id: u64,
    /// The span above it.
    pub parent: Option<u64>,
    /// Whether an endpoint was asked, or else a caller answered.
    pub is_client: bool,
    /// What was done.
    pub name: String,
    /// When it began.
    pub begun: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// What there is to say of it.
    pub attributes: Vec<KeyValue>,
    /// Why it failed.
    pub error: Option<String>,
}

/// Begins to send spans to the collector, if there is one. Its requests run on the current runtime.
///
/// # Errors
/// When HTTPS cannot be set up.
pub fn start(settings: &Telemetry) -> anyhow::Result<()> {
    let Some(endpoint) = &settings.otlp_endpoint else { return Ok(()) };
    let client = outbound::client(PATIENCE).context("cannot set up HTTPS")?;
    let collector = Collector { client, runtime: Handle::current(), health: Health::default() };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(collector)
        .with_endpoint(address(endpoint.as_url()))
        .with_timeout(PATIENCE)
        .build()
        .context("telemetry.otlp_endpoint cannot be used")?;
    let mut processor = BatchSpanProcessor::builder(exporter).build();
    let resource = Resource::builder()
        .with_service_name("figw")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    processor.set_resource(&resource.build());
    let scope = InstrumentationScope::builder("figw").with_version(env!("CARGO_PKG_VERSION"));
    let sample_ratio = settings.sample_ratio;
    // Only the first of a process counts.
    let _ = TRACER.set(Tracer { processor, sample_ratio, scope: scope.build() });
    Ok(())
}

fn address(endpoint: &Url) -> String {
    match endpoint.path() {
        "" | "/" => {
            endpoint.join(PATH).map_or_else(|_| endpoint.to_string(), |url| url.to_string())
        }
        _ => endpoint.to_string(),
    }
}

/// Sends the last spans, as far as the collector takes them within two seconds.
pub async fn finish() {
    if let Some(tracer) = TRACER.get() {
        let sent = tokio::task::spawn_blocking(|| tracer.processor.shutdown_with_timeout(LAST));
        // What a collector that is away does not get is lost.
        let _ = sent.await;
    }
}

/// The trace of a request with these headers: its caller's, or a new one where there is a collector.
#[must_use]
pub fn of_request(headers: &HeaderMap) -> Option<Trace> {
    let known = Trace::of(headers);
    let Some(tracer) = TRACER.get() else { return known };
    let trace = known.unwrap_or_else(|| Trace {
        id: fastrand::u128(1..),
        parent: None,
        is_sampled: fastrand::f64() < tracer.sample_ratio,
        own: None,
    });
    Some(Trace { own: Some(new_span()), ..trace })
}

/// An id for a span.
#[must_use]
pub fn new_span() -> u64 {
    fastrand::u64(1..)
}

impl Span {
    /// Sends it, if its trace is recorded. Never waits: when too many wait already, it is dropped.
    pub fn end(self) {
        let Some(tracer) = TRACER.get().filter(|_| self.trace.is_sampled) else { return };
        let context = SpanContext::new(
            TraceId::from(self.trace.id),
            SpanId::from(self.id),
            TraceFlags::SAMPLED,
            false,
            TraceState::NONE,
        );
        tracer.processor.on_end(SpanData {
            span_context: context,
            parent_span_id: self.parent.map_or(SpanId::INVALID, SpanId::from),
            parent_span_is_remote: !self.is_client && self.parent.is_some(),
            span_kind: if self.is_client { SpanKind::Client } else { SpanKind::Server },
            name: self.name.into(),
            start_time: self.begun,
            end_time: self.begun + self.took,
            attributes: self.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: self.error.map_or(Status::Unset, Status::error),
            instrumentation_scope: tracer.scope.clone(),
        });
    }
}

/// The collector, asked with the HTTP client that figw has.
#[derive(Debug)]
struct Collector {
    client: reqwest::Client,
    runtime: Handle,
    health: Health,
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        // The processor's thread has no runtime.
        let sent = self.runtime.spawn(async move { send(&client, request).await });
        let outcome = sent.await.unwrap_or_else(|error| Err(error.to_string()));
        let failed = match &outcome {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("status {}", response.status().as_u16())),
            Err(error) => Some(error.clone()),
        };
        self.note(failed.as_deref());
        outcome.map_err(Into::into)
    }
}

async fn send(
    client: &reqwest::Client,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, String> {
    let request = reqwest::Request::try_from(request).map_err(|error| outbound::reason(&error))?;
    let response = client.execute(request).await.map_err(|error| outbound::failure(&error))?;
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = response.status();
    *answer.headers_mut() = response.headers().clone();
    // What it says of batches that it took in part would only be logged.
    Ok(answer)
}

impl Collector {
    fn note(&self, failed: Option<&str>) {
        let outcome = if failed.is_some() { "failed" } else { "sent" };
        metrics::counter!("figw_trace_exports_total", "outcome" => outcome).increment(1);
        match failed {
            Some(error) if self.health.failed(error) => {
                tracing::warn!(error, "traces cannot be sent; they are lost until they can");
            }
            None if self.health.recovered() => tracing::info!("traces are sent again"),
            _ => {}
        }
    }
}

/// An attribute that is a text.
#[must_use]
pub fn text(name: &'static str, value: impl Into<String>) -> KeyValue {
    KeyValue::new(name, value.into())
}

/// An attribute that is a number.
#[must_use]
pub fn number(name: &'static str, value: u64) -> KeyValue {
    KeyValue::new(name, i64::try_from(value).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_without_a_path_has_otlp_s() {
        for (given, used) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("https://otlp.example.org/", "https://otlp.example.org/v1/traces"),
            ("https://a.example.org/otlp/v1/traces", "https://a.example.org/otlp/v1/traces"),
        ] {
            assert_eq!(address(&given.parse().unwrap()), used);
        }
    }
}
