//! What Globus has said about a token: asked for here, judged in [`super::decide`].

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{
    decide::{admit, identify},
    denial::Denial,
    rules::Rules,
};
use crate::{
    domain::Caller,
    globus::{AuthClient, GlobusError, GroupsClient, Introspection, groups},
};

/// Everything that Globus has said about a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Facts {
    pub(super) introspection: Introspection,
    groups: Groups,
}

/// What is known about a person's groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Groups {
    /// They would change nothing.
    NotAsked,
    /// Globus does not tell.
    Refused,
    Of(Vec<String>),
}

impl Facts {
    /// Whether the token opens the door; `None` when more would have to be known.
    pub(super) fn decide(&self, rules: &Rules, now: Timestamp) -> Option<Result<Caller, Denial>> {
        let person = match identify(&self.introspection, rules, now) {
            Ok(person) => person,
            Err(denial) => return Some(Err(denial)),
        };
        match &self.groups {
            Groups::NotAsked => None,
            Groups::Refused => Some(Err(Denial::groups_refused(rules))),
            Groups::Of(groups) => Some(admit(person, groups, rules)),
        }
    }

    /// The end of the token's life, as far as it can be told.
    pub(super) fn ends(&self) -> Timestamp {
        Timestamp::from_second(self.introspection.exp).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// The services that are asked.
#[derive(Debug, Clone)]
pub struct Services {
    /// Globus Auth.
    pub auth: AuthClient,
    /// Globus Groups.
    pub groups: GroupsClient,
}

impl Services {
    /// Asks Globus Auth about `token`, and Globus Groups for its owner's groups, unless the token
    /// is refused whatever those are. The groups are always asked for, because the catalogue's
    /// conditions may name any of them.
    pub(super) async fn ask(
        &self,
        token: &SecretString,
        rules: &Rules,
    ) -> Result<Facts, GlobusError> {
        let introspection = match self.auth.introspect(token, &rules.policies).await {
            // Globus Auth does not take the text for a token at all.
            Err(error) if error.refused_with() == Some(http::StatusCode::BAD_REQUEST) => {
                tracing::debug!(%error, "a token was not introspected");
                Introspection::default()
            }
            introspection => introspection?,
        };
        let groups = match identify(&introspection, rules, Timestamp::now()) {
            Ok(_) => self.groups(token).await?,
            Err(_) => Groups::NotAsked,
        };
        Ok(Facts { introspection, groups })
    }

    async fn groups(&self, token: &SecretString) -> Result<Groups, GlobusError> {
        let asked = async {
            let auth = &self.auth;
            let token = auth.dependent_token(token, groups::SCOPE, groups::RESOURCE_SERVER).await?;
            self.groups.my_groups(&token).await
        };
        match asked.await {
            Ok(groups) => Ok(Groups::Of(groups)),
            // The gateway's own credentials have just been accepted: this is about the token.
            Err(error) if error.refused_with().is_some() => {
                tracing::warn!(%error, "a caller's groups cannot be read");
                Ok(Groups::Refused)
            }
            Err(error) => Err(error),
        }
    }
}
