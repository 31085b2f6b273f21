//! Access tokens of service accounts (OAuth 2.0's client credentials), renewed in time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::{
    GlobusError, Service,
    lenient::{or_empty, seconds},
};

/// A token is renewed this long before its time.
const EARLY: Duration = Duration::from_mins(1);

/// No token is used for longer, whatever its answer says: Globus' live 48 hours.
const LONGEST_LIFE: Duration = Duration::from_hours(48);

/// A service account of Globus.
#[derive(Debug, Clone)]
pub struct ServiceAccount {
    /// The client's id.
    pub id: String,
    /// The client's secret.
    pub secret: SecretString,
}

/// The token of one service account for one scope. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Tokens {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    auth: Service,
    account: ServiceAccount,
    scope: String,
    /// Which of the tokens in the answer is the one that is wanted.
    resource_server: String,
    current: ArcSwapOption<Token>,
    /// Held by the one who fetches a token, so that the others wait for theirs.
    fetching: Mutex<()>,
}

#[derive(Debug)]
struct Token {
    text: SecretString,
    renew_at: Instant,
}

/// One token of the answer to a token request (Globus' protocol notes, 1.3).
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: i64,
    #[serde(default, deserialize_with = "or_empty")]
    resource_server: String,
    #[serde(default, deserialize_with = "or_empty")]
    other_tokens: Vec<Granted>,
}

impl Tokens {
    /// Tokens for `scope`, which Globus Auth hands out under the name `resource_server`.
    #[must_use]
    pub fn new(
        auth: Service,
        account: ServiceAccount,
        scope: impl Into<String>,
        resource_server: impl Into<String>,
    ) -> Self {
        let (scope, resource_server) = (scope.into(), resource_server.into());
        let current = ArcSwapOption::empty();
        let fetching = Mutex::new(());
        let inner = Inner { auth, account, scope, resource_server, current, fetching };
        Self { inner: Arc::new(inner) }
    }

    /// Does `request` with a token, and once more with a new one when the first is refused (401).
    ///
    /// # Errors
    /// As `request`'s, or when no token can be had.
    pub async fn with<T, F>(&self, request: impl Fn(SecretString) -> F) -> Result<T, GlobusError>
    where
        F: Future<Output = Result<T, GlobusError>>,
    {
        let token = self.inner.get().await?;
        let refused = match request(token.text.clone()).await {
            Err(error) if error.refused_with() == Some(http::StatusCode::UNAUTHORIZED) => token,
            outcome => return outcome,
        };
        self.inner.forget(&refused);
        request(self.inner.get().await?.text.clone()).await
    }
}

impl Inner {
    async fn get(&self) -> Result<Arc<Token>, GlobusError> {
        if let Some(token) = self.fresh() {
            return Ok(token);
        }
        let _fetching = self.fetching.lock().await;
        if let Some(token) = self.fresh() {
            return Ok(token);
        }
        let token = Arc::new(self.fetch().await?);
        self.current.store(Some(Arc::clone(&token)));
        Ok(token)
    }

    fn fresh(&self) -> Option<Arc<Token>> {
        self.current.load_full().filter(|token| Instant::now() < token.renew_at)
    }

    fn forget(&self, refused: &Arc<Token>) {
        self.current
            .rcu(|current| current.clone().filter(|current| !Arc::ptr_eq(current, refused)));
    }

    async fn fetch(&self) -> Result<Token, GlobusError> {
        let form = [("grant_type", "client_credentials"), ("scope", &self.scope)];
        let granted: Granted = self
            .auth
            .send_repeatedly(|| {
                self.auth
                    .post("/v2/oauth2/token")
                    .basic_auth(&self.account.id, Some(self.account.secret.expose_secret()))
                    .form(&form)
            })
            .await?;
        let others = granted.other_tokens.iter();
        let wanted = std::iter::once(&granted)
            .chain(others)
            .find(|granted| granted.resource_server == self.resource_server)
            .ok_or_else(|| GlobusError::Malformed {
                service: self.auth.name(),
                reason: format!("no token for {}", self.resource_server),
            })?;
        let life = Duration::from_secs(wanted.expires_in.try_into().unwrap_or(0));
        let life = life.min(LONGEST_LIFE).saturating_sub(EARLY);
        Ok(Token {
            text: wanted.access_token.clone().into(),
            renew_at: Instant::now() + life.max(Duration::from_secs(1)),
        })
    }
}
