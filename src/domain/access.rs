//! Who is calling, and who may use what.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A caller whose credentials were accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The user the request is accounted to, usually an address such as `ada@anl.gov`.
    pub user: Arc<str>,
    /// The person's or service's display name.
    pub name: Arc<str>,
    /// Groups the caller belongs to, by id or name as the catalogue writes them.
    pub groups: Arc<[String]>,
    /// Models the caller is confined to; empty means no such limit.
    pub models: Arc<[String]>,
    /// The API key used, when it was one.
    pub key_id: Option<Uuid>,
    /// The Globus login used, when it was one.
    pub login: Option<Arc<Login>>,
}

/// The identity behind a Globus login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The identity's id.
    pub id: String,
    /// The id of its identity provider; a service account's domain.
    pub provider_id: String,
    /// What its identity provider is called; who issued a service account's token.
    pub provider_name: String,
}

impl Caller {
    /// The domain of the user's address (`anl.gov` of `ada@anl.gov`), if it has one.
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        self.user.rsplit_once('@').map(|(_, domain)| domain)
    }

    /// Whether the caller's credentials allow asking for `model` at all.
    #[must_use]
    pub fn may_ask_for(&self, model: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|allowed| allowed == model)
    }
}

/// Who may use a cluster or an endpoint. An empty list sets no condition; both conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessPolicy {
    /// The caller must be in one of these groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The caller's address must end in one of these domains (compared without case).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
}

impl AccessPolicy {
    /// Whether nothing is asked of a caller beyond being known.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.groups.is_empty() && self.domains.is_empty()
    }

    /// Whether `caller` meets both conditions.
    #[must_use]
    pub fn permits(&self, caller: &Caller) -> bool {
        let group = self.groups.is_empty() || self.groups.iter().any(|g| caller.groups.contains(g));
        let domain = self.domains.is_empty()
            || caller
                .domain()
                .is_some_and(|own| self.domains.iter().any(|d| d.eq_ignore_ascii_case(own)));
        group && domain
    }
}
