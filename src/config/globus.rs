//! `auth.globus` and `globus_compute`: the Globus services.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{problem::Complaints, secret::Secret, units::HttpUrl};

/// Who may come in, besides holders of an API key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Users who log in with Globus.
    pub globus: GlobusAuth,
}

/// Users who log in with Globus.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GlobusAuth {
    /// Client id of the gateway's registration with Globus. Without it, Globus tokens are refused.
    pub application_id: Option<String>,
    /// The registration's secret.
    pub application_secret: Option<Secret>,
    /// Ids of the Globus policies that a session must satisfy.
    pub policies: Vec<String>,
    /// Ids of the Globus groups whose members may use the gateway; empty means no group is asked
    /// for.
    pub groups: Vec<String>,
    /// Domains of the identity providers whose users may come in, such as `anl.gov`.
    pub authorized_idp_domains: Vec<String>,
    /// For a domain, ids of the groups of which its users must be in one.
    pub authorized_groups_per_idp: BTreeMap<String, Vec<String>>,
    /// User names of service accounts that may come in.
    pub service_usernames: Vec<String>,
    /// Globus Auth's address, where it is not `https://auth.globus.org`.
    pub auth_url: Option<HttpUrl>,
    /// Globus Groups' address, where it is not `https://groups.api.globus.org`.
    pub groups_url: Option<HttpUrl>,
}

impl GlobusAuth {
    pub(super) fn check(&self, complaints: &mut Complaints) {
        if self.application_id.is_some() && self.application_secret.is_none() {
            complaints.add("auth.globus.application_id", "needs application_secret beside it");
        }
        if self.application_secret.is_some() && self.application_id.is_none() {
            complaints.add("auth.globus.application_secret", "needs application_id beside it");
        }
    }
}

/// Models that are reached through Globus Compute.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GlobusCompute {
    /// Client id of the service account that submits tasks.
    pub client_id: Option<String>,
    /// The service account's secret.
    pub client_secret: Option<Secret>,
    /// Globus Compute's address, where it is not `https://compute.api.globus.org`.
    pub url: Option<HttpUrl>,
    /// This gateway's address as the compute nodes reach it, for their streamed answers, without a
    /// path. Of several instances each needs one that leads to itself. Without it, endpoints on
    /// Globus Compute answer whole only.
    pub streaming_public_url: Option<HttpUrl>,
    /// Secret that compute nodes show when they send streamed answers; their functions read it from
    /// the environment variable `INTERNAL_STREAMING_SECRET`. At least 16 characters, such as `openssl
    /// rand -hex 32` makes.
    pub streaming_secret: Option<Secret>,
    /// Other service accounts, by the id of the compute endpoint that demands them.
    pub credentials_overrides: BTreeMap<String, Credentials>,
}

/// A service account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// Its client id.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
}

impl GlobusCompute {
    pub(super) fn check(&self, complaints: &mut Complaints) {
        if self.client_id.is_some() && self.client_secret.is_none() {
            complaints.add("globus_compute.client_id", "needs client_secret beside it");
        }
        if self.client_secret.is_some() && self.client_id.is_none() {
            complaints.add("globus_compute.client_secret", "needs client_id beside it");
        }
        self.check_streaming(complaints);
    }

    fn check_streaming(&self, complaints: &mut Complaints) {
        const URL: &str = "globus_compute.streaming_public_url";
        const SECRET: &str = "globus_compute.streaming_secret";
        if let Some(url) = self.streaming_public_url.as_ref().map(HttpUrl::as_url) {
            if self.streaming_secret.is_none() {
                complaints.add(URL, "needs streaming_secret beside it");
            }
            // Functions append their own path to scheme, host and port.
            if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
                complaints.add(URL, "must end with the host or the port: functions add the path");
            }
        }
        if self.streaming_secret.is_some() && self.streaming_public_url.is_none() {
            complaints.add(SECRET, "needs streaming_public_url beside it");
        }
    }
}
