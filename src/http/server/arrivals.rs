//! What is done to every request and response, whatever their route.

use std::{
    convert::Infallible,
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Instant,
};

use http::{
    Extensions, HeaderMap, HeaderValue, Request, StatusCode, Version,
    header::{CONNECTION, CONTENT_TYPE, STRICT_TRANSPORT_SECURITY},
};
use hyper::{body::Incoming, service::Service};
use jiff::Timestamp;
use tower_http::{
    CompressionLevel,
    compression::{
        Compression, Predicate, ResponseFuture,
        predicate::{And, SizeAbove},
    },
};
use uuid::Uuid;
use warp::reply::Response;

use super::Proxies;
use crate::{
    gateway::Head,
    telemetry::{
        scope::{self, Scope},
        traces,
    },
};

/// Bytes from which on an answer is compressed for who asks for it.
const WORTH_COMPRESSING: u16 = 1024;

/// For two years, as Mozilla's guideline has it.
const ALWAYS_HTTPS: HeaderValue = HeaderValue::from_static("max-age=63072000");

/// A service made of filters; warp gives its type no name.
pub(super) trait Routes:
    tower_service::Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static
{
}

impl<F> Routes for F where
    F: tower_service::Service<
            Request<Incoming>,
            Response = Response,
            Error = Infallible,
            Future: Send,
        > + Clone
        + Send
        + 'static
{
}

/// JSON of some length is worth compressing. A stream of events is not: each must go out at once.
type WorthIt = And<SizeAbove, fn(StatusCode, Version, &HeaderMap, &Extensions) -> bool>;

type Compressed<F> = Compression<F, WorthIt>;

fn is_json(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    content_type.is_some_and(|kind| kind.starts_with(b"application/json"))
}

/// Notes each request's arrival, hands it to the routes, and names it in the response.
#[derive(Clone)]
pub(super) struct Arrivals<F> {
    filter: Compressed<F>,
    /// Whether any request has arrived on this connection.
    seen: Arc<AtomicBool>,
    proxies: Arc<Proxies>,
    /// Who has made the connection, as far as the proxies in front tell.
    peer: IpAddr,
    is_secure: bool,
    /// Whether answers end their connection from now on; none where a connection is ended otherwise.
    closing: Option<Arc<AtomicBool>>,
}

impl<F: Routes> Arrivals<F> {
    pub(super) fn new(filter: F, proxies: Arc<Proxies>, peer: IpAddr, is_secure: bool) -> Self {
        let json: fn(StatusCode, Version, &HeaderMap, &Extensions) -> bool = is_json;
        let filter = Compression::new(filter)
            .quality(CompressionLevel::Fastest)
            .compress_when(SizeAbove::new(WORTH_COMPRESSING).and(json));
        Self { filter, seen: Arc::default(), proxies, peer, is_secure, closing: None }
    }

    /// The same, with answers that end the connection once `closing` is true.
    pub(super) fn until(self, closing: Arc<AtomicBool>) -> Self {
        Self { closing: Some(closing), ..self }
    }

    /// Becomes true with the first request.
    pub(super) fn seen(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.seen)
    }
}

impl<F: Routes> Service<Request<Incoming>> for Arrivals<F> {
    type Response = <Compressed<F> as tower_service::Service<Request<Incoming>>>::Response;
    type Error = Infallible;
    type Future = Named<ResponseFuture<F::Future, WorthIt>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        self.seen.store(true, Ordering::Relaxed);
        let request_id = request_id(&request);
        let client = self.proxies.client(self.peer, request.headers());
        let trace = traces::of_request(request.headers());
        let scope = Arc::new(Scope { request_id: request_id.clone(), trace });
        let _at = scope::enter(&scope);
        tracing::debug!(
            %client,
            method = %request.method(),
            path = request.uri().path(),
            "request"
        );
        let head = Head {
            request_id: request_id.clone(),
            started: Instant::now(),
            started_at: Timestamp::now(),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            client,
            scope: Arc::clone(&scope),
        };
        request.extensions_mut().insert(Arc::new(head));
        let inner = Box::pin(tower_service::Service::call(&mut self.filter.clone(), request));
        let closing = self.closing.clone();
        Named { inner, scope, is_secure: self.is_secure, closing }
    }
}

/// The caller's own `x-request-id` if it is one that can stand in a log line, or else a new one.
fn request_id(request: &Request<Incoming>) -> HeaderValue {
    request
        .headers()
        .get("x-request-id")
        .filter(|id| {
            let id = id.as_bytes();
            (1..=128).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
        })
        .cloned()
        .unwrap_or_else(|| {
            let mut buffer = Uuid::encode_buffer();
            let id = Uuid::now_v7().simple().encode_lower(&mut buffer);
            HeaderValue::from_str(id).unwrap_or(HeaderValue::from_static("none"))
        })
}

/// A response to come, with the request's name to put on it.
pub(super) struct Named<F> {
    inner: Pin<Box<F>>,
    scope: Arc<Scope>,
    is_secure: bool,
    closing: Option<Arc<AtomicBool>>,
}

impl<B, F: Future<Output = Result<http::Response<B>, Infallible>>> Future for Named<F> {
    type Output = Result<http::Response<B>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let _at = scope::enter(&self.scope);
        let response = std::task::ready!(self.inner.as_mut().poll(cx));
        Poll::Ready(response.map(|mut response| {
            let headers = response.headers_mut();
            headers.insert("x-request-id", self.scope.request_id.clone());
            if self.is_secure {
                headers.insert(STRICT_TRANSPORT_SECURITY, ALWAYS_HTTPS);
            }
            if self.closing.as_ref().is_some_and(|closing| closing.load(Ordering::Relaxed)) {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            response
        }))
    }
}
