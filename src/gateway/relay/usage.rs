//! Token counts as back ends report them, in the three shapes of the five routes.
//!
//! `prompt_tokens`/`completion_tokens` in chat, completions and embeddings;
//! `input_tokens`/`output_tokens` in responses (under `response` in its stream) and messages
//! (under `message` in its stream's first event, and then `output_tokens` alone).

use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::TokenCount;

/// Counts seen so far; the last one of each kind holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReportedUsage {
    prompt: Option<u64>,
    completion: Option<u64>,
}

/// More tokens than any request has; what goes beyond is a mistake that must not spoil sums.
const MOST_TOKENS: u64 = 1 << 40;

#[derive(Default, Deserialize)]
#[serde(default)]
#[allow(clippy::struct_field_names, reason = "the names of the APIs")]
struct Fields<'a> {
    #[serde(borrow)]
    prompt_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    completion_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    input_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    output_tokens: Option<&'a RawValue>,
    // Anthropic counts what it read from or wrote to its cache beside `input_tokens`.
    #[serde(borrow)]
    cache_creation_input_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    cache_read_input_tokens: Option<&'a RawValue>,
}

/// A count, also one written as `3.0`. What is no count is as if it were not there: one field that
/// is wrong must not void the others.
fn count(raw: Option<&RawValue>) -> Option<u64> {
    let text = raw?.get();
    let number = text.parse::<u64>().ok().or_else(|| whole(text.parse::<f64>().ok()?))?;
    (number <= MOST_TOKENS).then_some(number)
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "the range is checked first"
)]
fn whole(number: f64) -> Option<u64> {
    (0.0..=MOST_TOKENS as f64).contains(&number).then_some(number as u64)
}

#[derive(Deserialize)]
struct Nested<'a> {
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

/// What one JSON document of an answer says about tokens.
#[derive(Deserialize)]
pub struct Document<'a> {
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    response: Option<Nested<'a>>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    choices: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
}

impl<'a> Document<'a> {
    /// Reads a JSON object, checking the syntax of all of it.
    ///
    /// # Errors
    /// When `text` is not a JSON object.
    pub fn parse(text: &'a [u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(text)
    }

    /// Whether this reports a failure in place of a part of the answer.
    #[must_use]
    pub fn is_error(&self) -> bool {
        let named = self.kind.map(RawValue::get);
        // The two events of the responses API have their error elsewhere.
        matches!(named, Some(r#""error""# | r#""response.failed""#))
            || (self.error.is_some() && self.choices.is_none() && self.response.is_none())
    }

    /// Whether this is OpenAI's extra last chunk, which brings the usage and no choice.
    #[must_use]
    pub fn is_usage_only(&self) -> bool {
        self.usage.is_some()
            && self.choices.is_some_and(|choices| {
                choices.get().bytes().filter(|b| !b.is_ascii_whitespace()).eq(*b"[]")
            })
    }
}

impl ReportedUsage {
    /// Takes over what `document` reports.
    pub fn note(&mut self, document: &Document<'_>) {
        let nested = document.message.and_then(|raw| {
            // `message` is an object in Anthropic's stream and a text in many errors.
            serde_json::from_str::<Nested<'_>>(raw.get()).ok().and_then(|n| n.usage)
        });
        let usages = [nested, document.response.as_ref().and_then(|r| r.usage), document.usage];
        for raw in usages.into_iter().flatten() {
            if let Ok(fields) = serde_json::from_str::<Option<Fields<'_>>>(raw.get()) {
                self.take(&fields.unwrap_or_default());
            }
        }
    }

    /// Whether the back end has said anything yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.prompt.is_none() && self.completion.is_none()
    }

    fn take(&mut self, fields: &Fields<'_>) {
        let cached = count(fields.cache_creation_input_tokens).unwrap_or(0)
            + count(fields.cache_read_input_tokens).unwrap_or(0);
        let prompt = count(fields.prompt_tokens).or(count(fields.input_tokens).map(|n| n + cached));
        self.prompt = prompt.or(self.prompt);
        let completion = count(fields.completion_tokens).or(count(fields.output_tokens));
        self.completion = completion.or(self.completion);
    }

