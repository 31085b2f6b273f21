//! The request that a thread is at: its lines in the log say so.

use std::{cell::RefCell, sync::Arc};

use http::{HeaderMap, HeaderValue};

/// What lines in the log say of the request that they belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// What the caller sees as `x-request-id`.
    pub request_id: HeaderValue,
    /// The trace that the caller has put the request into.
    pub trace_id: Option<u128>,
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<Scope>>> = const { RefCell::new(None) };
}

/// While it lives, the thread is at a request.
#[derive(Debug)]
pub struct Entered {
    before: Option<Arc<Scope>>,
}

/// The thread is at this request, until what is returned is dropped.
#[must_use]
pub fn enter(scope: &Arc<Scope>) -> Entered {
    let before = CURRENT.with(|current| current.replace(Some(Arc::clone(scope))));
    Entered { before }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let before = self.before.take();
        CURRENT.with(|current| current.replace(before));
    }
}

/// The request that this thread is at, if any.
#[must_use]
pub fn current() -> Option<Arc<Scope>> {
    CURRENT.with(|current| current.borrow().clone())
}

impl Scope {
    /// The request's id as text.
    #[must_use]
    pub fn request_id(&self) -> &str {
        self.request_id.to_str().unwrap_or_default()
    }
}

/// The trace's id in a request's `traceparent`, as W3C's Trace Context defines it; none in one that
/// is malformed.
#[must_use]
pub fn trace_id(headers: &HeaderMap) -> Option<u128> {
    let text = headers.get("traceparent")?.as_bytes();
    let (version, rest) = (text.get(..2)?, text.get(55..)?);
    let is_whole =
        if version == b"00" { rest.is_empty() } else { rest.first().is_none_or(|b| *b == b'-') };
    let dashes = [2, 35, 52].iter().all(|at| text.get(*at) == Some(&b'-'));
    let trace = number(text.get(3..35)?)?;
    let (parent, _) = (number(text.get(36..52)?)?, number(text.get(53..55)?)?);
    let is_fit = number(version)? != 0xff && is_whole && dashes && parent != 0;
    (is_fit && trace != 0).then_some(trace)
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

    #[test]
    fn a_thread_is_at_one_request_after_the_other() {
        let scope = |id: &'static str| {
            Arc::new(Scope { request_id: HeaderValue::from_static(id), trace_id: None })
        };
        let outer = enter(&scope("a"));
        let inner = enter(&scope("b"));
        assert_eq!(current().unwrap().request_id(), "b");
        drop(inner);
        assert_eq!(current().unwrap().request_id(), "a");
        drop(outer);
        assert_eq!(current(), None);
    }

    #[test]
    fn a_trace_is_known_only_from_a_well_formed_header() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let parsed = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", text.parse().unwrap());
            trace_id(&headers)
        };
        let good = Some(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!(parsed(&format!("00-{id}-00f067aa0ba902b7-01")), good);
        assert_eq!(
            parsed(&format!("cc-{id}-00f067aa0ba902b7-01-more")),
            good,
            "of a later version"
        );
        for bad in [
            String::new(),
            "00".to_owned(),
            format!("00-{id}-00f067aa0ba902b7-01-more"),
            format!("ff-{id}-00f067aa0ba902b7-01"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{id}-{}-01", "0".repeat(16)),
            format!("00-{}-00f067aa0ba902b7-01", id.to_uppercase()),
            format!("00-{id}+00f067aa0ba902b7-01"),
            format!("00-{id}-00f067aa0ba902b7-0"),
            format!("cc-{id}-00f067aa0ba902b7-01more"),
        ] {
            assert_eq!(parsed(&bad), None, "{bad}");
        }
    }
}
