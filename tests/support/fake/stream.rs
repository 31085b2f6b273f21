//! Streamed answers: the server-sent events of each API, one write each.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    answer::{self, CREATED},
    request::{Asked, Route},
};

/// A stream, taken apart so that faults can strike between.
#[derive(Debug)]
pub(super) struct Events {
    /// Before the first text.
    pub(super) opening: Vec<Bytes>,
    /// One event per chunk of text.
    pub(super) chunks: Vec<Bytes>,
    /// After the last text, usage included.
    pub(super) closing: Vec<Bytes>,
    /// `[DONE]`, or the event that ends the stream in APIs without one.
    pub(super) done: Bytes,
}

/// The events of an answer.
pub(super) fn events(asked: &Asked, with_usage: bool) -> Events {
    match asked.route {
        Route::Responses => responses(asked, with_usage),
        Route::Messages => messages(asked, with_usage),
        Route::ChatCompletions | Route::Completions | Route::Embeddings => {
            completions(asked, with_usage)
        }
    }
}

/// An error in the midst of a stream.
pub(super) fn error(route: Route) -> Bytes {
    let error = answer::error(Some(route), 500, "the model has crashed");
    match route {
        Route::Messages => named(&error),
        Route::Responses => named(&json!({
            "type": "error", "code": "server_error", "message": "the model has crashed",
            "param": null, "sequence_number": 0,
        })),
        _ => unnamed(&error),
    }
}

fn unnamed(data: &Value) -> Bytes {
    format!("data: {data}\n\n").into()
}

/// An event whose name is the `type` of its data.
fn named(data: &Value) -> Bytes {
    let name = data["type"].as_str().expect("an event with a type");
    format!("event: {name}\ndata: {data}\n\n").into()
}

/// Chat and legacy completions, which differ in the object's name and where the text stands.
fn completions(asked: &Asked, with_usage: bool) -> Events {
    let chat = asked.route == Route::ChatCompletions;
    let with_usage = with_usage && asked.wants_usage;
    let (id, object) = if chat {
        ("chatcmpl-fake", "chat.completion.chunk")
    } else {
        ("cmpl-fake", "text_completion")
    };
    let event = |choices: &Value, usage: Value| {
        let mut data = json!({
            "id": id, "object": object, "created": CREATED, "model": asked.model,
            "choices": choices,
        });
        if with_usage {
            data["usage"] = usage;
        }
        unnamed(&data)
    };
    let choice = |text: Option<&str>, finish_reason: Value| {
        let mut choice = json!({"index": 0, "logprobs": null, "finish_reason": finish_reason});
        if chat {
            choice["delta"] = text.map_or(json!({}), |text| json!({"content": text}));
        } else {
            choice["text"] = text.unwrap_or_default().into();
        }
        json!([choice])
    };
    let mut opening = Vec::new();
    if chat {
        let role = json!([{
            "index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": null,
            "finish_reason": null,
        }]);
        opening.push(event(&role, Value::Null));
    }
    let mut closing = vec![event(&choice(None, json!("stop")), Value::Null)];
    if with_usage {
        closing.push(event(&json!([]), answer::usage(asked)));
    }
    Events {
        opening,
        chunks: (0..asked.chunks)
            .map(|i| event(&choice(Some(&Asked::chunk(i)), Value::Null), Value::Null))
            .collect(),
        closing,
        done: Bytes::from_static(b"data: [DONE]\n\n"),
    }
}

/// Every event of the Responses API has a sequence number.
fn numbered(events: Vec<Value>, first: usize) -> Vec<Bytes> {
    (first..)
        .zip(events)
        .map(|(number, mut event)| {
            event["sequence_number"] = number.into();
            named(&event)
        })
        .collect()
}

fn responses(asked: &Asked, with_usage: bool) -> Events {
    let text = asked.text();
    let begun = answer::response(asked, "", "in_progress");
    let opening = vec![
        json!({"type": "response.created", "response": begun}),
        json!({"type": "response.in_progress", "response": begun}),
        json!({"type": "response.output_item.added", "output_index": 0,
               "item": answer::output_item("", "in_progress")}),
        json!({"type": "response.content_part.added", "item_id": "msg_fake", "output_index": 0,
               "content_index": 0, "part": answer::output_text("")}),
    ];
    let chunks: Vec<_> = (0..asked.chunks)
        .map(|i| {
            json!({"type": "response.output_text.delta", "item_id": "msg_fake", "output_index": 0,
                   "content_index": 0, "delta": Asked::chunk(i), "logprobs": []})
        })
        .collect();
    let closing = vec![
        json!({"type": "response.output_text.done", "item_id": "msg_fake", "output_index": 0,
               "content_index": 0, "text": text, "logprobs": []}),
        json!({"type": "response.content_part.done", "item_id": "msg_fake", "output_index": 0,
               "content_index": 0, "part": answer::output_text(&text)}),
        json!({"type": "response.output_item.done", "output_index": 0,
               "item": answer::output_item(&text, "completed")}),
    ];
    let whole = answer::whole(asked, &text, with_usage);
    let after_opening = opening.len();
    let after_chunks = after_opening + chunks.len();
    let last = after_chunks + closing.len();
    Events {
        opening: numbered(opening, 0),
        chunks: numbered(chunks, after_opening),
        closing: numbered(closing, after_chunks),
        done: named(&json!({
            "type": "response.completed", "response": whole, "sequence_number": last,
        })),
    }
}

fn messages(asked: &Asked, with_usage: bool) -> Events {
    let mut message = answer::whole(asked, "", false);
    message["content"] = json!([]);
    message["stop_reason"] = Value::Null;
    let mut end = json!({
        "type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null},
    });
    if with_usage {
        let usage = answer::usage(asked);
        message["usage"] = json!({"input_tokens": usage["input_tokens"], "output_tokens": 1});
        end["usage"] = json!({"output_tokens": usage["output_tokens"]});
    }
    Events {
        opening: vec![
            named(&json!({"type": "message_start", "message": message})),
            named(&json!({"type": "content_block_start", "index": 0,
                          "content_block": {"type": "text", "text": ""}})),
            named(&json!({"type": "ping"})),
        ],
        chunks: (0..asked.chunks)
            .map(|i| {
                named(&json!({"type": "content_block_delta", "index": 0,
                              "delta": {"type": "text_delta", "text": Asked::chunk(i)}}))
            })
            .collect(),
        closing: vec![named(&json!({"type": "content_block_stop", "index": 0})), named(&end)],
        done: named(&json!({"type": "message_stop"})),
    }
}
