//! The accept loop and the routes.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response, header};
use http_body_util::BodyExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use sha2::{Digest, Sha256};
use tokio::net::{TcpListener, TcpStream};

use super::{
    answer,
    body::{Played, Step},
    fault::Fault,
    play,
    record::{Entry, Received, Record},
    request::{Asked, Route},
    socket::{ResetMark, Socket},
};

/// Larger bodies are hashed, not kept.
const KEPT_BODY_BYTES: usize = 1024 * 1024;
/// How long accepting rests when it has failed.
const BACK_OFF: Duration = Duration::from_millis(20);

/// Serves until the runtime ends.
pub(super) async fn accept(listener: TcpListener, record: Arc<Record>) {
    loop {
        match listener.accept().await {
            Ok((tcp, _)) => drop(tokio::spawn(serve(tcp, Arc::clone(&record)))),
            // Out of descriptors, most likely: a caller sees it as a connection that waits.
            Err(_) => tokio::time::sleep(BACK_OFF).await,
        }
    }
}

async fn serve(tcp: TcpStream, record: Arc<Record>) {
    // Each chunk is to go out at once; a socket that is already gone ends by itself.
    let _ = tcp.set_nodelay(true);
    let reset = ResetMark::default();
    let socket = Socket::new(tcp, reset.clone());
    let service = service_fn(move |request| handle(request, Arc::clone(&record), reset.clone()));
    // How a connection ends is for the record to tell.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
}

/// What hyper sees as a failure of the service: it closes the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("no answer")]
struct NoAnswer;

type Answer = Result<Response<Played>, NoAnswer>;

async fn handle(request: Request<Incoming>, record: Arc<Record>, reset: ResetMark) -> Answer {
    let path = request.uri().path().to_owned();
    if let Some((_, id)) = path.split_once("/v1/models") {
        return Ok(models(id.trim_start_matches('/'), reset));
    }
    let Some(route) = Route::at(&path) else {
        let error = answer::error(None, 404, &format!("there is no {path} here"));
        return Ok(json(404, error.to_string().into(), None, reset));
    };
    let mut entry = Entry::open(Arc::clone(&record));
    let (received, body) = receive(request).await?;
    let headers = received.headers.clone();
    record.keep(received);
    let asked = match Asked::read(route, &body) {
        Ok(asked) => asked,
        Err(message) => {
            let error = answer::error(Some(route), 400, &message);
            return Ok(json(400, error.to_string().into(), Some(entry), reset));
        }
    };
    let fault = record.next_fault(asked.fault(&headers));
    match fault {
        Some(Fault::Status(status)) => Ok(refusal(route, status, entry, reset)),
        Some(Fault::HangBeforeHeaders) => std::future::pending().await,
        Some(Fault::ResetBeforeHeaders) => {
            reset.set();
            entry.complete();
            Err(NoAnswer)
        }
        Some(Fault::Html) => Ok(respond(200, "text/html", [page()], Some(entry), reset)),
        _ if asked.streamed && route != Route::Embeddings => {
            let steps = play::streamed(asked, fault);
            Ok(respond(200, "text/event-stream; charset=utf-8", steps, Some(entry), reset))
        }
        _ => {
            let (length, steps) = play::whole(&asked, fault);
            let mut response = respond(200, "application/json", steps, Some(entry), reset);
            response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
            Ok(response)
        }
    }
}

/// Reads the body to its end. A caller that leaves before ends this future or its body.
async fn receive(request: Request<Incoming>) -> Result<(Received, Bytes), NoAnswer> {
    let (head, mut incoming) = request.into_parts();
    let mut body = BytesMut::new();
    let mut hash = Sha256::new();
    while let Some(frame) = incoming.frame().await {
        if let Ok(data) = frame.map_err(|_| NoAnswer)?.into_data() {
            hash.update(&data);
            body.extend_from_slice(&data);
        }
    }
    let body = body.freeze();
    let received = Received {
        line: format!("{} {}", head.method, head.uri),
        headers: head.headers,
        sha256: format!("{:x}", hash.finalize()),
        length: body.len(),
        body: if body.len() <= KEPT_BODY_BYTES { body.clone() } else { Bytes::new() },
    };
    Ok((received, body))
}

fn models(id: &str, reset: ResetMark) -> Response<Played> {
    let (status, body) = match id {
        "" => (200, answer::models()),
        id if super::MODELS.contains(&id) => (200, answer::model(id)),
        id => (404, answer::error(None, 404, &format!("the model {id} does not exist"))),
    };
    json(status, body.to_string().into(), None, reset)
}

fn refusal(route: Route, status: u16, entry: Entry, reset: ResetMark) -> Response<Played> {
    let error = answer::error(Some(route), status, &format!("the fake back end says {status}"));
    let mut response = json(status, error.to_string().into(), Some(entry), reset);
    if matches!(status, 429 | 503) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("7"));
    }
    response
}

fn page() -> Step {
    Step::Send(Bytes::from_static(b"<!doctype html><title>Log in</title><p>Please log in."))
}

fn json(status: u16, body: Bytes, entry: Option<Entry>, reset: ResetMark) -> Response<Played> {
    let length = body.len();
    let mut response = respond(status, "application/json", [Step::Send(body)], entry, reset);
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    response
}

fn respond(
    status: u16,
    content_type: &'static str,
    steps: impl IntoIterator<Item = Step>,
    entry: Option<Entry>,
    reset: ResetMark,
) -> Response<Played> {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, content_type)
        .header("x-request-id", "req_fake")
        .body(Played::new(steps, entry, reset))
        .expect("a valid status")
}
