//! Why a request is not served, as the caller will read it.

use std::time::Duration;

use http::StatusCode;

use super::scan::Invalid;
use crate::limits::Allowance;

/// A request that is refused or failed before the first byte of an answer went out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// What was wrong and what to do, without anything secret.
    pub message: String,
    /// The part of the request it is about, such as `messages[0].role`.
    pub param: Option<String>,
    /// A word for programs, as OpenAI's API has them.
    pub code: Option<&'static str>,
    /// When trying again makes sense.
    pub retry_after: Option<Duration>,
    /// The error's class in OpenAI's words, where the status alone does not tell it.
    pub class: Option<&'static str>,
    /// How far the caller's limits are used up.
    pub allowance: Box<Allowance>,
    /// Whether the message may hold words of the caller or of a back end, which go into no log.
    pub is_quoting: bool,
}

impl Refusal {
    /// A refusal with a status, a code and a message.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let code = Some(code);
        let (param, retry_after, class) = (None, None, None);
        let (allowance, message) = (Box::default(), message.into());
        // What is wrong with a request is said in its own words.
        let is_quoting = status == StatusCode::BAD_REQUEST;
        Self { status, message, param, code, retry_after, class, allowance, is_quoting }
    }

    /// 401: no credentials, or none that are known.
    pub fn unauthenticated(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_api_key", message)
    }

    /// 403: known, but not allowed.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "permission_denied", message)
    }

    /// 404: no such thing.
    pub fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// 502: the back end failed.
    pub fn bad_gateway(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, "backend_failed", message)
    }

    /// 504: the back end was too slow.
    pub fn too_slow(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "backend_timeout", message)
    }

    /// 503, with the time after which to try again.
    pub fn unavailable(
        code: &'static str,
        message: impl Into<String>,
        retry_after: Duration,
    ) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message).retry_after(retry_after)
    }

    /// Names the part of the request it is about.
    #[must_use]
    pub fn param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Says when to try again.
    #[must_use]
    pub const fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Says what class of OpenAI's it is, where the status alone does not tell.
    #[must_use]
    pub const fn of_class(mut self, class: &'static str) -> Self {
        self.class = Some(class);
        self
    }

    /// Says that the message holds words of the caller or of a back end.
    #[must_use]
    pub const fn quoting(mut self) -> Self {
        self.is_quoting = true;
        self
    }

    /// What of it may stand in a log: its message, or a word for it.
    #[must_use]
    pub fn for_log(&self) -> &str {
        if self.is_quoting {
            return self.code.unwrap_or_else(|| self.openai_type());
        }
        &self.message
    }

    /// The error's class in OpenAI's words.
    #[must_use]
    pub fn openai_type(&self) -> &'static str {
        if let Some(class) = self.class {
            return class;
        }
        match self.status.as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            408 => "timeout_error",
            429 => "rate_limit_error",
            400..=499 => "invalid_request_error",
            _ => "server_error",
        }
    }

    /// The error's class in Anthropic's words.
    #[must_use]
    pub fn anthropic_type(&self) -> &'static str {
        match self.status.as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            503 => "overloaded_error",
            504 => "timeout_error",
            400..=499 => "invalid_request_error",
            _ => "api_error",
        }
    }

    /// The error as JSON, in the shape of OpenAI's API.
    #[must_use]
    pub fn openai_json(&self) -> serde_json::Value {
        serde_json::json!({
            "error": {
                "message": self.message,
                "type": self.openai_type(),
                "param": self.param,
                "code": self.code,
            }
        })
    }

    /// The error as JSON, in the shape of Anthropic's API.
    #[must_use]
    pub fn anthropic_json(&self) -> serde_json::Value {
        let message = match &self.param {
            Some(param) if !self.message.contains(param.as_str()) => {
                format!("{param}: {}", self.message)
            }
            _ => self.message.clone(),
        };
        serde_json::json!({
            "type": "error",
            "error": { "type": self.anthropic_type(), "message": message }
        })
    }
}

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            message: invalid.message,
            param: invalid.param,
            code: invalid.code,
            retry_after: None,
            class: None,
            allowance: Box::default(),
            is_quoting: true,
        }
    }
}
