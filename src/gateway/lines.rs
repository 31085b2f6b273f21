//! What sending to an endpoint takes, worked out once per endpoint and kept until it changes.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use super::{meters::EndpointMeters, refusal::Refusal};
use crate::{
    backends::{
        direct_api::DirectTarget, globus_compute::inference::GlobusTarget, metis::MetisTarget,
    },
    catalog::Served,
    domain::{Echo, Endpoint, EndpointSettings},
};

/// An endpoint, ready to be sent to.
#[derive(Debug)]
pub struct Line {
    served: Arc<Served>,
    /// What its rows are labelled with.
    pub names: Names,
    /// Its metrics.
    pub meters: Arc<EndpointMeters>,
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
    /// The endpoint's own model name.
    model: Arc<str>,
}

impl Names {
    fn of(endpoint: &Endpoint) -> Self {
        Self {
            cluster: endpoint.cluster.as_str().into(),
            framework: endpoint.framework.as_str().into(),
            endpoint: endpoint.slug.as_str().into(),
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
}

impl Lines {
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
        let line = Arc::new(Line::new(served));
        let mut known = self.by_slug.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(served.endpoint.slug.clone(), Arc::clone(&line));
        line
    }
}

impl Lines {
    /// Forgets endpoints that `keep` does not know any more, with their credentials.
    pub fn retain(&self, keep: impl Fn(&str) -> bool) {
        let mut known = self.by_slug.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|slug, _| keep(slug));
    }
}

impl Line {
    fn new(served: &Arc<Served>) -> Self {
        Self {
            served: Arc::clone(served),
            names: Names::of(&served.endpoint),
            meters: EndpointMeters::new(&served.endpoint),
            way: Way::to(served),
        }
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
