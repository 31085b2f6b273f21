//! Streamed answers of functions on clusters, which come back as posts to the gateway.
//!
//! A function cannot stream its result through Globus Compute. FIRST's function sends the lines of
//! its model's stream by HTTP instead (auroraGPT-ANL/inference-gateway,
//! `compute-functions/vllm_register_function_with_streaming.py`). Each stream has a task id and a
//! token of its own, known to the gateway that waits for it and to the function alone.
//!
//! The function posts in order, waits for each answer, and repeats nothing; a post has no number. So
//! what comes is taken in its order until the first `done` or `error`, or until the caller has hung
//! up, and everything after that is refused like a post for a stream that never was.

mod framer;
mod inbox;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use url::Url;
use uuid::Uuid;
use zeroize::Zeroizing;

use inbox::Stream;
pub use inbox::{End, Inbox, MOST_WAITING, Piece};

/// Random bytes in the token of a stream.
const RANDOM_BYTES: usize = 32;

/// Parts of the table of streams, so that posts seldom wait for each other.
const SHARDS: usize = 16;

/// The open streams of this process. Cloning shares them.
#[derive(Clone)]
pub struct StreamHub {
    inner: Arc<Inner>,
}

struct Inner {
    /// SHA-256 of the secret, so that comparing takes the same time for every length.
    secret: [u8; 32],
    address: Address,
    shards: [RwLock<HashMap<Uuid, Arc<Stream>>>; SHARDS],
}

impl fmt::Debug for StreamHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamHub").field("address", &self.inner.address).finish_non_exhaustive()
    }
}

/// Where functions send their posts, in the parts that FIRST's function takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// `http` or `https`.
    pub protocol: String,
    /// A name or an address; one of IPv6 in brackets, for the function only puts it before the port.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// What the function needs for its posts.
#[derive(Debug)]
pub struct StreamTicket {
    /// Names the stream.
    pub task: Uuid,
    /// Proves that a post comes from the function.
    pub token: SecretString,
}

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
}

impl PostRefusal {
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
        }
    }
}

/// The body of a post. What is not needed yet stays unread.
#[derive(Deserialize)]
struct Post<'a> {
    #[serde(borrow)]
    task_id: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

impl StreamHub {
    /// No stream is open yet. Functions show `secret`, and reach this gateway at `url`, of which
    /// scheme, host and port are used.
    ///
    /// # Errors
    /// When the URL has no host or no port.
    pub fn new(secret: &SecretString, url: &Url) -> Result<Self, String> {
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(format!("{url} has no host or no port"));
        };
        let address = Address { protocol: url.scheme().to_owned(), host: host.to_owned(), port };
        let secret = Sha256::digest(secret.expose_secret()).into();
        Ok(Self { inner: Arc::new(Inner { secret, address, shards: Default::default() }) })
    }

    /// Where functions send their posts.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.inner.address
    }

    /// How many streams are open.
    #[cfg(test)]
    pub(super) fn open_streams(&self) -> usize {
        let count = |shard: &RwLock<HashMap<_, _>>| {
            shard.read().unwrap_or_else(PoisonError::into_inner).len()
        };
        self.inner.shards.iter().map(count).sum()
    }

    /// Opens a stream: what its function needs, and where its posts will be read.
    ///
    /// # Errors
    /// When the operating system has no random bytes to give.
    pub fn open(&self) -> Result<(StreamTicket, Inbox), getrandom::Error> {
        let mut random = Zeroizing::new([0; RANDOM_BYTES]);
        getrandom::fill(random.as_mut_slice())?;
        let token = SecretString::from(URL_SAFE_NO_PAD.encode(random.as_slice()));
        let task = Uuid::new_v4();
        let stream = Arc::new(Stream::new(token.clone()));
        let mut shard = self.shard(task).write().unwrap_or_else(PoisonError::into_inner);
        shard.insert(task, Arc::clone(&stream));
        drop(shard);
        let inbox = Inbox { hub: self.clone(), task, stream };
        Ok((StreamTicket { task, token }, inbox))
    }

    /// Whether these may be the headers of a function's post. To be asked before its body is read.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn admit(&self, secret: &[u8], token: &[u8]) -> Result<(), PostRefusal> {
        let given: [u8; 32] = Sha256::digest(secret).into();
        if !bool::from(given.ct_eq(&self.inner.secret)) {
            return Err(PostRefusal::WrongSecret);
        }
        if token.is_empty() { Err(PostRefusal::NoToken) } else { Ok(()) }
    }

    /// Takes a post whose headers were admitted, and returns the stream it is for.
    ///
    /// # Errors
    /// Why it changes nothing.
    pub fn post(&self, kind: PostKind, token: &[u8], body: &[u8]) -> Result<Uuid, PostRefusal> {
        if body.len() > kind.longest() {
            return Err(PostRefusal::TooLarge);
        }
        let post: Post<'_> = serde_json::from_slice(body).map_err(|_| PostRefusal::InvalidJson)?;
        let task = text(post.task_id).filter(|id| !id.is_empty()).ok_or(PostRefusal::NoTask)?;
        let task = Uuid::try_parse(&task).map_err(|_| PostRefusal::MalformedTask)?;
        let stream = self.find(task, token).ok_or(PostRefusal::NoStream)?;
        let is_open = match kind {
            PostKind::Data => stream.push(&text(post.data).ok_or(PostRefusal::NoData)?),
            PostKind::Error => {
                let error = post.error.ok_or(PostRefusal::NoError)?;
                let error = text(Some(error)).unwrap_or_else(|| error.get().to_owned());
                stream.end(End::Failed(error))
            }
            PostKind::Done => stream.end(End::Done),
        };
        if is_open { Ok(task) } else { Err(PostRefusal::NoStream) }
    }

    fn find(&self, task: Uuid, token: &[u8]) -> Option<Arc<Stream>> {
        let shard = self.shard(task).read().unwrap_or_else(PoisonError::into_inner);
        let stream = shard.get(&task).map(Arc::clone);
        drop(shard);
        stream.filter(|stream| bool::from(stream.token.expose_secret().as_bytes().ct_eq(token)))
    }

    fn forget(&self, task: Uuid) {
        let mut shard = self.shard(task).write().unwrap_or_else(PoisonError::into_inner);
        let stream = shard.remove(&task);
        drop(shard);
        drop(stream);
    }

    fn shard(&self, task: Uuid) -> &RwLock<HashMap<Uuid, Arc<Stream>>> {
        &self.inner.shards[usize::from(task.as_bytes()[15]) % SHARDS]
    }
}

/// The text of a JSON string.
fn text(value: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(value?.get()).ok()
}

#[cfg(test)]
mod tests;
