//! Results by AMQP: a real broker, and the one who publishes to it.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{FakeGlobus, tasks::Ended};

/// What the names of a client's queues begin with.
pub const QUEUE_PREFIX: &str = "figw-tests.";
/// Between attempts while the broker is away.
const PAUSE: Duration = Duration::from_millis(100);
/// A broker that has not answered in this time is tried again.
const LATE: Duration = Duration::from_secs(5);

/// The broker, if there is one, as its service sees it.
pub(super) struct Broker {
    publish_url: Option<String>,
    /// Handed out in turn: a new login each time.
    client_urls: std::sync::Mutex<Vec<String>>,
    logins: AtomicUsize,
    /// The channel, with the groups whose queues were declared on it.
    channel: Mutex<Option<Open>>,
}

#[derive(Clone)]
struct Open {
    channel: Channel,
    declared: Arc<std::sync::Mutex<HashSet<Uuid>>>,
}

impl Broker {
    pub(super) fn none() -> Self {
        Self {
            publish_url: None,
            client_urls: std::sync::Mutex::default(),
            logins: AtomicUsize::new(0),
            channel: Mutex::new(None),
        }
    }

    pub(super) fn at(publish_url: &str, client_urls: Vec<String>) -> Self {
        let client_urls = std::sync::Mutex::new(client_urls);
        Self { publish_url: Some(publish_url.to_owned()), client_urls, ..Self::none() }
    }

    /// What a client logs in with; nothing when there is no broker.
    pub(super) fn login(&self) -> Option<Value> {
        let urls = self.client_urls.lock().unwrap();
        let nth = self.logins.fetch_add(1, Ordering::Relaxed);
        let url = urls.get(nth.checked_rem(urls.len())?)?;
        Some(json!({"queue_prefix": QUEUE_PREFIX, "connection_url": url}))
    }

    /// Makes the queue of a task group; not at once while the broker is away.
    pub(super) async fn declare(&self, group: Uuid) {
        if self.publish_url.is_some() {
            // The service takes tasks without its broker, too.
            let _ = tokio::time::timeout(LATE, self.until_done(group, None)).await;
        }
    }

    /// Publishes a result, again and again until the broker has it.
    pub(super) async fn publish(&self, group: Uuid, task: Uuid, ended: &Ended, withheld: bool) {
        if self.publish_url.is_some() {
            self.until_done(group, Some(&Message::new(task, ended, withheld))).await;
        }
    }

    async fn until_done(&self, group: Uuid, message: Option<&Message>) {
        loop {
            let open = self.channel().await;
            let done = match &open {
                Ok(open) => tokio::time::timeout(LATE, deliver(open, group, message)).await,
                Err(_) => Ok(Err("no channel".into())),
            };
            if matches!(done, Ok(Ok(()))) {
                return;
            }
            if let Ok(open) = open {
                self.give_up(&open.channel).await;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn channel(&self) -> Result<Open, Failure> {
        let mut current = self.channel.lock().await;
        if let Some(open) = current.as_ref().filter(|open| open.channel.status().connected()) {
            return Ok(open.clone());
        }
        let url = self.publish_url.as_deref().ok_or("no broker")?;
        let connecting = Connection::connect(url, ConnectionProperties::default());
        let connection = tokio::time::timeout(LATE, connecting).await??;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let open = Open { channel, declared: Arc::default() };
        *current = Some(open.clone());
        Ok(open)
    }

    async fn give_up(&self, failed: &Channel) {
        let mut current = self.channel.lock().await;
        if current.as_ref().is_some_and(|current| current.channel == *failed) {
            *current = None;
        }
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Makes the queue if need be, and puts the message into it.
async fn deliver(open: &Open, group: Uuid, message: Option<&Message>) -> Result<(), Failure> {
    let Open { channel, declared } = open;
    let queue = format!("{QUEUE_PREFIX}{group}");
    // Once is enough: what figw is measured by must not wait for another round trip.
    if !declared.lock().unwrap().contains(&group) {
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        channel.queue_declare(queue.as_str().into(), durable, FieldTable::default()).await?;
        declared.lock().unwrap().insert(group);
    }
    let Some(Message { body, properties }) = message else { return Ok(()) };
    let returned = BasicPublishOptions { mandatory: true, ..Default::default() };
    let confirmation = channel
        .basic_publish("".into(), queue.as_str().into(), returned, body, properties.clone())
        .await?;
    match confirmation.await? {
        Confirmation::Ack(None) => Ok(()),
        other => Err(format!("not taken: {other:?}").into()),
    }
}

/// A result on its way.
struct Message {
    body: Vec<u8>,
    properties: BasicProperties,
}

impl Message {
    /// A version byte, then JSON. A result that is withheld is told of, and no more.
    fn new(task: Uuid, ended: &Ended, withheld: bool) -> Self {
        let (data, error) = match ended {
            _ if withheld => ("", Value::Null),
            Ended::Result(buffer) => (buffer.as_str(), Value::Null),
            Ended::Exception(text) => (
                text.as_str(),
                json!({"code": "RemoteExecutionError",
                    "user_message": "An error occurred during the execution of this task"}),
            ),
        };
        let document = json!({"message_type": "result", "data": {
            "task_id": task, "data": data, "error_details": error,
            "details": {"os": "Linux", "python_version": "3.11.7", "dill_version": "0.3.9"},
            "task_statuses": [{"timestamp": 0, "state": "execution-end", "actor": "worker"}],
        }});
        let mut headers = FieldTable::default();
        if withheld {
            headers.insert("high_assurance".into(), AMQPValue::Boolean(true));
        }
        Self {
            body: [b"\x01", document.to_string().as_bytes()].concat(),
            properties: BasicProperties::default().with_delivery_mode(2).with_headers(headers),
        }
    }
}

impl FakeGlobus {
    /// Where clients are sent from now on for results by AMQP.
    pub fn send_amqp_clients_to(&self, urls: Vec<String>) {
        *self.world.broker.client_urls.lock().unwrap() = urls;
    }

    /// Puts exactly this into a task group's queue.
    pub async fn publish(&self, group: Uuid, body: &[u8]) {
        let message = Message { body: body.to_vec(), properties: BasicProperties::default() };
        self.world.broker.until_done(group, Some(&message)).await;
    }

    /// How many logins for AMQP were handed out.
    pub fn amqp_logins(&self) -> usize {
        self.world.broker.logins.load(Ordering::Relaxed)
    }
}
