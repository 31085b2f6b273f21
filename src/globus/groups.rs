//! Globus Groups: which groups a person is in.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{GlobusError, Service};

/// Globus Groups, where it is not configured otherwise.
pub const ADDRESS: &str = "https://groups.api.globus.org";

/// The scope of a token that may list its owner's groups.
pub const SCOPE: &str =
    "urn:globus:auth:scope:groups.api.globus.org:view_my_groups_and_memberships";

/// What Globus Auth calls Groups in answers to token requests.
pub const RESOURCE_SERVER: &str = "groups.api.globus.org";

/// Globus Groups.
#[derive(Debug, Clone)]
pub struct GroupsClient {
    service: Service,
}

/// A group of the list, as far as it matters here (Globus' protocol notes, 2).
#[derive(Deserialize)]
struct Group {
    id: String,
    my_memberships: Option<Vec<Membership>>,
}

#[derive(Deserialize)]
struct Membership {
    status: Option<String>,
}

impl Group {
    /// Being invited, or having been removed, is no membership. Where the answer does not tell, the
    /// group is one of "my groups" all the same.
    fn is_joined(&self) -> bool {
        let Some(memberships) = self.my_memberships.as_ref().filter(|all| !all.is_empty()) else {
            return true;
        };
        memberships.iter().any(|one| one.status.as_deref().is_none_or(|status| status == "active"))
    }
}

impl GroupsClient {
    /// Globus Groups as `service`.
    #[must_use]
    pub const fn new(service: Service) -> Self {
        Self { service }
    }

    /// Ids of the groups in which one of `token`'s owner's identities is an active member.
    ///
    /// # Errors
    /// As the service has it.
    pub async fn my_groups(&self, token: &SecretString) -> Result<Vec<String>, GlobusError> {
        let request = self.my_groups_request().bearer_auth(token.expose_secret());
        let groups: Vec<Group> = self.service.send(request).await?;
        Ok(groups.into_iter().filter(Group::is_joined).map(|group| group.id).collect())
    }

    /// Asks without a token: a refusal shows that the service is there.
    ///
    /// # Errors
    /// When it does not answer as it should.
    pub async fn check_reachable(&self) -> Result<(), GlobusError> {
        match self.service.send::<serde_json::Value>(self.my_groups_request()).await {
            Ok(_) | Err(GlobusError::Refused { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn my_groups_request(&self) -> reqwest::RequestBuilder {
        self.service.get("/v2/groups/my_groups")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_active_memberships_count_unless_the_answer_does_not_tell() {
        for (memberships, joined) in [
            (r#"[{"status": "active"}]"#, true),
            (r#"[{"status": "invited"}, {"status": "active"}]"#, true),
            (r#"[{"status": "invited"}]"#, false),
            (r#"[{"status": "removed"}, {"status": "pending"}]"#, false),
            (r"[{}]", true),
            ("[]", true),
            ("null", true),
        ] {
            let text = format!(r#"{{"id": "g", "name": "x", "my_memberships": {memberships}}}"#);
            let group: Group = serde_json::from_str(&text).unwrap();
            assert_eq!(group.is_joined(), joined, "{memberships}");
        }
        assert!(serde_json::from_str::<Group>(r#"{"id": "g"}"#).unwrap().is_joined());
    }
}
