//! W3C's Trace Context: which trace a request belongs to (<https://www.w3.org/TR/trace-context/>).

use http::{HeaderMap, HeaderValue};

/// The header with the trace's id and the caller's span.
const TRACEPARENT: &str = "traceparent";

/// The header with what other tracing systems have to say, which is nothing without the first.
const TRACESTATE: &str = "tracestate";

/// The trace of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// Its id; not 0.
    pub id: u128,
    /// The caller's span, where the caller has begun the trace.
    pub parent: Option<u64>,
    /// Whether it is recorded.
    pub is_sampled: bool,
    /// figw's own span of the request, where figw takes part.
    pub own: Option<u64>,
}

impl Trace {
    /// The trace that the caller's headers tell of; none when they tell of none, or are malformed.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(TRACEPARENT)?.as_bytes();
        let (version, rest) = (text.get(..2)?, text.get(55..)?);
        // Later versions may have more to say.
        let is_whole = match version {
            b"00" => rest.is_empty(),
            _ => rest.first().is_none_or(|byte| *byte == b'-'),
        };
        let dashes = [2, 35, 52].iter().all(|at| text.get(*at) == Some(&b'-'));
        let id = number(text.get(3..35)?)?;
        let parent = u64::try_from(number(text.get(36..52)?)?).ok()?;
        let flags = number(text.get(53..55)?)?;
        if number(version)? == 0xff || !is_whole || !dashes || parent == 0 || id == 0 {
            return None;
        }
        Some(Self { id, parent: Some(parent), is_sampled: flags & 1 == 1, own: None })
    }
}

/// Makes headers for an endpoint tell of the request's trace, below `span` where figw takes part.
pub fn pass_on(headers: &mut HeaderMap, trace: Option<Trace>, span: Option<u64>) {
    let Some(trace) = trace else {
        headers.remove(TRACEPARENT);
        headers.remove(TRACESTATE);
        return;
    };
    let Some(span) = span else { return };
    let text = format!("00-{:032x}-{span:016x}-{:02x}", trace.id, u8::from(trace.is_sampled));
    if let Ok(value) = HeaderValue::from_str(&text) {
        headers.insert(TRACEPARENT, value);
    }
    if trace.parent.is_none() {
        headers.remove(TRACESTATE);
    }
}

/// Digits as Trace Context has them: in lower case.
fn number(digits: &[u8]) -> Option<u128> {
    let is_fit = |b: &u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    let digits =
        std::str::from_utf8(digits).ok().filter(|text| text.as_bytes().iter().all(is_fit))?;
    u128::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn headers(parent: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, parent.parse().unwrap());
        headers.insert(TRACESTATE, HeaderValue::from_static("vendor=1"));
        headers
    }

    #[test]
    fn a_trace_is_known_only_from_a_well_formed_header() {
        let parsed = |text: &str| Trace::of(&headers(text));
        let sampled = parsed(&format!("00-{ID}-00f067aa0ba902b7-01")).unwrap();
        assert_eq!(format!("{:032x}", sampled.id), ID);
        assert_eq!((sampled.parent, sampled.is_sampled), (Some(0x00f0_67aa_0ba9_02b7), true));
        assert!(!parsed(&format!("00-{ID}-00f067aa0ba902b7-00")).unwrap().is_sampled);
        assert!(parsed(&format!("cc-{ID}-00f067aa0ba902b7-01-more")).is_some(), "a later version");
        for bad in [
            String::new(),
            "00".to_owned(),
            format!("00-{ID}-00f067aa0ba902b7-01-more"),
            format!("ff-{ID}-00f067aa0ba902b7-01"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{ID}-{}-01", "0".repeat(16)),
            format!("00-{}-00f067aa0ba902b7-01", ID.to_uppercase()),
            format!("00-{ID}+00f067aa0ba902b7-01"),
            format!("00-{ID}-00f067aa0ba902b7-0"),
            format!("cc-{ID}-00f067aa0ba902b7-01more"),
        ] {
            assert_eq!(parsed(&bad), None, "{bad}");
        }
    }

    #[test]
    fn an_endpoint_is_told_of_figw_s_span_or_of_the_caller_s() {
        let sent = format!("00-{ID}-00f067aa0ba902b7-01");
        let trace = Trace::of(&headers(&sent));
        let passed = |trace, span| {
            let mut headers = headers(&sent);
            pass_on(&mut headers, trace, span);
            let text = |name| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
            (text(TRACEPARENT), text(TRACESTATE))
        };
        let state = Some("vendor=1".to_owned());
        assert_eq!(passed(trace, None), (Some(sent.clone()), state.clone()));
        assert_eq!(
            passed(trace, Some(0xab)),
            (Some(format!("00-{ID}-00000000000000ab-01")), state)
        );
        assert_eq!(passed(None, None), (None, None), "what was malformed");
        let own = Some(Trace { id: 1, parent: None, is_sampled: true, own: Some(2) });
        assert_eq!(passed(own, Some(3)).1, None, "the state of another trace");
    }
}
