//! The requests that an endpoint takes.

use serde_json::{Value, json};

/// Each inference route, not streamed and, where it can be, streamed.
pub const REQUESTS: [(&str, bool); 9] = [
    ("chat/completions", false),
    ("chat/completions", true),
    ("completions", false),
    ("completions", true),
    ("embeddings", false),
    ("responses", false),
    ("responses", true),
    ("messages", false),
    ("messages", true),
];

/// The inference routes that stream.
pub const STREAMED: [&str; 4] = ["chat/completions", "completions", "responses", "messages"];

/// Prompt tokens that the fake back end counts in [`request`].
pub const PROMPT_TOKENS: u64 = 3;
/// Tokens that the fake back end answers with.
pub const ANSWER_TOKENS: u64 = 5;

/// A small valid request.
pub fn request(route: &str, model: &str, streamed: bool) -> Value {
    let prompt = "three short words";
    let messages = json!([{"role": "user", "content": prompt}]);
    let mut body = match route {
        "chat/completions" => json!({"model": model, "messages": messages}),
        "completions" => json!({"model": model, "prompt": prompt}),
        "embeddings" | "responses" => json!({"model": model, "input": prompt}),
        "messages" => json!({"model": model, "messages": messages, "max_tokens": ANSWER_TOKENS}),
        other => panic!("there is no route {other}"),
    };
    if streamed {
        body["stream"] = true.into();
    }
    body
}

/// A chat that is not streamed.
pub fn chat(model: &str) -> Value {
    request("chat/completions", model, false)
}

/// A streamed chat whose answer has this many chunks.
pub fn streamed_chat(model: &str, chunks: usize) -> Value {
    let mut body = request("chat/completions", model, true);
    body["max_tokens"] = chunks.into();
    body
}
