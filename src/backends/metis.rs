//! Metis, Argonne's service of models on AI accelerators: `OpenAI`-compatible APIs, and a manifest
//! (`status_url` of the cluster) that says which of them are live, and where.
//!
//! The manifest's shape is FIRST's `clusters/metis.py` (`auroraGPT-ANL/inference-gateway`): an object
//! of models with `status`, `model`, `experts`, `url`, `endpoint_id`, `description` and
//! `model_version`. Its keys, addresses and ids are nobody's business but the gateway's.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::{Presence, direct_api::DirectTarget};
use crate::{
    cache::Kept,
    domain::{Cluster, DirectApi, Metis},
    outbound,
};

/// Longest wait for a manifest, unless the cluster's `api_request_timeout` says otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest manifest that is read, in bytes.
const LONGEST: usize = 4 * 1024 * 1024;

/// Manifests kept at one time; there is one for each Metis cluster.
const MOST: u64 = 64;

/// The word of a model that takes requests.
const LIVE: &str = "Live";

/// Why there is no manifest; safe to be shown to callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Nobody answers there, or not in time.
    #[error("its status cannot be had at present")]
    Unavailable,
    /// What was answered is no manifest.
    #[error("its status cannot be read")]
    Unreadable,
}

/// One model, as its manifest has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Listed {
    /// `Live`, `Stopped` or another word.
    #[serde(default = "unknown", deserialize_with = "text_or_unknown")]
    pub status: String,
    /// Its name.
    #[serde(default)]
    pub model: String,
    /// Further names that it answers to.
    #[serde(default, deserialize_with = "names")]
    pub experts: Vec<String>,
    /// A line about it.
    #[serde(default, deserialize_with = "text")]
    pub description: String,
    /// Its version.
    #[serde(default)]
    pub model_version: Value,
    /// Base address of its API; never shown.
    #[serde(default)]
    url: Option<String>,
}

/// What is live on one Metis cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The models, in the manifest's order.
    pub models: Vec<Listed>,
}

/// Where to ask for a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusSource {
    url: String,
    timeout: Duration,
}

/// How long manifests count.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// A manifest.
    kept: Duration,
    /// A failure to get one.
    failure_kept: Duration,
    /// The last good one in the place of one that cannot be had.
    last_resort: Duration,
}

impl Times {
    const USUAL: Self = Self {
        kept: Duration::from_mins(1),
        failure_kept: Duration::from_secs(10),
        last_resort: Duration::from_mins(10),
    };
}

/// The manifests of all Metis clusters.
#[derive(Debug)]
pub struct Manifests {
    client: reqwest::Client,
    times: Times,
    kept: Kept<Result<Arc<Manifest>, ManifestError>>,
    last: Arc<Mutex<LastGood>>,
}

/// The last good manifest of each address, and since when it is there.
type LastGood = HashMap<String, (Instant, Arc<Manifest>)>;

/// A Metis endpoint, ready to be sent to once its model is live.
#[derive(Debug)]
pub struct MetisTarget {
    source: StatusSource,
    model: String,
    settings: Metis,
    api_key: Option<SecretString>,
    /// The target at the address that was used last.
    current: ArcSwapOption<(String, Arc<DirectTarget>)>,
}

/// Why a Metis endpoint takes no request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotLive {
    /// The manifest does not name the model, or with another status.
    #[error("is not live on Metis at present (status: {0})")]
    Status(String),
    /// There is no manifest.
    #[error("cannot be asked for: {0}")]
    Unknown(ManifestError),
    /// The manifest names an address that makes no sense.
    #[error("has no address at which it can be asked")]
    NoAddress,
}

impl fmt::Display for StatusSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A query may hold a token.
        f.pad(self.url.split('?').next().unwrap_or_default())
    }
}

impl StatusSource {
    /// The address in a cluster's settings (`status_url`, and FIRST's `api_request_timeout` in
    /// seconds).
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn of(cluster: &Cluster) -> Result<Self, String> {
        let url = cluster.settings.get("status_url").and_then(Value::as_str).ok_or_else(|| {
            format!("cluster `{}` has no `status_url` in its settings", cluster.name)
        })?;
        let seconds = cluster.settings.get("api_request_timeout").and_then(Value::as_f64);
        let timeout = seconds
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .filter(|timeout| !timeout.is_zero());
        Ok(Self { url: url.to_owned(), timeout: timeout.unwrap_or(PATIENCE) })
    }

    /// Asks for the document there.
    ///
    /// # Errors
    /// When it cannot be had, or is not a JSON object; the log says why.
    pub async fn fetch(self, client: reqwest::Client) -> Result<Map<String, Value>, ManifestError> {
        let unavailable = |error: &reqwest::Error| {
            let reason = outbound::failure(error);
            tracing::warn!(reason, url = %self, "a cluster's status_url fails");
            ManifestError::Unavailable
        };
        let mut response = client
            .get(&self.url)
            .timeout(self.timeout)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .map_err(|error| unavailable(&error))?;
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| unavailable(&error))? {
            if body.len() + piece.len() > LONGEST {
                tracing::warn!(
                    "what a cluster's status_url answers is longer than {LONGEST} bytes"
                );
                return Err(ManifestError::Unreadable);
            }
            body.extend_from_slice(&piece);
        }
        serde_json::from_slice(&body).map_err(|error| {
            tracing::warn!(%error, "what a cluster's status_url answers is not a JSON object");
            ManifestError::Unreadable
        })
    }
}

