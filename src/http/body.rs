//! Reading a request's body: within its limit, without a copy where one can be spared.

use std::time::Duration;

use bytes::{Buf, Bytes};
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
    let mut gathered = Gathered::new(announced.and_then(|n| usize::try_from(n).ok()), limit);
    pin_mut!(body);
    loop {
        let next = tokio::time::timeout(pause, body.next()).await.map_err(|_| too_slow(pause))?;
        let mut piece = match next {
            None => return Ok(gathered.finish()),
            Some(Err(_)) => return Err(broken()),
            Some(Ok(piece)) => piece,
        };
        if gathered.len() + piece.remaining() > limit {
            return Err(too_large(limit));
        }
        gathered.push(piece.copy_to_bytes(piece.remaining()));
    }
}

/// A body's bytes so far, put straight into their final place.
struct Gathered {
    /// A short body comes in one piece, which is then the body.
    first: Bytes,
    whole: Vec<u8>,
    announced: Option<usize>,
    limit: usize,
}

/// Up to this size a body of unknown length grows by doubling.
const GROWS_BY_DOUBLING: usize = 256 * 1024;

impl Gathered {
    const fn new(announced: Option<usize>, limit: usize) -> Self {
        Self { first: Bytes::new(), whole: Vec::new(), announced, limit }
    }

    const fn len(&self) -> usize {
        self.first.len() + self.whole.len()
    }

    fn push(&mut self, piece: Bytes) {
        if self.len() == 0 {
            self.first = piece;
            return;
        }
        let first = std::mem::take(&mut self.first);
        self.make_room(first.len() + piece.len());
        self.whole.extend_from_slice(&first);
        self.whole.extend_from_slice(&piece);
    }

    /// A long body that grew by doubling would at times be in memory twice. Memory that is reserved
    /// and never written to costs nothing, so it gets all it may need at once.
    fn make_room(&mut self, more: usize) {
        let length = self.whole.len() + more;
        if length > self.whole.capacity() {
            let wanted = match self.announced {
                Some(announced) => announced,
                None if length > GROWS_BY_DOUBLING => self.limit,
                None => 0,
            };
            // Where the system promises no memory that it has not got, doubling is what remains.
            let _ = self.whole.try_reserve_exact(wanted.saturating_sub(self.whole.len()));
        }
        self.whole.reserve(more);
    }

    fn finish(self) -> Bytes {
        if self.whole.is_empty() { self.first } else { self.whole.into() }
    }
}

/// The length that the headers announce.
pub(super) fn announced_length(headers: &HeaderMap) -> Option<u64> {
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
