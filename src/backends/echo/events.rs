//! Streams of the echo model, in the shape of each API.

use serde_json::{Value, json};

use super::{
    Heard,
    answers::{CREATED, response, response_item, usage},
};
use crate::domain::Route;

/// The events of a stream, each with its closing blank line.
pub(super) fn of(route: Route, heard: &Heard) -> Vec<String> {
    match route {
        Route::ChatCompletions => chat(heard),
        Route::Completions => completions(heard),
        Route::Responses => responses(heard),
        Route::Messages => messages(heard),
        Route::Embeddings => Vec::new(),
    }
}

fn unnamed(data: &Value) -> String {
    format!("data: {data}\n\n")
}

/// An event named by its own `type`, as Anthropic's and the responses API have it.
fn named(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default())
}

fn chat(heard: &Heard) -> Vec<String> {
    let chunk = |delta: Value, finish: Option<&str>| {
        json!({
            "id": "chatcmpl-echo",
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": heard.model,
            "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }],
        })
    };
    let first = chunk(json!({ "role": "assistant", "content": "" }), None);
    let words = heard.words.iter().map(|word| chunk(json!({ "content": word }), None));
    let last = chunk(json!({}), Some("stop"));
    finish(heard, "chat.completion.chunk", std::iter::once(first).chain(words).chain([last]))
}

fn completions(heard: &Heard) -> Vec<String> {
    let chunk = |text: &str, finish: Option<&str>| {
        json!({
            "id": "cmpl-echo",
            "object": "text_completion",
            "created": CREATED,
            "model": heard.model,
            "choices": [{ "index": 0, "text": text, "finish_reason": finish }],
        })
    };
    let words = heard.words.iter().map(|word| chunk(word, None));
    finish(heard, "text_completion", words.chain([chunk("", Some("stop"))]))
}

/// Adds the usage, when it was asked for, and the end mark.
fn finish(heard: &Heard, object: &str, chunks: impl Iterator<Item = Value>) -> Vec<String> {
    let usage = heard.include_usage.then(|| {
        json!({
            "id": "echo",
            "object": object,
            "created": CREATED,
            "model": heard.model,
            "choices": [],
            "usage": usage(heard),
        })
    });
    chunks
        .chain(usage)
        .map(|chunk| unnamed(&chunk))
        .chain(["data: [DONE]\n\n".to_owned()])
        .collect()
}

fn responses(heard: &Heard) -> Vec<String> {
    let place = |kind: &str| json!({ "type": kind, "item_id": "msg_echo", "output_index": 0, "content_index": 0 });
    let with = |mut event: Value, field: &str, value: Value| {
        event[field] = value;
        event
    };
    let part = |text: String| json!({ "type": "output_text", "text": text, "annotations": [] });
    let mut open_item = response_item(heard);
    open_item["status"] = "in_progress".into();
    open_item["content"] = json!([]);

    let mut events = vec![
        json!({ "type": "response.created", "response": response(heard, "in_progress") }),
        json!({ "type": "response.in_progress", "response": response(heard, "in_progress") }),
        json!({ "type": "response.output_item.added", "output_index": 0, "item": open_item }),
        with(place("response.content_part.added"), "part", part(String::new())),
    ];
    events.extend(heard.words.iter().map(|word| {
        let delta = with(place("response.output_text.delta"), "delta", json!(word));
        with(delta, "logprobs", json!([]))
    }));
    let text_done = with(place("response.output_text.done"), "text", json!(heard.text()));
    events.extend([
        with(text_done, "logprobs", json!([])),
        with(place("response.content_part.done"), "part", part(heard.text())),
        json!({
            "type": "response.output_item.done",
            "output_index": 0,
            "item": response_item(heard),
        }),
        json!({ "type": "response.completed", "response": response(heard, "completed") }),
    ]);
    events
        .into_iter()
        .enumerate()
        .map(|(number, event)| named(&with(event, "sequence_number", json!(number))))
        .collect()
}

fn messages(heard: &Heard) -> Vec<String> {
    let start = json!({
        "type": "message_start",
        "message": {
            "id": "msg_echo",
            "type": "message",
            "role": "assistant",
            "model": heard.model,
            "content": [],
            "stop_reason": null,
            "stop_sequence": null,
            "usage": { "input_tokens": heard.prompt_tokens, "output_tokens": 0 },
        },
    });
    let open = json!({
        "type": "content_block_start",
        "index": 0,
        "content_block": { "type": "text", "text": "" },
    });
    let words = heard.words.iter().map(|word| {
        json!({
            "type": "content_block_delta",
            "index": 0,
            "delta": { "type": "text_delta", "text": word },
        })
    });
    let close = json!({ "type": "content_block_stop", "index": 0 });
    let delta = json!({
        "type": "message_delta",
        "delta": { "stop_reason": "end_turn", "stop_sequence": null },
        "usage": { "output_tokens": heard.words.len() },
    });
    let stop = json!({ "type": "message_stop" });
    [start, open].into_iter().chain(words).chain([close, delta, stop]).map(|e| named(&e)).collect()
}
