//! `dashboard`: the pages at `/dashboard`.

use std::time::Duration;

use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::{
    problem::Complaints,
    secret::Secret,
    units::{HttpUrl, PositiveDurationForm},
};
use crate::domain::human::duration;

/// The pages at `/dashboard`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Dashboard {
    /// Whether there is a dashboard at all.
    pub enabled: bool,
    /// The address under which browsers reach the gateway, such as `https://gateway.example.org`. Logins
    /// with Globus need it: register `PUBLIC_URL/dashboard/login/callback` as a redirect URL of
    /// `auth.globus.application_id`.
    pub public_url: Option<HttpUrl>,
    /// Groups whose members see everybody's usage: ids of Globus groups, or groups of API keys.
    pub admin_groups: Vec<String>,
    /// Secret under which sessions are encrypted, at least 32 characters, the same for all instances.
    /// Without one, each process makes its own: a session then ends when its process does, and
    /// another instance does not know it. Set `cache.redis_url`, too: without Redis, only the instance
    /// that somebody logged out of knows that a copied cookie counts no more, and only until it ends.
    pub session_secret: Option<Secret>,
    /// Longest time that a login lasts.
    #[serde(with = "duration")]
    #[schemars(with = "PositiveDurationForm")]
    pub session_lifetime: Duration,
    /// How long a login lasts without a page being opened. Pages that refresh themselves do not count.
    #[serde(with = "duration")]
    #[schemars(with = "PositiveDurationForm")]
    pub session_idle: Duration,
}

impl Default for Dashboard {
    fn default() -> Self {
        Self {
            enabled: true,
            public_url: None,
            admin_groups: Vec::new(),
            session_secret: None,
            session_lifetime: Duration::from_hours(12),
            session_idle: Duration::from_hours(1),
        }
    }
}

/// The shortest session secret that is taken, in characters.
const SHORTEST_SECRET: usize = 32;

impl Dashboard {
    /// What is wrong with a session secret.
    #[must_use]
    pub fn complain_of(secret: &SecretString) -> Option<String> {
        (secret.expose_secret().len() < SHORTEST_SECRET).then(|| {
            format!(
                "has fewer than {SHORTEST_SECRET} characters; make one with `openssl rand -hex 32`"
            )
        })
    }

    pub(super) fn check(&self, complaints: &mut Complaints) {
        let Some(url) = &self.public_url else { return };
        if url.as_url().path() != "/" || url.as_url().query().is_some() {
            complaints.add("dashboard.public_url", "must be without a path or query");
        }
    }
}
