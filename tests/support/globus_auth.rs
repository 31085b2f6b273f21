//! Globus Auth and Groups as far as logins need them: scripted people, moods, and counts of calls.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Collected, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpListener, runtime::Runtime};

use super::globus_web::Web;

/// The gateway's registration.
pub const APPLICATION: &str = "00000000-0000-4000-8000-0000000000aa";
pub const APPLICATION_SECRET: &str = "the-application-secret";
/// The policy that the gateway asks about, and the group that it asks for.
pub const POLICY: &str = "00000000-0000-4000-8000-000000000401";
pub const GROUP: &str = "00000000-0000-4000-8000-000000000501";
/// The one service account that may come in.
pub const ROBOT: &str = "00000000-0000-4000-8000-0000000000bb@clients.auth.globus.org";

/// How long a failing service thinks about it, so that a crowd can come together meanwhile.
const FAILURE_TAKES: Duration = Duration::from_millis(400);

/// How the services behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// Every answer takes this long.
    Slow(Duration),
    /// Every answer is this status, with this `Retry-After` and without a body, after
    /// [`FAILURE_TAKES`].
    Failing(u16, Option<u64>),
}

/// Somebody with a token.
#[derive(Debug, Clone)]
struct Person {
    introspection: Value,
    /// Ids of groups, with the membership's status; `None` when they may not be seen.
    groups: Option<Vec<(&'static str, &'static str)>>,
}

#[derive(Debug)]
struct State {
    people: Mutex<HashMap<String, Person>>,
    policy: Mutex<Value>,
    auth: Mutex<Mood>,
    groups: Mutex<Mood>,
    introspections: AtomicUsize,
    grants: AtomicUsize,
    lists: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
    web: Mutex<Web>,
}

/// The running services; they stop when dropped.
pub struct Globus {
    address: SocketAddr,
    state: Arc<State>,
    runtime: Option<Runtime>,
}

impl Globus {
    pub fn start() -> Self {
        let state = State {
            people: Mutex::default(),
            policy: Mutex::new(policy(true, &["anl.gov", "uchicago.edu"])),
            auth: Mutex::new(Mood::Well),
            groups: Mutex::new(Mood::Well),
            introspections: AtomicUsize::new(0),
            grants: AtomicUsize::new(0),
            lists: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            most_open: AtomicUsize::new(0),
            web: Mutex::default(),
        };
        let mut globus = Self {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            state: Arc::new(state),
            runtime: None,
        };
        globus.listen();
        globus
    }

    /// Listens; again on the same port after [`Globus::stop`].
    pub fn listen(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime for the fake Globus");
        let address = self.address;
        let listener = runtime.block_on_elsewhere(async move {
            let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
            socket.set_reuseaddr(true).expect("a socket option");
            socket.bind(address).expect("a free port for the fake Globus");
            socket.listen(1024).expect("a listener")
        });
        self.address = listener.local_addr().expect("its address");
        runtime.spawn(accept(listener, Arc::clone(&self.state)));
        self.runtime = Some(runtime);
    }

    /// What browsers meet.
    pub fn web(&self) -> std::sync::MutexGuard<'_, Web> {
        self.state.web.lock().expect("no answer has failed")
    }

    /// From now on nobody answers.
    pub fn stop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        let stop = thread::spawn(move || runtime.shutdown_timeout(Duration::from_secs(5)));
        stop.join().expect("the fake Globus stops");
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The gateway's configuration: every kind of rule is there.
    pub fn settings(&self) -> String {
        format!(
            "auth:\n  globus:\n    application_id: {APPLICATION}\n    \
             application_secret: {APPLICATION_SECRET}\n    policies: [{POLICY}]\n    \
             groups: [{GROUP}]\n    authorized_idp_domains: [anl.gov, uchicago.edu]\n    \
             service_usernames: [\"{ROBOT}\"]\n    auth_url: \"{url}\"\n    groups_url: \"{url}\"\n",
            url = self.url()
        )
    }

    /// Knows a token, and the groups of its owner.
    pub fn know(&self, token: &str, introspection: Value, groups: &[(&'static str, &'static str)]) {
        let person = Person { introspection, groups: Some(groups.to_vec()) };
        self.state.people.lock().unwrap().insert(token.to_owned(), person);
    }

    /// Knows the token of somebody who passes every check.
    pub fn know_member(&self, token: &str, user: &str) {
        self.know(token, logged_in(&[user]), &[(GROUP, "active")]);
    }

    /// Knows a token whose owner's groups may not be seen.
    pub fn know_without_consent(&self, token: &str, introspection: Value) {
        let person = Person { introspection, groups: None };
        self.state.people.lock().unwrap().insert(token.to_owned(), person);
    }

    pub fn set_policy(&self, policy: Value) {
        *self.state.policy.lock().unwrap() = policy;
    }

    /// Both services behave like this from now on.
    pub fn set_mood(&self, mood: Mood) {
        *self.state.auth.lock().unwrap() = mood;
        self.set_mood_of_groups(mood);
    }

    pub fn set_mood_of_groups(&self, mood: Mood) {
        *self.state.groups.lock().unwrap() = mood;
    }

    /// How often a token was introspected so far.
    pub fn introspections(&self) -> usize {
        self.state.introspections.load(SeqCst)
    }

    /// How often a dependent token was asked for, and how often the list of groups.
    pub fn group_calls(&self) -> (usize, usize) {
        (self.state.grants.load(SeqCst), self.state.lists.load(SeqCst))
    }

    /// The most introspections that were under way at the same time.
    pub fn most_open(&self) -> usize {
        self.state.most_open.load(SeqCst)
    }
}

