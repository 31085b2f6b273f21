//! The built-in echo model: answers every route with what it was told, a word being a token.
//!
//! It lets a newcomer, a test or a load balancer try the whole gateway without a back end.

mod answers;
mod events;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use serde_json::Value;

use super::{Answer, AnswerBody, BackendError, BoxError, Call};
use crate::domain::{Echo, Route};

/// What the echo model heard, and will repeat.
struct Heard {
    model: String,
    /// Pieces of the answer; joined they are the text.
    words: Vec<String>,
    prompt_tokens: usize,
    /// Inputs of an embeddings request.
    inputs: Vec<String>,
    /// Whether a chat or completions stream is to end with its usage.
    include_usage: bool,
}

/// Answers `call`.
///
/// # Errors
/// Never in practice; the type is that of every back end.
pub fn send(settings: &Echo, call: &Call) -> Result<Answer, BackendError> {
    let mut body = BytesMut::with_capacity(usize::try_from(call.body.len()).unwrap_or(0));
    for part in call.body.parts() {
        body.extend_from_slice(part);
    }
    let request: Value = serde_json::from_slice(&body)
        .map_err(|e| BackendError::Broken(format!("echo cannot read the request: {e}")))?;
    let heard = Heard::new(call.route, &request);
    let (content_type, body) = if call.stream && call.route.streams() {
        ("text/event-stream; charset=utf-8", paced(events::of(call.route, &heard), settings.delay))
    } else {
        ("application/json", whole(answers::of(call.route, &heard).to_string().into()))
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(Answer { status: StatusCode::OK, headers, body })
}

fn whole(bytes: Bytes) -> AnswerBody {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

/// Hands out `events` one by one, with a pause before each.
fn paced(events: Vec<String>, pause: Duration) -> AnswerBody {
    let pieces = stream::unfold(events.into_iter(), move |mut events| async move {
        let event = events.next()?;
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        Some((Ok::<_, BoxError>(Frame::data(Bytes::from(event))), events))
    });
    StreamBody::new(pieces).boxed()
}

impl Heard {
    fn new(route: Route, request: &Value) -> Self {
        let (said, everything) = match route {
            Route::ChatCompletions | Route::Messages => conversation(&request["messages"]),
            Route::Completions => (text_of(&request["prompt"]), text_of(&request["prompt"])),
            Route::Responses if request["input"].is_array() => conversation(&request["input"]),
            Route::Responses | Route::Embeddings => {
                (text_of(&request["input"]), text_of(&request["input"]))
            }
        };
        let inputs = match &request["input"] {
            Value::Array(items) if items.iter().any(|i| i.is_string() || i.is_array()) => {
                items.iter().map(text_of).collect()
            }
            input => vec![text_of(input)],
        };
        Self {
            model: request["model"].as_str().unwrap_or("echo").to_owned(),
            words: said.split_inclusive(' ').map(ToOwned::to_owned).collect(),
            prompt_tokens: everything.split_whitespace().count(),
            inputs,
            include_usage: request["stream_options"]["include_usage"] == true,
        }
    }

    fn text(&self) -> String {
        self.words.concat()
    }
}

/// The last thing the user said, and everything that was said.
fn conversation(messages: &Value) -> (String, String) {
    let messages = messages.as_array().map(Vec::as_slice).unwrap_or_default();
    let said = messages
        .iter()
        .rfind(|m| m["role"] == "user")
        .or(messages.last())
        .map(|m| text_of(&m["content"]))
        .unwrap_or_default();
    let everything: Vec<_> = messages.iter().map(|m| text_of(&m["content"])).collect();
    (said, everything.join(" "))
}

/// The text in a string, or in the parts of an array; token ids are written out.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(id) => id.to_string(),
        Value::Array(parts) => parts.iter().map(text_of).collect::<Vec<_>>().join(" "),
        Value::Object(part) => part.get("text").map(text_of).unwrap_or_default(),
        _ => String::new(),
    }
}
