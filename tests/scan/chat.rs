use figw::domain::Route::ChatCompletions;

use crate::{accepted, each_names_its_field, each_passes, refused};

/// A small valid body with more fields.
fn with(fields: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}],{fields}}}"#)
}

/// A body whose only message this is.
fn message(message: &str) -> String {
    format!(r#"{{"model":"m","messages":[{message}]}}"#)
}

/// A body whose user says this.
fn content(content: &str) -> String {
    message(&format!(r#"{{"role":"user","content":{content}}}"#))
}

const TOOLS: &str = r#""tools":[{"type":"function","function":{"name":"f"}}]"#;

#[test]
fn sampling_out_of_its_range_is_refused() {
    let cases = [
        (r#""temperature":2.1"#, "temperature"),
        (r#""temperature":-1"#, "temperature"),
        (r#""temperature":"hot""#, "temperature"),
        (r#""top_p":1.01"#, "top_p"),
        (r#""top_p":[]"#, "top_p"),
        (r#""n":0"#, "n"),
        (r#""n":129"#, "n"),
        (r#""n":1.5"#, "n"),
        (r#""n":"1""#, "n"),
        (r#""max_tokens":0"#, "max_tokens"),
        (r#""max_tokens":-5"#, "max_tokens"),
        (r#""max_tokens":true"#, "max_tokens"),
        (r#""max_tokens":99999999999999999999"#, "max_tokens"),
        (r#""max_completion_tokens":0"#, "max_completion_tokens"),
        (r#""frequency_penalty":-2.5"#, "frequency_penalty"),
        (r#""presence_penalty":3"#, "presence_penalty"),
        (r#""logit_bias":{"50256":101}"#, "logit_bias.50256"),
        (r#""logit_bias":[]"#, "logit_bias"),
        (r#""seed":"x""#, "seed"),
        (r#""seed":-99999999999999999999"#, "seed"),
        (r#""stop":["a","b","c","d","e"]"#, "stop"),
        (r#""stop":[1]"#, "stop[0]"),
        (r#""stop":5"#, "stop"),
        (r#""logprobs":1"#, "logprobs"),
        (r#""top_logprobs":21,"logprobs":true"#, "top_logprobs"),
        (r#""stream":"yes""#, "stream"),
        (r#""user":7"#, "user"),
        (r#""reasoning_effort":"extreme""#, "reasoning_effort"),
        (r#""verbosity":"loud""#, "verbosity"),
        (r#""service_tier":"gold""#, "service_tier"),
        (r#""metadata":{"a":1}"#, "metadata.a"),
        (r#""store":"no""#, "store"),
        (r#""prediction":{"type":"content"}"#, "prediction.content"),
        (
            r#""web_search_options":{"search_context_size":"huge"}"#,
            "web_search_options.search_context_size",
        ),
    ];
    each_names_its_field(ChatCompletions, &cases.map(|(fields, param)| (with(fields), param)));
}

#[test]
fn parts_that_depend_on_each_other_are_held_to_it() {
    let cases = [
        (r#""stream_options":{"include_usage":true}"#, "stream_options"),
        (r#""stream":false,"stream_options":{"include_usage":true}"#, "stream_options"),
        (r#""stream":true,"stream_options":{"include_usage":1}"#, "stream_options.include_usage"),
        (r#""stream":true,"stream_options":[]"#, "stream_options"),
        (r#""top_logprobs":2"#, "top_logprobs"),
        (r#""top_logprobs":2,"logprobs":false"#, "top_logprobs"),
        (r#""tool_choice":"auto""#, "tool_choice"),
        (r#""tool_choice":{"type":"function","function":{"name":"f"}}"#, "tool_choice"),
        (r#""parallel_tool_calls":true"#, "parallel_tool_calls"),
        (r#""function_call":"auto""#, "function_call"),
        (r#""max_tokens":5,"max_completion_tokens":5"#, "max_tokens"),
        (r#""audio":{"voice":"alloy","format":"wav"}"#, "audio"),
        (r#""modalities":["text","audio"]"#, "audio"),
        (r#""modalities":["text","smell"]"#, "modalities[1]"),
        (r#""modalities":["audio"],"audio":{"voice":"alloy"}"#, "audio.format"),
        (r#""response_format":{"type":"json_schema"}"#, "response_format.json_schema"),
        (r#""response_format":{"type":"yaml"}"#, "response_format.type"),
        (r#""response_format":{}"#, "response_format.type"),
        (r#""response_format":"json""#, "response_format"),
        (
            r#""response_format":{"type":"json_schema","json_schema":{"schema":{}}}"#,
            "response_format.json_schema.name",
        ),
        (
            r#""response_format":{"type":"json_schema","json_schema":{"name":"a b"}}"#,
            "response_format.json_schema.name",
        ),
    ];
    each_names_its_field(ChatCompletions, &cases.map(|(fields, param)| (with(fields), param)));
}

#[test]
fn tools_are_described_completely() {
    let cases = [
        (r#""tools":{}"#.to_owned(), "tools"),
        (r#""tools":["f"]"#.to_owned(), "tools[0]"),
        (r#""tools":[{"type":"function"}]"#.to_owned(), "tools[0].function"),
        (r#""tools":[{"function":{"name":"f"}}]"#.to_owned(), "tools[0].type"),
        (r#""tools":[{"type":"magic"}]"#.to_owned(), "tools[0].type"),
        (r#""tools":[{"type":"function","function":{}}]"#.to_owned(), "tools[0].function.name"),
        (
            r#""tools":[{"type":"function","function":{"name":"a.b"}}]"#.to_owned(),
            "tools[0].function.name",
        ),
        (
            r#""tools":[{"type":"function","function":{"name":"f","parameters":"x"}}]"#.to_owned(),
            "tools[0].function.parameters",
        ),
        (format!(r#"{TOOLS},"tool_choice":"sometimes""#), "tool_choice"),
        (format!(r#"{TOOLS},"tool_choice":{{"type":"function"}}"#), "tool_choice.function"),
        (
            format!(r#"{TOOLS},"tool_choice":{{"type":"function","function":{{}}}}"#),
            "tool_choice.function.name",
        ),
        (format!(r#"{TOOLS},"tool_choice":5"#), "tool_choice"),
    ];
    each_names_its_field(ChatCompletions, &cases.map(|(fields, param)| (with(&fields), param)));
}

#[test]
fn messages_are_what_their_role_says() {
    let whole = |body: &str, param| (body.to_owned(), param);
    let cases = [
        whole(r#"{"messages":[{"role":"user","content":"hi"}]}"#, "model"),
        whole(r#"{"model":"","messages":[{"role":"user","content":"hi"}]}"#, "model"),
        whole(r#"{"model":null,"messages":[{"role":"user","content":"hi"}]}"#, "model"),
        whole(r#"{"model":["m"],"messages":[{"role":"user","content":"hi"}]}"#, "model"),
        whole(r#"{"model":"m"}"#, "messages"),
        whole(r#"{"model":"m","messages":[]}"#, "messages"),
        whole(r#"{"model":"m","messages":null}"#, "messages"),
        whole(r#"{"model":"m","messages":"hi"}"#, "messages"),
        (message("7"), "messages[0]"),
        (message(r#"{"content":"hi"}"#), "messages[0].role"),
        (message(r#"{"role":"wizard","content":"hi"}"#), "messages[0].role"),
        (message(r#"{"role":3,"content":"hi"}"#), "messages[0].role"),
        (message(r#"{"role":"user"}"#), "messages[0].content"),
        (message(r#"{"role":"user","content":null}"#), "messages[0].content"),
        (message(r#"{"role":"user","content":5}"#), "messages[0].content"),
        (message(r#"{"role":"system"}"#), "messages[0].content"),
        (message(r#"{"role":"assistant"}"#), "messages[0].content"),
        (message(r#"{"role":"assistant","content":null,"name":"a"}"#), "messages[0].content"),
        (message(r#"{"role":"tool","content":"42"}"#), "messages[0].tool_call_id"),
        (message(r#"{"role":"function","content":"42"}"#), "messages[0].name"),
        (message(r#"{"role":"user","content":"a"},{"role":"user"}"#), "messages[1].content"),
        (
            message(r#"{"role":"assistant","tool_calls":[{"type":"function"}]}"#),
            "messages[0].tool_calls[0].id",
        ),
        (
            message(r#"{"role":"assistant","tool_calls":[{"id":"1","type":"function"}]}"#),
            "messages[0].tool_calls[0].function",
        ),
        (
            message(
                r#"{"role":"assistant","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":{}}}]}"#,
            ),
            "messages[0].tool_calls[0].function.arguments",
        ),
        (content("[]"), "messages[0].content"),
        (content(r#"["hi"]"#), "messages[0].content[0]"),
        (content(r#"[{"text":"hi"}]"#), "messages[0].content[0].type"),
        (content(r#"[{"type":"hologram"}]"#), "messages[0].content[0].type"),
        (content(r#"[{"type":"text"}]"#), "messages[0].content[0].text"),
        (content(r#"[{"type":"text","text":null}]"#), "messages[0].content[0].text"),
        (content(r#"[{"type":"image_url"}]"#), "messages[0].content[0].image_url"),
        (content(r#"[{"type":"image_url","image_url":"u"}]"#), "messages[0].content[0].image_url"),
        (
            content(r#"[{"type":"image_url","image_url":{}}]"#),
            "messages[0].content[0].image_url.url",
        ),
        (
            content(r#"[{"type":"image_url","image_url":{"url":"u","detail":"max"}}]"#),
            "messages[0].content[0].image_url.detail",
        ),
        (
            content(r#"[{"type":"input_audio","input_audio":{"data":"AA","format":"ogg"}}]"#),
            "messages[0].content[0].input_audio.format",
        ),
        (
            content(r#"[{"type":"file","file":{"filename":"a"}}]"#),
            "messages[0].content[0].file.file_id",
        ),
    ];
    each_names_its_field(ChatCompletions, &cases);
}

#[test]
fn what_clients_send_today_passes() {
    let bodies = [
        with(r#""stream":true,"stream_options":{"include_usage":true}"#),
        with(r#""stream":null,"stream_options":null,"temperature":null,"tools":null,"stop":null"#),
        with(r#""temperature":0,"top_p":1,"n":128,"max_completion_tokens":1,"seed":-1"#),
        with(r#""stop":"\n","logit_bias":{"1":-100,"2":100},"user":"u""#),
        with(r#""logprobs":true,"top_logprobs":20"#),
        with(&format!(r#"{TOOLS},"tool_choice":"required","parallel_tool_calls":false"#)),
        with(&format!(r#"{TOOLS},"tool_choice":{{"type":"function","function":{{"name":"f"}}}}"#)),
        with(&format!(
            r#"{TOOLS},"tool_choice":{{"type":"allowed_tools","allowed_tools":{{"mode":"auto","tools":[{{"type":"function"}}]}}}}"#
        )),
        with(r#""tool_choice":"none""#),
        with(r#""tools":[]"#),
        with(
            r#""tools":[{"type":"custom","custom":{"name":"c","format":{"type":"grammar","grammar":{"syntax":"lark","definition":"x"}}}}]"#,
        ),
        with(
            r#""tools":[{"type":"function","function":{"name":"f","strict":true,"parameters":{"type":"object","properties":{"model":{"type":"string"},"model2":{}}}}}]"#,
        ),
        with(r#""response_format":{"type":"json_object"}"#),
        with(
            r#""response_format":{"type":"json_schema","json_schema":{"name":"s","strict":true,"schema":{"type":"object","required":["a"]}}}"#,
        ),
        with(r#""modalities":["text","audio"],"audio":{"voice":"alloy","format":"wav"}"#),
        with(r#""reasoning_effort":"minimal","verbosity":"low","service_tier":"priority""#),
        with(r#""metadata":{"k":"v"},"store":true,"safety_identifier":"x","prompt_cache_key":"y""#),
        with(r#""prediction":{"type":"content","content":[{"type":"text","text":"x"}]}"#),
        with(
            r#""web_search_options":{"user_location":{"type":"approximate","approximate":{"city":"Lemont"}}}"#,
        ),
        with(r#""functions":[{"name":"f","parameters":{}}],"function_call":{"name":"f"}"#),
        with(
            r#""top_k":40,"min_p":0.1,"guided_json":{"type":"object"},"chat_template_kwargs":{"enable_thinking":false},"min_tokens":2,"ignore_eos":true,"repetition_penalty":1.1,"add_generation_prompt":true,"structured_outputs":{"regex":"a"}"#,
        ),
        with(r#""keep_alive":"5m","options":{"num_ctx":4096},"future":[null,{"a":[1e9]}]"#),
        message(
            r#"{"role":"developer","content":"be brief"},{"role":"user","content":[{"type":"text","text":"hi"}],"name":"ann"}"#,
        ),
        message(
            r#"{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":"42"}"#,
        ),
        message(r#"{"role":"assistant","content":[{"type":"refusal","refusal":"no"}]}"#),
        message(r#"{"role":"assistant","refusal":"no","content":null}"#),
        message(r#"{"role":"assistant","audio":{"id":"a1"}}"#),
        message(
            r#"{"role":"assistant","content":"","tool_calls":[],"function_call":null,"refusal":null,"audio":null,"annotations":[]}"#,
        ),
        message(r#"{"role":"assistant","content":null,"reasoning_content":"hm"}"#),
        message(r#"{"role":"function","name":"f","content":null}"#),
        content(
            r#"[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA","detail":"high"}},{"type":"text","text":"?"}]"#,
        ),
        content(r#"[{"type":"input_audio","input_audio":{"data":"AA","format":"wav"}}]"#),
        content(r#"[{"type":"file","file":{"file_data":"AA","filename":"a.pdf"}}]"#),
        content(r#"[{"type":"video_url","video_url":{"url":"https://v"}}]"#),
        content(r#""""#),
    ];
    each_passes(ChatCompletions, &bodies);
}

#[test]
fn fields_may_come_in_any_order() {
    let forward = r#"{"model":"m","messages":[{"role":"tool","tool_call_id":"1","content":[{"type":"text","text":"a"}]}],"stream":true,"stream_options":{}}"#;
    let backward = r#"{"stream_options":{},"stream":true,"messages":[{"content":[{"text":"a","type":"text"}],"tool_call_id":"1","role":"tool"}],"model":"m"}"#;
    accepted(ChatCompletions, forward);
    accepted(ChatCompletions, backward);
    let late = r#"{"top_logprobs":2,"messages":[{"content":"a","role":"user"}],"logprobs":true,"model":"m"}"#;
    accepted(ChatCompletions, late);
}

#[test]
fn the_scan_reports_what_the_gateway_needs() {
    let body = with(r#""max_completion_tokens":77,"n":3,"stream":true"#);
    let scan = accepted(ChatCompletions, &body);
    assert_eq!(scan.model, "m");
    assert_eq!(scan.max_output_tokens, Some(77));
    assert_eq!(scan.choices, 3);
    assert_eq!(scan.prompt_bytes, 2);
    assert!(scan.stream && !scan.usage_requested && scan.usage_edit.is_some());

    let body = with(r#""stream":true,"stream_options":{"include_usage":true}"#);
    let scan = accepted(ChatCompletions, &body);
    assert!(scan.usage_requested && scan.usage_edit.is_none());

    let body = with(r#""stream":false"#);
    let scan = accepted(ChatCompletions, &body);
    assert!(!scan.stream && !scan.usage_requested && scan.usage_edit.is_none());
    assert_eq!((scan.choices, scan.max_output_tokens), (1, None));
}

#[test]
fn images_do_not_count_as_prompt_text() {
    let image = "A".repeat(10_000);
    let body = content(&format!(
        r#"[{{"type":"image_url","image_url":{{"url":"{image}"}}}},{{"type":"text","text":"four"}}]"#
    ));
    assert_eq!(accepted(ChatCompletions, &body).prompt_bytes, 4);
}

#[test]
fn refusals_speak_as_openai_does() {
    let said = |fields: &str| refused(ChatCompletions, &with(fields));
    let wrong_type = said(r#""temperature":"hot""#);
    assert_eq!(
        wrong_type.message,
        "Invalid type for 'temperature': expected a number, but got a string instead."
    );
    assert_eq!(wrong_type.code, Some("invalid_type"));
    let below = said(r#""max_tokens":0"#);
    assert_eq!(
        below.message,
        "Invalid 'max_tokens': integer below minimum value. Expected a value >= 1, but got 0 \
         instead."
    );
    assert_eq!(below.code, Some("integer_below_min_value"));
    let missing = refused(ChatCompletions, &message(r#"{"role":"user"}"#));
    assert_eq!(missing.message, "Missing required parameter: 'messages[0].content'.");
    assert_eq!(missing.code, Some("missing_required_parameter"));
    let unknown = said(r#""verbosity":"loud""#);
    assert_eq!(
        unknown.message,
        "Invalid value: 'loud'. Supported values for 'verbosity' are: 'low', 'medium' and 'high'."
    );
}

#[test]
fn echoed_values_are_short_and_printable() {
    let long = "x".repeat(5_000);
    let refusal = refused(ChatCompletions, &with(&format!(r#""verbosity":"{long}""#)));
    assert!(refusal.message.len() < 300, "{}", refusal.message);
    let hostile = refused(ChatCompletions, &with(r#""verbosity":"a\n\u001b[31m\u202Eb""#));
    assert!(hostile.message.chars().all(|char| !char.is_control() && char != '\u{202E}'));
    let key = "k".repeat(5_000);
    let refusal = refused(ChatCompletions, &with(&format!(r#""metadata":{{"{key}":"v"}}"#)));
    assert!(refusal.message.len() < 400, "{}", refusal.message);
    let pairs: Vec<_> = (0..17).map(|i| format!(r#""k{i}":"v""#)).collect();
    let refusal =
        refused(ChatCompletions, &with(&format!(r#""metadata":{{{}}}"#, pairs.join(","))));
    assert_eq!(refusal.param.as_deref(), Some("metadata"));
    // Characters are counted, not bytes nor escapes.
    let value = r"\u00e9\ud83d\ude00".repeat(256);
    accepted(ChatCompletions, &with(&format!(r#""metadata":{{"k":"{value}"}}"#)));
    refused(ChatCompletions, &with(&format!(r#""metadata":{{"k":"{value}x"}}"#)));
}
