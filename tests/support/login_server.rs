//! Globus Auth as people and their programs meet it: the page where they agree, codes bound to
//! PKCE, refresh tokens, revocation. It gives tokens only to who shows what the standards ask for.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::small_server::{Ask, Reply, SmallServer};

/// Who agrees on the page.
pub const ADA: &str = "00000000-0000-4000-8000-000000000101";

/// How the person on the page decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Agrees,
    Denies,
}

struct Books {
    mood: Mood,
    person: String,
    lifetime: u64,
    away: bool,
    delay: Duration,
    codes: BTreeMap<String, Ask>,
    /// What each refresh token is for.
    refresh_tokens: BTreeMap<String, String>,
    revoked: BTreeSet<String>,
    asked: Vec<Ask>,
}

/// The running server.
pub struct LoginServer {
    books: Arc<Mutex<Books>>,
    server: SmallServer,
}

impl LoginServer {
    /// Starts with a person who agrees, and tokens that live two days.
    pub fn start() -> Self {
        let books = Arc::new(Mutex::new(Books {
            mood: Mood::Agrees,
            person: ADA.to_owned(),
            lifetime: 172_800,
            away: false,
            delay: Duration::ZERO,
            codes: BTreeMap::new(),
            refresh_tokens: BTreeMap::new(),
            revoked: BTreeSet::new(),
            asked: Vec::new(),
        }));
        let shared = Arc::clone(&books);
        let server = SmallServer::start(move |ask| {
            let delay = open(&shared).delay;
            thread::sleep(delay);
            open(&shared).answer(ask)
        });
        Self { books, server }
    }

    pub fn url(&self) -> &str {
        self.server.url()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        open(&self.books)
    }

    /// From now on the person decides so.
    pub fn mood(&self, mood: Mood) {
        self.books().mood = mood;
    }

    /// From now on this is who logs in.
    pub fn person(&self, id: &str) {
        id.clone_into(&mut self.books().person);
    }

    /// From now on tokens live this many seconds.
    pub fn lifetime(&self, seconds: u64) {
        self.books().lifetime = seconds;
    }

    /// From now on every request fails with 503, or no longer.
    pub fn away(&self, away: bool) {
        self.books().away = away;
    }

    /// From now on every answer takes this long.
    pub fn delay(&self, delay: Duration) {
        self.books().delay = delay;
    }

    /// Ends every login.
    pub fn forget_refresh_tokens(&self) {
        self.books().refresh_tokens.clear();
    }

    /// Tokens that were given back.
    pub fn revoked(&self) -> BTreeSet<String> {
        self.books().revoked.clone()
    }

    /// Requests for the page, in order.
    pub fn pages(&self) -> Vec<Ask> {
        self.asked(|ask| ask.path == "/v2/oauth2/authorize")
    }

    /// Requests for tokens with this grant, in order.
    pub fn grants(&self, kind: &str) -> Vec<Ask> {
        self.asked(|ask| ask.in_form("grant_type").as_deref() == Some(kind))
    }

    fn asked(&self, which: impl Fn(&Ask) -> bool) -> Vec<Ask> {
        self.books().asked.iter().filter(|ask| which(ask)).cloned().collect()
    }
}

fn open(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    books.lock().expect("no answer has failed")
}

impl Books {
    fn answer(&mut self, ask: &Ask) -> Reply {
        self.asked.push(ask.clone());
        if self.away {
            return Reply::json(503, &json!({ "error": "unavailable" }));
        }
        match (ask.method.as_str(), ask.path.as_str()) {
            ("GET", "/v2/oauth2/authorize") => self.page(ask),
            ("POST", "/v2/oauth2/token") => {
                // A program without a secret has nothing to put there.
                assert!(!ask.headers.contains_key("authorization"), "{:?}", ask.headers);
                match ask.in_form("grant_type").as_deref() {
                    Some("authorization_code") => self.exchange(ask),
                    Some("refresh_token") => self.refresh(ask),
                    other => panic!("an unknown grant {other:?}"),
                }
            }
            ("POST", "/v2/oauth2/token/revoke") => {
                let token = ask.in_form("token").expect("a token to give back");
                assert!(ask.in_form("client_id").is_some(), "Globus wants to know the client");
                self.refresh_tokens.remove(&token);
                self.revoked.insert(token);
                Reply::json(200, &json!({ "active": false }))
            }
            _ => Reply::json(404, &json!({ "error": "not found" })),
        }
    }

