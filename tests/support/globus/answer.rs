//! What a service says.

use bytes::Bytes;
use http::{Response, header};
use http_body_util::Full;
use serde_json::{Value, json};
use uuid::Uuid;

/// An answer before it is on the wire.
pub(super) struct Answer {
    status: u16,
    headers: Vec<(header::HeaderName, String)>,
    body: Bytes,
}

impl Answer {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self { status, headers: Vec::new(), body: body.to_string().into() }
            .with(header::CONTENT_TYPE, "application/json")
    }

    pub(super) fn ok(body: &Value) -> Self {
        Self::json(200, body)
    }

    pub(super) fn page(text: impl Into<Bytes>) -> Self {
        Self { status: 200, headers: Vec::new(), body: text.into() }
            .with(header::CONTENT_TYPE, "text/html")
    }

    pub(super) fn redirect(to: &str) -> Self {
        Self { status: 302, headers: Vec::new(), body: Bytes::new() }.with(header::LOCATION, to)
    }

    /// A failure without any document.
    pub(super) fn bare(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    /// Globus Auth's errors of its API, which Groups uses, too.
    pub(super) fn api_error(status: u16, code: &str, detail: &str) -> Self {
        let one = json!({"status": status.to_string(), "id": Uuid::new_v4(), "code": code,
            "detail": detail, "title": code});
        Self::json(
            status,
            &json!({"errors": [one], "error": code.to_lowercase(), "error_description": detail}),
        )
    }

    /// OAuth's errors.
    pub(super) fn oauth_error(status: u16, error: &str) -> Self {
        Self::json(status, &json!({"error": error}))
    }

    /// Globus Compute's errors.
    pub(super) fn compute_error(status: u16, code: &str, reason: &str) -> Self {
        Self::json(
            status,
            &json!({"status": "Failed", "code": code, "error_args": [], "http_status_code": status,
                "detail": reason, "reason": reason}),
        )
    }

    /// Globus Transfer's errors.
    pub(super) fn transfer_error(status: u16, code: &str, message: &str, resource: &str) -> Self {
        Self::json(
            status,
            &json!({"code": code, "message": message, "request_id": "fake", "resource": resource}),
        )
    }

    pub(super) fn with(mut self, name: header::HeaderName, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        response.body(Full::new(self.body)).expect("a valid status and valid headers")
    }
}
