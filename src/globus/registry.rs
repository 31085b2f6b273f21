//! Globus Compute's lists of endpoints and functions, for the commands of an operator. Submitting
//! tasks is not done here.

use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{
    GlobusError, Service, ServiceAccount, Tokens,
    compute::{RESOURCE_SERVER, SCOPE},
    functions::Function,
};

/// What the service is told of who packed a function. Sources are plain, so nothing depends on it.
const PACKED_BY: (&str, &str) = ("3.9.0", "4.19.0");

/// Globus Compute as a service account may use it.
#[derive(Debug, Clone)]
pub struct Registry {
    compute: Service,
    tokens: Tokens,
}

/// An endpoint as it stands in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredEndpoint {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Whether it is connected to the service.
    pub online: bool,
}

impl Registry {
    /// The lists at `compute`, seen with the rights of `account`.
    #[must_use]
    pub fn new(auth: Service, compute: Service, account: ServiceAccount) -> Self {
        Self { compute, tokens: Tokens::new(auth, account, SCOPE, RESOURCE_SERVER) }
    }

    /// The endpoint with that id.
    ///
    /// # Errors
    /// When the service does not know it (404), does not show it, or cannot be asked.
    pub async fn endpoint(&self, id: Uuid) -> Result<RegisteredEndpoint, GlobusError> {
        #[derive(Deserialize)]
        struct Listed {
            #[serde(default)]
            name: Option<String>,
            #[serde(default)]
            display_name: Option<String>,
        }
        #[derive(Deserialize)]
        struct Status {
            status: String,
        }
        let listed: Listed = self.get(&format!("/v2/endpoints/{id}")).await?;
        let Status { status } = self.get(&format!("/v2/endpoints/{id}/status")).await?;
        let name = listed.display_name.or(listed.name).filter(|name| !name.is_empty());
        Ok(RegisteredEndpoint { name, online: status.eq_ignore_ascii_case("online") })
    }

    /// Registers a function and returns its id. Each call registers another one.
    ///
    /// # Errors
    /// When the service refuses it or cannot be asked.
    pub async fn register(&self, function: &Function) -> Result<Uuid, GlobusError> {
        #[derive(Deserialize)]
        struct Registered {
            function_uuid: Uuid,
        }
        let (python_version, sdk_version) = PACKED_BY;
        let body = json!({
            "function_name": function.name,
            "function_code": function.code(),
            "description": function.description,
            "meta": {
                "python_version": python_version,
                "sdk_version": sdk_version,
                "serde_identifier": "st",
            },
        });
        let registered: Registered = self
            .tokens
            .with(|token| {
                let request = self.compute.post("/v3/functions").json(&body);
                // Sent once: a lost answer must not leave two functions.
                self.compute.send(request.bearer_auth(token.expose_secret()))
            })
            .await?;
        Ok(registered.function_uuid)
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, GlobusError> {
        self.tokens
            .with(|token| async move {
                self.compute
                    .send_repeatedly(|| self.compute.get(path).bearer_auth(token.expose_secret()))
                    .await
            })
            .await
    }
}
