//! Globus Transfer's collection of the staging area, with the token endpoint that goes with it.
//! Its answers are those of the shared fixtures.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use super::small_server::{Ask, Reply, SmallServer};

pub const COLLECTION: &str = "00000000-0000-4000-8000-000000000903";
/// The service account that may manage it.
pub const ACCOUNT: (&str, &str) = ("00000000-0000-4000-8000-000000000800", "the-account-s-secret");
const TOKEN: &str = "the-transfer-token";

#[derive(Default)]
struct Books {
    directories: BTreeSet<String>,
    /// Rules by principal and path.
    rules: BTreeMap<(String, String), String>,
    /// What every request of Transfer is answered with instead.
    instead: Option<Reply>,
    delay: Duration,
    /// Lists of rules that leave the newest out, as a list that another instance was faster than.
    stale_lists: usize,
    asked: Vec<String>,
}

/// The running service.
pub struct Transfer {
    books: Arc<Mutex<Books>>,
    server: SmallServer,
}

impl Transfer {
    pub fn start() -> Self {
        let books = Arc::<Mutex<Books>>::default();
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

    /// From now on every request is answered so.
    pub fn always(&self, reply: Option<Reply>) {
        open(&self.books).instead = reply;
    }

    /// From now on every answer takes this long.
    pub fn delay(&self, delay: Duration) {
        open(&self.books).delay = delay;
    }

    /// The next list of rules is empty, whatever rules there are.
    pub fn next_list_is_stale(&self) {
        open(&self.books).stale_lists = 1;
    }

    /// The requests so far that begin so.
    pub fn count(&self, start: &str) -> usize {
        open(&self.books).asked.iter().filter(|line| line.starts_with(start)).count()
    }

    /// The rules that there are: principal, path and id.
    pub fn rules(&self) -> Vec<(String, String, String)> {
        let books = open(&self.books);
        let rules = books.rules.iter();
        rules.map(|((who, path), id)| (who.clone(), path.clone(), id.clone())).collect()
    }

    pub fn directories(&self) -> BTreeSet<String> {
        open(&self.books).directories.clone()
    }
}

fn open(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    books.lock().expect("no answer has failed")
}

impl Books {
    fn answer(&mut self, ask: &Ask) -> Reply {
        self.asked.push(format!("{} {}", ask.method, ask.path));
        if ask.path == "/v2/oauth2/token" {
            return token(ask);
        }
        if let Some(reply) = &self.instead {
            return reply.clone();
        }
        if ask.bearer() != Some(TOKEN) {
            let error = json!({ "code": "AuthenticationFailed", "message": "who are you?" });
            return Reply::json(401, &error);
        }
        let collection = format!("/v0.10/endpoint/{COLLECTION}");
        let operations = format!("/v0.10/operation/endpoint/{COLLECTION}");
        match (ask.method.as_str(), ask.path.as_str()) {
            ("POST", path) if path == format!("{operations}/mkdir") => self.mkdir(&ask.json()),
            ("GET", path) if path == format!("{collection}/access_list") => self.list(),
            ("POST", path) if path == format!("{collection}/access") => self.access(&ask.json()),
            _ => Reply::json(404, &json!({ "code": "ClientError.NotFound", "message": "?" })),
        }
    }

    fn mkdir(&mut self, body: &Value) -> Reply {
        assert_eq!(body["DATA_TYPE"], "mkdir");
        let path = body["path"].as_str().expect("a path").to_owned();
        if self.directories.insert(path) {
            let made = json!({ "DATA_TYPE": "mkdir_result", "code": "DirectoryCreated" });
            return Reply::json(200, &made);
        }
        let code = "ExternalError.MkdirFailed.Exists";
        Reply::json(502, &json!({ "code": code, "message": "Path already exists" }))
    }

    fn list(&mut self) -> Reply {
        let mut rules: Vec<Value> = vec![
            // The owner's own rule has neither a path of its own nor, at times, an id.
            json!({ "DATA_TYPE": "access", "id": null, "principal_type": "identity",
                    "principal": ACCOUNT.0, "path": "/", "permissions": "rw" }),
        ];
        if self.stale_lists > 0 {
            self.stale_lists -= 1;
        } else {
            rules.extend(self.rules.iter().map(|((who, path), id)| {
                json!({ "DATA_TYPE": "access", "id": id, "role_id": null, "permissions": "rw",
                        "principal_type": "identity", "principal": who, "path": path })
            }));
        }
        let list = json!({
            "DATA_TYPE": "access_list", "endpoint": COLLECTION, "length": rules.len(), "DATA": rules,
        });
        Reply::json(200, &list)
    }

    fn access(&mut self, body: &Value) -> Reply {
        assert_eq!(body["DATA_TYPE"], "access");
        assert_eq!(body["principal_type"], "identity");
        assert_eq!(body["permissions"], "rw");
        let text = |key: &str| body[key].as_str().expect("a text").to_owned();
        let rule = (text("principal"), text("path"));
        if self.rules.contains_key(&rule) {
            return Reply::json(409, &json!({ "code": "Exists", "message": "rule exists" }));
        }
        let id = format!("rule-{}", self.rules.len() + 1);
        self.rules.insert(rule, id.clone());
        let created =
            json!({ "DATA_TYPE": "access_create_result", "code": "Created", "access_id": id });
        Reply::json(201, &created)
    }
}

fn token(ask: &Ask) -> Reply {
    assert_eq!(ask.in_form("grant_type").as_deref(), Some("client_credentials"));
    let scope = ask.in_form("scope").expect("a scope");
    assert_eq!(scope, "urn:globus:auth:scope:transfer.api.globus.org:all");
    Reply::json(
        200,
        &json!({
            "access_token": TOKEN, "scope": scope, "expires_in": 172_800, "token_type": "Bearer",
            "resource_server": "transfer.api.globus.org", "other_tokens": [],
        }),
    )
}
