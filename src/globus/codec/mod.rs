//! How Globus Compute writes arguments and results: buffers that begin with the identifier of their
//! format, packed one after the other. (`globus_compute_sdk.serialize` is the reference.)

mod packed;

use base64::{Engine, engine::general_purpose::STANDARD};

pub use crate::python::PyValue;
use crate::python::{ReadError, pickle, text};

/// JSON as Python writes it.
const JSON: &str = "11\n";
/// A pickle in base64, in lines.
const PICKLE: &str = "00\n";
/// The same value in several formats.
const SEVERAL: &str = "13\n";

/// Formats of several formats stand in at most this many others; the SDK writes one.
const MAX_NESTING: u8 = 4;

/// Why a buffer cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CodecError(pub String);

impl From<ReadError> for CodecError {
    fn from(error: ReadError) -> Self {
        Self(error.0)
    }
}

/// The payload of a task whose function gets one positional argument, the JSON text `argument`, or
/// none.
#[must_use]
pub fn task_payload(argument: Option<&str>) -> String {
    let argument = argument.unwrap_or_default();
    let mut payload = String::with_capacity(argument.len() + 32);
    packed::pack(&mut payload, &[JSON, "[", argument, "]"]);
    packed::pack(&mut payload, &[JSON, "{}"]);
    payload
}

/// Packs the source of a function that is called `name` as the service wants it registered: pure
/// source, no pickle (`PureSourceTextInspect`).
#[must_use]
pub fn function_code(name: &str, source: &str) -> String {
    let mut code = String::with_capacity(source.len() + name.len() + 32);
    packed::pack(&mut code, &["st\n", name, ":", source]);
    code
}

/// Reads one serialised buffer: JSON, a pickle of a plain value, or both of them packed, of which
/// the first that can be read counts.
///
/// # Errors
/// What is wrong with it.
pub fn decode(buffer: &str) -> Result<PyValue, CodecError> {
    decode_nested(buffer, 0)
}

fn decode_nested(buffer: &str, depth: u8) -> Result<PyValue, CodecError> {
    if let Some(body) = buffer.strip_prefix(JSON) {
        return text::json(body).map_err(|error| CodecError(format!("JSON: {error}")));
    }
    if let Some(body) = buffer.strip_prefix(PICKLE) {
        return Ok(pickle::read(&unwrapped(body)?)?);
    }
    match buffer.strip_prefix(SEVERAL) {
        Some(body) if depth < MAX_NESTING => first_readable(body, depth + 1),
        _ => Err(CodecError(format!(
            "a buffer in the format {:?}, neither JSON (11) nor a pickle (00)",
            buffer.chars().take_while(|c| *c != '\n').take(8).collect::<String>()
        ))),
    }
}

fn first_readable(packed: &str, depth: u8) -> Result<PyValue, CodecError> {
    let mut errors = Vec::new();
    for buffer in packed::unpack(packed)? {
        match decode_nested(buffer, depth) {
            Ok(value) => return Ok(value),
            Err(error) => errors.push(error.0),
        }
    }
    if errors.is_empty() {
        return Err(CodecError("no buffer in a pack of them".to_owned()));
    }
    Err(CodecError(errors.join("; ")))
}

/// Decodes base64 that is broken into lines.
fn unwrapped(body: &str) -> Result<Vec<u8>, CodecError> {
    let mut line = Vec::with_capacity(body.len());
    for piece in body.split_ascii_whitespace() {
        line.extend_from_slice(piece.as_bytes());
    }
    STANDARD.decode(&line).map_err(|error| CodecError(format!("base64: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_payloads_are_counted_in_characters() {
        let payload = task_payload(Some(r#"{"text":"hé ✓ 😀"}"#));
        assert_eq!(payload, "22\n11\n[{\"text\":\"hé ✓ 😀\"}]5\n11\n{}");
        assert_eq!(task_payload(None), "5\n11\n[]5\n11\n{}");
    }

    #[test]
    fn a_function_is_packed_with_its_name() {
        assert_eq!(function_code("f", "def f():\n  'é'\n"), "20\nst\nf:def f():\n  'é'\n");
    }

    #[test]
    fn the_first_readable_of_several_counts() {
        let text = |text: &str| PyValue::Text(text.to_owned());
        assert_eq!(decode("13\n6\n11\n\"é\"12\n00\ngAROLg==\n"), Ok(text("é")));
        assert_eq!(decode("13\n5\n11\n{]12\n00\ngAROLg==\n"), Ok(PyValue::None));
        let error = decode("13\n5\n11\n{]4\nst\nf").unwrap_err().to_string();
        assert!(error.contains("JSON: expected") && error.contains("\"st\""), "{error}");
    }

    #[test]
    fn buffers_that_cannot_be_read_say_why() {
        for (buffer, expected) in [
            ("", "in the format \"\""),
            ("01\ngAROLg==\n", "in the format \"01\""),
            ("04\n", "in the format \"04\""),
            ("00\n!!!!", "base64: Invalid symbol 33"),
            ("00\n", "pickle, at byte 0: the pickle ends"),
            ("11\n", "JSON: expected a value"),
            ("13\n", "no buffer in a pack"),
            ("13\n99999999999999999999\n11\n1", "a length"),
            ("13\n7\n11\n1", "7 characters are claimed"),
        ] {
            let error = decode(buffer).unwrap_err().to_string();
            assert!(error.contains(expected), "{buffer:?}: {error}");
        }
        let mut nested = "11\n1".to_owned();
        for _ in 0..10 {
            nested = format!("13\n{}\n{nested}", nested.len());
        }
        assert!(decode(&nested).unwrap_err().to_string().contains("in the format \"13\""));
    }
}
