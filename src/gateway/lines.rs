//! What sending to an endpoint takes, worked out once per endpoint and kept until it changes.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use http::HeaderValue;

use super::{
    meters::EndpointMeters,
    refusal::Refusal,
    routing::{BreakerPolicy, Terms, Vitals},
};
use crate::{
    backends::{
        direct_api::DirectTarget, globus_compute::inference::GlobusTarget, metis::MetisTarget,
    },
    catalog::Served,
    domain::{Echo, Endpoint, EndpointSettings},
    limits::{EndpointLimits, Limits},
    telemetry::metrics,
};

/// An endpoint, ready to be sent to.
#[derive(Debug)]
pub struct Line {
    served: Arc<Served>,
    /// What its rows are labelled with.
    pub names: Names,
    /// Its metrics.
    pub meters: Arc<EndpointMeters>,
    /// How it is doing.
    pub vitals: Arc<Vitals>,
    /// Its limits on tokens, and how far they are used up.
    pub allowances: Arc<EndpointLimits>,
    /// Most requests that it may have at one time.
    pub seats: Option<u32>,
    /// Where requests go, or why none can.
    pub way: Result<Way, Refusal>,
}

/// Names that all rows of an endpoint share.
#[derive(Debug)]
pub struct Names {
    /// The cluster's name.
    pub cluster: Arc<str>,
    /// The framework's name.
    pub framework: Arc<str>,
    /// The endpoint's slug.
    pub endpoint: Arc<str>,
    /// The same as the value of a header; `None` when it cannot stand in one.
    pub header: Option<HeaderValue>,
    /// The endpoint's own model name.
    model: Arc<str>,
}

impl Names {
    fn of(endpoint: &Endpoint) -> Self {
        Self {
            cluster: endpoint.cluster.as_str().into(),
            framework: endpoint.framework.as_str().into(),
            endpoint: endpoint.slug.as_str().into(),
            header: HeaderValue::from_str(&endpoint.slug).ok(),
            model: endpoint.model.as_str().into(),
        }
    }

    /// The name that was asked for, which differs from the endpoint's under a federation.
    #[must_use]
    pub fn model_asked_for(&self, asked: &str) -> Arc<str> {
        if *self.model == *asked { Arc::clone(&self.model) } else { asked.into() }
    }
}

/// How an endpoint is reached.
#[derive(Debug)]
pub enum Way {
    /// Over HTTP.
    Direct(Box<DirectTarget>),
    /// By a function on its cluster.
    GlobusCompute(GlobusTarget),
    /// Over HTTP, while Metis says that the model is live.
    Metis(Box<MetisTarget>),
    /// By the built-in model.
    Echo(Echo),
}

/// The lines of all endpoints that have been asked for.
#[derive(Debug, Default)]
pub struct Lines {
    by_slug: RwLock<HashMap<String, Arc<Line>>>,
    limits: Arc<Limits>,
}

impl Lines {
    /// None yet; each will be held to its part of `limits`.
    #[must_use]
    pub fn new(limits: Arc<Limits>) -> Self {
        Self { by_slug: RwLock::default(), limits }
    }

    /// The line to `served`, made anew when the catalogue has changed it.
    #[must_use]
    pub fn to(&self, served: &Arc<Served>) -> Arc<Line> {
        let known = self.by_slug.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = known.get(&served.endpoint.slug)
            && Arc::ptr_eq(&line.served, served)
        {
            return Arc::clone(line);
        }
        drop(known);
        let mut known = self.by_slug.write().unwrap_or_else(PoisonError::into_inner);
        let old = known.get(&served.endpoint.slug);
        if let Some(line) = old.filter(|line| Arc::ptr_eq(&line.served, served)) {
            return Arc::clone(line);
        }
        let vitals = old.filter(|line| same_place(&line.served, served));
        let vitals = vitals.map(|line| Arc::clone(&line.vitals));
        let line = Arc::new(Line::new(served, vitals, self.limits.endpoint(&served.endpoint.slug)));
        known.insert(served.endpoint.slug.clone(), Arc::clone(&line));
        line
    }

    /// Whether the endpoint fails, as far as its own requests tell.
    #[must_use]
    pub fn is_out(&self, slug: &str) -> bool {
        let known = self.by_slug.read().unwrap_or_else(PoisonError::into_inner);
        known.get(slug).is_some_and(|line| line.vitals.is_out())
    }

    /// Every line there is.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Line>> {
        let known = self.by_slug.read().unwrap_or_else(PoisonError::into_inner);
        known.values().cloned().collect()
    }

    /// Forgets endpoints that `keep` does not know any more, with their credentials and metrics.
    pub fn retain(&self, keep: impl Fn(&str) -> bool) {
        let mut known = self.by_slug.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|slug, _| keep(slug));
        // While nobody can add a line whose metrics would go at once.
        metrics::retain("endpoint", |slug| known.contains_key(slug));
    }
}

