//! The accept loop: warp's filters served with the limits and time-outs that warp has not.

mod arrivals;
mod connection;
mod proxies;
mod redirect;
mod tls;

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use hyper_util::server::graceful::GracefulShutdown;
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::sync::CancellationToken;
use warp::{filters::BoxedFilter, reply::Response};

use self::connection::Connection;
pub use self::{proxies::Proxies, redirect::to_https, tls::Tls};
use crate::workers::Workers;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;

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

/// When a listener stops, in this order.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Answers over HTTP/1 say that they are the last on their connection: so its client does not
    /// send into one that is being closed.
    pub closing: Arc<AtomicBool>,
    /// Stop accepting.
    pub deaf: CancellationToken,
    /// Connections end with the request they are at.
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

/// What is served on a listening socket, and how.
pub struct Listener {
    /// The socket.
    pub socket: TcpListener,
    /// What answers.
    pub routes: BoxedFilter<(Response,)>,
    /// Its limits.
    pub limits: Limits,
    /// Keys and certificates; without them it speaks plain HTTP/1.
    pub tls: Option<Tls>,
    /// Whose word counts for where a request comes from.
    pub proxies: Arc<Proxies>,
}

impl Listener {
    /// Serves until told to stop, and returns when the last connection has ended. Connections are
    /// dealt out to `workers`; without any they stay on the runtime of the caller.
    pub async fn serve(self, stop: Stop, workers: Option<Arc<Workers>>) {
        let graceful = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(self.limits.max_connections));
        loop {
            let accepted = tokio::select! {
                accepted = accept(&self.socket, &places) => accepted,
                () = stop.deaf.cancelled() => break,
            };
            let (stream, peer, place) = accepted;
            let connection = Connection {
                peer,
                filter: warp::service(self.routes.clone()),
                limits: self.limits,
                tls: self.tls.clone(),
                proxies: Arc::clone(&self.proxies),
                watcher: graceful.watcher(),
                closing: Arc::clone(&stop.closing),
            };
            let hard = stop.hard.clone();
            let served = async move {
                tokio::select! {
                    () = connection.serve(stream) => {}
                    () = hard.cancelled() => {}
                }
                drop(place);
            };
            match &workers {
                Some(workers) => workers.spawn(served),
                None => drop(tokio::spawn(served)),
            }
        }
        drop(self.socket);
        stop.soft.cancelled().await;
        tokio::select! {
            () = graceful.shutdown() => {}
            () = stop.hard.cancelled() => {}
        }
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
