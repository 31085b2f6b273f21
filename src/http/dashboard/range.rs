//! Which time a page is about, and where its sums come from.

use jiff::{SignedDuration, Timestamp, civil};

use super::{params::Params, problem::Problem};
use crate::domain::figures::{Scope, Source};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The ranges on offer: name, label, length and step in seconds.
const OFFERED: [Offered; 6] = [
    Offered { key: "1h", label: "1 hour", length: HOUR, step: MINUTE },
    Offered { key: "24h", label: "24 hours", length: DAY, step: HOUR },
    Offered { key: "7d", label: "7 days", length: 7 * DAY, step: 3 * HOUR },
    Offered { key: "30d", label: "30 days", length: 30 * DAY, step: DAY },
    Offered { key: "90d", label: "90 days", length: 90 * DAY, step: DAY },
    Offered { key: "1y", label: "1 year", length: 365 * DAY, step: 7 * DAY },
];

/// Steps that a range of one's own may be cut into.
const STEPS: [i64; 10] =
    [MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 7 * DAY, 28 * DAY];

/// The most steps that a chart has room for.
const MOST_STEPS: i64 = 100;

/// The longest range, in seconds.
const LONGEST: i64 = 10 * 366 * DAY;

/// Up to this age, sums may be taken from the requests' own rows.
const RECENT: i64 = 25 * HOUR;

/// A Monday at midnight; steps begin at multiples from here.
const ORIGIN: i64 = 4 * DAY;

/// A range on offer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offered {
    pub(super) key: &'static str,
    pub(super) label: &'static str,
    length: i64,
    step: i64,
}

/// The time that a page is about.
#[derive(Debug, Clone)]
pub(super) struct Range {
    /// The name of one on offer; none for a range of one's own.
    pub(super) key: Option<&'static str>,
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
    step: i64,
    now: Timestamp,
}

/// What is summed up: for whom, when, from where, and in which steps.
#[derive(Debug, Clone)]
pub(super) struct Extent {
    pub(super) scope: Scope,
    /// In seconds.
    pub(super) step: i64,
}

impl Range {
    /// All ranges on offer.
    pub(super) const fn offered() -> &'static [Offered] {
        &OFFERED
    }

    /// The range that the query asks for, or else `usual`.
    pub(super) fn read(params: &Params, usual: &str, now: Timestamp) -> Result<Self, Problem> {
        let (from, until) = (params.get("from"), params.get("until"));
        if from.is_some() || until.is_some() {
            return Self::own(from, until, now);
        }
        let wanted = params.get("range").unwrap_or(usual);
        let offered = OFFERED.iter().find(|offered| offered.key == wanted).ok_or_else(|| {
            Problem::invalid(
                "range",
                "must be 1h, 24h, 7d, 30d, 90d or 1y; or give from= and until=",
            )
        })?;
        let from = now.checked_sub(SignedDuration::from_secs(offered.length)).unwrap_or(now);
        Ok(Self { key: Some(offered.key), from, until: now, step: offered.step, now })
    }

    fn own(from: Option<&str>, until: Option<&str>, now: Timestamp) -> Result<Self, Problem> {
        let from = from.ok_or_else(|| Problem::invalid("from", "must be given with until="))?;
        let from = moment("from", from)?;
        let until = until.map_or(Ok(now), |until| moment("until", until))?;
        let length = until.as_second().saturating_sub(from.as_second());
        if length <= 0 {
            return Err(Problem::invalid("until", "must be later than from="));
        }
        if length > LONGEST {
            return Err(Problem::invalid("from", "must be at most ten years before until="));
        }
        let step = STEPS.into_iter().find(|step| length / step <= MOST_STEPS);
        Ok(Self { key: None, from, until, step: step.unwrap_or(28 * DAY), now })
    }

    /// What is summed up for one user, or for everybody.
    pub(super) fn extent(&self, user: Option<&str>) -> Extent {
        let length = self.until.as_second().saturating_sub(self.from.as_second());
        let is_recent = self.now.as_second().saturating_sub(self.from.as_second()) <= RECENT;
        let (source, finest) = match user {
            _ if is_recent && length <= 2 * HOUR => (Source::Rows, MINUTE),
            Some(_) if is_recent => (Source::Rows, 5 * MINUTE),
            None => (Source::Hours, HOUR),
            Some(_) => (Source::Days, DAY),
        };
        let step = self.step.max(finest);
        let from = align(self.from, step);
        let user = user.map(ToOwned::to_owned);
        Extent { scope: Scope { user, from, until: self.until, source }, step }
    }
}

