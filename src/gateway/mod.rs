//! The life of one inference request: authorise, choose an endpoint, send, relay, record.

mod allowance;
mod attempt;
pub mod batches;
pub mod budgets;
pub mod choose;
mod cluster;
pub mod jobs;
pub mod lines;
mod log;
pub mod meters;
pub mod miss;
pub mod record;
pub mod refusal;
pub mod relay;
mod remote;
pub mod reply;
pub mod routing;
pub mod scan;
mod spans;
pub mod staging;
pub mod tasks;
pub mod transcript;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;
use uuid::Uuid;

pub use budgets::Budgets;
pub use record::InFlight;
pub use refusal::Refusal;
pub use reply::{Reply, ReplyBody};
pub use staging::StagingArea;

use self::{
    batches::Batches,
    jobs::JobLists,
    lines::{Line, Lines},
    miss::{Blame, Miss},
    record::{Books, CALLER_HUNG_UP, Record, micros_since},
    routing::{Course, Fault, Rooms, Routing},
    scan::{Invalid, Scan},
    tasks::Tasks,
    transcript::Transcript,
};
use crate::{
    backends::{
        direct_api::DirectClient,
        globus_compute::{Compute, streams::StreamHub},
        metis::Manifests,
    },
    catalog::Catalog,
    config::Prompts,
    domain::{AccessRow, Caller, Route, TokenCount, UsageRow},
    limits::{Allowance, Limits, Standing},
    store::RowWriter,
    telemetry::{access, scope::Scope},
};

/// Bodies from this size on, in bytes, are scanned aside.
const LONG_BODY: usize = 256 * 1024;

/// Characters of a path that are stored.
const LONGEST_PATH: usize = 512;

/// Everything that serving a request takes; shared by all connections.
#[derive(Debug)]
pub struct Gateway {
    /// Clusters, endpoints, federations and keys.
    pub catalog: Arc<Catalog>,
    /// Where rows go.
    pub rows: RowWriter,
    /// Connections to back ends.
    pub client: DirectClient,
    /// Globus Compute, when it is configured.
    pub compute: Option<Compute>,
    /// Where functions of Globus Compute post their streams, when that is configured.
    pub streams: Option<StreamHub>,
    /// Directories for users on a Globus collection, when they are configured.
    pub staging: Option<StagingArea>,
    /// Where batches are kept.
    pub batches: Batches,
    /// What is live on Metis.
    pub manifests: Manifests,
    /// What runs on clusters.
    pub job_lists: JobLists,
    /// Tasks that are asked for later.
    pub tasks: Tasks,
    /// Limits on callers.
    pub limits: Arc<Limits>,
    /// What a reload can change.
    pub settings: ArcSwap<Settings>,
    /// Endpoints that have been asked for.
    pub lines: Lines,
    /// Where requests wait for an endpoint.
    pub rooms: Rooms,
    /// Requests that have an endpoint and are not at their end.
    pub in_flight: InFlight,
}

/// Settings that a reload can change while requests are served.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Requests per second of one user; 0 means no limit.
    pub requests_per_second: u32,
    /// Batches of one user that may be open at one time; 0 means no limit.
    pub max_active_batches: u32,
    /// How long back ends may take.
    pub budgets: Budgets,
    /// How one of several endpoints is chosen.
    pub routing: Routing,
    /// What is stored of prompts and answers.
    pub prompts: Prompts,
    /// The longest body taken, in bytes.
    pub max_body_bytes: usize,
    /// The longest pause in the middle of a request's body.
    pub body_timeout: Duration,
}

/// Where a request is to be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Wherever the model is.
    Anywhere,
    /// On one cluster's framework.
    On {
        /// The cluster's name.
        cluster: String,
        /// The framework's name.
        framework: String,
    },
}

/// A request's head, as far as any request has one.
#[derive(Debug)]
pub struct Head {
    /// What the caller sees as `x-request-id`.
    pub request_id: HeaderValue,
    /// When the head had been read.
    pub started: Instant,
    /// The same by the clock on the wall.
    pub started_at: Timestamp,
    /// The HTTP method.
    pub method: http::Method,
    /// The path.
    pub path: String,
    /// Who asks, as far as trusted proxies tell.
    pub client: std::net::IpAddr,
    /// What lines in the log say of it.
    pub scope: Arc<Scope>,
}

