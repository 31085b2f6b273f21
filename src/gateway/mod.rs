//! The life of one inference request: authorise, choose an endpoint, send, relay, record.

pub mod batches;
pub mod budgets;
pub mod choose;
mod cluster;
pub mod jobs;
pub mod lines;
pub mod meters;
pub mod record;
pub mod refusal;
pub mod relay;
mod remote;
pub mod reply;
pub mod scan;
pub mod staging;
pub mod tasks;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
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
    lines::{Line, Lines, Way},
    record::{Books, CALLER_HUNG_UP, Record, micros_since},
    scan::{Invalid, Scan, splice::splice},
    tasks::Tasks,
};
use crate::{
    backends::{
        Answer, BackendError, Call,
        direct_api::{DirectClient, DirectTarget},
        echo,
        globus_compute::{Compute, streams::StreamHub},
        headers,
        metis::{Manifests, MetisTarget},
    },
    catalog::{Catalog, Served},
    domain::{AccessRow, Caller, Route, TokenCount, UsageRow},
    limits::RequestLimits,
    store::RowWriter,
};

/// Bodies from this size on, in bytes, are scanned aside.
const LONG_BODY: usize = 256 * 1024;

/// What callers are told to wait when a model is not live on Metis: until the manifest is read anew.
const METIS_RETRY: Duration = Duration::from_mins(1);

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
    /// What a reload can change.
    pub settings: ArcSwap<Settings>,
    /// Endpoints that have been asked for.
    pub lines: Lines,
    /// Requests that have an endpoint and are not at their end.
    pub in_flight: InFlight,
}

/// Settings that a reload can change while requests are served.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Limits on callers.
    pub limits: Arc<RequestLimits>,
    /// Batches of one user that may be open at one time; 0 means no limit.
    pub max_active_batches: u32,
    /// How long back ends may take.
    pub budgets: Budgets,
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
#[derive(Debug, Clone)]
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
}

/// An inference request of a known caller.
#[derive(Debug)]
pub struct Inference {
    /// Its head.
    pub head: Head,
    /// Its headers.
    pub headers: HeaderMap,
    /// Who asks.
    pub caller: Arc<Caller>,
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
        let scan = match scanned(request.route, &request.body).await {
            Ok(scan) => scan,
            Err(invalid) => {
                let refusal = Refusal::from(invalid);
                self.record_refusal(&request.head, &request.caller, None, &refusal);
                return Err(refusal);
            }
        };
        let served = {
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
        let served = served.inspect_err(|refusal| {
            self.record_refusal(&request.head, &request.caller, Some(&scan.model), refusal);
        })?;
        let line = self.lines.to(&served);
        let mut record = self.open_record(&request, &scan, &line);
        match self.send(&request, &scan, &served, &line, &mut record).await {
            Ok((answer, budgets)) => {
                let hide_usage = scan.usage_edit.is_some();
                reply::reply(answer, request.route, scan.stream, hide_usage, record, budgets).await
            }
            Err(refusal) => Err(record.refuse(refusal)),
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
        self.rows.record_access(AccessRow {
            id: Uuid::now_v7(),
            request_id: head.request_id.to_str().unwrap_or_default().to_owned(),
            started_at: head.started_at,
            user: Arc::clone(&caller.user),
            key_id: caller.key_id,
            method: head.method.to_string(),
            path: head.path.clone(),
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
        self.record_access(head, caller, refusal.status, model, Some(&refusal.message));
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
        };
        Record::open(row, request.head.started, scan.prompt_bytes, books)
    }

    /// Sends the request to its endpoint and waits for the answer's head.
    async fn send(
        &self,
        request: &Inference,
        scan: &Scan<'_>,
        served: &Served,
        line: &Line,
        record: &mut Record,
    ) -> Result<(Answer, Budgets), Refusal> {
        let call = call(request, scan, served);
        let budgets = self.settings.load().budgets;
        let current;
        let target = match &line.way {
            Ok(Way::Direct(target)) => &**target,
            Ok(Way::GlobusCompute(target)) => {
                let started = request.head.started;
                let answer =
                    self.send_to_cluster(target, call, served, started, budgets, record).await?;
                return Ok((answer, budgets));
            }
            Ok(Way::Metis(target)) => {
                current = self.live(target, served).await?;
                &*current
            }
            Ok(Way::Echo(settings)) => {
                let answer = echo::send(settings, &call).map_err(|e| failed(served, &e))?;
                record.answered(answer.status);
                return Ok((answer, budgets));
            }
            Err(refusal) => return Err(refusal.clone()),
        };
        let total = target.request_timeout.unwrap_or(budgets.total);
        let budgets = Budgets { total, ..budgets };
        let deadline = request.head.started + budgets.first_byte.min(total);
        let sent = tokio::time::timeout_at(deadline.into(), self.client.send(target, call)).await;
        let answer = sent.map_err(|_| too_slow(served))?.map_err(|error| failed(served, &error))?;
        record.answered(answer.status);
        Ok((answer, budgets))
    }

    /// Where a model of Metis is to be asked, if it is live.
    async fn live(
        &self,
        target: &MetisTarget,
        served: &Served,
    ) -> Result<Arc<DirectTarget>, Refusal> {
        target.live(&self.manifests).await.map_err(|reason| {
            let message = format!("The model '{}' {reason}.", served.endpoint.model);
            Refusal::unavailable("model_not_live", message, METIS_RETRY)
        })
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

/// The request as the back end gets it.
fn call(request: &Inference, scan: &Scan<'_>, served: &Served) -> Call {
    let rename =
        (scan.model != served.endpoint.model).then(|| scan.rename_model(&served.endpoint.model));
    let edits = rename.into_iter().chain(scan.usage_edit.clone()).collect();
    let mut headers = headers::to_backend(&request.headers);
    headers.insert("x-request-id", request.head.request_id.clone());
    headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    Call { route: request.route, stream: scan.stream, headers, body: splice(&request.body, edits) }
}

fn too_slow(served: &Served) -> Refusal {
    Refusal::too_slow(format!("Endpoint {} did not begin to answer in time.", served.endpoint.slug))
}

fn failed(served: &Served, error: &BackendError) -> Refusal {
    let slug = &served.endpoint.slug;
    tracing::warn!(endpoint = slug, %error, "the back end failed");
    Refusal::bad_gateway(match error {
        BackendError::Connect(_) => format!("Endpoint {slug} cannot be reached."),
        BackendError::Broken(_) => format!("Endpoint {slug} broke off before answering."),
    })
}
