//! What is sent to Globus Compute and what it answers.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};
use uuid::Uuid;

use crate::globus::results::Outcome;

/// Serialisers a worker is to try, in order; workers older than 3.6.0 ignore the wish.
const RESULT_SERIALIZERS: [&str; 2] =
    ["globus_compute_sdk.serialize.JSONData", "globus_compute_sdk.serialize.DillDataBase64"];

/// What the service says about an endpoint's presence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// Whether it is online.
    pub online: bool,
    /// Connected managers (compute nodes), if the answer has a number.
    pub managers: Option<u64>,
}

/// What the service knows about an endpoint; names differ between its versions.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct EndpointInfo {
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// Its name for people.
    #[serde(default)]
    pub display_name: Option<String>,
    /// Version of `globus-compute-endpoint` that it runs.
    #[serde(default)]
    pub endpoint_version: Option<String>,
}

/// A task on its way: its function, and its arguments as a JSON string.
#[derive(Debug, Clone)]
pub struct NewTask {
    /// The registered function.
    pub function: Uuid,
    /// Packed arguments, written as a JSON string.
    pub payload: Arc<RawValue>,
}

/// Where the results of submitted tasks go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultsTo {
    /// To the broker's queue of this task group, or of a new one.
    Queue(Option<Uuid>),
    /// Nowhere; they have to be asked for.
    Storage,
}

/// Tasks that the service has accepted.
#[derive(Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Their task group.
    pub group: Option<Uuid>,
    /// Their ids, in the order of the request.
    pub ids: Vec<Uuid>,
}

/// Where a task stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// It waits or runs; the service's own word for it.
    Pending(String),
    /// It has ended. This may be the only time that its result can be read.
    Ended(Outcome),
    /// The service has no result and no exception for it, only this reason.
    Missing(String),
}

/// How to reach the broker that delivers results.
#[derive(Debug, Deserialize)]
pub struct ResultQueue {
    /// A task group's queue is this, followed by the group's id.
    pub queue_prefix: String,
    /// An `amqps` (or `amqp`) URL with user name and password.
    pub connection_url: SecretString,
}

#[derive(Serialize)]
struct SubmitBody<'a> {
    tasks: BTreeMap<Uuid, Vec<&'a RawValue>>,
    create_queue: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_group_id: Option<Uuid>,
    result_serializers: [&'static str; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    user_endpoint_config: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct SubmitAnswer {
    #[serde(default)]
    task_group_id: Option<Uuid>,
    tasks: HashMap<Uuid, VecDeque<Uuid>>,
}

#[derive(Deserialize)]
pub(super) struct StatusAnswer {
    status: String,
    #[serde(default)]
    details: Value,
}

#[derive(Deserialize)]
pub(super) struct BatchAnswer {
    pub(super) results: HashMap<Uuid, TaskAnswer>,
}

/// One task's state; what there is of it differs between the service's versions.
#[derive(Deserialize)]
pub(super) struct TaskAnswer {
    #[serde(default)]
    status: Value,
    #[serde(default)]
    result: Value,
    #[serde(default)]
    exception: Value,
    #[serde(default)]
    reason: Value,
}

/// A body of known length: the service demands `content-length`. `config` is for the endpoint, JSON.
pub(super) fn submit_body(
    results: ResultsTo,
    tasks: &[NewTask],
    config: Option<&str>,
) -> serde_json::Result<Bytes> {
    let mut by_function: BTreeMap<Uuid, Vec<&RawValue>> = BTreeMap::new();
    for task in tasks {
        by_function.entry(task.function).or_default().push(&task.payload);
    }
    let (create_queue, task_group_id) = match results {
        ResultsTo::Queue(group) => (true, group),
        ResultsTo::Storage => (false, None),
    };
    let body = SubmitBody {
        tasks: by_function,
        create_queue,
        task_group_id,
        result_serializers: RESULT_SERIALIZERS,
        user_endpoint_config: config.map(serde_json::from_str).transpose()?,
    };
    serde_json::to_vec(&body).map(Bytes::from)
}

/// The ids come in the order of the payloads, for each function.
pub(super) fn accepted(mut answer: SubmitAnswer, tasks: &[NewTask]) -> Result<Accepted, String> {
    let mut next = |task: &NewTask| answer.tasks.get_mut(&task.function)?.pop_front();
    let ids: Option<Vec<Uuid>> = tasks.iter().map(&mut next).collect();
    let ids = ids.ok_or("there are fewer ids than tasks")?;
    Ok(Accepted { group: answer.task_group_id, ids })
}

impl NewTask {
    /// A task of `function` with packed arguments.
    ///
    /// # Errors
    /// When they cannot be written as JSON.
    pub fn new(function: Uuid, payload: &str) -> serde_json::Result<Self> {
        Ok(Self { function, payload: to_raw_value(payload)?.into() })
    }

