//! The catalogue: clusters, the endpoints on them, and federations of endpoints.

use std::{fmt, str::FromStr, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{AccessPolicy, SecretSource, human, slug::endpoint_slug};

/// How a cluster or an endpoint is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Adapter {
    /// An OpenAI-compatible API over HTTP.
    DirectApi,
    /// Functions on a cluster through Globus Compute.
    GlobusCompute,
    /// Argonne's Metis service.
    Metis,
    /// A built-in model that repeats what it is told.
    Echo,
}

impl Adapter {
    /// Every adapter, in the order in which help texts list them.
    pub const ALL: [Self; 4] = [Self::DirectApi, Self::GlobusCompute, Self::Metis, Self::Echo];

    /// The name used in files, flags and the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DirectApi => "direct-api",
            Self::GlobusCompute => "globus-compute",
            Self::Metis => "metis",
            Self::Echo => "echo",
        }
    }
}

/// An inference route of OpenAI's or Anthropic's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Route {
    /// `POST …/chat/completions`
    #[serde(rename = "chat/completions")]
    ChatCompletions,
    /// `POST …/completions`
    #[serde(rename = "completions")]
    Completions,
    /// `POST …/embeddings`
    #[serde(rename = "embeddings")]
    Embeddings,
    /// `POST …/responses`
    #[serde(rename = "responses")]
    Responses,
    /// `POST …/messages`, Anthropic's.
    #[serde(rename = "messages")]
    Messages,
}

impl Route {
    /// Every route.
    pub const ALL: [Self; 5] = [
        Self::ChatCompletions,
        Self::Completions,
        Self::Embeddings,
        Self::Responses,
        Self::Messages,
    ];

    /// The path below `/v1/`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ChatCompletions => "chat/completions",
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
            Self::Responses => "responses",
            Self::Messages => "messages",
        }
    }

    /// Whether `stream: true` means anything on this route.
    #[must_use]
    pub const fn streams(self) -> bool {
        !matches!(self, Self::Embeddings)
    }
}

macro_rules! named {
    ($type:ident, $what:literal) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                Self::ALL.into_iter().find(|known| known.as_str() == text).ok_or_else(|| {
                    let known: Vec<_> = Self::ALL.iter().map(|k| k.as_str()).collect();
                    format!(
                        concat!("unknown ", $what, " `{}`; known are: {}"),
                        text,
                        known.join(", ")
                    )
                })
            }
        }
    };
}

named!(Adapter, "adapter");
named!(Route, "route");
named!(Policy, "policy");

/// A cluster: a place that serves models, with what it offers to whom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Unique name, also the first path segment of its routes.
    pub name: String,
    /// How its own state is asked for.
    pub adapter: Adapter,
    /// Serving frameworks, the second path segment (`vllm`, `api` …).
    pub frameworks: Vec<String>,
    /// Routes that its endpoints offer.
    pub routes: Vec<Route>,
    /// Who may use anything on it.
    #[serde(default, skip_serializing_if = "AccessPolicy::is_open")]
    pub access: AccessPolicy,
    /// What the adapter needs (`qstat_endpoint_uuid`, `status_url` …).
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub settings: Map<String, Value>,
    /// Set while the cluster is out of service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Maintenance>,
}

/// A cluster's planned outage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Maintenance {
    /// What callers are told.
    pub notice: String,
    /// When it was switched on.
    pub since: Timestamp,
}

/// One model on one cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Unique, `cluster-framework-model` slugified unless given.
    pub slug: String,
    /// The cluster it runs on.
    pub cluster: String,
    /// One of the cluster's frameworks.
    pub framework: String,
    /// The model's name, as callers write it and as the back end knows it.
    pub model: String,
    /// How it is reached.
    #[serde(flatten)]
    pub settings: EndpointSettings,
    /// Who may use it, on top of the cluster's own conditions.
    #[serde(default, skip_serializing_if = "AccessPolicy::is_open")]
    pub access: AccessPolicy,
    /// Tokens per minute that all callers together may use; 0 means no limit.
    #[serde(default)]
    pub tpm_model: u64,
    /// Tokens per minute that one caller may use; 0 means no limit.
    #[serde(default)]
    pub tpm_user: u64,
    /// Whether it takes requests.
    #[serde(default = "yes")]
    pub enabled: bool,
}

