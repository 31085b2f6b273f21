//! Endpoints: one model on one cluster, and what its adapter needs to reach it.

use std::{num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{AccessPolicy, Adapter, SecretSource, human, slug::endpoint_slug};

/// One model on one cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "EndpointShape", into = "EndpointShape")]
pub struct Endpoint {
    /// Unique, `cluster-framework-model` slugified unless given.
    pub slug: String,
    /// The cluster it runs on.
    pub cluster: String,
    /// One of the cluster's frameworks.
    pub framework: String,
    /// The model's name, as callers write it and as the back end knows it.
    pub model: String,
    /// How it is reached; written as `adapter` and `settings`.
    pub settings: EndpointSettings,
    /// Who may use it, on top of the cluster's own conditions.
    pub access: AccessPolicy,
    /// Tokens per minute that all callers together may use; 0 means no limit.
    pub tpm_model: u64,
    /// Tokens per minute that one caller may use; 0 means no limit.
    pub tpm_user: u64,
    /// Whether it takes requests.
    pub enabled: bool,
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
#[serde(try_from = "SettingsShape", into = "SettingsShape")]
pub enum EndpointSettings {
    /// An OpenAI-compatible API.
    DirectApi(DirectApi),
    /// A Globus Compute endpoint with its functions.
    GlobusCompute(GlobusCompute),
    /// A model served by Metis.
    Metis(Metis),
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

    /// Reads the settings of `adapter` from the plain values that files and tables hold.
    ///
    /// # Errors
    /// Which setting is missing, unknown or of the wrong type.
    pub fn from_values(adapter: Adapter, values: Map<String, Value>) -> Result<Self, String> {
        Ok(match adapter {
            Adapter::DirectApi => Self::DirectApi(typed(adapter, values)?),
            Adapter::GlobusCompute => Self::GlobusCompute(typed(adapter, values)?),
            Adapter::Metis => Self::Metis(typed(adapter, values)?),
            Adapter::Echo => Self::Echo(typed(adapter, values)?),
        })
    }

    /// Where the bearer token for the back end comes from, if it needs one.
    #[must_use]
    pub const fn api_key(&self) -> Option<&SecretSource> {
        match self {
            Self::DirectApi(DirectApi { api_key, .. }) | Self::Metis(Metis { api_key, .. }) => {
                api_key.as_ref()
            }
            Self::GlobusCompute(_) | Self::Echo(_) => None,
        }
    }

    /// How long one whole request may take, where the endpoint has a limit of its own.
    #[must_use]
    pub const fn request_timeout(&self) -> Option<Duration> {
        match self {
            Self::DirectApi(DirectApi { request_timeout, .. })
            | Self::Metis(Metis { request_timeout, .. }) => *request_timeout,
            Self::GlobusCompute(_) | Self::Echo(_) => None,
        }
    }

    /// Most requests that the endpoint is sent at one time by each instance of figw; `None` is no
    /// limit.
    #[must_use]
    pub fn max_in_flight(&self) -> Option<u32> {
        match self {
            Self::DirectApi(DirectApi { max_in_flight, .. })
            | Self::GlobusCompute(GlobusCompute { max_in_flight, .. })
            | Self::Metis(Metis { max_in_flight, .. }) => max_in_flight.map(NonZeroU32::get),
            Self::Echo(_) => None,
        }
    }

    /// Where the bearer token comes from, to be changed.
    pub const fn api_key_mut(&mut self) -> Option<&mut SecretSource> {
        match self {
            Self::DirectApi(DirectApi { api_key, .. }) | Self::Metis(Metis { api_key, .. }) => {
                api_key.as_mut()
            }
            Self::GlobusCompute(_) | Self::Echo(_) => None,
        }
    }

    /// The settings as plain values, the reverse of [`Self::from_values`].
    #[must_use]
    pub fn to_values(&self) -> Map<String, Value> {
        match self {
            Self::DirectApi(settings) => plain(settings),
            Self::GlobusCompute(settings) => plain(settings),
            Self::Metis(settings) => plain(settings),
            Self::Echo(settings) => plain(settings),
        }
    }
}

fn typed<T: DeserializeOwned>(adapter: Adapter, values: Map<String, Value>) -> Result<T, String> {
    serde_path_to_error::deserialize(Value::Object(values)).map_err(|error| {
        let path = error.path().to_string();
        let at = if path == "." { String::new() } else { format!(".{path}") };
        format!("settings{at} of {adapter}: {}", error.into_inner())
    })
}

/// Settings consist of text, numbers and string-keyed maps, which JSON always holds.
fn plain(settings: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(settings) {
        Ok(Value::Object(values)) => values,
        _ => Map::new(),
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
    /// Most requests that each instance of figw sends it at one time; further ones wait for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<NonZeroU32>,
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
    /// Most requests that each instance of figw sends it at one time; further ones wait for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<NonZeroU32>,
}

/// Settings of [`Adapter::Metis`]. Which models are live, and where, is told by the manifest that the
/// cluster's `status_url` names.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metis {
    /// Base address of the model's API; that of the manifest when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_url: Option<String>,
    /// The bearer token sent to the model's API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<SecretSource>,
    /// How long one whole request may take; the gateway's own budget when absent.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_duration")]
    pub request_timeout: Option<Duration>,
    /// Most requests that each instance of figw sends it at one time; further ones wait for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<NonZeroU32>,
}

/// Settings of [`Adapter::Echo`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Echo {
    /// Pause before each piece of a stream.
    #[serde(default, with = "human::duration", skip_serializing_if = "Duration::is_zero")]
    pub delay: Duration,
}

/// An endpoint as it is written. Plain fields throughout, because serde cannot refuse unknown
/// fields next to a flattened one.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndpointShape {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slug: Option<String>,
    cluster: String,
    framework: String,
    model: String,
    adapter: Adapter,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    settings: Map<String, Value>,
    #[serde(default, skip_serializing_if = "AccessPolicy::is_open")]
    access: AccessPolicy,
    #[serde(default)]
    tpm_model: u64,
    #[serde(default)]
    tpm_user: u64,
    #[serde(default = "yes")]
    enabled: bool,
}

