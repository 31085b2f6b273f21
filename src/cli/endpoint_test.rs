//! `figw endpoint test`: one real request to an endpoint's back end.

mod remote;

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Context, Failure, Outcome, cluster, endpoint::find};
use crate::domain::{Cluster, Endpoint, EndpointSettings, Route, SecretSource, catalog::DirectApi};

/// How long an answer may take when neither the flag nor the endpoint says.
const PATIENCE: Duration = Duration::from_mins(1);

/// More of an answer than this is not needed to judge it.
const LARGEST_ANSWER: usize = 1024 * 1024;

/// Arguments of `endpoint test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// The endpoint's slug
    slug: String,
    /// The route to ask [default: the first of chat/completions, completions, … that the cluster offers]
    #[arg(long)]
    route: Option<Route>,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct TestReport {
    endpoint: String,
    ok: bool,
    adapter: &'static str,
    url: Option<String>,
    /// The back end's HTTP status.
    status: Option<u16>,
    /// The model as the back end calls it.
    model: Option<String>,
    latency_ms: Option<u64>,
    note: Option<&'static str>,
    error: Option<String>,
}

impl std::fmt::Display for TestReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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

pub(super) async fn run(args: TestArgs, context: &Context) -> Result<Outcome, Failure> {
    let data = context.store().await?.catalog().await?;
    let endpoint = find(&data, &args.slug)?;
    let cluster = cluster::find(&data, &endpoint.cluster)?;
    let route = args.route.unwrap_or_else(|| usual_route(cluster));
    let request = smallest_request(route, &endpoint.model);
    let mut report = TestReport::new(endpoint);
    let started = Instant::now();
    let answer = match &endpoint.settings {
        EndpointSettings::DirectApi(settings) => {
            let url = format!("{}/{}", settings.api_url.trim_end_matches('/'), route.as_str());
            report.url = Some(url.clone());
            let key = api_key(endpoint, settings.api_key.as_ref(), context)?;
            let mut request = client(settings)?.post(&url).json(&request);
            if let Some(key) = key {
                request = request.bearer_auth(key.expose_secret());
            }
            read_answer(request).await
        }
        EndpointSettings::GlobusCompute(settings) => {
            let config = context.config()?.config;
            remote::through_globus(settings, (route, &request), &config).await?
        }
        EndpointSettings::Metis(settings) => {
            let key = api_key(endpoint, settings.api_key.as_ref(), context)?;
            let place = (endpoint, cluster);
            remote::through_metis(place, settings, key.as_ref(), (route, &request)).await?
        }
        EndpointSettings::Echo(_) => {
            report.ok = true;
            report.model = Some(endpoint.model.clone());
            report.note = Some("the gateway answers for it itself, nothing was sent");
            context.print(&report, &report)?;
            return Ok(Outcome::Done);
        }
    };
    report.latency_ms = Some(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
    report.take(answer);
    context.print(&report, &report)?;
    Ok(if report.ok { Outcome::Done } else { Outcome::NotGood })
}

fn usual_route(cluster: &Cluster) -> Route {
    let offered = Route::ALL.into_iter().find(|route| cluster.routes.contains(route));
    offered.unwrap_or(Route::ChatCompletions)
}

impl TestReport {
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
}

fn api_key(
    endpoint: &Endpoint,
    source: Option<&SecretSource>,
    context: &Context,
) -> Result<Option<SecretString>, Failure> {
    let place = format!("API key of endpoint `{}`", endpoint.slug);
    source.map(|source| context.reveal(&place, source)).transpose()
}

impl TestReport {
    fn take(&mut self, answer: anyhow::Result<(u16, Vec<u8>)>) {
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

/// The beginning of a body, as one printable line.
fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut line = String::new();
    for c in text.trim().chars().take(300) {
        let _ = write!(line, "{}", if c.is_control() { ' ' } else { c });
    }
    if line.is_empty() { "the body is empty".to_owned() } else { line }
}

fn client(settings: &DirectApi) -> Result<reqwest::Client, Failure> {
    // Fails only when a provider is installed already, which is just as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .user_agent(concat!("figw/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(10))
        .timeout(settings.request_timeout.unwrap_or(PATIENCE))
        .build();
    Ok(client.context("cannot set up an HTTP client")?)
}

async fn read_answer(request: reqwest::RequestBuilder) -> anyhow::Result<(u16, Vec<u8>)> {
    let mut answer = request.send().await?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
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
