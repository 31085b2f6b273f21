//! `login`: where `figw login` logs a person in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::Complaints;

/// Where `figw login` logs a person in, and for which gateway. A person without this file gives
/// the same as options. Those of Argonne's gateway, as an example: client
/// `58fdd3bc-e1c3-4ce5-80ea-8d6b87cfb944`, gateway `681c10cc-f684-4540-bcd7-0b4df3bc26ef`, policy
/// `83732ff2-9c42-4548-b5ce-17e498c84f6a`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Login {
    /// Client id of the native application that is registered with Globus for logins from the
    /// terminal.
    pub client_id: Option<String>,
    /// Client id of the gateway that the login is for; when it is not set,
    /// `auth.globus.application_id`.
    pub gateway_id: Option<String>,
    /// Ids of the Globus policies that the login must satisfy; empty means those of
    /// `auth.globus.policies`.
    pub policies: Vec<String>,
    /// Domains of identity providers, of which the login must be with one. Empty means those of
    /// `auth.globus.authorized_idp_domains` if there is no policy.
    pub domains: Vec<String>,
    /// The application's name, which tells its token file from others of the same client;
    /// `inference_app`, as in FIRST's own helper, when it is not set.
    pub app_name: Option<String>,
}

impl Login {
    pub(super) fn check(&self, complaints: &mut Complaints) {
        for (key, id) in [("client_id", &self.client_id), ("gateway_id", &self.gateway_id)] {
            if id.as_ref().is_some_and(|id| uuid::Uuid::parse_str(id).is_err()) {
                complaints.add(&format!("login.{key}"), "must be a UUID, as Globus shows it");
            }
        }
    }
}
