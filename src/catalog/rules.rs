//! What must hold of every cluster, endpoint and federation, whoever wrote it.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;
use url::Url;

use super::edits::Objects;
use crate::{
    domain::{Cluster, Endpoint, EndpointSettings, Federation},
    store::CatalogData,
};

/// First path segments below `/resource_server/` that are routes of the gateway itself.
const RESERVED_CLUSTERS: [&str; 7] =
    ["api", "data", "health", "list-endpoints", "status", "v1", "whoami"];

/// What the catalogue consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Known by its name.
    Cluster,
    /// Known by its slug.
    Endpoint,
    /// Known by its model.
    Federation,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Cluster => "cluster",
            Self::Endpoint => "endpoint",
            Self::Federation => "federation",
        })
    }
}

/// What is wrong with one object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} `{name}`: {field}: {message}")]
pub struct Fault {
    /// The object's kind.
    pub kind: Kind,
    /// Its name, slug or model.
    pub name: String,
    /// The field, as figw's own files name it.
    pub field: &'static str,
    /// What is wrong and what is expected.
    pub message: String,
    /// Whether the only trouble is that something it names is in neither the change nor the store.
    pub unknown_reference: bool,
}

/// The catalogue as it would be after a change.
pub(super) struct After<'a> {
    clusters: BTreeMap<&'a str, &'a Cluster>,
    endpoints: BTreeMap<&'a str, &'a Endpoint>,
}

impl<'a> After<'a> {
    pub(super) fn new(current: &'a CatalogData, desired: &'a Objects) -> Self {
        let clusters = current.clusters.iter().chain(&desired.clusters);
        let endpoints = current.endpoints.iter().chain(&desired.endpoints);
        Self {
            clusters: clusters.map(|c| (c.name.as_str(), c)).collect(),
            endpoints: endpoints.map(|e| (e.slug.as_str(), e)).collect(),
        }
    }

    /// Everything that is wrong with `desired`, in the order in which it is written.
    pub(super) fn faults(&self, desired: &Objects) -> Vec<Fault> {
        let mut faults = Vec::new();
        for cluster in &desired.clusters {
            let mut own = Faults::of(Kind::Cluster, &cluster.name, &mut faults);
            self.check_cluster(cluster, desired, &mut own);
        }
        for endpoint in &desired.endpoints {
            let mut own = Faults::of(Kind::Endpoint, &endpoint.slug, &mut faults);
            self.check_endpoint(endpoint, &mut own);
        }
        for federation in &desired.federations {
            let mut own = Faults::of(Kind::Federation, &federation.model, &mut faults);
            self.check_federation(federation, &mut own);
        }
        faults
    }

    fn check_cluster(&self, cluster: &Cluster, desired: &Objects, faults: &mut Faults<'_>) {
        faults.check_segment("name", &cluster.name);
        if RESERVED_CLUSTERS.contains(&cluster.name.as_str()) {
            faults.add("name", "is the name of one of the gateway's own routes; choose another");
        }
        if cluster.frameworks.is_empty() {
            faults.add("frameworks", "is empty; name at least one, such as vllm");
        }
        for (i, framework) in cluster.frameworks.iter().enumerate() {
            faults.check_segment("frameworks", framework);
            if cluster.frameworks[..i].contains(framework) {
                faults.add("frameworks", format!("names `{framework}` twice"));
            }
        }
        if cluster.routes.is_empty() {
            faults.add("routes", "is empty; name at least one, such as chat/completions");
        }
        // Endpoints of the same change are told so themselves.
        let stays = |e: &&&Endpoint| {
            e.cluster == cluster.name && !desired.endpoints.iter().any(|new| new.slug == e.slug)
        };
        for endpoint in self.endpoints.values().filter(stays) {
            if !cluster.frameworks.contains(&endpoint.framework) {
                faults.add(
                    "frameworks",
                    format!(
                        "lacks `{}`, which endpoint `{}` uses",
                        endpoint.framework, endpoint.slug
                    ),
                );
            }
        }
    }

