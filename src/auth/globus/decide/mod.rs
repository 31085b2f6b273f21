//! Who a login belongs to, and whether they may come in. Nobody is asked here: it all follows from
//! what Globus has said.
//!
//! The order is FIRST's: active, not expired, listed service account, the session's identity
//! provider, every policy, the groups of the identity provider, the groups of all.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    denial::{Denial, is_harmless, shown},
    rules::Rules,
};
use crate::{
    domain::{Caller, Login},
    globus::{Introspection, auth::Identity},
};

/// No user name is longer, in bytes.
const LONGEST_USER_NAME: usize = 256;

/// The domain of Globus' service accounts.
const SERVICE_ACCOUNTS: &str = "clients.auth.globus.org";

/// Somebody who may come in as far as their groups do not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    user: String,
    name: String,
    login: Login,
}

/// The caller behind a token, if they may come in.
///
/// # Errors
/// The first check that is not passed.
pub fn decide(
    introspection: &Introspection,
    groups: &[String],
    rules: &Rules,
    now: Timestamp,
) -> Result<Caller, Denial> {
    admit(identify(introspection, rules, now)?, groups, rules)
}

/// All checks that can be made without knowing the person's groups.
///
/// # Errors
/// The first check that is not passed.
pub fn identify(
    introspection: &Introspection,
    rules: &Rules,
    now: Timestamp,
) -> Result<Person, Denial> {
    if !introspection.active {
        return Err(Denial::inactive(rules));
    }
    if introspection.exp <= now.as_second() {
        return Err(Denial::expired(rules));
    }
    if let Some(account) = listed_service_account(introspection, rules) {
        return Ok(account);
    }
    if introspection.username.ends_with(SERVICE_ACCOUNTS) {
        return Err(Denial::service_account(&introspection.username, rules));
    }
    let identity = session_identity(introspection, rules)?;
    check_policies(introspection, rules)?;
    if !is_user_name(&identity.username) {
        return Err(Denial::bad_user_name(&identity.username));
    }
    Ok(Person {
        user: identity.username.clone(),
        name: shown(&identity.name),
        login: Login {
            id: identity.id().to_owned(),
            provider_id: identity.identity_provider.clone(),
            provider_name: shown(&identity.identity_provider_display_name),
        },
    })
}

/// The checks of a person's groups.
///
/// # Errors
/// The first check that is not passed.
pub fn admit(person: Person, groups: &[String], rules: &Rules) -> Result<Caller, Denial> {
    let groups: Arc<[String]> = groups.iter().map(|group| group.to_ascii_lowercase()).collect();
    let in_one_of = |wanted: &[String]| wanted.iter().any(|group| groups.contains(group));
    let domain = person.user.rsplit_once('@').map_or("", |(_, domain)| domain);
    if let Some(wanted) = rules.groups_of_domain.get(&domain.to_ascii_lowercase())
        && !in_one_of(wanted)
    {
        return Err(Denial::not_in_domain_group(&person.user, domain));
    }
    if !rules.groups.is_empty() && !in_one_of(&rules.groups) {
        return Err(Denial::not_in_group(&person.user));
    }
    Ok(Caller {
        user: person.user.into(),
        name: person.name.into(),
        groups,
        models: Arc::new([]),
        key_id: None,
        login: Some(Arc::new(person.login)),
    })
}

/// A service account has no session, so it must be listed by its user name.
fn listed_service_account(introspection: &Introspection, rules: &Rules) -> Option<Person> {
    let user = introspection.username.as_str();
    if !rules.service_accounts.iter().any(|listed| listed == user) || !is_user_name(user) {
        return None;
    }
    let (_, domain) = user.rsplit_once('@')?;
    let id =
        [&introspection.client_id, &introspection.sub].into_iter().find(|id| !id.is_empty())?;
    let name = if introspection.name.is_empty() { user } else { &introspection.name };
    Some(Person {
        user: user.to_owned(),
        name: shown(name),
        login: Login {
            id: id.clone(),
            provider_id: domain.to_owned(),
            provider_name: shown(introspection.iss.trim_end_matches('/')),
        },
    })
}

/// The first identity of an allowed domain with which the person has logged in. Identities that are
/// linked to the account only do not count.
fn session_identity<'a>(
    introspection: &'a Introspection,
    rules: &Rules,
) -> Result<&'a Identity, Denial> {
    let identities = &introspection.identity_set_detail;
    let of_login = |(id, provider): (&str, &str)| {
        let mut of_provider = identities.iter().filter(|one| one.identity_provider == provider);
        of_provider.clone().find(|one| one.id() == id).or_else(|| of_provider.next())
    };
    let used: Vec<&Identity> =
        introspection.session_info.authentications().filter_map(of_login).collect();
    let allowed = |identity: &Identity| rules.allow_domain(identity.domain());
    if let Some(identity) = used.iter().find(|identity| allowed(identity)) {
        return Ok(identity);
    }
    Err(if used.is_empty() {
        Denial::no_session(rules)
    } else if let Some(linked) = identities.iter().find(|identity| allowed(identity)) {
        Denial::linked_but_not_used(&used, linked)
    } else {
        Denial::wrong_provider(&used, rules)
    })
}

/// Globus evaluates the policies that it was asked about; each must be there and satisfied.
fn check_policies(introspection: &Introspection, rules: &Rules) -> Result<(), Denial> {
    for policy in &rules.policies {
        let mut evaluations = introspection.policy_evaluations.iter();
        match evaluations.find(|(id, _)| id.eq_ignore_ascii_case(policy)) {
            None => return Err(Denial::policy_missing(policy, rules)),
            Some((_, found)) if !found.evaluation => {
                return Err(Denial::policy_failed(policy, rules));
            }
            Some(_) => {}
        }
    }
    // One that nobody asked about is none of ours, but a failure is no reason to let anybody in.
    match introspection.policy_evaluations.iter().find(|(_, found)| !found.evaluation) {
        Some((policy, _)) if !rules.policies.is_empty() => {
            Err(Denial::policy_failed(policy, rules))
        }
        _ => Ok(()),
    }
}

/// User names end in rows, logs and pages. A second `@` would make the domain ambiguous.
fn is_user_name(name: &str) -> bool {
    (1..=LONGEST_USER_NAME).contains(&name.len())
        && name.matches('@').count() <= 1
        && name.chars().all(|c| is_harmless(c) && !c.is_whitespace())
}

#[cfg(test)]
mod tests;
