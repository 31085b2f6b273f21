//! Anthropic's `POST /v1/messages`.

use super::shared::{MODEL, STREAM, STRINGS, TOP_P};
use crate::gateway::scan::facts::{Fact, Facts};
use crate::gateway::scan::invalid::Broken;
use crate::gateway::scan::schema::{
    ANYTHING, BOOL, Field, Items, Kinds, Need, OBJECT, Object, PROMPT, STRING, Seen, Tag, array,
    identifier, integer, items, items_between, needs, number, object, one_of, optional, required,
    takes, variant,
};

pub(super) static BODY: Object = Object::new(&[
    MODEL,
    required("messages", array(&MESSAGES)),
    required("max_tokens", integer(1, i64::MAX).fact(Fact::MaxTokens)),
    optional("system", PROMPT.or_array(&TEXT_BLOCKS)),
    STREAM,
    optional("temperature", number(0.0, 1.0)),
    TOP_P,
    optional("top_k", integer(0, i64::MAX)),
    optional("stop_sequences", array(&STRINGS)),
    optional("tools", array(&TOOLS)),
    optional("tool_choice", object(&TOOL_CHOICE)),
    optional("thinking", object(&THINKING)),
    optional("metadata", object(&METADATA)),
    optional("service_tier", one_of(&["auto", "standard_only"])),
    optional("output_config", object(&OUTPUT_CONFIG)),
    optional("container", STRING.or_object(&OPAQUE)),
    optional("mcp_servers", array(&MCP_SERVERS)),
    optional("context_management", OBJECT),
    optional("inference_geo", STRING),
    optional("speed", one_of(&["standard", "fast"])),
    CACHE_CONTROL,
])
.exact_case()
.rule(rule);

static OPAQUE: Object = Object::new(&[]);

fn rule(seen: &Seen, facts: &Facts<'_>) -> Result<(), Broken> {
    if seen.has("tool_choice") && !seen.has("tools") && !facts.chooses("none") {
        let message = "'tool_choice' is only allowed when 'tools' are specified.";
        return Err(Broken::combination("tool_choice", message));
    }
    let within = match (facts.thinking_budget, facts.max_tokens) {
        (Some(budget), Some(max_tokens)) => budget < max_tokens,
        _ => true,
    };
    if !within {
        let message = "'max_tokens' must be greater than 'thinking.budget_tokens'.";
        return Err(Broken::combination("thinking.budget_tokens", message));
    }
    Ok(())
}

static MESSAGES: Items = items_between(object(&MESSAGE), 1, 100_000);
static MESSAGE: Object = Object::new(&[
    // The newest models read instructions in the middle of a conversation, too.
    required("role", one_of(&["user", "assistant", "system"])),
    required("content", PROMPT.or_array(&BLOCKS)),
]);

/// Blocks have the same names for different things, so the type decides what each must be.
static BLOCKS: Items = items(object(&BLOCK));
static BLOCK: Object = Object::new(&[
    optional("type", STRING),
    optional("text", PROMPT),
    optional("source", STRING.or_object(&SOURCE)),
    optional("id", STRING),
    optional("name", STRING),
    optional("input", ANYTHING),
    optional("tool_use_id", STRING),
    optional("content", PROMPT.or_array(&RESULT_BLOCKS).or_object(&OPAQUE)),
    optional("is_error", BOOL),
    optional("thinking", STRING),
    optional("signature", STRING),
    optional("data", STRING),
    optional("title", STRING),
    optional("context", STRING),
    optional("file_id", STRING),
    CACHE_CONTROL,
])
.tagged(&BLOCK_TYPE);
static BLOCK_TYPE: Tag = Tag::open(
    "type",
    &[
        variant("text", &[needs("text", Kinds::STRING)]),
        variant("image", &[needs("source", Kinds::OBJECT)]),
        variant("document", &[needs("source", Kinds::OBJECT)]),
        variant("tool_use", &[needs("id", Kinds::STRING), needs("name", Kinds::STRING), INPUT]),
        variant(
            "server_tool_use",
            &[needs("id", Kinds::STRING), needs("name", Kinds::STRING), INPUT],
        ),
        variant(
            "tool_result",
            &[needs("tool_use_id", Kinds::STRING), takes("content", TEXT_OR_BLOCKS)],
        ),
        variant("thinking", &[needs("thinking", Kinds::STRING), takes("signature", Kinds::STRING)]),
        variant("redacted_thinking", &[needs("data", Kinds::STRING)]),
        variant(
            "search_result",
            &[
                needs("source", Kinds::STRING),
                needs("title", Kinds::STRING),
                needs("content", Kinds::ARRAY),
            ],
        ),
        variant("container_upload", &[needs("file_id", Kinds::STRING)]),
    ],
);
const INPUT: Need = needs("input", Kinds::OBJECT);
const TEXT_OR_BLOCKS: Kinds = Kinds::STRING.or(Kinds::ARRAY);

