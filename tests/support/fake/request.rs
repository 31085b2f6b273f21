//! What a request asks for, as far as the answer depends on it.

use http::HeaderMap;
use serde_json::Value;

use super::fault::Fault;

/// Chunks in an answer whose request sets no token limit.
const USUAL_CHUNKS: usize = 5;

/// The five inference routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    ChatCompletions,
    Completions,
    Embeddings,
    Responses,
    Messages,
}

impl Route {
    /// The route at this path, under any prefix.
    pub(super) fn at(path: &str) -> Option<Self> {
        let (_, route) = path.rsplit_once("/v1/")?;
        Some(match route.trim_end_matches('/') {
            "chat/completions" => Self::ChatCompletions,
            "completions" => Self::Completions,
            "embeddings" => Self::Embeddings,
            "responses" => Self::Responses,
            "messages" => Self::Messages,
            _ => return None,
        })
    }
}

/// One request, understood.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) route: Route,
    pub(super) model: String,
    pub(super) streamed: bool,
    /// `stream_options.include_usage`.
    pub(super) wants_usage: bool,
    /// Chunks, each counted as one token.
    pub(super) chunks: usize,
    /// Words in the prompt, each counted as one token.
    pub(super) prompt_words: usize,
    /// Texts to embed.
    pub(super) inputs: usize,
    /// `encoding_format: base64`, the Python client's default for embeddings.
    pub(super) base64: bool,
}

impl Asked {
    /// Reads the body; the error is the message of a 400.
    pub(super) fn read(route: Route, body: &[u8]) -> Result<Self, String> {
        let body: Value =
            serde_json::from_slice(body).map_err(|e| format!("the body is not JSON: {e}"))?;
        let model = body["model"].as_str().ok_or("model is missing")?.to_owned();
        let limit = ["max_completion_tokens", "max_output_tokens", "max_tokens"]
            .iter()
            .find_map(|name| body[name].as_u64());
        let prompt = ["messages", "prompt", "input"].map(|name| &body[name]);
        Ok(Self {
            route,
            model,
            streamed: body["stream"].as_bool().unwrap_or(false),
            wants_usage: body["stream_options"]["include_usage"].as_bool().unwrap_or(false),
            chunks: limit.map_or(USUAL_CHUNKS, |n| usize::try_from(n).unwrap_or(usize::MAX)),
            prompt_words: prompt.into_iter().map(words).sum(),
            inputs: body["input"].as_array().map_or(1, Vec::len),
            base64: body["encoding_format"] == "base64",
        })
    }

    /// The fault that the request itself asks for.
    pub(super) fn fault(&self, headers: &HeaderMap) -> Option<Fault> {
        let by_header = headers.get("x-fake-fault").and_then(|v| v.to_str().ok());
        let name = by_header.or_else(|| self.model.strip_prefix("fault-"))?;
        Some(Fault::named(name).unwrap_or_else(|| panic!("the fake back end has no fault {name}")))
    }

    /// What chunk `i` says.
    pub(super) fn chunk(i: usize) -> String {
        format!("{i} ")
    }

    /// What all chunks say.
    pub(super) fn text(&self) -> String {
        (0..self.chunks).map(Self::chunk).collect()
    }
}

/// Words in all texts of a prompt; roles and types are not prompt.
fn words(prompt: &Value) -> usize {
    match prompt {
        Value::String(text) => text.split_whitespace().count(),
        Value::Array(parts) => parts.iter().map(words).sum(),
        Value::Object(part) => {
            ["content", "text"].iter().filter_map(|name| part.get(*name)).map(words).sum()
        }
        _ => 0,
    }
}
