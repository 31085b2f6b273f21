//! Hearing what other instances publish, on a connection of its own that comes back by itself.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use redis::RedisError;
use tokio::time::{sleep, timeout};

use super::shared::{CONNECT, Redis};

/// How often it is made sure that the connection is there, and how long that may take. Together it is
/// less than anybody waits for an answer that comes this way, so that a gap is known here first.
const PULSE: Duration = Duration::from_millis(500);
const PULSE_PATIENCE: Duration = Duration::from_millis(700);

/// Pauses between attempts to connect.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// A channel that is to be heard.
pub struct Subscription {
    redis: Arc<Redis>,
    channel: String,
}

/// What is heard.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// From now on whatever is published.
    Begin,
    /// A message.
    Message(Vec<u8>),
    /// Nothing for now: what is published meanwhile is lost.
    End,
}

impl Subscription {
    pub(super) const fn new(redis: Arc<Redis>, channel: String) -> Self {
        Self { redis, channel }
    }

    /// Calls `hear` with each message. Runs for as long as it is polled, whatever becomes of Redis.
    pub async fn run(self, mut hear: impl FnMut(Heard)) {
        let mut pause = SHORTEST_PAUSE;
        loop {
            let mut was_heard = false;
            let error = self.listen(&mut was_heard, &mut hear).await;
            self.redis.not_heard(&error);
            if was_heard {
                pause = SHORTEST_PAUSE;
                hear(Heard::End);
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Listens until something goes wrong, and says what.
    async fn listen(&self, was_heard: &mut bool, hear: &mut impl FnMut(Heard)) -> String {
        let subscribing = async {
            let (mut sink, messages) = self.redis.client.get_async_pubsub().await?.split();
            sink.subscribe(&self.channel).await?;
            Ok::<_, RedisError>((sink, messages))
        };
        let (mut sink, mut messages) = match timeout(CONNECT, subscribing).await {
            Ok(Ok(subscribed)) => subscribed,
            Ok(Err(error)) => return error.to_string(),
            Err(_) => return "subscribing takes too long".to_owned(),
        };
        *was_heard = true;
        self.redis.is_heard();
        hear(Heard::Begin);
        let pulse = async {
            loop {
                sleep(PULSE).await;
                match timeout(PULSE_PATIENCE, sink.ping::<redis::Value>()).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => return error.to_string(),
                    Err(_) => return "the subscription gives no sign of life".to_owned(),
                }
            }
        };
        tokio::pin!(pulse);
        loop {
            tokio::select! {
                message = messages.next() => match message {
                    Some(message) => hear(Heard::Message(message.get_payload_bytes().to_vec())),
                    None => return "the connection was closed".to_owned(),
                },
                error = &mut pulse => return error,
            }
        }
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("channel", &self.channel).finish_non_exhaustive()
    }
}
