//! Globus Transfer, as far as a staging area needs it: directories of a collection and who may
//! use them. The wire is in Globus' protocol notes, 8.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::json;

use super::{GlobusError, Service, Tokens};

/// Globus Transfer, where it is not configured otherwise.
pub const ADDRESS: &str = "https://transfer.api.globus.org";

/// What a token for Transfer is asked for.
pub const SCOPE: &str = "urn:globus:auth:scope:transfer.api.globus.org:all";

/// Whose tokens those are.
pub const RESOURCE_SERVER: &str = "transfer.api.globus.org";

/// One collection, managed by a service account.
#[derive(Debug, Clone)]
pub struct Collection {
    transfer: Service,
    tokens: Tokens,
    id: String,
}

#[derive(Deserialize)]
struct Rules {
    #[serde(rename = "DATA")]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    id: Option<String>,
    principal_type: Option<String>,
    /// A rule that comes with a role may have neither this nor a path.
    principal: Option<String>,
    path: Option<String>,
}

#[derive(Deserialize)]
struct Created {
    access_id: String,
}

impl Collection {
    /// The collection `id`, which the account behind `tokens` manages.
    #[must_use]
    pub fn new(transfer: Service, tokens: Tokens, id: impl Into<String>) -> Self {
        Self { transfer, tokens, id: id.into() }
    }

    /// The collection's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Makes the directory `path`, which ends with a slash. That it is there already is no error.
    ///
    /// # Errors
    /// As Transfer, the collection behind it, or the way there has it.
    pub async fn make_directory(&self, path: &str) -> Result<(), GlobusError> {
        let url = format!("/v0.10/operation/endpoint/{}/mkdir", self.id);
        let body = json!({ "DATA_TYPE": "mkdir", "path": path });
        let made = self
            .call(|token| self.transfer.post(&url).bearer_auth(token.expose_secret()).json(&body));
        match made.await {
            Ok(IgnoredAny) => Ok(()),
            Err(error) if is_there_already(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Lets `identity` read and write below `path`, and returns the id of the rule that says so:
    /// the one that there is, or else a new one.
    ///
    /// # Errors
    /// As Transfer, or the way there, has it.
    pub async fn grant(&self, identity: &str, path: &str) -> Result<String, GlobusError> {
        if let Some(id) = self.rule(identity, path).await? {
            return Ok(id);
        }
        match self.add_rule(identity, path).await {
            // Another instance was faster.
            Err(error) if is_there_already(&error) => self.rule(identity, path).await?.ok_or(error),
            added => added,
        }
    }

    async fn rule(&self, identity: &str, path: &str) -> Result<Option<String>, GlobusError> {
        let url = format!("/v0.10/endpoint/{}/access_list", self.id);
        let found: Rules =
            self.call(|token| self.transfer.get(&url).bearer_auth(token.expose_secret())).await?;
        let is_it = |rule: &Rule| {
            rule.principal.as_deref() == Some(identity)
                && rule.path.as_deref() == Some(path)
                && rule.principal_type.as_deref().is_none_or(|kind| kind == "identity")
        };
        Ok(found.rules.into_iter().filter(is_it).find_map(|rule| rule.id))
    }

    async fn add_rule(&self, identity: &str, path: &str) -> Result<String, GlobusError> {
        let url = format!("/v0.10/endpoint/{}/access", self.id);
        let body = json!({
            "DATA_TYPE": "access",
            "principal_type": "identity",
            "principal": identity,
            "path": path,
            "permissions": "rw",
        });
        let added: Created = self
            .call(|token| self.transfer.post(&url).bearer_auth(token.expose_secret()).json(&body))
            .await?;
        Ok(added.access_id)
    }

    /// Every call here can be repeated: what has been done already is then found done.
    async fn call<T: serde::de::DeserializeOwned>(
        &self,
        request: impl Fn(&SecretString) -> reqwest::RequestBuilder,
    ) -> Result<T, GlobusError> {
        let (transfer, request) = (&self.transfer, &request);
        self.tokens
            .with(move |token| async move { transfer.send_repeatedly(|| request(&token)).await })
            .await
    }
}

/// Globus' clients go by the end of the code (`ExternalError.MkdirFailed.Exists`).
fn is_there_already(error: &GlobusError) -> bool {
    matches!(error, GlobusError::Refused { code: Some(code), .. }
        if code.rsplit('.').next() == Some("Exists"))
}
