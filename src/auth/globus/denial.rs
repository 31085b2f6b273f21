//! Why a Globus login does not open the door, in words that say what to do next.

use crate::globus::auth::Identity;

use super::rules::Rules;

/// What a person can do about most of it.
const LOG_OUT: &str = "Log out at https://app.globus.org/logout";

/// Characters of a person's name or user name that are shown.
const LONGEST_SHOWN: usize = 100;

/// A login that is refused for now or for good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Denial {
    /// Why.
    pub reason: Reason,
    message: String,
}

/// Why a login is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The token is unknown, revoked, expired, or not meant for this gateway.
    Inactive,
    /// The token's time is over.
    Expired,
    /// A service account that is not listed.
    ServiceAccount,
    /// The token comes without a login at an identity provider.
    NoSession,
    /// The person has no identity at a provider that may come in.
    WrongProvider,
    /// The person has one, but has not logged in with it.
    LinkedButNotUsed,
    /// Globus did not say whether a policy is satisfied.
    PolicyMissing,
    /// The session does not satisfy a policy.
    PolicyFailed,
    /// The person's groups cannot be read with this login.
    GroupsRefused,
    /// In none of the groups that users of the identity provider must be in.
    NotInDomainGroup,
    /// In none of the groups that everybody must be in.
    NotInGroup,
    /// The user name cannot be one.
    BadUserName,
}

impl Denial {
    /// Whether logging in anew can help.
    #[must_use]
    pub const fn new_login_helps(&self) -> bool {
        !matches!(self.reason, Reason::NotInDomainGroup | Reason::NotInGroup | Reason::BadUserName)
    }

    pub(super) fn inactive(rules: &Rules) -> Self {
        let providers = rules.providers();
        Self {
            reason: Reason::Inactive,
            message: format!(
                "The access token is not active: it has expired, was revoked, or is not for this \
                 service. Log in again with {providers} and send the new token."
            ),
        }
    }

    pub(super) fn expired(rules: &Rules) -> Self {
        let providers = rules.providers();
        Self {
            reason: Reason::Expired,
            message: format!(
                "The access token has expired. Refresh it, or log in again with {providers}, and \
                 send the new token."
            ),
        }
    }

    pub(super) fn service_account(user: &str, rules: &Rules) -> Self {
        let (user, providers) = (shown(user), rules.providers());
        Self {
            reason: Reason::ServiceAccount,
            message: format!(
                "The service account {user} is not among those that may come in. Log in as a \
                 person with {providers}, or ask the operators of this service to list the account."
            ),
        }
    }

    pub(super) fn no_session(rules: &Rules) -> Self {
        let providers = rules.providers();
        Self {
            reason: Reason::NoSession,
            message: format!(
                "The access token comes without a login at an identity provider. {LOG_OUT}, then \
                 log in again with {providers}."
            ),
        }
    }

    pub(super) fn wrong_provider(used: &[&Identity], rules: &Rules) -> Self {
        let (who, providers) = (people(used), rules.providers());
        Self {
            reason: Reason::WrongProvider,
            message: format!(
                "You are logged in as {who}, but only logins with {providers} may come in. \
                 {LOG_OUT}, then log in again with {providers}."
            ),
        }
    }

    pub(super) fn linked_but_not_used(used: &[&Identity], linked: &Identity) -> Self {
        let (who, linked_user) = (people(used), shown(&linked.username));
        let domain = linked.domain().map_or_else(String::new, shown);
        Self {
            reason: Reason::LinkedButNotUsed,
            message: format!(
                "You are logged in as {who}. {linked_user} is linked to your account and may come \
                 in, but you have not logged in with it this time. {LOG_OUT}, then log in again \
                 with {domain}."
            ),
        }
    }

    pub(super) fn policy_missing(policy: &str, rules: &Rules) -> Self {
        let providers = rules.providers();
        Self {
            reason: Reason::PolicyMissing,
            message: format!(
                "Globus did not say whether your login satisfies the policy {policy}. {LOG_OUT}, \
                 then log in again with {providers}; if that does not help, tell the operators of \
                 this service."
            ),
        }
    }

    pub(super) fn policy_failed(policy: &str, rules: &Rules) -> Self {
        let providers = rules.providers();
        Self {
            reason: Reason::PolicyFailed,
            message: format!(
                "Your login does not satisfy the policy {policy}; most likely it is too long ago. \
                 {LOG_OUT}, then log in again with {providers}."
            ),
        }
    }

    pub(super) fn groups_refused(rules: &Rules) -> Self {
        let providers = rules.providers();
        Self {
            reason: Reason::GroupsRefused,
            message: format!(
                "Globus does not let this service see your group memberships with this token. \
                 {LOG_OUT}, then log in again with {providers} and allow it to view your groups; \
                 if that does not help, tell the operators of this service."
            ),
        }
    }

    pub(super) fn not_in_domain_group(user: &str, domain: &str) -> Self {
        let (user, domain) = (shown(user), shown(domain));
        Self {
            reason: Reason::NotInDomainGroup,
            message: format!(
                "{user} is in none of the Globus groups that users of {domain} must be in. Ask the \
                 operators of this service for membership; it counts within a minute."
            ),
        }
    }

    pub(super) fn not_in_group(user: &str) -> Self {
        let user = shown(user);
        Self {
            reason: Reason::NotInGroup,
            message: format!(
                "{user} is in none of the Globus groups that may use this service. Ask its \
                 operators for membership; it counts within a minute."
            ),
        }
    }

    pub(super) fn bad_user_name(user: &str) -> Self {
        let user = shown(user);
        Self {
            reason: Reason::BadUserName,
            message: format!(
                "The user name '{user}' cannot be used here: it is empty, too long, or has \
                 characters that no user name should have. Ask your identity provider to change it."
            ),
        }
    }
}

fn people(identities: &[&Identity]) -> String {
    let one = |identity: &&Identity| match identity.name.as_str() {
        "" => shown(&identity.username),
        name => format!("{} ({})", shown(name), shown(&identity.username)),
    };
    identities.iter().map(one).collect::<Vec<_>>().join(" and ")
}

/// A name that somebody else made up, safe to be shown in pages, logs and terminals.
pub(super) fn shown(name: &str) -> String {
    let harmless = |c: char| if is_harmless(c) { c } else { '?' };
    name.chars().take(LONGEST_SHOWN).map(harmless).collect()
}

/// Whether the character neither begins a tag, nor controls a terminal, nor changes how the text
/// around it looks.
pub(super) fn is_harmless(c: char) -> bool {
    let is_invisible = matches!(
        c,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    );
    !c.is_control() && !is_invisible && !matches!(c, '<' | '>')
}
