//! What instances tell each other of endpoints through Redis, so that Globus is asked by one of them.
//!
//! Only what Globus has said is passed on: an instance that cannot reach it finds that out for
//! itself, and takes no endpoint away from the others.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::time::sleep;
use uuid::Uuid;

use super::{AGEING, KEPT, Kept};
use crate::{
    backends::globus_compute::{ComputeError, EndpointStatus},
    cache::{Cache, SealedCache},
    globus::ServiceAccount,
};

/// Changes with the form of the words.
const FORM: &str = "endpoint-1";

/// How long an instance may take to ask before the others ask, too.
const ASKING: Duration = Duration::from_secs(5);

/// How often they look whether it has.
const LOOK: Duration = Duration::from_millis(50);

/// The words about endpoints of instances with the same service accounts.
#[derive(Debug, Clone)]
pub(super) struct Words {
    cache: SealedCache,
    /// What other service accounts are told is of no use here.
    scope: String,
}

/// Whose turn it is to ask Globus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    Own,
    Others,
    /// Redis does not say: each asks for itself.
    Unknown,
}

/// What is known of one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Word {
    pub(super) status: EndpointStatus,
    pub(super) asked_at: Timestamp,
    /// Until when it is starting nodes, if it is.
    pub(super) starting_until: Option<Timestamp>,
}

impl Word {
    pub(super) fn new(status: EndpointStatus, starting_until: Option<Timestamp>) -> Self {
        Self { status, asked_at: Timestamp::now(), starting_until }
    }

    /// How long ago Globus said so. The clocks of instances may differ a little.
    fn age(&self) -> Duration {
        let age = Timestamp::now().duration_since(self.asked_at);
        Duration::try_from(age.max(SignedDuration::ZERO)).unwrap_or_default()
    }

    /// As it is kept in memory, with the age that it has.
    pub(super) fn kept(self) -> Kept {
        let now = Instant::now();
        let since = now.checked_sub(self.age()).unwrap_or(now);
        Kept::since(since, Ok(self.status), self.starting_until)
    }
}

impl Words {
    /// Words that these accounts' instances share; `None` when nothing is shared.
    pub(super) fn new<'a>(
        cache: &Cache,
        accounts: impl Iterator<Item = &'a ServiceAccount>,
    ) -> Option<Self> {
        if !cache.is_shared() {
            return None;
        }
        let mut accounts: Vec<_> =
            accounts.map(|account| (&account.id, account.secret.expose_secret())).collect();
        accounts.sort_unstable();
        accounts.dedup();
        let (mut scope, mut secret) = (Sha256::new(), Sha256::new());
        for (id, its_secret) in accounts {
            scope.update(format!("{id}\n"));
            secret.update(format!("{id}\n{its_secret}\n"));
        }
        let secret = SecretString::from(URL_SAFE_NO_PAD.encode(secret.finalize()));
        let scope = URL_SAFE_NO_PAD.encode(&scope.finalize()[..12]);
        Some(Self { cache: SealedCache::new(cache.clone(), secret), scope })
    }

    /// What others have said of the endpoint, as long as it counts.
    pub(super) async fn find(&self, endpoint: Uuid) -> Option<Word> {
        if self.is_away() {
            return None;
        }
        let word: Word = self.cache.get(&self.key(endpoint)).await?;
        Some(word).filter(|word| word.age() < KEPT)
    }

    /// Tells the others.
    pub(super) async fn tell(&self, endpoint: Uuid, word: &Word) {
        let life = KEPT.checked_sub(word.age());
        if let (Some(life), false) = (life, self.is_away()) {
            self.cache.put(&self.key(endpoint), word, life).await;
        }
    }

    /// What is known of the endpoint; `ask` is used by one instance for all.
    pub(super) async fn find_or_ask(
        &self,
        endpoint: Uuid,
        ask: impl Future<Output = Result<EndpointStatus, ComputeError>>,
    ) -> Result<Word, ComputeError> {
        let given_up = Instant::now() + ASKING;
        loop {
            if let Some(word) = self.find(endpoint).await {
                return Ok(word);
            }
            let claim = self.claim(endpoint).await;
            if claim != Claim::Others || Instant::now() >= given_up {
                return self.ask(endpoint, ask, None, claim).await;
            }
            sleep(LOOK).await;
        }
    }

    /// A newer word than the ageing one, unless another instance is about to get one.
    pub(super) async fn renew(
        &self,
        endpoint: Uuid,
        starting_until: Option<Timestamp>,
        ask: impl Future<Output = Result<EndpointStatus, ComputeError>>,
    ) -> Option<Word> {
        if let Some(word) = self.find(endpoint).await.filter(|word| word.age() < AGEING) {
            return Some(word);
        }
        match self.claim(endpoint).await {
            Claim::Others => None,
            claim => self.ask(endpoint, ask, starting_until, claim).await.ok(),
        }
    }

    async fn ask(
        &self,
        endpoint: Uuid,
        ask: impl Future<Output = Result<EndpointStatus, ComputeError>>,
        starting_until: Option<Timestamp>,
        claim: Claim,
    ) -> Result<Word, ComputeError> {
        let answer = ask.await.map(|status| Word::new(status, starting_until));
        if let Ok(word) = &answer {
            self.tell(endpoint, word).await;
        }
        if claim == Claim::Own {
            self.cache.cache().release(&self.claim_key(endpoint)).await;
        }
        answer
    }

    async fn claim(&self, endpoint: Uuid) -> Claim {
        if self.is_away() {
            return Claim::Unknown;
        }
        match self.cache.cache().claim(&self.claim_key(endpoint), ASKING).await {
            Some(true) => Claim::Own,
            Some(false) => Claim::Others,
            None => Claim::Unknown,
        }
    }

    /// With Redis away, looking there would only take time.
    fn is_away(&self) -> bool {
        self.cache.cache().trouble().is_some()
    }

    fn key(&self, endpoint: Uuid) -> String {
        format!("{FORM}:{}:{endpoint}", self.scope)
    }

    fn claim_key(&self, endpoint: Uuid) -> String {
        format!("{FORM}:asking:{}:{endpoint}", self.scope)
    }
}