    fn check_endpoint(&self, endpoint: &Endpoint, faults: &mut Faults<'_>) {
        faults.check_segment("slug", &endpoint.slug);
        faults.check_model(&endpoint.model);
        match self.clusters.get(endpoint.cluster.as_str()) {
            None => faults.add_unknown("cluster", unknown("cluster", &endpoint.cluster)),
            Some(cluster) if !cluster.frameworks.contains(&endpoint.framework) => faults.add(
                "framework",
                format!(
                    "`{}` is not a framework of cluster `{}`, which has: {}",
                    endpoint.framework,
                    cluster.name,
                    cluster.frameworks.join(", ")
                ),
            ),
            Some(_) => {}
        }
        let place = |e: &Endpoint| (e.cluster.clone(), e.framework.clone(), e.model.clone());
        let twin = self
            .endpoints
            .values()
            .find(|other| other.slug != endpoint.slug && place(other) == place(endpoint));
        if let Some(twin) = twin {
            faults.add(
                "model",
                format!(
                    "`{}` is already served on cluster `{}`, framework `{}`, by endpoint `{}`",
                    endpoint.model, endpoint.cluster, endpoint.framework, twin.slug
                ),
            );
        }
        let api_url = match &endpoint.settings {
            EndpointSettings::DirectApi(settings) => Some(&settings.api_url),
            EndpointSettings::Metis(settings) => settings.api_url.as_ref(),
            EndpointSettings::GlobusCompute(_) | EndpointSettings::Echo(_) => None,
        };
        if let Some(Err(reason)) = api_url.map(|url| check_base_url(url)) {
            faults.add("settings.api_url", reason);
        }
    }

    fn check_federation(&self, federation: &Federation, faults: &mut Faults<'_>) {
        faults.check_model(&federation.model);
        if federation.targets.is_empty() {
            faults.add("targets", "is empty; name at least one endpoint");
        }
        for (i, target) in federation.targets.iter().enumerate() {
            if !self.endpoints.contains_key(target.endpoint.as_str()) {
                faults.add_unknown("targets", unknown("endpoint", &target.endpoint));
            }
            if federation.targets[..i].iter().any(|t| t.endpoint == target.endpoint) {
                faults.add("targets", format!("names endpoint `{}` twice", target.endpoint));
            }
            if target.weight == 0 {
                faults.add(
                    "targets",
                    format!("gives endpoint `{}` weight 0; expected 1 or more", target.endpoint),
                );
            }
        }
    }
}

fn unknown(what: &str, name: &str) -> String {
    format!("there is no {what} `{name}`; add it first, or load it in the same set")
}

fn check_base_url(text: &str) -> Result<(), String> {
    const EXPECTED: &str = "expected something like https://host:8000/v1";
    let url = Url::parse(text).map_err(|e| format!("`{text}` is not a URL ({e}); {EXPECTED}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("`{text}` is not an http or https URL; {EXPECTED}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("must not hold credentials; give them as the API key; {EXPECTED}"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!(
            "`{text}` has a query or a fragment, but the route is appended to it; {EXPECTED}"
        ));
    }
    Ok(())
}

/// Collects the faults of one object.
struct Faults<'a> {
    kind: Kind,
    name: &'a str,
    found: &'a mut Vec<Fault>,
}

impl<'a> Faults<'a> {
    fn of(kind: Kind, name: &'a str, found: &'a mut Vec<Fault>) -> Self {
        Self { kind, name, found }
    }

    fn add(&mut self, field: &'static str, message: impl Into<String>) {
        self.push(field, message.into(), false);
    }

    fn add_unknown(&mut self, field: &'static str, message: String) {
        self.push(field, message, true);
    }

    fn push(&mut self, field: &'static str, message: String, unknown_reference: bool) {
        let (kind, name) = (self.kind, self.name.to_owned());
        self.found.push(Fault { kind, name, field, message, unknown_reference });
    }

    /// Names that stand in URLs keep to what needs no escaping there.
    fn check_segment(&mut self, field: &'static str, text: &str) {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() || text.starts_with('.') || !text.chars().all(plain) {
            self.add(
                field,
                format!("`{text}` cannot stand in a URL; use letters, digits, `-`, `_` and `.`"),
            );
        }
    }

    fn check_model(&mut self, model: &str) {
        if model.is_empty() || model.chars().any(|c| c.is_whitespace() || c.is_control()) {
            self.add("model", format!("`{model}` is empty or has blanks in it"));
        }
    }
}