/// An inference request of a known caller.
#[derive(Debug)]
pub struct Inference {
    /// Its head.
    pub head: Arc<Head>,
    /// Its headers.
    pub headers: HeaderMap,
    /// Who asks.
    pub caller: Arc<Caller>,
    /// How far the caller's limit on requests is used up, where there is one.
    pub requests: Option<Standing>,
    /// How long its body was waited for.
    pub waited: Duration,
    /// Where it is to be answered.
    pub place: Place,
    /// What is asked.
    pub route: Route,
    /// The body as it came.
    pub body: Bytes,
}

impl Gateway {
    /// Answers one inference request and accounts for it.
    ///
    /// # Errors
    /// Why it is not served.
    pub async fn infer(&self, request: Inference) -> Result<Reply, Refusal> {
        let requests = request.requests;
        self.answer_or_refuse(request).await.map_err(|mut refusal| {
            refusal.allowance.requests = requests;
            refusal
        })
    }

    async fn answer_or_refuse(&self, request: Inference) -> Result<Reply, Refusal> {
        let scan = match scanned(request.route, &request.body).await {
            Ok(scan) => scan,
            Err(invalid) => {
                let refusal = Refusal::from(invalid);
                self.record_invalid(&request.head, &request.caller, &refusal);
                request.head.trace_refusal(request.route, &refusal);
                return Err(refusal);
            }
        };
        let field = {
            let snapshot = self.catalog.load();
            choose::choose(
                &snapshot,
                &request.caller,
                &request.place,
                request.route,
                &scan.model,
                self.compute.is_some(),
            )
        };
        let field = field.inspect_err(|refusal| {
            self.record_refusal(&request.head, &request.caller, Some(&scan.model), refusal);
            request.head.trace_refusal(request.route, refusal);
        })?;
        let mut course = Course::new(self, field, request.head.started);
        let record = self.open_record(&request, &scan, course.first());
        self.run(&request, &scan, &mut course, record).await
    }

    /// Sends the request to one endpoint after the other until one answers.
    async fn run(
        &self,
        request: &Inference,
        scan: &Scan<'_>,
        course: &mut Course<'_>,
        mut record: Record,
    ) -> Result<Reply, Refusal> {
        let mut last = None;
        loop {
            let next = course.next().await;
            record.waited(course.take_waited());
            let (index, stay) = match next {
                Ok(Some(next)) => next,
                Ok(None) => {
                    return Err(record.refuse(last.unwrap_or_else(|| course.nobody(&scan.model))));
                }
                Err(refusal) => return Err(record.refuse(refusal)),
            };
            let contender = course.contender(index);
            record.sent_to(&contender.line, stay);
            let attempt = match self.reserve(request, scan, contender).await {
                Ok(reservation) => {
                    record.reserved(reservation);
                    self.attempt(request, scan, course, index, &mut record).await
                }
                // Another endpoint may have tokens left.
                Err(refusal) => Err(refusal.blamed_on(Blame::Nobody)),
            };
            match attempt {
                Ok(ready) => {
                    if let Some(pause) = ready.too_busy()
                        && course.too_busy(index, pause)
                    {
                        record.left();
                        continue;
                    }
                    if ready.status.is_success() {
                        course.answered(index);
                        record.well_answered();
                    }
                    let endpoint = course.contender(index).line.names.header.clone();
                    let hide_usage = scan.usage_edit.is_some();
                    let tokens = record.standing();
                    let mut reply = ready.hand_on(endpoint, request.route, hide_usage, record);
                    let allowance = Allowance { requests: request.requests, tokens };
                    allowance.write(&mut reply.headers);
                    return Ok(reply);
                }
                Err(Miss { refusal, blame: Blame::Request }) => return Err(record.refuse(refusal)),
                Err(Miss { refusal, blame }) => {
                    // Who was given only what time others had left is not to blame for needing more.
                    let late = refusal.status == StatusCode::GATEWAY_TIMEOUT;
                    if let Blame::Endpoint(fault) = blame
                        && !(late && fault == Fault::Failed && course.is_short_of_time())
                    {
                        record.endpoint_failed(fault);
                    }
                    record.left();
                    course.missed(index, blame);
                    last = Some(refusal);
                }
            }
        }
    }

