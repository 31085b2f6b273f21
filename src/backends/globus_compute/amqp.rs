//! Results from Globus Compute's broker (AMQP 0-9-1).
//!
//! Nothing depends on it: while it is away, the poller asks for results.

use std::{convert::Infallible, sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::{Stream, StreamExt};
use lapin::{
    Channel, Connection, ConnectionProperties, Event,
    message::Delivery,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions},
    types::{AMQPValue, FieldTable},
    uri::AMQPUri,
};
use metrics::{counter, gauge};
use secrecy::ExposeSecret;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout},
};
use uuid::Uuid;

use super::{
    health::Pulse,
    status::Statuses,
    submit::Group,
    waiting::{Source, Waiting},
};
use crate::globus::{
    compute::{ComputeApi, ResultQueue},
    results::{Outcome, ResultMessage},
};

/// How long one step of connecting may take.
const STEP: Duration = Duration::from_secs(15);

/// A connection without a sign of life for about twice this long is given up.
const HEARTBEAT_SECONDS: u16 = 10;

/// Pauses before a queue that is not there is looked for again; then it is given up.
const QUEUE_PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

/// Messages that the broker sends ahead of their acknowledgements; each has at most 10 MB.
const PREFETCH: u16 = 32;

/// The first and the longest pause before connecting again, and as long again at random. Each attempt
/// costs a request to the service, and until one succeeds every result is had by asking.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// A session that lasted for this long counts as a good one: the next pause is a short one again.
const GOOD: Duration = Duration::from_mins(1);

/// Reads one client's results from the broker.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) api: ComputeApi,
    pub(super) waiting: Arc<Waiting>,
    pub(super) group: Arc<Group>,
    pub(super) statuses: Statuses,
    pub(super) pulse: Arc<Pulse>,
    /// Notified when a result did not come that should have.
    pub(super) suspicion: Arc<Notify>,
}

impl Consumer {
    /// Connects, and connects again when the connection is lost, for as long as the process runs.
    pub(super) async fn run(self) {
        let pauses = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(PAUSES.0)
            .with_max_delay(PAUSES.1)
            .without_max_times();
        let mut next = pauses.build();
        loop {
            let began = Instant::now();
            let Err(reason) = self.session().await;
            gauge!("figw_globus_amqp_connected").set(0.0);
            self.waiting.consumes(None);
            self.pulse.broker_down(reason);
            if began.elapsed() > GOOD {
                next = pauses.build();
            }
            tokio::time::sleep(next.next().unwrap_or(STEP)).await;
            counter!("figw_globus_amqp_reconnects_total").increment(1);
        }
    }

    /// One connection, until it is lost.
    async fn session(&self) -> Result<Infallible, String> {
        let login = self.api.result_queue().await.map_err(|error| error.to_string())?;
        let connection = connect(&login).await?;
        let mut events = Box::pin(connection.events_listener());
        let mut groups = self.group.subscribe();
        self.pulse.broker_connected();
        gauge!("figw_globus_amqp_connected").set(1.0);
        loop {
            let group = tokio::select! {
                group = next_group(&mut groups) => group?,
                reason = broken(&mut events) => return Err(reason),
            };
            tokio::select! {
                outcome = self.consume(&connection, &login.queue_prefix, group) => outcome?,
                reason = broken(&mut events) => return Err(reason),
                // The group is gone: its tasks are asked for, and a new one will come.
                _ = groups.wait_for(|current| *current != Some(group)) => {}
                () = self.suspicion.notified() => {
                    return Err("a result did not arrive".to_owned());
                }
            }
            self.waiting.consumes(None);
        }
    }