/// `block_on` that also works in a test that has a runtime of its own.
trait BlockOnElsewhere {
    fn block_on_elsewhere<T: Send>(&self, future: impl Future<Output = T> + Send) -> T;
}

impl BlockOnElsewhere for Runtime {
    fn block_on_elsewhere<T: Send>(&self, future: impl Future<Output = T> + Send) -> T {
        thread::scope(|scope| scope.spawn(|| self.block_on(future)).join().expect("no panic"))
    }
}

impl Drop for Globus {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A policy document.
pub fn policy(high_assurance: bool, domains: &[&str]) -> Value {
    json!({"id": POLICY, "display_name": "The policy", "high_assurance": high_assurance,
        "domain_constraints_include": domains, "domain_constraints_exclude": null})
}

/// An account with these identities, logged in with the first, an hour before the token ends.
pub fn logged_in(users: &[&str]) -> Value {
    let identity = |user: &&str| {
        json!({"sub": format!("id-of-{user}"), "username": user, "name": format!("Person {user}"),
            "identity_provider": format!("idp-of-{user}"),
            "identity_provider_display_name": "An Institution"})
    };
    let first = users[0];
    json!({
        "active": true, "token_type": "Bearer", "exp": in_seconds(3600), "client_id": "an-app",
        "sub": "primary", "username": "primary@elsewhere.org", "name": null,
        "iss": "https://auth.globus.org/",
        "identity_set_detail": users.iter().map(identity).collect::<Value>(),
        "session_info": {"session_id": "s", "authentications": {
            format!("id-of-{first}"): {"idp": format!("idp-of-{first}"), "auth_time": 1},
        }},
        "policy_evaluations": {POLICY: {"evaluation": true}},
    })
}

/// A token of a service account.
pub fn service_account(user: &str) -> Value {
    json!({"active": true, "exp": in_seconds(3600), "username": user, "client_id": "robot-id",
        "sub": "robot-id", "name": "Robot", "iss": "https://auth.globus.org"})
}

/// Seconds since 1970, this many from now.
pub fn in_seconds(seconds: i64) -> i64 {
    jiff::Timestamp::now().as_second() + seconds
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((tcp, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let serve = service_fn(|request| {
                let state = Arc::clone(&state);
                async move { Ok::<_, std::convert::Infallible>(answer(request, &state).await) }
            });
            // A caller that hangs up is the gateway's affair.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(tcp), serve)
                .await;
        });
    }
}

type Answer = Response<Full<Bytes>>;

