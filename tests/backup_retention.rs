//! Two years of backups under the policy, one after the other, with a clock of the test's own.

#![allow(clippy::unwrap_used, reason = "a test helper may fail its test")]

use std::collections::BTreeSet;

use figw::{
    config::Keep,
    ops::backup::{
        manifest::Kind,
        retention::{Candidate, Series, Standing, judge},
    },
};
use jiff::{
    Timestamp, ToSpan,
    civil::{Date, DateTime, Weekday, date},
    tz::TimeZone,
};

fn at(time: DateTime) -> Timestamp {
    time.to_zoned(TimeZone::UTC).unwrap().timestamp()
}

fn good(time: DateTime, kind: Kind) -> Candidate {
    let series = Series { kind, database: None, is_safety: false };
    Candidate {
        id: format!("{kind} of {time}"),
        series: Some(series),
        moment: at(time),
        standing: Standing::Good,
    }
}

/// What stays of these, in their order.
fn kept(all: &[Candidate], keep: &Keep, now: DateTime) -> Vec<Candidate> {
    let verdicts = judge(all, keep, at(now));
    assert_eq!(verdicts.len(), all.len());
    assert!(verdicts.iter().all(|verdict| !verdict.reasons.is_empty()), "each says why");
    let stays = all.iter().zip(verdicts).filter(|(_, verdict)| verdict.keep);
    stays.map(|(one, _)| one.clone()).collect()
}

/// The last `count` days up to `today` that end a period, today among them.
fn ends(today: Date, count: u32, ends_period: impl Fn(Date) -> bool) -> BTreeSet<Date> {
    let mut days = BTreeSet::new();
    let mut day = today;
    while days.len() < count as usize {
        if day == today || ends_period(day) {
            days.insert(day);
        }
        day = day.yesterday().unwrap();
    }
    days
}

#[test]
fn two_years_of_daily_runs_keep_exactly_what_is_promised_at_each_step() {
    let keep = Keep { last: 3, hourly: 0, daily: 7, weekly: 5, monthly: 12, yearly: 2 };
    let first = date(2024, 11, 20);
    let mut there: Vec<Candidate> = Vec::new();
    for number in 0..731 {
        let today = first.checked_add(number.days()).unwrap();
        let now = today.at(3, 15, 0, 0);
        there.push(good(now, Kind::Complete));
        there = kept(&there, &keep, now);

        let promised: BTreeSet<Date> = [
            ends(today, keep.last, |_| true),
            ends(today, keep.daily, |_| true),
            ends(today, keep.weekly, |day| day.weekday() == Weekday::Sunday),
            ends(today, keep.monthly, |day| day == day.last_of_month()),
            ends(today, keep.yearly, |day| day == day.last_of_year()),
        ]
        .into_iter()
        .flatten()
        .filter(|day| *day >= first)
        .collect();
        let stays: BTreeSet<Date> =
            there.iter().map(|c| c.moment.to_zoned(TimeZone::UTC).date()).collect();
        assert_eq!(stays, promised, "on {today}");
        assert_eq!(there.len(), promised.len(), "on {today}");
    }
    assert_eq!(there.len(), 21, "some of the promises fall on one day");
}

#[test]
fn hourly_runs_keep_the_last_hours_and_the_last_of_each_day() {
    let keep = Keep { last: 0, hourly: 24, daily: 7, weekly: 0, monthly: 0, yearly: 0 };
    let first = date(2026, 2, 20).at(0, 5, 0, 0);
    let mut there = Vec::new();
    for number in 0..24 * 30 {
        let now = first.checked_add(number.hours()).unwrap();
        there.push(good(now, Kind::Database));
        there = kept(&there, &keep, now);
        let hours = (0..24).map(|back| now.checked_sub(back.hours()).unwrap());
        let evenings =
            (1..7).map(|back: i64| now.date().checked_sub(back.days()).unwrap().at(23, 5, 0, 0));
        let promised: BTreeSet<DateTime> =
            hours.chain(evenings).filter(|time| *time >= first).collect();
        let stays: BTreeSet<DateTime> =
            there.iter().map(|c| c.moment.to_zoned(TimeZone::UTC).datetime()).collect();
        assert_eq!(stays, promised, "at {now}");
    }
}

