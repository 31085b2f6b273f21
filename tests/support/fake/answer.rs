//! Answers that are not streamed, in the shapes of `OpenAI`'s and Anthropic's API references.

use serde_json::{Value, json};

use super::{
    MODELS,
    request::{Asked, Route},
};

/// All answers were made at this second, so that they are the same in every run.
pub(super) const CREATED: u64 = 1_700_000_000;

/// The whole answer with this text.
pub(super) fn whole(asked: &Asked, text: &str, with_usage: bool) -> Value {
    let mut answer = match asked.route {
        Route::ChatCompletions => chat_completion(asked, text),
        Route::Completions => completion(asked, text),
        Route::Embeddings => embeddings(asked),
        Route::Responses => response(asked, text, "completed"),
        Route::Messages => message(asked, text),
    };
    if with_usage {
        answer["usage"] = usage(asked);
    }
    answer
}

/// What was used, in the words of the route's API.
pub(super) fn usage(asked: &Asked) -> Value {
    let (prompt, answer) = (asked.prompt_words, asked.chunks);
    let total = prompt + answer;
    match asked.route {
        Route::ChatCompletions | Route::Completions => {
            json!({"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": total})
        }
        Route::Embeddings => json!({"prompt_tokens": prompt, "total_tokens": prompt}),
        Route::Responses => json!({
            "input_tokens": prompt,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": answer,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": total,
        }),
        Route::Messages => json!({"input_tokens": prompt, "output_tokens": answer}),
    }
}

fn chat_completion(asked: &Asked, text: &str) -> Value {
    json!({
        "id": "chatcmpl-fake", "object": "chat.completion", "created": CREATED,
        "model": asked.model,
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": text, "refusal": null},
            "logprobs": null,
            "finish_reason": "stop",
        }],
    })
}

fn completion(asked: &Asked, text: &str) -> Value {
    json!({
        "id": "cmpl-fake", "object": "text_completion", "created": CREATED,
        "model": asked.model,
        "choices": [{"index": 0, "text": text, "logprobs": null, "finish_reason": "stop"}],
    })
}

fn embeddings(asked: &Asked) -> Value {
    // Four times the float 0.5, in base64 of little-endian bytes when asked so.
    let vector =
        if asked.base64 { json!("AAAAPwAAAD8AAAA/AAAAPw==") } else { json!([0.5, 0.5, 0.5, 0.5]) };
    let data: Vec<_> = (0..asked.inputs)
        .map(|index| json!({"object": "embedding", "index": index, "embedding": vector}))
        .collect();
    json!({"object": "list", "data": data, "model": asked.model})
}

/// A Responses object; `status` is `in_progress` in the events that open a stream.
pub(super) fn response(asked: &Asked, text: &str, status: &str) -> Value {
    let output = if status == "completed" { json!([output_item(text, status)]) } else { json!([]) };
    json!({
        "id": "resp_fake", "object": "response", "created_at": CREATED, "status": status,
        "background": false, "error": null, "incomplete_details": null, "instructions": null,
        "max_output_tokens": null, "metadata": {}, "model": asked.model,
        "output": output, "parallel_tool_calls": true, "previous_response_id": null,
        "reasoning": {"effort": null, "summary": null}, "store": false, "temperature": 1.0,
        "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [], "top_p": 1.0,
        "truncation": "disabled", "usage": null, "user": null,
    })
}

/// A Responses output item; it has no content yet while in progress.
pub(super) fn output_item(text: &str, status: &str) -> Value {
    let content = if status == "completed" { json!([output_text(text)]) } else { json!([]) };
    json!({
        "id": "msg_fake", "type": "message", "role": "assistant", "status": status,
        "content": content,
    })
}

/// The text part of a Responses output item.
pub(super) fn output_text(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

fn message(asked: &Asked, text: &str) -> Value {
    json!({
        "id": "msg_fake", "type": "message", "role": "assistant", "model": asked.model,
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn", "stop_sequence": null,
    })
}

/// The error body that goes with a status.
pub(super) fn error(route: Option<Route>, status: u16, message: &str) -> Value {
    let (openai, anthropic) = match status {
        401 => ("invalid_request_error", "authentication_error"),
        403 => ("invalid_request_error", "permission_error"),
        404 => ("invalid_request_error", "not_found_error"),
        429 => ("rate_limit_error", "rate_limit_error"),
        503 | 529 => ("server_error", "overloaded_error"),
        500.. => ("server_error", "api_error"),
        _ => ("invalid_request_error", "invalid_request_error"),
    };
    if route == Some(Route::Messages) {
        json!({"type": "error", "error": {"type": anthropic, "message": message}})
    } else {
        json!({"error": {"message": message, "type": openai, "param": null, "code": null}})
    }
}

/// One entry of `/v1/models`.
pub(super) fn model(id: &str) -> Value {
    json!({"id": id, "object": "model", "created": CREATED, "owned_by": "fake"})
}

/// `/v1/models`.
pub(super) fn models() -> Value {
    json!({"object": "list", "data": MODELS.map(model)})
}
