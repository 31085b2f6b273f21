//! What `figw health` finds, as a line of a checklist.

use super::{Finding, Subject};
use crate::ops::health::{self, State};

pub(super) async fn find(subject: &Subject, check: &str) -> Finding {
    let found = health::find(&subject.behind, check).await;
    found.map_or_else(nothing, |found| judged(found, check))
}

/// There is nothing that such a check could look at.
pub(super) fn nothing() -> Finding {
    Finding::not_applicable("this configuration has nothing of the kind")
}

/// What that check has found. What it could not tell has not passed.
pub(super) fn judged(found: health::Finding, check: &str) -> Finding {
    let again = format!(
        "put right what is named here, and look again with `figw health --only {check}`; \
         figw-faults(7) says what else a fault looks like"
    );
    match found.state {
        State::Ok => Finding::pass(found.evidence),
        State::Warning | State::Unknown => Finding::warn(found.evidence, again),
        State::Critical => Finding::fail(found.evidence, again),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;

    #[test]
    fn only_what_was_seen_to_be_well_has_passed() {
        for (state, outcome) in [
            (State::Ok, Outcome::Pass),
            (State::Unknown, Outcome::Warn),
            (State::Warning, Outcome::Warn),
            (State::Critical, Outcome::Fail),
        ] {
            let evidence = "0 of 2 answered".to_owned();
            let (since, value, measures) = (None, None, Vec::new());
            let found = health::Finding { state, evidence, since, value, measures };
            let judged = judged(found, "endpoints");
            assert_eq!(judged.outcome, outcome);
            assert_eq!(judged.evidence, "0 of 2 answered");
        }
        assert_eq!(nothing().outcome, Outcome::NotApplicable);
    }
}
