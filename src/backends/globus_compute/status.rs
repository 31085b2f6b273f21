//! Whether endpoints are there, asked once for all callers, and for all instances that share a Redis.

mod words;

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use moka::{Expiry, future::Cache};
use tokio::runtime::Handle;
use uuid::Uuid;

use self::words::{Word, Words};
use super::{ComputeError, EndpointStatus};
use crate::{cache, globus::ServiceAccount};

/// How long a status counts, and how long a failure to have it.
const KEPT: Duration = Duration::from_mins(1);
const FAILURE_KEPT: Duration = Duration::from_secs(10);

/// A status from this age on is asked for anew while it still counts, so that nobody has to wait.
const AGEING: Duration = Duration::from_secs(45);

/// An endpoint that got a task is starting its nodes for this long.
const STARTING: Duration = Duration::from_mins(10);

/// How often it is looked what other instances know of an endpoint without nodes: one of them may
/// have had it start some, or have had a result from it.
const LOOK: Duration = Duration::from_secs(2);

/// Most endpoints remembered.
const MOST: u64 = 10_000;

type Answer = Result<EndpointStatus, ComputeError>;

/// The statuses of endpoints. Cloning shares them.
#[derive(Debug, Clone)]
pub(super) struct Statuses {
    kept: Cache<Uuid, Arc<Kept>>,
    /// Endpoints that got a task a moment ago.
    triggered: Cache<Uuid, ()>,
    /// Endpoints that other instances were asked about a moment ago.
    looked: Cache<Uuid, ()>,
    /// What other instances say, where there is a way to hear it.
    words: Option<Words>,
    /// Where questions run, so that a caller who goes takes none along.
    runtime: Handle,
}

#[derive(Debug)]
struct Kept {
    answer: Answer,
    since: Instant,
    /// Until when it is starting nodes for another instance.
    starting_until: Option<Timestamp>,
    renewing: AtomicBool,
}

struct ByOutcome;

impl Expiry<Uuid, Arc<Kept>> for ByOutcome {
    fn expire_after_create(&self, _: &Uuid, kept: &Arc<Kept>, _: Instant) -> Option<Duration> {
        Some(kept.life())
    }

    fn expire_after_update(
        &self,
        _: &Uuid,
        kept: &Arc<Kept>,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(kept.life())
    }
}

impl Kept {
    fn new(answer: Answer) -> Self {
        Self::since(Instant::now(), answer, None)
    }

    fn since(since: Instant, answer: Answer, starting_until: Option<Timestamp>) -> Self {
        Self { answer, since, starting_until, renewing: AtomicBool::new(false) }
    }

    fn life(&self) -> Duration {
        let life = if self.answer.is_ok() { KEPT } else { FAILURE_KEPT };
        life.saturating_sub(self.since.elapsed())
    }

    /// Whether the one who asks this is to renew it.
    fn is_to_be_renewed(&self) -> bool {
        self.answer.is_ok()
            && self.since.elapsed() >= AGEING
            && !self.renewing.swap(true, Ordering::Relaxed)
    }

    fn is_without_nodes(&self) -> bool {
        self.answer.as_ref().is_ok_and(|status| status.managers == Some(0))
    }
}

impl Statuses {
    /// None yet; questions run on `runtime`.
    pub(super) fn new(runtime: Handle) -> Self {
        Self {
            kept: Cache::builder().max_capacity(MOST).expire_after(ByOutcome).build(),
            triggered: Cache::builder().max_capacity(MOST).time_to_live(STARTING).build(),
            looked: Cache::builder().max_capacity(MOST).time_to_live(LOOK).build(),
            words: None,
            runtime,
        }
    }

