//! Which backups stay: a function of their times and the policy, and nothing else.
//!
//! As restic has it, a rule such as `daily: 7` keeps the newest backup of each of the last seven
//! days *that have one*: when backups stop, nothing is removed any more. Hours, days and so on are
//! those of UTC; weeks begin on Monday (ISO 8601). Each series of backups is judged by
//! itself.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde::Serialize;

use super::{
    manifest::{Kind, Manifest},
    repository::Stored,
};
use crate::config::Keep;

/// A backup as retention sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub id: String,
    /// What it is one of; none when it is too broken to tell.
    pub series: Option<Series>,
    /// The moment whose state it holds.
    pub moment: Timestamp,
    /// What is known of it.
    pub standing: Standing,
}

/// Backups that can stand in for each other. Each series is judged by itself, so that the backups
/// of one database do not push out another's, nor those made before a restore the ones restored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    /// What they hold.
    pub kind: Kind,
    /// Which database.
    pub database: Option<String>,
    /// Whether they were made before a restore replaced the database.
    pub is_safety: bool,
}

/// What is known of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Good, as far as was looked.
    Good,
    /// Not what it was when it was made.
    Broken,
    /// It cannot be read now, which says nothing about it.
    Unreadable,
}

impl From<&Manifest> for Series {
    fn from(manifest: &Manifest) -> Self {
        let database = manifest.database.as_ref().map(|facts| &facts.identity);
        let server = manifest.base.as_ref().map(|facts| &facts.identity);
        Self {
            kind: manifest.kind,
            database: database.or(server).cloned(),
            is_safety: manifest.before_restore_of.is_some(),
        }
    }
}

impl From<&Stored> for Candidate {
    fn from(stored: &Stored) -> Self {
        match &stored.state {
            Ok(manifest) => manifest.into(),
            Err(_) => Self {
                id: stored.id.clone(),
                series: None,
                moment: moment_of(&stored.id),
                standing: if stored.is_unreadable {
                    Standing::Unreadable
                } else {
                    Standing::Broken
                },
            },
        }
    }
}

impl From<&Manifest> for Candidate {
    fn from(manifest: &Manifest) -> Self {
        Self {
            id: manifest.id.clone(),
            series: Some(manifest.into()),
            moment: manifest.moment,
            standing: Standing::Good,
        }
    }
}

/// Names tell the time to the second only.
const CLOCK_OF_NAMES: SignedDuration = SignedDuration::from_secs(1);

/// The time in a backup's name, for one whose manifest cannot be read.
pub(super) fn moment_of(id: &str) -> Timestamp {
    let digits = id.get(..16).unwrap_or_default();
    jiff::fmt::strtime::parse("%Y%m%dT%H%M%SZ", digits)
        .and_then(|time| time.to_datetime())
        .and_then(|time| time.to_zoned(TimeZone::UTC))
        .map_or(Timestamp::UNIX_EPOCH, |time| time.timestamp())
}

/// What becomes of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Its name.
    pub id: String,
    /// Whether it stays.
    pub keep: bool,
    /// Why.
    pub reasons: Vec<String>,
}

/// A rule: its name, and the period of a moment in it.
struct Rule {
    name: &'static str,
    count: u32,
    period: fn(&jiff::Zoned) -> (i16, i16, i8),
}

fn rules(keep: &Keep) -> [Rule; 5] {
    let hour = |t: &jiff::Zoned| (t.year(), t.day_of_year(), t.hour());
    let day = |t: &jiff::Zoned| (t.year(), t.day_of_year(), 0);
    let week = |t: &jiff::Zoned| {
        let week = t.date().iso_week_date();
        (week.year(), i16::from(week.week()), 0)
    };
    let month = |t: &jiff::Zoned| (t.year(), i16::from(t.month()), 0);
    let year = |t: &jiff::Zoned| (t.year(), 0, 0);
    [
        Rule { name: "hourly", count: keep.hourly, period: hour },
        Rule { name: "daily", count: keep.daily, period: day },
        Rule { name: "weekly", count: keep.weekly, period: week },
        Rule { name: "monthly", count: keep.monthly, period: month },
        Rule { name: "yearly", count: keep.yearly, period: year },
    ]
}

/// Judges every backup under the policy; the verdicts come in the order of `all`.
///
/// Whatever the policy, the newest good backup of each kind stays, and so does one whose time lies
/// after `now`: a clock was wrong, and only a person can tell which.
#[must_use]
pub fn judge(all: &[Candidate], keep: &Keep, now: Timestamp) -> Vec<Verdict> {
    let mut reasons: Vec<Vec<String>> = vec![Vec::new(); all.len()];
    let is_good = |i: &usize| all[*i].standing == Standing::Good;
    let all_series: BTreeSet<_> =
        all.iter().filter_map(|candidate| candidate.series.as_ref()).collect();
    for series in all_series {
        let mut good: Vec<usize> = (0..all.len())
            .filter(|i| is_good(i) && all[*i].series.as_ref() == Some(series))
            .collect();
        good.sort_by(|a, b| (all[*b].moment, &all[*b].id).cmp(&(all[*a].moment, &all[*a].id)));
        let (ahead, past): (Vec<_>, Vec<_>) = good.into_iter().partition(|i| all[*i].moment > now);
        for i in ahead {
            reasons[i].push("its time lies in the future".to_owned());
        }
        apply(all, &past, keep, &mut reasons);
    }
    let oldest_kept = (0..all.len())
        .filter(|i| is_good(i) && !reasons[*i].is_empty())
        .map(|i| all[i].moment)
        .min();
    let verdict = |(i, reasons): (usize, Vec<String>)| {
        let one = &all[i];
        let (keep, reasons) = match (one.standing, oldest_kept) {
            (Standing::Good, _) if reasons.is_empty() => {
                (false, vec!["no rule keeps it".to_owned()])
            }
            (Standing::Good, _) => (true, reasons),
            (Standing::Broken, Some(oldest)) if one.moment < oldest - CLOCK_OF_NAMES => {
                (false, vec!["broken, and older than every good backup that stays".to_owned()])
            }
            (Standing::Broken, _) => (true, vec!["broken; left for a look at it".to_owned()]),
            (Standing::Unreadable, _) => (true, vec!["cannot be read now".to_owned()]),
        };
        Verdict { id: one.id.clone(), keep, reasons }
    };
    reasons.into_iter().enumerate().map(verdict).collect()
}

/// Notes what each rule keeps of good backups of one kind, which come newest first.
fn apply(all: &[Candidate], newest_first: &[usize], keep: &Keep, reasons: &mut [Vec<String>]) {
    if let Some(newest) = newest_first.first() {
        reasons[*newest].push("newest".to_owned());
    }
    for (n, i) in newest_first.iter().take(keep.last as usize).enumerate() {
        reasons[*i].push(format!("last {}", n + 1));
    }
    for Rule { name, count, period } in rules(keep) {
        let mut kept = 0;
        let mut seen = None;
        for i in newest_first {
            let this = Some(period(&all[*i].moment.to_zoned(TimeZone::UTC)));
            if kept == count {
                break;
            }
            if this != seen {
                seen = this;
                kept += 1;
                reasons[*i].push(format!("{name} {kept}"));
            }
        }
    }
}
