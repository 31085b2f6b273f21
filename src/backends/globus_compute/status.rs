//! Whether endpoints are there, asked once for all callers, and for all instances that share a Redis.

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
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use uuid::Uuid;

use super::{ComputeError, EndpointStatus};
use crate::cache::{Answers, Lives, Told};

/// How long a status counts, and how long a failure to have it.
const KEPT: Duration = Duration::from_mins(1);
const FAILURE_KEPT: Duration = Duration::from_secs(10);

/// A status from this age on is asked for anew while it still counts, so that nobody has to wait.
const AGEING: Duration = Duration::from_secs(45);

/// An endpoint that got a task is starting its nodes for this long.
const STARTING: Duration = Duration::from_mins(10);

/// How long an instance may take to ask before the others ask, too.
const ASKING: Duration = Duration::from_secs(5);

const LIVES: Lives = Lives { answer: KEPT, asking: ASKING };

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
    others: Option<Answers>,
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

/// What instances tell each other of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Word {
    status: EndpointStatus,
    /// Until when it is starting nodes, if it is.
    starting_until: Option<Timestamp>,
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

impl From<Told<Word>> for Kept {
    /// With the age that it has.
    fn from(told: Told<Word>) -> Self {
        let now = Instant::now();
        let since = now.checked_sub(told.age()).unwrap_or(now);
        Self::since(since, Ok(told.value.status), told.value.starting_until)
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
            others: None,
            runtime,
        }
    }

    /// The same, shared with other instances.
    pub(super) fn shared(self, others: Option<Answers>) -> Self {
        Self { others, ..self }
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
            let (others, ask) = (self.others.clone(), ask());
            let asking = self.runtime.spawn(async move {
                let Some(others) = others else { return Kept::new(ask.await) };
                let ask = word(ask, None);
                let told = others.find_or_ask(&key(endpoint), LIVES, ask).await;
                told.map_or_else(|error| Kept::new(Err(error)), Kept::from)
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
            let renewed = match &this.others {
                None => ask.await.ok().map(|status| Kept::new(Ok(status))),
                Some(others) => {
                    let ask = word(ask, this.starting_until(endpoint).await);
                    others.renew(&key(endpoint), AGEING, LIVES, ask).await.map(Kept::from)
                }
            };
            if let Some(renewed) = renewed {
                this.kept.insert(endpoint, Arc::new(renewed)).await;
            }
        });
    }

    /// What is known of an endpoint without nodes may have been overtaken by another instance.
    async fn look_again(&self, endpoint: Uuid, kept: Arc<Kept>) -> Arc<Kept> {
        let Some(others) = self.others.as_ref().filter(|_| kept.is_without_nodes()) else {
            return kept;
        };
        if !self.looked.entry(endpoint).or_insert(()).await.is_fresh() {
            return kept;
        }
        let Some(told) = others.find(&key(endpoint), KEPT).await else { return kept };
        let told = Arc::new(Kept::from(told));
        self.kept.insert(endpoint, Arc::clone(&told)).await;
        told
    }

    /// The endpoint got a task: if it has no nodes, it starts some.
    pub(super) async fn triggered(&self, endpoint: Uuid) {
        let is_first = self.triggered.get(&endpoint).await.is_none();
        self.triggered.insert(endpoint, ()).await;
        let (Some(others), true) = (&self.others, is_first) else { return };
        let Some(kept) = self.kept.get(&endpoint).await else { return };
        if let (Ok(status), true) = (&kept.answer, kept.is_without_nodes()) {
            let starting_until = SignedDuration::try_from(STARTING)
                .ok()
                .and_then(|time| Timestamp::now().checked_add(time).ok());
            let word = Word { status: status.clone(), starting_until };
            self.tell(others, endpoint, Told::now(word));
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
        let Some(others) = &self.others else { return self.kept.invalidate(&endpoint).await };
        // The others have the same old status, and nobody knows how many nodes there are.
        let status = EndpointStatus { online: true, managers: None };
        let told = Told::now(Word { status, starting_until: None });
        self.kept.insert(endpoint, Arc::new(told.clone().into())).await;
        self.tell(others, endpoint, told);
    }

    /// Tells other instances, without anybody waiting for it.
    fn tell(&self, others: &Answers, endpoint: Uuid, told: Told<Word>) {
        let others = others.clone();
        self.runtime.spawn(async move { others.tell(&key(endpoint), &told, KEPT).await });
    }
}

fn key(endpoint: Uuid) -> String {
    format!("endpoint:{endpoint}")
}

async fn word(
    ask: impl Future<Output = Answer>,
    starting_until: Option<Timestamp>,
) -> Result<Word, ComputeError> {
    Ok(Word { status: ask.await?, starting_until })
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
