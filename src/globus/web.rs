//! Globus Auth for the gateway's own pages: `OpenID` Connect with a registration that has a secret, and
//! PKCE all the same (RFC 9700).

use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::de::IgnoredAny;
use subtle::ConstantTimeEq;
use url::Url;

use super::{
    GlobusError, Service, ServiceAccount, auth,
    oauth::{self, Authorization, Grants, Identity, Verifier},
};

/// How far clocks may differ, in seconds.
const LEEWAY: i64 = 60;

/// The gateway's registration, as a person's browser meets it.
#[derive(Debug, Clone)]
pub struct WebClient {
    auth: Service,
    base: Url,
    account: ServiceAccount,
    redirect_uri: String,
    policies: Vec<String>,
    domains: Vec<String>,
}

/// What a login that begins is known by when it comes back.
#[derive(Debug)]
pub struct Begun<'a> {
    /// Comes back with the browser.
    pub state: &'a str,
    /// Comes back in the identity's token.
    pub nonce: &'a str,
    /// The secret part of PKCE.
    pub verifier: &'a Verifier,
}

/// Why a login that came back is not one.
#[derive(Debug, thiserror::Error)]
pub enum WebLoginError {
    /// As Globus Auth, or the way there, has it.
    #[error(transparent)]
    Globus(#[from] GlobusError),
    /// What came back is not for this gateway, this browser or this moment.
    #[error("the answer of Globus is not for this login: {0}")]
    NotOurs(&'static str),
}

impl WebClient {
    /// The registration `account` of the Globus Auth at `base`, to which browsers come back at
    /// `redirect_uri`. People are asked for a login that satisfies `policies`, or else for one of
    /// `domains`. A request is given up after `timeout`.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn new(
        base: Url,
        account: ServiceAccount,
        redirect_uri: String,
        policies: Vec<String>,
        domains: Vec<String>,
        timeout: Duration,
    ) -> Result<Self, GlobusError> {
        let auth = Service::new("Globus Auth", base.clone(), timeout)?;
        let domains = if policies.is_empty() { domains } else { Vec::new() };
        Ok(Self { auth, base, account, redirect_uri, policies, domains })
    }

    /// The address at which a person logs in and agrees.
    #[must_use]
    pub fn authorize_url(&self, begun: &Begun<'_>) -> Url {
        let gateway = format!("https://auth.globus.org/scopes/{}/action_all", self.account.id);
        let asked = Authorization {
            redirect_uri: &self.redirect_uri,
            scopes: &["openid".to_owned(), gateway],
            state: begun.state,
            verifier: begun.verifier,
            policies: &self.policies,
            domains: &self.domains,
            label: "figw dashboard",
        };
        let mut url = oauth::authorize_url(&self.base, &self.account.id, &asked, "online");
        url.query_pairs_mut().append_pair("nonce", begun.nonce);
        url
    }

    /// Turns the code that a browser came back with into an access token for the gateway.
    ///
    /// # Errors
    /// When Globus does not take it, or answers for another login.
    pub async fn exchange(
        &self,
        code: &str,
        begun: &Begun<'_>,
    ) -> Result<SecretString, WebLoginError> {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("code_verifier", begun.verifier.reveal()),
            ("redirect_uri", &self.redirect_uri),
        ];
        let request = self.in_own_name(oauth::TOKEN).form(&form);
        let grants: Grants = self.auth.send::<oauth::Answer>(request).await?.into();
        let identity = grants.identity.ok_or(WebLoginError::NotOurs("it names nobody"))?;
        self.check(&identity, begun.nonce, Timestamp::now()).map_err(WebLoginError::NotOurs)?;
        let mut tokens = grants.tokens.into_iter();
        let token = tokens.find(|grant| grant.resource_server == self.account.id);
        let token = token.ok_or(WebLoginError::NotOurs("there is no token for this gateway"))?;
        Ok(token.access_token)
    }

    /// Checks what `OpenID` Connect Core, 3.1.3.7, asks for; the signature need not be, for the token
    /// came from the token endpoint itself, over TLS.
    fn check(&self, identity: &Identity, nonce: &str, now: Timestamp) -> Result<(), &'static str> {
        let told = identity.nonce.as_deref().unwrap_or_default();
        if !bool::from(told.as_bytes().ct_eq(nonce.as_bytes())) {
            return Err("its nonce differs");
        }
        if !identity.audience.contains(&self.account.id) {
            return Err("it is for somebody else");
        }
        let issuer = identity.iss.as_deref().unwrap_or_default().trim_end_matches('/');
        if issuer != auth::ADDRESS && issuer != self.base.as_str().trim_end_matches('/') {
            return Err("somebody else has issued it");
        }
        if identity.exp.unwrap_or(0).saturating_add(LEEWAY) <= now.as_second() {
            return Err("it has expired");
        }
        Ok(())
    }

    /// Makes a token worthless, without anybody waiting for it.
    pub fn revoke_in_the_background(self, token: SecretString) {
        tokio::spawn(async move {
            let form = [("token", token.expose_secret())];
            let request = || self.in_own_name(oauth::REVOKE).form(&form);
            if let Err(error) = self.auth.send_repeatedly::<IgnoredAny>(request).await {
                tracing::info!(%error, "the token of a login that has ended could not be revoked");
            }
        });
    }

    fn in_own_name(&self, path: &str) -> reqwest::RequestBuilder {
        let secret = self.account.secret.expose_secret();
        self.auth.post(path).basic_auth(&self.account.id, Some(secret))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;

    fn checked(claims: &serde_json::Value) -> Result<(), &'static str> {
        let base = Url::parse("https://auth.globus.org").unwrap();
        let account = ServiceAccount { id: "us".into(), secret: "secret".into() };
        let second = Duration::from_secs(1);
        let client = WebClient::new(base, account, "here".into(), vec![], vec![], second).unwrap();
        let identity = serde_json::from_value(claims.clone()).unwrap();
        client.check(&identity, "once", Timestamp::from_second(NOW).unwrap())
    }

    #[test]
    fn only_an_identity_for_this_very_login_is_taken() {
        let good = serde_json::json!({
            "sub": "ada", "iss": "https://auth.globus.org", "aud": "us", "nonce": "once",
            "exp": NOW + 10,
        });
        assert_eq!(checked(&good), Ok(()));
        let with = |key: &str, value: serde_json::Value| {
            let mut claims = good.clone();
            claims[key] = value;
            checked(&claims)
        };
        assert_eq!(with("aud", serde_json::json!(["them", "us"])), Ok(()));
        for (key, value) in [
            ("nonce", "twice".into()),
            ("nonce", serde_json::Value::Null),
            ("aud", "them".into()),
            ("aud", serde_json::json!([])),
            ("iss", "https://evil.example".into()),
            ("iss", serde_json::Value::Null),
            ("exp", (NOW - 3600).into()),
            ("exp", serde_json::Value::Null),
        ] {
            assert!(with(key, value.clone()).is_err(), "{key} {value}");
        }
    }
}
