//! `POST /v1/chat/completions`.

use super::shared::{
    FREQUENCY_PENALTY, FUNCTION, FUNCTION_NAME, IDENTIFIED, LOGIT_BIAS, METADATA, MODEL,
    MODERATION, N, NAMED, PARALLEL_TOOL_CALLS, PRESENCE_PENALTY, PROMPT_CACHE_KEY,
    PROMPT_CACHE_OPTIONS, PROMPT_CACHE_RETENTION, REASONING_EFFORT, SAFETY_IDENTIFIER,
    SEARCH_CONTEXT_SIZE, SEED, SERVICE_TIER, STOP, STORE, STREAM, STREAM_OPTIONS, TEMPERATURE,
    TOOL_REFERENCES, TOP_LOGPROBS, TOP_P, USER, VERBOSITY, extra, stream_options_need_stream,
    tool_choice_needs_tools,
};
use crate::gateway::scan::facts::{Fact, Facts};
use crate::gateway::scan::invalid::Broken;
use crate::gateway::scan::schema::{
    BOOL, Items, Kind, Kinds, OBJECT, Object, PROMPT, STRING, Schema, Seen, Tag, array, integer,
    items, items_between, needs, object, one_of, optional, required, takes, variant,
};

pub(super) static BODY: Object = Object::new(&[
    MODEL,
    required("messages", array(&MESSAGES)),
    STREAM,
    STREAM_OPTIONS,
    TEMPERATURE,
    optional("max_tokens", integer(1, i64::MAX).fact(Fact::MaxTokens)),
    optional("max_completion_tokens", integer(1, i64::MAX).fact(Fact::MaxTokens)),
    TOP_P,
    optional("tools", array(&TOOLS)),
    optional("tool_choice", TOOL_CHOICE.fact(Fact::ToolChoice)),
    optional("response_format", object(&RESPONSE_FORMAT)),
    N,
    STOP,
    SEED,
    FREQUENCY_PENALTY,
    PRESENCE_PENALTY,
    LOGIT_BIAS,
    optional("logprobs", BOOL),
    TOP_LOGPROBS,
    PARALLEL_TOOL_CALLS,
    USER,
    optional("audio", object(&AUDIO)),
    optional("modalities", array(&MODALITIES)),
    optional("prediction", object(&PREDICTION)),
    optional("reasoning_effort", REASONING_EFFORT),
    VERBOSITY,
    optional("functions", array(&FUNCTIONS)),
    optional("function_call", one_of(&["none", "auto"]).or_object(&NAMED)),
    optional("web_search_options", object(&WEB_SEARCH)),
    METADATA,
    MODERATION,
    PROMPT_CACHE_KEY,
    PROMPT_CACHE_OPTIONS,
    PROMPT_CACHE_RETENTION,
    SAFETY_IDENTIFIER,
    SERVICE_TIER,
    STORE,
])
.exact_case()
.rule(body_rule);

fn body_rule(seen: &Seen, facts: &Facts<'_>) -> Result<(), Broken> {
    stream_options_need_stream(seen)?;
    tool_choice_needs_tools(seen, facts)?;
    let broken = |field, message| Err(Broken::combination(field, message));
    if seen.has("parallel_tool_calls") && !seen.has("tools") {
        let message = "'parallel_tool_calls' is only allowed when 'tools' are specified.";
        return broken("parallel_tool_calls", message);
    }
    if seen.has("function_call") && !seen.has("functions") {
        let message = "'function_call' is only allowed when 'functions' are specified.";
        return broken("function_call", message);
    }
    if seen.has("top_logprobs") && seen.kind("logprobs") != Kind::True {
        let message = "'top_logprobs' is only allowed when 'logprobs' is true.";
        return broken("top_logprobs", message);
    }
    if seen.has("max_tokens") && seen.has("max_completion_tokens") {
        let message = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not \
                       supported.";
        return broken("max_tokens", message);
    }
    if seen.has("audio") && !facts.wants_audio {
        return broken("audio", "'audio' is only allowed when 'modalities' includes 'audio'.");
    }
    if facts.wants_audio && !seen.has("audio") {
        return Err(Broken::missing("audio"));
    }
    Ok(())
}

