//! Checks of logins with Globus. `serve` makes the definite ones of them at its start.

use super::{Finding, Outcome, Subject};
use crate::{
    auth::globus::Services,
    config::GlobusAuth,
    globus::{GlobusError, auth::Policy},
    ops::globus,
};

const NOT_CONFIGURED: &str = "auth.globus.application_id is not set: no logins with Globus";

/// Whether anything stands between the gateway and everybody with a Globus account.
pub(super) fn openness(subject: &Subject) -> Finding {
    let config = &subject.config().auth.globus;
    if config.application_id.is_none() {
        return Finding::not_applicable(NOT_CONFIGURED);
    }
    if config.is_open_to_all() {
        return Finding::warn(
            "everybody with a Globus account may come in",
            "set auth.globus.authorized_idp_domains, policies or groups",
        );
    }
    Finding::pass(format!(
        "logins are confined by {} domains, {} policies and {} groups",
        config.authorized_idp_domains.len(),
        config.policies.len(),
        config.groups.len()
    ))
}

/// Whether Globus Auth accepts the gateway's own id and secret.
pub(super) async fn credentials(subject: &Subject) -> Finding {
    with_services(subject, async |services, _| check_credentials(services).await).await
}

/// Whether each policy exists, is high-assurance, and allows the configured domains.
pub(super) async fn policies(subject: &Subject) -> Finding {
    with_services(subject, async |services, config| check_policies(services, config).await).await
}

/// Whether Globus Groups can be reached.
pub(super) async fn groups(subject: &Subject) -> Finding {
    with_services(subject, async |services, _| match services.groups.check_reachable().await {
        Ok(()) => Finding::pass("Globus Groups answers"),
        Err(error) => could_not_look(&error),
    })
    .await
}

/// What `serve` looks at before it lets anybody in: credentials and policies.
pub async fn check_logins(services: &Services, config: &GlobusAuth) -> Finding {
    let credentials = check_credentials(services).await;
    match credentials.outcome {
        Outcome::Pass => check_policies(services, config).await,
        _ => credentials,
    }
}

async fn with_services(
    subject: &Subject,
    check: impl AsyncFnOnce(&Services, &GlobusAuth) -> Finding,
) -> Finding {
    let config = &subject.config().auth.globus;
    match globus::services(config) {
        Ok(Some((services, _))) => check(&services, config).await,
        Ok(None) => Finding::not_applicable(NOT_CONFIGURED),
        Err(error) => Finding::fail(format!("{error:#}"), "make the secret readable for figw"),
    }
}

async fn check_credentials(services: &Services) -> Finding {
    match services.auth.check_credentials().await {
        Ok(()) => Finding::pass("Globus Auth accepts the registration's id and secret"),
        Err(error) if error.refused_with() == Some(http::StatusCode::UNAUTHORIZED) => {
            Finding::fail(
                error.to_string(),
                "correct auth.globus.application_id and application_secret; secrets are made at \
                 https://app.globus.org/settings/developers",
            )
        }
        Err(error) => could_not_look(&error),
    }
}

async fn check_policies(services: &Services, config: &GlobusAuth) -> Finding {
    if config.policies.is_empty() {
        return Finding::not_applicable("auth.globus.policies is empty: no policy is asked for");
    }
    for id in &config.policies {
        let finding = match services.auth.policy(id).await {
            Ok(policy) => judged(id, &policy, &config.authorized_idp_domains),
            Err(error) if error.refused_with() == Some(http::StatusCode::NOT_FOUND) => {
                Finding::fail(
                    format!("Globus Auth knows no policy {id}"),
                    "correct auth.globus.policies",
                )
            }
            Err(error) => could_not_look(&error),
        };
        if finding.outcome != Outcome::Pass {
            return finding;
        }
    }
    Finding::pass(format!(
        "{} exist, are high-assurance, and allow the configured domains",
        config.policies.join(", ")
    ))
}

fn judged(id: &str, policy: &Policy, domains: &[String]) -> Finding {
    let named = format!("policy {id} ({})", policy.display_name);
    if !policy.high_assurance {
        return Finding::fail(
            format!("{named} is not a high-assurance policy"),
            "make it one, or put another into auth.globus.policies",
        );
    }
    let allowed = in_order(&policy.domain_constraints_include);
    if allowed != in_order(domains) {
        return Finding::fail(
            format!(
                "{named} allows {}, but auth.globus.authorized_idp_domains has {}",
                listed(&allowed),
                listed(&in_order(domains))
            ),
            "make the two lists the same",
        );
    }
    Finding::pass(named)
}

fn in_order(domains: &[String]) -> Vec<String> {
    let mut domains: Vec<_> = domains.iter().map(|domain| domain.to_ascii_lowercase()).collect();
    domains.sort_unstable();
    domains.dedup();
    domains
}

fn listed(domains: &[String]) -> String {
    if domains.is_empty() { "any domain".to_owned() } else { domains.join(", ") }
}

/// Globus being away says nothing about the configuration.
pub(super) fn could_not_look(error: &GlobusError) -> Finding {
    Finding::warn(
        error.to_string(),
        "see that Globus can be reached from here (https://status.globus.org), then look again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_must_be_high_assurance_and_allow_exactly_the_configured_domains() {
        let policy = |high_assurance, domains: &[&str]| Policy {
            display_name: "P".to_owned(),
            high_assurance,
            domain_constraints_include: domains.iter().map(|d| (*d).to_owned()).collect(),
        };
        let domains = ["anl.gov".to_owned(), "uchicago.edu".to_owned()];
        for (policy, outcome, word) in [
            (policy(true, &["uchicago.edu", "ANL.gov"]), Outcome::Pass, "policy p (P)"),
            (policy(false, &["uchicago.edu", "anl.gov"]), Outcome::Fail, "not a high-assurance"),
            (policy(true, &["anl.gov"]), Outcome::Fail, "allows anl.gov, but"),
            (policy(true, &[]), Outcome::Fail, "allows any domain, but"),
        ] {
            let finding = judged("p", &policy, &domains);
            assert_eq!(finding.outcome, outcome, "{finding:?}");
            assert!(finding.evidence.contains(word), "{finding:?}");
        }
    }
}
