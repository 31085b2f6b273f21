//! The spans of an inference request: its own, and one for each endpoint that it was sent to.

use std::time::{Duration, SystemTime};

use opentelemetry::KeyValue;

use super::{Head, Refusal, meters::operation};
use crate::{
    domain::{Route, UsageRow},
    telemetry::{
        context::Trace,
        traces::{self, Span, number, text},
    },
};

/// A request at an endpoint, as a span under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leg {
    trace: Trace,
    /// Its id, which the endpoint is told.
    pub(super) id: u64,
    begun: SystemTime,
}

impl Leg {
    /// Begins one, where figw takes part in the request's trace.
    pub(super) fn begin(head: &Head) -> Option<Self> {
        let trace = head.scope.trace.filter(|trace| trace.own.is_some())?;
        Some(Self { trace, id: traces::new_span(), begun: SystemTime::now() })
    }

    /// The endpoint's answer is at its end, or there is none.
    pub(super) fn end(self, row: &UsageRow, error: Option<&str>) {
        let mut attributes = common(row);
        attributes.push(text("figw.endpoint", &*row.endpoint));
        attributes.push(text("figw.cluster", &*row.cluster));
        if let Some(status) = row.backend_status {
            attributes.push(number("http.response.status_code", status.into()));
        }
        Span {
            trace: self.trace,
            id: self.id,
            parent: self.trace.own,
            is_client: true,
            name: format!("{} {}", operation(row.route), row.model),
            begun: self.begun,
            took: self.begun.elapsed().unwrap_or_default(),
            attributes,
            error: error.map(ToOwned::to_owned),
        }
        .end();
    }
}

/// Ends the span of a request that had an endpoint.
pub(super) fn end(trace: Trace, row: &UsageRow) {
    let Some(own) = trace.own.filter(|_| trace.is_sampled) else { return };
    let mut attributes = common(row);
    attributes.extend([
        text("figw.endpoint", &*row.endpoint),
        number("http.response.status_code", row.status.into()),
        number("gen_ai.usage.input_tokens", row.tokens.prompt),
        number("gen_ai.usage.output_tokens", row.tokens.completion),
        text("figw.request_id", row.request_id.as_str()),
    ]);
    if let Some(first_byte) = row.first_byte_us {
        let seconds = Duration::from_micros(first_byte).as_secs_f64();
        attributes.push(KeyValue::new("gen_ai.server.time_to_first_token", seconds));
    }
    let error = row.error.clone().filter(|_| row.status >= 500 || row.status < 400);
    Span {
        trace,
        id: own,
        parent: trace.parent,
        is_client: false,
        name: format!("{} {}", operation(row.route), row.model),
        begun: row.started_at.into(),
        took: Duration::from_micros(row.duration_us),
        attributes,
        error,
    }
    .end();
}

impl Head {
    /// Ends the span of a request that was refused before it had an endpoint.
    pub fn trace_refusal(&self, route: Route, refusal: &Refusal) {
        let Some(trace) = self.scope.trace.filter(|trace| trace.is_sampled) else { return };
        let Some(own) = trace.own else { return };
        let attributes = vec![
            text("gen_ai.operation.name", operation(route)),
            number("http.response.status_code", refusal.status.as_u16().into()),
            text("figw.request_id", self.scope.request_id()),
        ];
        Span {
            trace,
            id: own,
            parent: trace.parent,
            is_client: false,
            name: operation(route).to_owned(),
            begun: self.started_at.into(),
            took: self.started.elapsed(),
            attributes,
            error: None,
        }
        .end();
    }
}

fn common(row: &UsageRow) -> Vec<KeyValue> {
    vec![
        text("gen_ai.operation.name", operation(row.route)),
        text("gen_ai.provider.name", &*row.framework),
        text("gen_ai.request.model", &*row.model),
    ]
}
