//! Globus Auth for programs on a person's own machine, which can keep no secret: OAuth 2.0 with
//! PKCE (RFC 6749, 7636, 8252), and giving tokens back (RFC 7009). What Globus adds to it is in
//! Globus' protocol notes, 1.4.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, de::IgnoredAny};
use sha2::{Digest, Sha256};
use url::Url;

use super::{
    GlobusError, Service,
    lenient::{or_empty, seconds},
};

/// Globus Auth's own resource server, whose tokens say who somebody is.
pub const AUTH_RESOURCE_SERVER: &str = "auth.globus.org";

/// A program without a secret (a "native app" or "thick client" in Globus' words).
#[derive(Debug, Clone)]
pub struct PublicClient {
    auth: Service,
    base: Url,
    id: String,
}

/// What a person is asked to agree to.
#[derive(Debug)]
pub struct Authorization<'a> {
    /// Where the answer is to go.
    pub redirect_uri: &'a str,
    /// What the tokens are to be for.
    pub scopes: &'a [String],
    /// Comes back with the answer, and shows that it belongs to this request.
    pub state: &'a str,
    /// The part of PKCE that may be seen.
    pub verifier: &'a Verifier,
    /// Policies that the session must satisfy.
    pub policies: &'a [String],
    /// Domains of identity providers, of which the session must have one.
    pub domains: &'a [String],
    /// What the consent is called in the person's list of consents.
    pub label: &'a str,
}

/// The secret part of PKCE.
#[derive(Debug)]
pub struct Verifier(SecretString);

impl Verifier {
    /// A new one.
    ///
    /// # Errors
    /// When the operating system has no random bytes.
    pub fn new() -> Result<Self, getrandom::Error> {
        random_text().map(Self)
    }

    /// One that was made before.
    #[must_use]
    pub fn known(text: &str) -> Self {
        Self(text.into())
    }

    /// Its text, to be kept by nobody but who has begun the login.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }

    fn challenge(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(self.0.expose_secret()))
    }
}

/// 256 random bits in the alphabet of URLs.
///
/// # Errors
/// When the operating system has no random bytes.
pub fn random_text() -> Result<SecretString, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes).into())
}

/// Tokens for one resource server.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Whom they are for.
    pub resource_server: String,
    /// What they allow, separated by spaces.
    pub scope: String,
    /// The access token.
    pub access_token: SecretString,
    /// Renews the access token.
    pub refresh_token: Option<SecretString>,
    /// How long the access token lives.
    pub expires_in: Duration,
    /// `Bearer`.
    pub token_type: Option<String>,
}

/// All that a token request was answered with.
#[derive(Debug, Clone)]
pub struct Grants {
    /// One for each resource server.
    pub tokens: Vec<Grant>,
    /// Who logged in, when `openid` was asked for.
    pub identity: Option<Identity>,
}

/// Who logged in.
#[derive(Debug, Clone, Deserialize)]
pub struct Identity {
    /// The id of the primary identity.
    pub sub: String,
    /// Its user name, when the token tells it.
    pub preferred_username: Option<String>,
    /// Who says so.
    pub(super) iss: Option<String>,
    /// To whom it is said.
    #[serde(default, rename = "aud", deserialize_with = "one_or_several")]
    pub(super) audience: Vec<String>,
    /// What was sent along when the login began.
    pub(super) nonce: Option<String>,
    /// Until when it counts, in seconds since 1970.
    pub(super) exp: Option<i64>,
}

fn one_or_several<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        One(String),
        Several(Vec<String>),
    }
    Ok(match Option::<Written>::deserialize(from)? {
        Some(Written::One(one)) => vec![one],
        Some(Written::Several(several)) => several,
        None => Vec::new(),
    })
}

/// One token of an answer, and those within it.
#[derive(Deserialize)]
pub(super) struct Answer {
    access_token: SecretString,
    refresh_token: Option<SecretString>,
    #[serde(deserialize_with = "seconds")]
    expires_in: i64,
    #[serde(default, deserialize_with = "or_empty")]
    scope: String,
    resource_server: String,
    token_type: Option<String>,
    id_token: Option<SecretString>,
    #[serde(default, deserialize_with = "or_empty")]
    other_tokens: Vec<Answer>,
}