/// Blocks inside a tool's result: the same, one level of the table deeper.
static RESULT_BLOCKS: Items = items(object(&RESULT_BLOCK));
static RESULT_BLOCK: Object = Object::new(&[
    optional("type", STRING),
    optional("text", PROMPT),
    optional("source", STRING.or_object(&SOURCE)),
    CACHE_CONTROL,
])
.tagged(&RESULT_BLOCK_TYPE);
static RESULT_BLOCK_TYPE: Tag = Tag::open(
    "type",
    &[
        variant("text", &[needs("text", Kinds::STRING)]),
        variant("image", &[needs("source", Kinds::OBJECT)]),
        variant("document", &[needs("source", Kinds::OBJECT)]),
    ],
);

static TEXT_BLOCKS: Items = items(object(&TEXT_BLOCK));
static TEXT_BLOCK: Object =
    Object::new(&[required("type", one_of(&["text"])), required("text", PROMPT), CACHE_CONTROL]);

static SOURCE: Object = Object::new(&[
    optional("type", STRING),
    optional("media_type", STRING),
    optional("data", STRING),
    optional("url", STRING),
    optional("file_id", STRING),
    optional("content", PROMPT.or_array(&RESULT_BLOCKS)),
])
.tagged(&SOURCE_TYPE);
static SOURCE_TYPE: Tag = Tag::closed(
    "type",
    &[
        variant("base64", &[needs("media_type", Kinds::STRING), needs("data", Kinds::STRING)]),
        variant("url", &[needs("url", Kinds::STRING)]),
        variant("file", &[needs("file_id", Kinds::STRING)]),
        variant("text", &[needs("media_type", Kinds::STRING), needs("data", Kinds::STRING)]),
        variant("content", &[needs("content", TEXT_OR_BLOCKS)]),
    ],
);

const CACHE_CONTROL: Field = optional("cache_control", object(&CACHE));
static CACHE: Object = Object::new(&[
    required("type", one_of(&["ephemeral"])),
    optional("ttl", one_of(&["5m", "1h"])),
]);

static TOOLS: Items = items(object(&TOOL));
static TOOL: Object = Object::new(&[
    optional("type", STRING),
    optional("name", identifier(128)),
    optional("description", STRING),
    optional("input_schema", object(&INPUT_SCHEMA)),
    optional("strict", BOOL),
    CACHE_CONTROL,
])
.tagged(&TOOL_TYPE);
/// Anthropic's own tools have dated types and pass; a caller's tool has none.
static TOOL_TYPE: Tag = Tag::open(
    "type",
    &[variant("custom", &[needs("name", Kinds::STRING), needs("input_schema", Kinds::OBJECT)])],
)
.or_default(|_| "custom");
static INPUT_SCHEMA: Object = Object::new(&[
    optional("type", ANYTHING),
    optional("properties", OBJECT),
    optional("required", array(&STRINGS)),
]);

static TOOL_CHOICE: Object = Object::new(&[
    optional("type", STRING.fact(Fact::ToolChoice)),
    optional("name", STRING),
    optional("disable_parallel_tool_use", BOOL),
])
.tagged(&TOOL_CHOICE_TYPE);
static TOOL_CHOICE_TYPE: Tag = Tag::closed(
    "type",
    &[
        variant("auto", &[]),
        variant("any", &[]),
        variant("tool", &[needs("name", Kinds::STRING)]),
        variant("none", &[]),
    ],
);

static THINKING: Object = Object::new(&[
    optional("type", STRING),
    optional("budget_tokens", integer(1024, i64::MAX).fact(Fact::ThinkingBudget)),
    optional("display", one_of(&["summarized", "omitted"])),
])
.tagged(&THINKING_TYPE);
static THINKING_TYPE: Tag = Tag::closed(
    "type",
    &[
        variant("enabled", &[needs("budget_tokens", Kinds::INTEGER)]),
        variant("disabled", &[]),
        variant("adaptive", &[]),
        variant("between_tools", &[]),
    ],
);

static METADATA: Object = Object::new(&[optional("user_id", STRING.chars(0, 256))]);

static OUTPUT_CONFIG: Object = Object::new(&[
    optional("effort", one_of(&["low", "medium", "high", "xhigh", "max"])),
    optional("format", object(&OUTPUT_FORMAT)),
]);
static OUTPUT_FORMAT: Object =
    Object::new(&[required("type", one_of(&["json_schema"])), required("schema", OBJECT)]);

static MCP_SERVERS: Items = items(object(&MCP_SERVER));
static MCP_SERVER: Object = Object::new(&[
    required("type", one_of(&["url"])),
    required("name", STRING),
    required("url", STRING),
]);
