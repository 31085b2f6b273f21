//! Tasks: how they run, and what their owner is told.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{FakeGlobus, Function, Outcome, World, pickle, streaming};

/// How long a waiting task sleeps before it looks for its endpoint again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A task, as the service keeps it.
pub(super) struct Task {
    pub(super) endpoint: Uuid,
    pub(super) function: Uuid,
    pub(super) group: Uuid,
    pub(super) argument: Value,
    pub(super) state: &'static str,
    pub(super) ended: Option<(Ended, f64)>,
}

/// How a task ended.
#[derive(Debug, Clone)]
pub(super) enum Ended {
    Result(String),
    Exception(String),
}

/// A task that was submitted.
#[derive(Debug, Clone)]
pub struct Submission {
    pub id: Uuid,
    pub endpoint: Uuid,
    pub function: Uuid,
    pub group: Uuid,
    pub argument: Value,
    pub accepted: Instant,
    /// When its result, or its failure, was there.
    pub ended: Option<Instant>,
}

impl FakeGlobus {
    /// Every task that was ever submitted, in order.
    pub fn submitted(&self) -> Vec<Submission> {
        self.world.cluster.submissions.lock().unwrap().clone()
    }

    /// Waits until this many tasks were submitted.
    pub async fn wait_until_submitted(&self, tasks: usize) {
        let given_up = Instant::now() + Duration::from_secs(30);
        while self.submitted().len() < tasks {
            assert!(Instant::now() < given_up, "{} of {tasks} tasks", self.submitted().len());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until this many tasks have ended.
    pub async fn wait_until_ended(&self, tasks: usize) {
        let given_up = Instant::now() + Duration::from_secs(30);
        while self.submitted().iter().filter(|task| task.ended.is_some()).count() < tasks {
            assert!(Instant::now() < given_up, "{tasks} tasks have not ended");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// How many tasks have ended whose results can still be asked for.
    pub fn results_kept(&self) -> usize {
        let tasks = self.world.cluster.tasks.lock().unwrap();
        tasks.values().filter(|task| task.ended.is_some()).count()
    }
}

/// Runs a task to its end. `json` says that results in JSON were asked for.
pub(super) async fn run(world: Arc<World>, id: Uuid, function: Function, json: bool) {
    let Some((endpoint, group, argument)) =
        world.cluster.task(id, |task| (task.endpoint, task.group, task.argument.clone()))
    else {
        return;
    };
    while !world.cluster.is_online(endpoint) {
        world.cluster.task(id, |task| task.state = "waiting-for-ep");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    world.cluster.task(id, |task| task.state = "running");
    tokio::time::sleep(function.delay).await;
    let mut outcome = function.call(&argument);
    while let Outcome::After(delay, later) = outcome {
        tokio::time::sleep(delay).await;
        outcome = *later;
    }
    let returned = match outcome {
        Outcome::Returns(value) => Ok(value),
        Outcome::Raises(text) => Err(text),
        Outcome::Streams(script) => streaming::play(&world, &argument, script).await,
        Outcome::Buffer(buffer) => {
            return finish(&world, id, group, Ended::Result(buffer), &function).await;
        }
        Outcome::After(..) | Outcome::Never => std::future::pending().await,
    };
    let ended = match returned {
        Ok(value) if json && !function.pickles => Ended::Result(format!("11\n{value}")),
        Ok(value) => Ended::Result(pickle::buffer(&value)),
        Err(text) => Ended::Exception(traceback(&text)),
    };
    finish(&world, id, group, ended, &function).await;
}

async fn finish(world: &World, id: Uuid, group: Uuid, ended: Ended, function: &Function) {
    world.cluster.has_ended(id);
    let now = Timestamp::now().as_millisecond();
    #[allow(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit")]
    let at = now as f64 / 1000.0;
    world.cluster.task(id, |task| {
        task.state = if matches!(ended, Ended::Result(_)) { "success" } else { "failed" };
        task.ended = Some((ended.clone(), at));
    });
    if world.cluster.has_queue(group) {
        world.broker.publish(group, id, &ended, function.result_withheld).await;
    }
}

/// What a worker says of an exception.
fn traceback(text: &str) -> String {
    format!(
        "Traceback (most recent call last):\n  File \"worker.py\", line 1, in function\n\
         Exception: {text}\n"
    )
}

/// What a task's owner is told; a result perhaps only once.
pub(super) fn report(world: &World, id: Uuid) -> Option<Value> {
    let mut tasks = world.cluster.tasks.lock().unwrap();
    let task = tasks.get(&id)?;
    let mut report = json!({"task_id": id, "status": task.state});
    if let Some((ended, at)) = &task.ended {
        match ended {
            Ended::Result(buffer) => report["result"] = buffer.as_str().into(),
            Ended::Exception(text) => report["exception"] = text.as_str().into(),
        }
        report["completion_t"] = at.to_string().into();
        report["details"] = json!({"os": "Linux", "python_version": "3.11.7",
            "task_transitions": {"execution-end": at}});
        if world.cluster.reads_once() {
            tasks.remove(&id);
        }
    }
    Some(report)
}
