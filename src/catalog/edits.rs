//! Changes to the catalogue, computed from what is stored and what is wanted, then applied whole.

use serde::Serialize;

use super::rules::{After, Fault, Kind};
use crate::{
    domain::{Cluster, Endpoint, Federation},
    store::{CatalogData, CatalogEdit, Store, StoreError},
};

/// How often a change is computed anew because somebody else changed the catalogue meanwhile.
const ATTEMPTS: u32 = 5;

/// Objects of the catalogue, as wanted by a command or a file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Objects {
    /// Clusters.
    pub clusters: Vec<Cluster>,
    /// Endpoints.
    pub endpoints: Vec<Endpoint>,
    /// Federations.
    pub federations: Vec<Federation>,
}

impl From<Cluster> for Objects {
    fn from(cluster: Cluster) -> Self {
        Self { clusters: vec![cluster], ..Self::default() }
    }
}

impl From<Endpoint> for Objects {
    fn from(endpoint: Endpoint) -> Self {
        Self { endpoints: vec![endpoint], ..Self::default() }
    }
}

impl From<Federation> for Objects {
    fn from(federation: Federation) -> Self {
        Self { federations: vec![federation], ..Self::default() }
    }
}

/// What a change does to one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It was not there.
    Created,
    /// It was there and differed.
    Changed,
    /// It was there as wanted.
    Unchanged,
    /// It is gone.
    Removed,
}

impl Action {
    /// The word in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Removed => "removed",
        }
    }
}

/// One line of a change's report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The object's kind.
    pub kind: Kind,
    /// Its name, slug or model.
    pub name: String,
    /// What happens to it.
    pub action: Action,
}

/// A change: what the store is asked to do, and the report of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// For [`Store::edit_catalog`]; empty when nothing is to be done.
    pub edits: Vec<CatalogEdit>,
    /// One per object that was named.
    pub changes: Vec<Change>,
}

impl Plan {
    fn note<T: PartialEq>(&mut self, kind: Kind, name: &str, old: Option<&T>, new: &T) -> bool {
        let action = match old {
            None => Action::Created,
            Some(old) if old == new => Action::Unchanged,
            Some(_) => Action::Changed,
        };
        self.changes.push(Change { kind, name: name.to_owned(), action });
        action != Action::Unchanged
    }
}

/// Creates what is missing and replaces what differs; leaves everything else as it is.
///
/// # Errors
/// All that is wrong with `desired`, in its order.
pub fn put(current: &CatalogData, desired: &Objects) -> Result<Plan, Vec<Fault>> {
    let faults = After::new(current, desired).faults(desired);
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut plan = Plan::default();
    for new in &desired.clusters {
        let old = current.clusters.iter().find(|old| old.name == new.name);
        if plan.note(Kind::Cluster, &new.name, old, new) {
            plan.edits.push(CatalogEdit::PutCluster(new.clone()));
        }
    }
    for new in &desired.endpoints {
        let old = current.endpoints.iter().find(|old| old.slug == new.slug);
        if plan.note(Kind::Endpoint, &new.slug, old, new) {
            plan.edits.push(CatalogEdit::PutEndpoint(new.clone()));
        }
    }
    for new in &desired.federations {
        let old = current.federations.iter().find(|old| old.model == new.model);
        if plan.note(Kind::Federation, &new.model, old, new) {
            plan.edits.push(CatalogEdit::PutFederation(new.clone()));
        }
    }
    Ok(plan)
}

/// Why an object is not removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoveRefusal {
    /// It is not there.
    #[error("there is no {kind} `{name}`")]
    Missing {
        /// The kind asked for.
        kind: Kind,
        /// The name asked for.
        name: String,
    },
    /// Others need it.
    #[error("{kind} `{name}` is still used by {users}; remove or change {them} first", users = dependents.join(", "), them = if dependents.len() == 1 { "that" } else { "those" })]
    Needed {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: String,
        /// What needs it, with its kind.
        dependents: Vec<String>,
    },
}

/// Removes one object that nothing else needs.
///
/// # Errors
/// When it is not there, or others need it.
pub fn remove(current: &CatalogData, kind: Kind, name: &str) -> Result<Plan, RemoveRefusal> {
    let exists = match kind {
        Kind::Cluster => current.clusters.iter().any(|c| c.name == name),
        Kind::Endpoint => current.endpoints.iter().any(|e| e.slug == name),
        Kind::Federation => current.federations.iter().any(|f| f.model == name),
    };
    let name = name.to_owned();
    if !exists {
        return Err(RemoveRefusal::Missing { kind, name });
    }
    let dependents = dependents(current, kind, &name);
    if !dependents.is_empty() {
        return Err(RemoveRefusal::Needed { kind, name, dependents });
    }
    let edit = match kind {
        Kind::Cluster => CatalogEdit::RemoveCluster(name.clone()),
        Kind::Endpoint => CatalogEdit::RemoveEndpoint(name.clone()),
        Kind::Federation => CatalogEdit::RemoveFederation(name.clone()),
    };
    let change = Change { kind, name, action: Action::Removed };
    Ok(Plan { edits: vec![edit], changes: vec![change] })
}

fn dependents(current: &CatalogData, kind: Kind, name: &str) -> Vec<String> {
    match kind {
        Kind::Cluster => current
            .endpoints
            .iter()
            .filter(|endpoint| endpoint.cluster == name)
            .map(|endpoint| format!("endpoint `{}`", endpoint.slug))
            .collect(),
        Kind::Endpoint => current
            .federations
            .iter()
            .filter(|federation| federation.targets.iter().any(|t| t.endpoint == name))
            .map(|federation| format!("federation `{}`", federation.model))
            .collect(),
        Kind::Federation => Vec::new(),
    }
}

/// Computes a change from what is stored and applies it whole. When somebody else was faster, it
/// is computed anew. `plan` hands back the edits with whatever the caller wants to report.
///
/// # Errors
/// Whatever `plan` refuses, or the store's own.
pub async fn apply<R, E: From<StoreError>>(
    store: &dyn Store,
    mut plan: impl FnMut(&CatalogData) -> Result<(Vec<CatalogEdit>, R), E>,
) -> Result<R, E> {
    let mut attempts_left = ATTEMPTS;
    loop {
        attempts_left -= 1;
        let current = store.catalog().await?;
        let (edits, report) = plan(&current)?;
        if edits.is_empty() {
            return Ok(report);
        }
        match store.edit_catalog(current.version, &edits).await {
            Ok(_) => return Ok(report),
            Err(StoreError::Conflict(_)) if attempts_left > 0 => {}
            Err(error) => return Err(error.into()),
        }
    }
}
