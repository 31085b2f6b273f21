//! Who is logged in. A session is a sealed cookie, so that every instance with the same secret knows
//! it; only the end of one, before its time, has to be remembered.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, header};
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use crate::{
    auth::{
        Authenticator,
        globus::{LoginError, Unavailable},
    },
    cache::SealedCache,
    catalog::Catalog,
    domain::{Caller, KeyHash},
    globus::oauth::random_text,
};

/// A session is sealed anew when so much of its idle time is over.
const RENEWED_AFTER: u32 = 8;

/// Ended sessions that one process remembers. The oldest go first.
const MOST_ENDED: usize = 10_000;

/// Somebody who is logged in.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Session {
    /// Random; what is remembered when the session is ended.
    pub(super) id: String,
    credential: Credential,
    /// Both in seconds since 1970.
    began: i64,
    seen: i64,
}

/// What the login stands on. It is looked at with each request: who is no longer let in at the API
/// is not let in here.
#[derive(Clone, Serialize, Deserialize)]
enum Credential {
    /// An API key, by its hash.
    Key(String),
    /// An access token of Globus.
    Globus(String),
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session(***)")
    }
}

/// How long sessions last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lifetimes {
    pub(super) whole: Duration,
    pub(super) idle: Duration,
}

/// Why a session does not say who somebody is.
#[derive(Debug)]
pub(super) enum NoCaller {
    /// It has ended.
    Ended,
    /// It is not known at present.
    Unavailable(Unavailable),
}

impl Session {
    /// One that begins now, on an API key.
    pub(super) fn on_key(hash: &KeyHash, now: Timestamp) -> Option<Self> {
        Self::on(Credential::Key(URL_SAFE_NO_PAD.encode(hash.0)), now)
    }

    /// One that begins now, on a login with Globus.
    pub(super) fn on_globus(token: &str, now: Timestamp) -> Option<Self> {
        Self::on(Credential::Globus(token.to_owned()), now)
    }

    fn on(credential: Credential, now: Timestamp) -> Option<Self> {
        let id = random_text().ok()?.expose_secret().to_owned();
        Some(Self { id, credential, began: now.as_second(), seen: now.as_second() })
    }

    /// The Globus token behind it, if it is one.
    pub(super) fn globus_token(&self) -> Option<&str> {
        match &self.credential {
            Credential::Globus(token) => Some(token),
            Credential::Key(_) => None,
        }
    }

    /// Whether its time is not over.
    pub(super) fn is_current(&self, lifetimes: Lifetimes, now: Timestamp) -> bool {
        let within = |since: i64, limit: Duration| {
            let age = now.as_second().saturating_sub(since);
            // One from the future was sealed by a clock that is ahead.
            u64::try_from(age).is_ok_and(|age| age <= limit.as_secs()) || (-60..0).contains(&age)
        };
        within(self.began, lifetimes.whole) && within(self.seen, lifetimes.idle)
    }

    /// The same as of now, when it is time to write that down.
    pub(super) fn renewed(&self, lifetimes: Lifetimes, now: Timestamp) -> Option<Self> {
        let age = u64::try_from(now.as_second().saturating_sub(self.seen)).ok()?;
        let due = age >= (lifetimes.idle / RENEWED_AFTER).as_secs().max(1);
        due.then(|| Self { seen: now.as_second(), ..self.clone() })
    }

    /// Whose it is, if they may still come in.
    pub(super) async fn caller(
        &self,
        catalog: &Catalog,
        auth: &Authenticator,
    ) -> Result<Arc<Caller>, NoCaller> {
        match &self.credential {
            Credential::Key(hash) => {
                let hash = URL_SAFE_NO_PAD.decode(hash).ok().and_then(|hash| hash.try_into().ok());
                let hash = KeyHash(hash.ok_or(NoCaller::Ended)?);
                let snapshot = catalog.load();
                snapshot.caller(&hash, Timestamp::now()).cloned().map_err(|_| NoCaller::Ended)
            }
            Credential::Globus(token) => {
                let logins = auth.logins().ok_or(NoCaller::Ended)?;
                logins.caller(KeyHash::of(token), token).await.map_err(|error| match error {
                    LoginError::Denied(_) => NoCaller::Ended,
                    LoginError::Unavailable(unavailable) => NoCaller::Unavailable(unavailable),
                })
            }
        }
    }
}

