//! OpenAI-compatible APIs over HTTP.
//!
//! Requests go through hyper's client: what reqwest adds costs a tenth of the gateway's speed.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use http_body_util::BodyExt;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use secrecy::{ExposeSecret, SecretString};

use super::{Answer, BackendError, BoxError, Call, CallBody};
use crate::{
    domain::{DirectApi, Route},
    outbound::{self, reason},
    workers::PerWorker,
};

/// How connections to back ends are made and kept.
#[derive(Debug, Clone, Copy)]
pub struct ClientOptions {
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Idle connections kept for each back end, all workers together.
    pub max_idle_per_host: usize,
    /// How many workers there are.
    pub workers: usize,
}

/// The connections to all back ends: a pool for each worker.
#[derive(Debug)]
pub struct DirectClient {
    pools: PerWorker<Pool>,
}

type Pool = Client<HttpsConnector<HttpConnector>, CallBody>;

/// An endpoint's address and credentials, worked out once.
#[derive(Debug)]
pub struct DirectTarget {
    uris: [Uri; Route::ALL.len()],
    /// Where the back end lists its models.
    models: String,
    authorization: Option<HeaderValue>,
    /// The endpoint's own budget for a whole request.
    pub request_timeout: Option<Duration>,
}

impl DirectClient {
    /// Prepares the client; nothing is connected yet.
    #[must_use]
    pub fn new(options: ClientOptions) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(Duration::from_mins(1)));
        tcp.set_connect_timeout(Some(options.connect_timeout));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(outbound::tls_config())
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(tcp);
        let most_idle = options.max_idle_per_host.div_ceil(options.workers.max(1));
        let pools = PerWorker::new(options.workers, || {
            Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(Duration::from_mins(1))
                .pool_max_idle_per_host(most_idle)
                .build(connector.clone())
        });
        Self { pools }
    }

    /// Sends one request and waits for the answer's head.
    ///
    /// Dropping the future, or later the answer's body, closes the request towards the back end.
    ///
    /// # Errors
    /// When no connection comes about, or it breaks before the answer's head is there.
    pub async fn send(&self, target: &DirectTarget, call: Call) -> Result<Answer, BackendError> {
        let mut request = Request::new(call.body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target.uris[call.route as usize].clone();
        *request.headers_mut() = target.headers(call.headers);
        let response = self.pools.get().request(request).await.map_err(|error| {
            if error.is_connect() {
                BackendError::Connect(reason(&error))
            } else {
                BackendError::Broken(reason(&error))
            }
        })?;
        let (head, body) = response.into_parts();
        let body = body.map_err(|error| Box::new(error) as BoxError).boxed();
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}

impl DirectTarget {
    /// Works out addresses and credentials.
    ///
    /// # Errors
    /// When the address or the secret cannot be put into a request; the message says which.
    pub fn new(settings: &DirectApi, api_key: Option<&SecretString>) -> Result<Self, String> {
        let base = settings.api_url.trim_end_matches('/');
        let mut uris: [Uri; Route::ALL.len()] = Default::default();
        for route in Route::ALL {
            uris[route as usize] = format!("{base}/{route}")
                .parse::<Uri>()
                .ok()
                .filter(|uri| {
                    uri.host().is_some() && matches!(uri.scheme_str(), Some("http" | "https"))
                })
                .ok_or_else(|| format!("api_url `{base}` is not an http:// or https:// address"))?;
        }
        let authorization = api_key.map(bearer).transpose()?;
        let models = format!("{base}/models");
        Ok(Self { uris, models, authorization, request_timeout: settings.request_timeout })
    }

    /// Asks the back end for its models, off the path of any request. Whatever it answers, short of a
    /// failure of its own, shows that it is there.
    ///
    /// # Errors
    /// Why it seems not to be.
    pub async fn probe(&self, client: &reqwest::Client, patience: Duration) -> Result<(), String> {
        let mut request = client.get(&self.models).timeout(patience);
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization.clone());
        }
        match request.send().await {
            Ok(answer) if answer.status().is_server_error() => {
                Err(format!("status {}", answer.status().as_u16()))
            }
            Ok(_) => Ok(()),
            Err(error) => Err(reason(&error)),
        }
    }

    fn headers(&self, mut headers: HeaderMap) -> HeaderMap {
        if let Some(authorization) = &self.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        headers
    }
}

fn bearer(key: &SecretString) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose_secret()))
        .map_err(|_| "the API key has characters that cannot stand in a header".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}