async fn answer(request: Request<Incoming>, state: &State) -> Answer {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
    let form: HashMap<String, String> = url::form_urlencoded::parse(&body).into_owned().collect();
    let (calls, mood) = match (head.uri.path(), form.get("grant_type").map(String::as_str)) {
        ("/v2/oauth2/token/introspect", _) => (Some(&state.introspections), &state.auth),
        ("/v2/oauth2/token", Some("client_credentials")) => (None, &state.auth),
        ("/v2/oauth2/token", _) => (Some(&state.grants), &state.auth),
        ("/v2/groups/my_groups", _) => (Some(&state.lists), &state.groups),
        _ => (None, &state.auth),
    };
    if let Some(calls) = calls {
        calls.fetch_add(1, SeqCst);
    }
    let mood = *mood.lock().unwrap();
    match mood {
        Mood::Well => {}
        Mood::Slow(delay) => {
            let open = state.open.fetch_add(1, SeqCst) + 1;
            state.most_open.fetch_max(open, SeqCst);
            tokio::time::sleep(delay).await;
            state.open.fetch_sub(1, SeqCst);
        }
        Mood::Failing(status, retry_after) => {
            tokio::time::sleep(FAILURE_TAKES).await;
            return failing(status, retry_after);
        }
    }
    if head.uri.path() == "/v2/groups/my_groups" {
        return my_groups(&head.headers, state);
    }
    if let Some(id) = head.uri.path().strip_prefix("/v2/api/policies/") {
        return read_policy(id, &head.headers, state);
    }
    if head.uri.path() == "/v2/oauth2/authorize" {
        let to = state.web.lock().unwrap().page(head.uri.query().unwrap_or_default());
        let mut answer = json_answer(303, &Value::Null);
        answer.headers_mut().insert(header::LOCATION, to.parse().expect("an address"));
        return answer;
    }
    if !is_the_application(&head.headers) {
        return json_answer(
            401,
            &json!({"error": "invalid_client", "errors": [{"detail":
            "Bad credentials"}]}),
        );
    }
    match (head.uri.path(), form.get("grant_type").map(String::as_str)) {
        ("/v2/oauth2/token/introspect", None) => introspect(&form, state),
        ("/v2/oauth2/token", Some("client_credentials")) => json_answer(
            200,
            &json!({"access_token": "own-token", "scope": form["scope"], "expires_in": 172_800,
                "token_type": "Bearer", "resource_server": "auth.globus.org", "other_tokens": []}),
        ),
        ("/v2/oauth2/token", Some("urn:globus:auth:grant_type:dependent_token")) => {
            dependent(&form, state)
        }
        ("/v2/oauth2/token", Some("authorization_code")) => {
            match state.web.lock().unwrap().exchange(&form) {
                Some(tokens) => json_answer(200, &tokens),
                None => json_answer(401, &json!({"error": "invalid_grant"})),
            }
        }
        ("/v2/oauth2/token/revoke", None) => {
            state.web.lock().unwrap().revoked.push(form["token"].clone());
            json_answer(200, &json!({"active": false}))
        }
        _ => json_answer(404, &json!({"error": "not_found"})),
    }
}

fn is_the_application(headers: &HeaderMap) -> bool {
    let expected = STANDARD.encode(format!("{APPLICATION}:{APPLICATION_SECRET}"));
    headers.get(header::AUTHORIZATION).is_some_and(|got| *got == format!("Basic {expected}"))
}

fn introspect(form: &HashMap<String, String>, state: &State) -> Answer {
    let people = state.people.lock().unwrap();
    let Some(person) = people.get(&form["token"]) else {
        return json_answer(200, &json!({"active": false}));
    };
    let mut document = person.introspection.clone();
    let asked = |name: &str| form.get("include").is_some_and(|list| list.contains(name));
    for part in ["session_info", "identity_set_detail"] {
        if !asked(part) {
            document[part] = Value::Null;
        }
    }
    if form.get("authentication_policies").map(String::as_str) != Some(POLICY) {
        document["policy_evaluations"] = Value::Null;
    }
    json_answer(200, &document)
}

fn dependent(form: &HashMap<String, String>, state: &State) -> Answer {
    let people = state.people.lock().unwrap();
    let consented = people.get(&form["token"]).is_some_and(|person| person.groups.is_some());
    if !consented {
        return json_answer(400, &json!({"error": "invalid_grant"}));
    }
    let token = |server: &str, token: String| {
        json!({"access_token": token, "scope": "s", "expires_in": 120, "token_type": "Bearer",
            "resource_server": server})
    };
    json_answer(
        200,
        &json!([
            token("transfer.api.globus.org", "another".to_owned()),
            token("groups.api.globus.org", format!("groups-{}", form["token"])),
        ]),
    )
}

fn my_groups(headers: &HeaderMap, state: &State) -> Answer {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer groups-"));
    let people = state.people.lock().unwrap();
    let Some(groups) = token.and_then(|token| people.get(token)?.groups.clone()) else {
        return json_answer(401, &json!({"code": "AUTHENTICATION_ERROR"}));
    };
    let group = |(id, status): &(&str, &str)| {
        json!({"id": id, "name": "a group", "my_memberships":
            [{"group_id": id, "status": status, "role": "member"}]})
    };
    json_answer(200, &groups.iter().map(group).collect())
}

fn read_policy(id: &str, headers: &HeaderMap, state: &State) -> Answer {
    let authorized =
        headers.get(header::AUTHORIZATION).is_some_and(|got| *got == "Bearer own-token");
    let policy = state.policy.lock().unwrap().clone();
    match (authorized, policy["id"] == id) {
        (true, true) => json_answer(200, &json!({ "policy": policy })),
        (true, false) => json_answer(404, &json!({"error": "not_found"})),
        (false, _) => json_answer(401, &json!({"error": "unauthorized"})),
    }
}

fn failing(status: u16, retry_after: Option<u64>) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::from_u16(status).expect("a status");
    if let Some(seconds) = retry_after {
        answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    answer
}

fn json_answer(status: u16, body: &Value) -> Answer {
    let mut answer = Response::new(Full::new(body.to_string().into()));
    *answer.status_mut() = StatusCode::from_u16(status).expect("a status");
    answer
}