static MESSAGES: Items = items_between(object(&MESSAGE), 1, usize::MAX);
static MESSAGE: Object = Object::new(&[
    optional("role", STRING),
    optional("content", PROMPT.or_array(&PARTS)),
    optional("name", STRING),
    optional("tool_calls", array(&TOOL_CALLS)),
    optional("tool_call_id", STRING),
    optional("refusal", STRING),
    optional("audio", object(&IDENTIFIED)),
    optional("function_call", object(&FUNCTION_CALLED)),
    extra("reasoning"),
    extra("reasoning_content"),
])
.tagged(&ROLE);

const TEXT_OR_PARTS: Kinds = Kinds::STRING.or(Kinds::ARRAY);
static ROLE: Tag = Tag::closed(
    "role",
    &[
        variant("system", &[needs("content", TEXT_OR_PARTS)]),
        variant("user", &[needs("content", TEXT_OR_PARTS)]),
        variant("assistant", &[takes("content", TEXT_OR_PARTS)]).rule(assistant_rule),
        variant("tool", &[needs("content", TEXT_OR_PARTS), needs("tool_call_id", Kinds::STRING)]),
        variant("developer", &[needs("content", TEXT_OR_PARTS)]),
        variant(
            "function",
            &[needs("name", Kinds::STRING), needs("content", TEXT_OR_PARTS.or(Kinds::NULL))],
        ),
    ],
);

/// An assistant's message may do without content when it says something otherwise.
fn assistant_rule(seen: &Seen, _: &Facts<'_>) -> Result<(), Broken> {
    const ALL: [&str; 7] = [
        "content",
        "tool_calls",
        "function_call",
        "refusal",
        "audio",
        "reasoning",
        "reasoning_content",
    ];
    if ALL.into_iter().any(|field| seen.has(field)) {
        return Ok(());
    }
    Err(Broken::missing("content"))
}

static PARTS: Items = items_between(object(&PART), 1, usize::MAX);
static PART: Object = Object::new(&[
    optional("type", STRING),
    optional("text", PROMPT),
    optional("image_url", STRING.or_object(&IMAGE_URL)),
    optional("input_audio", object(&INPUT_AUDIO)),
    optional("file", object(&FILE)),
    optional("refusal", STRING),
    optional("video_url", STRING.or_object(&MEDIA_URL)),
    optional("audio_url", STRING.or_object(&MEDIA_URL)),
    optional("thinking", STRING),
])
.tagged(&PART_TYPE);

static PART_TYPE: Tag = Tag::closed(
    "type",
    &[
        variant("text", &[needs("text", Kinds::STRING)]),
        variant("image_url", &[needs("image_url", Kinds::OBJECT)]),
        variant("input_audio", &[needs("input_audio", Kinds::OBJECT)]),
        variant("file", &[needs("file", Kinds::OBJECT)]),
        variant("refusal", &[needs("refusal", Kinds::STRING)]),
        // Beyond the reference: what vLLM and SGLang read.
        variant("video_url", &[needs("video_url", Kinds::OBJECT)]),
        variant("audio_url", &[needs("audio_url", Kinds::OBJECT)]),
        variant("input_text", &[needs("text", Kinds::STRING)]),
        variant("output_text", &[needs("text", Kinds::STRING)]),
        variant("input_image", &[needs("image_url", Kinds::STRING)]),
        variant("thinking", &[needs("thinking", Kinds::STRING)]),
        variant("image_embeds", &[]),
        variant("audio_embeds", &[]),
        variant("image_pil", &[]),
        variant("video", &[]),
    ],
);

static IMAGE_URL: Object = Object::new(&[
    required("url", STRING.chars(1, usize::MAX)),
    optional("detail", one_of(&["auto", "low", "high", "original"])),
]);
static MEDIA_URL: Object = Object::new(&[required("url", STRING.chars(1, usize::MAX))]);
static INPUT_AUDIO: Object =
    Object::new(&[required("data", STRING), required("format", one_of(&["wav", "mp3"]))]);
static FILE: Object = Object::new(&[
    optional("file_data", STRING),
    optional("file_id", STRING),
    optional("filename", STRING),
])
.rule(|seen, _| {
    if seen.has("file_data") || seen.has("file_id") {
        return Ok(());
    }
    Err(Broken::missing("file_id"))
});

