//! A small HTTP server around a function, for services that a test plays itself.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpListener, runtime::Runtime};
use url::form_urlencoded;

/// A request, read to its end.
#[derive(Debug, Clone)]
pub struct Ask {
    pub method: Method,
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Ask {
    /// A value of the query.
    pub fn in_query(&self, name: &str) -> Option<String> {
        pair(self.query.as_bytes(), name)
    }

    /// A value of the form in the body.
    pub fn in_form(&self, name: &str) -> Option<String> {
        pair(&self.body, name)
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a body in JSON")
    }

    /// What stands after `Bearer` in the `Authorization` header.
    pub fn bearer(&self) -> Option<&str> {
        self.headers.get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")
    }
}

fn pair(text: &[u8], name: &str) -> Option<String> {
    form_urlencoded::parse(text).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Reply {
    /// An answer in JSON.
    pub fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { status, headers, body: body.to_string() }
    }

    /// A redirect.
    pub fn to(location: impl Into<String>) -> Self {
        Self { status: 302, headers: vec![("location", location.into())], body: String::new() }
    }
}

/// A running server; stops when dropped.
pub struct SmallServer {
    url: String,
    runtime: Option<Runtime>,
}

impl SmallServer {
    /// Starts on a free loopback port. The function may take its time: it has a thread to itself.
    pub fn start(answer: impl Fn(&Ask) -> Reply + Send + Sync + 'static) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime for a small server");
        let listener =
            std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
        listener.set_nonblocking(true).expect("a non-blocking listener");
        let address = listener.local_addr().expect("the listener's address");
        let in_runtime = runtime.enter();
        let listener = TcpListener::from_std(listener).expect("a listener in the runtime");
        drop(in_runtime);
        runtime.spawn(accept(listener, Arc::new(answer)));
        Self { url: format!("http://{address}"), runtime: Some(runtime) }
    }

    /// Where it is: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for SmallServer {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        // A runtime may not be shut down, waiting, on another runtime's thread.
        let stop = std::thread::spawn(move || runtime.shutdown_timeout(Duration::from_secs(5)));
        stop.join().expect("a small server stops");
    }
}

type Function = dyn Fn(&Ask) -> Reply + Send + Sync;

async fn accept(listener: TcpListener, answer: Arc<Function>) {
    while let Ok((tcp, _)) = listener.accept().await {
        let answer = Arc::clone(&answer);
        let service = service_fn(move |request| handle(request, Arc::clone(&answer)));
        tokio::spawn(async move {
            // How a connection ends is the caller's affair.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(tcp), service).await;
        });
    }
}

async fn handle(
    request: Request<Incoming>,
    answer: Arc<Function>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let ask = Ask {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body: body.collect().await?.to_bytes(),
    };
    let reply = tokio::task::spawn_blocking(move || answer(&ask)).await;
    let reply = reply.unwrap_or_else(|error| Reply {
        status: 500,
        headers: vec![],
        body: format!("the test's server failed: {error}"),
    });
    let mut response = Response::builder().status(reply.status);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(reply.body.into())).expect("a valid response"))
}
