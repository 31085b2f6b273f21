//! Logins with Globus: from an access token to a caller.
//!
//! Tokens are known by their SHA-256 alone. What Globus says about one is kept for ten minutes, in
//! memory and in the cache that instances share; a refusal for one. While Globus cannot be asked,
//! callers who are known go on until their tokens end.

pub mod decide;
mod denial;
mod facts;
mod flights;
mod memory;
mod rules;
mod shared;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use metrics::Counter;
use secrecy::SecretString;
use tokio::{runtime::Handle, sync::Semaphore, time::timeout};

pub use denial::{Denial, Reason};
pub use facts::Services;
pub use rules::Rules;

use self::{
    flights::{Boarding, Flights, Waiting},
    memory::{Known, Memories, Memory, REFUSED},
    shared::{Entry, Shared, at_most},
};
use crate::{
    cache::Cache,
    domain::{Caller, Health, KeyHash, Trouble},
    globus::{GlobusError, ServiceAccount},
};

/// How long an accepted token is not asked about again.
const ACCEPTED: Duration = Duration::from_mins(10);

/// Tokens that may be waiting for an answer at the same time, and how many of them Globus is being
/// asked about. Whoever sends made-up tokens takes neither memory nor sockets beyond that.
const MOST_WAITING: usize = 1024;
const MOST_ASKED: usize = 64;

/// How long finding out about a token may take in all, which is three requests to Globus.
const LONGEST: Duration = Duration::from_secs(25);

/// How long a caller who is known waits for being asked about again: all of their requests together,
/// not each of them.
const PATIENCE: Duration = Duration::from_secs(2);

/// When to try again, when Globus does not say.
const TRY_AGAIN: Duration = Duration::from_secs(2);

/// The longest that anybody is told to wait.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Longest token that Globus is asked about, in bytes; its own have about 100.
const LONGEST_TOKEN: usize = 4096;

/// Globus cannot be asked at present.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Your login cannot be checked at present, because {why}. Try again in a moment.")]
pub struct Unavailable {
    why: &'static str,
    /// When trying again makes sense.
    pub retry_after: Duration,
}

/// Why a token does not open the door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginError {
    /// It is not to.
    Denied(Arc<Denial>),
    /// It is not known whether it is to.
    Unavailable(Unavailable),
}

/// What is found out about a token.
type Verdict = Result<Arc<Caller>, LoginError>;

/// Finds out who is behind a Globus token. Cloning shares all that is known.
#[derive(Debug, Clone)]
pub struct Logins {
    inner: Arc<Inner>,
    /// Where Globus is asked, so that no caller who hangs up takes the answer from the others.
    runtime: Handle,
}

struct Inner {
    services: Services,
    rules: Rules,
    memories: Memories,
    shared: Shared,
    flights: Arc<Flights>,
    turns: Semaphore,
    health: Health,
    /// Counts those that are known without asking anybody.
    remembered: Counter,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl Logins {
    /// Logins under `rules`. `account` is the gateway's registration, in whose name `services`
    /// are asked, on `runtime`; `cache` is what the instances share.
    #[must_use]
    pub fn new(
        services: Services,
        account: &ServiceAccount,
        rules: Rules,
        cache: Cache,
        runtime: Handle,
    ) -> Self {
        let shared = Shared::new(cache, &account.id, account.secret.clone(), &rules);
        let inner = Inner {
            services,
            rules,
            memories: Memories::new(),
            shared,
            flights: Arc::default(),
            turns: Semaphore::new(MOST_ASKED),
            health: Health::default(),
            remembered: metrics::counter!("figw_globus_logins_total", "found" => "memory"),
        };
        Self { inner: Arc::new(inner), runtime }
    }

    /// Why Globus cannot be asked at present; `None` while it answers.
    #[must_use]
    pub fn trouble(&self) -> Option<Arc<Trouble>> {
        self.inner.health.trouble()
    }

    /// The caller behind `token`, whose hash is `hash`.
    ///
    /// # Errors
    /// Why it does not open the door.
    pub async fn caller(&self, hash: KeyHash, token: &str) -> Result<Arc<Caller>, LoginError> {
        match self.inner.memories.of(&hash, Timestamp::now()) {
            Memory::Fresh(caller) | Memory::StaleWithoutGlobus(caller) => {
                self.inner.remembered.increment(1);
                Ok(caller)
            }
            Memory::Refused(denial) => {
                self.inner.remembered.increment(1);
                Err(LoginError::Denied(denial))
            }
            // What is rare is boxed, so that every other request carries a pointer for it.
            Memory::Stale(caller) => Box::pin(self.renew(caller, hash, token)).await,
            Memory::Nothing if !could_be_a_token(token) => {
                Err(LoginError::Denied(Arc::new(Denial::inactive(&self.inner.rules))))
            }
            Memory::Nothing => Box::pin(self.ask(hash, token)).await,
        }
    }

    /// Asks about a caller who is known, and lets them in if Globus does not say anything else soon.
    async fn renew(&self, caller: Arc<Caller>, hash: KeyHash, token: &str) -> Verdict {
        // With Globus in trouble already, it is asked again without anybody waiting.
        let patience = match self.trouble() {
            Some(_) => Duration::ZERO,
            None => PATIENCE.saturating_sub(self.inner.flights.age(&hash)),
        };
        match timeout(patience, self.ask(hash, token)).await {
            Ok(Err(LoginError::Unavailable(_))) | Err(_) => Ok(caller),
            Ok(verdict) => verdict,
        }
    }

    async fn ask(&self, hash: KeyHash, token: &str) -> Verdict {
        metrics::counter!("figw_globus_logins_total", "found" => "elsewhere").increment(1);
        let remembered = || match self.inner.memories.of(&hash, Timestamp::now()) {
            Memory::Fresh(caller) | Memory::StaleWithoutGlobus(caller) => Some(Ok(caller)),
            Memory::Refused(denial) => Some(Err(LoginError::Denied(denial))),
            Memory::Stale(_) | Memory::Nothing => None,
        };
        match self.inner.flights.board(hash, MOST_WAITING, remembered) {
            Boarding::Answered(verdict) => verdict,
            Boarding::Waits(waiting) => landed(waiting).await,
            Boarding::Asks(waiting, flight) => {
                let (inner, token) = (Arc::clone(&self.inner), SecretString::from(token));
                self.runtime.spawn(async move {
                    let (verdict, news) = inner.find_out(hash, &token).await;
                    flight.land(verdict);
                    if let Some(news) = news {
                        inner.shared.put(&hash, &news, Timestamp::now()).await;
                    }
                });
                landed(waiting).await
            }
            Boarding::Full => Err(too_many()),
        }
    }
}

async fn landed(mut waiting: Waiting) -> Verdict {
    match waiting.wait_for(Option::is_some).await {
        Ok(verdict) => verdict.clone().unwrap_or_else(|| Err(lost())),
        Err(_) => Err(lost()),
    }
}

/// The task that asked has ended without an answer.
fn lost() -> LoginError {
    let why = "asking Globus has failed";
    LoginError::Unavailable(Unavailable { why, retry_after: TRY_AGAIN })
}

fn too_many() -> LoginError {
    let why = "too many logins are being checked";
    LoginError::Unavailable(Unavailable { why, retry_after: TRY_AGAIN })
}

/// Tokens have the characters of RFC 6750. Anything else is refused without asking.
fn could_be_a_token(text: &str) -> bool {
    let is_of_tokens = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    text.len() <= LONGEST_TOKEN && text.bytes().all(is_of_tokens)
}

impl Inner {
    /// Finds out about a token and remembers it before anybody is told. What is news to the other
    /// instances comes with the verdict.
    async fn find_out(&self, hash: KeyHash, token: &SecretString) -> (Verdict, Option<Entry>) {
        let shared = self.shared.get(&hash, Timestamp::now()).await;
        let outcome = if shared.is_some() { "hit" } else { "miss" };
        metrics::counter!("figw_globus_logins_shared_total", "outcome" => outcome).increment(1);
        if let Some(verdict) = shared.and_then(|entry| self.remember(hash, &entry)) {
            return (verdict, None);
        }
        match self.ask_globus(token).await {
            Ok(entry) => {
                let verdict = self.remember(hash, &entry).unwrap_or_else(|| Err(lost()));
                (verdict, Some(entry))
            }
            Err(why) => {
                self.memories.could_not_ask(hash);
                (Err(LoginError::Unavailable(why)), None)
            }
        }
    }

