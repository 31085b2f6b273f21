//! Changes a few bytes of a body without copying the rest.

use std::ops::Range;

use bytes::Bytes;

use crate::backends::CallBody;

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

/// Applies edits to a body. They come from one [`super::Scan`] of the same body, hence do not
/// overlap; the part of an edit that does is ignored.
#[must_use]
pub fn splice(body: &Bytes, mut edits: Vec<Edit>) -> CallBody {
    edits.sort_by_key(|edit| edit.range.start);
    let mut pieces = Vec::with_capacity(2 * edits.len() + 1);
    let mut done = 0;
    for Edit { range, with } in edits {
        let start = range.start.clamp(done, body.len());
        pieces.push(body.slice(done..start));
        pieces.push(with);
        done = range.end.clamp(start, body.len());
    }
    pieces.push(body.slice(done..));
    pieces.into_iter().collect()
}