/// Whether what is known of the old endpoint holds for the new one.
fn same_place(old: &Served, new: &Served) -> bool {
    let status_url = |served: &Served| served.cluster.settings.get("status_url").cloned();
    old.endpoint.model == new.endpoint.model
        && match (&old.endpoint.settings, &new.endpoint.settings) {
            (EndpointSettings::DirectApi(old), EndpointSettings::DirectApi(new)) => {
                old.api_url == new.api_url
            }
            (EndpointSettings::GlobusCompute(old), EndpointSettings::GlobusCompute(new)) => {
                (&old.endpoint_uuid, old.api_port) == (&new.endpoint_uuid, new.api_port)
            }
            (EndpointSettings::Metis(before), EndpointSettings::Metis(after)) => {
                before.api_url == after.api_url && status_url(old) == status_url(new)
            }
            (EndpointSettings::Echo(_), EndpointSettings::Echo(_)) => true,
            _ => false,
        }
}

impl Line {
    fn new(
        served: &Arc<Served>,
        vitals: Option<Arc<Vitals>>,
        allowances: Arc<EndpointLimits>,
    ) -> Self {
        Self {
            served: Arc::clone(served),
            names: Names::of(&served.endpoint),
            meters: EndpointMeters::new(&served.endpoint),
            vitals: vitals.unwrap_or_else(|| Vitals::new(&served.endpoint.slug)),
            allowances,
            seats: served.endpoint.settings.max_in_flight(),
            way: Way::to(served),
        }
    }

    /// What a request that is sent to it has to keep to.
    #[must_use]
    pub const fn terms(&self, breaker: BreakerPolicy) -> Terms {
        Terms { breaker, seats: self.seats }
    }

    /// Whether it can be known without asking it that its model is there.
    #[must_use]
    pub const fn has_presence(&self) -> bool {
        matches!(self.way, Ok(Way::GlobusCompute(_) | Way::Metis(_)))
    }
}

impl Way {
    fn to(served: &Served) -> Result<Self, Refusal> {
        let slug = &served.endpoint.slug;
        let unusable = |reason: String| {
            tracing::warn!(endpoint = slug, "the endpoint cannot be used: {reason}");
            Refusal::bad_gateway(format!("Endpoint {slug} is not set up correctly."))
        };
        match &served.endpoint.settings {
            EndpointSettings::Echo(settings) => Ok(Self::Echo(settings.clone())),
            EndpointSettings::DirectApi(settings) => {
                DirectTarget::new(settings, served.api_key.as_ref())
                    .map(|target| Self::Direct(Box::new(target)))
                    .map_err(unusable)
            }
            EndpointSettings::GlobusCompute(settings) => {
                GlobusTarget::new(settings).map(Self::GlobusCompute).map_err(unusable)
            }
            EndpointSettings::Metis(settings) => {
                let (model, key) = (&served.endpoint.model, served.api_key.as_ref());
                MetisTarget::new(&served.cluster, model, settings, key)
                    .map(|target| Self::Metis(Box::new(target)))
                    .map_err(unusable)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn served(api_url: &str, tpm_user: u64) -> Arc<Served> {
        let cluster = json!({
            "name": "c", "adapter": "direct-api", "frameworks": ["api"], "routes": [],
        });
        let endpoint = json!({
            "cluster": "c", "framework": "api", "model": "m", "adapter": "direct-api",
            "settings": { "api_url": api_url }, "tpm_user": tpm_user,
        });
        Arc::new(Served {
            endpoint: serde_json::from_value(endpoint).unwrap(),
            cluster: Arc::new(serde_json::from_value(cluster).unwrap()),
            api_key: None,
            unusable: None,
        })
    }

    #[test]
    fn what_is_known_of_an_endpoint_outlives_a_change_that_leaves_its_address() {
        let lines = Lines::default();
        let first = served("http://a/v1", 0);
        let line = lines.to(&first);
        assert!(Arc::ptr_eq(&line, &lines.to(&first)));

        let limited = lines.to(&served("http://a/v1", 5));
        assert!(!Arc::ptr_eq(&line, &limited), "it has changed");
        assert!(Arc::ptr_eq(&line.vitals, &limited.vitals));

        assert!(Arc::ptr_eq(&line.allowances, &limited.allowances), "what was spent is spent");

        let moved = lines.to(&served("http://b/v1", 5));
        assert!(!Arc::ptr_eq(&line.vitals, &moved.vitals), "nothing is known of the new place");
    }
}