    /// The counts, with `estimate` where the back end said nothing.
    #[must_use]
    pub fn or_estimate(self, estimate: TokenCount) -> TokenCount {
        match (self.prompt, self.completion) {
            (None, None) => TokenCount { estimated: true, ..estimate },
            // Embeddings report a prompt and no completion.
            (prompt, completion) => TokenCount {
                prompt: prompt.unwrap_or(estimate.prompt),
                completion: completion.unwrap_or(0),
                estimated: prompt.is_none(),
            },
        }
    }
}

/// Whether `text` may hold a usage object. Cheap, and never wrong in saying no.
#[must_use]
pub fn mentions_usage(text: &[u8]) -> bool {
    const NEEDLE: &[u8] = b"\"usage\"";
    memmem::find_iter(text, NEEDLE).any(|at| {
        let rest = &text[at + NEEDLE.len()..];
        rest.iter()
            .find(|b| !b.is_ascii_whitespace() && **b != b':')
            // A buffer may end between the name and its value.
            .is_none_or(|b| *b == b'{')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str]) -> TokenCount {
        let mut usage = ReportedUsage::default();
        for text in texts {
            usage.note(&Document::parse(text.as_bytes()).unwrap());
        }
        usage.or_estimate(TokenCount { prompt: 7, completion: 9, estimated: false })
    }

    fn reported(prompt: u64, completion: u64) -> TokenCount {
        TokenCount { prompt, completion, estimated: false }
    }

    #[test]
    fn every_shape_of_usage_is_read() {
        let chat = r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#;
        assert_eq!(read(&[chat]), reported(3, 4));
        let embedding = r#"{"data":[],"usage":{"prompt_tokens":5,"total_tokens":5}}"#;
        assert_eq!(read(&[embedding]), reported(5, 0));
        let response = r#"{"type":"response.completed","response":{"usage":{"input_tokens":1,"output_tokens":2}}}"#;
        assert_eq!(read(&[response]), reported(1, 2));
        let start = r#"{"message":{"usage":{"input_tokens":6,"cache_read_input_tokens":4,"output_tokens":1}}}"#;
        let delta = r#"{"delta":{},"usage":{"output_tokens":12}}"#;
        assert_eq!(read(&[start, delta]), reported(10, 12));
    }

    #[test]
    fn every_shape_of_a_failure_is_known_from_an_answer() {
        let is_error = |text: &str| Document::parse(text.as_bytes()).unwrap().is_error();
        assert!(is_error(r#"{"error":{"message":"a"}}"#));
        assert!(is_error(r#"{"type":"error","error":{"type":"api_error"}}"#));
        assert!(is_error(r#"{"type":"error","code":"server_error","message":"a"}"#));
        assert!(is_error(r#"{"type":"response.failed","response":{"error":{"code":"a"}}}"#));
        assert!(!is_error(r#"{"type":"response.created","response":{"error":null}}"#));
        assert!(!is_error(r#"{"type":"message_delta","error":null}"#));
        assert!(!is_error(r#"{"choices":[],"error":{}}"#));
    }

    #[test]
    fn one_count_that_is_none_does_not_void_the_others() {
        let floats = r#"{"usage":{"prompt_tokens":3.0,"completion_tokens":4}}"#;
        assert_eq!(read(&[floats]), reported(3, 4));
        let negative = r#"{"usage":{"prompt_tokens":3,"completion_tokens":-4}}"#;
        assert_eq!(read(&[negative]), reported(3, 0));
        let cached =
            r#"{"usage":{"input_tokens":5,"cache_read_input_tokens":18446744073709551615}}"#;
        assert_eq!(read(&[cached]), reported(5, 0));
    }

    #[test]
    fn silence_and_nonsense_become_an_estimate() {
        let absurd = r#"{"usage":{"prompt_tokens":18446744073709551615,"completion_tokens":-3}}"#;
        for text in ["{}", r#"{"usage":null}"#, r#"{"usage":{"prompt_tokens":"many"}}"#, absurd] {
            assert_eq!(read(&[text]), TokenCount { prompt: 7, completion: 9, estimated: true });
        }
    }

    #[test]
    fn a_null_usage_is_not_worth_parsing() {
        assert!(!mentions_usage(br#"{"choices":[1],"usage": null}"#));
        assert!(mentions_usage(br#"{"usage":null,"response":{"usage" : {"a":1}}}"#));
    }
}
