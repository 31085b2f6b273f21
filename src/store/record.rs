//! Catalogue objects as rows: what both databases bind and read.

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::domain::{Adapter, BatchStatus, Cluster, Endpoint, Federation, Maintenance, Policy};

/// A row of `clusters`.
#[derive(Debug)]
pub(super) struct ClusterRecord {
    pub(super) name: String,
    pub(super) adapter: String,
    pub(super) frameworks: Value,
    pub(super) routes: Value,
    pub(super) access: Value,
    pub(super) settings: Value,
    pub(super) maintenance: Option<String>,
    pub(super) maintenance_since: Option<Timestamp>,
}

/// A row of `endpoints`.
#[derive(Debug)]
pub(super) struct EndpointRecord {
    pub(super) slug: String,
    pub(super) cluster: String,
    pub(super) framework: String,
    pub(super) model: String,
    pub(super) adapter: String,
    pub(super) settings: Value,
    pub(super) access: Value,
    pub(super) tpm_model: i64,
    pub(super) tpm_user: i64,
    pub(super) enabled: bool,
}

/// A row of `federations`.
#[derive(Debug)]
pub(super) struct FederationRecord {
    pub(super) model: String,
    pub(super) description: String,
    pub(super) policy: String,
    pub(super) targets: Value,
}

/// Why a row is not what this program would have written.
#[derive(Debug, thiserror::Error)]
#[error("{object} cannot be {action}: {reason}")]
pub(super) struct Unfit {
    object: String,
    action: &'static str,
    reason: String,
}

/// JSON for a column.
pub(super) fn to_json(object: &str, value: &impl Serialize) -> Result<Value, Unfit> {
    serde_json::to_value(value).map_err(|e| Unfit {
        object: object.to_owned(),
        action: "written",
        reason: e.to_string(),
    })
}

/// What a JSON column holds.
pub(super) fn from_json<T: DeserializeOwned>(object: &str, value: Value) -> Result<T, Unfit> {
    serde_json::from_value(value).map_err(|e| unreadable(object, &e))
}

pub(super) fn unreadable(object: &str, reason: &impl ToString) -> Unfit {
    Unfit { object: object.to_owned(), action: "read", reason: reason.to_string() }
}

/// A number as the databases have it; none of ours comes near the limit.
pub(super) fn to_bigint(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn from_bigint(object: &str, value: i64) -> Result<u64, Unfit> {
    u64::try_from(value).map_err(|_| unreadable(object, &"a number is negative"))
}

/// What is read of a batch, in its order; its result is asked for separately.
pub(super) const BATCH_COLUMNS: &str = "id, username, key_id, cluster, framework, endpoint, model, \
     compute_endpoint, input_file, output_folder, task, status, created_at, submit_by, \
     submitted_at, finished_at, error, total_tokens, responses";

pub(super) fn batch_status(object: &str, status: &str) -> Result<BatchStatus, Unfit> {
    status.parse().map_err(|_| unreadable(object, &format!("unknown status `{status}`")))
}

impl ClusterRecord {
    pub(super) fn of(cluster: &Cluster) -> Result<Self, Unfit> {
        let object = format!("cluster `{}`", cluster.name);
        Ok(Self {
            name: cluster.name.clone(),
            adapter: cluster.adapter.to_string(),
            frameworks: to_json(&object, &cluster.frameworks)?,
            routes: to_json(&object, &cluster.routes)?,
            access: to_json(&object, &cluster.access)?,
            settings: to_json(&object, &cluster.settings)?,
            maintenance: cluster.maintenance.as_ref().map(|m| m.notice.clone()),
            maintenance_since: cluster.maintenance.as_ref().map(|m| m.since),
        })
    }

    pub(super) fn into_cluster(self) -> Result<Cluster, Unfit> {
        let object = format!("cluster `{}`", self.name);
        Ok(Cluster {
            adapter: self.adapter.parse::<Adapter>().map_err(|e| unreadable(&object, &e))?,
            frameworks: from_json(&object, self.frameworks)?,
            routes: from_json(&object, self.routes)?,
            access: from_json(&object, self.access)?,
            settings: from_json(&object, self.settings)?,
            maintenance: self
                .maintenance
                .zip(self.maintenance_since)
                .map(|(notice, since)| Maintenance { notice, since }),
            name: self.name,
        })
    }
}

impl EndpointRecord {
    pub(super) fn of(endpoint: &Endpoint) -> Result<Self, Unfit> {
        let object = format!("endpoint `{}`", endpoint.slug);
        let mut settings = to_json(&object, &endpoint.settings)?;
        Ok(Self {
            slug: endpoint.slug.clone(),
            cluster: endpoint.cluster.clone(),
            framework: endpoint.framework.clone(),
            model: endpoint.model.clone(),
            adapter: endpoint.settings.adapter().to_string(),
            settings: settings["settings"].take(),
            access: to_json(&object, &endpoint.access)?,
            tpm_model: to_bigint(endpoint.tpm_model),
            tpm_user: to_bigint(endpoint.tpm_user),
            enabled: endpoint.enabled,
        })
    }

    pub(super) fn into_endpoint(self) -> Result<Endpoint, Unfit> {
        let object = format!("endpoint `{}`", self.slug);
        let settings = json!({ "adapter": self.adapter, "settings": self.settings });
        Ok(Endpoint {
            cluster: self.cluster,
            framework: self.framework,
            model: self.model,
            settings: from_json(&object, settings)?,
            access: from_json(&object, self.access)?,
            tpm_model: from_bigint(&object, self.tpm_model)?,
            tpm_user: from_bigint(&object, self.tpm_user)?,
            enabled: self.enabled,
            slug: self.slug,
        })
    }
}

impl FederationRecord {
    pub(super) fn of(federation: &Federation) -> Result<Self, Unfit> {
        let object = format!("federation `{}`", federation.model);
        Ok(Self {
            model: federation.model.clone(),
            description: federation.description.clone(),
            policy: federation.policy.to_string(),
            targets: to_json(&object, &federation.targets)?,
        })
    }

    pub(super) fn into_federation(self) -> Result<Federation, Unfit> {
        let object = format!("federation `{}`", self.model);
        Ok(Federation {
            description: self.description,
            policy: self.policy.parse::<Policy>().map_err(|e| unreadable(&object, &e))?,
            targets: from_json(&object, self.targets)?,
            model: self.model,
        })
    }
}
