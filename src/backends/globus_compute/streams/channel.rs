//! The way to other instances through Redis: each hears a channel of its own, on which questions and
//! answers come. Nothing is kept in Redis.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{
    sync::{Semaphore, oneshot},
    time::timeout,
};

use super::{
    StreamHub,
    instance::Instance,
    passing::Missed,
    question::{self, Verdict},
    seal::{Label, Seal, Sort},
};
use crate::cache::{Cache, Heard};

/// How long an answer may take before the question is asked again.
const ANSWER: Duration = Duration::from_millis(400);

/// Most answers that are on their way; a further one is left out, and asked for again.
const MOST_ANSWERS: usize = 256;

/// How long after an interruption other instances may still be on their way back.
const RECOVERY: Duration = Duration::from_secs(3);

/// The channels in Redis.
pub(super) struct Channel {
    cache: Cache,
    me: Instance,
    seal: Arc<Seal>,
    /// Who waits for the answer to which question.
    waiting: Mutex<HashMap<u64, (Label, oneshot::Sender<Verdict>)>>,
    answers: Arc<Semaphore>,
    outages: AtomicU64,
    /// Since when the own channel is heard; `None` while it is not.
    heard_since: Mutex<Option<Instant>>,
}

/// A question that is waited for; dropping it ends the waiting.
struct Waiting<'a> {
    channel: &'a Channel,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.channel.waiting().remove(&self.number);
    }
}

impl Channel {
    pub(super) fn new(cache: Cache, me: Instance, seal: Arc<Seal>) -> Self {
        Self {
            cache,
            me,
            seal,
            waiting: Mutex::default(),
            answers: Arc::new(Semaphore::new(MOST_ANSWERS)),
            outages: AtomicU64::new(0),
            heard_since: Mutex::new(None),
        }
    }

    /// Hears questions for the streams of `hub`, and answers to own questions. Runs for as long as it
    /// is polled.
    pub(super) async fn listen(self: Arc<Self>, hub: StreamHub) {
        let Some(subscription) = self.cache.subscribe(&name(self.me)) else { return };
        subscription
            .run(|heard| match heard {
                Heard::Begin => *self.heard_since() = Some(Instant::now()),
                Heard::Message(message) => self.hear(&hub, &message),
                Heard::End => {
                    *self.heard_since() = None;
                    self.outages.fetch_add(1, Ordering::Relaxed);
                }
            })
            .await;
    }

    /// Asks the holder once.
    pub(super) async fn ask(&self, label: &Label, message: &Bytes) -> Result<Verdict, Missed> {
        let (sender, answer) = oneshot::channel();
        let number = label.number;
        self.waiting().insert(number, (Label { sort: Sort::Answer, ..*label }, sender));
        let _waiting = Waiting { channel: self, number };
        match self.cache.publish(&name(label.holder), message).await {
            None => Err(Missed::NoAnswer),
            Some(0) => Err(Missed::Nobody),
            Some(_) => match timeout(ANSWER, answer).await {
                Ok(Ok(verdict)) => Ok(verdict),
                Ok(Err(_)) | Err(_) => Err(Missed::NoAnswer),
            },
        }
    }

    /// How often the own channel was not heard for a while.
    pub(super) fn outages(&self) -> u64 {
        self.outages.load(Ordering::Relaxed)
    }

    /// Whether the own channel is heard.
    pub(super) fn is_up(&self) -> bool {
        self.heard_since().is_some()
    }

    /// Whether the own channel is heard again, and others may not hear theirs yet.
    pub(super) fn was_interrupted_lately(&self) -> bool {
        self.outages() > 0 && self.heard_since().is_none_or(|since| since.elapsed() < RECOVERY)
    }

    fn hear(&self, hub: &StreamHub, message: &[u8]) {
        let Some(label) = Label::read(message) else { return };
        match label.sort {
            Sort::Question => {
                let Ok(place) = Arc::clone(&self.answers).try_acquire_owned() else { return };
                let Some(answer) = hub.answer(&label, message) else { return };
                let cache = self.cache.clone();
                tokio::spawn(async move {
                    let channel = name(label.asker);
                    if cache.publish(&channel, &answer).await.is_none() {
                        // What finds a connection lost has it made again.
                        cache.publish(&channel, &answer).await;
                    }
                    drop(place);
                });
            }
            Sort::Answer => {
                // A forged one must not end the waiting for the real one.
                let Some(verdict) = question::opened(&self.seal, &label, message) else { return };
                let mut waiting = self.waiting();
                let asked = waiting.get(&label.number).is_some_and(|(asked, _)| *asked == label);
                let answered = if asked { waiting.remove(&label.number) } else { None };
                drop(waiting);
                if let Some((_, sender)) = answered {
                    // Whoever asked may have given up.
                    let _ = sender.send(verdict);
                }
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, (Label, oneshot::Sender<Verdict>)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard_since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.heard_since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name(instance: Instance) -> String {
    format!("streams:{instance}")
}