    /// Bytes that it takes in a request, with what surrounds it.
    #[must_use]
    pub fn size(&self) -> usize {
        const KEY_AND_PUNCTUATION: usize = 48;
        self.payload.get().len() + KEY_AND_PUNCTUATION
    }
}

impl TaskAnswer {
    pub(super) fn progress(self) -> Progress {
        let status = self.status.as_str().unwrap_or("unknown").to_ascii_lowercase();
        if status != "success" && status != "failed" {
            return Progress::Pending(status);
        }
        match (status.as_str(), text(self.result), text(self.exception)) {
            ("success", Some(result), _) => Progress::Ended(Outcome::Returned(result)),
            (_, _, Some(exception)) => Progress::Ended(Outcome::Failed(exception)),
            _ => Progress::Missing(
                text(self.reason).unwrap_or_else(|| "the service has no result".to_owned()),
            ),
        }
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

impl StatusAnswer {
    pub(super) fn presence(&self) -> Presence {
        Presence {
            online: self.status.eq_ignore_ascii_case("online"),
            managers: self.details.get("managers").and_then(count),
        }
    }
}

/// A number, or a number in quotes.
fn count(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;

    use super::*;

    /// One document of the samples.
    fn sample<T: DeserializeOwned>(name: &str) -> T {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/globus/fixtures/compute.json");
        let mut file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        serde_json::from_value(file[name]["json"].take()).unwrap()
    }

    fn id(last: u32) -> Uuid {
        format!("00000000-0000-4000-8000-{last:012}").parse().unwrap()
    }

    fn task(function: u32, payload: &str) -> NewTask {
        NewTask::new(id(function), payload).unwrap()
    }

    #[test]
    fn a_request_is_what_the_python_sdk_sends() {
        let sent: Value = sample("submit_request");
        let function = &sent["tasks"]["00000000-0000-4000-8000-000000000601"];
        let tasks: Vec<_> = (0..2).map(|n| task(601, function[n].as_str().unwrap())).collect();
        let body = submit_body(ResultsTo::Queue(Some(id(703))), &tasks, None).unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        for key in ["tasks", "create_queue", "task_group_id", "result_serializers"] {
            assert_eq!(body[key], sent[key], "{key}");
        }
        assert_eq!(body.get("user_endpoint_config"), None);
        let body = submit_body(ResultsTo::Storage, &tasks, Some(r#"{"a": 1}"#)).unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["user_endpoint_config"]["a"], 1);
    }

    #[test]
    fn ids_find_their_tasks_in_order_and_per_function() {
        let answer: SubmitAnswer = sample("submit_response");
        let accepted_two = accepted(answer, &[task(802, "a"), task(802, "b")]).unwrap();
        assert_eq!(accepted_two.ids, [id(803), id(804)]);
        assert_eq!(accepted_two.group, Some(id(801)));
        let mixed = SubmitAnswer {
            task_group_id: None,
            tasks: HashMap::from([(id(1), [id(11), id(12)].into()), (id(2), [id(21)].into())]),
        };
        let tasks = [task(1, "a"), task(2, "b"), task(1, "c")];
        assert_eq!(accepted(mixed, &tasks).unwrap().ids, [id(11), id(21), id(12)]);
        assert!(accepted(sample("submit_response"), &tasks).is_err());
    }

    #[test]
    fn states_of_tasks_are_told_apart_whatever_the_answer_leaves_out() {
        let answer: BatchAnswer = sample("batch_status");
        let ended = Progress::Ended(Outcome::Returned("10000".to_owned()));
        let states: Vec<_> = answer.results.into_values().map(TaskAnswer::progress).collect();
        assert_eq!(states, [ended]);
        for (answer, progress) in [
            (r#"{"status":"waiting-for-ep"}"#, Progress::Pending("waiting-for-ep".to_owned())),
            (r"{}", Progress::Pending("unknown".to_owned())),
            (
                r#"{"status":"FAILED","exception":"Traceback"}"#,
                Progress::Ended(Outcome::Failed("Traceback".to_owned())),
            ),
            (
                r#"{"status":"failed","reason":"Unknown task id"}"#,
                Progress::Missing("Unknown task id".to_owned()),
            ),
            (
                r#"{"status":"success","result":null}"#,
                Progress::Missing("the service has no result".to_owned()),
            ),
        ] {
            let read: TaskAnswer = serde_json::from_str(answer).unwrap();
            assert_eq!(read.progress(), progress, "{answer}");
        }
    }

    #[test]
    fn managers_are_counted_when_they_are_there() {
        let answer: StatusAnswer = sample("endpoint_status");
        assert_eq!(answer.presence(), Presence { online: true, managers: Some(1) });
        assert_eq!(count(&Value::from("3")), Some(3));
        assert_eq!(count(&Value::from(vec![1])), None);
    }

    #[test]
    fn the_broker_s_password_is_not_shown() {
        let queue: ResultQueue = sample("amqp_url");
        assert_eq!(queue.queue_prefix, "some_prefix");
        assert!(!format!("{queue:?}").contains("password"));
    }
}
