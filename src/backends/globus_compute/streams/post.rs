//! What functions post, and why a post is refused.

use http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

/// The three kinds of posts, by the last part of their path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostKind {
    /// Lines of the model's stream.
    Data,
    /// The function has failed.
    Error,
    /// The function has sent everything.
    Done,
}

impl PostKind {
    /// The kind with this last part of the path.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Data, Self::Error, Self::Done].into_iter().find(|kind| kind.as_str() == name)
    }

    /// The last part of the path.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Error => "error",
            Self::Done => "done",
        }
    }

    /// The longest body, in bytes: FIRST's limits.
    #[must_use]
    pub const fn longest(self) -> usize {
        match self {
            Self::Data => 150_000,
            Self::Error | Self::Done => 15_000,
        }
    }
}

/// Why a post is refused, in the order in which it is checked (FIRST's, with its status codes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PostRefusal {
    /// The body is longer than [`PostKind::longest`].
    #[error("Request too large")]
    TooLarge,
    /// The secret that all functions share is wrong or missing.
    #[error("Unauthorized: the X-Internal-Secret header is not this gateway's streaming_secret")]
    WrongSecret,
    /// There is no token.
    #[error("Unauthorized: no X-Stream-Task-Token header")]
    NoToken,
    /// The body is not a JSON object.
    #[error("Invalid JSON")]
    InvalidJson,
    /// The body names no stream.
    #[error("Missing task_id")]
    NoTask,
    /// What names the stream is no UUID.
    #[error("Invalid task_id: not a UUID")]
    MalformedTask,
    /// The stream is not open, or the token is another's.
    #[error("Invalid task_id or task token: no stream is open for them")]
    NoStream,
    /// A data post without text in `data`.
    #[error("Missing data: not a text")]
    NoData,
    /// An error post without `error`.
    #[error("Missing error")]
    NoError,
    /// The stream is another instance's, which gave no answer in time.
    #[error("The instance that holds this stream cannot be reached")]
    Unreachable,
}

impl PostRefusal {
    /// All of them; instances tell each other the place in this list.
    pub(super) const ALL: [Self; 10] = [
        Self::TooLarge,
        Self::WrongSecret,
        Self::NoToken,
        Self::InvalidJson,
        Self::NoTask,
        Self::MalformedTask,
        Self::NoStream,
        Self::NoData,
        Self::NoError,
        Self::Unreachable,
    ];

    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::WrongSecret | Self::NoToken => StatusCode::UNAUTHORIZED,
            Self::MalformedTask | Self::NoStream => StatusCode::FORBIDDEN,
            Self::InvalidJson | Self::NoTask | Self::NoData | Self::NoError => {
                StatusCode::BAD_REQUEST
            }
            // Not 503, after which proxies ask another instance: it may have been taken.
            Self::Unreachable => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

/// The body of a post. What is not needed yet stays unread.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    task_id: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// A post whose body has been looked at.
pub(super) struct Post<'a> {
    /// The stream it is for.
    pub(super) task: Uuid,
    body: Body<'a>,
}

impl<'a> Post<'a> {
    /// Reads which stream a post is for.
    ///
    /// # Errors
    /// Why that cannot be told.
    pub(super) fn read(kind: PostKind, body: &'a [u8]) -> Result<Self, PostRefusal> {
        if body.len() > kind.longest() {
            return Err(PostRefusal::TooLarge);
        }
        let body: Body<'_> = serde_json::from_slice(body).map_err(|_| PostRefusal::InvalidJson)?;
        let task = text(body.task_id).filter(|id| !id.is_empty()).ok_or(PostRefusal::NoTask)?;
        let task = Uuid::try_parse(&task).map_err(|_| PostRefusal::MalformedTask)?;
        Ok(Self { task, body })
    }

    /// The lines of a data post.
    pub(super) fn data(&self) -> Result<String, PostRefusal> {
        text(self.body.data).ok_or(PostRefusal::NoData)
    }

    /// What an error post says.
    pub(super) fn error(&self) -> Result<String, PostRefusal> {
        let error = self.body.error.ok_or(PostRefusal::NoError)?;
        Ok(text(Some(error)).unwrap_or_else(|| error.get().to_owned()))
    }
}

/// The text of a JSON string.
fn text(value: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(value?.get()).ok()
}
