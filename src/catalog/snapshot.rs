//! One moment of the catalogue, indexed for the request path: no lookup here allocates.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use jiff::Timestamp;
use secrecy::SecretString;

use crate::{
    domain::{ApiKey, Caller, Cluster, Endpoint, Federation, KeyHash, Policy, SecretSource},
    store::CatalogData,
};

/// Reads a secret from where it is kept. The error says what is wrong, without the secret.
pub type ResolveSecret<'a> =
    dyn Fn(&SecretSource) -> Result<SecretString, String> + Send + Sync + 'a;

/// An endpoint with all that sending a request to it takes.
#[derive(Debug)]
pub struct Served {
    /// The endpoint as stored.
    pub endpoint: Endpoint,
    /// Its cluster as stored.
    pub cluster: Arc<Cluster>,
    /// The bearer token for its back end.
    pub api_key: Option<SecretString>,
    /// Why no request can be sent to it, whatever its back end's state.
    pub unusable: Option<String>,
}

impl Served {
    /// Whether `caller` meets the conditions of both the cluster and the endpoint. Whether the
    /// caller's key allows the model is another question: [`Caller::may_ask_for`].
    #[must_use]
    pub fn permits(&self, caller: &Caller) -> bool {
        self.cluster.access.permits(caller) && self.endpoint.access.permits(caller)
    }
}

/// One endpoint behind a federated model name.
#[derive(Debug, Clone)]
pub struct FederatedTarget {
    /// The endpoint.
    pub served: Arc<Served>,
    /// Lower is tried first.
    pub priority: u32,
    /// Share among targets of one priority; at least 1.
    pub weight: u32,
}

/// A model name with the endpoints that may answer for it.
#[derive(Debug)]
pub struct Federated {
    /// The name that people ask for.
    pub model: Arc<str>,
    /// A line about it; empty for a model without a federation of its own.
    pub description: String,
    /// How a target is chosen.
    pub policy: Policy,
    /// The enabled endpoints, by priority, then in the order written.
    pub targets: Vec<FederatedTarget>,
}

impl Federated {
    /// Whether `caller` may ask for this model and use one of its endpoints.
    #[must_use]
    pub fn permits(&self, caller: &Caller) -> bool {
        caller.may_ask_for(&self.model) && self.permitted(caller).next().is_some()
    }

    /// The targets that `caller` may use.
    pub fn permitted<'a>(
        &'a self,
        caller: &'a Caller,
    ) -> impl Iterator<Item = &'a FederatedTarget> {
        self.targets.iter().filter(|target| target.served.permits(caller))
    }
}

/// Why a key opens no door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    /// Never made, or revoked.
    #[error("the API key is unknown or has been revoked")]
    Unknown,
    /// Its time is over.
    #[error("the API key has expired")]
    Expired,
}

#[derive(Debug)]
struct KnownKey {
    caller: Arc<Caller>,
    expires_at: Option<Timestamp>,
}

/// By model, of one framework of one cluster.
type Models = HashMap<String, Arc<Served>>;

/// The catalogue at one version.
#[derive(Debug, Default)]
pub struct Snapshot {
    version: i64,
    clusters: BTreeMap<String, Arc<Cluster>>,
    endpoints: Vec<Arc<Served>>,
    by_slug: HashMap<String, Arc<Served>>,
    by_place: HashMap<String, HashMap<String, Models>>,
    federated: BTreeMap<Arc<str>, Arc<Federated>>,
    keys: HashMap<KeyHash, KnownKey>,
}

impl Snapshot {
    /// Indexes `data` and reads the endpoints' secrets. What cannot be used is kept with its reason;
    /// it never keeps the rest from being served.
    #[must_use]
    pub fn build(data: CatalogData, resolve: &ResolveSecret<'_>) -> Self {
        let clusters: BTreeMap<_, _> =
            data.clusters.into_iter().map(|c| (c.name.clone(), Arc::new(c))).collect();
        let mut endpoints: Vec<_> = data
            .endpoints
            .into_iter()
            .filter_map(|endpoint| serve(endpoint, &clusters, resolve))
            .collect();
        endpoints.sort_by(|a, b| place(a).cmp(&place(b)));

        let by_slug: HashMap<_, _> =
            endpoints.iter().map(|s| (s.endpoint.slug.clone(), Arc::clone(s))).collect();
        Self {
            version: data.version,
            federated: federate(data.federations, &endpoints, &by_slug),
            by_place: index_places(&endpoints),
            keys: data.keys.into_iter().map(known_key).collect(),
            clusters,
            endpoints,
            by_slug,
        }
    }

    /// The store's version that this is.
    #[must_use]
    pub fn version(&self) -> i64 {
        self.version
    }

    /// Every cluster, by name.
    pub fn clusters(&self) -> impl Iterator<Item = &Arc<Cluster>> {
        self.clusters.values()
    }

    /// The cluster of that name.
    #[must_use]
    pub fn cluster(&self, name: &str) -> Option<&Arc<Cluster>> {
        self.clusters.get(name)
    }

    /// Every endpoint, disabled ones too, by cluster, framework and model.
    #[must_use]
    pub fn endpoints(&self) -> &[Arc<Served>] {
        &self.endpoints
    }

    /// The endpoint with that slug.
    #[must_use]
    pub fn by_slug(&self, slug: &str) -> Option<&Arc<Served>> {
        self.by_slug.get(slug)
    }