    /// Judges what is known about a token; `None` when it is too little.
    fn remember(&self, hash: KeyHash, entry: &Entry) -> Option<Verdict> {
        Some(match entry.facts.decide(&self.rules, Timestamp::now())? {
            Ok(caller) => {
                let caller = Arc::new(caller);
                let known = Known {
                    caller: Arc::clone(&caller),
                    fresh_until: entry.fresh_until,
                    ends: entry.facts.ends(),
                };
                self.memories.accept(hash, known);
                Ok(caller)
            }
            Err(denial) => {
                tracing::debug!(reason = ?denial.reason, "a login is refused");
                let denial = Arc::new(denial);
                self.memories.refuse(hash, Arc::clone(&denial));
                Err(LoginError::Denied(denial))
            }
        })
    }

    async fn ask_globus(&self, token: &SecretString) -> Result<Entry, Unavailable> {
        let asked = async {
            let _turn = self.turns.acquire().await.ok();
            self.services.ask(token, &self.rules).await
        };
        let facts = match timeout(LONGEST, asked).await {
            Ok(Ok(facts)) => facts,
            Ok(Err(error)) => return Err(self.cannot_ask(&error)),
            Err(_) => {
                return Err(self.cannot_ask(&GlobusError::Unavailable {
                    service: "Globus",
                    reason: format!("no answer within {} s", LONGEST.as_secs()),
                    retry_after: None,
                }));
            }
        };
        if self.health.recovered() {
            tracing::info!("Globus can be asked about logins again");
        }
        let now = Timestamp::now();
        let accepted = facts.decide(&self.rules, now).is_some_and(|verdict| verdict.is_ok());
        count(if accepted { "accepted" } else { "refused" });
        let fresh_until = if accepted {
            at_most(now, ACCEPTED, facts.ends())
        } else {
            at_most(now, REFUSED, Timestamp::MAX)
        };
        Ok(Entry { facts, fresh_until })
    }

    fn cannot_ask(&self, error: &GlobusError) -> Unavailable {
        count("unavailable");
        if self.health.failed(&error.to_string()) {
            tracing::warn!(%error, "Globus cannot be asked about logins; known callers go on");
        }
        let why = match error {
            GlobusError::Busy { .. } => "Globus takes no more requests",
            GlobusError::Unavailable { .. } => "Globus cannot be reached",
            GlobusError::Refused { .. } => "Globus refuses this service's own registration",
            GlobusError::Malformed { .. } => "Globus answered something unexpected",
        };
        let asked = error.retry_after().unwrap_or(TRY_AGAIN);
        Unavailable { why, retry_after: asked.clamp(TRY_AGAIN, LONGEST_WAIT) }
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("figw_globus_introspections_total", "outcome" => outcome).increment(1);
}

#[cfg(test)]
mod tests;