    /// Writes down a request that was answered without any back end, or refused.
    pub fn record_access(
        &self,
        head: &Head,
        caller: &Caller,
        status: StatusCode,
        model: Option<&str>,
        error: Option<&str>,
    ) {
        // What is said of an invalid request quotes it.
        let told = error.filter(|_| status != StatusCode::BAD_REQUEST);
        head.log(status, Some(caller), model, told);
        self.write_access(head, caller, status, model, error);
    }

    fn write_access(
        &self,
        head: &Head,
        caller: &Caller,
        status: StatusCode,
        model: Option<&str>,
        error: Option<&str>,
    ) {
        self.rows.record_access(AccessRow {
            id: Uuid::now_v7(),
            request_id: head.request_id.to_str().unwrap_or_default().to_owned(),
            started_at: head.started_at,
            user: Arc::clone(&caller.user),
            key_id: caller.key_id,
            method: head.method.to_string(),
            path: head.path.chars().take(LONGEST_PATH).collect(),
            status: status.as_u16(),
            duration_us: micros_since(head.started),
            model: model.map(ToOwned::to_owned),
            error: error.map(ToOwned::to_owned),
        });
    }

    /// Writes down a request that was refused.
    pub fn record_refusal(
        &self,
        head: &Head,
        caller: &Caller,
        model: Option<&str>,
        refusal: &Refusal,
    ) {
        head.log(refusal.status, Some(caller), model, Some(refusal.for_log()));
        self.write_access(head, caller, refusal.status, model, Some(&refusal.message));
    }

    /// The same of a request that is refused in words which quote it: they are stored where texts are.
    fn record_invalid(&self, head: &Head, caller: &Caller, refusal: &Refusal) {
        let discreet = refusal.for_log();
        head.log(refusal.status, Some(caller), None, Some(discreet));
        let stores_texts = self.settings.load().prompts != Prompts::Off;
        let told = if stores_texts { &refusal.message } else { discreet };
        self.write_access(head, caller, refusal.status, None, Some(told));
    }

    fn open_record(&self, request: &Inference, scan: &Scan<'_>, line: &Line) -> Record {
        let names = &line.names;
        let row = UsageRow {
            id: Uuid::now_v7(),
            request_id: request.head.request_id.to_str().unwrap_or_default().to_owned(),
            started_at: request.head.started_at,
            user: Arc::clone(&request.caller.user),
            key_id: request.caller.key_id,
            cluster: Arc::clone(&names.cluster),
            framework: Arc::clone(&names.framework),
            endpoint: Arc::clone(&names.endpoint),
            model: names.model_asked_for(&scan.model),
            route: request.route,
            streamed: scan.stream,
            status: CALLER_HUNG_UP,
            backend_status: None,
            tokens: TokenCount::default(),
            first_byte_us: None,
            duration_us: 0,
            request_bytes: request.body.len() as u64,
            response_bytes: 0,
            error: None,
        };
        let books = Books {
            sink: self.rows.clone(),
            meters: Arc::clone(&line.meters),
            in_flight: self.in_flight.enter(),
            stay: None,
            reservation: None,
            head: access::is_on().then(|| Arc::clone(&request.head)),
        };
        let transcript = Transcript::of(&request.body, self.settings.load().prompts);
        let mut record = Record::open(row, &request.head, scan.prompt_bytes, transcript, books);
        record.waited(request.waited);
        record
    }
}

/// A long body takes milliseconds to scan, which other requests of the thread must not wait for.
async fn scanned(route: Route, body: &Bytes) -> Result<Scan<'_>, Invalid> {
    if body.len() < LONG_BODY {
        return scan::scan(route, body);
    }
    let shared = body.clone();
    let scan = move || scan::scan(route, &shared).map(Scan::into_owned);
    match tokio::task::spawn_blocking(scan).await {
        Ok(scan) => scan,
        // The runtime is shutting down; nobody waits for the answer.
        Err(_) => scan::scan(route, body),
    }
}