    /// Reads the group's queue until that fails.
    async fn consume(
        &self,
        connection: &Connection,
        prefix: &str,
        group: Uuid,
    ) -> Result<(), String> {
        let mut pauses = QUEUE_PAUSES.into_iter();
        // The consumer ends with its channel, which is therefore kept.
        let (_channel, mut deliveries) = loop {
            match subscribe(connection, &format!("{prefix}{group}")).await {
                Ok(subscribed) => break subscribed,
                Err(reason) if reason.contains("NOT_FOUND") || reason.contains("NOT-FOUND") => {
                    let Some(pause) = pauses.next() else {
                        self.group.drop_if(group);
                        return Err(reason);
                    };
                    tokio::time::sleep(pause).await;
                }
                Err(reason) => return Err(reason),
            }
        };
        self.waiting.consumes(Some(group));
        while let Some(delivery) = deliveries.next().await {
            self.take(delivery.map_err(|error| error.to_string())?).await?;
        }
        Err("the broker ended the subscription".to_owned())
    }

    /// Passes a result on, and only then acknowledges it.
    async fn take(&self, delivery: Delivery) -> Result<(), String> {
        match ResultMessage::read(&delivery.data) {
            // It came without its result, which is for the service alone to give.
            _ if is_high_assurance(&delivery) => self.ask_for_it(&delivery),
            Ok(ResultMessage { task, outcome }) => {
                let returned = matches!(outcome, Outcome::Returned(_));
                let endpoint = self.waiting.deliver(task, outcome, Source::Amqp);
                if let Some(endpoint) = endpoint.filter(|_| returned) {
                    self.statuses.has_worked(endpoint).await;
                }
            }
            Err(reason) => {
                tracing::debug!("a message of the broker was passed over: {reason}");
                self.ask_for_it(&delivery);
            }
        }
        delivery.ack(BasicAckOptions::default()).await.map_err(|error| error.to_string())?;
        Ok(())
    }

    /// Has the service asked for the task that a message is about.
    fn ask_for_it(&self, delivery: &Delivery) {
        if let Some(id) = ResultMessage::task_of(&delivery.data) {
            self.waiting.has_ended(id);
        }
    }
}

/// A refused subscription costs the channel: each attempt has its own.
async fn subscribe(
    connection: &Connection,
    queue: &str,
) -> Result<(Channel, lapin::Consumer), String> {
    let channel = step(connection.create_channel()).await?;
    step(channel.basic_qos(PREFETCH, BasicQosOptions::default())).await?;
    let subscribed = channel.basic_consume(
        queue.into(),
        "figw".into(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    );
    let deliveries = step(subscribed).await?;
    Ok((channel, deliveries))
}

async fn connect(login: &ResultQueue) -> Result<Connection, String> {
    // Neither the text nor the parser's complaint may be shown: the password is in it.
    let mut uri: AMQPUri = login
        .connection_url
        .expose_secret()
        .parse()
        .map_err(|_| "the broker's address cannot be read".to_owned())?;
    // Other clients read a lone slash as the default host, too.
    if uri.vhost.is_empty() {
        "/".clone_into(&mut uri.vhost);
    }
    uri.query.heartbeat = Some(HEARTBEAT_SECONDS);
    let properties = ConnectionProperties::default().with_connection_name("figw".into());
    step(Connection::connect_uri(uri, properties)).await
}

async fn step<T>(doing: impl Future<Output = lapin::Result<T>>) -> Result<T, String> {
    match timeout(STEP, doing).await {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", STEP.as_secs())),
    }
}

async fn next_group(groups: &mut watch::Receiver<Option<Uuid>>) -> Result<Uuid, String> {
    let group = groups.wait_for(Option::is_some).await.ok().and_then(|group| *group);
    group.ok_or_else(|| "the gateway is stopping".to_owned())
}

/// Waits until the connection is lost.
async fn broken(events: &mut (impl Stream<Item = Event> + Unpin)) -> String {
    while let Some(event) = events.next().await {
        if let Event::Error(error) = event {
            return error.to_string();
        }
    }
    "the connection ended".to_owned()
}

fn is_high_assurance(delivery: &Delivery) -> bool {
    let headers = delivery.properties.headers().as_ref();
    match headers.and_then(|headers| headers.inner().get("high_assurance")) {
        Some(AMQPValue::Boolean(yes)) => *yes,
        Some(AMQPValue::LongString(text)) => text.as_bytes().eq_ignore_ascii_case(b"true"),
        _ => false,
    }
}
