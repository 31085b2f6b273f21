//! Answers of slow services that one instance asks for and the others find in Redis.
//!
//! Only answers are shared: an instance that cannot reach a service finds that out for itself, and
//! takes nothing away from the others. With Redis away each asks for itself.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::time::sleep;

use super::{Cache, SealedCache};

/// How often it is looked whether another instance has its answer.
const LOOK: Duration = Duration::from_millis(50);

/// Answers that holders of one secret share.
#[derive(Debug, Clone)]
pub struct Answers {
    cache: SealedCache,
    /// Answers to others are of no use here.
    scope: String,
}

/// An answer, and when it was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told<T> {
    /// The answer.
    pub value: T,
    /// When it was given, by the clock of the instance that asked.
    pub at: Timestamp,
}

/// For how long what counts.
#[derive(Debug, Clone, Copy)]
pub struct Lives {
    /// An answer.
    pub answer: Duration,
    /// An instance's right to be the only one that asks.
    pub asking: Duration,
}

/// Whose turn it is to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Own,
    Others,
    /// Redis does not say.
    Unknown,
}

impl<T> Told<T> {
    /// An answer that has just been given.
    pub fn now(value: T) -> Self {
        Self { value, at: Timestamp::now() }
    }

    /// How long ago that was. The clocks of instances may differ a little.
    #[must_use]
    pub fn age(&self) -> Duration {
        let age = Timestamp::now().duration_since(self.at).max(SignedDuration::ZERO);
        Duration::try_from(age).unwrap_or_default()
    }
}

impl Answers {
    /// Answers in `cache` to whoever `scope` names; `None` when nothing is shared.
    #[must_use]
    pub fn new(cache: &Cache, secret: SecretString, scope: String) -> Option<Self> {
        let cache = cache.is_shared().then(|| SealedCache::new(cache.clone(), secret))?;
        Some(Self { cache, scope })
    }

    /// The answer under `key` that is not older than `life`, if there is one.
    pub async fn find<T: DeserializeOwned>(&self, key: &str, life: Duration) -> Option<Told<T>> {
        if self.is_away() {
            return None;
        }
        let told: Told<T> = self.cache.get(&self.key(key)).await?;
        Some(told).filter(|told| told.age() < life)
    }

    /// Tells the others, for as long as the answer is younger than `life`.
    pub async fn tell<T: Serialize + Sync>(&self, key: &str, told: &Told<T>, life: Duration) {
        let left = life.checked_sub(told.age());
        if let (Some(left), false) = (left, self.is_away()) {
            self.cache.put(&self.key(key), told, left).await;
        }
    }

    /// The answer under `key`; `ask` is used by one instance for all.
    ///
    /// # Errors
    /// Those of `ask`, when this instance has asked.
    pub async fn find_or_ask<T: Serialize + DeserializeOwned + Sync, E>(
        &self,
        key: &str,
        lives: Lives,
        ask: impl Future<Output = Result<T, E>>,
    ) -> Result<Told<T>, E> {
        let given_up = Instant::now() + lives.asking;
        loop {
            if let Some(told) = self.find(key, lives.answer).await {
                return Ok(told);
            }
            let turn = self.turn(key, lives.asking).await;
            if turn != Turn::Others || Instant::now() >= given_up {
                return self.ask(key, lives.answer, lives, ask, turn).await;
            }
            sleep(LOOK).await;
        }
    }

    /// An answer under `key` that is younger than `ageing`, unless there is none and another instance
    /// is about to ask, or `ask` fails.
    pub async fn renew<T: Serialize + DeserializeOwned + Sync, E>(
        &self,
        key: &str,
        ageing: Duration,
        lives: Lives,
        ask: impl Future<Output = Result<T, E>>,
    ) -> Option<Told<T>> {
        if let Some(told) = self.find(key, ageing).await {
            return Some(told);
        }
        match self.turn(key, lives.asking).await {
            Turn::Others => None,
            turn => self.ask(key, ageing, lives, ask, turn).await.ok(),
        }
    }

    async fn ask<T: Serialize + DeserializeOwned + Sync, E>(
        &self,
        key: &str,
        young: Duration,
        lives: Lives,
        ask: impl Future<Output = Result<T, E>>,
        turn: Turn,
    ) -> Result<Told<T>, E> {
        // Whoever had the turn before may have told its answer since it was looked for.
        let found = if turn == Turn::Own { self.find(key, young).await } else { None };
        let answer = if let Some(told) = found {
            Ok(told)
        } else {
            let answer = ask.await.map(Told::now);
            if let Ok(told) = &answer {
                self.tell(key, told, lives.answer).await;
            }
            answer
        };
        if turn == Turn::Own {
            self.cache.cache().release(&self.turn_key(key)).await;
        }
        answer
    }

    async fn turn(&self, key: &str, life: Duration) -> Turn {
        if self.is_away() {
            return Turn::Unknown;
        }
        match self.cache.cache().claim(&self.turn_key(key), life).await {
            Some(true) => Turn::Own,
            Some(false) => Turn::Others,
            None => Turn::Unknown,
        }
    }

    /// With Redis away, looking there would only take time.
    fn is_away(&self) -> bool {
        self.cache.cache().trouble().is_some()
    }

    fn key(&self, key: &str) -> String {
        format!("answer-1:{}:{key}", self.scope)
    }

    fn turn_key(&self, key: &str) -> String {
        format!("turn-1:{}:{key}", self.scope)
    }
}
