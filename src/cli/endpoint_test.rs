//! `figw endpoint test`: one real request to an endpoint's back end.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Context, Failure, Outcome, cluster, endpoint::find};
use crate::domain::{Cluster, Endpoint, EndpointSettings, Route, catalog::DirectApi};

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
    let report = match &endpoint.settings {
        EndpointSettings::DirectApi(settings) => {
            let route = args.route.unwrap_or_else(|| usual_route(cluster));
            ask(endpoint, settings, route, context).await?
        }
        EndpointSettings::Echo(_) => TestReport {
            ok: true,
            model: Some(endpoint.model.clone()),
            note: Some("the gateway answers for it itself, nothing was sent"),
            ..TestReport::new(endpoint)
        },
        EndpointSettings::GlobusCompute(_) | EndpointSettings::Metis(_) => {
            return Err(anyhow::anyhow!(
                "endpoint `{}` is reached through {}, which this version cannot test yet",
                endpoint.slug,
                endpoint.settings.adapter()
            )
            .into());
        }
    };
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

async fn ask(
    endpoint: &Endpoint,
    settings: &DirectApi,
    route: Route,
    context: &Context,
) -> Result<TestReport, Failure> {
    let url = format!("{}/{}", settings.api_url.trim_end_matches('/'), route.as_str());
    let mut request = client(settings)?.post(&url).json(&smallest_request(route, &endpoint.model));
    if let Some(source) = &settings.api_key {
        let place = format!("API key of endpoint `{}`", endpoint.slug);
        request = request.bearer_auth(context.reveal(&place, source)?.expose_secret());
    }
    let started = Instant::now();
    let answer = read_answer(request).await;
    let latency = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);

    let mut report = TestReport::new(endpoint);
    report.url = Some(url);
    report.latency_ms = Some(latency);
    match answer {
        Err(error) => report.error = Some(format!("{error:#}")),
        Ok((status, body)) => {
            report.status = Some(status);
            report.judge(status, &body);
        }
    }
    Ok(report)
}

impl TestReport {
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
