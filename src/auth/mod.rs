//! From a request's credentials to its caller.

pub mod globus;
pub mod keys;

use std::sync::Arc;

use http::{HeaderMap, header};
use jiff::Timestamp;

use self::globus::{Denial, LoginError, Logins, Unavailable};
use crate::{
    catalog::{Catalog, KeyRefusal},
    domain::{Caller, KeyHash},
};

/// Why a request's credentials are not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// There are none.
    #[error(
        "No credentials were given. Send an API key as 'Authorization: Bearer KEY' or 'x-api-key: KEY'."
    )]
    Missing,
    /// There are none, and a Globus login would do.
    #[error(
        "No credentials were given. Send a Globus access token or an API key as 'Authorization: Bearer TOKEN' or 'x-api-key: TOKEN'."
    )]
    MissingLogin,
    /// The header is not of the form that is read.
    #[error("There must be one Authorization header, of the form 'Bearer TOKEN'.")]
    Malformed,
    /// The key is unknown or revoked.
    #[error(
        "The API key is not known here, or it has been revoked. Ask the operator for a new one."
    )]
    Unknown,
    /// The key's time is over.
    #[error("The API key has expired. Ask the operator for a new one.")]
    Expired,
    /// The Globus login is not to be let in.
    #[error(transparent)]
    Denied(Arc<Denial>),
    /// The Globus login cannot be checked at present.
    #[error(transparent)]
    Unavailable(Unavailable),
}

impl From<LoginError> for AuthError {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Denied(denial) => Self::Denied(denial),
            LoginError::Unavailable(unavailable) => Self::Unavailable(unavailable),
        }
    }
}

/// Finds out who is calling: holders of an API key, and, where it is set up, of a Globus login.
#[derive(Debug, Default)]
pub struct Authenticator {
    logins: Option<Logins>,
}

impl Authenticator {
    /// With these logins besides API keys.
    #[must_use]
    pub const fn new(logins: Option<Logins>) -> Self {
        Self { logins }
    }

    /// Logins with Globus, where they are set up.
    #[must_use]
    pub const fn logins(&self) -> Option<&Logins> {
        self.logins.as_ref()
    }

    /// The caller behind a request's credentials.
    ///
    /// # Errors
    /// Why the credentials are not accepted.
    pub async fn authenticate(
        &self,
        catalog: &Catalog,
        headers: &HeaderMap,
    ) -> Result<Arc<Caller>, AuthError> {
        let token = credentials(headers).map_err(|error| match error {
            AuthError::Missing if self.logins.is_some() => AuthError::MissingLogin,
            other => other,
        })?;
        let hash = KeyHash::of(token);
        match known_key(catalog, &hash) {
            Err(AuthError::Unknown) if !token.starts_with(keys::PREFIX) => {}
            found => return found,
        }
        let logins = self.logins.as_ref().ok_or(AuthError::Unknown)?;
        // Boxed, so that requests with keys do not carry the room for a login around.
        Ok(Box::pin(logins.caller(hash, token)).await?)
    }
}

fn known_key(catalog: &Catalog, hash: &KeyHash) -> Result<Arc<Caller>, AuthError> {
    match catalog.load().caller(hash, Timestamp::now()) {
        Ok(caller) => Ok(Arc::clone(caller)),
        Err(KeyRefusal::Unknown) => Err(AuthError::Unknown),
        Err(KeyRefusal::Expired) => Err(AuthError::Expired),
    }
}

/// The token of `Authorization: Bearer …`, or else of `x-api-key`, which Anthropic's clients send.
fn credentials(headers: &HeaderMap) -> Result<&str, AuthError> {
    // Two of them could be read one way here and the other way by a proxy in front.
    if headers.get_all(header::AUTHORIZATION).iter().nth(1).is_some() {
        return Err(AuthError::Malformed);
    }
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let text = value.to_str().map_err(|_| AuthError::Malformed)?;
        return match text.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                non_empty(token).ok_or(AuthError::Malformed)
            }
            _ => Err(AuthError::Malformed),
        };
    }
    let value = headers.get("x-api-key").ok_or(AuthError::Missing)?;
    value.to_str().ok().and_then(non_empty).ok_or(AuthError::Malformed)
}

fn non_empty(token: &str) -> Option<&str> {
    let token = token.trim();
    (!token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(name: &'static str, value: &'static str) -> Result<String, AuthError> {
        let headers: HeaderMap =
            [(http::HeaderName::from_static(name), HeaderValue::from_static(value))]
                .into_iter()
                .collect();
        credentials(&headers).map(ToOwned::to_owned)
    }

    #[test]
    fn both_ways_of_sending_a_key_are_read() {
        assert_eq!(read("authorization", "Bearer abc"), Ok("abc".into()));
        assert_eq!(read("authorization", "bearer  abc "), Ok("abc".into()));
        assert_eq!(read("x-api-key", "abc"), Ok("abc".into()));
    }

    #[test]
    fn anything_else_says_what_is_wrong() {
        assert_eq!(read("accept", "*/*"), Err(AuthError::Missing));
        assert_eq!(read("authorization", "Basic abc"), Err(AuthError::Malformed));
        assert_eq!(read("authorization", "Bearer"), Err(AuthError::Malformed));
        assert_eq!(read("authorization", "Bearer  "), Err(AuthError::Malformed));
        assert_eq!(read("x-api-key", " "), Err(AuthError::Malformed));
    }
}