    /// The same, shared through `cache` with instances that have the same accounts.
    pub(super) fn shared<'a>(
        self,
        cache: &cache::Cache,
        accounts: impl Iterator<Item = &'a ServiceAccount>,
    ) -> Self {
        Self { words: Words::new(cache, accounts), ..self }
    }

    /// The endpoint's status; `ask` is used when there is none, once for all who come meanwhile.
    pub(super) async fn get<F>(&self, endpoint: Uuid, ask: impl FnOnce() -> F) -> Answer
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        if let Some(kept) = self.kept.get(&endpoint).await {
            if kept.is_to_be_renewed() {
                self.renew(endpoint, ask());
            }
            return self.look_again(endpoint, kept).await.answer.clone();
        }
        let asked = async {
            let (words, ask) = (self.words.clone(), ask());
            let asking = self.runtime.spawn(async move {
                match words {
                    None => Kept::new(ask.await),
                    Some(words) => match words.find_or_ask(endpoint, ask).await {
                        Ok(word) => word.kept(),
                        Err(error) => Kept::new(Err(error)),
                    },
                }
            });
            let stopping = |_| Kept::new(Err(ComputeError::unavailable("the gateway is stopping")));
            Arc::new(asking.await.unwrap_or_else(stopping))
        };
        self.kept.get_with(endpoint, asked).await.answer.clone()
    }

    fn renew(&self, endpoint: Uuid, ask: impl Future<Output = Answer> + Send + 'static) {
        let this = self.clone();
        self.runtime.spawn(async move {
            // A failure may be a passing one: the old status counts for its whole minute.
            let renewed = match &this.words {
                None => ask.await.ok().map(|status| Kept::new(Ok(status))),
                Some(words) => {
                    let starting_until = this.starting_until(endpoint).await;
                    words.renew(endpoint, starting_until, ask).await.map(Word::kept)
                }
            };
            if let Some(renewed) = renewed {
                this.kept.insert(endpoint, Arc::new(renewed)).await;
            }
        });
    }

    /// What is known of an endpoint without nodes may have been overtaken by another instance.
    async fn look_again(&self, endpoint: Uuid, kept: Arc<Kept>) -> Arc<Kept> {
        let Some(words) = self.words.as_ref().filter(|_| kept.is_without_nodes()) else {
            return kept;
        };
        if !self.looked.entry(endpoint).or_insert(()).await.is_fresh() {
            return kept;
        }
        let Some(word) = words.find(endpoint).await.map(Word::kept) else { return kept };
        let word = Arc::new(word);
        self.kept.insert(endpoint, Arc::clone(&word)).await;
        word
    }

    /// The endpoint got a task: if it has no nodes, it starts some.
    pub(super) async fn triggered(&self, endpoint: Uuid) {
        let is_first = self.triggered.get(&endpoint).await.is_none();
        self.triggered.insert(endpoint, ()).await;
        let (Some(words), true) = (&self.words, is_first) else { return };
        let Some(kept) = self.kept.get(&endpoint).await else { return };
        if let (Ok(status), true) = (&kept.answer, kept.is_without_nodes()) {
            let until = SignedDuration::try_from(STARTING)
                .ok()
                .and_then(|time| Timestamp::now().checked_add(time).ok());
            self.tell(words, endpoint, Word::new(status.clone(), until));
        }
    }

    /// Whether it got a task in the last ten minutes.
    pub(super) async fn is_triggered(&self, endpoint: Uuid) -> bool {
        self.triggered.get(&endpoint).await.is_some()
            || self.starting_until(endpoint).await.is_some()
    }

    /// Until when it is starting nodes for another instance.
    async fn starting_until(&self, endpoint: Uuid) -> Option<Timestamp> {
        let until = self.kept.get(&endpoint).await?.starting_until;
        until.filter(|until| *until > Timestamp::now())
    }

    /// A task of this endpoint returned: the nodes that it was to start are there, and a status that
    /// says it has none is out of date.
    pub(super) async fn has_worked(&self, endpoint: Uuid) {
        if self.triggered.contains_key(&endpoint) {
            self.triggered.invalidate(&endpoint).await;
        }
        let Some(kept) = self.kept.get(&endpoint).await else { return };
        if !kept.is_without_nodes() {
            return;
        }
        let Some(words) = &self.words else { return self.kept.invalidate(&endpoint).await };
        // The others have the same old status, and nobody knows how many nodes there are.
        let word = Word::new(EndpointStatus { online: true, managers: None }, None);
        self.kept.insert(endpoint, Arc::new(word.clone().kept())).await;
        self.tell(words, endpoint, word);
    }

    /// Tells other instances, without anybody waiting for it.
    fn tell(&self, words: &Words, endpoint: Uuid, word: Word) {
        let words = words.clone();
        self.runtime.spawn(async move { words.tell(endpoint, &word).await });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    const ONLINE: EndpointStatus = EndpointStatus { online: true, managers: Some(0) };

    #[tokio::test]
    async fn a_thousand_who_ask_at_the_same_time_cause_one_question() {
        let statuses = Statuses::new(Handle::current());
        let asked = Arc::new(AtomicUsize::new(0));
        let endpoint = Uuid::new_v4();
        let ask = || {
            let asked = Arc::clone(&asked);
            async move {
                asked.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
                Ok(ONLINE)
            }
        };
        let all = (0..1_000).map(|_| statuses.get(endpoint, ask));
        for answer in futures_util::future::join_all(all).await {
            assert_eq!(answer, Ok(ONLINE));
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_failure_is_kept_too_and_no_caller_s_leaving_stops_the_question() {
        let statuses = Statuses::new(Handle::current());
        let endpoint = Uuid::new_v4();
        let failed = || async { Err(ComputeError::unavailable("away")) };
        assert!(statuses.get(endpoint, failed).await.is_err());
        assert!(statuses.get(endpoint, || async { Ok(ONLINE) }).await.is_err());
    }

    #[tokio::test]
    async fn a_result_corrects_a_status_without_nodes() {
        let statuses = Statuses::new(Handle::current());
        let endpoint = Uuid::new_v4();
        assert_eq!(statuses.get(endpoint, || async { Ok(ONLINE) }).await, Ok(ONLINE));
        statuses.has_worked(endpoint).await;
        let with_nodes = EndpointStatus { online: true, managers: Some(2) };
        let answer = with_nodes.clone();
        assert_eq!(statuses.get(endpoint, || async { Ok(answer) }).await, Ok(with_nodes));
    }

    #[tokio::test]
    async fn an_endpoint_is_triggered_by_a_task_until_one_returns() {
        let statuses = Statuses::new(Handle::current());
        let endpoint = Uuid::new_v4();
        assert!(!statuses.is_triggered(endpoint).await);
        statuses.triggered(endpoint).await;
        assert!(statuses.is_triggered(endpoint).await);
        statuses.has_worked(endpoint).await;
        assert!(!statuses.is_triggered(endpoint).await, "if its nodes go, it has to start others");
    }
}
