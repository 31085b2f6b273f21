//! What is worth telling: a pure function of what was told, what is seen, and the time.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    config::{Alerts, Severity},
    ops::health::{Line, State},
};

/// What a channel was told last about a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) state: State,
    pub(super) at: Timestamp,
}

/// By the check's name.
pub(super) type AllTold = BTreeMap<String, Told>;

/// Why something is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// It is not well, or less so than before.
    Worse,
    /// It is better than before, and still not well.
    Better,
    /// It is well again, or as well as need not be told.
    Recovered,
    /// It is as it was told, and has been for a while.
    Reminder,
}

/// Something to be told.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    pub(super) kind: Kind,
    pub(super) before: Option<State>,
    pub(super) line: Line,
}

/// What is to be told now, and what will have been told then.
pub(super) fn decide(
    alerts: &Alerts,
    told: &AllTold,
    lines: &[Line],
    now: Timestamp,
) -> (Vec<Change>, AllTold) {
    let mut after = told.clone();
    let mut changes = Vec::new();
    for line in lines {
        let before = told.get(line.name).copied();
        let Some(kind) = kind(alerts, before, line.finding.state, now) else { continue };
        changes.push(Change { kind, before: before.map(|told| told.state), line: line.clone() });
        let state = match (kind, before) {
            // What is UNKNOWN by now may be as bad as it was told.
            (Kind::Reminder, Some(told)) => told.state,
            _ => line.finding.state,
        };
        if kind == Kind::Recovered {
            after.remove(line.name);
        } else {
            after.insert(line.name.to_owned(), Told { state, at: now });
        }
    }
    (changes, after)
}

fn kind(alerts: &Alerts, told: Option<Told>, state: State, now: Timestamp) -> Option<Kind> {
    let is_told_of = is_told_of(alerts.minimum, state);
    let Some(told) = told else { return is_told_of.then_some(Kind::Worse) };
    let age = now.duration_since(told.at);
    let within = |limit| age < SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX);
    // What cannot be told is neither better nor over.
    let is_as_told = match state {
        State::Unknown => told.state >= state,
        _ => is_told_of && state == told.state,
    };
    if is_as_told {
        let is_due = !alerts.reminder.is_zero() && !within(alerts.reminder);
        return is_due.then_some(Kind::Reminder);
    }
    if is_told_of && state > told.state {
        return Some(Kind::Worse);
    }
    // It may get worse again in a moment, and then there is nothing to tell.
    if within(alerts.settle) {
        return None;
    }
    Some(if is_told_of { Kind::Better } else { Kind::Recovered })
}

/// What cannot be told for sure is told as a warning is.
fn is_told_of(minimum: Severity, state: State) -> bool {
    match minimum {
        Severity::Warning => state > State::Ok,
        Severity::Critical => state >= State::Critical,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::health::Line;

    fn alerts() -> Alerts {
        Alerts::default()
    }

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + 60 * minutes).unwrap()
    }

    /// What a channel hears when a check is seen in these states at these minutes.
    fn heard(alerts: &Alerts, seen: &[(i64, State)]) -> Vec<(i64, Kind)> {
        let mut told = AllTold::new();
        let mut heard = Vec::new();
        for (minute, state) in seen {
            let (changes, after) = decide(alerts, &told, &[Line::seen("x", *state)], at(*minute));
            heard.extend(changes.iter().map(|change| (*minute, change.kind)));
            told = after;
        }
        heard
    }

    #[test]
    fn changes_are_told_once_and_recalled_after_a_while() {
        use State::{Critical, Ok, Unknown, Warning};
        let seen = [(0, Ok), (5, Warning), (10, Warning), (15, Critical), (20, Critical)];
        assert_eq!(heard(&alerts(), &seen), [(5, Kind::Worse), (15, Kind::Worse)]);
        let seen =
            [(0, Critical), (60, Critical), (240, Critical), (245, Critical), (480, Critical)];
        let reminded = [(0, Kind::Worse), (240, Kind::Reminder), (480, Kind::Reminder)];
        assert_eq!(heard(&alerts(), &seen), reminded);
        let seen = [(0, Critical), (20, Warning), (40, Ok), (45, Ok)];
        let better = [(0, Kind::Worse), (20, Kind::Better), (40, Kind::Recovered)];
        assert_eq!(heard(&alerts(), &seen), better);
        assert_eq!(heard(&alerts(), &[(0, Unknown)]), [(0, Kind::Worse)]);
        assert_eq!(heard(&alerts(), &[(0, Ok), (9_999, Ok)]), []);
    }

    #[test]
    fn what_goes_to_and_fro_floods_nobody() {
        let states = [State::Critical, State::Ok];
        let seen: Vec<_> = (0..120).zip(states.into_iter().cycle()).collect();
        let told = heard(&alerts(), &seen);
        assert!(told.len() <= 2 * 120 / 15 + 1, "{told:?}");
        assert_eq!(told[0], (0, Kind::Worse));
    }

    #[test]
    fn what_is_unknown_is_neither_better_nor_over() {
        use State::{Critical, Ok, Unknown, Warning};
        let critical = Alerts { minimum: Severity::Critical, ..alerts() };
        let over = [(0, Critical), (30, Unknown), (60, Ok)];
        for alerts in [&alerts(), &critical] {
            assert_eq!(heard(alerts, &over), [(0, Kind::Worse), (60, Kind::Recovered)]);
        }
        let seen = [(0, Critical), (30, Unknown), (60, Critical), (90, Unknown), (120, Warning)];
        assert_eq!(heard(&alerts(), &seen), [(0, Kind::Worse), (120, Kind::Better)]);
        let lasting = [(0, Critical), (240, Unknown), (245, Critical), (300, Warning)];
        let reminded = [(0, Kind::Worse), (240, Kind::Reminder), (300, Kind::Better)];
        assert_eq!(heard(&alerts(), &lasting), reminded);
    }

    #[test]
    fn the_minimum_is_kept_to() {
        let critical = Alerts { minimum: Severity::Critical, ..alerts() };
        let seen =
            [(0, State::Warning), (5, State::Critical), (30, State::Warning), (35, State::Ok)];
        assert_eq!(heard(&critical, &seen), [(5, Kind::Worse), (30, Kind::Recovered)]);
        let never = Alerts { reminder: std::time::Duration::ZERO, ..alerts() };
        assert_eq!(heard(&never, &[(0, State::Critical), (9_999, State::Critical)]).len(), 1);
    }
}
