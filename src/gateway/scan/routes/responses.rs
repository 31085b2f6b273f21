//! `POST /v1/responses`; what stands in `input` and `tools` is in `responses_items`.

use super::responses_items::{INPUT_ITEMS, TOOLS};
use super::shared::{
    FUNCTION_NAME, IDENTIFIED, METADATA, MODEL, MODERATION, PARALLEL_TOOL_CALLS, PROMPT_CACHE_KEY,
    PROMPT_CACHE_OPTIONS, PROMPT_CACHE_RETENTION, REASONING_EFFORT, SAFETY_IDENTIFIER,
    SERVICE_TIER, STORE, STREAM, STREAM_OPTIONS, TEMPERATURE, TOOL_REFERENCES, TOP_LOGPROBS, TOP_P,
    USER, VERBOSITY, stream_options_need_stream, tool_choice_needs_tools,
};
use crate::gateway::scan::facts::{Fact, Facts};
use crate::gateway::scan::invalid::Broken;
use crate::gateway::scan::schema::{
    BOOL, Items, Kind, Kinds, OBJECT, Object, PROMPT, STRING, Schema, Seen, Tag, array, integer,
    items, needs, object, one_of, optional, required, variant,
};

pub(super) static BODY: Object = Object::new(&[
    MODEL,
    optional("input", PROMPT.or_array(&INPUT_ITEMS)),
    optional("instructions", PROMPT),
    STREAM,
    STREAM_OPTIONS,
    optional("max_output_tokens", integer(1, i64::MAX).fact(Fact::MaxTokens)),
    TEMPERATURE,
    TOP_P,
    optional("tools", array(&TOOLS)),
    optional("tool_choice", TOOL_CHOICE.fact(Fact::ToolChoice)),
    optional("text", object(&TEXT)),
    optional("reasoning", object(&REASONING)),
    optional("previous_response_id", STRING),
    optional("conversation", STRING.or_object(&IDENTIFIED)),
    optional("include", array(&INCLUDED)),
    STORE,
    optional("background", BOOL),
    optional("truncation", one_of(&["auto", "disabled"])),
    optional("max_tool_calls", integer(1, i64::MAX)),
    PARALLEL_TOOL_CALLS,
    TOP_LOGPROBS,
    optional("prompt", object(&STORED_PROMPT)),
    optional("context_management", array(&CONTEXT_MANAGEMENT)),
    METADATA,
    MODERATION,
    PROMPT_CACHE_KEY,
    PROMPT_CACHE_OPTIONS,
    PROMPT_CACHE_RETENTION,
    SAFETY_IDENTIFIER,
    SERVICE_TIER,
    USER,
])
.exact_case()
.rule(rule);

fn rule(seen: &Seen, facts: &Facts<'_>) -> Result<(), Broken> {
    stream_options_need_stream(seen)?;
    // A stored prompt brings its tools, and `auto` is harmless: it is the default.
    if !seen.has("prompt") && !facts.chooses("auto") {
        tool_choice_needs_tools(seen, facts)?;
    }
    if seen.has("previous_response_id") && seen.has("conversation") {
        let message = "'previous_response_id' and 'conversation' are mutually exclusive.";
        return Err(Broken::combination("previous_response_id", message));
    }
    if seen.kind("background") == Kind::True && seen.kind("store") == Kind::False {
        let message = "'background' is only allowed when 'store' is not false.";
        return Err(Broken::combination("background", message));
    }
    let sources = ["input", "prompt", "previous_response_id", "conversation"];
    if !sources.into_iter().any(|source| seen.has(source)) {
        return Err(Broken::missing("input"));
    }
    Ok(())
}

const TOOL_CHOICE: Schema = one_of(&["none", "auto", "required"]).or_object(&CHOSEN_TOOL);
static CHOSEN_TOOL: Object = Object::new(&[
    optional("type", STRING),
    optional("name", STRING),
    optional("server_label", STRING),
    optional("mode", one_of(&["auto", "required"])),
    optional("tools", array(&TOOL_REFERENCES)),
])
.tagged(&CHOSEN_TYPE);
static CHOSEN_TYPE: Tag = Tag::closed(
    "type",
    &[
        variant("function", &[needs("name", Kinds::STRING)]),
        variant("custom", &[needs("name", Kinds::STRING)]),
        variant("mcp", &[needs("server_label", Kinds::STRING)]),
        variant("allowed_tools", &[needs("mode", Kinds::STRING), needs("tools", Kinds::ARRAY)]),
        variant("file_search", &[]),
        variant("web_search", &[]),
        variant("web_search_2025_08_26", &[]),
        variant("web_search_preview", &[]),
        variant("web_search_preview_2025_03_11", &[]),
        variant("computer", &[]),
        variant("computer_use", &[]),
        variant("computer_use_preview", &[]),
        variant("image_generation", &[]),
        variant("code_interpreter", &[]),
        variant("programmatic_tool_calling", &[]),
        variant("apply_patch", &[]),
        variant("shell", &[]),
    ],
);

static TEXT: Object = Object::new(&[optional("format", object(&TEXT_FORMAT)), VERBOSITY]);
static TEXT_FORMAT: Object = Object::new(&[
    optional("type", STRING),
    optional("name", FUNCTION_NAME),
    optional("schema", OBJECT),
    optional("description", STRING),
    optional("strict", BOOL),
])
.tagged(&TEXT_FORMAT_TYPE);
static TEXT_FORMAT_TYPE: Tag = Tag::closed(
    "type",
    &[
        variant("text", &[]),
        variant("json_object", &[]),
        variant("json_schema", &[needs("name", Kinds::STRING), needs("schema", Kinds::OBJECT)]),
        // Beyond the reference: vLLM.
        variant("structural_tag", &[]),
    ],
);

const SUMMARY: Schema = one_of(&["auto", "concise", "detailed"]);
static REASONING: Object = Object::new(&[
    optional("effort", REASONING_EFFORT),
    optional("summary", SUMMARY),
    optional("generate_summary", SUMMARY),
    optional("context", one_of(&["auto", "current_turn", "all_turns"])),
    optional("mode", STRING),
]);

static INCLUDED: Items = items(one_of(&[
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
]));

static STORED_PROMPT: Object = Object::new(&[
    required("id", STRING),
    optional("variables", OBJECT),
    optional("version", STRING),
]);

static CONTEXT_MANAGEMENT: Items = items(object(&CONTEXT_RULE));
static CONTEXT_RULE: Object =
    Object::new(&[required("type", STRING), optional("compact_threshold", integer(1, i64::MAX))]);
