//! One Globus service over HTTP, and what can go wrong with it.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use http::{StatusCode, header};
use reqwest::{Method, RequestBuilder, Response};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use crate::outbound;

/// Longest answer that is read, in bytes; results of tasks have 10 MB at most, and escapes.
const LONGEST_ANSWER: usize = 64 * 1024 * 1024;

/// Attempts of a request that can be repeated without harm.
const ATTEMPTS: usize = 3;

/// The longest pause that a service may ask for between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Characters of a service's own message that are passed on.
const LONGEST_MESSAGE: usize = 300;

/// Why a Globus service did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GlobusError {
    /// It cannot be reached, does not answer in time, or fails by itself (5xx).
    #[error("{service} is unavailable: {reason}")]
    Unavailable {
        /// The service.
        service: &'static str,
        /// What was seen.
        reason: String,
        /// When it asked to be tried again.
        retry_after: Option<Duration>,
    },
    /// Too many requests (429).
    #[error("{service} takes no more requests at present")]
    Busy {
        /// The service.
        service: &'static str,
        /// When it asked to be tried again.
        retry_after: Option<Duration>,
    },
    /// It said no (another 4xx, or a collection behind Transfer did).
    #[error("{service} refused with status {}: {message}", status.as_u16())]
    Refused {
        /// The service.
        service: &'static str,
        /// The status.
        status: StatusCode,
        /// Its word for programs (`invalid_grant`, `TASK_PAYLOAD_TOO_LARGE`), if it had one.
        code: Option<String>,
        /// Its words for people.
        message: String,
    },
    /// Its answer is not what its protocol says.
    #[error("{service} answered something unexpected: {reason}")]
    Malformed {
        /// The service.
        service: &'static str,
        /// What was seen.
        reason: String,
    },
}

