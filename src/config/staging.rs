//! `staging`: directories for users on a Globus collection.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{problem::Complaints, secret::Secret, units::HttpUrl};

/// The staging area: a directory for each user on a Globus collection, for data that is to be
/// moved in and out with Globus Transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Staging {
    /// Id of the guest collection. Without it there is no staging area.
    pub collection_id: Option<String>,
    /// Directory on the collection, which must exist, that holds those of the users.
    pub base_path: String,
    /// Client id of the service account that manages the collection's access rules;
    /// when it is not set, `globus_compute.client_id`.
    pub client_id: Option<String>,
    /// The service account's secret.
    pub client_secret: Option<Secret>,
    /// Globus Transfer's address, where it is not `https://transfer.api.globus.org`.
    pub transfer_url: Option<HttpUrl>,
}

impl Default for Staging {
    fn default() -> Self {
        Self {
            collection_id: None,
            base_path: "/user-staging".to_owned(),
            client_id: None,
            client_secret: None,
            transfer_url: None,
        }
    }
}

impl Staging {
    pub(super) fn check(&self, has_compute_account: bool, complaints: &mut Complaints) {
        if self.client_id.is_some() && self.client_secret.is_none() {
            complaints.add("staging.client_id", "needs client_secret beside it");
        }
        if self.client_secret.is_some() && self.client_id.is_none() {
            complaints.add("staging.client_secret", "needs client_id beside it");
        }
        let Some(collection) = &self.collection_id else { return };
        if uuid::Uuid::parse_str(collection).is_err() {
            complaints.add("staging.collection_id", "must be a UUID, as Globus shows it");
        }
        if self.client_id.is_none() && !has_compute_account {
            let message = "needs a service account: staging.client_id and client_secret, or \
                           those of globus_compute";
            complaints.add("staging.collection_id", message);
        }
        if !self.base_path.starts_with('/') || self.base_path.split('/').any(|part| part == "..") {
            complaints.add("staging.base_path", "must begin with a slash and not contain `..`");
        }
    }
}
