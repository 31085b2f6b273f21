//! Whole answers of the echo model, in the shape of each API.

use serde_json::{Value, json};

use super::Heard;
use crate::domain::Route;

/// When the echo model was made, as far as OpenAI's `created` goes.
pub(super) const CREATED: u64 = 1_700_000_000;

/// Length of an embedding.
const DIMENSIONS: usize = 8;

pub(super) fn of(route: Route, heard: &Heard) -> Value {
    match route {
        Route::ChatCompletions => chat(heard),
        Route::Completions => completion(heard),
        Route::Embeddings => embeddings(heard),
        Route::Responses => response(heard, "completed"),
        Route::Messages => message(heard),
    }
}

fn chat(heard: &Heard) -> Value {
    json!({
        "id": "chatcmpl-echo",
        "object": "chat.completion",
        "created": CREATED,
        "model": heard.model,
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": heard.text(), "refusal": null },
            "logprobs": null,
            "finish_reason": "stop",
        }],
        "usage": usage(heard),
    })
}

fn completion(heard: &Heard) -> Value {
    json!({
        "id": "cmpl-echo",
        "object": "text_completion",
        "created": CREATED,
        "model": heard.model,
        "choices": [{
            "index": 0,
            "text": heard.text(),
            "logprobs": null,
            "finish_reason": "stop",
        }],
        "usage": usage(heard),
    })
}

fn embeddings(heard: &Heard) -> Value {
    let data: Vec<_> = heard
        .inputs
        .iter()
        .enumerate()
        .map(|(index, text)| {
            json!({ "object": "embedding", "index": index, "embedding": embedding(text) })
        })
        .collect();
    json!({
        "object": "list",
        "model": heard.model,
        "data": data,
        "usage": { "prompt_tokens": heard.prompt_tokens, "total_tokens": heard.prompt_tokens },
    })
}

/// A vector that depends on the text alone: how often each class of byte stands in it.
fn embedding(text: &str) -> [f32; DIMENSIONS] {
    let mut vector = [0.0_f32; DIMENSIONS];
    for byte in text.bytes() {
        vector[usize::from(byte) % DIMENSIONS] += 1.0;
    }
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(1.0);
    vector.map(|x| x / length)
}

pub(super) fn response(heard: &Heard, status: &str) -> Value {
    let done = status == "completed";
    json!({
        "id": "resp_echo",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "model": heard.model,
        "output": if done { json!([response_item(heard)]) } else { json!([]) },
        "parallel_tool_calls": false,
        "tool_choice": "auto",
        "tools": [],
        "error": null,
        "incomplete_details": null,
        "instructions": null,
        "metadata": {},
        "temperature": null,
        "top_p": null,
        "usage": if done { response_usage(heard) } else { Value::Null },
    })
}

pub(super) fn response_item(heard: &Heard) -> Value {
    json!({
        "id": "msg_echo",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [{ "type": "output_text", "text": heard.text(), "annotations": [] }],
    })
}

fn message(heard: &Heard) -> Value {
    json!({
        "id": "msg_echo",
        "type": "message",
        "role": "assistant",
        "model": heard.model,
        "content": [{ "type": "text", "text": heard.text() }],
        "stop_reason": "end_turn",
        "stop_sequence": null,
        "usage": { "input_tokens": heard.prompt_tokens, "output_tokens": heard.words.len() },
    })
}

pub(super) fn usage(heard: &Heard) -> Value {
    json!({
        "prompt_tokens": heard.prompt_tokens,
        "completion_tokens": heard.words.len(),
        "total_tokens": heard.prompt_tokens + heard.words.len(),
    })
}

fn response_usage(heard: &Heard) -> Value {
    json!({
        "input_tokens": heard.prompt_tokens,
        "input_tokens_details": { "cached_tokens": 0 },
        "output_tokens": heard.words.len(),
        "output_tokens_details": { "reasoning_tokens": 0 },
        "total_tokens": heard.prompt_tokens + heard.words.len(),
    })
}
