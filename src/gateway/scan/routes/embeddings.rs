//! `POST /v1/embeddings`.

use super::shared::{MODEL, TOKEN, USER, extra};
use crate::gateway::scan::facts::Facts;
use crate::gateway::scan::invalid::Broken;
use crate::gateway::scan::schema::{
    Items, Object, PROMPT, Schema, Seen, integer, items_between, one_of, optional,
};

/// Most inputs of one request, and most tokens of one input.
const MAX_ITEMS: usize = 2048;

pub(super) static BODY: Object = Object::new(&[
    MODEL,
    optional("input", TEXT.or_array(&INPUTS)),
    optional("encoding_format", one_of(&["float", "base64"])),
    optional("dimensions", integer(1, i64::MAX)),
    USER,
    // vLLM embeds a conversation too.
    extra("messages"),
])
.exact_case()
.rule(rule);

const TEXT: Schema = PROMPT.chars(1, usize::MAX);
static INPUTS: Items = Items { uniform: true, ..items_between(ONE_INPUT, 1, MAX_ITEMS) };
const ONE_INPUT: Schema = TEXT.or_array(&TOKENS).or_integer(0, i64::MAX);
static TOKENS: Items = items_between(TOKEN, 1, MAX_ITEMS);

fn rule(seen: &Seen, _: &Facts<'_>) -> Result<(), Broken> {
    if !seen.has("input") && !seen.has("messages") {
        return Err(Broken::missing("input"));
    }
    Ok(())
}
