//! Buffers packed one after the other: `<length>\n<buffer><length>\n<buffer>…`. Lengths count
//! characters (code points), as Python's `len` does, and not bytes.

use std::fmt::Write;

use super::CodecError;

/// Longest length in digits; results have 10 MB at most.
const LONGEST_LENGTH: usize = 10;

/// Appends one buffer, made of `pieces`.
pub(super) fn pack(packed: &mut String, pieces: &[&str]) {
    let length: usize = pieces.iter().map(|piece| piece.chars().count()).sum();
    // Writing into a string cannot fail.
    let _ = writeln!(packed, "{length}");
    packed.extend(pieces.iter().copied());
}

/// The buffers of a pack.
pub(super) fn unpack(mut packed: &str) -> Result<Vec<&str>, CodecError> {
    let mut buffers = Vec::new();
    while !packed.is_empty() {
        let (length, rest) = packed
            .split_once('\n')
            .filter(|(length, _)| length.len() <= LONGEST_LENGTH)
            .and_then(|(length, rest)| Some((length.parse::<usize>().ok()?, rest)))
            .ok_or_else(|| CodecError("a pack of buffers without a length".to_owned()))?;
        let end = end_of(rest, length).ok_or_else(|| {
            let left = rest.chars().count();
            CodecError(format!("{length} characters are claimed in a pack, {left} are left"))
        })?;
        let (buffer, rest) = rest.split_at(end);
        buffers.push(buffer);
        packed = rest;
    }
    Ok(buffers)
}

/// Where the first `length` characters of `text` end, in bytes.
fn end_of(text: &str, length: usize) -> Option<usize> {
    let ends = text.char_indices().map(|(start, _)| start).chain([text.len()]);
    ends.into_iter().nth(length)
}
