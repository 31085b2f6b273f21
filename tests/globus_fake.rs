//! The fake Globus keeps its word: what other tests conclude from it rests on this.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]

mod support;

use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::StreamExt;
use lapin::{
    Connection, ConnectionProperties, Consumer,
    options::{BasicAckOptions, BasicConsumeOptions, QueueDeclareOptions},
    types::FieldTable,
};
use serde_json::{Value, json};
use support::{
    globus::{
        APPLICATION_ID, APPLICATION_SECRET, COMPUTE_CLIENT_ID, COMPUTE_CLIENT_SECRET, Endpoint,
        FakeGlobus, Function, Outcome, QUEUE_PREFIX, Service, Trouble, researcher,
    },
    rabbitmq::RabbitMq,
};
use uuid::Uuid;

const COMPUTE_SCOPE: &str =
    "https://auth.globus.org/scopes/facd7ccc-c5f4-42aa-916b-a0e270e2c2a9/all";

/// A status and a document.
type Answer = (u16, Value);

/// Someone who speaks to the services without figw.
struct Client<'a> {
    globus: &'a FakeGlobus,
    http: reqwest::Client,
}

impl<'a> Client<'a> {
    fn of(globus: &'a FakeGlobus) -> Self {
        // Whoever comes second finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { globus, http: reqwest::Client::builder().user_agent("test").build().unwrap() }
    }

    async fn form(&self, path: &str, client: (&str, &str), form: &[(&str, &str)]) -> Answer {
        let url = format!("{}{path}", self.globus.url(Service::Auth));
        let request = self.http.post(url).basic_auth(client.0, Some(client.1)).form(form);
        read(request).await
    }

    async fn compute_token(&self) -> String {
        let form = [("grant_type", "client_credentials"), ("scope", COMPUTE_SCOPE)];
        let client = (COMPUTE_CLIENT_ID, COMPUTE_CLIENT_SECRET);
        let (status, token) = self.form("/v2/oauth2/token", client, &form).await;
        assert_eq!((status, &token["resource_server"]), (200, &json!("funcx_service")));
        token["access_token"].as_str().unwrap().to_owned()
    }

    async fn post(&self, token: &str, path: &str, body: Value) -> Answer {
        let url = format!("{}{path}", self.globus.url(Service::Compute));
        read(self.http.post(url).bearer_auth(token).json(&body)).await
    }

    async fn get(&self, token: &str, path: &str) -> Answer {
        let url = format!("{}{path}", self.globus.url(Service::Compute));
        read(self.http.get(url).bearer_auth(token)).await
    }

