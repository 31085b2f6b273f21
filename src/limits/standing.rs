//! How far a limit is used up, and the headers that tell callers.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

/// How far one limit is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The limit.
    pub limit: u64,
    /// What is left of it, as far as this instance knows.
    pub remaining: u64,
    /// Milliseconds until all of it is there again, if nothing else is spent.
    reset: u64,
}

/// What callers are told of their limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Requests per second.
    pub requests: Option<Standing>,
    /// Tokens per minute.
    pub tokens: Option<Standing>,
}

/// The names of one limit's headers, as OpenAI's API has them.
struct Names {
    limit: HeaderName,
    remaining: HeaderName,
    reset: HeaderName,
}

const REQUESTS: Names = Names {
    limit: HeaderName::from_static("x-ratelimit-limit-requests"),
    remaining: HeaderName::from_static("x-ratelimit-remaining-requests"),
    reset: HeaderName::from_static("x-ratelimit-reset-requests"),
};
const TOKENS: Names = Names {
    limit: HeaderName::from_static("x-ratelimit-limit-tokens"),
    remaining: HeaderName::from_static("x-ratelimit-remaining-tokens"),
    reset: HeaderName::from_static("x-ratelimit-reset-tokens"),
};

impl Standing {
    pub(super) fn new(limit: u64, remaining: u64, reset: u64) -> Self {
        Self { limit, remaining: remaining.min(limit), reset }
    }

    /// How long until all of it is there again, if nothing else is spent.
    #[must_use]
    pub const fn reset(&self) -> Duration {
        Duration::from_millis(self.reset)
    }

    /// The one of two that leaves less.
    #[must_use]
    pub const fn tighter(self, other: Self) -> Self {
        if other.remaining < self.remaining { other } else { self }
    }
}

impl Allowance {
    /// Sets the headers of the limits that apply, also in the place of a back end's own.
    pub fn write(&self, headers: &mut HeaderMap) {
        let both = [(self.requests, REQUESTS), (self.tokens, TOKENS)];
        for (standing, names) in both {
            let Some(standing) = standing else { continue };
            headers.insert(names.limit, standing.limit.into());
            headers.insert(names.remaining, standing.remaining.into());
            if let Ok(reset) = HeaderValue::from_str(&written(standing.reset)) {
                headers.insert(names.reset, reset);
            }
        }
    }
}

/// Milliseconds as OpenAI writes a duration: `20ms`, `1s`, `7.66s`, `6m0s`.
fn written(millis: u64) -> String {
    let (minutes, rest) = (millis / 60_000, millis % 60_000);
    if millis > 0 && millis < 1_000 {
        return format!("{millis}ms");
    }
    let fraction = match rest % 1_000 {
        0 => String::new(),
        part => format!(".{part:03}").trim_end_matches('0').to_owned(),
    };
    let seconds = rest / 1_000;
    match minutes {
        0 => format!("{seconds}{fraction}s"),
        _ => format!("{minutes}m{seconds}{fraction}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_openai_does() {
        let cases = [
            (0, "0s"),
            (20, "20ms"),
            (999, "999ms"),
            (1_000, "1s"),
            (7_660, "7.66s"),
            (59_999, "59.999s"),
            (60_000, "1m0s"),
            (86_400, "1m26.4s"),
            (360_000, "6m0s"),
        ];
        for (millis, text) in cases {
            assert_eq!(written(millis), text);
        }
    }

    #[test]
    fn only_limits_that_apply_have_headers_and_theirs_replace_a_back_end_s() {
        let mut headers = HeaderMap::new();
        headers.insert(TOKENS.limit, 9.into());
        headers.insert(REQUESTS.limit, 9.into());
        let tokens = Some(Standing::new(1_000, 400, 1_500));
        Allowance { requests: None, tokens }.write(&mut headers);
        assert_eq!(headers.get_all("x-ratelimit-limit-tokens").iter().count(), 1);
        assert_eq!(headers["x-ratelimit-limit-tokens"], "1000");
        assert_eq!(headers["x-ratelimit-remaining-tokens"], "400");
        assert_eq!(headers["x-ratelimit-reset-tokens"], "1.5s");
        assert_eq!(headers["x-ratelimit-limit-requests"], "9");
        assert!(!headers.contains_key("x-ratelimit-reset-requests"));
    }
}
