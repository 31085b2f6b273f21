//! Changes a few bytes of a body without copying the rest.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// A range of a body's bytes and what is to stand in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    range: Range<usize>,
    with: Bytes,
}

impl Edit {
    pub(super) fn replace(range: Range<usize>, with: Bytes) -> Self {
        Self { range, with }
    }

    pub(super) fn insert(at: usize, with: &'static str) -> Self {
        Self { range: at..at, with: Bytes::from_static(with.as_bytes()) }
    }
}

/// A body in pieces that share the original's memory; itself an HTTP body of known length.
#[derive(Debug, Clone, Default)]
pub struct SplicedBody {
    pieces: VecDeque<Bytes>,
    len: u64,
}

impl SplicedBody {
    /// Bytes left to send.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing is left to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces in order, none of them empty.
    pub fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        self.pieces.iter()
    }

    fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.len += piece.len() as u64;
            self.pieces.push_back(piece);
        }
    }
}

impl From<Bytes> for SplicedBody {
    fn from(body: Bytes) -> Self {
        splice(&body, Vec::new())
    }
}

/// Applies edits to a body. They come from one [`super::Scan`] of the same body, hence do not
/// overlap; the part of an edit that does is ignored.
#[must_use]
pub fn splice(body: &Bytes, mut edits: Vec<Edit>) -> SplicedBody {
    edits.sort_by_key(|edit| edit.range.start);
    let mut spliced = SplicedBody::default();
    let mut done = 0;
    for Edit { range, with } in edits {
        let start = range.start.clamp(done, body.len());
        spliced.push(body.slice(done..start));
        spliced.push(with);
        done = range.end.clamp(start, body.len());
    }
    spliced.push(body.slice(done..));
    spliced
}

impl Body for SplicedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.pop_front();
        self.len -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len)
    }
}