static TOOL_CALLS: Items = items(object(&TOOL_CALL));
static TOOL_CALL: Object = Object::new(&[
    required("id", STRING),
    optional("type", STRING),
    optional("function", object(&FUNCTION_CALLED)),
    optional("custom", object(&CUSTOM_CALLED)),
])
.tagged(&CALL_TYPE);
static CALL_TYPE: Tag = Tag::closed(
    "type",
    &[
        variant("function", &[needs("function", Kinds::OBJECT)]),
        variant("custom", &[needs("custom", Kinds::OBJECT)]),
    ],
);
static FUNCTION_CALLED: Object =
    Object::new(&[required("name", STRING), required("arguments", PROMPT)]);
static CUSTOM_CALLED: Object = Object::new(&[required("name", STRING), required("input", PROMPT)]);

static FUNCTIONS: Items = items_between(object(&FUNCTION), 1, 128);
static TOOLS: Items = items(object(&TOOL));
static TOOL: Object = Object::new(&[
    optional("type", STRING),
    optional("function", object(&FUNCTION)),
    optional("custom", object(&CUSTOM_TOOL)),
])
.tagged(&CALL_TYPE);
static CUSTOM_TOOL: Object = Object::new(&[
    required("name", FUNCTION_NAME),
    optional("description", STRING),
    optional("format", object(&CUSTOM_FORMAT)),
]);
static CUSTOM_FORMAT: Object =
    Object::new(&[optional("type", STRING), optional("grammar", object(&GRAMMAR))])
        .tagged(&CUSTOM_FORMAT_TYPE);
static CUSTOM_FORMAT_TYPE: Tag = Tag::closed(
    "type",
    &[variant("text", &[]), variant("grammar", &[needs("grammar", Kinds::OBJECT)])],
);
static GRAMMAR: Object =
    Object::new(&[required("definition", STRING), required("syntax", one_of(&["lark", "regex"]))]);

const TOOL_CHOICE: Schema = one_of(&["none", "auto", "required"]).or_object(&CHOSEN_TOOL);
static CHOSEN_TOOL: Object = Object::new(&[
    optional("type", STRING),
    optional("function", object(&NAMED)),
    optional("custom", object(&NAMED)),
    optional("allowed_tools", object(&ALLOWED_TOOLS)),
])
.tagged(&CHOSEN_TYPE);
static CHOSEN_TYPE: Tag = Tag::closed(
    "type",
    &[
        variant("function", &[needs("function", Kinds::OBJECT)]),
        variant("custom", &[needs("custom", Kinds::OBJECT)]),
        variant("allowed_tools", &[needs("allowed_tools", Kinds::OBJECT)]),
    ],
);
static ALLOWED_TOOLS: Object = Object::new(&[
    required("mode", one_of(&["auto", "required"])),
    required("tools", array(&TOOL_REFERENCES)),
]);

static RESPONSE_FORMAT: Object =
    Object::new(&[optional("type", STRING), optional("json_schema", object(&JSON_SCHEMA))])
        .tagged(&RESPONSE_FORMAT_TYPE);
static RESPONSE_FORMAT_TYPE: Tag = Tag::closed(
    "type",
    &[
        variant("text", &[]),
        variant("json_object", &[]),
        variant("json_schema", &[needs("json_schema", Kinds::OBJECT)]),
        // Beyond the reference: vLLM and SGLang.
        variant("structural_tag", &[]),
    ],
);
static JSON_SCHEMA: Object = Object::new(&[
    required("name", FUNCTION_NAME),
    optional("description", STRING),
    optional("schema", OBJECT),
    optional("strict", BOOL),
]);

static MODALITIES: Items =
    items_between(one_of(&["text", "audio"]).fact(Fact::Modality), 1, usize::MAX);
static AUDIO: Object = Object::new(&[
    required("format", one_of(&["wav", "aac", "mp3", "flac", "opus", "pcm16"])),
    required("voice", STRING.chars(1, usize::MAX).or_object(&IDENTIFIED)),
]);

static PREDICTION: Object = Object::new(&[
    required("type", one_of(&["content"])),
    required("content", PROMPT.or_array(&PARTS)),
]);

static WEB_SEARCH: Object =
    Object::new(&[SEARCH_CONTEXT_SIZE, optional("user_location", object(&USER_LOCATION))]);
static USER_LOCATION: Object =
    Object::new(&[required("type", one_of(&["approximate"])), required("approximate", OBJECT)]);
