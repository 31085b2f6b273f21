//! There and back: a large database in use is backed up, wrecked, and put back as it was at the
//! backup's moment.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]

mod support;

use std::time::Duration;

use support::{
    backups::{Estate, eventually},
    postgres::Postgres,
};

const ROWS: u32 = 200_000;

/// Backs up while rows are written, wrecks, restores, compares.
fn there_and_back(estate: &Estate, wreck: impl Fn(&Estate)) {
    estate.add_usage(ROWS);
    let writing = estate.keep_writing();
    eventually(Duration::from_secs(30), || estate.usage_count() > u64::from(ROWS) + 20);
    let made = estate.json(&["backup"]);
    let after = estate.usage_count();
    eventually(Duration::from_secs(30), || estate.usage_count() > after);
    writing.stop();

    let id = made["id"].as_str().unwrap();
    let list = estate.json(&["backup", "list"]);
    let tables = &list["backups"][0]["manifest"]["database"]["tables"];
    let table = if estate.is_sqlite() { "usage" } else { "public.usage" };
    let at_the_moment = estate.hashes_at(tables[table].as_u64().unwrap() - u64::from(ROWS));
    assert_ne!(estate.hashes(), at_the_moment, "rows were written after the backup's moment");

    wreck(estate);
    estate.run(&["--yes", "restore", id, "--replace"]);
    assert_eq!(estate.hashes(), at_the_moment);
    estate.run(&["migrate", "--check"]);
    assert!(estate.run(&["key", "list"]).contains("ada@example.org"));
}

#[test]
fn on_postgresql() {
    let server = Postgres::start_new();
    there_and_back(&Estate::postgres(&server, "gateway"), |estate| {
        estate.execute("DROP TABLE api_keys, clusters CASCADE");
        estate.execute(
            "UPDATE usage SET model = 'nonsense'; DELETE FROM usage WHERE prompt_tokens > 9",
        );
        estate.execute("CREATE TABLE left_over (id int); INSERT INTO left_over VALUES (1)");
    });
}

#[test]
fn on_sqlite() {
    there_and_back(&Estate::sqlite(), |estate| {
        estate.execute(
            "DROP TABLE api_keys; UPDATE usage SET model = 'nonsense'; DELETE FROM access",
        );
        estate.execute("CREATE TABLE left_over (id INTEGER); INSERT INTO left_over VALUES (1)");
    });
}