impl Extent {
    /// The beginning of each step, whether anything came in it or not.
    pub(super) fn steps(&self) -> Vec<Timestamp> {
        let first = self.scope.from.as_second();
        let end = self.scope.until.as_second();
        let number = (end.saturating_sub(first) / self.step.max(1)).clamp(0, 2 * MOST_STEPS);
        let starts = (0..=number).map(|number| first + number * self.step);
        let mut starts: Vec<_> =
            starts.filter_map(|second| Timestamp::from_second(second).ok()).collect();
        if starts.last().is_some_and(|last| *last >= self.scope.until) {
            starts.pop();
        }
        starts
    }
}

/// The beginning of the step in which `moment` lies.
fn align(moment: Timestamp, step: i64) -> Timestamp {
    let second = moment.as_second() - ORIGIN;
    Timestamp::from_second(second.div_euclid(step) * step + ORIGIN).unwrap_or(moment)
}

/// A moment as browsers' forms and people write it; without a zone it is UTC.
pub(super) fn moment(name: &'static str, text: &str) -> Result<Timestamp, Problem> {
    let utc = |civil: civil::DateTime| civil.to_zoned(jiff::tz::TimeZone::UTC);
    text.parse::<Timestamp>()
        .or_else(|_| text.parse::<civil::DateTime>().and_then(utc).map(|zoned| zoned.timestamp()))
        .ok()
        // What is further away would not fit into every arithmetic.
        .filter(|moment| (0..=32_503_680_000).contains(&moment.as_second()))
        .ok_or_else(|| {
            Problem::invalid(name, "must be a time such as 2026-11-25T08:30 (UTC), since 1970")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Range, Problem> {
        let now = "2026-11-25T10:20:30Z".parse().unwrap();
        Range::read(&Params::parse(query), "24h", now)
    }

    #[test]
    fn every_range_has_a_chartful_of_steps_for_everybody_and_for_one() {
        for offered in Range::offered() {
            let range = read(&format!("range={}", offered.key)).unwrap();
            for user in [None, Some("ada")] {
                let extent = range.extent(user);
                let steps = extent.steps();
                assert!((2..=101).contains(&steps.len()), "{} {}", offered.key, steps.len());
                assert!(steps[0] <= range.from && steps[steps.len() - 1] < range.until);
                assert!(user.is_none() || extent.scope.source != Source::Hours);
            }
        }
        let week = read("range=1y").unwrap().extent(None).scope.from;
        let week = week.to_zoned(jiff::tz::TimeZone::UTC);
        assert_eq!(week.weekday(), civil::Weekday::Monday);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_its_name() {
        for (query, name) in [
            ("range=2d", "range"),
            ("from=yesterday", "from"),
            ("until=2026-11-25", "from"),
            ("from=2026-11-25&until=2026-11-24", "until"),
            ("from=1999-01-01&until=2026-11-24", "from"),
            ("from=-009999-01-01&until=2026-11-24", "from"),
        ] {
            let problem = read(query).unwrap_err();
            assert!(problem.message().contains(name), "{query}: {}", problem.message());
        }
        assert!(read("from=2026-11-24T08:30&until=2026-11-25T09:00:10Z").is_ok());
    }

    #[test]
    fn a_range_far_back_is_not_read_from_rows_that_may_be_gone() {
        let range = read("from=2025-01-01T08:00&until=2025-01-01T09:00").unwrap();
        assert_eq!(range.extent(None).scope.source, Source::Hours);
        assert_eq!(range.extent(Some("ada")).scope.source, Source::Days);
    }
}