#[test]
fn when_backups_stop_nothing_more_is_removed() {
    let keep = Keep { last: 1, hourly: 0, daily: 3, weekly: 0, monthly: 0, yearly: 0 };
    let days: Vec<_> =
        (1..=3).map(|d| good(date(2026, 1, d).at(2, 0, 0, 0), Kind::Complete)).collect();
    let much_later = date(2030, 1, 1).at(0, 0, 0, 0);
    assert_eq!(kept(&days, &keep, much_later), days);
}

#[test]
fn each_kind_has_its_own_newest() {
    let keep = Keep { last: 1, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 };
    let old = date(2026, 1, 1).at(2, 0, 0, 0);
    let new = date(2026, 1, 9).at(2, 0, 0, 0);
    let all = [good(old, Kind::Base), good(old, Kind::Complete), good(new, Kind::Complete)];
    assert_eq!(kept(&all, &keep, new), [all[0].clone(), all[2].clone()]);
}

#[test]
fn a_broken_backup_takes_nobodys_place() {
    let keep = Keep { last: 2, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 };
    let day = |d| date(2026, 1, d).at(2, 0, 0, 0);
    let broken =
        |d| Candidate { series: None, standing: Standing::Broken, ..good(day(d), Kind::Complete) };
    let all = [good(day(1), Kind::Complete), broken(2), good(day(3), Kind::Complete), broken(4)];
    assert_eq!(
        kept(&all, &keep, day(5)),
        all,
        "the only two good ones stay, the broken ones beside them"
    );
    let more = [&all[..], &[good(day(5), Kind::Complete)]].concat();
    assert_eq!(
        kept(&more, &keep, day(5)),
        more[2..],
        "older broken ones go with the good ones around them"
    );
}

#[test]
fn an_empty_policy_keeps_the_newest_all_the_same_and_a_clock_gone_wrong_costs_nothing() {
    let none = Keep { last: 0, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 };
    let day = |d| date(2026, 1, d).at(2, 0, 0, 0);
    let all =
        [good(day(1), Kind::Complete), good(day(2), Kind::Complete), good(day(20), Kind::Complete)];
    let stays = kept(&all, &none, day(3));
    assert_eq!(stays, all[1..], "the newest of the past, and what no rule can place");
}

#[test]
fn backups_made_before_restores_and_those_of_other_databases_push_nobody_out() {
    let keep = Keep { last: 1, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 };
    let day = |d| date(2026, 1, d).at(2, 0, 0, 0);
    let of = |d, database: &str, is_safety| Candidate {
        series: Some(Series { kind: Kind::Database, database: Some(database.into()), is_safety }),
        ..good(day(d), Kind::Database)
    };
    let all = [of(1, "prod", false), of(2, "prod", true), of(3, "stage", false)];
    assert_eq!(kept(&all, &keep, day(4)), all);
    let more = [&all[..], &[of(4, "prod", true), of(5, "prod", false)]].concat();
    assert_eq!(kept(&more, &keep, day(6)), more[2..], "each series by itself");
}

#[test]
fn what_cannot_be_read_now_is_not_removed() {
    let keep = Keep { last: 1, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 };
    let day = |d| date(2026, 1, d).at(2, 0, 0, 0);
    let unreadable =
        Candidate { series: None, standing: Standing::Unreadable, ..good(day(1), Kind::Complete) };
    let all = [unreadable, good(day(2), Kind::Complete), good(day(3), Kind::Complete)];
    assert_eq!(kept(&all, &keep, day(4)), [all[0].clone(), all[2].clone()]);
}
