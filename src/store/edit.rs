//! What an edit of the catalogue must leave behind, whichever database keeps it.

use std::collections::{BTreeMap, BTreeSet};

use super::{CatalogEdit, StoreError};

/// The catalogue's names and what they refer to.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    pub(super) clusters: BTreeSet<String>,
    /// Slug to cluster.
    pub(super) endpoints: BTreeMap<String, String>,
    /// Model to the slugs of its targets.
    pub(super) federations: BTreeMap<String, Vec<String>>,
}

impl Names {
    /// Checks that every removal finds its object and that nothing refers to what is not there
    /// once all edits are done.
    pub(super) fn check(mut self, edits: &[CatalogEdit]) -> Result<(), StoreError> {
        for edit in edits {
            self.follow(edit)?;
        }
        self.endpoints_have_clusters()?;
        self.targets_have_endpoints()
    }

    fn follow(&mut self, edit: &CatalogEdit) -> Result<(), StoreError> {
        let found = match edit {
            CatalogEdit::PutCluster(cluster) => {
                self.clusters.insert(cluster.name.clone());
                true
            }
            CatalogEdit::PutEndpoint(endpoint) => {
                self.endpoints.insert(endpoint.slug.clone(), endpoint.cluster.clone());
                true
            }
            CatalogEdit::PutFederation(federation) => {
                let targets = federation.targets.iter().map(|t| t.endpoint.clone()).collect();
                self.federations.insert(federation.model.clone(), targets);
                true
            }
            CatalogEdit::RemoveCluster(name) => self.clusters.remove(name),
            CatalogEdit::RemoveEndpoint(slug) => self.endpoints.remove(slug).is_some(),
            CatalogEdit::RemoveFederation(model) => self.federations.remove(model).is_some(),
        };
        if found { Ok(()) } else { Err(missing(edit)) }
    }

    fn endpoints_have_clusters(&self) -> Result<(), StoreError> {
        let mut orphans: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (slug, cluster) in &self.endpoints {
            if !self.clusters.contains(cluster) {
                orphans.entry(cluster).or_default().push(slug);
            }
        }
        let Some((cluster, slugs)) = orphans.pop_first() else { return Ok(()) };
        Err(StoreError::Conflict(format!(
            "cluster `{cluster}` must exist for its endpoints: {}",
            quoted(&slugs)
        )))
    }

    fn targets_have_endpoints(&self) -> Result<(), StoreError> {
        let mut orphans: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (model, targets) in &self.federations {
            for slug in targets {
                if !self.endpoints.contains_key(slug) {
                    orphans.entry(slug).or_default().push(model);
                }
            }
        }
        let Some((slug, models)) = orphans.pop_first() else { return Ok(()) };
        Err(StoreError::Conflict(format!(
            "endpoint `{slug}` must exist for the federations that target it: {}",
            quoted(&models)
        )))
    }
}

fn missing(edit: &CatalogEdit) -> StoreError {
    StoreError::Conflict(match edit {
        CatalogEdit::RemoveCluster(name) => format!("there is no cluster `{name}`"),
        CatalogEdit::RemoveEndpoint(slug) => format!("there is no endpoint `{slug}`"),
        CatalogEdit::RemoveFederation(model) => format!("there is no federation `{model}`"),
        _ => "there is nothing to replace".to_owned(),
    })
}

/// The first names, quoted; a message is one line.
fn quoted(names: &[&str]) -> String {
    const SHOWN: usize = 10;
    let mut text: Vec<String> = names.iter().take(SHOWN).map(|n| format!("`{n}`")).collect();
    if names.len() > SHOWN {
        text.push(format!("and {} more", names.len() - SHOWN));
    }
    text.join(", ")
}

/// The catalogue is not where the editor thought.
pub(super) fn changed_meanwhile(base: i64, current: i64) -> StoreError {
    StoreError::Conflict(format!(
        "the catalogue was changed meanwhile (version {current}, expected {base}); try again"
    ))
}
