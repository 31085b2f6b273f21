//! The items of `input` and of `tools` in `POST /v1/responses`.

use super::shared::{FUNCTION_NAME, SEARCH_CONTEXT_SIZE, STRINGS};
use crate::gateway::scan::facts::Facts;
use crate::gateway::scan::invalid::Broken;
use crate::gateway::scan::schema::{
    ANYTHING, BOOL, Items, Kinds, Need, OBJECT, Object, PROMPT, STRING, Schema, Seen, Tag, Variant,
    array, integer, items, needs, object, one_of, optional, required, takes, variant,
};

pub(super) static INPUT_ITEMS: Items = items(object(&ITEM));
static ITEM: Object = Object::new(&[
    optional("type", STRING),
    optional("role", one_of(&["user", "assistant", "system", "developer"])),
    optional("content", PROMPT.or_array(&PARTS)),
    optional("id", STRING),
    optional("call_id", STRING),
    optional("name", STRING),
    // Of many types, a different one in every kind of item.
    optional("arguments", Schema { text: PROMPT.text, fact: PROMPT.fact, ..ANYTHING }),
    optional("output", PROMPT.or_array(&OUTPUTS).or_object(&OPAQUE)),
    optional("summary", array(&SUMMARIES)),
    optional("input", PROMPT),
    optional("encrypted_content", STRING),
    optional(
        "status",
        one_of(&[
            "in_progress",
            "completed",
            "incomplete",
            "searching",
            "generating",
            "interpreting",
            "calling",
            "failed",
        ]),
    ),
    optional("queries", array(&STRINGS)),
    optional("action", OBJECT),
    optional("actions", array(&OBJECTS)),
    optional("pending_safety_checks", array(&OBJECTS)),
    optional("result", STRING),
    optional("code", STRING),
    optional("container_id", STRING),
    optional("server_label", STRING),
    optional("tools", array(&OBJECTS)),
    optional("approval_request_id", STRING),
    optional("approve", BOOL),
    optional("operation", OBJECT),
    optional("fingerprint", STRING),
])
.tagged(&ITEM_TYPE);

static OPAQUE: Object = Object::new(&[]);
static OBJECTS: Items = items(OBJECT);

static ITEM_TYPE: Tag = Tag::closed("type", ITEM_TYPES).or_default(|seen: &Seen| {
    if seen.has("id") && !seen.has("role") { "item_reference" } else { "message" }
});

const ID: Kinds = Kinds::STRING;
const ITEM_TYPES: &[Variant] = &[
    variant(
        "message",
        &[needs("role", Kinds::STRING), needs("content", Kinds::STRING.or(Kinds::ARRAY))],
    ),
    variant(
        "function_call",
        &[needs("call_id", ID), needs("name", ID), needs("arguments", Kinds::STRING)],
    ),
    variant("function_call_output", &[needs("output", Kinds::STRING.or(Kinds::ARRAY))])
        .rule(output_names_its_call),
    variant("reasoning", &[needs("summary", Kinds::ARRAY)]),
    variant("item_reference", &[needs("id", ID)]),
    variant(
        "custom_tool_call",
        &[needs("call_id", ID), needs("name", ID), needs("input", Kinds::STRING)],
    ),
    variant(
        "custom_tool_call_output",
        &[needs("call_id", ID), needs("output", Kinds::STRING.or(Kinds::ARRAY))],
    ),
    variant("file_search_call", &[needs("id", ID), needs("queries", Kinds::ARRAY)]),
    variant("web_search_call", &[needs("id", ID)]),
    variant("computer_call", &[needs("call_id", ID)]),
    variant("computer_call_output", &[needs("call_id", ID), needs("output", Kinds::OBJECT)]),
    variant("image_generation_call", &[needs("id", ID)]),
    variant("code_interpreter_call", &[needs("id", ID), needs("container_id", ID)]),
    variant("local_shell_call", &[needs("call_id", ID), needs("action", Kinds::OBJECT)]),
    variant("local_shell_call_output", &[needs("id", ID), needs("output", Kinds::STRING)]),
    variant("shell_call", &[needs("call_id", ID), needs("action", Kinds::OBJECT)]),
    variant("shell_call_output", &[needs("call_id", ID), needs("output", Kinds::ARRAY)]),
    variant("apply_patch_call", &[needs("call_id", ID), needs("operation", Kinds::OBJECT)]),
    variant("apply_patch_call_output", &[needs("call_id", ID), takes("output", Kinds::STRING)]),
    variant("mcp_list_tools", &[needs("server_label", ID), needs("tools", Kinds::ARRAY)]),
    variant(
        "mcp_approval_request",
        &[needs("server_label", ID), needs("name", ID), needs("arguments", Kinds::STRING)],
    ),
    variant(
        "mcp_approval_response",
        &[needs("approval_request_id", ID), needs("approve", Kinds::BOOL)],
    ),
    variant(
        "mcp_call",
        &[needs("server_label", ID), needs("name", ID), needs("arguments", Kinds::STRING)],
    ),
    variant("tool_search_call", &[needs("arguments", Kinds::ANY)]),
    variant("tool_search_output", &[needs("tools", Kinds::ARRAY)]),
    variant("additional_tools", &[needs("tools", Kinds::ARRAY)]),
    variant("configuration_update", &[]),
    variant("compaction", &[needs("encrypted_content", Kinds::STRING)]),
    variant("compaction_trigger", &[]),
    variant("program", &[needs("call_id", ID), needs("code", Kinds::STRING)]),
    variant("program_output", &[needs("call_id", ID), needs("result", Kinds::STRING)]),
];

