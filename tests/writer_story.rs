//! The rows' way into the database: through outages, crashes, refusals and a spool that fails.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

mod support;

use std::{
    fs,
    future::Future,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use figw::{
    domain::UsageRow,
    store::{self, RowWriter, StoreOptions, WriterOptions},
};
use support::{
    postgres::{PgBouncer, Postgres},
    samples::{Counter, access, migrated, now, options, usage},
};

async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "did not happen: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn an_outage_of_the_database_costs_no_row() {
    let mut server = Postgres::start_new();
    let bouncer = PgBouncer::start_before(&server);
    let migration_url = Some(server.create_database("outage").into());
    // PgBouncer keeps its clients waiting while the server is away.
    let statement_timeout = Duration::from_secs(1);
    let url = bouncer.url("outage");
    let options = StoreOptions { migration_url, statement_timeout, ..options(&url) };
    let store = migrated(&options).await;
    let spool = tempfile::tempdir().unwrap();
    let writer = RowWriter::start(Arc::clone(&store), writer_options(spool.path()));

    let mut written = 0_i64;
    write_for(Duration::from_secs(1), &writer, &mut written).await;
    server.stop();
    write_for(Duration::from_secs(3), &writer, &mut written).await;
    let state = writer.state();
    assert!(state.spool_segments > 0 && state.last_error.is_some(), "{state:?}");
    server.start();
    write_for(Duration::from_secs(2), &writer, &mut written).await;
    server.kill();
    write_for(Duration::from_secs(1), &writer, &mut written).await;
    server.start();
    eventually("rows reach the database again", || writer.state().is_well()).await;
    writer.flush_and_stop(Duration::from_secs(30)).await;

    let state = writer.state();
    assert_eq!((state.spool_segments, state.spool_rows, state.dropped), (0, 0, 0), "{state:?}");
    assert_eq!(segments_in(spool.path()).len(), 0);
    let counter = Counter::Postgres(&server, "outage");
    assert_eq!(counter.number("SELECT count(*) FROM usage"), written);
    store.ping().await.unwrap();
}

fn writer_options(spool: &Path) -> WriterOptions {
    let flush_interval = Duration::from_millis(200);
    WriterOptions { flush_interval, ..WriterOptions::new(spool.to_path_buf(), "test") }
}

async fn write_for(time: Duration, writer: &RowWriter, written: &mut i64) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        for _ in 0..20 {
            writer.record_usage(usage(now()));
            *written += 1;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn segments_in(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for directory in fs::read_dir(root).unwrap() {
        for file in fs::read_dir(directory.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|e| e == "rows") {
                found.push(path);
            }
        }
    }
    found
}

/// Runs what it is given in a runtime that then ends without a goodbye, as a killed process does.
fn until_killed<F: Future>(life: impl FnOnce() -> F + Send) {
    std::thread::scope(|threads| {
        let run = || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            // What lives on until then does not get to say goodbye in its destructor.
            let alive = runtime.block_on(life());
            runtime.shutdown_timeout(Duration::from_secs(5));
            drop(alive);
        };
        threads.spawn(run).join().unwrap();
    });
}

#[test]
fn a_crash_costs_at_most_what_was_not_flushed_and_doubles_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let spool = directory.path().join("spool");
    let path = directory.path().join("figw.db");
    let url = format!("sqlite:{}", path.display());
    let counter = Counter::Sqlite(path.clone());

    until_killed(async || {
        let store = migrated(&options(&url)).await;
        // The database is away while the first process lives.
        counter.execute("ALTER TABLE usage RENAME TO hidden");
        let writer = RowWriter::start(store, writer_options(&spool));
        for _ in 0..1_000 {
            writer.record_usage(usage(now()));
        }
        eventually("the rows are spooled", || writer.state().spool_rows == 1_000).await;
        writer.record_usage(usage(now()));
        writer
    });
    counter.execute("ALTER TABLE hidden RENAME TO usage");
    let segments = segments_in(&spool);
    assert!(!segments.is_empty());
    // The crash also tore the last record that was being written.
    let torn = segments.last().unwrap();
    let bytes = fs::read(torn).unwrap();
    fs::write(torn, [&bytes[..], &bytes[..40]].concat()).unwrap();

    // Another instance finds the dead one's spool; after it, nothing is left to find.
    for _ in 0..2 {
        until_killed(async || {
            let store = store::open(&options(&url)).await.unwrap();
            let named = WriterOptions { instance: "other".into(), ..writer_options(&spool) };
            let writer = RowWriter::start(store, named);
            writer.record_access(access(now(), "m"));
            writer.flush_and_stop(Duration::from_secs(10)).await;
        });
    }
    assert_eq!(segments_in(&spool).len(), 0);
    assert_eq!(counter.number("SELECT count(*) FROM usage"), 1_000);
    assert_eq!(counter.number("SELECT count(*) FROM access"), 2);
}

