//! How batches are followed: each to its end, by one follower, whatever is away meanwhile.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a test")]

#[path = "support/memory_store.rs"]
#[allow(dead_code, unreachable_pub, reason = "other tests use the rest")]
mod memory_store;
mod support;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use figw::{
    backends::globus_compute::{ComputeError, Task, TaskState},
    domain::{Batch, BatchStatus},
    gateway::batches::{BatchService, Follower, Pace},
    globus::codec::PyValue,
    store::{Admission, BatchStore, Store},
};
use memory_store::MemoryStore;
use support::samples::{batch, now};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const USER: &str = "ada@anl.gov";

const PACE: Pace = Pace {
    interval: Duration::from_millis(20),
    lease: Duration::from_millis(400),
    missing: Duration::from_millis(300),
};

/// A service that forgets a result as soon as it has been read, as Globus Compute may.
#[derive(Debug, Default)]
struct ForgetfulService {
    tasks: Mutex<HashMap<Uuid, TaskState>>,
    away: AtomicBool,
    /// Milliseconds that an answer takes.
    slow: AtomicUsize,
    /// How many questions there have been at most at one time, and are now.
    at_once: (AtomicUsize, AtomicUsize),
    questions: Mutex<Vec<Vec<Uuid>>>,
}

impl ForgetfulService {
    fn set(&self, task: Uuid, state: TaskState) {
        self.tasks.lock().unwrap().insert(task, state);
    }

    fn read(&self, task: Uuid) -> TaskState {
        let mut tasks = self.tasks.lock().unwrap();
        match tasks.get(&task) {
            Some(TaskState::Pending(word)) => TaskState::Pending(word.clone()),
            Some(_) => tasks.remove(&task).unwrap(),
            None => TaskState::Missing("Unknown task id".to_owned()),
        }
    }
}

#[async_trait]
impl BatchService for ForgetfulService {
    async fn submit(&self, _: Task) -> Result<Uuid, ComputeError> {
        Err(ComputeError::Offline)
    }

    async fn states(&self, _: Uuid, tasks: &[Uuid]) -> Result<Vec<TaskState>, ComputeError> {
        let (now, most) = &self.at_once;
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        self.questions.lock().unwrap().push(tasks.to_vec());
        let away = self.away.load(Ordering::SeqCst);
        let answer = tasks.iter().filter(|_| !away).map(|task| self.read(*task)).collect();
        let slow = u64::try_from(self.slow.load(Ordering::SeqCst)).unwrap();
        tokio::time::sleep(Duration::from_millis(slow)).await;
        now.fetch_sub(1, Ordering::SeqCst);
        if away {
            return Err(ComputeError::Unavailable { reason: "away".into(), retry_after: None });
        }
        Ok(answer)
    }
}

struct Scene {
    store: Arc<MemoryStore>,
    service: Arc<ForgetfulService>,
    endpoint: Uuid,
}

impl Scene {
    fn new() -> Self {
        Self { store: Arc::default(), service: Arc::default(), endpoint: Uuid::new_v4() }
    }

    /// A batch with this task's state at the service.
    async fn batch(&self, state: TaskState) -> Batch {
        let mut new = batch(&Uuid::new_v4().to_string());
        new.job.compute_endpoint = self.endpoint;
        assert_eq!(self.store.create_batch(&new, 0).await.unwrap(), Admission::Admitted);
        let task = Uuid::new_v4();
        self.service.set(task, state);
        assert!(self.store.batch_submitted(new.id, task, now()).await.unwrap());
        self.store.batch(USER, new.id).await.unwrap().unwrap()
    }

    fn follow(&self) -> (JoinHandle<()>, CancellationToken) {
        let store: Arc<dyn Store> = Arc::clone(&self.store) as _;
        let service: Arc<dyn BatchService> = Arc::clone(&self.service) as _;
        let stop = CancellationToken::new();
        let follower = Follower::new(store, service, PACE);
        (tokio::spawn(follower.run(stop.clone())), stop)
    }

