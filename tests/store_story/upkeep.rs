//! The part of the store's story that is about sums of usage, and about rows that grow old.

use std::{sync::Arc, time::Duration};

use figw::{
    domain::{
        UsageRow,
        report::{Days, Grouping, UsageSum},
    },
    store::{Aging, RowBatch, Span, Store},
};
use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, date},
};
use uuid::Uuid;

use crate::support::samples::{Counter, access, usage};

/// A year in which nothing else of the story happens.
const YEAR: i16 = 2021;

pub(crate) async fn the_story(store: &dyn Store, counter: &Counter<'_>) {
    one_instance_at_a_time_keeps_the_tables(store).await;
    every_row_counts_once(store, counter).await;
    reports_are_by_whatever_is_asked_for(store).await;
    old_rows_go_and_their_sums_stay(store, counter).await;
}

async fn one_instance_at_a_time_keeps_the_tables(store: &dyn Store) {
    let (one, other) = (Uuid::new_v4(), Uuid::new_v4());
    let long = Duration::from_mins(1);
    assert!(store.lease_upkeep(one, long).await.unwrap());
    assert!(!store.lease_upkeep(other, long).await.unwrap());
    assert!(store.lease_upkeep(one, Duration::ZERO).await.unwrap(), "it may go on");
    assert!(store.lease_upkeep(other, long).await.unwrap(), "the lease has ended");
    store.release_upkeep(one).await.unwrap();
    assert!(!store.lease_upkeep(one, long).await.unwrap(), "nobody gives up what is another's");
    store.release_upkeep(other).await.unwrap();
    assert!(store.lease_upkeep(one, long).await.unwrap());
    store.release_upkeep(one).await.unwrap();
}

async fn roll_up_all(store: &dyn Store) {
    while store.roll_up().await.unwrap() != Some(0) {}
}

fn at(day: Date, hour: i8) -> Timestamp {
    day.at(hour, 30, 0, 0).in_tz("UTC").unwrap().timestamp()
}

fn row(day: Date, user: &str, model: &str, status: u16) -> UsageRow {
    let (user, model) = (user.into(), model.into());
    UsageRow { user, model, status, ..usage(at(day, 23)) }
}

async fn write(store: &dyn Store, usage: Vec<UsageRow>) {
    store.write_rows(Arc::new(RowBatch { usage, ..RowBatch::default() })).await.unwrap();
}

async fn sums(store: &dyn Store, by: Grouping, days: Days) -> Vec<UsageSum> {
    store.usage_sums(by, days).await.unwrap()
}

async fn every_row_counts_once(store: &dyn Store, counter: &Counter<'_>) {
    roll_up_all(store).await;
    assert_eq!(store.roll_up().await.unwrap(), Some(0));
    let all = counter.number("SELECT count(*) FROM usage");
    let summed_up = || counter.number("SELECT coalesce(sum(requests), 0) FROM usage_daily");
    assert_eq!(summed_up(), all, "what the story has written before");
    assert_eq!(counter.number("SELECT sum(requests) FROM usage_hourly"), all);

    let day = date(YEAR, 3, 1);
    let rows = vec![
        row(day, "ada", "m", 200),
        row(day, "ada", "m", 404),
        row(day, "bob", "m", 502),
        row(day, "bob", "n", 499),
        row(date(YEAR, 3, 2), "bob", "n", 200),
    ];
    write(store, rows.clone()).await;
    let march = Days { first: day, last: date(YEAR, 3, 31) };
    let before = sums(store, Grouping::User, march).await;
    write(store, rows.clone()).await;
    write(store, [rows, vec![row(day, "eve", "m", 200)]].concat()).await;
    assert_eq!(summed_up(), all, "not yet summed up");
    roll_up_all(store).await;
    assert_eq!(summed_up(), all + 6);
    let after = sums(store, Grouping::User, march).await;
    assert_eq!(after.len(), before.len() + 1, "eve has come");
    assert!(before[..2].iter().all(|sum| after.contains(sum)), "{before:#?} {after:#?}");

    let hour = counter.number(
        "SELECT sum(requests) FROM usage_hourly WHERE model = 'n' AND client_errors = 1 \
         AND requests = 1 AND completion_tokens = 30",
    );
    assert_eq!(hour, 1);
    // 250 ms, 1 ms, and 30 tokens in 250 ms: floor(4 * log2(v)) of each.
    for (measure, bucket) in [(1, 71), (2, 39), (3, 67)] {
        let found = counter.number(&format!(
            "SELECT sum(requests) FROM usage_latency WHERE day = '2021-03-01' AND model = 'm' \
             AND measure = {measure} AND bucket = {bucket}"
        ));
        assert_eq!(found, 2, "only those that succeeded, {measure}");
    }
}

