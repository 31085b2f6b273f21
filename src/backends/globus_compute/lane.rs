//! One service account: its allowance, its queue of tasks, its task group and results.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    ComputeError,
    amqp::Consumer,
    gather::{Gather, MOST_BYTES, Window},
    health::{Health, Pulse},
    poll::{self, Found, Poller},
    status::Statuses,
    submit::{Address, Group, Job, Placed, Submitter},
    waiting::Waiting,
};
use crate::globus::{
    budget::Purpose,
    compute::{ComputeApi, NewTask},
};

/// Most tasks that wait to be submitted.
const MOST_QUEUED: usize = 4_096;

/// Each stands for at least this many bytes, of which all together have 128 MiB.
const BYTES_PER_PLACE: usize = 32 * 1024;

/// Timers count whole milliseconds, rounded up twice: what is due wakes up to two of them late.
const TIMER_GRAIN: Duration = Duration::from_millis(1);

/// Who waits alone this long is sent alone: callers who ask at the same moment come closer together.
const LULL: Duration = Duration::from_millis(5);

/// A service that asks for a longer silence than this is not waited for.
const LONGEST_SILENCE: Duration = Duration::from_secs(5);

/// Shared by all who use one service account.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) api: ComputeApi,
    queue: mpsc::Sender<(Address, Job)>,
    room: Arc<Semaphore>,
    waiting: Arc<Waiting>,
    pulse: Arc<Pulse>,
}

/// How a lane works.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ways {
    /// Whether results come from the broker.
    pub(super) amqp: bool,
    /// How long tasks for one endpoint are gathered at most.
    pub(super) window: Duration,
}

impl Lane {
    /// Starts the lane's tasks on the current runtime; they end with `stop`.
    pub(super) fn start(
        account: String,
        api: ComputeApi,
        statuses: &Statuses,
        ways: Ways,
        stop: &CancellationToken,
    ) -> Arc<Self> {
        let waiting = Arc::new(Waiting::default());
        let pulse = Arc::new(Pulse::new(account, ways.amqp));
        let group = Arc::new(Group::new());
        let suspicion = Arc::new(Notify::new());
        let spawn = |task: BoxFuture<'static, ()>| {
            tokio::spawn(stop.clone().run_until_cancelled_owned(task));
        };
        let poller = Poller {
            api: api.clone(),
            waiting: Arc::clone(&waiting),
            statuses: statuses.clone(),
            pulse: Arc::clone(&pulse),
            suspicion: Arc::clone(&suspicion),
        };
        spawn(Box::pin(poller.run()));
        if ways.amqp {
            let consumer = Consumer {
                api: api.clone(),
                waiting: Arc::clone(&waiting),
                group: Arc::clone(&group),
                statuses: statuses.clone(),
                pulse: Arc::clone(&pulse),
                suspicion,
            };
            spawn(Box::pin(consumer.run()));
        }
        let submitter = Submitter {
            api: api.clone(),
            waiting: Arc::clone(&waiting),
            group,
            statuses: statuses.clone(),
            pulse: Arc::clone(&pulse),
        };
        let (queue, queued) = mpsc::channel(MOST_QUEUED);
        spawn(Box::pin(dispatch(queued, Arc::new(submitter), ways.window)));
        Arc::new(Self { api, queue, room: Arc::new(Semaphore::new(MOST_QUEUED)), waiting, pulse })
    }

    /// Queues a task and waits until the service has accepted it.
    pub(super) async fn submit(&self, to: Address, task: NewTask) -> Result<Placed, ComputeError> {
        if task.size() + to.config.as_ref().map_or(0, |config| config.len()) > MOST_BYTES {
            return Err(ComputeError::TooLarge);
        }
        if let Some(silence) = self.api.budget().silence().filter(|left| *left > LONGEST_SILENCE) {
            return Err(ComputeError::Unavailable {
                reason: "Globus Compute takes no more requests at present".to_owned(),
                retry_after: Some(silence),
            });
        }
        let places = u32::try_from(task.size().div_ceil(BYTES_PER_PLACE)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room)
            .try_acquire_many_owned(places)
            .map_err(|_| ComputeError::Full)?;
        let (answer, outcome) = oneshot::channel();
        let job = Job { task, answer, _room: room };
        self.queue.try_send((to, job)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ComputeError::Full,
            mpsc::error::TrySendError::Closed(_) => ComputeError::stopping(),
        })?;
        outcome.await.unwrap_or_else(|_| Err(ComputeError::stopping()))
    }

    /// Where tasks stand that nobody in this process waits for.
    pub(super) async fn ask(&self, ids: &[Uuid]) -> Found {
        if ids.is_empty() {
            return Found::default();
        }
        let permit = self.api.budget().take(Purpose::Poll).await;
        let found = poll::ask(&self.api, permit, ids).await;
        self.pulse.answered(found.error.as_ref());
        found
    }

    pub(super) fn health(&self) -> Health {
        self.pulse.health(self.waiting.len())
    }
}

/// Gathers what is queued and sends it as soon as the window has passed and the allowance permits;
/// what comes meanwhile goes along.
async fn dispatch(
    mut queued: mpsc::Receiver<(Address, Job)>,
    submitter: Arc<Submitter>,
    window: Duration,
) {
    let [most, lull] = [window, window.min(LULL)].map(|time| time.saturating_sub(TIMER_GRAIN));
    let mut gather = Gather::new(Window { most, lull });
    let mut not_before = Instant::now();
    loop {
        let ready = gather.ready_at().map(|at| at.max(not_before));
        let wake = ready.unwrap_or_else(Instant::now);
        tokio::select! {
            received = queued.recv() => {
                let Some((to, job)) = received else { return };
                gather.add(to, job, Instant::now());
                while let Ok((to, job)) = queued.try_recv() {
                    gather.add(to, job, Instant::now());
                }
            }
            () = tokio::time::sleep_until(wake.into()), if ready.is_some() => {
                gather.drop_unwanted();
                let now = Instant::now();
                if gather.ready_at().is_none_or(|at| at > now) {
                    continue;
                }
                match submitter.api.budget().try_take(Purpose::Submit, now) {
                    Err(at) => not_before = at,
                    Ok(permit) => {
                        let Some((to, jobs)) = gather.take(now) else { continue };
                        let submitter = Arc::clone(&submitter);
                        tokio::spawn(async move { submitter.send(to, jobs, permit).await });
                    }
                }
            }
        }
    }
}
