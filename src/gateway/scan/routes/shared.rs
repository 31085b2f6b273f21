//! What several of OpenAI's routes have in common.

use crate::gateway::scan::facts::{Fact, Facts};
use crate::gateway::scan::invalid::Broken;
use crate::gateway::scan::schema::{
    ANYTHING, BOOL, Field, Items, Kind, OBJECT, Object, STRING, Schema, Seen, identifier, integer,
    items, items_between, number, object, one_of, optional, required,
};

/// Longest name of a model that is read.
const MAX_MODEL_CHARS: usize = 512;

pub(super) const MODEL: Field =
    required("model", STRING.chars(1, MAX_MODEL_CHARS).fact(Fact::Model));
pub(super) const STREAM: Field = optional("stream", BOOL.fact(Fact::Stream));
pub(super) const TEMPERATURE: Field = optional("temperature", number(0.0, 2.0));
pub(super) const TOP_P: Field = optional("top_p", number(0.0, 1.0));
pub(super) const FREQUENCY_PENALTY: Field = optional("frequency_penalty", number(-2.0, 2.0));
pub(super) const PRESENCE_PENALTY: Field = optional("presence_penalty", number(-2.0, 2.0));
pub(super) const SEED: Field = optional("seed", integer(i64::MIN, i64::MAX));
pub(super) const USER: Field = optional("user", STRING);
pub(super) const N: Field = optional("n", integer(1, 128).fact(Fact::Choices));
pub(super) const STORE: Field = optional("store", BOOL);
pub(super) const PARALLEL_TOOL_CALLS: Field = optional("parallel_tool_calls", BOOL);
pub(super) const PROMPT_CACHE_KEY: Field = optional("prompt_cache_key", STRING);
pub(super) const PROMPT_CACHE_RETENTION: Field =
    optional("prompt_cache_retention", one_of(&["in_memory", "in-memory", "24h"]));
pub(super) const SAFETY_IDENTIFIER: Field = optional("safety_identifier", STRING.chars(0, 128));
pub(super) const SERVICE_TIER: Field =
    optional("service_tier", one_of(&["auto", "default", "flex", "scale", "priority", "fast"]));
pub(super) const TOP_LOGPROBS: Field = optional("top_logprobs", integer(0, 20));

pub(super) const REASONING_EFFORT: Schema =
    one_of(&["none", "minimal", "low", "medium", "high", "xhigh", "max"]);
pub(super) const VERBOSITY: Field = optional("verbosity", one_of(&["low", "medium", "high"]));

/// A list of strings without further meaning.
pub(super) static STRINGS: Items = items(STRING);

pub(super) const STOP: Field = optional("stop", STRING.or_array(&STOP_SEQUENCES));
static STOP_SEQUENCES: Items = items_between(STRING, 0, 4);

pub(super) const LOGIT_BIAS: Field = optional("logit_bias", object(&BIASES));
static BIASES: Object = Object::map(&BIAS, usize::MAX, usize::MAX);
static BIAS: Schema = number(-100.0, 100.0);

pub(super) const METADATA: Field = optional("metadata", object(&METADATA_PAIRS));
static METADATA_PAIRS: Object = Object::map(&METADATA_VALUE, 16, 64);
static METADATA_VALUE: Schema = STRING.chars(0, 512);

pub(super) const STREAM_OPTIONS: Field =
    optional("stream_options", object(&STREAM_SETTINGS).fact(Fact::StreamOptions));
static STREAM_SETTINGS: Object = Object::new(&[
    optional("include_usage", BOOL.fact(Fact::IncludeUsage)),
    optional("include_obfuscation", BOOL),
]);

/// `stream_options` says how to stream, so there must be a stream.
pub(super) fn stream_options_need_stream(seen: &Seen) -> Result<(), Broken> {
    if seen.has("stream_options") && seen.kind("stream") != Kind::True {
        return Err(Broken::combination(
            "stream_options",
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
        ));
    }
    Ok(())
}

/// A choice among tools needs tools, unless it is to use none.
pub(super) fn tool_choice_needs_tools(seen: &Seen, facts: &Facts<'_>) -> Result<(), Broken> {
    if seen.has("tool_choice") && !seen.has("tools") && !facts.chooses("none") {
        return Err(Broken::combination(
            "tool_choice",
            "'tool_choice' is only allowed when 'tools' are specified.",
        ));
    }
    Ok(())
}

/// A function as `tools` and the older `functions` describe it.
pub(super) static FUNCTION: Object = Object::new(&[
    required("name", FUNCTION_NAME),
    optional("description", STRING),
    optional("parameters", OBJECT),
    optional("strict", BOOL),
]);
pub(super) const FUNCTION_NAME: Schema = identifier(64);

/// An object that is nothing but `{"name": …}`.
pub(super) static NAMED: Object = Object::new(&[required("name", STRING.chars(1, usize::MAX))]);

/// An object that is nothing but `{"id": …}`.
pub(super) static IDENTIFIED: Object = Object::new(&[required("id", STRING)]);

/// The tools that `allowed_tools` admits, each an object.
pub(super) static TOOL_REFERENCES: Items = items(OBJECT);

pub(super) const MODERATION: Field = optional("moderation", object(&MODERATION_SETTINGS));
static MODERATION_SETTINGS: Object =
    Object::new(&[required("model", STRING), optional("policy", OBJECT)]);

pub(super) const PROMPT_CACHE_OPTIONS: Field = optional("prompt_cache_options", object(&CACHE));
static CACHE: Object = Object::new(&[optional("mode", one_of(&["implicit", "explicit"]))]);

/// Where a web search is made from.
pub(super) const SEARCH_CONTEXT_SIZE: Field =
    optional("search_context_size", one_of(&["low", "medium", "high"]));

/// Token IDs.
pub(super) const TOKEN: Schema = integer(0, i64::MAX).fact(Fact::Prompt);
pub(super) static TOKENS: Items = items_between(TOKEN, 1, usize::MAX);

/// A field of a back end's own that the rules must know of, but not look into.
pub(super) const fn extra(name: &'static str) -> Field {
    optional(name, ANYTHING)
}