async fn reports_are_by_whatever_is_asked_for(store: &dyn Store) {
    let march = Days { first: date(YEAR, 3, 1), last: date(YEAR, 3, 31) };
    let names = |sums: &[UsageSum]| {
        sums.iter().map(|sum| format!("{} {}", sum.name, sum.requests)).collect::<Vec<_>>()
    };
    for (by, expected) in [
        (Grouping::User, vec!["bob 3", "ada 2", "eve 1", " 6"]),
        (Grouping::Model, vec!["m 4", "n 2", " 6"]),
        (Grouping::Cluster, vec!["sophia 6", " 6"]),
        (Grouping::Day, vec!["2021-03-01 5", "2021-03-02 1", " 6"]),
    ] {
        assert_eq!(names(&sums(store, by, march).await), expected, "{by:?}");
    }
    let total = sums(store, Grouping::Model, march).await.pop().unwrap();
    let expected = UsageSum {
        name: String::new(),
        users: 3,
        requests: 6,
        succeeded: 3,
        client_errors: 2,
        server_errors: 1,
        prompt_tokens: 72,
        completion_tokens: 180,
        duration_us: 1_500_000,
    };
    assert_eq!(total, expected);
    let second = Days { first: date(YEAR, 3, 2), last: date(YEAR, 3, 2) };
    assert_eq!(names(&sums(store, Grouping::User, second).await), ["bob 1", " 1"]);
    let empty = Days { first: date(YEAR, 4, 1), last: date(YEAR, 4, 30) };
    assert!(sums(store, Grouping::Day, empty).await.is_empty());
}

async fn old_rows_go_and_their_sums_stay(store: &dyn Store, counter: &Counter<'_>) {
    let day = date(YEAR, 5, 1);
    let minute = |minute| at(day, 1) + SignedDuration::from_mins(minute);
    let usage = (0..10).map(|number| usage(minute(number))).collect();
    let access = (0..3).map(|number| access(minute(number), "m")).collect();
    store.write_rows(Arc::new(RowBatch { usage, access, ..RowBatch::default() })).await.unwrap();
    let before = at(day, 0);
    let count = |table: &str| {
        let since = match counter {
            Counter::Sqlite(_) => before.as_microsecond().to_string(),
            Counter::Postgres(..) => format!("'{before}'"),
        };
        let end = match counter {
            Counter::Sqlite(_) => minute(60).as_microsecond().to_string(),
            Counter::Postgres(..) => format!("'{}'", minute(60)),
        };
        counter.number(&format!(
            "SELECT count(*) FROM {table} WHERE started_at >= {since} AND started_at < {end}"
        ))
    };
    let until = minute(8);
    let mut span = Span { from: before, until };
    let mut steps = Vec::new();
    loop {
        let deleted = store.delete_old(Aging::Usage, span, 3).await.unwrap();
        steps.push(deleted.rows);
        let Some(up_to) = deleted.up_to else { break };
        span.from = up_to;
    }
    assert_eq!(steps, [3, 3, 2, 0]);
    assert_eq!((count("usage"), count("access")), (2, 3));
    let span = Span { from: Timestamp::MIN, until: minute(2) };
    store.delete_old(Aging::Access, span, 100).await.unwrap();
    assert_eq!(count("access"), 1);
    let may = Days { first: day, last: day };
    let requests = || async { sums(store, Grouping::Day, may).await[0].requests };
    assert_eq!(requests().await, 10, "as if they were there");
    roll_up_all(store).await;
    assert_eq!(requests().await, 10, "those that had gone before, too");
}
