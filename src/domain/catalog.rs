//! The catalogue: clusters, and federations of the endpoints on them ([`super::endpoint`]).

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::AccessPolicy;
pub use super::endpoint::{DirectApi, Echo, Endpoint, EndpointSettings, GlobusCompute, Metis};

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
