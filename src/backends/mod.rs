//! Back ends: what answers an inference request, one file per adapter.

pub mod body;
pub mod direct_api;
pub mod echo;
pub mod globus_compute;
pub mod headers;
pub mod metis;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::combinators::BoxBody;

use crate::domain::Route;
pub use body::CallBody;

/// Any error of a transport, with its cause.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A failure in the middle of an answer that the caller is told of. As an error it is without the
/// model's words, which may quote the prompt and so stand in no log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Told {
    /// What happened, in words of figw.
    pub what: String,
    /// What the model's server says of it.
    pub words: Option<String>,
}

impl Told {
    /// All that the caller is told.
    #[must_use]
    pub fn to_caller(&self) -> String {
        match &self.words {
            Some(words) => format!("{}: {words}", self.what),
            None => self.what.clone(),
        }
    }
}

/// An answer's body as it arrives.
pub type AnswerBody = BoxBody<Bytes, BoxError>;

/// Whether a model is there, as far as is known without sending it a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Presence {
    /// Nobody has found out, or nobody can.
    #[default]
    Unknown,
    /// It takes requests.
    Running,
    /// It is being started, or waits for a place to run.
    Starting,
    /// Its endpoint is online; a request would start it.
    Idle,
    /// Its endpoint is offline, or does not serve it.
    Away,
}

impl Presence {
    /// The value that was an integer by `as u8`.
    #[must_use]
    pub const fn from_u8(value: u8) -> Self {
        match value {
            1 => Self::Running,
            2 => Self::Starting,
            3 => Self::Idle,
            4 => Self::Away,
            _ => Self::Unknown,
        }
    }
}

/// One request to a back end.
#[derive(Debug)]
pub struct Call {
    /// The route below the endpoint's address.
    pub route: Route,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// Headers that are passed on, hop-by-hop ones and credentials already left out.
    pub headers: HeaderMap,
    /// The caller's body, with what had to change in it.
    pub body: CallBody,
}

/// The head of a back end's answer, with its body still arriving.
#[derive(Debug)]
pub struct Answer {
    /// The back end's status.
    pub status: StatusCode,
    /// The back end's headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: AnswerBody,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// No connection came about; the request has certainly not been seen.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The connection broke after the request was (perhaps partly) sent.
    #[error("the connection broke before an answer: {0}")]
    Broken(String),
}
