use figw::domain::Route::Messages;

use crate::{accepted, each_names_its_field, each_passes};

fn with(fields: &str) -> String {
    format!(
        r#"{{"model":"m","max_tokens":2048,"messages":[{{"role":"user","content":"hi"}}],{fields}}}"#
    )
}

fn message(message: &str) -> String {
    format!(r#"{{"model":"m","max_tokens":9,"messages":[{message}]}}"#)
}

fn block(block: &str) -> String {
    message(&format!(r#"{{"role":"user","content":[{block}]}}"#))
}

#[test]
fn bodies_outside_the_reference_are_refused() {
    let whole = |body: &str, param| (body.to_owned(), param);
    let cases = [
        whole(r#"{"model":"m","messages":[{"role":"user","content":"a"}]}"#, "max_tokens"),
        whole(r#"{"model":"m","max_tokens":9}"#, "messages"),
        whole(r#"{"max_tokens":9,"messages":[{"role":"user","content":"a"}]}"#, "model"),
        whole(
            r#"{"model":"m","max_tokens":0,"messages":[{"role":"user","content":"a"}]}"#,
            "max_tokens",
        ),
        whole(r#"{"model":"m","max_tokens":9,"messages":[]}"#, "messages"),
        (message(r#"{"content":"a"}"#), "messages[0].role"),
        (message(r#"{"role":"tool","content":"a"}"#), "messages[0].role"),
        (message(r#"{"role":"user"}"#), "messages[0].content"),
        (message(r#"{"role":"user","content":null}"#), "messages[0].content"),
        (message(r#"{"role":"user","content":{}}"#), "messages[0].content"),
        (block(r#""a""#), "messages[0].content[0]"),
        (block(r#"{"text":"a"}"#), "messages[0].content[0].type"),
        (block(r#"{"type":""}"#), "messages[0].content[0].type"),
        (block(r#"{"type":"text"}"#), "messages[0].content[0].text"),
        (block(r#"{"type":"image"}"#), "messages[0].content[0].source"),
        (block(r#"{"type":"image","source":{}}"#), "messages[0].content[0].source.type"),
        (
            block(r#"{"type":"image","source":{"type":"base64","data":"A"}}"#),
            "messages[0].content[0].source.media_type",
        ),
        (block(r#"{"type":"image","source":{"type":"url"}}"#), "messages[0].content[0].source.url"),
        (block(r#"{"type":"tool_use","id":"1","name":"f"}"#), "messages[0].content[0].input"),
        (
            block(r#"{"type":"tool_use","id":"1","name":"f","input":"x"}"#),
            "messages[0].content[0].input",
        ),
        (block(r#"{"type":"tool_result"}"#), "messages[0].content[0].tool_use_id"),
        (
            block(r#"{"type":"tool_result","tool_use_id":"1","content":[{"type":"text"}]}"#),
            "messages[0].content[0].content[0].text",
        ),
        (block(r#"{"type":"thinking","signature":"s"}"#), "messages[0].content[0].thinking"),
        (
            block(r#"{"type":"text","text":"a","cache_control":{"type":"forever"}}"#),
            "messages[0].content[0].cache_control.type",
        ),
        (with(r#""system":5"#), "system"),
        (with(r#""system":[{"type":"image"}]"#), "system[0].type"),
        (with(r#""temperature":1.5"#), "temperature"),
        (with(r#""top_p":-1"#), "top_p"),
        (with(r#""top_k":-1"#), "top_k"),
        (with(r#""top_k":0.5"#), "top_k"),
        (with(r#""stop_sequences":"a""#), "stop_sequences"),
        (with(r#""stop_sequences":[1]"#), "stop_sequences[0]"),
        (with(r#""stream":1"#), "stream"),
        (with(r#""metadata":{"user_id":1}"#), "metadata.user_id"),
        (with(r#""service_tier":"gold""#), "service_tier"),
        (with(r#""thinking":{"type":"enabled"}"#), "thinking.budget_tokens"),
        (with(r#""thinking":{"type":"enabled","budget_tokens":1023}"#), "thinking.budget_tokens"),
        (with(r#""thinking":{"type":"enabled","budget_tokens":2048}"#), "thinking.budget_tokens"),
        (with(r#""thinking":{"type":"deep"}"#), "thinking.type"),
        (with(r#""tools":[{"name":"f"}]"#), "tools[0].input_schema"),
        (with(r#""tools":[{"input_schema":{"type":"object"}}]"#), "tools[0].name"),
        (with(r#""tools":[{"name":"a b","input_schema":{}}]"#), "tools[0].name"),
        (with(r#""tool_choice":{"type":"auto"}"#), "tool_choice"),
        (with(r#""tool_choice":"auto","tools":[]"#), "tool_choice"),
        (with(r#""tool_choice":{"type":"tool"},"tools":[]"#), "tool_choice.name"),
        (with(r#""tool_choice":{"type":"required"},"tools":[]"#), "tool_choice.type"),
        (
            with(r#""output_config":{"format":{"type":"json_schema"}}"#),
            "output_config.format.schema",
        ),
        (with(r#""mcp_servers":[{"type":"url","url":"u"}]"#), "mcp_servers[0].name"),
    ];
    each_names_its_field(Messages, &cases);
}

#[test]
fn what_clients_send_today_passes() {
    let bodies = [
        with(r#""system":"be brief","temperature":1,"top_p":0.9,"top_k":0,"stop_sequences":["a"]"#),
        with(
            r#""system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral","ttl":"1h"}}]"#,
        ),
        with(r#""stream":true,"metadata":{"user_id":null},"service_tier":"standard_only""#),
        with(r#""thinking":{"type":"enabled","budget_tokens":1024}"#),
        with(r#""thinking":{"type":"adaptive"},"output_config":{"effort":"high"}"#),
        with(r#""thinking":{"type":"disabled"},"tool_choice":{"type":"none"}"#),
        with(
            r#""tools":[{"name":"f","input_schema":{"type":"object","properties":{}}}],"tool_choice":{"type":"any","disable_parallel_tool_use":true}"#,
        ),
        with(
            r#""tools":[{"type":"bash_20250124","name":"bash"},{"type":"web_search_20250305","name":"web_search","max_uses":3},{"type":"mcp_toolset","mcp_server_name":"s"},{"type":"custom","name":"c","input_schema":{"type":"object"}}],"tool_choice":{"type":"tool","name":"c"}"#,
        ),
        with(
            r#""mcp_servers":[{"type":"url","name":"n","url":"u","authorization_token":"t"}],"container":{"id":"c"},"context_management":{"edits":[]},"betas":["x"]"#,
        ),
        with(r#""chat_template_kwargs":{},"future":{"a":[]}"#),
        message(
            r#"{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"system","content":"c"}"#,
        ),
        message(r#"{"role":"assistant","content":[]}"#),
        block(
            r#"{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA"}},{"type":"image","source":{"type":"url","url":"u"}},{"type":"image","source":{"type":"file","file_id":"f"}}"#,
        ),
        block(
            r#"{"type":"document","source":{"type":"content","content":[{"type":"text","text":"a"}]},"title":"t","citations":{"enabled":true}}"#,
        ),
        block(
            r#"{"type":"document","source":{"type":"text","media_type":"text/plain","data":"a"}}"#,
        ),
        block(
            r#"{"type":"tool_use","id":"1","name":"f","input":{}},{"type":"tool_result","tool_use_id":"1","content":"x","is_error":false},{"type":"tool_result","tool_use_id":"2"}"#,
        ),
        block(
            r#"{"type":"tool_result","tool_use_id":"1","content":[{"type":"image","source":{"type":"url","url":"u"}},{"type":"tool_reference","tool_name":"x"},{"type":"search_result","source":"s","title":"t","content":[{"type":"text","text":"a"}]}]}"#,
        ),
        block(
            r#"{"type":"thinking","thinking":"hm","signature":"s"},{"type":"redacted_thinking","data":"d"}"#,
        ),
        block(
            r#"{"type":"server_tool_use","id":"1","name":"web_search","input":{"query":"q"}},{"type":"web_search_tool_result","tool_use_id":"1","content":[{"type":"web_search_result","url":"u","title":"t","encrypted_content":"e"}]}"#,
        ),
        block(
            r#"{"type":"web_search_tool_result","tool_use_id":"1","content":{"type":"web_search_tool_result_error","error_code":"x"}}"#,
        ),
        block(
            r#"{"type":"search_result","source":"s","title":"t","content":[{"type":"text","text":"a"}]}"#,
        ),
        block(r#"{"type":"container_upload","file_id":"f"},{"type":"from_the_future","input":3}"#),
    ];
    each_passes(Messages, &bodies);
}

#[test]
fn the_usage_comes_by_itself() {
    let body = with(r#""stream":true,"system":"abc""#);
    let scan = accepted(Messages, &body);
    assert!(scan.stream && scan.usage_edit.is_none());
    assert_eq!((scan.max_output_tokens, scan.prompt_bytes), (Some(2048), 5));
}
