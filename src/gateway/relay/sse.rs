//! Server-sent events, handed on in whole events without copying them.
//!
//! The format: <https://html.spec.whatwg.org/multipage/server-sent-events.html>. Two of its forms that
//! no inference API uses are passed on unread: lines that end in a lone CR, and data that is spread
//! over several lines.

use bytes::{Bytes, BytesMut};
use memchr::{memchr_iter, memrchr_iter};

/// The longest event that is held back until its end is there.
const MAX_EVENT: usize = 4 * 1024 * 1024;

/// Holds back the beginning of an event until its end has come.
#[derive(Debug, Default)]
pub struct EventBuffer {
    partial: BytesMut,
}

/// An event grew beyond 4 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventTooLong;

impl EventBuffer {
    /// Takes the next bytes and returns all events that are whole by now, perhaps none.
    ///
    /// # Errors
    /// When an event is longer than 4 MiB.
    pub fn push(&mut self, mut bytes: Bytes) -> Result<Bytes, EventTooLong> {
        if self.partial.is_empty() {
            let whole = bytes.split_to(last_event_end(&bytes, 0));
            self.partial.extend_from_slice(&bytes);
            return self.checked(whole);
        }
        // The blank line may straddle the seam, so the last bytes are looked at again.
        let seam = self.partial.len().saturating_sub(3);
        self.partial.extend_from_slice(&bytes);
        let end = last_event_end(&self.partial, seam);
        let whole = self.partial.split_to(end).freeze();
        self.checked(whole)
    }

    fn checked(&self, whole: Bytes) -> Result<Bytes, EventTooLong> {
        if self.partial.len() > MAX_EVENT { Err(EventTooLong) } else { Ok(whole) }
    }

    /// What came after the last whole event.
    #[must_use]
    pub fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.partial).freeze()
    }
}

/// The length of the line break with which a blank line at `at` ends, if there is one.
fn blank_line(bytes: &[u8], at: usize) -> Option<usize> {
    match &bytes[at + 1..] {
        [b'\n', ..] => Some(1),
        [b'\r', b'\n', ..] => Some(2),
        _ => None,
    }
}

/// The offset behind the last blank line at or after `from`; 0 when there is none.
fn last_event_end(bytes: &[u8], from: usize) -> usize {
    memrchr_iter(b'\n', &bytes[from..])
        .find_map(|at| blank_line(&bytes[from..], at).map(|more| from + at + 1 + more))
        .unwrap_or(0)
}

/// The events of a block of whole ones, each with its closing blank line.
pub fn events(mut block: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        let end = memchr_iter(b'\n', &block)
            .find_map(|at| blank_line(&block, at).map(|more| at + 1 + more))
            .unwrap_or(block.len());
        (end > 0).then(|| block.split_to(end))
    })
}

/// How many data lines stand in a block of whole events.
#[must_use]
pub fn count(block: &[u8]) -> u64 {
    let starts = usize::from(block.starts_with(b"data:"));
    (starts + memchr::memmem::find_iter(block, b"\ndata:").count()) as u64
}

/// Whether a block of events holds the mark with which an answer comes to its end, in any of the
/// APIs. Some back ends leave `[DONE]` out, so the reason for finishing will do.
#[must_use]
pub fn is_ending(block: &[u8]) -> bool {
    const MARKS: [&[u8]; 4] =
        [b"[DONE]", b"\"message_stop\"", b"\"response.completed\"", b"\"response.incomplete\""];
    const REASON: &[u8] = b"\"finish_reason\"";
    MARKS.iter().any(|mark| memchr::memmem::find(block, mark).is_some())
        || memchr::memmem::find_iter(block, REASON).any(|at| {
            let value = &block[at + REASON.len()..];
            value.iter().find(|b| !b.is_ascii_whitespace() && **b != b':') == Some(&b'"')
        })
}

/// The text after `data:` of an event with a single data line, which is what every API sends.
#[must_use]
pub fn data(event: &[u8]) -> Option<&[u8]> {
    let event = event.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(event);
    event.split(|b| *b == b'\n').find_map(|line| Some(line.strip_prefix(b"data:")?.trim_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(parts: &[&str]) -> (String, String) {
        let mut buffer = EventBuffer::default();
        let mut whole = Vec::new();
        for part in parts {
            whole.extend(buffer.push(Bytes::copy_from_slice(part.as_bytes())).unwrap());
            assert!(whole.is_empty() || whole.ends_with(b"\n\n") || whole.ends_with(b"\n\r\n"));
        }
        (String::from_utf8(whole).unwrap(), String::from_utf8(buffer.rest().to_vec()).unwrap())
    }

    #[test]
    fn every_way_of_cutting_the_bytes_gives_the_same_events() {
        let text = "data: {\"a\":1}\n\nevent: x\r\ndata: 2\r\n\r\n: ping\n\ndata: [DONE]\n\n";
        for first in 0..text.len() {
            for second in first..text.len() {
                let cut = [&text[..first], &text[first..second], &text[second..]];
                assert_eq!(pushed(&cut), (text.to_owned(), String::new()), "{first}, {second}");
            }
        }
        let single: Vec<_> = events(Bytes::from(text)).collect();
        assert_eq!(single.len(), 4);
        assert_eq!(single[1], "event: x\r\ndata: 2\r\n\r\n");
        assert_eq!(count(text.as_bytes()), 3);
    }

    #[test]
    fn an_unfinished_event_is_handed_out_at_the_end() {
        assert_eq!(pushed(&["data: 1\n\ndata: 2"]), ("data: 1\n\n".into(), "data: 2".into()));
    }

    #[test]
    fn an_endless_event_is_an_error() {
        let mut buffer = EventBuffer::default();
        let block = Bytes::from(vec![b'x'; 1024 * 1024]);
        let results: Vec<_> = (0..5).map(|_| buffer.push(block.clone())).collect();
        assert_eq!(results.last(), Some(&Err(EventTooLong)));
    }

    #[test]
    fn a_good_end_is_told_from_a_cut_one() {
        let chunk =
            |finish: &str| format!("data: {{\"choices\":[{{\"finish_reason\":{finish}}}]}}\n\n");
        assert!(is_ending(b"data: [DONE]\n\n"));
        assert!(is_ending(b"event: message_stop\ndata: {\"type\": \"message_stop\"}\n\n"));
        assert!(is_ending(chunk(" \"stop\"").as_bytes()));
        assert!(!is_ending(chunk("null").as_bytes()));
        assert!(!is_ending(b""));
    }

    #[test]
    fn the_data_of_an_event_is_found_behind_its_name() {
        assert_eq!(data(b"event: done\ndata: {\"x\":1}\n\n"), Some(&b"{\"x\":1}"[..]));
        assert_eq!(data(b": ping\n\n"), None);
    }
}