    /// The endpoint of `model` on that cluster and framework.
    #[must_use]
    pub fn endpoint(&self, cluster: &str, framework: &str, model: &str) -> Option<&Arc<Served>> {
        self.by_place.get(cluster)?.get(framework)?.get(model)
    }

    /// What answers for a model name when no cluster is named: its federation, or else every
    /// enabled endpoint of that model.
    #[must_use]
    pub fn federated(&self, model: &str) -> Option<&Arc<Federated>> {
        self.federated.get(model)
    }

    /// The models that `caller` may use, by name.
    pub fn models_for<'a>(
        &'a self,
        caller: &'a Caller,
    ) -> impl Iterator<Item = &'a Arc<Federated>> {
        self.federated.values().filter(|federated| federated.permits(caller))
    }

    /// The enabled endpoints that `caller` may use, by cluster, framework and model.
    pub fn endpoints_for<'a>(
        &'a self,
        caller: &'a Caller,
    ) -> impl Iterator<Item = &'a Arc<Served>> {
        self.endpoints.iter().filter(|served| {
            served.endpoint.enabled
                && caller.may_ask_for(&served.endpoint.model)
                && served.permits(caller)
        })
    }

    /// The caller whose key this is.
    ///
    /// # Errors
    /// Why the key opens no door at `now`.
    pub fn caller(&self, key: &KeyHash, now: Timestamp) -> Result<&Arc<Caller>, KeyRefusal> {
        let known = self.keys.get(key).ok_or(KeyRefusal::Unknown)?;
        match known.expires_at {
            Some(end) if end <= now => Err(KeyRefusal::Expired),
            _ => Ok(&known.caller),
        }
    }

    /// How many keys are known, expired ones included.
    #[must_use]
    pub fn key_count(&self) -> usize {
        self.keys.len()
    }
}

fn place(served: &Served) -> (&str, &str, &str, &str) {
    let endpoint = &served.endpoint;
    (&endpoint.cluster, &endpoint.framework, &endpoint.model, &endpoint.slug)
}

fn serve(
    endpoint: Endpoint,
    clusters: &BTreeMap<String, Arc<Cluster>>,
    resolve: &ResolveSecret<'_>,
) -> Option<Arc<Served>> {
    let Some(cluster) = clusters.get(&endpoint.cluster).map(Arc::clone) else {
        tracing::warn!(
            endpoint = endpoint.slug,
            cluster = endpoint.cluster,
            "the endpoint's cluster is not in the catalogue; the endpoint is left out"
        );
        return None;
    };
    let secret = endpoint.settings.api_key().map(resolve);
    let (api_key, unusable) = match secret.transpose() {
        Ok(api_key) => (api_key, None),
        Err(reason) => (None, Some(format!("its API key cannot be read: {reason}"))),
    };
    if let Some(reason) = &unusable {
        tracing::warn!(endpoint = endpoint.slug, "the endpoint takes no requests: {reason}");
    }
    Some(Arc::new(Served { endpoint, cluster, api_key, unusable }))
}

fn index_places(endpoints: &[Arc<Served>]) -> HashMap<String, HashMap<String, Models>> {
    let mut places: HashMap<String, HashMap<String, Models>> = HashMap::new();
    for served in endpoints {
        let endpoint = &served.endpoint;
        places
            .entry(endpoint.cluster.clone())
            .or_default()
            .entry(endpoint.framework.clone())
            .or_default()
            .entry(endpoint.model.clone())
            .or_insert_with(|| Arc::clone(served));
    }
    places
}

fn federate(
    federations: Vec<Federation>,
    endpoints: &[Arc<Served>],
    by_slug: &HashMap<String, Arc<Served>>,
) -> BTreeMap<Arc<str>, Arc<Federated>> {
    let written = federations.into_iter().map(|federation| {
        let mut targets: Vec<_> = federation
            .targets
            .iter()
            .filter_map(|target| {
                let served = by_slug.get(&target.endpoint).filter(|s| s.endpoint.enabled)?;
                Some(FederatedTarget {
                    served: Arc::clone(served),
                    priority: target.priority,
                    weight: target.weight,
                })
            })
            .collect();
        targets.sort_by_key(|target| target.priority);
        Federated {
            model: federation.model.into(),
            description: federation.description,
            policy: federation.policy,
            targets,
        }
    });
    let mut by_model: BTreeMap<Arc<str>, Federated> =
        written.map(|f| (Arc::clone(&f.model), f)).collect();

    let mut implied: BTreeMap<&str, Vec<FederatedTarget>> = BTreeMap::new();
    for served in endpoints.iter().filter(|served| served.endpoint.enabled) {
        implied.entry(&served.endpoint.model).or_default().push(FederatedTarget {
            served: Arc::clone(served),
            priority: 0,
            weight: 1,
        });
    }
    for (model, targets) in implied {
        by_model.entry(model.into()).or_insert_with_key(|model| Federated {
            model: Arc::clone(model),
            description: String::new(),
            policy: Policy::default(),
            targets,
        });
    }
    by_model.into_iter().map(|(model, federated)| (model, Arc::new(federated))).collect()
}

fn known_key(key: ApiKey) -> (KeyHash, KnownKey) {
    let caller = Caller {
        user: key.user.into(),
        name: key.name.into(),
        groups: key.groups.into(),
        models: key.models.into(),
        key_id: Some(key.id),
        login: None,
    };
    (key.hash, KnownKey { caller: Arc::new(caller), expires_at: key.expires_at })
}