/// Sessions that were ended before their time: here, and through Redis at all instances.
pub(super) struct Ended {
    here: Mutex<HashMap<String, Instant>>,
    everywhere: SealedCache,
    /// How long they have to be remembered.
    life: Duration,
}

impl std::fmt::Debug for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ended").finish_non_exhaustive()
    }
}

impl Ended {
    pub(super) fn new(everywhere: SealedCache, life: Duration) -> Self {
        Self { here: Mutex::default(), everywhere, life }
    }

    /// Ends a session.
    pub(super) async fn end(&self, session: &Session) {
        {
            let now = Instant::now();
            let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
            if here.len() >= MOST_ENDED {
                here.retain(|_, until| *until > now);
            }
            if here.len() >= MOST_ENDED
                && let Some(oldest) =
                    here.iter().min_by_key(|(_, until)| **until).map(|(id, _)| id.clone())
            {
                here.remove(&oldest);
            }
            here.insert(session.id.clone(), now + self.life);
        }
        self.everywhere.put(&key(session), &true, self.life).await;
    }

    /// Whether a session was ended.
    pub(super) async fn has(&self, session: &Session) -> bool {
        {
            let here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
            if here.contains_key(&session.id) {
                return true;
            }
        }
        self.everywhere.get::<bool>(&key(session)).await.unwrap_or(false)
    }
}

fn key(session: &Session) -> String {
    format!("dashboard-ended:{}", session.id)
}

/// The cookies, and how they are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cookie {
    /// The session.
    Session,
    /// A login with Globus that has been begun.
    Login,
    /// What binds the form of the login to the browser that was shown it.
    Form,
}

impl Cookie {
    /// Over HTTPS, browsers let nobody but this very host set a cookie of such a name.
    const fn name(self, is_secure: bool) -> &'static str {
        match (self, is_secure) {
            (Self::Session, true) => "__Host-figw",
            (Self::Session, false) => "figw",
            (Self::Login, true) => "__Host-figw-login",
            (Self::Login, false) => "figw-login",
            (Self::Form, true) => "__Host-figw-form",
            (Self::Form, false) => "figw-form",
        }
    }

    /// Its value in a request.
    pub(super) fn read(self, headers: &HeaderMap, is_secure: bool) -> Option<&str> {
        let cookies = headers.get_all(header::COOKIE).iter();
        cookies
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(name, _)| *name == self.name(is_secure))
            .map(|(_, value)| value)
    }

    /// The header that sets it for so long.
    pub(super) fn set(self, value: &str, life: Duration, is_secure: bool) -> Option<HeaderValue> {
        let secure = if is_secure { "; Secure" } else { "" };
        let text = format!(
            "{}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={}{secure}",
            self.name(is_secure),
            life.as_secs()
        );
        HeaderValue::from_str(&text).ok()
    }

    /// The header that removes it.
    pub(super) fn remove(self, is_secure: bool) -> Option<HeaderValue> {
        self.set("", Duration::ZERO, is_secure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIMES: Lifetimes =
        Lifetimes { whole: Duration::from_secs(1000), idle: Duration::from_secs(100) };

    #[test]
    fn a_session_ends_by_itself() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let session = Session::on_key(&KeyHash::of("key"), at(0)).unwrap();
        assert!(session.is_current(LIFETIMES, at(100)));
        assert!(!session.is_current(LIFETIMES, at(101)), "idle for too long");
        assert!(session.renewed(LIFETIMES, at(5)).is_none(), "not worth a new cookie");
        let mut session = session;
        for second in (50..=1000).step_by(50) {
            session = session.renewed(LIFETIMES, at(second)).unwrap();
            assert!(session.is_current(LIFETIMES, at(second)));
        }
        assert!(!session.renewed(LIFETIMES, at(1050)).unwrap().is_current(LIFETIMES, at(1050)));
    }

    #[test]
    fn cookies_are_out_of_reach_for_scripts_and_other_hosts() {
        let cookie = Cookie::Session.set("v", Duration::from_mins(1), true).unwrap();
        assert_eq!(cookie, "__Host-figw=v; Path=/; HttpOnly; SameSite=Lax; Max-Age=60; Secure");
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::from_static("a=b; __Host-figw=v; figw=w"));
        assert_eq!(Cookie::Session.read(&headers, true), Some("v"));
        assert_eq!(Cookie::Session.read(&headers, false), Some("w"));
        assert_eq!(Cookie::Form.read(&headers, true), None);
    }
}