fn output_names_its_call(seen: &Seen, _: &Facts<'_>) -> Result<(), Broken> {
    if seen.has("call_id") || seen.has("name") {
        return Ok(());
    }
    Err(Broken::missing("call_id"))
}

static PARTS: Items = items(object(&PART));
static PART: Object = Object::new(&[
    optional("type", STRING),
    optional("text", PROMPT),
    optional("refusal", STRING),
    optional("image_url", STRING),
    optional("file_id", STRING),
    optional("file_url", STRING),
    optional("file_data", STRING),
    optional("filename", STRING),
    optional("detail", one_of(&["auto", "low", "high", "original"])),
    optional("input_audio", object(&AUDIO)),
    optional("annotations", array(&OBJECTS)),
    optional("logprobs", array(&OBJECTS)),
])
.tagged(&PART_TYPE);
static PART_TYPE: Tag = Tag::closed(
    "type",
    &[
        variant("input_text", TEXT),
        variant("input_image", &[]).rule(|seen, _| one_given(seen, &["image_url", "file_id"])),
        variant("input_file", &[])
            .rule(|seen, _| one_given(seen, &["file_id", "file_data", "file_url"])),
        variant("input_audio", &[needs("input_audio", Kinds::OBJECT)]),
        variant("output_text", TEXT),
        variant("refusal", &[needs("refusal", Kinds::STRING)]),
        variant("reasoning_text", TEXT),
        variant("summary_text", TEXT),
        variant("computer_screenshot", &[]),
        // Beyond the reference: vLLM.
        variant("text", TEXT),
        variant("input_video", &[]),
    ],
);
const TEXT: &[Need] = &[needs("text", Kinds::STRING)];
static AUDIO: Object =
    Object::new(&[required("data", STRING), required("format", one_of(&["mp3", "wav"]))]);

fn one_given(seen: &Seen, fields: &'static [&'static str]) -> Result<(), Broken> {
    if fields.iter().any(|field| seen.has(field)) {
        return Ok(());
    }
    Err(fields.first().map_or_else(|| Broken::missing("type"), |field| Broken::missing(field)))
}

/// A function's output in parts, or a shell's, which have no type.
static OUTPUTS: Items = items(object(&OUTPUT_PART));
static OUTPUT_PART: Object = Object::new(&[optional("type", STRING), optional("text", PROMPT)]);

static SUMMARIES: Items = items(object(&SUMMARY));
static SUMMARY: Object =
    Object::new(&[required("type", one_of(&["summary_text"])), required("text", PROMPT)]);

pub(super) static TOOLS: Items = items(object(&TOOL));
static TOOL: Object = Object::new(&[
    optional("type", STRING),
    optional("name", FUNCTION_NAME),
    optional("description", STRING),
    optional("parameters", OBJECT),
    optional("strict", BOOL),
    optional("vector_store_ids", array(&STRINGS)),
    optional("max_num_results", integer(1, 50)),
    optional("server_label", STRING),
    optional("server_url", STRING),
    optional("connector_id", STRING),
    optional("container", STRING.or_object(&OPAQUE)),
    optional("display_width", integer(1, i64::MAX)),
    optional("display_height", integer(1, i64::MAX)),
    optional("environment", STRING.or_object(&OPAQUE)),
    optional("partial_images", integer(0, 3)),
    optional("output_compression", integer(0, 100)),
    optional("tools", array(&OBJECTS)),
    SEARCH_CONTEXT_SIZE,
])
.tagged(&TOOL_TYPE);
static TOOL_TYPE: Tag = Tag::closed(
    "type",
    &[
        variant("function", &[needs("name", Kinds::STRING)]),
        variant("custom", &[needs("name", Kinds::STRING)]),
        variant("file_search", &[needs("vector_store_ids", Kinds::ARRAY)]),
        variant("web_search", &[]),
        variant("web_search_2025_08_26", &[]),
        variant("web_search_preview", &[]),
        variant("web_search_preview_2025_03_11", &[]),
        variant("mcp", &[needs("server_label", Kinds::STRING)]),
        // vLLM's own interpreter has no container.
        variant("code_interpreter", &[]),
        variant("image_generation", &[]),
        variant("computer", &[]),
        variant(
            "computer_use_preview",
            &[
                needs("display_width", Kinds::INTEGER),
                needs("display_height", Kinds::INTEGER),
                needs("environment", Kinds::STRING),
            ],
        ),
        variant("local_shell", &[]),
        variant("shell", &[]),
        variant("apply_patch", &[]),
        variant("namespace", &[needs("name", Kinds::STRING), needs("tools", Kinds::ARRAY)]),
        variant("tool_search", &[]),
        variant("programmatic_tool_calling", &[]),
    ],
);
