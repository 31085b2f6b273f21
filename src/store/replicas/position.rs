//! How far servers are, and how far one lags behind the other.
//!
//! Neither clocks nor a replica's word alone tell: an idle primary looks like lag by the time of the
//! last transaction, and a replica that is cut off has replayed all that it has received. So figw
//! remembers when it saw the primary's log where.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use jiff::Timestamp;

/// As many moments are remembered: an hour of a busy primary.
const MEMORY: usize = 3_600;

/// How far a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Whether it follows another server.
    pub is_replica: bool,
    /// The byte of the log up to which it has everything: flushed, or on a replica replayed.
    pub log: u64,
    /// By its own clock, how long ago the last transaction that it has replayed was made.
    pub age: Option<Duration>,
    /// Which cluster it belongs to; a replica has its primary's.
    pub system: i64,
    /// When its process began: no two have the same.
    pub started: Timestamp,
    /// The newest migration.
    pub schema: Option<i32>,
}

/// Where the primary's log was, and when.
#[derive(Debug, Default)]
pub(super) struct History {
    seen: VecDeque<(Instant, u64)>,
    newest: Option<Position>,
}

impl History {
    /// Notes where the primary was at `at`.
    pub(super) fn note(&mut self, at: Instant, position: Position) {
        match self.seen.back() {
            // A new primary that had not received the end of the old one's log.
            Some((_, log)) if position.log < *log => self.seen.clear(),
            Some((_, log)) if position.log == *log => {
                self.newest = Some(position);
                return;
            }
            _ => {}
        }
        if self.seen.len() == MEMORY {
            self.seen.pop_front();
        }
        self.seen.push_back((at, position.log));
        self.newest = Some(position);
    }

    /// Where the primary was last.
    pub(super) fn newest(&self) -> Option<Position> {
        self.newest
    }

    /// How long the primary has been further than a replica that was here at `at`.
    pub(super) fn lag(&self, at: Instant, replica: &Position) -> Duration {
        let ahead = self.seen.iter().position(|(_, log)| *log > replica.log);
        let Some((index, (since, _))) =
            ahead.and_then(|index| Some((index, self.seen.get(index)?)))
        else {
            return Duration::ZERO;
        };
        let lag = at.saturating_duration_since(*since);
        // What it lacks may be older than anything that was seen here.
        if index == 0 { lag.max(replica.age.unwrap_or(Duration::MAX)) } else { lag }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(log: u64) -> Position {
        Position {
            is_replica: false,
            log,
            age: Some(Duration::from_hours(1)),
            system: 1,
            started: Timestamp::UNIX_EPOCH,
            schema: Some(1),
        }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_idle_primary_is_no_lag_and_a_standing_replica_is() {
        let start = Instant::now();
        let mut history = History::default();
        for second in 0..60 {
            history.note(start + seconds(second), at(100));
        }
        assert_eq!(history.lag(start + seconds(60), &at(100)), Duration::ZERO);
        history.note(start + seconds(60), at(200));
        assert_eq!(history.lag(start + seconds(61), &at(150)), seconds(1));
        history.note(start + seconds(70), at(300));
        assert_eq!(history.lag(start + seconds(75), &at(150)), seconds(15));
        assert_eq!(history.lag(start + seconds(75), &at(200)), seconds(5));
        assert_eq!(history.lag(start + seconds(75), &at(300)), Duration::ZERO);
    }

    #[test]
    fn what_was_lacking_before_anybody_looked_counts_by_the_replica_s_clock() {
        let start = Instant::now();
        let mut history = History::default();
        history.note(start, at(100));
        assert_eq!(history.lag(start, &at(99)), Duration::from_hours(1));
        assert_eq!(history.lag(start, &Position { age: None, ..at(99) }), Duration::MAX);
    }

    #[test]
    fn a_new_primary_with_a_shorter_log_begins_anew() {
        let start = Instant::now();
        let mut history = History::default();
        history.note(start, at(300));
        history.note(start + seconds(1), at(200));
        history.note(start + seconds(9), at(250));
        assert_eq!(history.lag(start + seconds(10), &at(200)), seconds(1));
    }
}