const fn yes() -> bool {
    true
}

impl Endpoint {
    /// The slug it has when none is given.
    #[must_use]
    pub fn default_slug(cluster: &str, framework: &str, model: &str) -> String {
        endpoint_slug(cluster, framework, model)
    }
}

/// An endpoint's adapter and what that adapter needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "adapter", content = "settings", rename_all = "kebab-case")]
pub enum EndpointSettings {
    /// An OpenAI-compatible API.
    DirectApi(DirectApi),
    /// A Globus Compute endpoint with its functions.
    GlobusCompute(GlobusCompute),
    /// A model served by Metis; the rest of its settings is kept as it came.
    Metis(Map<String, Value>),
    /// The built-in echo model.
    Echo(Echo),
}

impl EndpointSettings {
    /// The adapter these settings are for.
    #[must_use]
    pub const fn adapter(&self) -> Adapter {
        match self {
            Self::DirectApi(_) => Adapter::DirectApi,
            Self::GlobusCompute(_) => Adapter::GlobusCompute,
            Self::Metis(_) => Adapter::Metis,
            Self::Echo(_) => Adapter::Echo,
        }
    }
}

/// Settings of [`Adapter::DirectApi`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectApi {
    /// Base address; the route is appended to it (`http://host:8000/v1`).
    pub api_url: String,
    /// The bearer token sent to the back end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<SecretSource>,
    /// How long one whole request may take; the gateway's own budget when absent.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_duration")]
    pub request_timeout: Option<Duration>,
}

/// Settings of [`Adapter::GlobusCompute`], named as FIRST names them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlobusCompute {
    /// Port of the model's API on the compute node.
    pub api_port: u16,
    /// The Globus Compute endpoint for inference.
    pub endpoint_uuid: String,
    /// The registered inference function.
    pub function_uuid: String,
    /// The Globus Compute endpoint for batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_endpoint_uuid: Option<String>,
    /// The registered batch function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_function_uuid: Option<String>,
}

/// Settings of [`Adapter::Echo`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Echo {
    /// Pause before each piece of a stream.
    #[serde(default, with = "human::duration")]
    pub delay: Duration,
}

/// One name for several endpoints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Federation {
    /// The model name that people ask for; unique.
    pub model: String,
    /// A line about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// How a target is chosen.
    #[serde(default)]
    pub policy: Policy,
    /// The endpoints behind the name.
    pub targets: Vec<Target>,
}

/// One endpoint of a federation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The endpoint's slug.
    pub endpoint: String,
    /// Lower is tried first.
    #[serde(default)]
    pub priority: u32,
    /// Share among targets of one priority; at least 1.
    #[serde(default = "one")]
    pub weight: u32,
}

const fn one() -> u32 {
    1
}

/// How a federation chooses among the targets that a caller may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// The fewest requests in flight, by priority and weight.
    #[default]
    LeastBusy,
}

impl Policy {
    /// Every policy.
    pub const ALL: [Self; 1] = [Self::LeastBusy];

    /// The name used in files, flags and the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LeastBusy => "least-busy",
        }
    }
}

mod optional_duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::human;

    #[derive(Deserialize)]
    struct Wrapped(#[serde(with = "human::duration")] Duration);

    #[allow(clippy::ref_option, reason = "serde's `with` passes the field by reference")]
    pub(super) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => human::duration::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Option::<Wrapped>::deserialize(deserializer).map(|value| value.map(|w| w.0))
    }
}