#[tokio::test]
async fn a_table_that_is_missing_for_a_while_costs_no_row() {
    let server = Postgres::start_new();
    let url = server.create_database("repaired");
    let store = migrated(&options(&url)).await;
    let counter = Counter::Postgres(&server, "repaired");
    let spool = tempfile::tempdir().unwrap();
    let writer = RowWriter::start(store, writer_options(spool.path()));
    counter.execute("ALTER TABLE usage RENAME TO hidden");
    writer.record_usage(usage(now()));
    eventually("the fault is seen", || writer.state().last_error.is_some()).await;
    // Long enough for what is refused for good to be moved aside.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(writer.state().rejected_segments, 0);
    counter.execute("ALTER TABLE hidden RENAME TO usage");
    eventually("rows reach the database again", || writer.state().is_well()).await;
    writer.flush_and_stop(Duration::from_secs(30)).await;
    assert_eq!(counter.number("SELECT count(*) FROM usage"), 1);
}

#[tokio::test]
async fn rows_the_database_refuses_do_not_block_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("figw.db");
    let url = format!("sqlite:{}", path.display());
    let store = migrated(&options(&url)).await;
    let counter = Counter::Sqlite(path);
    counter.execute(
        "CREATE TRIGGER picky BEFORE INSERT ON usage WHEN new.model = 'poison' \
         BEGIN SELECT RAISE(ABORT, 'not that one'); END",
    );
    let spool = directory.path().join("spool");
    let writer = RowWriter::start(store, writer_options(&spool));
    writer.record_usage(UsageRow { model: "poison".into(), ..usage(now()) });
    tokio::time::sleep(Duration::from_millis(500)).await;
    writer.record_usage(usage(now()));
    eventually("the segment is moved aside", || writer.state().rejected_segments == 1).await;
    eventually("the others are written", || writer.state().last_success.is_some()).await;
    let state = writer.state();
    assert!(state.last_error.is_none() && !state.is_well(), "the database is well: {state:?}");
    assert!(state.refusal.unwrap().1.contains("not that one"));
    writer.flush_and_stop(Duration::from_secs(10)).await;
    assert_eq!(counter.number("SELECT count(*) FROM usage"), 1);
    let rejected = || {
        let aside = fs::read_dir(spool.join("test")).unwrap();
        let paths = aside.map(|file| file.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|e| e == "rejected")).count()
    };
    assert_eq!(rejected(), 1);

    // The next start tries again, in vain or not.
    for (change, written, aside) in [("SELECT 1", 1, 1), ("DROP TRIGGER picky", 2, 0)] {
        counter.execute(change);
        let store = store::open(&options(&url)).await.unwrap();
        let writer = RowWriter::start(store, writer_options(&spool));
        let is_done = || match aside {
            0 => segments_in(&spool).is_empty() && rejected() == 0,
            _ => writer.state().rejected_segments == aside,
        };
        eventually("it is tried again", is_done).await;
        writer.flush_and_stop(Duration::from_secs(10)).await;
        assert_eq!(counter.number("SELECT count(*) FROM usage"), written);
    }
}

#[tokio::test]
async fn without_a_spool_rows_go_straight_to_the_database() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("figw.db");
    let store = migrated(&options(&format!("sqlite:{}", path.display()))).await;
    let not_a_directory = directory.path().join("file");
    fs::write(&not_a_directory, "").unwrap();
    let writer = RowWriter::start(store, writer_options(&not_a_directory));
    writer.record_usage(usage(now()));
    eventually("the fault is reported", || writer.state().spool_error.is_some()).await;
    writer.flush_and_stop(Duration::from_secs(10)).await;
    assert_eq!(Counter::Sqlite(path).number("SELECT count(*) FROM usage"), 1);
}

#[tokio::test]
async fn a_full_queue_drops_and_counts_without_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let store = migrated(&options(&format!("sqlite:{}/figw.db", directory.path().display()))).await;
    let small = WriterOptions { queue_rows: 10, ..writer_options(&directory.path().join("spool")) };
    let writer = RowWriter::start(store, small);
    let since = Instant::now();
    for _ in 0..1_000 {
        writer.record_usage(usage(now()));
    }
    assert!(since.elapsed() < Duration::from_secs(1));
    let dropped = writer.state().dropped;
    assert!(dropped >= 900, "{dropped}");
}
