//! Posts for streams of other instances: asked until there is an answer, or the function gives up.

use std::{
    collections::HashSet,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::StatusCode;
use tokio::{
    runtime::Handle,
    sync::Semaphore,
    time::{timeout, timeout_at},
};
use uuid::Uuid;

use super::{
    PostKind, PostRefusal, StreamHub,
    channel::Channel,
    holding,
    instance::Instance,
    question::{self, Question, Verdict, Word},
    seal::{Label, Seal, Sort},
    socket::{Sockets, Standing},
};
use crate::cache::Cache;

/// Most posts that are on their way to other instances; further ones wait.
const MOST_ON_THE_WAY: usize = 256;

/// Pauses before asking again; the last one goes on.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(20),
    Duration::from_millis(40),
    Duration::from_millis(80),
    Duration::from_millis(160),
];

/// How often nobody may be at home before a stream is taken for gone.
const NOBODY: usize = 4;

/// Streams with a gap whose holders have not been told yet.
const MOST_LOST: usize = 1024;

/// How often it is tried to tell a holder, and how long between two attempts.
const TELLINGS: usize = 60;
const TELLING: Duration = Duration::from_secs(1);

/// How long a function may have to wait. FIRST's gives up on data after 2 s and on the rest after
/// 10 s, and then goes on: nothing may be taken after that, for it would be out of order.
pub(super) const fn patience(kind: PostKind) -> Duration {
    match kind {
        PostKind::Data => Duration::from_millis(1700),
        PostKind::Error | PostKind::Done => Duration::from_secs(8),
    }
}

/// Why one attempt brought no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missed {
    /// The way is there, and nobody is at its end.
    Nobody,
    /// The way is not there, or no answer came back on it.
    NoAnswer,
}

/// A post on its way.
#[derive(Debug, Clone)]
pub(super) struct Errand {
    pub(super) holder: Instance,
    pub(super) task: Uuid,
    pub(super) word: Word,
    pub(super) token: Vec<u8>,
    pub(super) body: Bytes,
}

/// The ways to other instances.
pub(super) struct Passing {
    me: Instance,
    seal: Arc<Seal>,
    /// The number of the next question.
    next: AtomicU64,
    places: Semaphore,
    sockets: Sockets,
    channel: Option<Arc<Channel>>,
    lost: Mutex<HashSet<Uuid>>,
    /// Where all of this runs: a function that hangs up takes nothing along.
    runtime: Handle,
}

impl Passing {
    pub(super) fn new(hub: &StreamHub, state_dir: &Path, cache: &Cache) -> Arc<Self> {
        let (me, seal) = (hub.inner.me, &hub.inner.seal);
        Arc::new(Self {
            me,
            seal: Arc::clone(seal),
            next: AtomicU64::new(1),
            places: Semaphore::new(MOST_ON_THE_WAY),
            sockets: Sockets::new(state_dir),
            channel: cache
                .is_shared()
                .then(|| Arc::new(Channel::new(cache.clone(), me, Arc::clone(seal)))),
            lost: Mutex::default(),
            runtime: Handle::current(),
        })
    }

    /// Lets other instances reach the streams of `hub`.
    pub(super) async fn stand(&self, hub: &StreamHub) -> Option<Standing> {
        if let Some(channel) = &self.channel {
            self.runtime.spawn(Arc::clone(channel).listen(hub.clone()));
        }
        self.sockets.stand(hub).await
    }

    /// How often nobody could be reached through Redis, so far.
    pub(super) fn outages(&self) -> u64 {
        self.channel.as_ref().map_or(0, |channel| channel.outages())
    }

    /// Whether nobody can be reached through Redis at present.
    pub(super) fn is_cut_off(&self) -> bool {
        self.channel.as_ref().is_some_and(|channel| !channel.is_up())
    }

