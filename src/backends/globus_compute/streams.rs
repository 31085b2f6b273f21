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
//!
//! A post may come to another instance than the one that holds the stream, or to the process that has
//! taken over from it. The task id names the holder; [`StreamHub::deliver`] asks it, and passes its
//! answer back.

mod channel;
mod framer;
mod holding;
mod inbox;
mod instance;
mod passing;
mod post;
mod question;
mod seal;
mod socket;

use std::{
    collections::HashMap,
    fmt,
    path::Path,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use url::Url;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::cache::Cache;
use inbox::Stream;
pub use inbox::{End, Inbox, MOST_WAITING, Piece};
use instance::Instance;
use passing::{Errand, Passing};
use post::Post;
pub use post::{PostKind, PostRefusal};
use question::{Question, Word};
use seal::Seal;
use socket::Standing;

/// Random bytes in the token of a stream.
const RANDOM_BYTES: usize = 32;

/// Parts of the table of streams, so that posts seldom wait for each other.
const SHARDS: usize = 16;

/// Answers to other instances that are remembered, for when they ask again.
const MOST_ANSWERED: u64 = 4096;

/// How long. Nobody asks again after [`passing::patience`].
const ANSWERED: Duration = Duration::from_secs(15);

/// The open streams of this process. Cloning shares them.
#[derive(Clone)]
pub struct StreamHub {
    inner: Arc<Inner>,
}

struct Inner {
    /// SHA-256 of the secret, so that comparing takes the same time for every length.
    secret: [u8; 32],
    address: Address,
    me: Instance,
    shards: [RwLock<HashMap<Uuid, Arc<Stream>>>; SHARDS],
    seal: Arc<Seal>,
    /// What other instances were answered, by whom and which question.
    answered: moka::sync::Cache<(Instance, u64), u8>,
    /// The ways to other instances, once there are any.
    passing: OnceLock<Arc<Passing>>,
}

/// The ways to and from other instances, for as long as it is kept.
#[derive(Debug)]
#[must_use = "neighbours find no way here without it"]
pub struct Connected {
    _standing: Option<Standing>,
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
        let seal = Seal::new(secret).ok_or("the streaming secret cannot be used")?;
        let inner = Inner {
            secret: Sha256::digest(secret.expose_secret()).into(),
            address,
            me: Instance::new(),
            shards: Default::default(),
            seal: Arc::new(seal),
            answered: moka::sync::Cache::builder()
                .max_capacity(MOST_ANSWERED)
                .time_to_live(ANSWERED)
                // Each is asked for once, if at all: the newest must not make way for the oldest.
                .eviction_policy(moka::policy::EvictionPolicy::lru())
                .build(),
            passing: OnceLock::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Opens the ways to and from other instances: sockets in `state_dir` for processes that share
    /// it, one taking over from the other, and `cache` for all that share a Redis. What has to be
    /// done for them runs on the current runtime.
    pub async fn connect(&self, state_dir: &Path, cache: &Cache) -> Connected {
        let passing = Passing::new(self, state_dir, cache);
        let standing = passing.stand(self).await;
        // It is done once, at the start.
        let _ = self.inner.passing.set(passing);
        Connected { _standing: standing }
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
        let task = self.inner.me.new_task();
        let stream = Arc::new(Stream::new(token.clone()));
        let mut shard = self.shard(task).write().unwrap_or_else(PoisonError::into_inner);
        shard.insert(task, Arc::clone(&stream));
        drop(shard);
        // One that is opened in an outage may have lost posts from its beginning.
        let outages = if self.is_cut_off() { u64::MAX } else { self.outages() };
        let inbox = Inbox { hub: self.clone(), task, stream, outages };
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
        self.take(kind, token, &Post::read(kind, body)?)
    }

    /// As [`Self::post`]; when another instance holds the stream, it is asked, and what it answers is
    /// returned.
    ///
    /// # Errors
    /// Why the post changes nothing; [`PostRefusal::Unreachable`] when it may have.
    pub async fn deliver(
        &self,
        kind: PostKind,
        token: &[u8],
        body: Bytes,
    ) -> Result<Uuid, PostRefusal> {
        let post = Post::read(kind, &body)?;
        let task = post.task;
        let holder = Instance::of(task).filter(|holder| *holder != self.inner.me);
        let (Some(holder), Some(passing)) = (holder, self.inner.passing.get()) else {
            return self.take(kind, token, &post);
        };
        if token.len() > Question::LONGEST_TOKEN {
            return Err(PostRefusal::NoStream);
        }
        let word = Word::Post(kind);
        passing.pass_on(Errand { holder, task, word, token: token.to_vec(), body }).await?;
        Ok(task)
    }

    fn take(&self, kind: PostKind, token: &[u8], post: &Post<'_>) -> Result<Uuid, PostRefusal> {
        let stream = self.find(post.task, token).ok_or(PostRefusal::NoStream)?;
        give(&stream, kind, post)?;
        Ok(post.task)
    }

    /// How often other instances' posts have had no way here, so far.
    fn outages(&self) -> u64 {
        self.inner.passing.get().map_or(0, |passing| passing.outages())
    }

    /// Whether they have none at present.
    fn is_cut_off(&self) -> bool {
        self.inner.passing.get().is_some_and(|passing| passing.is_cut_off())
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

/// Gives a post to its stream.
fn give(stream: &Stream, kind: PostKind, post: &Post<'_>) -> Result<(), PostRefusal> {
    let is_open = match kind {
        PostKind::Data => stream.push(&post.data()?),
        PostKind::Error => stream.end(End::Failed(post.error()?)),
        PostKind::Done => stream.end(End::Done),
    };
    if is_open { Ok(()) } else { Err(PostRefusal::NoStream) }
}

#[cfg(test)]
mod tests;
