//! What a request takes of its caller's limits, and what callers are told of them.

use std::time::Duration;

use http::StatusCode;

use super::{
    Gateway, Inference, record::BYTES_PER_TOKEN, refusal::Refusal, routing::Contender, scan::Scan,
};
use crate::{
    domain::{Caller, Route},
    limits::{Exceeded, Reservation, Standing, TokenLimits, Whose},
};

/// Tokens reserved for each choice of an answer whose request sets no bound.
const USUAL_ANSWER: u64 = 512;

impl Gateway {
    /// Takes one request from what the caller may send in a second. Tells how far that is used up.
    ///
    /// # Errors
    /// 429 when there is none left.
    pub async fn count_request(&self, caller: &Caller) -> Result<Option<Standing>, Refusal> {
        let per_second = self.settings.load().requests_per_second;
        let counted = self.limits.request(&caller.user, per_second).await;
        counted.map_err(|Exceeded { standing, retry_after }| {
            let message = format!(
                "You have reached your limit of {per_second} requests per second. Try again in {}.",
                told(retry_after)
            );
            let mut refusal = over_limit("requests", message, retry_after);
            refusal.allowance.requests = Some(standing);
            refusal
        })
    }

    /// Reserves the tokens that the request may take at the endpoint; none where there is no limit.
    ///
    /// # Errors
    /// 429 when a limit does not allow it.
    pub(super) async fn reserve(
        &self,
        request: &Inference,
        scan: &Scan<'_>,
        contender: &Contender,
    ) -> Result<Option<Reservation>, Refusal> {
        let endpoint = &contender.served.endpoint;
        let limits = TokenLimits { model: endpoint.tpm_model, user: endpoint.tpm_user };
        let tokens = estimate(request.route, scan);
        let reserved =
            contender.line.allowances.reserve(&request.caller.user, limits, tokens).await;
        reserved.map_err(|(whose, exceeded)| too_many_tokens(&scan.model, whose, exceeded, tokens))
    }
}

/// The tokens that a request will hardly exceed.
fn estimate(route: Route, scan: &Scan<'_>) -> u64 {
    let prompt = scan.prompt_bytes.div_ceil(BYTES_PER_TOKEN);
    let answer = match route {
        Route::Embeddings => 0,
        _ => scan.max_output_tokens.unwrap_or(USUAL_ANSWER).saturating_mul(scan.choices),
    };
    prompt.saturating_add(answer)
}

fn too_many_tokens(model: &str, whose: Whose, exceeded: Exceeded, tokens: u64) -> Refusal {
    let Exceeded { standing, retry_after } = exceeded;
    let (whose, limit, remaining) = match whose {
        Whose::Model => ("the limit of all its users", standing.limit, standing.remaining),
        Whose::User => ("your limit", standing.limit, standing.remaining),
    };
    let message = format!(
        "The model '{model}' has too few tokens left in this minute: {whose} is {limit} tokens per \
         minute, {remaining} are left, and this request may take {tokens}. Try again in {}.",
        told(retry_after)
    );
    let mut refusal = over_limit("tokens", message, retry_after);
    refusal.allowance.tokens = Some(standing);
    refusal
}

fn over_limit(class: &'static str, message: String, retry_after: Duration) -> Refusal {
    let status = StatusCode::TOO_MANY_REQUESTS;
    Refusal::new(status, "rate_limit_exceeded", message).of_class(class).retry_after(retry_after)
}

/// A time for people.
fn told(wait: Duration) -> String {
    match wait.as_millis() {
        millis @ 0..1_000 => format!("{millis} ms"),
        _ => format!("{} s", wait.as_secs_f64().ceil()),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::scan::scan, *};

    fn estimated(route: Route, body: &str) -> u64 {
        estimate(route, &scan(route, body.as_bytes()).unwrap())
    }

    #[test]
    fn a_request_reserves_its_prompt_and_the_answers_it_allows() {
        let chat = r#"{"model":"m","messages":[{"role":"user","content":"12345678"}]"#;
        let of = |rest: &str| estimated(Route::ChatCompletions, &format!("{chat}{rest}}}"));
        assert_eq!(of(""), 2 + USUAL_ANSWER);
        assert_eq!(of(r#","max_tokens":100"#), 102);
        assert_eq!(of(r#","max_completion_tokens":100,"n":3"#), 302);
        assert_eq!(of(r#","max_tokens":9223372036854775807,"n":128"#), u64::MAX);
        let response = r#"{"model":"m","input":"12345","max_output_tokens":50}"#;
        assert_eq!(estimated(Route::Responses, response), 52);
    }

    #[test]
    fn an_embedding_has_no_answer_to_reserve_for() {
        assert_eq!(estimated(Route::Embeddings, r#"{"model":"m","input":"12345678"}"#), 2);
    }
}