    /// Has the holder take a post, and returns what it answers.
    pub(super) async fn pass_on(self: &Arc<Self>, errand: Errand) -> Verdict {
        let passing = Arc::clone(self);
        let passed = self.runtime.spawn(async move {
            let verdict = match passing.ask_until_answered(&errand).await {
                Ok(verdict) => verdict,
                Err(missed) => {
                    passing.tell_later(errand);
                    Err(missed.refusal())
                }
            };
            let status = verdict.map_or_else(PostRefusal::status, |()| StatusCode::OK);
            let status = status.as_str().to_owned();
            metrics::counter!("figw_streaming_passed_on_total", "status" => status).increment(1);
            verdict
        });
        passed.await.unwrap_or(Err(PostRefusal::Unreachable))
    }

    async fn ask_until_answered(&self, errand: &Errand) -> Result<Verdict, Missed> {
        let until = Instant::now() + patience(errand.word.kind());
        let place = timeout_at(until.into(), self.places.acquire()).await;
        let Ok(Ok(_place)) = place else { return Err(Missed::NoAnswer) };
        // The same message each time: what was taken once is not taken again.
        let (label, message) = self.message(errand).ok_or(Missed::NoAnswer)?;
        let mut nobody = 0;
        for attempt in 0.. {
            match timeout_at(until.into(), self.ask(&label, &message)).await {
                Ok(Ok(verdict)) => return Ok(verdict),
                Ok(Err(Missed::Nobody)) => nobody += 1,
                Ok(Err(Missed::NoAnswer)) => {}
                Err(_) => break,
            }
            if nobody > 0 && !self.may_come_back(nobody) {
                return Err(Missed::Nobody);
            }
            let pause = PAUSES[PAUSES.len().min(attempt + 1) - 1];
            if Instant::now() + pause >= until {
                break;
            }
            tokio::time::sleep(pause).await;
        }
        Err(Missed::NoAnswer)
    }

    fn message(&self, errand: &Errand) -> Option<(Label, Bytes)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (asker, holder) = (self.me, errand.holder);
        let label = Label { sort: Sort::Question, asker, holder, number };
        let Errand { word, token, body, .. } = errand;
        let head = Question { word: *word, token, body }.head()?;
        Some((label, self.seal.close(&label, &[&head, token, body])?.into()))
    }

    async fn ask(&self, label: &Label, message: &Bytes) -> Result<Verdict, Missed> {
        match (self.sockets.ask(label.holder, message).await, &self.channel) {
            (Ok(answer), _) => {
                let label = Label { sort: Sort::Answer, ..*label };
                question::opened(&self.seal, &label, &answer).ok_or(Missed::NoAnswer)
            }
            (Err(Missed::Nobody), Some(channel)) => channel.ask(label, message).await,
            (Err(missed), _) => Err(missed),
        }
    }

    /// Whether a holder who was not there may only be about to come back to its channel.
    fn may_come_back(&self, nobody: usize) -> bool {
        self.channel
            .as_ref()
            .is_some_and(|channel| nobody < NOBODY || channel.was_interrupted_lately())
    }

    /// The function may go on with its next post, which would leave a gap in the stream: its holder
    /// is told once it can be, so that it does not pass for whole.
    fn tell_later(self: &Arc<Self>, errand: Errand) {
        let task = errand.task;
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if self.channel.is_none() || lost.len() >= MOST_LOST || !lost.insert(task) {
            return;
        }
        drop(lost);
        let errand = Errand { word: Word::Lost, body: holding::naming(task).into(), ..errand };
        let passing = Arc::clone(self);
        self.runtime.spawn(async move {
            passing.tell(&errand).await;
            passing.lost.lock().unwrap_or_else(PoisonError::into_inner).remove(&task);
        });
    }

    async fn tell(&self, errand: &Errand) {
        let Some((label, message)) = self.message(errand) else { return };
        for _ in 0..TELLINGS {
            match timeout(TELLING, self.ask(&label, &message)).await {
                Ok(Ok(_)) => return,
                Ok(Err(_)) | Err(_) => tokio::time::sleep(TELLING).await,
            }
        }
        tracing::debug!(stream = %errand.task, "nobody could be told of a gap in a stream");
    }
}

impl Missed {
    const fn refusal(self) -> PostRefusal {
        match self {
            Self::Nobody => PostRefusal::NoStream,
            Self::NoAnswer => PostRefusal::Unreachable,
        }
    }
}

impl std::fmt::Debug for Passing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passing").field("me", &self.me).finish_non_exhaustive()
    }
}
