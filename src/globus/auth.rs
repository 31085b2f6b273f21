//! Globus Auth: whose token it is, tokens for other services on a person's behalf, policies.
//!
//! The forms of requests and answers are those of Globus' protocol notes, 1.1 to 1.6.

use std::collections::BTreeMap;

use reqwest::RequestBuilder;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    GlobusError, Service, ServiceAccount, Tokens,
    lenient::{or_empty, seconds},
};

/// Globus Auth, where it is not configured otherwise.
pub const ADDRESS: &str = "https://auth.globus.org";

/// What an introspection tells beyond the token itself.
const INCLUDED: &str = "session_info,identity_set_detail";

/// The scope with which the gateway reads policies.
const OWN_SCOPE: &str = "openid profile email";

/// What Globus Auth calls itself in answers to token requests.
const OWN_NAME: &str = "auth.globus.org";

/// Globus Auth, asked in the name of the gateway's own registration.
#[derive(Debug, Clone)]
pub struct AuthClient {
    service: Service,
    account: ServiceAccount,
    own_tokens: Tokens,
}

/// What Globus Auth knows about a token. Keys that are missing or null read as empty: nothing is
/// ever granted for what is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Introspection {
    /// Whether the token is good for anything at all.
    pub active: bool,
    /// The end of its life, in seconds since 1970.
    #[serde(deserialize_with = "seconds")]
    pub exp: i64,
    /// The client that the token was issued to.
    #[serde(deserialize_with = "or_empty")]
    pub client_id: String,
    /// The primary identity.
    #[serde(deserialize_with = "or_empty")]
    pub sub: String,
    /// The primary identity's user name.
    #[serde(deserialize_with = "or_empty")]
    pub username: String,
    /// The primary identity's display name.
    #[serde(deserialize_with = "or_empty")]
    pub name: String,
    /// Who issued the token, with or without a slash at the end.
    #[serde(deserialize_with = "or_empty")]
    pub iss: String,
    /// All identities that are linked to the person's account.
    #[serde(deserialize_with = "or_empty")]
    pub identity_set_detail: Vec<Identity>,
    /// Where the person has logged in for this token.
    #[serde(deserialize_with = "or_empty")]
    pub session_info: Session,
    /// Whether the session satisfies the policies that were asked about, by their ids.
    #[serde(deserialize_with = "or_empty")]
    pub policy_evaluations: BTreeMap<String, Evaluation>,
}

/// An identity that is linked to a person's account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Identity {
    #[serde(deserialize_with = "or_empty")]
    sub: String,
    #[serde(deserialize_with = "or_empty")]
    id: String,
    /// Such as `ada@anl.gov`.
    #[serde(deserialize_with = "or_empty")]
    pub username: String,
    /// The display name.
    #[serde(deserialize_with = "or_empty")]
    pub name: String,
    /// The id of the identity provider.
    #[serde(deserialize_with = "or_empty")]
    pub identity_provider: String,
    /// What the identity provider is called.
    #[serde(deserialize_with = "or_empty")]
    pub identity_provider_display_name: String,
}

impl Identity {
    /// Its id. Sources disagree on the key: `sub` in answers, `id` in notes about them.
    #[must_use]
    pub fn id(&self) -> &str {
        if self.sub.is_empty() { &self.id } else { &self.sub }
    }

    /// The domain of its user name, `anl.gov` of `ada@anl.gov`.
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        self.username.rsplit_once('@').map(|(_, domain)| domain)
    }
}

/// The session in which a token was issued.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Session {
    /// By the identity's id, in the order of the answer.
    #[serde(deserialize_with = "or_empty")]
    authentications: Map<String, Value>,
}

impl Session {
    /// Each identity that was logged in with, and the id of its identity provider.
    pub fn authentications(&self) -> impl Iterator<Item = (&str, &str)> {
        self.authentications
            .iter()
            .filter_map(|(identity, login)| Some((identity.as_str(), login.get("idp")?.as_str()?)))
    }
}

/// Whether one policy is satisfied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Evaluation {
    /// It is.
    #[serde(deserialize_with = "or_empty")]
    pub evaluation: bool,
}

/// A policy as its administrators have set it up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// Its name for people.
    #[serde(deserialize_with = "or_empty")]
    pub display_name: String,
    /// Whether it asks for a fresh login for each session.
    #[serde(deserialize_with = "or_empty")]
    pub high_assurance: bool,
    /// The only domains whose identities satisfy it; empty means any.
    #[serde(deserialize_with = "or_empty")]
    pub domain_constraints_include: Vec<String>,
}

#[derive(Deserialize)]
struct PolicyAnswer {
    policy: Policy,
}

#[derive(Deserialize)]
struct DependentToken {
    access_token: SecretString,
    #[serde(default, deserialize_with = "or_empty")]
    resource_server: String,
}

impl AuthClient {
    /// Globus Auth as `service`, asked in the name of `account`.
    #[must_use]
    pub fn new(service: Service, account: ServiceAccount) -> Self {
        let own_tokens = Tokens::new(service.clone(), account.clone(), OWN_SCOPE, OWN_NAME);
        Self { service, account, own_tokens }
    }

