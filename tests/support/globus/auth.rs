//! Globus Auth: who a token belongs to, policies, and the page people log in at.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
};

use serde_json::{Value, json};

use super::{
    FakeGlobus, World,
    answer::Answer,
    grants::{self, Login},
    switches::Asked,
};

/// Everybody's secrets, tokens and documents.
pub(super) struct Accounts(Mutex<Books>);

impl Default for Accounts {
    fn default() -> Self {
        Self(Mutex::new(Books { token_life: 172_800, ..Books::default() }))
    }
}

#[derive(Default)]
pub(super) struct Books {
    /// Secrets of confidential clients, by id.
    clients: HashMap<String, String>,
    /// What is known of each user's token.
    documents: HashMap<String, Value>,
    /// Who a token that is fetched by a login belongs to.
    pub(super) login: Option<Value>,
    /// Groups of whom a user's token belongs to.
    groups: HashMap<String, Vec<String>>,
    policies: HashMap<String, Value>,
    pub(super) issued: HashMap<String, Issued>,
    pub(super) codes: HashMap<String, Login>,
    pub(super) refresh_tokens: HashMap<String, Login>,
    pub(super) last_code: Option<String>,
    /// Seconds that new tokens live.
    pub(super) token_life: u64,
}

/// A token that was handed out here.
pub(super) struct Issued {
    pub(super) resource_server: String,
    /// The user's token it was made from.
    pub(super) from: Option<String>,
}

impl Accounts {
    pub(super) fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap()
    }

    pub(super) fn add_client(&self, id: &str, secret: &str) {
        self.books().clients.insert(id.into(), secret.into());
    }

    /// Whether the request bears a token for this service.
    pub(super) fn admits(&self, asked: &Asked, resource_server: &str) -> bool {
        let books = self.books();
        asked
            .bearer()
            .and_then(|token| books.issued.get(token))
            .is_some_and(|issued| issued.resource_server == resource_server)
    }

    /// The groups that the bearer of a groups token is in, if it is one.
    pub(super) fn groups_of_bearer(&self, asked: &Asked) -> Option<Vec<String>> {
        let books = self.books();
        let issued = books.issued.get(asked.bearer()?)?;
        let user = issued.from.as_ref().filter(|_| issued.resource_server == grants::GROUPS)?;
        Some(books.groups.get(user).cloned().unwrap_or_default())
    }
}

impl Books {
    /// The client that shows its secret in basic authentication.
    pub(super) fn client(&self, asked: &Asked) -> Option<String> {
        let (id, secret) = asked.basic()?;
        (self.clients.get(&id)? == &secret).then_some(id)
    }

    pub(super) fn is_active(&self, token: &str) -> bool {
        self.documents.get(token).is_some_and(|document| document["active"] == true)
    }

    pub(super) fn set_document(&mut self, token: &str, document: Value) {
        self.documents.insert(token.into(), document);
    }

    pub(super) fn forget(&mut self, token: &str) {
        self.documents.remove(token);
        self.issued.remove(token);
        self.refresh_tokens.remove(token);
    }
}

impl FakeGlobus {
    /// From now on this token is of whom `document` says: [`super::researcher`], say. What the
    /// request does not ask for is left out of the answer.
    pub fn token(&self, token: &str, document: Value) {
        self.world.accounts.books().set_document(token, document);
    }

    /// The groups of whom this token is.
    pub fn groups(&self, token: &str, groups: impl IntoIterator<Item = impl Into<String>>) {
        let groups = groups.into_iter().map(Into::into).collect();
        self.world.accounts.books().groups.insert(token.into(), groups);
    }

    /// Whoever logs in from now on, as the document of the tokens.
    pub fn who_logs_in(&self, document: Value) {
        self.world.accounts.books().login = Some(document);
    }

    /// The code that was shown to whoever logged in last.
    pub fn last_code(&self) -> Option<String> {
        self.world.accounts.books().last_code.clone()
    }

    /// Adds a confidential client.
    pub fn client(&self, id: &str, secret: &str) {
        self.world.accounts.add_client(id, secret);
    }

    /// Adds a policy: [`super::policy`].
    pub fn add_policy(&self, policy: Value) {
        let id = policy["policy"]["id"].as_str().expect("a policy has an id").to_owned();
        self.world.accounts.books().policies.insert(id, policy);
    }

    /// How many seconds the tokens live that are handed out from now on.
    pub fn token_life(&self, seconds: u64) {
        self.world.accounts.books().token_life = seconds;
    }

    /// Makes every token worthless that was handed out so far, refresh tokens apart.
    pub fn revoke_all(&self) {
        self.world.accounts.books().issued.clear();
    }
}

pub(super) fn answer(world: &World, asked: &Asked) -> Answer {
    let mut books = world.accounts.books();
    match (asked.method.as_str(), asked.path.as_str()) {
        ("POST", "/v2/oauth2/token/introspect") => introspection(&books, asked),
        ("POST", "/v2/oauth2/token") => grants::token(&mut books, asked),
        ("POST", "/v2/oauth2/token/revoke") => match asked.field("token") {
            Some(token) => {
                books.forget(&token);
                Answer::ok(&json!({"active": false}))
            }
            None => Answer::oauth_error(400, "invalid_request"),
        },
        ("GET", "/v2/oauth2/authorize") => grants::authorize(&mut books, asked),
        ("GET", path) => match path.strip_prefix("/v2/api/policies/") {
            Some(id) => policy_document(&books, asked, id),
            None => nothing_here(asked),
        },
        _ => nothing_here(asked),
    }
}

fn introspection(books: &Books, asked: &Asked) -> Answer {
    if books.client(asked).is_none() {
        return Answer::api_error(401, "UNAUTHORIZED", "the client is not who it says");
    }
    let Some(token) = asked.field("token") else {
        return Answer::oauth_error(400, "invalid_request");
    };
    let Some(document) = books.documents.get(&token).filter(|document| document["active"] == true)
    else {
        return Answer::ok(&json!({"active": false}));
    };
    let include = asked.field("include").unwrap_or_default();
    let includes = |name: &str| include.split(',').any(|one| one.trim() == name);
    let mut document = document.clone();
    let fields = document.as_object_mut().expect("a document is an object");
    for optional in ["session_info", "identity_set_detail", "identity_set"] {
        if !includes(optional) {
            fields.shift_remove(optional);
        }
    }
    if asked.field("authentication_policies").is_none() {
        fields.shift_remove("policy_evaluations");
    }
    Answer::ok(&document)
}

fn policy_document(books: &Books, asked: &Asked, id: &str) -> Answer {
    let issued = asked.bearer().and_then(|token| books.issued.get(token));
    if issued.is_none_or(|issued| issued.resource_server != grants::AUTH) {
        return Answer::api_error(401, "UNAUTHORIZED", "a token for Globus Auth is needed");
    }
    match books.policies.get(id) {
        Some(policy) => Answer::ok(policy),
        None => Answer::api_error(404, "NOT_FOUND", "no such policy"),
    }
}

fn nothing_here(asked: &Asked) -> Answer {
    Answer::api_error(404, "NOT_FOUND", &format!("there is no {} {}", asked.method, asked.path))
}