    async fn becomes(&self, id: Uuid, status: BatchStatus) -> Batch {
        let given_up = Instant::now() + Duration::from_secs(10);
        loop {
            let batch = self.store.batch(USER, id).await;
            match batch {
                Ok(Some(batch)) if batch.status == status => return batch,
                other => assert!(Instant::now() < given_up, "not {status}: {other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn waiting() -> TaskState {
    TaskState::Pending("waiting-for-nodes".to_owned())
}

fn returned(document: &str) -> TaskState {
    TaskState::Done(PyValue::Text(document.to_owned()))
}

#[tokio::test]
async fn a_batch_is_followed_from_waiting_to_its_stored_result() {
    let scene = Scene::new();
    let batch = scene.batch(waiting()).await;
    let failing = scene.batch(waiting()).await;
    let _follower = scene.follow();
    scene.service.set(batch.task.unwrap(), TaskState::Pending("running".to_owned()));
    scene.becomes(batch.id, BatchStatus::Running).await;
    let document =
        r#"{"results_file": "/out/r", "metrics": {"total_tokens": 70, "num_responses": 2}}"#;
    scene.service.set(batch.task.unwrap(), returned(document));
    let trace = format!("Traceback\n{}FileNotFoundError: /data/in", "x".repeat(10_000));
    scene.service.set(failing.task.unwrap(), TaskState::Failed(trace));
    let done = scene.becomes(batch.id, BatchStatus::Completed).await;
    assert_eq!((done.metrics.total_tokens, done.metrics.responses), (Some(70), Some(2)));
    let result = scene.store.batch_result(USER, batch.id).await.unwrap().unwrap();
    let result: serde_json::Value = serde_json::from_str(&result).unwrap();
    assert_eq!(result["results_file"], "/out/r");
    let error = scene.becomes(failing.id, BatchStatus::Failed).await.error.unwrap();
    assert!(error.ends_with("FileNotFoundError: /data/in"), "the end says what happened");
    assert!(error.len() < 5_000, "{}", error.len());
    let questions = scene.service.questions.lock().unwrap().clone();
    assert_eq!(questions[0].len(), 2, "one question for both batches of an endpoint");
}

#[tokio::test]
async fn several_followers_never_ask_twice_for_one_result() {
    let scene = Scene::new();
    scene.service.slow.store(30, Ordering::SeqCst);
    let mut batches = Vec::new();
    for _ in 0..40 {
        batches.push(scene.batch(waiting()).await);
    }
    let followers: Vec<_> = (0..4).map(|_| scene.follow()).collect();
    for batch in &batches {
        scene.service.set(batch.task.unwrap(), returned("{}"));
    }
    for batch in &batches {
        scene.becomes(batch.id, BatchStatus::Completed).await;
    }
    drop(followers);
    let most = scene.service.at_once.1.load(Ordering::SeqCst);
    assert_eq!(most, 1, "the follower who has the leases is the only one who asks");
}

#[tokio::test]
async fn another_follower_takes_over_from_one_that_died() {
    let scene = Scene::new();
    let batch = scene.batch(waiting()).await;
    let (first, _) = scene.follow();
    while scene.service.questions.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    first.abort();
    scene.service.set(batch.task.unwrap(), returned("{}"));
    let died = Instant::now();
    let _second = scene.follow();
    scene.becomes(batch.id, BatchStatus::Completed).await;
    assert!(died.elapsed() > PACE.lease / 2, "not before the lease was over");
}

#[tokio::test]
async fn a_follower_that_stops_leaves_its_batches_at_once() {
    let scene = Scene::new();
    let batch = scene.batch(waiting()).await;
    let (first, stop) = scene.follow();
    while scene.service.questions.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.cancel();
    first.await.unwrap();
    let claimed = scene.store.claim_batches(Uuid::new_v4(), PACE.lease).await.unwrap();
    assert_eq!(claimed.iter().map(|claimed| claimed.id).collect::<Vec<_>>(), [batch.id]);
}

#[tokio::test]
async fn a_slow_answer_does_not_cost_the_lease() {
    let scene = Scene::new();
    let batch = scene.batch(returned("{}")).await;
    let slow = PACE.lease * 3;
    scene.service.slow.store(usize::try_from(slow.as_millis()).unwrap(), Ordering::SeqCst);
    let _followers = [scene.follow(), scene.follow()];
    scene.becomes(batch.id, BatchStatus::Completed).await;
    assert_eq!(scene.service.questions.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_result_waits_for_the_database() {
    let scene = Scene::new();
    let batch = scene.batch(waiting()).await;
    scene.service.slow.store(100, Ordering::SeqCst);
    let _follower = scene.follow();
    scene.service.set(batch.task.unwrap(), returned("{}"));
    // The answer is under way, and the service has forgotten the task.
    while scene.service.tasks.lock().unwrap().contains_key(&batch.task.unwrap()) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    scene.store.away.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(500)).await;
    scene.store.away.store(false, Ordering::SeqCst);
    scene.becomes(batch.id, BatchStatus::Completed).await;
}

#[tokio::test]
async fn following_goes_on_when_the_service_is_back() {
    let scene = Scene::new();
    scene.service.away.store(true, Ordering::SeqCst);
    let batch = scene.batch(waiting()).await;
    let _follower = scene.follow();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(scene.store.batch(USER, batch.id).await.unwrap().unwrap().status, batch.status);
    scene.service.set(batch.task.unwrap(), returned("{}"));
    scene.service.away.store(false, Ordering::SeqCst);
    scene.becomes(batch.id, BatchStatus::Completed).await;
}

#[tokio::test]
async fn only_a_task_that_stays_missing_is_given_up() {
    let scene = Scene::new();
    let (passing, lasting) = (scene.batch(waiting()).await, scene.batch(waiting()).await);
    for batch in [&passing, &lasting] {
        scene.service.tasks.lock().unwrap().remove(&batch.task.unwrap());
    }
    let _follower = scene.follow();
    tokio::time::sleep(PACE.missing / 3).await;
    scene.service.set(passing.task.unwrap(), waiting());
    let failed = scene.becomes(lasting.id, BatchStatus::Failed).await;
    assert!(failed.error.unwrap().contains("does not know the batch's task"));
    let open = scene.store.batch(USER, passing.id).await.unwrap().unwrap();
    assert_eq!(open.status, BatchStatus::Pending);
}

#[tokio::test]
async fn a_batch_without_a_task_is_given_up_in_time() {
    let scene = Scene::new();
    let late = Batch { submit_by: now(), ..batch("/in") };
    let waiting = batch("/other");
    scene.store.create_batch(&late, 0).await.unwrap();
    scene.store.create_batch(&waiting, 0).await.unwrap();
    let _follower = scene.follow();
    let failed = scene.becomes(late.id, BatchStatus::Failed).await;
    assert!(failed.error.unwrap().contains("look into its output folder"));
    let open = scene.store.batch(USER, waiting.id).await.unwrap().unwrap();
    assert_eq!(open.status, BatchStatus::Pending, "its time is not over");
}