impl GlobusError {
    /// Whether trying again later can help.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Busy { .. })
    }

    /// When the service asked to be tried again.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } | Self::Busy { retry_after, .. } => *retry_after,
            Self::Refused { .. } | Self::Malformed { .. } => None,
        }
    }

    /// The status of a definite refusal.
    #[must_use]
    pub const fn refused_with(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// A request that failed.
#[derive(Debug)]
pub struct SendError {
    /// Why.
    pub error: GlobusError,
    /// Whether the service has surely not acted on it.
    pub not_accepted: bool,
}

/// A Globus service at its address. Cloning shares the connections.
#[derive(Debug, Clone)]
pub struct Service {
    name: &'static str,
    base: Url,
    client: reqwest::Client,
}

impl Service {
    /// The service called `name` in messages, at `base`; a request is given up after `timeout`.
    ///
    /// # Errors
    /// When the client cannot be set up.
    pub fn new(name: &'static str, base: Url, timeout: Duration) -> Result<Self, GlobusError> {
        let client = outbound::client(timeout).map_err(|error| GlobusError::Unavailable {
            service: name,
            reason: outbound::reason(&error),
            retry_after: None,
        })?;
        Ok(Self { name, base, client })
    }

    /// What it is called in messages.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// A `GET` request for `path`, which begins with a slash.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// A `POST` request to `path`, which begins with a slash.
    pub fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let base = self.base.as_str().trim_end_matches('/');
        self.client
            .request(method, format!("{base}{path}"))
            .header(header::ACCEPT, "application/json")
    }

    /// Sends a request once and reads the JSON of its answer.
    ///
    /// # Errors
    /// As the service, or the way there, has it.
    pub async fn send<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<T, GlobusError> {
        self.send_once(request).await.map_err(|failed| failed.error)
    }

    /// As [`Self::send`], for requests that must not be repeated unless it is sure that the service
    /// did not act on them.
    ///
    /// # Errors
    /// As [`Self::send`], with what is known about how far it went.
    pub async fn send_once<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<T, SendError> {
        let response = request.send().await.map_err(|error| SendError {
            not_accepted: error.is_connect(),
            error: self.unavailable(&error),
        })?;
        let (status, retry_after) = (response.status(), retry_after(&response));
        let not_accepted = status.is_client_error()
            || (status == StatusCode::SERVICE_UNAVAILABLE && retry_after.is_some());
        let failed = |error| SendError { error, not_accepted };
        let body = self.body(response).await.map_err(failed)?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| {
                let reason = error.to_string();
                failed(GlobusError::Malformed { service: self.name, reason })
            });
        }
        Err(failed(self.failure(status, retry_after, &body)))
    }

    /// As [`Self::send`], up to three times while the failure is a passing one. Only for requests
    /// that can be repeated without harm.
    ///
    /// # Errors
    /// The last attempt's.
    pub async fn send_repeatedly<T: DeserializeOwned>(
        &self,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<T, GlobusError> {
        let pauses = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(Duration::from_millis(250))
            .with_max_delay(LONGEST_PAUSE)
            .with_max_times(ATTEMPTS - 1);
        (|| async { self.send(request()).await })
            .retry(pauses)
            .when(GlobusError::is_passing)
            .adjust(|error, pause| {
                let asked = error.retry_after().map(|asked| asked.min(LONGEST_PAUSE));
                pause.map(|pause| asked.unwrap_or(pause))
            })
            .await
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, GlobusError> {
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.unavailable(&error))? {
            if body.len() + piece.len() > LONGEST_ANSWER {
                let reason = format!("an answer of more than {LONGEST_ANSWER} bytes");
                return Err(GlobusError::Malformed { service: self.name, reason });
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    fn unavailable(&self, error: &reqwest::Error) -> GlobusError {
        // The address may hold a token in its query; nobody needs it in a message.
        let reason = outbound::failure(error);
        GlobusError::Unavailable { service: self.name, reason, retry_after: None }
    }

    fn failure(
        &self,
        status: StatusCode,
        retry_after: Option<Duration>,
        body: &[u8],
    ) -> GlobusError {
        let service = self.name;
        if status == StatusCode::TOO_MANY_REQUESTS {
            return GlobusError::Busy { service, retry_after };
        }
        let said = Said::read(body);
        if status.is_client_error() || said.is_about_a_collection() {
            return GlobusError::Refused {
                service,
                status,
                code: said.code,
                message: said.message,
            };
        }
        let reason = format!("status {}: {}", status.as_u16(), said.message);
        GlobusError::Unavailable { service, reason, retry_after }
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// What a service says about a failure. Globus has several shapes of errors
/// (`../shared/globus/PROTOCOL.md`, 1.6, 3.4 and 8); all of them are read here.
struct Said {
    code: Option<String>,
    message: String,
}

impl Said {
    /// Transfer answers 502 when the collection refuses; to try that again would be of no use
    /// (Globus' protocol notes, 8).
    fn is_about_a_collection(&self) -> bool {
        let code = self.code.as_deref().unwrap_or_default();
        ["ExternalError", "EndpointError"].iter().any(|kind| code.starts_with(kind))
    }

    fn read(body: &[u8]) -> Self {
        let Ok(Value::Object(said)) = serde_json::from_slice::<Value>(body) else {
            let text = String::from_utf8_lossy(body);
            return Self { code: None, message: shortened(text.trim()) };
        };
        let first = said.get("errors").and_then(|errors| errors.get(0));
        let find = |names: &[&str]| {
            names
                .iter()
                .flat_map(|name| [said.get(*name), first.and_then(|error| error.get(*name))])
                .flatten()
                .find_map(plain)
        };
        let message = find(&["error_description", "reason", "detail", "message", "title", "error"]);
        Self {
            code: find(&["code", "error"]),
            message: shortened(message.as_deref().unwrap_or("no reason given")),
        }
    }
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(items) if !items.is_empty() => Some(Value::from(items.clone()).to_string()),
        _ => None,
    }
}

fn shortened(text: &str) -> String {
    let line: String = text.chars().filter(|c| !c.is_control()).take(LONGEST_MESSAGE).collect();
    if line.is_empty() { "no reason given".to_owned() } else { line }
}
