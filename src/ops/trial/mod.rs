//! One real request to an endpoint's back end, as small as can be: for `figw endpoint test`, and for
//! all who must know whether an endpoint answers.

mod remote;

use std::{
    fmt::{self, Write as _},
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    backends::globus_compute::Compute,
    config::secret::MASK,
    domain::{Cluster, Endpoint, EndpointSettings, Route, catalog::DirectApi},
    outbound,
};

/// How long an answer may take when neither the caller nor the endpoint says.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);

/// More of an answer than this is not needed to judge it.
const LARGEST_ANSWER: usize = 1024 * 1024;

/// The status and the body of an answer, or why there is none.
type Answered = anyhow::Result<(u16, Vec<u8>)>;

/// What is to be tried.
#[derive(Debug, Clone, Copy)]
pub struct Trial<'a> {
    /// The endpoint.
    pub endpoint: &'a Endpoint,
    /// Its cluster.
    pub cluster: &'a Cluster,
    /// The key that its back end wants.
    pub api_key: Option<&'a SecretString>,
    /// The route to ask; the first that the cluster offers when it is not given.
    pub route: Option<Route>,
    /// How long the answer may take; as the endpoint has it when it is not given.
    pub patience: Option<Duration>,
}

/// Why nothing could be tried.
#[derive(Debug, thiserror::Error)]
pub enum NotTried {
    /// The endpoint's settings, or the configuration, make no sense.
    #[error("{0}")]
    Misconfigured(String),
    /// Anything else.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct TrialReport {
    /// The endpoint's slug.
    pub endpoint: String,
    /// Whether it answers as it should.
    pub ok: bool,
    adapter: &'static str,
    url: Option<String>,
    /// The back end's HTTP status.
    pub status: Option<u16>,
    /// The model as the back end calls it.
    model: Option<String>,
    /// How long the answer took.
    pub latency_ms: Option<u64>,
    note: Option<&'static str>,
    /// What is wrong with the answer.
    pub error: Option<String>,
}

