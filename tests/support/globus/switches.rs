//! What goes wrong at a service, and what it was asked.

use std::{
    collections::VecDeque,
    sync::Mutex,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, header};
use serde_json::Value;
use tokio::sync::watch;
use uuid::Uuid;

/// A service of Globus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    Auth,
    Groups,
    Transfer,
    Compute,
}

impl Service {
    pub(super) const ALL: [Self; 4] = [Self::Auth, Self::Groups, Self::Transfer, Self::Compute];
}

/// What a service does instead of its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// Nobody listens, and open connections are closed. Not for [`super::FakeGlobus::trouble_next`].
    Refused,
    /// It fails with this status and no reason.
    Status(u16),
    /// It takes no more requests (429), and may say for how many seconds.
    Busy(Option<u64>),
    /// It never answers.
    Hang,
    /// It answers with a page instead of JSON.
    Page,
}

/// A request that a service was sent.
#[derive(Debug, Clone)]
pub struct Asked {
    pub at: Instant,
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Asked {
    /// Method and path, with `{id}` for each identifier.
    pub fn route(&self) -> String {
        let part = |part: &str| {
            if Uuid::parse_str(part).is_ok() { "{id}".to_owned() } else { part.to_owned() }
        };
        let path: Vec<_> = self.path.split('/').map(part).collect();
        format!("{} {}", self.method, path.join("/"))
    }

    /// The identifiers in the path.
    pub fn ids(&self) -> Vec<Uuid> {
        self.path.split('/').filter_map(|part| Uuid::parse_str(part).ok()).collect()
    }

    /// A field of a form.
    pub fn field(&self, name: &str) -> Option<String> {
        pairs(&self.body).find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// A parameter of the query.
    pub fn parameter(&self, name: &str) -> Option<String> {
        pairs(self.query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn bearer(&self) -> Option<&str> {
        self.header(header::AUTHORIZATION)?.strip_prefix("Bearer ")
    }

    /// Id and secret of basic authentication.
    pub(super) fn basic(&self) -> Option<(String, String)> {
        let encoded = self.header(header::AUTHORIZATION)?.strip_prefix("Basic ")?;
        let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
        text.split_once(':').map(|(id, secret)| (id.to_owned(), secret.to_owned()))
    }
}

fn pairs(encoded: &[u8]) -> impl Iterator<Item = (String, String)> {
    url::form_urlencoded::parse(encoded).map(|(key, value)| (key.into_owned(), value.into_owned()))
}

/// A service's switches and its record.
pub(super) struct Desk {
    port: u16,
    switches: Mutex<Switches>,
    asked: Mutex<Vec<Asked>>,
    /// Whether it is to listen.
    pub(super) open: watch::Sender<bool>,
    /// Whether it does.
    pub(super) listens: watch::Sender<bool>,
}

#[derive(Default)]
struct Switches {
    always: Option<Trouble>,
    next: VecDeque<Trouble>,
    delay: Duration,
    limit: Option<(usize, Duration)>,
    /// When the requests within the limit came.
    taken: VecDeque<Instant>,
}

impl Desk {
    pub(super) fn new(port: u16) -> Self {
        Self {
            port,
            switches: Mutex::default(),
            asked: Mutex::default(),
            open: watch::Sender::new(true),
            listens: watch::Sender::new(true),
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn always(&self, trouble: Option<Trouble>) {
        let open = trouble != Some(Trouble::Refused);
        self.switches.lock().unwrap().always = trouble;
        self.open.send_replace(open);
        let given_up = Instant::now() + Duration::from_secs(5);
        while *self.listens.borrow() != open {
            assert!(Instant::now() < given_up, "port {} is still not as wanted", self.port);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(super) fn next(&self, troubles: impl IntoIterator<Item = Trouble>) {
        self.switches.lock().unwrap().next.extend(troubles);
    }

    pub(super) fn delay(&self, delay: Duration) {
        self.switches.lock().unwrap().delay = delay;
    }

    pub(super) fn limit(&self, limit: Option<(usize, Duration)>) {
        self.switches.lock().unwrap().limit = limit;
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Keeps the request; says how long to think, and what to do instead of the work.
    pub(super) fn admit(&self, asked: &Asked) -> (Duration, Option<Trouble>) {
        self.asked.lock().unwrap().push(asked.clone());
        let mut switches = self.switches.lock().unwrap();
        let trouble = switches.next.pop_front().or_else(|| switches.always.clone());
        (switches.delay, trouble.or_else(|| switches.over_limit(asked.at)))
    }
}

impl Switches {
    fn over_limit(&mut self, now: Instant) -> Option<Trouble> {
        let (most, span) = self.limit?;
        while self.taken.front().is_some_and(|at| now.saturating_duration_since(*at) >= span) {
            self.taken.pop_front();
        }
        if self.taken.len() < most {
            self.taken.push_back(now);
            return None;
        }
        let oldest = self.taken.front().copied().unwrap_or(now);
        let wait = span.saturating_sub(now.saturating_duration_since(oldest));
        Some(Trouble::Busy(Some(wait.as_secs() + 1)))
    }
}
