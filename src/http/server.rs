//! The accept loop: warp's filters served with the limits and time-outs that warp has not.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::{HeaderValue, Request};
use hyper::{body::Incoming, server::conn::http1, service::Service};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use jiff::Timestamp;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use warp::{filters::BoxedFilter, reply::Response};

use crate::{gateway::Head, workers::Workers};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;

/// The most headers a request may have.
const MAX_HEADERS: usize = 128;

/// Size in bytes up to which a connection's buffer grows. A head that does not fit is refused; one
/// that came in with a single read may be about twice as long.
const MAX_BUFFER: usize = 64 * 1024;

/// Limits of a listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections served at the same time; further ones wait.
    pub max_connections: usize,
    /// Longest wait for the first request's head.
    pub header_timeout: Duration,
    /// Longest wait for a further request's head, idle time included.
    pub keep_alive: Duration,
}

/// When a listener stops.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Stop accepting; connections end with the request they are at.
    pub soft: CancellationToken,
    /// Cut what is still open.
    pub hard: CancellationToken,
}

/// Binds a listening socket.
///
/// # Errors
/// As the operating system's, with what to do about a taken port.
pub fn bind(address: SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    let attempt = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    attempt().map_err(|error| {
        let advice = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                format!("another program has that port; stop it, or set {key} to a free one")
            }
            std::io::ErrorKind::PermissionDenied => {
                format!("ports below 1024 need privileges; set {key} to a higher one")
            }
            std::io::ErrorKind::AddrNotAvailable => {
                format!("this machine has no such address; set {key} to one of its own")
            }
            _ => format!("{error}; check {key}"),
        };
        anyhow::anyhow!("cannot listen on {address}: {advice}")
    })
}

/// Serves `routes` until told to stop, and returns when the last connection has ended.
/// Connections are dealt out to `workers`; without any they stay on the runtime of the caller.
pub async fn serve(
    listener: TcpListener,
    routes: BoxedFilter<(Response,)>,
    limits: Limits,
    stop: Stop,
    workers: Option<Arc<Workers>>,
) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(limits.max_connections));
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = stop.soft.cancelled() => break,
        };
        let (stream, peer, place) = accepted;
        let watcher = graceful.watcher();
        let filter = warp::service(routes.clone());
        let service = Arrivals { filter, seen: Arc::default(), peer };
        let hard = stop.hard.clone();
        let served = async move {
            tokio::select! {
                () = connection(stream, service, limits, watcher) => {}
                () = hard.cancelled() => {}
            }
            drop(place);
        };
        match &workers {
            Some(workers) => workers.spawn(served),
            None => drop(tokio::spawn(served)),
        }
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => {}
        () = stop.hard.cancelled() => {}
    }
}

/// Waits for a place and then for a connection. Errors of single connections are passed over; when
/// the process is out of file descriptors, it waits for some to be freed.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (std::net::TcpStream, SocketAddr, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed, so there is always a permit to wait for.
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        let accepted = listener.accept().await;
        match accepted.and_then(|(stream, peer)| Ok((stream.into_std()?, peer))) {
            Ok((stream, peer)) => return (stream, peer, place),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections for the moment");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    )
}

async fn connection<F: Routes>(
    stream: std::net::TcpStream,
    service: Arrivals<F>,
    limits: Limits,
    watcher: Watcher,
) {
    let stream = match TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => return tracing::warn!(%error, "cannot serve a connection"),
    };
    // Without it, small pieces of a stream wait for the peer's acknowledgement.
    let _ = stream.set_nodelay(true);
    let seen = Arc::clone(&service.seen);
    // Not `pipeline_flush`: with it, hyper gathers whatever a slow reader leaves unread in memory.
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.keep_alive)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    let served = watcher.watch(connection);
    tokio::pin!(served);
    tokio::select! {
        biased;
        ended = &mut served => return log_end(ended),
        () = tokio::time::sleep(limits.header_timeout) => {}
    }
    if seen.load(Ordering::Relaxed) {
        log_end(served.await);
    }
}

fn log_end(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        // Heads that hyper refuses by itself are answered without a request id and noted here only.
        tracing::debug!(%error, "a connection ended in an error");
    }
}

/// A service made of filters; warp gives its type no name.
trait Routes:
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

/// Notes each request's arrival, hands it to the routes, and names it in the response.
#[derive(Clone)]
struct Arrivals<F> {
    filter: F,
    /// Whether any request has arrived on this connection.
    seen: Arc<AtomicBool>,
    peer: SocketAddr,
}

impl<F: Routes> Service<Request<Incoming>> for Arrivals<F> {
    type Response = Response;
    type Error = Infallible;
    type Future = Named<F::Future>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        self.seen.store(true, Ordering::Relaxed);
        let request_id = request_id(&request);
        tracing::debug!(
            peer = %self.peer,
            method = %request.method(),
            path = request.uri().path(),
            request_id = request_id.to_str().unwrap_or_default(),
            "request"
        );
        let head = Head {
            request_id: request_id.clone(),
            started: Instant::now(),
            started_at: Timestamp::now(),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
        };
        request.extensions_mut().insert(head);
        Named { inner: Box::pin(self.filter.clone().call(request)), request_id }
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
struct Named<F> {
    inner: Pin<Box<F>>,
    request_id: HeaderValue,
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for Named<F> {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = std::task::ready!(self.inner.as_mut().poll(cx));
        Poll::Ready(response.map(|mut response| {
            response.headers_mut().insert("x-request-id", self.request_id.clone());
            response
        }))
    }
}
