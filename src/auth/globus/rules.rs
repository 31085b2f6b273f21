//! Who may come in with a Globus login, as the operator has configured it.

use std::collections::BTreeMap;

use crate::config::GlobusAuth;

/// The operator's rules. An empty list sets no condition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Policies that a session must satisfy, all of them.
    pub policies: Vec<String>,
    /// Domains, one of which the session's identity must have.
    pub domains: Vec<String>,
    /// For a domain, groups of which its users must be in one.
    pub groups_of_domain: BTreeMap<String, Vec<String>>,
    /// Groups of which everybody must be in one.
    pub groups: Vec<String>,
    /// User names of service accounts that need no session.
    pub service_accounts: Vec<String>,
}

impl Rules {
    /// The rules of a configuration, in the spelling in which they are compared.
    #[must_use]
    pub fn new(config: &GlobusAuth) -> Self {
        let lower = |texts: &[String]| texts.iter().map(|text| text.to_ascii_lowercase()).collect();
        let groups_of_domain = &config.authorized_groups_per_idp;
        Self {
            policies: lower(&config.policies),
            domains: lower(&config.authorized_idp_domains),
            groups_of_domain: groups_of_domain
                .iter()
                .map(|(domain, groups)| (domain.to_ascii_lowercase(), lower(groups)))
                .collect(),
            groups: lower(&config.groups),
            service_accounts: config.service_usernames.clone(),
        }
    }

    /// Whether identities of this domain may come in.
    pub(super) fn allow_domain(&self, domain: Option<&str>) -> bool {
        self.domains.is_empty()
            || domain.is_some_and(|own| self.domains.iter().any(|d| d.eq_ignore_ascii_case(own)))
    }

    /// Where to log in, for a sentence such as "log in with …".
    pub(super) fn providers(&self) -> String {
        match self.domains.as_slice() {
            [] => "your institution".to_owned(),
            [only] => only.clone(),
            [first @ .., last] => format!("{} or {last}", first.join(", ")),
        }
    }
}
