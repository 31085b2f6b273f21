//! Whether endpoints are there, asked once for all callers.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use moka::{Expiry, future::Cache};
use tokio::runtime::Handle;
use uuid::Uuid;

use super::{ComputeError, EndpointStatus};

/// How long a status counts, and how long a failure to have it.
const KEPT: Duration = Duration::from_mins(1);
const FAILURE_KEPT: Duration = Duration::from_secs(10);

/// A status from this age on is asked for anew while it still counts, so that nobody has to wait.
const AGEING: Duration = Duration::from_secs(45);

/// An endpoint that got a task is starting its nodes for this long.
const STARTING: Duration = Duration::from_mins(10);

/// Most endpoints remembered.
const MOST: u64 = 10_000;

type Answer = Result<EndpointStatus, ComputeError>;

/// The statuses of endpoints. Cloning shares them.
#[derive(Debug, Clone)]
pub(super) struct Statuses {
    kept: Cache<Uuid, Arc<Kept>>,
    /// Endpoints that got a task a moment ago.
    triggered: Cache<Uuid, ()>,
    /// Where questions run, so that a caller who goes takes none along.
    runtime: Handle,
}

#[derive(Debug)]
struct Kept {
    answer: Answer,
    since: Instant,
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
    fn new(answer: Answer) -> Arc<Self> {
        Arc::new(Self { answer, since: Instant::now(), renewing: AtomicBool::new(false) })
    }

    const fn life(&self) -> Duration {
        if self.answer.is_ok() { KEPT } else { FAILURE_KEPT }
    }

    /// Whether the one who asks this is to renew it.
    fn is_to_be_renewed(&self) -> bool {
        self.answer.is_ok()
            && self.since.elapsed() >= AGEING
            && !self.renewing.swap(true, Ordering::Relaxed)
    }
}

impl Statuses {
    /// None yet; questions run on `runtime`.
    pub(super) fn new(runtime: Handle) -> Self {
        Self {
            kept: Cache::builder().max_capacity(MOST).expire_after(ByOutcome).build(),
            triggered: Cache::builder().max_capacity(MOST).time_to_live(STARTING).build(),
            runtime,
        }
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
            return kept.answer.clone();
        }
        let asked = async {
            let answer = self.runtime.spawn(ask()).await;
            Kept::new(
                answer
                    .unwrap_or_else(|_| Err(ComputeError::unavailable("the gateway is stopping"))),
            )
        };
        self.kept.get_with(endpoint, asked).await.answer.clone()
    }

    fn renew(&self, endpoint: Uuid, ask: impl Future<Output = Answer> + Send + 'static) {
        let kept = self.kept.clone();
        self.runtime.spawn(async move {
            let answer = ask.await;
            // A failure may be a passing one: the old status counts for its whole minute.
            if answer.is_ok() {
                kept.insert(endpoint, Kept::new(answer)).await;
            }
        });
    }

    /// The endpoint got a task: if it has no nodes, it starts some.
    pub(super) async fn triggered(&self, endpoint: Uuid) {
        self.triggered.insert(endpoint, ()).await;
    }

    /// Whether it got a task in the last ten minutes.
    pub(super) async fn is_triggered(&self, endpoint: Uuid) -> bool {
        self.triggered.get(&endpoint).await.is_some()
    }

    /// A task of this endpoint returned: the nodes that it was to start are there, and a status that
    /// says it has none is out of date.
    pub(super) async fn has_worked(&self, endpoint: Uuid) {
        if self.triggered.contains_key(&endpoint) {
            self.triggered.invalidate(&endpoint).await;
        }
        let without_nodes =
            |kept: Arc<Kept>| kept.answer.as_ref().is_ok_and(|status| status.managers == Some(0));
        if self.kept.get(&endpoint).await.is_some_and(without_nodes) {
            self.kept.invalidate(&endpoint).await;
        }
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
