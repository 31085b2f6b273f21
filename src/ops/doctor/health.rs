//! What `figw health` finds, as a line of a checklist.

use super::{Finding, Subject};
use crate::ops::health::{self, State};

pub(super) async fn find(subject: &Subject, check: &str) -> Finding {
    let Some(found) = health::find(&subject.behind, check).await else {
        return Finding::not_applicable("this configuration has nothing of the kind");
    };
    let again = format!("what to do stands beside it; see `figw health --only {check}`");
    match found.state {
        State::Ok => Finding::pass(found.evidence),
        State::Warning | State::Unknown => Finding::warn(found.evidence, again),
        State::Critical => Finding::fail(found.evidence, again),
    }
}
