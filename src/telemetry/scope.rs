//! The request that a thread is at: its lines in the log say so.

use std::{cell::RefCell, sync::Arc};

use http::HeaderValue;

use super::context::Trace;

/// What lines in the log say of the request that they belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// What the caller sees as `x-request-id`.
    pub request_id: HeaderValue,
    /// The trace that the request belongs to.
    pub trace: Option<Trace>,
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

    /// The trace's id.
    #[must_use]
    pub fn trace_id(&self) -> Option<u128> {
        self.trace.map(|trace| trace.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_at_one_request_after_the_other() {
        let scope = |id: &'static str| {
            Arc::new(Scope { request_id: HeaderValue::from_static(id), trace: None })
        };
        let outer = enter(&scope("a"));
        let inner = enter(&scope("b"));
        assert_eq!(current().unwrap().request_id(), "b");
        drop(inner);
        assert_eq!(current().unwrap().request_id(), "a");
        drop(outer);
        assert_eq!(current(), None);
    }
}
