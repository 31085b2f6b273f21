//! Is the process there, can it serve, and which clusters are up. None of it asks anybody: the
//! answers come from what background tasks have noted, so they never hang with what they tell of.

mod routes;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use metrics::gauge;
use serde::Serialize;
use serde_json::{Value, json};

pub(super) use self::routes::ready;
pub use self::routes::routes;
use crate::{
    auth::globus::Logins,
    cache::Cache,
    catalog::Catalog,
    domain::{Health, Trouble},
    store::{Reader, RowWriter},
};

/// Who asks `/ready` by this name does not watch: `figw doctor`, which wants to know whether anybody does.
pub const UNNOTED_AGENT: HeaderValue = HeaderValue::from_static("figw-doctor");

/// No moment at all.
const NEVER: u64 = u64::MAX;

/// What `/ready` is answered from.
#[derive(Debug)]
pub struct Readiness {
    /// The name of this instance, for its operator.
    pub instance: String,
    /// When the process began.
    pub started_at: Timestamp,
    catalog: Arc<Catalog>,
    rows: RowWriter,
    replicas: Option<Reader>,
    cache: Option<Cache>,
    logins: Option<Logins>,
    /// What is looked at from time to time in the background.
    pub noted: Noted,
    /// When `/ready` was last asked for.
    pub ready_asked: Asked,
    /// When the metrics were.
    pub metrics_asked: Asked,
    draining: RwLock<Option<Draining>>,
    /// How long requests are still served once an operator drains: load balancers that ask for
    /// `/ready` notice in time.
    grace: Duration,
    epoch: Instant,
    /// From when on requests are refused, in milliseconds since `epoch`.
    refusing_from: AtomicU64,
    /// How each check was when somebody last asked, and since when.
    last_seen: Mutex<HashMap<&'static str, (State, Timestamp)>>,
}

/// What can only be found out by looking, which `/ready` itself never does.
#[derive(Debug, Default)]
pub struct Noted {
    /// Whether there is room for the spool.
    pub spool: Health,
    /// Whether the database has a schema that this program cannot serve with.
    pub wrong_schema: Health,
    /// Whether a newer program has migrated the database.
    pub newer_schema: Health,
    /// Whether any endpoint can be used.
    pub endpoints: Health,
}

/// When something was last asked for: whether anybody watches.
#[derive(Debug, Default)]
pub struct Asked(AtomicI64);

impl Asked {
    /// Now.
    pub fn now(&self) {
        self.0.store(Timestamp::now().as_second(), Ordering::Relaxed);
    }

    /// The last time; none when nobody has asked since the process began.
    #[must_use]
    pub fn last(&self) -> Option<Timestamp> {
        let last = Some(self.0.load(Ordering::Relaxed)).filter(|last| *last != 0);
        last.and_then(|last| Timestamp::from_second(last).ok())
    }
}

/// Why and since when an instance asks not to be sent requests.
#[derive(Debug, Clone)]
struct Draining {
    since: Timestamp,
    reason: &'static str,
    /// Whether the process is ending, which nobody can take back.
    is_final: bool,
}

/// The state of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Degraded,
    Failed,
}

#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    state: State,
    since: Timestamp,
    reason: Option<String>,
}

impl Readiness {
    /// Ready from now on.
    #[must_use]
    pub fn new(instance: String, catalog: Arc<Catalog>, rows: RowWriter) -> Self {
        let started_at = Timestamp::now();
        Self {
            instance,
            started_at,
            catalog,
            rows,
            replicas: None,
            cache: None,
            logins: None,
            noted: Noted::default(),
            ready_asked: Asked::default(),
            metrics_asked: Asked::default(),
            draining: RwLock::default(),
            grace: Duration::ZERO,
            epoch: Instant::now(),
            refusing_from: AtomicU64::new(NEVER),
            last_seen: Mutex::default(),
        }
    }

    /// Serves requests for so long after an operator has begun to drain.
    #[must_use]
    pub fn with_grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// Tells of the replicas that are read from, too, where there are any.
    #[must_use]
    pub fn with_replicas(self, reader: Reader) -> Self {
        Self { replicas: Some(reader).filter(Reader::has_replicas), ..self }
    }

    /// Tells of `cache`, too, where instances share one.
    #[must_use]
    pub fn with_cache(self, cache: Cache) -> Self {
        Self { cache: Some(cache).filter(Cache::is_shared), ..self }
    }

    /// Tells of logins with Globus, too, where there are any.
    #[must_use]
    pub fn with_logins(self, logins: Option<Logins>) -> Self {
        Self { logins, ..self }
    }

    /// Asks not to be sent requests any more, for the process is ending; those that come are served
    /// all the same.
    pub fn stop(&self) {
        let mut draining = self.draining.write().unwrap_or_else(PoisonError::into_inner);
        let since = draining.as_ref().map_or_else(Timestamp::now, |draining| draining.since);
        *draining = Some(Draining { since, reason: "stopping", is_final: true });
    }

    /// The same on an operator's word: after the grace, requests are refused, so that load balancers
    /// which do not ask for `/ready` go elsewhere, too.
    pub fn drain(&self) {
        let (since, reason) = (Timestamp::now(), "drained by its operator");
        let mut draining = self.draining.write().unwrap_or_else(PoisonError::into_inner);
        draining.get_or_insert(Draining { since, reason, is_final: false });
        let from = self.epoch.elapsed() + self.grace;
        let from = u64::try_from(from.as_millis()).unwrap_or(NEVER);
        self.refusing_from.fetch_min(from, Ordering::Relaxed);
    }