impl Manifest {
    /// Reads a manifest; an entry that makes no sense is left out.
    fn read(document: Map<String, Value>) -> Self {
        let read = |(key, entry): (String, Value)| match serde_json::from_value(entry) {
            Ok(listed) => Some(listed),
            Err(error) => {
                tracing::warn!(entry = key, %error, "an entry of Metis' manifest cannot be read");
                None
            }
        };
        Self { models: document.into_iter().filter_map(read).collect() }
    }

    /// The entry that answers for `model`: a live one, if any is.
    fn find(&self, model: &str) -> Option<&Listed> {
        let mut named = self
            .models
            .iter()
            .filter(|listed| listed.model == model || listed.experts.iter().any(|e| e == model));
        let first = named.clone().next();
        named.find(|listed| listed.is_live()).or(first)
    }
}

impl Listed {
    /// Whether it takes requests.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.status == LIVE
    }
}

impl Manifests {
    /// None is asked for before it is needed. `client` must not be in a hurry: each request has a
    /// time-out of its own.
    #[must_use]
    pub fn new(client: reqwest::Client) -> Self {
        Self { client, times: Times::USUAL, kept: Kept::new(MOST), last: Arc::default() }
    }

    /// The manifest at `source`, at most a minute old, or ten while it cannot be had.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn get(&self, source: &StatusSource) -> Result<Arc<Manifest>, ManifestError> {
        let fetched = source.clone().fetch(self.client.clone());
        let (last, url, times) = (Arc::clone(&self.last), source.url.clone(), self.times);
        let ask = async move {
            match fetched.await {
                Ok(document) => {
                    let manifest = Arc::new(Manifest::read(document));
                    let newest = (Instant::now(), Arc::clone(&manifest));
                    last.lock().unwrap_or_else(PoisonError::into_inner).insert(url, newest);
                    (Ok(manifest), times.kept)
                }
                Err(error) => {
                    let last = last.lock().unwrap_or_else(PoisonError::into_inner);
                    let usable = last.get(&url).filter(|(at, _)| at.elapsed() < times.last_resort);
                    let usable = usable.map(|(_, manifest)| Arc::clone(manifest));
                    (usable.ok_or(error), times.failure_kept)
                }
            }
        };
        self.kept.get(&source.url, ask).await.unwrap_or(Err(ManifestError::Unavailable))
    }
}

impl MetisTarget {
    /// The target for `model` of `cluster`.
    ///
    /// # Errors
    /// What is wrong with the settings of the cluster or the endpoint.
    pub fn new(
        cluster: &Cluster,
        model: &str,
        settings: &Metis,
        api_key: Option<&SecretString>,
    ) -> Result<Self, String> {
        let target = Self {
            source: StatusSource::of(cluster)?,
            model: model.to_owned(),
            settings: settings.clone(),
            api_key: api_key.cloned(),
            current: ArcSwapOption::empty(),
        };
        if let Some(url) = &settings.api_url {
            target.at(url)?;
        }
        Ok(target)
    }

    /// Where to send a request now.
    ///
    /// # Errors
    /// When the model is not live, or nobody knows.
    pub async fn live(&self, manifests: &Manifests) -> Result<Arc<DirectTarget>, NotLive> {
        let manifest = manifests.get(&self.source).await.map_err(NotLive::Unknown)?;
        let listed = manifest.find(&self.model);
        let listed = listed.ok_or_else(|| NotLive::Status("not listed".to_owned()))?;
        if !listed.is_live() {
            return Err(NotLive::Status(shown(&listed.status)));
        }
        let url = self.settings.api_url.as_deref().or(listed.url.as_deref());
        url.and_then(|url| self.at(url).ok()).ok_or(NotLive::NoAddress)
    }

    /// Whether the model takes requests, by the manifest.
    pub async fn presence(&self, manifests: &Manifests) -> Presence {
        match self.live(manifests).await {
            Ok(_) => Presence::Running,
            Err(NotLive::Unknown(_)) => Presence::Unknown,
            Err(NotLive::Status(_) | NotLive::NoAddress) => Presence::Away,
        }
    }

    /// The target at `url`, made anew when that has changed.
    fn at(&self, url: &str) -> Result<Arc<DirectTarget>, String> {
        if let Some(current) = &*self.current.load()
            && current.0 == url
        {
            return Ok(Arc::clone(&current.1));
        }
        let settings = DirectApi {
            api_url: url.to_owned(),
            api_key: None,
            request_timeout: self.settings.request_timeout,
            max_in_flight: None,
        };
        let target = Arc::new(DirectTarget::new(&settings, self.api_key.as_ref())?);
        self.current.store(Some(Arc::new((url.to_owned(), Arc::clone(&target)))));
        Ok(target)
    }
}

/// A word of the manifest, fit to be shown.
fn shown(word: &str) -> String {
    word.chars().filter(|c| !c.is_control()).take(64).collect()
}

fn unknown() -> String {
    "Unknown".to_owned()
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.unwrap_or_default())
}

fn text_or_unknown<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.unwrap_or_else(unknown))
}

/// A list of names, or one text with commas.
fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        List(Vec<String>),
        Text(String),
        Other(serde::de::IgnoredAny),
    }
    Ok(match Written::deserialize(deserializer)? {
        Written::List(names) => names,
        Written::Text(text) => {
            text.split(',').map(|name| name.trim().to_owned()).filter(|n| !n.is_empty()).collect()
        }
        Written::Other(_) => Vec::new(),
    })
}

#[cfg(test)]
mod tests;