    /// What is known about `token`, and whether its session satisfies `policies`.
    ///
    /// # Errors
    /// As the service has it. An unknown token is no error: it is not active.
    pub async fn introspect(
        &self,
        token: &SecretString,
        policies: &[String],
    ) -> Result<Introspection, GlobusError> {
        let policies = policies.join(",");
        let mut form = vec![("token", token.expose_secret()), ("include", INCLUDED)];
        if !policies.is_empty() {
            form.push(("authentication_policies", &policies));
        }
        let request = self.in_own_name("/v2/oauth2/token/introspect").form(&form);
        let answer: serde_json::Value =
            self.service.send(request).await.map_err(|error| without(token, error))?;
        // Without it the answer is no introspection, and no reason to turn anybody away.
        if !answer["active"].is_boolean() {
            return Err(self.malformed("an introspection does not say whether the token is active"));
        }
        serde_json::from_value(answer)
            .map_err(|_| self.malformed("an introspection cannot be read"))
    }

    fn malformed(&self, reason: impl Into<String>) -> GlobusError {
        GlobusError::Malformed { service: self.service.name(), reason: reason.into() }
    }

    /// A token with which `resource_server` can be asked on behalf of `token`'s owner.
    ///
    /// # Errors
    /// As the service has it; it refuses when the owner has not consented.
    pub async fn dependent_token(
        &self,
        token: &SecretString,
        scope: &str,
        resource_server: &str,
    ) -> Result<SecretString, GlobusError> {
        let form = [
            ("grant_type", "urn:globus:auth:grant_type:dependent_token"),
            ("token", token.expose_secret()),
            ("scope", scope),
        ];
        let request = self.in_own_name("/v2/oauth2/token").form(&form);
        let granted: Vec<DependentToken> =
            self.service.send(request).await.map_err(|error| without(token, error))?;
        granted
            .into_iter()
            .find(|granted| granted.resource_server == resource_server)
            .map(|granted| granted.access_token)
            .ok_or_else(|| self.malformed(format!("no dependent token for {resource_server}")))
    }

    /// Asks for a token of the gateway's own: shows whether its id and secret are accepted.
    ///
    /// # Errors
    /// As the service has it.
    pub async fn check_credentials(&self) -> Result<(), GlobusError> {
        self.own_tokens.with(|_| async { Ok(()) }).await
    }

    /// Reads a policy.
    ///
    /// # Errors
    /// As the service has it.
    pub async fn policy(&self, id: &str) -> Result<Policy, GlobusError> {
        let path = format!("/v2/api/policies/{id}");
        let answer: PolicyAnswer = self
            .own_tokens
            .with(|token| {
                let request = self.service.get(&path).bearer_auth(token.expose_secret());
                self.service.send(request)
            })
            .await?;
        Ok(answer.policy)
    }

    fn in_own_name(&self, path: &str) -> RequestBuilder {
        let secret = self.account.secret.expose_secret();
        self.service.post(path).basic_auth(&self.account.id, Some(secret))
    }
}

/// The error without the caller's token, should the service have repeated it.
fn without(token: &SecretString, error: GlobusError) -> GlobusError {
    let clean = |text: String| text.replace(token.expose_secret(), "***");
    match error {
        GlobusError::Refused { service, status, code, message } => {
            GlobusError::Refused { service, status, code, message: clean(message) }
        }
        GlobusError::Unavailable { service, reason, retry_after } => {
            GlobusError::Unavailable { service, reason: clean(reason), retry_after }
        }
        GlobusError::Malformed { service, reason } => {
            GlobusError::Malformed { service, reason: clean(reason) }
        }
        busy @ GlobusError::Busy { .. } => busy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_keys_nulls_and_both_spellings_of_an_id_are_read() {
        let text = r#"{"active": true, "exp": 5.5, "email": {}, "name": null, "session_info": {"authentications":
            {"b": {"idp": "p"}, "a": {"idp": null}}}, "policy_evaluations": {"x": {}, "y":
            {"evaluation": true, "more": 1}}, "identity_set_detail": [{"id": "b", "sub": null,
            "username": "me@x.org"}, {"sub": "s", "id": "i"}]}"#;
        let read: Introspection = serde_json::from_str(text).unwrap();

        assert_eq!((read.exp, read.name.as_str()), (5, ""));
        let ids: Vec<_> = read.identity_set_detail.iter().map(Identity::id).collect();
        assert_eq!(ids, ["b", "s"]);
        assert_eq!(read.identity_set_detail[0].domain(), Some("x.org"));
        assert_eq!(read.session_info.authentications().collect::<Vec<_>>(), [("b", "p")]);
        assert!(
            !read.policy_evaluations["x"].evaluation && read.policy_evaluations["y"].evaluation
        );

        let inactive: Introspection = serde_json::from_str(r#"{"active": false}"#).unwrap();
        assert_eq!(inactive, Introspection::default());
    }

    #[test]
    fn what_is_kept_of_an_introspection_reads_back_as_the_same() {
        let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/globus/fixtures/auth.json");
        let text = std::fs::read_to_string(fixtures).unwrap();
        let fixtures: Value = serde_json::from_str(&text).unwrap();
        for name in ["introspect_full", "introspect_no_session", "introspect_sdk_sample"] {
            let read: Introspection =
                serde_json::from_value(fixtures[name]["json"].clone()).unwrap();
            let kept = serde_json::to_string(&read).unwrap();
            assert_eq!(serde_json::from_str::<Introspection>(&kept).unwrap(), read, "{name}");
        }
    }
}
