//! A person's login from the terminal: obtaining tokens, keeping them fresh, giving them back.

pub mod callback;
pub mod choice;
pub mod file;

use std::{path::Path, time::Duration};

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::globus::{
    GlobusError,
    oauth::{
        AUTH_RESOURCE_SERVER, Authorization, Grants, Identity, PublicClient, Verifier, random_text,
    },
};
use choice::Choice;
use file::{Document, Entry, FileError, TokenFile};

/// How long one request to Globus Auth may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A token is renewed this long before its time, as the Globus SDK does.
const EARLY: i64 = 60;

/// Why there is no login, or no token.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// There are no tokens for this gateway.
    #[error("you are not logged in; run `figw login`")]
    NotLoggedIn,
    /// Globus no longer renews the token.
    #[error("your login has ended ({0}); run `figw login`")]
    Ended(String),
    /// Globus did not take the code.
    #[error("Globus did not accept the code ({0}); run `figw login` again")]
    BadCode(String),
    /// Globus gave tokens, but none for the gateway.
    #[error("Globus Auth gave no token for the gateway {0}; is that the gateway's client id?")]
    NotForGateway(String),
    /// The file holds another person's login.
    #[error(
        "{file} holds a login of another Globus identity ({kept}); run `figw logout --all` first, then log in again"
    )]
    AnotherIdentity {
        /// The token file.
        file: String,
        /// The identity whose tokens it holds.
        kept: String,
    },
    /// The tokens could not be given back.
    #[error(
        "{0}; nothing was removed, because the tokens would stay valid: try again, or remove them from this machine alone with `figw logout --force`"
    )]
    NotRevoked(GlobusError),
    /// Globus Auth is away, or refused for another reason.
    #[error(transparent)]
    Globus(#[from] GlobusError),
    /// The token file is not as it should be.
    #[error(transparent)]
    File(#[from] FileError),
    /// The operating system gives no random bytes.
    #[error("no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}

/// One application's logins for one gateway.
#[derive(Debug)]
pub struct App {
    client: PublicClient,
    choice: Choice,
    file: TokenFile,
    gateway: String,
}

/// A login that is waiting for the person.
#[derive(Debug)]
pub struct Attempt {
    /// Where the person logs in and agrees.
    pub url: Url,
    /// What the browser must bring back.
    pub state: SecretString,
    verifier: Verifier,
    redirect_uri: String,
}

/// A login that was made.
#[derive(Debug)]
pub struct LoggedIn {
    /// Who logged in, where Globus told it.
    pub identity: Option<Identity>,
    /// When the access token ends; it is renewed by itself.
    pub expires_at: Timestamp,
}

/// A token that can be used now.
#[derive(Debug)]
pub struct FreshToken {
    /// The access token.
    pub access_token: SecretString,
    /// When it ends.
    pub expires_at: Timestamp,
    /// What it allows.
    pub scope: String,
    /// Whose it is, where that is known.
    pub identity_id: Option<String>,
}

/// What a logout did.
#[derive(Debug)]
pub struct LoggedOut {
    /// The resource servers whose tokens were removed.
    pub removed: Vec<String>,
    /// Why the tokens are still valid, when they could not be given back.
    pub still_valid: Option<GlobusError>,
}

/// How far a logout goes.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Every token of the application, also those that other programs obtained.
    pub all: bool,
    /// Remove the tokens here even when they cannot be given back.
    pub force: bool,
}

impl App {
    /// The application and gateway of `choice`, at the Globus Auth of `auth_url`, with its file
    /// below `home`.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn new(choice: Choice, auth_url: Url, home: &Path) -> Result<Self, LoginError> {
        let client_id = choice.client_id.to_string();
        let file = TokenFile::of_app(home, &client_id, &choice.app_name);
        let client = PublicClient::new(auth_url, client_id, TIMEOUT)?;
        Ok(Self { client, gateway: choice.gateway_id.to_string(), choice, file })
    }

    /// Where the tokens are kept.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// For which gateway, and through which application.
    #[must_use]
    pub const fn choice(&self) -> &Choice {
        &self.choice
    }

    /// Begins a login whose answer goes to `redirect_uri`; without one, Globus shows a code.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn begin(&self, redirect_uri: Option<String>) -> Result<Attempt, LoginError> {
        let (state, verifier) = (random_text()?, Verifier::new()?);
        let redirect_uri = redirect_uri.unwrap_or_else(|| self.client.code_page());
        let scopes = [self.scope(), "openid".to_owned()];
        let url = self.client.authorize_url(&Authorization {
            redirect_uri: &redirect_uri,
            scopes: &scopes,
            state: state.expose_secret(),
            verifier: &verifier,
            policies: &self.choice.policies,
            domains: &self.choice.domains,
            label: &label(),
        });
        Ok(Attempt { url, state, verifier, redirect_uri })
    }

    fn scope(&self) -> String {
        format!("https://auth.globus.org/scopes/{}/action_all", self.gateway)
    }

    /// Turns the code that the person came back with into tokens, and keeps them.
    ///
    /// # Errors
    /// When Globus does not accept the code, or the tokens cannot be kept.
    pub async fn finish(
        &self,
        attempt: &Attempt,
        code: &SecretString,
    ) -> Result<LoggedIn, LoginError> {
        let exchanged = self.client.exchange(code, &attempt.verifier, &attempt.redirect_uri).await;
        let grants = exchanged.map_err(|error| match refusal(&error) {
            Some(reason) => LoginError::BadCode(reason),
            None => LoginError::Globus(error),
        })?;
        match self.keep(&grants).await {
            Ok(logged_in) => Ok(logged_in),
            Err(error) => {
                // Nobody has them, so nobody should be able to use them; what failed is said.
                let _ = self.give_back(tokens_of(&grants)).await;
                Err(error)
            }
        }
    }

    async fn keep(&self, grants: &Grants) -> Result<LoggedIn, LoginError> {
        let ours = grants.tokens.iter().find(|grant| grant.resource_server == self.gateway);
        let ours = ours.ok_or_else(|| LoginError::NotForGateway(self.gateway.clone()))?;
        let hold = self.file.hold().await?;
        let mut document = self.file.read().await?;
        if let Some(identity) = &grants.identity {
            self.refuse_another(&document, grants, identity)?;
        }
        let now = Timestamp::now();
        for grant in &grants.tokens {
            document.put(grant, grants.identity.as_ref(), now.as_second());
        }
        hold.write(&document)?;
        let life = ours.expires_in.as_secs();
        let expires_at = now.as_second().saturating_add(i64::try_from(life).unwrap_or(i64::MAX));
        Ok(LoggedIn { identity: grants.identity.clone(), expires_at: moment(expires_at) })
    }

    /// The SDK refuses a file with the tokens of two identities altogether.
    fn refuse_another(
        &self,
        document: &Document,
        grants: &Grants,
        identity: &Identity,
    ) -> Result<(), LoginError> {
        let stays = |server: &&str| !grants.tokens.iter().any(|g| g.resource_server == **server);
        let mut kept = document
            .resource_servers()
            .filter(stays)
            .filter_map(|server| document.entry(server)?.identity_id);
        match kept.find(|kept| *kept != identity.sub) {
            Some(kept) => {
                Err(LoginError::AnotherIdentity { file: self.path().display().to_string(), kept })
            }
            None => Ok(()),
        }
    }

    /// An access token for the gateway that does not end within the next minute.
    ///
    /// # Errors
    /// When there is no login, or it cannot be renewed.
    pub async fn token(&self) -> Result<FreshToken, LoginError> {
        let now = Timestamp::now().as_second();
        let entry = self.file.read().await?.entry(&self.gateway);
        match entry {
            None => Err(LoginError::NotLoggedIn),
            Some(entry) if lasts(&entry, now) => Ok(entry.into()),
            Some(_) => self.renewed().await,
        }
    }

    async fn renewed(&self) -> Result<FreshToken, LoginError> {
        let hold = self.file.hold().await?;
        // Another figw may have renewed it while this one waited.
        let mut document = self.file.read().await?;
        let entry = document.entry(&self.gateway).ok_or(LoginError::NotLoggedIn)?;
        let now = Timestamp::now().as_second();
        if lasts(&entry, now) {
            return Ok(entry.into());
        }
        let Some(refresh_token) = &entry.refresh_token else {
            return Err(LoginError::Ended("its token has expired".to_owned()));
        };
        let grants =
            self.client.refresh(refresh_token).await.map_err(|error| match refusal(&error) {
                Some(reason) => LoginError::Ended(reason),
                None => LoginError::Globus(error),
            })?;
        for grant in &grants.tokens {
            document.renew(grant, now);
        }
        hold.write(&document)?;
        match document.entry(&self.gateway) {
            Some(entry) if lasts(&entry, now - EARLY) => Ok(entry.into()),
            _ => Err(LoginError::NotForGateway(self.gateway.clone())),
        }
    }

    /// Gives the tokens back and removes them.
    ///
    /// # Errors
    /// When they cannot be given back and that was not to be passed over, or the file cannot be
    /// changed.
    pub async fn log_out(&self, extent: Extent) -> Result<LoggedOut, LoginError> {
        let mut document = self.file.read().await?;
        if self.to_remove(&document, extent).is_empty() {
            return Ok(LoggedOut { removed: Vec::new(), still_valid: None });
        }
        let hold = self.file.hold().await?;
        document = self.file.read().await?;
        let removed = self.to_remove(&document, extent);
        let entries: Vec<_> = removed.iter().filter_map(|server| document.entry(server)).collect();
        let tokens = entries
            .iter()
            .flat_map(|entry| entry.refresh_token.iter().chain([&entry.access_token]));
        let still_valid = match self.give_back(tokens).await {
            Err(error) if !extent.force => return Err(LoginError::NotRevoked(error)),
            given_back => given_back.err(),
        };
        for server in &removed {
            document.remove(server);
        }
        hold.write(&document)?;
        Ok(LoggedOut { removed, still_valid })
    }

    /// The gateway's tokens, and those beside it that figw obtained only for this login.
    fn to_remove(&self, document: &Document, extent: Extent) -> Vec<String> {
        let goes = |server: &&str| {
            let is_ours = || document.entry(server).is_some_and(|entry| entry.is_ours());
            extent.all
                || **server == *self.gateway
                || (**server == *AUTH_RESOURCE_SERVER && is_ours())
        };
        document.resource_servers().filter(goes).map(ToOwned::to_owned).collect()
    }

    async fn give_back(
        &self,
        tokens: impl Iterator<Item = &SecretString>,
    ) -> Result<(), GlobusError> {
        for token in tokens {
            self.client.revoke(token).await?;
        }
        Ok(())
    }
}

fn tokens_of(grants: &Grants) -> impl Iterator<Item = &SecretString> {
    grants.tokens.iter().flat_map(|grant| grant.refresh_token.iter().chain([&grant.access_token]))
}

/// Whether the token lives for a minute and more.
const fn lasts(entry: &Entry, now: i64) -> bool {
    entry.expires_at_seconds > now.saturating_add(EARLY)
}

fn moment(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or(Timestamp::MAX)
}

impl From<Entry> for FreshToken {
    fn from(entry: Entry) -> Self {
        Self {
            access_token: entry.access_token,
            expires_at: moment(entry.expires_at_seconds),
            scope: entry.scope,
            identity_id: entry.identity_id,
        }
    }
}

/// Why Globus Auth refused a grant for good, if that is what it did.
fn refusal(error: &GlobusError) -> Option<String> {
    match error {
        GlobusError::Refused { code: Some(code), message, .. } if code == "invalid_grant" => {
            Some(if message == code { code.clone() } else { format!("{code}: {message}") })
        }
        _ => None,
    }
}

/// What the consent is called in the person's list: which program, on which machine.
fn label() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match host.trim() {
        "" => "figw".to_owned(),
        host => format!("figw on {host}"),
    }
}