impl PublicClient {
    /// The client `id` of the Globus Auth at `base`; a request is given up after `timeout`.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn new(base: Url, id: impl Into<String>, timeout: Duration) -> Result<Self, GlobusError> {
        let auth = Service::new("Globus Auth", base.clone(), timeout)?;
        Ok(Self { auth, base, id: id.into() })
    }

    /// Where Globus shows a code to be copied, for browsers that cannot reach this machine.
    #[must_use]
    pub fn code_page(&self) -> String {
        at(&self.base, "/v2/web/auth-code").into()
    }

    /// The address at which a person logs in and agrees.
    #[must_use]
    pub fn authorize_url(&self, asked: &Authorization<'_>) -> Url {
        authorize_url(&self.base, &self.id, asked, "offline")
    }

    /// Turns the code that the person came back with into tokens. A code works once.
    ///
    /// # Errors
    /// `invalid_grant` for a code that is wrong, used or old; or as the way there has it.
    pub async fn exchange(
        &self,
        code: &SecretString,
        verifier: &Verifier,
        redirect_uri: &str,
    ) -> Result<Grants, GlobusError> {
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", &self.id),
            ("code", code.expose_secret()),
            ("code_verifier", verifier.0.expose_secret()),
            ("redirect_uri", redirect_uri),
        ];
        Ok(self.auth.send::<Answer>(self.auth.post(TOKEN).form(&form)).await?.into())
    }

    /// Renews an access token.
    ///
    /// # Errors
    /// `invalid_grant` when the login has ended; or as the way there has it.
    pub async fn refresh(&self, refresh_token: &SecretString) -> Result<Grants, GlobusError> {
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token.expose_secret()),
            ("client_id", &self.id),
        ];
        let request = || self.auth.post(TOKEN).form(&form);
        Ok(self.auth.send_repeatedly::<Answer>(request).await?.into())
    }

    /// Makes a token worthless. Doing it again, or to an unknown token, is no error.
    ///
    /// # Errors
    /// As Globus Auth, or the way there, has it.
    pub async fn revoke(&self, token: &SecretString) -> Result<(), GlobusError> {
        let form = [("token", token.expose_secret()), ("client_id", &self.id)];
        let request = || self.auth.post(REVOKE).form(&form);
        self.auth.send_repeatedly::<IgnoredAny>(request).await?;
        Ok(())
    }
}

pub(super) const TOKEN: &str = "/v2/oauth2/token";
pub(super) const REVOKE: &str = "/v2/oauth2/token/revoke";

/// The address at which a person logs in for `client` and agrees; `access` is `offline` for tokens that
/// can be renewed.
pub(super) fn authorize_url(
    base: &Url,
    client: &str,
    asked: &Authorization<'_>,
    access: &str,
) -> Url {
    let mut url = at(base, "/v2/oauth2/authorize");
    url.query_pairs_mut()
        .append_pair("client_id", client)
        .append_pair("redirect_uri", asked.redirect_uri)
        .append_pair("scope", &asked.scopes.join(" "))
        .append_pair("state", asked.state)
        .append_pair("response_type", "code")
        .append_pair("access_type", access)
        .append_pair("code_challenge", &asked.verifier.challenge())
        .append_pair("code_challenge_method", "S256")
        .append_pair("prefill_named_grant", asked.label);
    for (key, ids) in [
        ("session_required_policies", asked.policies),
        ("session_required_single_domain", asked.domains),
    ] {
        if !ids.is_empty() {
            url.query_pairs_mut().append_pair(key, &ids.join(","));
        }
    }
    url
}

fn at(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url
}

impl From<Answer> for Grants {
    fn from(mut answer: Answer) -> Self {
        let identity = answer.id_token.take().and_then(|token| identity(&token));
        let others = std::mem::take(&mut answer.other_tokens);
        let tokens = std::iter::once(answer).chain(others).map(Grant::from).collect();
        Self { tokens, identity }
    }
}

impl From<Answer> for Grant {
    fn from(answer: Answer) -> Self {
        Self {
            resource_server: answer.resource_server,
            scope: answer.scope,
            access_token: answer.access_token,
            refresh_token: answer.refresh_token,
            expires_in: Duration::from_secs(answer.expires_in.try_into().unwrap_or(0)),
            token_type: answer.token_type,
        }
    }
}

/// Reads who an `id_token` is about. Its signature need not be checked: it came from the token
/// endpoint itself, over TLS (`OpenID` Connect Core, 3.1.3.7, 6).
fn identity(token: &SecretString) -> Option<Identity> {
    let claims = token.expose_secret().split('.').nth(1)?;
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&claims).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_the_standard_s_example() {
        // RFC 7636, appendix B.
        let verifier = Verifier("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into());
        assert_eq!(verifier.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn two_verifiers_differ_and_have_the_standard_s_form() {
        let (one, other) = (Verifier::new().unwrap(), Verifier::new().unwrap());
        let text = one.0.expose_secret();
        assert_ne!(text, other.0.expose_secret());
        assert_eq!(text.len(), 43);
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"~_.-".contains(&b)), "{text}");
    }

    #[test]
    fn an_unreadable_identity_is_none() {
        for token in ["", "a.b.c", "a.e30.c", "a..c", "a"] {
            assert!(identity(&token.into()).is_none(), "{token}");
        }
        // {"sub":"ada"}
        assert_eq!(identity(&"h.eyJzdWIiOiJhZGEifQ.s".into()).unwrap().sub, "ada");
    }
}
