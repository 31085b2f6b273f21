//! The listeners: they keep what they are asked, apply the troubles, and send the rest to its desk.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{
    super::ports::listen_on,
    World,
    answer::Answer,
    auth, compute, groups,
    switches::{Asked, Service, Trouble},
    transfer,
};

/// Serves until the runtime ends, and rests while nobody is to listen.
pub(super) async fn serve(world: Arc<World>, service: Service, first: std::net::TcpListener) {
    let desk = world.desk(service);
    let mut open = desk.open.subscribe();
    let mut next = Some(first);
    loop {
        let listener = next.take().unwrap_or_else(|| listen_on(desk.port()));
        listener.set_nonblocking(true).expect("a non-blocking listener");
        let listener = TcpListener::from_std(listener).expect("a listener in the runtime");
        desk.listens.send_replace(true);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                Ok((tcp, _)) = listener.accept() => {
                    connections.spawn(converse(tcp, Arc::clone(&world), service));
                }
                _ = open.wait_for(|open| !open) => break,
            }
        }
        drop(listener);
        connections.shutdown().await;
        desk.listens.send_replace(false);
        if open.wait_for(|open| *open).await.is_err() {
            return;
        }
    }
}

async fn converse(tcp: TcpStream, world: Arc<World>, service: Service) {
    // A socket that is already gone ends by itself.
    let _ = tcp.set_nodelay(true);
    let service = service_fn(move |request| handle(request, Arc::clone(&world), service));
    // A caller may leave as it likes.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(tcp), service).await;
}

async fn handle(
    request: Request<Incoming>,
    world: Arc<World>,
    service: Service,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let asked = Asked {
        at: Instant::now(),
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body: body.collect().await?.to_bytes(),
    };
    let (delay, trouble) = world.desk(service).admit(&asked);
    tokio::time::sleep(delay).await;
    let answer = match trouble {
        Some(Trouble::Hang | Trouble::Refused) => std::future::pending().await,
        Some(Trouble::Status(status)) => Answer::bare(status),
        Some(Trouble::Page) => Answer::page("<!doctype html><title>Down for maintenance</title>"),
        Some(Trouble::Busy(after)) => {
            let answer = Answer::compute_error(429, "TOO_MANY_REQUESTS", "slow down");
            match after {
                Some(seconds) => answer.with(header::RETRY_AFTER, &seconds.to_string()),
                None => answer,
            }
        }
        None => match service {
            Service::Auth => auth::answer(&world, &asked),
            Service::Groups => groups::answer(&world, &asked),
            Service::Transfer => transfer::answer(&world, &asked),
            Service::Compute => compute::answer(&world, &asked).await,
        },
    };
    Ok(answer.into_response())
}