impl Trial<'_> {
    /// Sends the request, and judges the answer. `compute` leads to endpoints behind Globus Compute.
    ///
    /// # Errors
    /// When nothing could be sent; an endpoint that fails is a report.
    pub async fn run(&self, compute: Option<&Compute>) -> Result<TrialReport, NotTried> {
        let route = self.route.unwrap_or_else(|| usual_route(self.cluster));
        let request = smallest_request(route, &self.endpoint.model);
        let mut report = TrialReport::new(self.endpoint);
        let started = Instant::now();
        let answer = match &self.endpoint.settings {
            EndpointSettings::DirectApi(settings) => {
                let url = format!("{}/{}", settings.api_url.trim_end_matches('/'), route.as_str());
                report.url = Some(url.clone());
                let mut request = self.client(settings)?.post(&url).json(&request);
                if let Some(key) = self.api_key {
                    request = request.bearer_auth(key.expose_secret());
                }
                read_answer(request).await
            }
            EndpointSettings::GlobusCompute(settings) => {
                let patience = self.patience.unwrap_or(PATIENCE);
                remote::through_globus(settings, (route, &request), compute, patience).await?
            }
            EndpointSettings::Metis(settings) => {
                remote::through_metis(self, settings, (route, &request)).await?
            }
            EndpointSettings::Echo(_) => {
                report.ok = true;
                report.model = Some(self.endpoint.model.clone());
                report.note = Some("the gateway answers for it itself, nothing was sent");
                return Ok(report);
            }
        };
        report.latency_ms = Some(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
        report.take(answer.map(|(status, body)| (status, self.without_key(body))));
        Ok(report)
    }

    /// An answer that repeats the key that was sent goes into reports and alerts without it.
    fn without_key(&self, body: Vec<u8>) -> Vec<u8> {
        match self.api_key.map(ExposeSecret::expose_secret) {
            Some(key) if !key.is_empty() => {
                String::from_utf8_lossy(&body).replace(key, MASK).into_bytes()
            }
            _ => body,
        }
    }

    fn client(&self, settings: &DirectApi) -> anyhow::Result<reqwest::Client> {
        // Fails only when a provider is installed already, which is just as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder()
            .user_agent(concat!("figw/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .timeout(self.patience.or(settings.request_timeout).unwrap_or(PATIENCE))
            .build()
            .context("cannot set up an HTTP client")
    }
}

fn usual_route(cluster: &Cluster) -> Route {
    let offered = Route::ALL.into_iter().find(|route| cluster.routes.contains(route));
    offered.unwrap_or(Route::ChatCompletions)
}

impl TrialReport {
    fn new(endpoint: &Endpoint) -> Self {
        Self {
            endpoint: endpoint.slug.clone(),
            ok: false,
            adapter: endpoint.settings.adapter().as_str(),
            url: None,
            status: None,
            model: None,
            latency_ms: None,
            note: None,
            error: None,
        }
    }

    fn take(&mut self, answer: Answered) {
        match answer {
            Err(error) => self.error = Some(format!("{error:#}")),
            Ok((status, body)) => {
                self.status = Some(status);
                self.judge(status, &body);
            }
        }
    }

    fn judge(&mut self, status: u16, body: &[u8]) {
        let answer: Option<Value> = serde_json::from_slice(body).ok();
        let model = answer.as_ref().and_then(|answer| answer.get("model")?.as_str());
        self.model = model.map(str::to_owned);
        self.error = match answer {
            _ if !(200..300).contains(&status) => Some(excerpt(body)),
            Some(Value::Object(answer)) if answer.get("error").is_none_or(Value::is_null) => None,
            Some(Value::Object(_)) => Some(format!("an error sent as success: {}", excerpt(body))),
            _ => Some(format!("the answer is not a JSON object: {}", excerpt(body))),
        };
        self.ok = self.error.is_none();
    }
}

impl fmt::Display for TrialReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.ok { "ok" } else { "failed" };
        write!(f, "{}: {verdict}", self.endpoint)?;
        if let Some(status) = self.status {
            write!(f, ", status {status}")?;
        }
        if let Some(model) = &self.model {
            write!(f, ", model {model}")?;
        }
        if let Some(latency) = self.latency_ms {
            write!(f, ", {latency} ms")?;
        }
        if let Some(note) = self.note {
            write!(f, ", {note}")?;
        }
        if let Some(error) = &self.error {
            write!(f, ": {error}")?;
        }
        Ok(())
    }
}

/// The beginning of a body, as one printable line.
fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut line = String::new();
    for c in text.trim().chars().take(300) {
        let _ = write!(line, "{}", if c.is_control() { ' ' } else { c });
    }
    if line.is_empty() { "the body is empty".to_owned() } else { line }
}

async fn read_answer(request: reqwest::RequestBuilder) -> Answered {
    let failed = |error: reqwest::Error| anyhow!(outbound::failure(&error));
    let mut answer = request.send().await.map_err(failed)?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        body.extend_from_slice(&chunk);
        anyhow::ensure!(body.len() <= LARGEST_ANSWER, "the answer is larger than 1 MiB");
    }
    Ok((answer.status().as_u16(), body))
}

fn smallest_request(route: Route, model: &str) -> Value {
    let messages = json!([{"role": "user", "content": "ping"}]);
    match route {
        Route::ChatCompletions | Route::Messages => {
            json!({"model": model, "messages": messages, "max_tokens": 1})
        }
        Route::Completions => json!({"model": model, "prompt": "ping", "max_tokens": 1}),
        Route::Embeddings => json!({"model": model, "input": "ping"}),
        // 16 is the least that the API's reference allows.
        Route::Responses => json!({"model": model, "input": "ping", "max_output_tokens": 16}),
    }
}
