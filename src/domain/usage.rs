//! What is written down of every request.
//!
//! A request is written exactly once: as a [`UsageRow`] when it was meant for a model that the
//! caller may use, and as an [`AccessRow`] when it was any other request of a known caller.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Route;

/// Tokens of one request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenCount {
    /// Tokens read: the prompt, with what came from a cache.
    pub prompt: u64,
    /// Tokens written.
    pub completion: u64,
    /// Whether figw counted (roughly), because the back end said nothing.
    pub estimated: bool,
}

/// One inference request. Names that many rows have in common are shared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRow {
    /// `UUIDv7`; what makes writing it twice harmless.
    pub id: Uuid,
    /// The `x-request-id` that the caller saw.
    pub request_id: String,
    /// When its head had been read.
    pub started_at: Timestamp,
    /// The user it is accounted to.
    pub user: Arc<str>,
    /// The API key used.
    pub key_id: Option<Uuid>,
    /// The cluster that was to answer.
    pub cluster: Arc<str>,
    /// The framework on it.
    pub framework: Arc<str>,
    /// The endpoint's slug.
    pub endpoint: Arc<str>,
    /// The model that was asked for.
    pub model: Arc<str>,
    /// The route.
    pub route: Route,
    /// Whether a stream was asked for.
    pub streamed: bool,
    /// The status the caller got; 499 when the caller hung up before one was sent.
    pub status: u16,
    /// The back end's own status, when it gave one.
    pub backend_status: Option<u16>,
    /// Tokens read and written.
    pub tokens: TokenCount,
    /// Microseconds from `started_at` to the answer's first body byte.
    pub first_byte_us: Option<u64>,
    /// Microseconds from `started_at` to the end.
    pub duration_us: u64,
    /// Size of the request's body in bytes.
    pub request_bytes: u64,
    /// Size of the answer's body in bytes, as far as it was sent.
    pub response_bytes: u64,
    /// Why it failed, in a few words without the request's content.
    pub error: Option<String>,
}

/// What was asked and answered in an inference request, as far as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptRow {
    /// That of the [`UsageRow`].
    pub id: Uuid,
    /// When the request's head had been read.
    pub started_at: Timestamp,
    /// The request's body.
    pub prompt: String,
    /// The answer's body, as it was sent; none when nothing was.
    pub answer: Option<String>,
}

impl PromptRow {
    /// Size of its texts.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.prompt.len() + self.answer.as_ref().map_or(0, String::len)
    }
}

/// Any other request of a known caller: lists, refusals, mistakes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRow {
    /// `UUIDv7`; what makes writing it twice harmless.
    pub id: Uuid,
    /// The `x-request-id` that the caller saw.
    pub request_id: String,
    /// When its head had been read.
    pub started_at: Timestamp,
    /// The user.
    pub user: Arc<str>,
    /// The API key used.
    pub key_id: Option<Uuid>,
    /// The HTTP method.
    pub method: String,
    /// The path, without its query.
    pub path: String,
    /// The status the caller got.
    pub status: u16,
    /// Microseconds from `started_at` to the answer.
    pub duration_us: u64,
    /// The model asked for, when it was an inference request that was refused.
    pub model: Option<String>,
    /// Why it was refused.
    pub error: Option<String>,
}
