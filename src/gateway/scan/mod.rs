//! Reads a request's body once: is it valid, and what does the gateway need to know of it?
//!
//! The routes' rules are tables (`routes`) in the vocabulary of `schema`; `check` walks a body
//! along them. They follow OpenAI's and Anthropic's API references as their own client
//! libraries spell them out, with these choices:
//!
//! - unknown fields pass; `null` in an optional field is the same as no field;
//! - enumerations are closed, and hold what vLLM, `SGLang` and llama.cpp add to the reference;
//!   Anthropic's content blocks and tools are open, because new ones come with each model;
//! - a field given twice is refused, and so is one that differs from a known one only by case:
//!   the back end might read the other one.

mod check;
mod facts;
mod invalid;
mod json;
mod routes;
mod schema;
pub mod splice;

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use crate::domain::Route;

use check::Stop;
use facts::{Facts, Found};
pub use invalid::Invalid;
use splice::Edit;

/// What the gateway needs to know of a valid body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan<'a> {
    /// The model asked for.
    pub model: Cow<'a, str>,
    /// Where its JSON value stands in the body, quotes included.
    pub model_span: Range<usize>,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// Whether the stream ends with the usage because the caller asked for it.
    pub usage_requested: bool,
    /// The edit that asks the back end for the usage of a stream; `None` where it comes anyway.
    pub usage_edit: Option<Edit>,
    /// Bound of the tokens written per choice.
    pub max_output_tokens: Option<u64>,
    /// How many completions the back end generates; at least 1.
    pub choices: u64,
    /// Bytes of prompt text, a token ID counting as four; images and tools do not count.
    pub prompt_bytes: u64,
}

impl Scan<'_> {
    /// The same, no longer tied to the body.
    #[must_use]
    pub fn into_owned(self) -> Scan<'static> {
        Scan { model: Cow::Owned(self.model.into_owned()), ..self }
    }

    /// The edit that puts another model's name into the body.
    #[must_use]
    pub fn rename_model(&self, model: &str) -> Edit {
        let quoted = serde_json::Value::from(model).to_string();
        Edit::replace(self.model_span.clone(), Bytes::from(quoted))
    }
}

/// Validates a request's body and reports what the gateway needs of it.
///
/// # Errors
///
/// What is wrong with the body, in OpenAI's words: the content of a 400.
pub fn scan(route: Route, body: &[u8]) -> Result<Scan<'_>, Invalid> {
    let body = std::str::from_utf8(body).map_err(|error| not_utf8(&error))?;
    if body.bytes().all(|byte| byte.is_ascii_whitespace()) {
        return Err(Invalid::body("invalid_json", "The body of the request is empty."));
    }
    let facts = check::check(body, routes::schema(route)).map_err(|stop| match stop {
        Stop::Syntax(syntax) => Invalid::syntax(body, &syntax),
        Stop::Invalid(invalid) => *invalid,
    })?;
    report(route, body, &facts)
}

fn not_utf8(error: &std::str::Utf8Error) -> Invalid {
    let at = error.valid_up_to();
    Invalid::body("invalid_json", format!("The body of the request is not UTF-8 at byte {at}."))
}

fn report<'a>(route: Route, body: &'a str, facts: &Facts<'a>) -> Result<Scan<'a>, Invalid> {
    let Some(model) = facts.model else {
        return Err(Invalid::missing(&invalid::Path::ROOT.member("model")));
    };
    let stream = facts.stream && route.streams();
    let usage_requested = matches!(facts.include_usage, Some((_, true)));
    let asks = stream && matches!(route, Route::ChatCompletions | Route::Completions);
    let choices = facts.choices.max(facts.best_of).unwrap_or(1).max(1);
    Ok(Scan {
        model: model.decode(),
        model_span: model.span(),
        stream,
        usage_requested: asks && usage_requested,
        usage_edit: if asks && !usage_requested { usage_edit(body, facts) } else { None },
        max_output_tokens: facts.max_tokens,
        choices: choices.saturating_mul(facts.prompts.max(1)),
        prompt_bytes: facts.prompt_bytes,
    })
}

/// Sets `stream_options.include_usage`, whatever stands there.
fn usage_edit(body: &str, facts: &Facts<'_>) -> Option<Edit> {
    if let Some((span, _)) = &facts.include_usage {
        return Some(Edit::replace(span.clone(), Bytes::from_static(b"true")));
    }
    Some(match &facts.stream_options {
        Some((span, Found::Object { empty: true })) => {
            Edit::insert(span.start + 1, r#""include_usage":true"#)
        }
        Some((span, Found::Object { empty: false })) => {
            Edit::insert(span.start + 1, r#""include_usage":true,"#)
        }
        Some((span, _)) => {
            Edit::replace(span.clone(), Bytes::from_static(br#"{"include_usage":true}"#))
        }
        // A comma is right: the object has a model at least.
        None => Edit::insert(body.find('{')? + 1, r#""stream_options":{"include_usage":true},"#),
    })
}