    /// What has become of a task, once it has ended.
    async fn ended(&self, token: &str, task: &str) -> Value {
        let given_up = Instant::now() + Duration::from_secs(10);
        loop {
            let (status, report) = self.get(token, &format!("/v2/tasks/{task}")).await;
            if status != 200 || ["success", "failed"].iter().any(|end| report["status"] == *end) {
                return report;
            }
            assert!(Instant::now() < given_up, "{report}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn read(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.json().await.unwrap_or_default())
}

fn submit_of(function: Uuid, payload: &str) -> Value {
    json!({"tasks": {function.to_string(): [payload]}, "create_queue": true,
        "result_serializers": ["globus_compute_sdk.serialize.JSONData"]})
}

fn first_task(answer: &Value, function: Uuid) -> String {
    answer["tasks"][function.to_string()][0].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn tokens_are_known_by_their_documents_and_hidden_fields_stay_hidden() {
    let globus = FakeGlobus::start();
    globus.token("alices", researcher("alice@anl.gov"));
    globus.groups("alices", ["a-group"]);
    let client = Client::of(&globus);
    let us = (APPLICATION_ID, APPLICATION_SECRET);
    let path = "/v2/oauth2/token/introspect";

    let (status, plain) = client.form(path, us, &[("token", "alices")]).await;
    assert_eq!((status, &plain["username"]), (200, &json!("alice@anl.gov")));
    assert!(plain.get("session_info").is_none(), "{plain}");
    let include = [("token", "alices"), ("include", "session_info,identity_set_detail")];
    let (_, full) = client.form(path, us, &include).await;
    assert_eq!(full["session_info"]["authentications"].as_object().unwrap().len(), 1);
    let unknown = client.form(path, us, &[("token", "nobody's")]).await;
    assert_eq!(unknown, (200, json!({"active": false})));
    let (status, _) = client.form(path, ("someone", "else"), &[("token", "alices")]).await;
    assert_eq!(status, 401);

    let grant = "urn:globus:auth:grant_type:dependent_token";
    let form = [("grant_type", grant), ("token", "alices")];
    let (_, tokens) = client.form("/v2/oauth2/token", us, &form).await;
    let mut tokens = tokens.as_array().unwrap().iter();
    let groups = tokens.find(|token| token["resource_server"] == "groups.api.globus.org").unwrap();
    let url = format!("{}/v2/groups/my_groups", globus.url(Service::Groups));
    let request = client.http.get(url).bearer_auth(groups["access_token"].as_str().unwrap());
    assert_eq!(read(request).await.1[0]["id"], "a-group");
    assert_eq!(globus.count(Service::Auth, "POST /v2/oauth2/token/introspect"), 4);
}

#[tokio::test]
async fn tasks_are_unpacked_by_characters_and_answer_in_the_form_that_was_asked_for() {
    let globus = FakeGlobus::start();
    let (endpoint, echo, old, failing) =
        (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    globus.endpoint(endpoint, Endpoint::ONLINE);
    let same = |argument: &Value| Outcome::Returns(argument["text"].clone());
    globus.function(echo, Function::new(same));
    globus.function(old, Function::new(same).pickled());
    globus.function(failing, Function::new(|_| Outcome::Raises("no such model".into())));
    let client = Client::of(&globus);
    let token = client.compute_token().await;
    let path = format!("/v3/endpoints/{endpoint}/submit");

    // Six characters of text in fourteen bytes: a count of bytes would be refused.
    let payload = "21\n11\n[{\"text\": \"héllo😀\"}]5\n11\n{}";
    let characters = "11\n[{\"text\": \"héllo😀\"}]".chars().count();
    let payload = payload.replacen("21", &characters.to_string(), 1);
    let (status, answer) = client.post(&token, &path, submit_of(echo, &payload)).await;
    assert_eq!(status, 200, "{answer}");
    let report = client.ended(&token, &first_task(&answer, echo)).await;
    assert_eq!(report["result"], "11\n\"héllo😀\"");

    let (_, answer) = client.post(&token, &path, submit_of(old, &payload)).await;
    let report = client.ended(&token, &first_task(&answer, old)).await;
    let pickle = report["result"].as_str().unwrap().strip_prefix("00\n").unwrap().trim();
    assert!(STANDARD.decode(pickle).unwrap().windows(10).any(|w| w == "héllo😀".as_bytes()));

    let (_, answer) = client.post(&token, &path, submit_of(failing, &payload)).await;
    let report = client.ended(&token, &first_task(&answer, failing)).await;
    assert!(report["exception"].as_str().unwrap().contains("no such model"), "{report}");

    let bytes = payload.replacen(&characters.to_string(), "28", 1);
    let (status, refusal) = client.post(&token, &path, submit_of(echo, &bytes)).await;
    assert_eq!((status, refusal["http_status_code"].as_u64()), (422, Some(422)), "{refusal}");
    let mut foreign = submit_of(echo, &payload);
    foreign["task_group_id"] = Uuid::new_v4().to_string().into();
    assert_eq!(client.post(&token, &path, foreign).await.0, 404);
    assert_eq!(client.post("stale", &path, submit_of(echo, &payload)).await.0, 401);
}

#[tokio::test]
async fn a_result_can_be_read_once_and_requests_can_be_limited() {
    let globus = FakeGlobus::start();
    globus.read_once(true);
    let (endpoint, function) = (Uuid::new_v4(), Uuid::new_v4());
    globus.endpoint(endpoint, Endpoint::ONLINE);
    globus.function(function, Function::new(|_| Outcome::Returns(1.into())));
    let client = Client::of(&globus);
    let token = client.compute_token().await;
    let path = format!("/v3/endpoints/{endpoint}/submit");
    let (_, answer) = client.post(&token, &path, submit_of(function, "5\n11\n[]5\n11\n{}")).await;
    let task = first_task(&answer, function);
    assert_eq!(client.ended(&token, &task).await["result"], "11\n1");
    let (_, again) = client.post(&token, "/v2/batch_status", json!({"task_ids": [task]})).await;
    assert_eq!(again["results"][&task]["reason"], "Unknown task id");

    globus.enforce_request_limit(true);
    for _ in 0..20 {
        assert_eq!(client.get(&token, &format!("/v2/endpoints/{endpoint}/status")).await.0, 200);
    }
    assert_eq!(client.get(&token, &format!("/v2/endpoints/{endpoint}/status")).await.0, 429);
    assert!(globus.busiest(Service::Compute, Duration::from_secs(10)) >= 21);
}

#[tokio::test]
async fn troubles_come_and_go() {
    let globus = FakeGlobus::start();
    let client = Client::of(&globus);
    globus.trouble_next(Service::Compute, [Trouble::Status(500), Trouble::Busy(Some(7))]);
    assert_eq!(client.get("any", "/v2/version").await.0, 500);
    assert_eq!(client.get("any", "/v2/version").await.0, 429);
    assert_eq!(client.get("any", "/v2/version").await.0, 200);

    globus.trouble(Service::Compute, Some(Trouble::Refused));
    let url = format!("{}/v2/version", globus.url(Service::Compute));
    // A client that has kept its connection learns it in another way.
    let newcomer = Client::of(&globus);
    assert!(newcomer.http.get(&url).send().await.unwrap_err().is_connect());
    globus.trouble(Service::Compute, Some(Trouble::Hang));
    let hung = client.http.get(&url).timeout(Duration::from_millis(200)).send().await;
    assert!(hung.unwrap_err().is_timeout());
    globus.trouble(Service::Compute, None);
    assert_eq!(client.get("any", "/v2/version").await.0, 200);
}

async fn consumer(url: &str, queue: &str) -> lapin::Result<(Connection, Consumer)> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let (options, table) = (BasicConsumeOptions::default(), FieldTable::default());
    let consumer = channel.basic_consume(queue.into(), "".into(), options, table).await?;
    Ok((connection, consumer))
}

#[tokio::test]
async fn results_come_by_amqp_and_outlive_a_restart_of_the_broker() {
    let mut broker = RabbitMq::start_new();
    let globus = FakeGlobus::start_with_broker(&broker.service_url(), broker.client_urls());
    let (endpoint, function) = (Uuid::new_v4(), Uuid::new_v4());
    globus.endpoint(endpoint, Endpoint::ONLINE);
    globus.function(function, Function::new(|_| Outcome::Returns("done".into())));
    let client = Client::of(&globus);
    let token = client.compute_token().await;
    let path = format!("/v3/endpoints/{endpoint}/submit");
    let submit = submit_of(function, "5\n11\n[]5\n11\n{}");
    let (_, answer) = client.post(&token, &path, submit.clone()).await;
    let group = answer["task_group_id"].as_str().unwrap().to_owned();
    let queue = format!("{QUEUE_PREFIX}{group}");
    let (_, login) = client.get(&token, "/v2/get_amqp_result_connection_url").await;
    let (_, other) = client.get(&token, "/v2/get_amqp_result_connection_url").await;
    assert_ne!(login["connection_url"], other["connection_url"]);
    assert_eq!(login["queue_prefix"], QUEUE_PREFIX);
    let url = login["connection_url"].as_str().unwrap();

    let (connection, mut results) = consumer(url, &queue).await.unwrap();
    let delivery = results.next().await.unwrap().unwrap();
    let (version, document) = delivery.data.split_first().unwrap();
    let document: Value = serde_json::from_slice(document).unwrap();
    assert_eq!((*version, &document["message_type"]), (1, &json!("result")));
    assert_eq!(document["data"]["data"], "11\n\"done\"");
    assert_eq!(document["data"]["task_id"], first_task(&answer, function));
    delivery.ack(BasicAckOptions::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let (options, table) = (QueueDeclareOptions::default(), FieldTable::default());
    let declared = channel.queue_declare("mine".into(), options, table).await;
    assert!(declared.is_err(), "a client made a queue");

    broker.stop();
    let mut submit = submit;
    submit["task_group_id"] = group.into();
    let (status, answer) = client.post(&token, &path, submit).await;
    assert_eq!(status, 200);
    broker.start();
    let (_connection, mut results) = consumer(url, &queue).await.unwrap();
    let late = results.next().await.unwrap().unwrap();
    let document: Value = serde_json::from_slice(&late.data[1..]).unwrap();
    assert_eq!(document["data"]["task_id"], first_task(&answer, function));
}
