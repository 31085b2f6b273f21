//! Timelines: addresses in the log, and what PostgreSQL's `.history` files say about the way to one.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::name::WalName;

/// An address in the log, as PostgreSQL writes it: `0/2000028`.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Lsn(pub u64);

impl FromStr for Lsn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let half = |digits: &str| u32::from_str_radix(digits, 16).ok().map(u64::from);
        let halves = text.split_once('/');
        let both = halves.and_then(|(high, low)| Some((half(high)?, half(low)?)));
        let (high, low) = both.ok_or_else(|| {
            format!("`{}` is no address in the log, such as 0/2000028", text.escape_default())
        })?;
        Ok(Self((high << 32) | low))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & u64::from(u32::MAX))
    }
}

impl TryFrom<String> for Lsn {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Lsn> for String {
    fn from(lsn: Lsn) -> Self {
        lsn.to_string()
    }
}

/// The way through the log to the end of a timeline: which stretch of it lies on which one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    /// The timelines before it, oldest first, and where each was left.
    ancestors: Vec<(u32, Lsn)>,
    timeline: u32,
}

/// A stretch of the log in whole segments, which are counted from the log's beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) timeline: u32,
    pub(super) first: u64,
    /// The first segment after it; none when it has no end.
    pub(super) end: Option<u64>,
}

impl Lineage {
    /// A timeline without a history, as the first one of every cluster.
    #[must_use]
    pub const fn of_its_own(timeline: u32) -> Self {
        Self { ancestors: Vec::new(), timeline }
    }

    /// Reads the history of a timeline as PostgreSQL does.
    ///
    /// # Errors
    /// When it makes no sense.
    pub fn parse(timeline: u32, history: &str) -> Result<Self, String> {
        let mut ancestors: Vec<(u32, Lsn)> = Vec::new();
        for line in history.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if line.starts_with('#') {
                continue;
            }
            let mut words = line.split_whitespace();
            let parent = words.next().and_then(|word| word.parse().ok());
            let left_at = words.next().and_then(|word| word.parse().ok());
            let (Some(parent), Some(left_at)) = (parent, left_at) else {
                return Err(format!("`{}` is no line of a history", line.escape_default()));
            };
            if ancestors.last().is_some_and(|(before, _)| *before >= parent) {
                return Err("its timelines are not in their order".to_owned());
            }
            ancestors.push((parent, left_at));
        }
        if ancestors.last().is_some_and(|(parent, _)| *parent >= timeline) {
            return Err("it names a timeline that comes after its own".to_owned());
        }
        Ok(Self { ancestors, timeline })
    }

    /// The timeline that it leads to.
    #[must_use]
    pub const fn timeline(&self) -> u32 {
        self.timeline
    }

    /// Where the way leaves a timeline; none when it ends on it, or does not touch it.
    #[must_use]
    pub fn left_at(&self, timeline: u32) -> Option<Lsn> {
        let mut ancestors = self.ancestors.iter();
        ancestors.find_map(|(ancestor, at)| (*ancestor == timeline).then_some(*at))
    }

    /// Whether the way comes by this address on this timeline.
    #[must_use]
    pub fn comes_by(&self, timeline: u32, lsn: Lsn) -> bool {
        timeline == self.timeline || self.left_at(timeline).is_some_and(|left| lsn <= left)
    }

    /// Its stretches, oldest first. The segment in which one timeline leaves another belongs to
    /// the new one, which begins with a copy of it.
    pub(super) fn stretches(&self, segment_bytes: u64) -> Vec<Stretch> {
        let mut first = 0;
        let mut stretches = Vec::new();
        for (timeline, left_at) in &self.ancestors {
            let end = left_at.0 / segment_bytes;
            stretches.push(Stretch { timeline: *timeline, first, end: Some(end) });
            first = end;
        }
        stretches.push(Stretch { timeline: self.timeline, first, end: None });
        stretches
    }

    /// The name of a segment on this way.
    pub(super) fn name(&self, number: u64, segment_bytes: u64) -> WalName {
        let stretches = self.stretches(segment_bytes).into_iter();
        let on = stretches.rev().find(|stretch| stretch.first <= number);
        let timeline = on.map_or(self.timeline, |stretch| stretch.timeline);
        WalName::segment(timeline, number, segment_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn an_address_is_read_and_written_as_postgresql_does() {
        for text in ["0/2000028", "A3/FF000000", "0/0"] {
            assert_eq!(text.parse::<Lsn>().unwrap().to_string(), text);
        }
        assert_eq!("1/0".parse(), Ok(Lsn(1 << 32)));
        for text in ["", "0", "0/", "0/123456789", "0/G", "0/1/2"] {
            assert!(text.parse::<Lsn>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_history_tells_where_each_timeline_was_left() {
        let text = "1\t0/5000000\tno recovery target specified\n\n# by hand\n\
                    3\t0/7000060\tbefore 2026-01-31 12:00:00+00\n";
        let lineage = Lineage::parse(4, text).unwrap();
        let lsn = |text: &str| text.parse::<Lsn>().unwrap();
        assert_eq!(lineage.left_at(3), Some(lsn("0/7000060")));
        assert_eq!((lineage.left_at(2), lineage.left_at(4)), (None, None));
        for (timeline, at, comes_by) in [
            (1, "0/4FFFFFF", true),
            (1, "0/5000000", true),
            (1, "0/5000001", false),
            (2, "0/4000000", false),
            (3, "0/6000000", true),
            (4, "9/0", true),
            (5, "9/0", false),
        ] {
            assert_eq!(lineage.comes_by(timeline, lsn(at)), comes_by, "{timeline} {at}");
        }
        for (number, name) in [
            (4, "000000010000000000000004"),
            (5, "000000030000000000000005"),
            (6, "000000030000000000000006"),
            (7, "000000040000000000000007"),
        ] {
            assert_eq!(lineage.name(number, 16 * MIB).as_str(), name);
        }
    }

    #[test]
    fn a_history_that_makes_no_sense_is_refused() {
        for text in ["nonsense", "1", "1\t5", "2\t0/5\tx\n1\t0/6\tx", "4\t0/5\tx"] {
            assert!(Lineage::parse(4, text).is_err(), "{text}");
        }
        assert_eq!(Lineage::parse(1, ""), Ok(Lineage::of_its_own(1)));
    }
}
