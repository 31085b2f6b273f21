//! Globus Compute's broker and queues of tasks, where they are not as one would wish.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test helper may fail its test"
)]

mod support;

use std::{collections::HashSet, time::Duration};

use figw::{
    backends::globus_compute::{Broker, Compute, ComputeError, ComputeOptions, Task},
    cache::Cache,
    globus::{
        ServiceAccount,
        codec::{PyValue, task_payload},
    },
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use serde_json::json;
use support::{
    globus::{
        COMPUTE_CLIENT_ID, COMPUTE_CLIENT_SECRET, Endpoint, FakeGlobus, Function, Outcome, Service,
        Trouble,
    },
    rabbitmq::RabbitMq,
};
use uuid::Uuid;

const SUBMIT: &str = "POST /v3/endpoints/{id}/submit";
const QUESTION: &str = "POST /v2/batch_status";
const OTHER_CLIENT: &str = "11111111-0000-4000-8000-00000000000a";
const OTHER_SECRET: &str = "another submitter's secret";

/// Two endpoints that run a function which returns its argument. The second one demands another
/// service account.
struct Scene {
    globus: FakeGlobus,
    compute: Compute,
    endpoints: [Uuid; 2],
    function: Uuid,
}

impl Scene {
    fn new(globus: FakeGlobus, amqp: bool, limit: u32) -> Self {
        let (endpoints, function) = ([Uuid::new_v4(), Uuid::new_v4()], Uuid::new_v4());
        for endpoint in endpoints {
            globus.endpoint(endpoint, Endpoint::ONLINE);
        }
        globus.function(function, Function::new(|argument| Outcome::Returns(argument.clone())));
        globus.client(OTHER_CLIENT, OTHER_SECRET);
        let account =
            |id: &str, secret: &str| ServiceAccount { id: id.into(), secret: secret.into() };
        let options = ComputeOptions {
            url: globus.url(Service::Compute).parse().unwrap(),
            auth_url: globus.url(Service::Auth).parse().unwrap(),
            account: Some(account(COMPUTE_CLIENT_ID, COMPUTE_CLIENT_SECRET)),
            overrides: [(endpoints[1], account(OTHER_CLIENT, OTHER_SECRET))].into(),
            amqp,
            gather: Duration::from_millis(5),
            requests_per_ten_seconds: limit,
            cache: Cache::default(),
        };
        let compute = Compute::start(options).unwrap();
        Self { globus, compute, endpoints, function }
    }

    fn with_broker(broker: &RabbitMq) -> Self {
        let globus = FakeGlobus::start_with_broker(&broker.service_url(), broker.client_urls());
        Self::new(globus, true, 1_000)
    }

    fn task(&self, endpoint: Uuid, says: &str) -> Task {
        let payload = task_payload(Some(&json!(says).to_string()));
        Task { endpoint, function: self.function, payload, user_endpoint_config: None }
    }

    /// What comes back of a task with this argument.
    async fn echo(&self, endpoint: Uuid, says: &str) -> String {
        let submitted = self.compute.submit(self.task(endpoint, says)).await.unwrap();
        let result = tokio::time::timeout(Duration::from_secs(20), submitted.result());
        match result.await.expect("a result in time") {
            Ok(PyValue::Text(said)) => said,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until the broker of each of these many accounts is connected.
    async fn connected(&self, accounts: usize) {
        let is_connected = || {
            let health = self.compute.health();
            let connected =
                health.iter().filter(|one| matches!(one.broker, Broker::Connected { .. }));
            connected.count() == accounts
        };
        for _ in 0..1_000 {
            if is_connected() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{:?}", self.compute.health());
    }

    fn groups(&self) -> Vec<Uuid> {
        self.globus.submitted().iter().map(|task| task.group).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_group_that_the_service_forgot_is_replaced_and_its_queue_read() {
    let broker = RabbitMq::start_new();
    let scene = Scene::with_broker(&broker);
    let endpoint = scene.endpoints[0];
    assert_eq!(scene.echo(endpoint, "first").await, "first");
    scene.globus.forget_groups();
    assert_eq!(scene.echo(endpoint, "second").await, "second");
    assert_eq!(scene.globus.count(Service::Compute, SUBMIT), 3, "one of them in vain");
    let before = scene.globus.count(Service::Compute, QUESTION);
    for says in ["third", "fourth"] {
        assert_eq!(scene.echo(endpoint, says).await, says);
    }
    assert_eq!(scene.globus.count(Service::Compute, QUESTION), before, "the broker delivers");
    let groups = scene.groups();
    assert_ne!(groups[0], groups[1]);
    assert!(groups[2..].iter().all(|group| *group == groups[1]), "{groups:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_make_no_sense_or_come_twice_disturb_nobody() {
    let broker = RabbitMq::start_new();
    let scene = Scene::with_broker(&broker);
    let endpoint = scene.endpoints[0];
    assert_eq!(scene.echo(endpoint, "first").await, "first");
    let first = scene.globus.submitted().remove(0);
    scene.connected(2).await;
    let logins = scene.globus.amqp_logins();
    let result = |id: Uuid, data: &str| {
        let message =
            json!({"message_type": "result", "data": {"task_id": id, "data": data}}).to_string();
        [b"\x01", message.as_bytes()].concat()
    };
    let foreign: [Vec<u8>; 7] = [
        Vec::new(),
        b"\x01".into(),
        b"\x02{}".into(),
        b"\x01{\"message_type\":\"task\",\"data\":{}}".into(),
        [b"\x01".as_slice(), "[".repeat(100_000).as_bytes()].concat(),
        result(first.id, "11\n\"again\""),
        result(Uuid::new_v4(), "11\n\"nobody's\""),
    ];
    for message in &foreign {
        scene.globus.publish(first.group, message).await;
    }
    let says: Vec<String> = (0..100).map(|number| format!("task {number}")).collect();
    let heard = says.iter().map(|says| scene.echo(endpoint, says));
    assert_eq!(futures_util::future::join_all(heard).await, says);
    assert_eq!(scene.globus.amqp_logins(), logins, "the connection was kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_without_a_readable_result_has_the_service_asked_at_once() {
    let broker = RabbitMq::start_new();
    let scene = Scene::with_broker(&broker);
    let endpoint = scene.endpoints[0];
    assert_eq!(scene.echo(endpoint, "first").await, "first");
    // It has ended by the time that the message comes, but its own message has no result.
    let withheld = Function::new(|argument| Outcome::Returns(argument.clone())).withheld();
    scene.globus.function(scene.function, withheld);
    let begun = std::time::Instant::now();
    assert_eq!(scene.echo(endpoint, "second").await, "second");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let slow = Function::new(|_| Outcome::After(Duration::from_secs(2), Outcome::Never.into()));
    scene.globus.function(scene.function, slow);
    let before = scene.globus.count(Service::Compute, QUESTION);
    let submitted = scene.compute.submit(scene.task(endpoint, "third")).await.unwrap();
    let group = scene.groups()[0];
    let id = submitted.id;
    let message = json!({"message_type": "result", "data": {"task_id": id, "data": null}});
    scene.globus.publish(group, format!("\x01{message}").as_bytes()).await;
    let waiting = tokio::time::timeout(Duration::from_secs(5), submitted.result()).await;
    assert!(waiting.is_err(), "it still runs: {waiting:?}");
    let asked = scene.globus.count(Service::Compute, QUESTION) - before;
    assert_eq!(asked, 1, "once, and not again before it is due");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_service_account_has_its_own_token_group_and_queue() {
    let broker = RabbitMq::start_new();
    let scene = Scene::with_broker(&broker);
    scene.connected(2).await;
    for _ in 0..3 {
        let [ours, theirs] = scene.endpoints.map(|endpoint| scene.echo(endpoint, "hello"));
        assert_eq!(tokio::join!(ours, theirs), ("hello".to_owned(), "hello".to_owned()));
    }
    let submits = scene.globus.asked(Service::Compute);
    let submits = submits.iter().filter(|asked| asked.route() == SUBMIT);
    let by: HashSet<_> =
        submits.map(|asked| (asked.header("authorization").unwrap(), asked.ids())).collect();
    assert_eq!(by.len(), 2, "each endpoint saw one token");
    assert_eq!(scene.groups().iter().collect::<HashSet<_>>().len(), 2);
    let accounts: Vec<_> = scene.compute.health().into_iter().map(|one| one.account).collect();
    assert_eq!(accounts, [COMPUTE_CLIENT_ID, OTHER_CLIENT]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_long_or_too_much_is_refused_at_once_and_room_comes_back() {
    let scene = Scene::new(FakeGlobus::start(), false, 20);
    let endpoint = scene.endpoints[0];
    let long = scene.task(endpoint, &"x".repeat(10_000_000));
    assert_eq!(scene.compute.submit_detached(long).await, Err(ComputeError::TooLarge));
    assert_eq!(scene.globus.count(Service::Compute, SUBMIT), 0);

    scene.globus.trouble(Service::Compute, Some(Trouble::Hang));
    let crowd = (0..5_000).map(|_| scene.compute.submit_detached(scene.task(endpoint, "wait")));
    let mut crowd: FuturesUnordered<_> = crowd.collect();
    let first = tokio::time::timeout(Duration::from_secs(10), crowd.next()).await;
    assert_eq!(first.expect("a refusal"), Some(Err(ComputeError::Full)));

    drop(crowd);
    scene.globus.trouble(Service::Compute, None);
    let given_up = std::time::Instant::now() + Duration::from_secs(20);
    while let Err(error) = scene.compute.submit_detached(scene.task(endpoint, "again")).await {
        assert_eq!(error, ComputeError::Full);
        assert!(std::time::Instant::now() < given_up, "there is still no room");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
