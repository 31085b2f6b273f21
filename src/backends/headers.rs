//! Which headers go on to a back end, and which come back to the caller.

use http::{HeaderMap, HeaderName, header};

/// Headers that belong to one connection (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// Headers of the caller that stop at the gateway: credentials, what describes the caller's own
/// connection, and `accept-encoding`, since tokens can be counted in plain answers only.
const KEPT_FROM_BACKEND: [HeaderName; 15] = [
    header::ACCEPT_ENCODING,
    header::AUTHORIZATION,
    header::CONTENT_LENGTH,
    header::COOKIE,
    header::EXPECT,
    header::FORWARDED,
    header::HOST,
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-internal-secret"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-stream-task-token"),
];

/// Headers of a back end that stop at the gateway: it frames, dates and names the answer itself,
/// and a back end has no business setting cookies for the gateway's name.
const KEPT_FROM_CALLER: [HeaderName; 5] = [
    header::CONTENT_LENGTH,
    header::DATE,
    header::SERVER,
    header::SET_COOKIE,
    HeaderName::from_static("x-request-id"),
];

/// The caller's headers as the back end gets them.
#[must_use]
pub fn to_backend(headers: &HeaderMap) -> HeaderMap {
    passed_on(headers, &KEPT_FROM_BACKEND)
}

/// The back end's headers as the caller gets them.
#[must_use]
pub fn to_caller(headers: &HeaderMap) -> HeaderMap {
    passed_on(headers, &KEPT_FROM_CALLER)
}

fn passed_on(headers: &HeaderMap, kept_back: &[HeaderName]) -> HeaderMap {
    let mut passed = HeaderMap::with_capacity(headers.len() + 4);
    for (name, value) in headers {
        if !HOP_BY_HOP.contains(name)
            && !kept_back.contains(name)
            && !is_named_by_connection(headers, name)
        {
            passed.append(name, value.clone());
        }
    }
    passed
}

/// Whether a `Connection` header declares `name` to be hop-by-hop too.
fn is_named_by_connection(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.get_all(header::CONNECTION).iter().any(|value| {
        value
            .as_bytes()
            .split(|b| *b == b',')
            .any(|option| option.trim_ascii().eq_ignore_ascii_case(name.as_str().as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn only_end_to_end_headers_reach_the_back_end() {
        let sent = map(&[
            ("authorization", "Bearer secret"),
            ("x-api-key", "secret"),
            ("connection", "keep-alive, X-Private"),
            ("x-private", "1"),
            ("te", "trailers"),
            ("traceparent", "00-1-2-01"),
            ("anthropic-version", "2023-06-01"),
        ]);
        let expected = map(&[("traceparent", "00-1-2-01"), ("anthropic-version", "2023-06-01")]);
        assert_eq!(to_backend(&sent), expected);
    }

    #[test]
    fn the_back_end_cannot_set_cookies_or_framing() {
        let answered = map(&[
            ("set-cookie", "a=b"),
            ("transfer-encoding", "chunked"),
            ("content-type", "application/json"),
            ("retry-after", "3"),
        ]);
        let expected = map(&[("content-type", "application/json"), ("retry-after", "3")]);
        assert_eq!(to_caller(&answered), expected);
    }
}
