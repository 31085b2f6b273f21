//! `auth.globus` and `globus_compute`: the Globus services.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    problem::Complaints,
    secret::Secret,
    units::{DurationForm, HttpUrl},
};
use crate::domain::human::duration;

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
    /// Ids of the Globus policies that a session must satisfy, all of them; empty means no policy is
    /// asked for. Each should be a high-assurance policy that allows just `authorized_idp_domains`:
    /// `serve` and `doctor` check that.
    pub policies: Vec<String>,
    /// Ids of the Globus groups whose members may use the gateway; empty means no group is asked
    /// for.
    pub groups: Vec<String>,
    /// Domains of the identity providers whose users may come in, such as `anl.gov`. Empty means
    /// that every domain may: then only `policies` and groups stand between the gateway and
    /// everybody who has a Globus account.
    pub authorized_idp_domains: Vec<String>,
    /// For a domain, ids of the groups of which its users must be in one; domains that are not
    /// listed need none.
    pub authorized_groups_per_idp: BTreeMap<String, Vec<String>>,
    /// User names of service accounts that may come in, such as
    /// `CLIENT_ID@clients.auth.globus.org`. They need no session and no policy, but the groups all
    /// the same.
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
        check_ids("auth.globus.policies", &self.policies, complaints);
        check_ids("auth.globus.groups", &self.groups, complaints);
        for (index, domain) in self.authorized_idp_domains.iter().enumerate() {
            check_domain(
                &format!("auth.globus.authorized_idp_domains[{index}]"),
                domain,
                complaints,
            );
        }
        for (domain, groups) in &self.authorized_groups_per_idp {
            let key = format!("auth.globus.authorized_groups_per_idp.{domain}");
            check_domain(&key, domain, complaints);
            if groups.is_empty() {
                complaints.add(&key, "must list at least one group; without it nobody gets in");
            }
            check_ids(&key, groups, complaints);
        }
        for (index, user) in self.service_usernames.iter().enumerate() {
            if user
                .split_once('@')
                .is_none_or(|(name, domain)| name.is_empty() || domain.is_empty())
            {
                complaints.add(
                    &format!("auth.globus.service_usernames[{index}]"),
                    "must be a user name such as CLIENT_ID@clients.auth.globus.org",
                );
            }
        }
    }

    /// Whether everybody with a Globus account may come in.
    #[must_use]
    pub fn is_open_to_all(&self) -> bool {
        self.policies.is_empty() && self.groups.is_empty() && self.authorized_idp_domains.is_empty()
    }
}

fn check_ids(key: &str, ids: &[String], complaints: &mut Complaints) {
    for (index, id) in ids.iter().enumerate() {
        // Globus writes them with hyphens, and that is how they are compared.
        if id.len() != 36 || Uuid::try_parse(id).is_err() {
            complaints.add(
                &format!("{key}[{index}]"),
                "must be an id such as 123e4567-e89b-12d3-a456-426614174000",
            );
        }
    }
}

fn check_domain(key: &str, domain: &str, complaints: &mut Complaints) {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let edges = domain.starts_with(['.', '-']) || domain.ends_with(['.', '-']);
    if domain.is_empty() || edges || !domain.chars().all(is_name) {
        complaints.add(key, "must be a domain such as anl.gov, without '@'");
    }
}

/// What Globus' documentation allows one client in ten seconds.
const DOCUMENTED_LIMIT: u32 = 20;

/// Shortest and longest time for which tasks are gathered.
const GATHERING: RangeInclusive<Duration> = Duration::from_millis(5)..=Duration::from_millis(20);

/// Models that are reached through Globus Compute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GlobusCompute {
    /// Client id of the service account that submits tasks.
    pub client_id: Option<String>,
    /// The service account's secret.
    pub client_secret: Option<Secret>,
    /// Globus Compute's address, where it is not `https://compute.api.globus.org`.
    pub url: Option<HttpUrl>,
    /// This gateway's address as the compute nodes reach it, for their streamed answers, without a
    /// path. Of several instances each needs one that leads to itself, unless they share
    /// `cache.redis_url`: then it may lead to any of them. Without it, endpoints on Globus Compute
    /// answer whole only.
    pub streaming_public_url: Option<HttpUrl>,
    /// Secret that compute nodes show when they send streamed answers; their functions read it from
    /// the environment variable `INTERNAL_STREAMING_SECRET`. At least 16 characters, such as `openssl
    /// rand -hex 32` makes. Instances pass streams on to each other under it: all need the same.
    pub streaming_secret: Option<Secret>,
    /// Other service accounts, by the id of the compute endpoint that demands them.
    pub credentials_overrides: BTreeMap<String, Credentials>,
    /// How results come: `amqp` has Globus' broker deliver them and asks for them only while it
    /// cannot be reached; `poll` always asks, which takes about half a second longer.
    pub results: ResultsBy,
    /// How long tasks for one endpoint are gathered into one request to Globus at most, `5ms` to `20ms`.
    /// When none has come for 5 ms, no more is waited for.
    #[serde(with = "duration")]
    #[schemars(with = "DurationForm")]
    pub coalesce: Duration,
    /// Requests that Globus allows one service account in ten seconds. What comes faster is gathered
    /// for longer than `coalesce`: at 50 requests a second and a limit of 20, each waits about a third
    /// of a second. Several instances with the same account have to share: give each its part.
    #[schemars(range(min = 5, max = 100_000))]
    pub requests_per_ten_seconds: u32,
}

impl Default for GlobusCompute {
    fn default() -> Self {
        Self {
            client_id: None,
            client_secret: None,
            url: None,
            streaming_public_url: None,
            streaming_secret: None,
            credentials_overrides: BTreeMap::new(),
            results: ResultsBy::default(),
            coalesce: Duration::from_millis(10),
            requests_per_ten_seconds: DOCUMENTED_LIMIT,
        }
    }
}

/// How results of tasks come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ResultsBy {
    /// Globus' broker delivers them.
    #[default]
    Amqp,
    /// figw asks for them.
    Poll,
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
        if !GATHERING.contains(&self.coalesce) {
            complaints.add("globus_compute.coalesce", "must be between 5ms and 20ms");
        }
        for endpoint in self.credentials_overrides.keys() {
            if endpoint.parse::<Uuid>().is_err() {
                complaints.add(
                    &format!("globus_compute.credentials_overrides.{endpoint}"),
                    "must be the UUID of a compute endpoint",
                );
            }
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
