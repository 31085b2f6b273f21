use figw::domain::Route::Responses;

use crate::{accepted, each_names_its_field, each_passes};

fn with(fields: &str) -> String {
    format!(r#"{{"model":"m","input":"hi",{fields}}}"#)
}

fn item(item: &str) -> String {
    format!(r#"{{"model":"m","input":[{item}]}}"#)
}

fn content(part: &str) -> String {
    item(&format!(r#"{{"role":"user","content":[{part}]}}"#))
}

#[test]
fn bodies_outside_the_reference_are_refused() {
    let cases = [
        (r#"{"input":"hi"}"#.to_owned(), "model"),
        (r#"{"model":"m"}"#.to_owned(), "input"),
        (r#"{"model":"m","input":4}"#.to_owned(), "input"),
        (with(r#""instructions":1"#), "instructions"),
        (with(r#""max_output_tokens":0"#), "max_output_tokens"),
        (with(r#""max_output_tokens":"9""#), "max_output_tokens"),
        (with(r#""temperature":3"#), "temperature"),
        (with(r#""top_p":2"#), "top_p"),
        (with(r#""top_logprobs":21"#), "top_logprobs"),
        (with(r#""truncation":"some""#), "truncation"),
        (with(r#""include":["everything"]"#), "include[0]"),
        (with(r#""include":"reasoning.encrypted_content""#), "include"),
        (with(r#""reasoning":{"effort":"extreme"}"#), "reasoning.effort"),
        (with(r#""reasoning":{"summary":"long"}"#), "reasoning.summary"),
        (with(r#""reasoning":"high""#), "reasoning"),
        (with(r#""text":{"format":{"type":"xml"}}"#), "text.format.type"),
        (with(r#""text":{"format":{"type":"json_schema","name":"n"}}"#), "text.format.schema"),
        (with(r#""text":{"format":{"type":"json_schema","schema":{}}}"#), "text.format.name"),
        (with(r#""text":{"verbosity":"loud"}"#), "text.verbosity"),
        (with(r#""service_tier":"gold""#), "service_tier"),
        (with(r#""store":1"#), "store"),
        (with(r#""background":"yes""#), "background"),
        (with(r#""background":true,"store":false"#), "background"),
        (with(r#""previous_response_id":"r","conversation":"c""#), "previous_response_id"),
        (with(r#""conversation":{}"#), "conversation.id"),
        (with(r#""stream_options":{"include_obfuscation":false}"#), "stream_options"),
        (with(r#""tool_choice":"required""#), "tool_choice"),
        (with(r#""tool_choice":{"type":"wand"},"tools":[]"#), "tool_choice.type"),
        (with(r#""tool_choice":{"type":"function"},"tools":[]"#), "tool_choice.name"),
        (with(r#""tools":[{"type":"function"}]"#), "tools[0].name"),
        (with(r#""tools":[{"name":"f"}]"#), "tools[0].type"),
        (with(r#""tools":[{"type":"wand"}]"#), "tools[0].type"),
        (with(r#""tools":[{"type":"file_search"}]"#), "tools[0].vector_store_ids"),
        (with(r#""tools":[{"type":"mcp","server_url":"u"}]"#), "tools[0].server_label"),
        (with(r#""metadata":{"a":{}}"#), "metadata.a"),
        (with(r#""prompt":{}"#), "prompt.id"),
        (item(r#""hi""#), "input[0]"),
        (item(r#"{"role":"user"}"#), "input[0].content"),
        (item(r#"{"content":"hi"}"#), "input[0].role"),
        (item(r#"{"role":"tool","content":"hi"}"#), "input[0].role"),
        (item(r#"{"type":"telepathy"}"#), "input[0].type"),
        (item(r#"{"type":"function_call","call_id":"1","name":"f"}"#), "input[0].arguments"),
        (
            item(r#"{"type":"function_call","call_id":"1","name":"f","arguments":{}}"#),
            "input[0].arguments",
        ),
        (item(r#"{"type":"function_call_output","output":"4"}"#), "input[0].call_id"),
        (item(r#"{"type":"function_call_output","call_id":"1"}"#), "input[0].output"),
        (item(r#"{"type":"item_reference"}"#), "input[0].id"),
        (item(r#"{"type":"reasoning","id":"r"}"#), "input[0].summary"),
        (content(r#"{"text":"hi"}"#), "input[0].content[0].type"),
        (content(r#"{"type":"aroma"}"#), "input[0].content[0].type"),
        (content(r#"{"type":"input_text"}"#), "input[0].content[0].text"),
        (content(r#"{"type":"input_image"}"#), "input[0].content[0].image_url"),
        (
            content(r#"{"type":"input_image","image_url":"u","detail":"max"}"#),
            "input[0].content[0].detail",
        ),
        (content(r#"{"type":"input_file"}"#), "input[0].content[0].file_id"),
    ];
    each_names_its_field(Responses, &cases);
}

#[test]
fn what_clients_send_today_passes() {
    let bodies = [
        with(r#""stream":true,"instructions":"be brief","store":false"#),
        with(
            r#""tools":[{"type":"web_search"},{"type":"code_interpreter","container":{"type":"auto"}},{"type":"file_search","vector_store_ids":["v"]},{"type":"mcp","server_label":"s","server_url":"u","require_approval":"never"},{"type":"image_generation"},{"type":"function","name":"f","parameters":{},"strict":true}],"tool_choice":"auto""#,
        ),
        with(
            r#""tools":[{"type":"function","name":"f"}],"tool_choice":{"type":"function","name":"f"}"#,
        ),
        with(r#""tools":[],"tool_choice":"auto","parallel_tool_calls":true,"top_logprobs":0"#),
        with(r#""tool_choice":"auto","truncation":"disabled","background":false"#),
        with(
            r#""reasoning":{"effort":"high","summary":"auto"},"include":["reasoning.encrypted_content"]"#,
        ),
        with(
            r#""text":{"format":{"type":"json_schema","name":"n","schema":{},"strict":true},"verbosity":"low"}"#,
        ),
        with(
            r#""text":{"format":{"type":"text"}},"metadata":{},"user":null,"service_tier":"auto""#,
        ),
        with(r#""previous_response_id":"resp_1","max_output_tokens":16,"max_tool_calls":3"#),
        with(r#""conversation":{"id":"c"},"top_k":5,"chat_template_kwargs":{"a":1}"#),
        with(
            r#""background":true,"store":true,"stream":true,"stream_options":{"include_obfuscation":false}"#,
        ),
        r#"{"model":"m","prompt":{"id":"p","variables":{"a":"b"}}}"#.to_owned(),
        r#"{"model":"m","input":[]}"#.to_owned(),
        item(
            r#"{"role":"developer","content":"x"},{"role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_image","image_url":"u","detail":"auto"},{"type":"input_file","file_id":"f"}]}"#,
        ),
        item(
            r#"{"type":"message","id":"m","status":"completed","role":"assistant","content":[{"type":"output_text","text":"a","annotations":[],"logprobs":[]},{"type":"refusal","refusal":"no"}]}"#,
        ),
        item(
            r#"{"type":"function_call","id":"i","call_id":"1","name":"f","arguments":"{}","status":"completed"},{"type":"function_call_output","call_id":"1","output":"4"}"#,
        ),
        item(
            r#"{"type":"function_call_output","call_id":"1","output":[{"type":"input_text","text":"4"}]}"#,
        ),
        item(
            r#"{"type":"reasoning","id":"r","summary":[{"type":"summary_text","text":"t"}],"content":[{"type":"reasoning_text","text":"t"}],"encrypted_content":"e"}"#,
        ),
        item(r#"{"id":"msg_1"},{"type":"item_reference","id":"x"}"#),
        item(
            r#"{"type":"computer_call_output","call_id":"1","output":{"type":"computer_screenshot","image_url":"u"}}"#,
        ),
        item(
            r#"{"type":"web_search_call","id":"w","status":"completed","action":{"type":"search","query":"q"}}"#,
        ),
        item(r#"{"type":"tool_search_call","arguments":{"q":1}}"#),
        item(r#"{"type":"mcp_approval_response","approval_request_id":"a","approve":true}"#),
        item(
            r#"{"type":"custom_tool_call","call_id":"1","name":"c","input":"x"},{"type":"custom_tool_call_output","call_id":"1","output":"y"}"#,
        ),
        item(r#"{"type":"compaction","encrypted_content":"e"}"#),
    ];
    each_passes(Responses, &bodies);
}

#[test]
fn the_usage_comes_by_itself() {
    let body = with(r#""stream":true,"max_output_tokens":9,"instructions":"abc""#);
    let scan = accepted(Responses, &body);
    assert!(scan.stream && scan.usage_edit.is_none() && !scan.usage_requested);
    assert_eq!((scan.max_output_tokens, scan.prompt_bytes), (Some(9), 5));
}
