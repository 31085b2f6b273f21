//! `POST /v1/completions`.

use super::shared::{
    FREQUENCY_PENALTY, LOGIT_BIAS, MODEL, N, PRESENCE_PENALTY, SEED, STOP, STREAM, STREAM_OPTIONS,
    TEMPERATURE, TOKENS, TOP_P, USER, extra, stream_options_need_stream,
};
use crate::gateway::scan::facts::{Fact, Facts};
use crate::gateway::scan::invalid::Broken;
use crate::gateway::scan::schema::{
    BOOL, Items, Kind, Object, PROMPT, STRING, Schema, Seen, integer, items_between, optional,
};

pub(super) static BODY: Object = Object::new(&[
    MODEL,
    optional("prompt", STRING.or_array(&PROMPTS).fact(Fact::Prompts)),
    STREAM,
    STREAM_OPTIONS,
    // 0 asks for the prompt's own log probabilities, together with `echo`.
    optional("max_tokens", integer(0, i64::MAX).fact(Fact::MaxTokens)),
    TEMPERATURE,
    TOP_P,
    N,
    optional("best_of", integer(0, 20).fact(Fact::BestOf)),
    STOP,
    SEED,
    optional("echo", BOOL),
    optional("suffix", STRING),
    optional("logprobs", integer(0, 5)),
    FREQUENCY_PENALTY,
    PRESENCE_PENALTY,
    LOGIT_BIAS,
    USER,
    extra("prompt_embeds"),
])
.exact_case()
.rule(rule);

static PROMPTS: Items = Items { uniform: true, ..items_between(ONE_PROMPT, 1, usize::MAX) };
const ONE_PROMPT: Schema = PROMPT.or_array(&TOKENS).or_integer(0, i64::MAX);

fn rule(seen: &Seen, facts: &Facts<'_>) -> Result<(), Broken> {
    stream_options_need_stream(seen)?;
    // The reference lets the prompt be `null`, a new document, but not be left out.
    if seen.kind("prompt") == Kind::Absent && !seen.has("prompt_embeds") {
        return Err(Broken::missing("prompt"));
    }
    let Some(best_of) = facts.best_of else { return Ok(()) };
    if best_of < facts.choices.unwrap_or(1) {
        let message = "'best_of' must be greater than or equal to 'n'.";
        return Err(Broken::combination("best_of", message));
    }
    if best_of > 1 && facts.stream {
        let message = "'best_of' greater than 1 cannot be streamed.";
        return Err(Broken::combination("best_of", message));
    }
    Ok(())
}
