//! The access log's lines: of requests with an endpoint, and of all others.

use std::time::Duration;

use http::StatusCode;

use super::Head;
use crate::{
    domain::{Caller, UsageRow},
    telemetry::access::{self, Entry, Inference},
};

impl Head {
    /// Writes the line of a request that was answered without any endpoint, or refused.
    pub fn log(
        &self,
        status: StatusCode,
        caller: Option<&Caller>,
        model: Option<&str>,
        error: Option<&str>,
    ) {
        access::write(&Entry {
            scope: &self.scope,
            method: self.method.as_str(),
            path: &self.path,
            client: self.client,
            status: status.as_u16(),
            took: self.started.elapsed(),
            user: caller.map(|caller| &*caller.user),
            model,
            error,
            inference: None,
        });
    }

    /// Writes the line of an inference request that had an endpoint.
    pub(super) fn log_inference(&self, row: &UsageRow) {
        access::write(&Entry {
            scope: &self.scope,
            method: self.method.as_str(),
            path: &self.path,
            client: self.client,
            status: row.status,
            took: Duration::from_micros(row.duration_us),
            user: Some(&row.user),
            model: Some(&row.model),
            error: row.error.as_deref(),
            inference: Some(Inference {
                endpoint: &row.endpoint,
                streamed: row.streamed,
                first_byte: row.first_byte_us.map(Duration::from_micros),
                tokens: (row.tokens.prompt, row.tokens.completion),
                bytes: (row.request_bytes, row.response_bytes),
            }),
        });
    }
}
