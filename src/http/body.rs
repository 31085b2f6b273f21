//! Reading a request's body: within its limit, without a copy where one can be spared.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt, pin_mut};
use http::{HeaderMap, StatusCode, header};

use crate::gateway::Refusal;

/// Reads a body to its end.
///
/// # Errors
/// 413 when it is longer than `limit` bytes, 408 when it pauses for longer than `pause`, 400 when
/// it breaks off.
pub async fn collect<S, B>(
    body: S,
    headers: &HeaderMap,
    limit: usize,
    pause: Duration,
) -> Result<Bytes, Refusal>
where
    S: Stream<Item = Result<B, warp::Error>>,
    B: Buf,
{
    let announced = announced_length(headers);
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(too_large(limit));
    }
    let mut gathered = Gathered::new(announced.and_then(|n| usize::try_from(n).ok()));
    pin_mut!(body);
    loop {
        let next = tokio::time::timeout(pause, body.next()).await.map_err(|_| too_slow(pause))?;
        let mut piece = match next {
            None => return Ok(gathered.finish()),
            Some(Err(_)) => return Err(broken()),
            Some(Ok(piece)) => piece,
        };
        if gathered.length + piece.remaining() > limit {
            return Err(too_large(limit));
        }
        gathered.push(piece.copy_to_bytes(piece.remaining()));
    }
}

/// A body's pieces. With an announced length they are put straight into their final place;
/// without one they are kept apart until the end, so that growing never doubles them.
struct Gathered {
    length: usize,
    announced: Option<usize>,
    whole: BytesMut,
    pieces: Vec<Bytes>,
}

impl Gathered {
    fn new(announced: Option<usize>) -> Self {
        Self { length: 0, announced, whole: BytesMut::new(), pieces: Vec::new() }
    }

    fn push(&mut self, piece: Bytes) {
        self.length += piece.len();
        match self.announced {
            // A short body comes in one piece, which is then the body.
            Some(length) if piece.len() < length => {
                if self.whole.is_empty() {
                    self.whole.reserve(length);
                }
                self.whole.extend_from_slice(&piece);
            }
            _ => self.pieces.push(piece),
        }
    }

    fn finish(mut self) -> Bytes {
        if self.pieces.is_empty() {
            return self.whole.freeze();
        }
        if self.pieces.len() == 1 {
            return self.pieces.pop().unwrap_or_default();
        }
        self.whole.reserve(self.length);
        for piece in self.pieces {
            self.whole.extend_from_slice(&piece);
        }
        self.whole.freeze()
    }
}

fn announced_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large(limit: usize) -> Refusal {
    let message = format!("The body of the request is longer than the {limit} bytes allowed here.");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message)
}

fn too_slow(pause: Duration) -> Refusal {
    let message = format!("The body of the request paused for more than {} s.", pause.as_secs());
    Refusal::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", message)
}

fn broken() -> Refusal {
    Refusal::new(
        StatusCode::BAD_REQUEST,
        "invalid_body",
        "The body of the request broke off or was framed wrongly.",
    )
}
