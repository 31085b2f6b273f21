//! One connection, from its first byte to its last.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use hyper::server::conn::{http1, http2};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::{GracefulConnection, Watcher},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};

use super::{
    Limits, Proxies, Tls,
    arrivals::{Arrivals, Routes},
};

/// The most headers a request may have.
const MAX_HEADERS: usize = 128;

/// Size in bytes up to which a connection's buffer grows. A head that does not fit is refused; one
/// that came in with a single read may be about twice as long.
const MAX_BUFFER: usize = 64 * 1024;

/// The same for one head over HTTP/2.
const MAX_HEAD: u32 = 64 * 1024;

/// Requests at the same time on one HTTP/2 connection; further ones wait at the client.
const MAX_STREAMS: u32 = 256;

/// What one HTTP/2 stream may have waiting for a slow reader, in bytes.
const MAX_UNREAD: usize = 64 * 1024;

/// An accepted connection, and what serving it takes.
pub(super) struct Connection<F> {
    pub(super) peer: SocketAddr,
    pub(super) filter: F,
    pub(super) limits: Limits,
    pub(super) tls: Option<Tls>,
    pub(super) proxies: Arc<Proxies>,
    pub(super) watcher: Watcher,
    pub(super) closing: Arc<AtomicBool>,
}

impl<F: Routes> Connection<F> {
    pub(super) async fn serve(self, stream: std::net::TcpStream) {
        let stream = match TcpStream::from_std(stream) {
            Ok(stream) => stream,
            Err(error) => return tracing::warn!(%error, "cannot serve a connection"),
        };
        // Without it, small pieces of a stream wait for the peer's acknowledgement.
        let _ = stream.set_nodelay(true);
        if !self.proxies.announce(self.peer.ip().to_canonical()) {
            return self.secure(stream).await;
        }
        match timeout(self.limits.header_timeout, Proxies::read_header(stream)).await {
            Ok(Ok((source, stream))) => {
                Self { peer: source.unwrap_or(self.peer), ..self }.secure(stream).await;
            }
            Ok(Err(error)) => tracing::debug!(peer = %self.peer, %error, "no PROXY header came"),
            Err(_) => tracing::debug!(peer = %self.peer, "no PROXY header came in time"),
        }
    }

    async fn secure<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, stream: S) {
        let Some(tls) = &self.tls else { return self.http1(stream, false).await };
        match timeout(self.limits.header_timeout, tls.acceptor().accept(stream)).await {
            Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                self.http2(stream).await;
            }
            Ok(Ok(stream)) => self.http1(stream, true).await,
            Ok(Err(error)) => tracing::debug!(peer = %self.peer, %error, "no TLS"),
            Err(_) => tracing::debug!(peer = %self.peer, "no TLS in time"),
        }
    }

    async fn http1<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        self,
        stream: S,
        is_secure: bool,
    ) {
        let Self { peer, filter, limits, proxies, watcher, closing, .. } = self;
        let service =
            Arrivals::new(filter, proxies, peer.ip().to_canonical(), is_secure).until(closing);
        let seen = service.seen();
        // Not `pipeline_flush`: with it, hyper gathers whatever a slow reader leaves unread in memory.
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.keep_alive)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_BUFFER)
            .serve_connection(TokioIo::new(stream), service);
        watch(connection, watcher, limits, || seen.load(Ordering::Relaxed)).await;
    }

    async fn http2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, stream: S) {
        let Self { peer, filter, limits, proxies, watcher, .. } = self;
        let service = Arrivals::new(filter, proxies, peer.ip().to_canonical(), true);
        let seen = service.seen();
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(limits.keep_alive)
            .keep_alive_timeout(limits.header_timeout)
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEAD)
            .max_send_buf_size(MAX_UNREAD)
            .serve_connection(TokioIo::new(stream), service);
        watch(connection, watcher, limits, || seen.load(Ordering::Relaxed)).await;
    }
}

/// Drives a connection to its end, which comes early when no request does.
async fn watch<C>(connection: C, watcher: Watcher, limits: Limits, seen: impl Fn() -> bool)
where
    C: GracefulConnection<Error = hyper::Error>,
{
    let served = watcher.watch(connection);
    tokio::pin!(served);
    tokio::select! {
        biased;
        ended = &mut served => return log_end(ended),
        () = tokio::time::sleep(limits.header_timeout) => {}
    }
    if seen() {
        log_end(served.await);
    }
}

fn log_end(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        // Heads that hyper refuses by itself are answered without a request id and noted here only.
        tracing::debug!(%error, "a connection ended in an error");
    }
}