const fn yes() -> bool {
    true
}

impl TryFrom<EndpointShape> for Endpoint {
    type Error = String;

    fn try_from(shape: EndpointShape) -> Result<Self, String> {
        let EndpointShape { slug, cluster, framework, model, adapter, settings, .. } = shape;
        Ok(Self {
            slug: slug.unwrap_or_else(|| Self::default_slug(&cluster, &framework, &model)),
            cluster,
            framework,
            model,
            settings: EndpointSettings::from_values(adapter, settings)?,
            access: shape.access,
            tpm_model: shape.tpm_model,
            tpm_user: shape.tpm_user,
            enabled: shape.enabled,
        })
    }
}

impl From<Endpoint> for EndpointShape {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            slug: Some(endpoint.slug),
            cluster: endpoint.cluster,
            framework: endpoint.framework,
            model: endpoint.model,
            adapter: endpoint.settings.adapter(),
            settings: endpoint.settings.to_values(),
            access: endpoint.access,
            tpm_model: endpoint.tpm_model,
            tpm_user: endpoint.tpm_user,
            enabled: endpoint.enabled,
        }
    }
}

/// [`EndpointSettings`] as they are written. `settings` may be left out where none is required, but
/// is always written: tables have a column for it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SettingsShape {
    adapter: Adapter,
    #[serde(default)]
    settings: Map<String, Value>,
}

impl TryFrom<SettingsShape> for EndpointSettings {
    type Error = String;

    fn try_from(shape: SettingsShape) -> Result<Self, String> {
        Self::from_values(shape.adapter, shape.settings)
    }
}

impl From<EndpointSettings> for SettingsShape {
    fn from(settings: EndpointSettings) -> Self {
        Self { adapter: settings.adapter(), settings: settings.to_values() }
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