    /// Whether requests are refused by now.
    #[must_use]
    pub fn is_refusing(&self) -> bool {
        let from = self.refusing_from.load(Ordering::Relaxed);
        from != NEVER && self.epoch.elapsed() >= Duration::from_millis(from)
    }

    /// Takes requests again, and says so, unless the process is ending.
    pub fn undrain(&self) -> bool {
        let mut draining = self.draining.write().unwrap_or_else(PoisonError::into_inner);
        if draining.as_ref().is_some_and(|draining| draining.is_final) {
            return false;
        }
        *draining = None;
        self.refusing_from.store(NEVER, Ordering::Relaxed);
        true
    }

    /// Whether it asks not to be sent requests.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Whether `/ready` answers 200.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.report().0.is_success()
    }

    /// Tells metrics what `/ready` would say now.
    pub fn measure(&self) {
        let flag = |is: bool| if is { 1.0 } else { 0.0 };
        let checks = self.checks();
        gauge!("figw_ready").set(flag(checks.iter().all(|check| check.state != State::Failed)));
        gauge!("figw_draining").set(flag(self.is_draining()));
        for check in checks {
            gauge!("figw_check_ok", "check" => check.name).set(flag(check.state == State::Ok));
        }
    }

    fn checks(&self) -> Vec<Check> {
        let mut checks = vec![
            self.serving(),
            self.database(),
            self.schema(),
            self.rows(),
            self.check("spool", self.noted.spool.trouble()),
            self.check("endpoints", self.noted.endpoints.trouble()),
        ];
        let replicas = self.replicas.as_ref().map(|r| self.check("replicas", r.trouble()));
        let cache = self.cache.as_ref().map(|cache| self.check("cache", cache.trouble()));
        let logins = self.logins.as_ref().map(|logins| self.check("globus", logins.trouble()));
        checks.extend(replicas.into_iter().chain(cache).chain(logins));
        self.remember(&mut checks);
        checks
    }

    /// What is well again is so since that was first seen.
    fn remember(&self, checks: &mut [Check]) {
        let now = Timestamp::now();
        let mut last_seen = self.last_seen.lock().unwrap_or_else(PoisonError::into_inner);
        for check in checks {
            let (state, since) = last_seen.entry(check.name).or_insert((check.state, check.since));
            if check.state != State::Ok {
                *since = check.since;
            } else if *state != State::Ok {
                *since = now;
            }
            *state = check.state;
            check.since = *since;
        }
    }

    fn ok(&self, name: &'static str) -> Check {
        Check { name, state: State::Ok, since: self.started_at, reason: None }
    }

    fn serving(&self) -> Check {
        let draining = self.draining.read().unwrap_or_else(PoisonError::into_inner).clone();
        match draining {
            None => self.ok("serving"),
            Some(Draining { since, reason, .. }) => Check {
                name: "serving",
                state: State::Failed,
                since,
                reason: Some(reason.to_owned()),
            },
        }
    }

    fn database(&self) -> Check {
        self.check("database", self.catalog.trouble())
    }

    /// Whatever figw can do without for a while.
    fn check(&self, name: &'static str, trouble: Option<Arc<Trouble>>) -> Check {
        match trouble {
            None => self.ok(name),
            Some(trouble) => Check {
                name,
                state: State::Degraded,
                since: trouble.since,
                reason: Some(without_addresses(&trouble.error)),
            },
        }
    }

    fn rows(&self) -> Check {
        let state = self.rows.state();
        if state.is_well() {
            return self.ok("rows");
        }
        let (since, reason) = match (state.spool_error.or(state.last_error), state.refusal) {
            (None, Some((at, refusal))) => (
                Some(at),
                format!(
                    "the database has refused rows, which lie aside in the spool until the next \
                     start tries again: {refusal}"
                ),
            ),
            (error, _) => (
                state.since,
                format!(
                    "{}; {} rows wait in the spool",
                    error.unwrap_or_default(),
                    state.spool_rows
                ),
            ),
        };
        Check {
            name: "rows",
            state: State::Degraded,
            since: since.unwrap_or(self.started_at),
            reason: Some(without_addresses(&reason)),
        }
    }

    /// A schema that lacks something would fail requests; one that a newer program has migrated
    /// serves both until all instances are new.
    fn schema(&self) -> Check {
        match self.noted.wrong_schema.trouble() {
            Some(trouble) => Check {
                name: "schema",
                state: State::Failed,
                since: trouble.since,
                reason: Some(without_addresses(&trouble.error)),
            },
            None => self.check("schema", self.noted.newer_schema.trouble()),
        }
    }

    pub(super) fn report(&self) -> (StatusCode, Value) {
        let checks = self.checks();
        let (status, word) = if checks.iter().any(|check| check.state == State::Failed) {
            (StatusCode::SERVICE_UNAVAILABLE, "unready")
        } else if checks.iter().any(|check| check.state == State::Degraded) {
            (StatusCode::OK, "degraded")
        } else {
            (StatusCode::OK, "ready")
        };
        let body = json!({ "status": word, "instance": self.instance, "checks": checks });
        (status, body)
    }
}

/// A reason as everybody may read it: the log has the address, with the user and the database.
fn without_addresses(reason: &str) -> String {
    let words = reason.split(' ').filter(|word| !word.contains("://"));
    words.collect::<Vec<_>>().join(" ")
}