    fn page(&mut self, ask: &Ask) -> Reply {
        let back = ask.in_query("redirect_uri").expect("a redirect_uri");
        let state = ask.in_query("state").expect("a state");
        if self.mood == Mood::Denies {
            let query = format!(
                "error=access_denied&error_description=The+user+said+%3Cb%3Eno%3C%2Fb%3E&state={state}"
            );
            return Reply::to(format!("{back}/?{query}"));
        }
        let code = format!("code-{}", Uuid::new_v4());
        self.codes.insert(code.clone(), ask.clone());
        if back.ends_with("/v2/web/auth-code") {
            return Reply { status: 200, headers: vec![], body: code };
        }
        Reply::to(format!("{back}/?code={code}&state={state}"))
    }

    /// RFC 6749, 4.1.3, and RFC 7636, 4.6.
    fn exchange(&mut self, ask: &Ask) -> Reply {
        let code = ask.in_form("code").unwrap_or_default();
        let Some(page) = self.codes.remove(&code) else { return invalid_grant(401) };
        let verifier = ask.in_form("code_verifier").unwrap_or_default();
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
        let belongs = page.in_query("code_challenge") == Some(challenge)
            && page.in_query("code_challenge_method").as_deref() == Some("S256")
            && page.in_query("redirect_uri") == ask.in_form("redirect_uri")
            && page.in_query("client_id") == ask.in_form("client_id");
        if !belongs {
            return invalid_grant(401);
        }
        let scopes = page.in_query("scope").expect("scopes");
        let mut tokens: Vec<Value> = scopes.split(' ').map(|scope| self.token(scope)).collect();
        let mut first = tokens.pop().expect("a scope");
        first["other_tokens"] = tokens.into();
        first["state"] = page.in_query("state").into();
        let claims = json!({ "sub": self.person, "preferred_username": "ada@anl.gov" });
        let claims = BASE64_URL_SAFE_NO_PAD.encode(claims.to_string());
        first["id_token"] = format!("e30.{claims}.c2ln").into();
        Reply::json(200, &first)
    }

    fn refresh(&mut self, ask: &Ask) -> Reply {
        let token = ask.in_form("refresh_token").unwrap_or_default();
        if ask.in_form("client_id").is_none() {
            return invalid_grant(401);
        }
        let Some(scope) = self.refresh_tokens.get(&token).cloned() else {
            return invalid_grant(400);
        };
        let mut renewed = self.token(&scope);
        // Globus keeps the refresh token; others give a new one.
        let spare = renewed["refresh_token"].as_str().unwrap_or_default().to_owned();
        self.refresh_tokens.remove(&spare);
        renewed["refresh_token"] = token.into();
        renewed["other_tokens"] = json!([]);
        Reply::json(200, &renewed)
    }

    fn token(&mut self, scope: &str) -> Value {
        let refresh_token = format!("refresh-{}", Uuid::new_v4());
        self.refresh_tokens.insert(refresh_token.clone(), scope.to_owned());
        // A gateway's scope names it; `openid` belongs to Auth itself.
        let server = scope.rsplit('/').nth(1).unwrap_or("auth.globus.org");
        json!({
            "access_token": format!("access-{}", Uuid::new_v4()),
            "refresh_token": refresh_token,
            "expires_in": self.lifetime,
            "scope": scope,
            "resource_server": server,
            "token_type": "Bearer",
            "other_tokens": [],
        })
    }
}

fn invalid_grant(status: u16) -> Reply {
    Reply::json(status, &json!({ "error": "invalid_grant" }))
}
