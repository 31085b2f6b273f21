//! The store's story, told to SQLite, to PostgreSQL, and to PostgreSQL behind PgBouncer.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a test")]

mod support;

use std::{
    fs,
    future::Future,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use figw::{
    domain::{
        AccessPolicy, AccessRow, Adapter, ApiKey, Cluster, Endpoint, EndpointSettings, Federation,
        KeyHash, Maintenance, Policy, Route, Target, TokenCount, UsageRow,
        catalog::{DirectApi, Echo},
    },
    store::{
        self, CatalogEdit, RowBatch, RowWriter, SchemaState, Store, StoreError, StoreOptions,
        WriterOptions,
        migrate::{self, MigrateError, Progress},
    },
};
use jiff::{SignedDuration, Timestamp};
use support::postgres::{PgBouncer, Postgres};
use uuid::Uuid;

fn options(url: &str) -> StoreOptions {
    StoreOptions {
        url: url.into(),
        migration_url: None,
        max_connections: 4,
        connect_timeout: Duration::from_secs(2),
        statement_timeout: Duration::from_secs(5),
    }
}

async fn migrated(options: &StoreOptions) -> Arc<dyn Store> {
    migrate::apply(options, Duration::ZERO, &mut |_| {}).await.unwrap();
    store::open(options).await.unwrap()
}

fn cluster(name: &str) -> Cluster {
    Cluster {
        name: name.to_owned(),
        adapter: Adapter::GlobusCompute,
        frameworks: vec!["vllm".to_owned(), "api".to_owned()],
        routes: vec![Route::ChatCompletions, Route::Embeddings],
        access: AccessPolicy { groups: vec!["users".to_owned()], domains: Vec::new() },
        settings: serde_json::from_str(r#"{"z": 1, "status_url": "http://x/", "a": [null]}"#)
            .unwrap(),
        maintenance: None,
    }
}

fn endpoint(cluster: &str, model: &str) -> Endpoint {
    Endpoint {
        slug: Endpoint::default_slug(cluster, "vllm", model),
        cluster: cluster.to_owned(),
        framework: "vllm".to_owned(),
        model: model.to_owned(),
        settings: EndpointSettings::DirectApi(DirectApi {
            api_url: "http://127.0.0.1:9/v1".to_owned(),
            api_key: None,
            request_timeout: Some(Duration::from_secs(90)),
        }),
        access: AccessPolicy::default(),
        tpm_model: 100_000,
        tpm_user: 0,
        enabled: true,
    }
}

fn federation(model: &str, endpoint: &str) -> Federation {
    Federation {
        model: model.to_owned(),
        description: "one name".to_owned(),
        policy: Policy::LeastBusy,
        targets: vec![Target { endpoint: endpoint.to_owned(), priority: 1, weight: 3 }],
    }
}

fn key(name: &str, at: Timestamp) -> ApiKey {
    ApiKey {
        id: Uuid::now_v7(),
        hash: KeyHash::of(name),
        name: name.to_owned(),
        user: "ada@anl.gov".to_owned(),
        groups: vec!["users".to_owned()],
        models: Vec::new(),
        created_at: at,
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    }
}

fn usage(at: Timestamp) -> UsageRow {
    UsageRow {
        id: Uuid::now_v7(),
        request_id: Uuid::new_v4().to_string(),
        started_at: at,
        user: "ada@anl.gov".to_owned(),
        key_id: None,
        cluster: "sophia".to_owned(),
        framework: "vllm".to_owned(),
        endpoint: "sophia-vllm-m".to_owned(),
        model: "m".to_owned(),
        route: Route::ChatCompletions,
        streamed: true,
        status: 200,
        backend_status: Some(200),
        tokens: TokenCount { prompt: 12, completion: 30, estimated: false },
        first_byte_us: Some(1_000),
        duration_us: 250_000,
        request_bytes: 900,
        response_bytes: u64::MAX,
        error: None,
    }
}

fn access(at: Timestamp, model: &str) -> AccessRow {
    AccessRow {
        id: Uuid::now_v7(),
        request_id: Uuid::new_v4().to_string(),
        started_at: at,
        user: "ada@anl.gov".to_owned(),
        key_id: None,
        method: "POST".to_owned(),
        path: "/v1/chat/completions".to_owned(),
        status: 404,
        duration_us: 90,
        model: Some(model.to_owned()),
        error: Some("no such model".to_owned()),
    }
}

/// Now, as precisely as a database keeps it.
fn now() -> Timestamp {
    Timestamp::from_microsecond(Timestamp::now().as_microsecond()).unwrap()
}

/// Counts rows of a table behind the store's back.
enum Counter<'a> {
    Sqlite(PathBuf),
    Postgres(&'a Postgres, &'a str),
}

impl Counter<'_> {
    fn number(&self, query: &str) -> i64 {
        match self {
            Self::Sqlite(path) => rusqlite::Connection::open(path)
                .unwrap()
                .query_row(query, [], |row| row.get(0))
                .unwrap(),
            Self::Postgres(server, database) => server.query(database, query).parse().unwrap(),
        }
    }

    fn execute(&self, statement: &str) {
        match self {
            Self::Sqlite(path) => {
                rusqlite::Connection::open(path).unwrap().execute_batch(statement).unwrap();
            }
            Self::Postgres(server, database) => {
                server.query(database, statement);
            }
        }
    }
}

async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "did not happen: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn the_story_on_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("figw.db");
    let options = options(&format!("sqlite:{}", path.display()));
    assert!(matches!(migrate::plan(&options).await.unwrap(), SchemaState::Behind { .. }));
    assert!(!path.exists(), "planning changes nothing");
    the_story(&options, &Counter::Sqlite(path.clone())).await;
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "others may not read it");
}

#[tokio::test]
async fn the_story_on_postgres() {
    let server = Postgres::start_new();
    let options = options(&server.create_database("story"));
    the_story(&options, &Counter::Postgres(&server, "story")).await;
}

#[tokio::test]
async fn the_story_through_pgbouncer() {
    let server = Postgres::start_new();
    let bouncer = PgBouncer::start_before(&server);
    let direct = server.create_database("story");
    let options =
        StoreOptions { migration_url: Some(direct.into()), ..options(&bouncer.url("story")) };
    the_story(&options, &Counter::Postgres(&server, "story")).await;
}

async fn the_story(options: &StoreOptions, counter: &Counter<'_>) {
    an_empty_database_is_migrated(options).await;
    let store = store::open(options).await.unwrap();
    assert!(!store.describe().contains("secret"), "{}", store.describe());
    store.ping().await.unwrap();
    the_catalogue_is_edited(store.as_ref()).await;
    edits_that_break_something_are_refused(store.as_ref()).await;
    keys_come_and_go(store.as_ref()).await;
    rows_are_written_once(store.as_ref(), counter).await;
    many_callers_share_the_store(&store).await;
    a_strange_schema_is_recognised(options, store.as_ref(), counter).await;
}

async fn an_empty_database_is_migrated(options: &StoreOptions) {
    let SchemaState::Behind { pending } = migrate::plan(options).await.unwrap() else {
        panic!("an empty database misses everything");
    };
    let store = store::open(options).await.unwrap();
    assert_eq!(
        store.schema_state().await.unwrap(),
        SchemaState::Behind { pending: pending.clone() }
    );
    let mut finished = Vec::new();
    let mut note = |progress: Progress<'_>| {
        if let Progress::Finished { migration, .. } = progress {
            finished.push(migration.to_owned());
        }
    };
    let applied = migrate::apply(options, Duration::ZERO, &mut note).await.unwrap();
    assert_eq!(applied, pending);
    assert_eq!(finished, pending);
    assert_eq!(store.schema_state().await.unwrap(), SchemaState::Current);
    let again = migrate::apply(options, Duration::ZERO, &mut |_| {}).await.unwrap();
    assert!(again.is_empty(), "nothing to do the second time");
}

async fn the_catalogue_is_edited(store: &dyn Store) {
    let empty = store.catalog().await.unwrap();
    assert!(empty.clusters.is_empty());
    // In any order: what counts is the end.
    let slug = Endpoint::default_slug("sophia", "vllm", "m");
    let edits = [
        CatalogEdit::PutFederation(federation("m-anywhere", &slug)),
        CatalogEdit::PutEndpoint(endpoint("sophia", "m")),
        CatalogEdit::PutCluster(cluster("sophia")),
    ];
    let version = store.edit_catalog(empty.version, &edits).await.unwrap();
    assert!(version > empty.version);
    assert_eq!(store.catalog_version().await.unwrap(), version);
    let data = store.catalog().await.unwrap();
    assert_eq!(data.version, version);
    assert_eq!(data.clusters, [cluster("sophia")]);
    assert_eq!(data.endpoints, [endpoint("sophia", "m")]);
    assert_eq!(data.federations, [federation("m-anywhere", &slug)]);

    let in_maintenance = Cluster {
        maintenance: Some(Maintenance { notice: "until noon".to_owned(), since: now() }),
        ..cluster("sophia")
    };
    let echo = Endpoint {
        settings: EndpointSettings::Echo(Echo { delay: Duration::from_millis(5) }),
        enabled: false,
        ..endpoint("sophia", "m")
    };
    let edits =
        [CatalogEdit::PutCluster(in_maintenance.clone()), CatalogEdit::PutEndpoint(echo.clone())];
    store.edit_catalog(version, &edits).await.unwrap();
    let data = store.catalog().await.unwrap();
    assert_eq!(data.clusters, [in_maintenance]);
    assert_eq!(data.endpoints, [echo]);
}

async fn edits_that_break_something_are_refused(store: &dyn Store) {
    let before = store.catalog().await.unwrap();
    let slug = Endpoint::default_slug("sophia", "vllm", "m");
    for (edits, names) in [
        (vec![CatalogEdit::RemoveCluster("sophia".to_owned())], slug.as_str()),
        (vec![CatalogEdit::RemoveEndpoint(slug.clone())], "m-anywhere"),
        (vec![CatalogEdit::PutEndpoint(endpoint("polaris", "m"))], "polaris"),
        (vec![CatalogEdit::RemoveFederation("nothing".to_owned())], "nothing"),
        (
            // All or nothing: the first half alone would be fine.
            vec![
                CatalogEdit::PutCluster(cluster("aurora")),
                CatalogEdit::PutFederation(federation("f", "nowhere")),
            ],
            "nowhere",
        ),
    ] {
        match store.edit_catalog(before.version, &edits).await {
            Err(StoreError::Conflict(message)) => assert!(message.contains(names), "{message}"),
            other => panic!("{edits:?} gave {other:?}"),
        }
    }
    let stale = store.edit_catalog(before.version - 1, &[]).await;
    assert!(matches!(stale, Err(StoreError::Conflict(_))), "{stale:?}");
    let after = store.catalog().await.unwrap();
    assert_eq!((after.version, after.clusters), (before.version, before.clusters));
}

async fn keys_come_and_go(store: &dyn Store) {
    let before = store.catalog_version().await.unwrap();
    let first = key("first", now());
    let second = ApiKey {
        expires_at: Some(now() + SignedDuration::from_hours(1)),
        models: vec!["m".to_owned()],
        ..key("second", now() + SignedDuration::from_secs(1))
    };
    store.create_key(&first).await.unwrap();
    store.create_key(&second).await.unwrap();
    assert!(matches!(store.create_key(&first).await, Err(StoreError::Conflict(_))));
    assert_eq!(store.catalog().await.unwrap().keys, [first.clone(), second.clone()]);
    let created = store.catalog_version().await.unwrap();
    assert_eq!(created, before + 2, "instances learn of each key by the version");

    let at = now();
    assert!(store.revoke_key(first.id, at).await.unwrap());
    assert!(store.revoke_key(first.id, at).await.unwrap(), "twice is no error");
    assert!(!store.revoke_key(Uuid::now_v7(), at).await.unwrap());
    assert_eq!(store.catalog_version().await.unwrap(), created + 1);
    assert_eq!(store.catalog().await.unwrap().keys, std::slice::from_ref(&second));
    let revoked = ApiKey { revoked_at: Some(at), ..first };
    assert_eq!(store.keys().await.unwrap(), [revoked, second]);
}

async fn rows_are_written_once(store: &dyn Store, counter: &Counter<'_>) {
    let used = store.keys().await.unwrap()[1].id;
    let at = now();
    let with_key = |row: UsageRow| UsageRow { key_id: Some(used), ..row };
    // A caller can put a NUL into JSON; PostgreSQL cannot put it into a text.
    let batch = Arc::new(RowBatch {
        usage: (0..50).map(|_| with_key(usage(at))).collect(),
        access: vec![access(at, "no\0such\0model"), access(at, "m")],
    });
    store.write_rows(Arc::clone(&batch)).await.unwrap();
    store.write_rows(batch).await.unwrap();
    assert_eq!(counter.number("SELECT count(*) FROM usage WHERE prompt_tokens = 12"), 50);
    assert_eq!(counter.number("SELECT count(*) FROM access"), 2);

    let last_use = async || store.keys().await.unwrap()[1].last_used_at;
    assert_eq!(last_use().await, Some(at));
    for (moved, expected) in [(30, 0), (-600, 0), (61, 61)] {
        let at_then = at + SignedDuration::from_secs(moved);
        let row = with_key(usage(at_then));
        store.write_rows(Arc::new(RowBatch { usage: vec![row], access: vec![] })).await.unwrap();
        assert_eq!(last_use().await, Some(at + SignedDuration::from_secs(expected)), "{moved} s");
    }
}

async fn many_callers_share_the_store(store: &Arc<dyn Store>) {
    let callers = (0..40).map(|_| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            for _ in 0..10 {
                store.catalog().await.unwrap();
                let rows = RowBatch { usage: vec![usage(now())], access: Vec::new() };
                store.write_rows(Arc::new(rows)).await.unwrap();
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
}

async fn a_strange_schema_is_recognised(
    options: &StoreOptions,
    store: &dyn Store,
    counter: &Counter<'_>,
) {
    let history = "refinery_schema_history";
    counter.execute(&format!("UPDATE {history} SET checksum = '1' WHERE version = 1"));
    let diverged = SchemaState::Diverged { migration: "V1__catalog".to_owned() };
    assert_eq!(store.schema_state().await.unwrap(), diverged);
    assert!(matches!(
        migrate::apply(options, Duration::ZERO, &mut |_| {}).await,
        Err(MigrateError::Unsuitable { .. })
    ));
    counter.execute(&format!("DELETE FROM {history} WHERE version = 1"));
    counter.execute(&format!(
        "INSERT INTO {history} (version, name, applied_on, checksum) \
         VALUES (999, 'later', '2030-01-01T00:00:00Z', '5')"
    ));
    assert_eq!(
        migrate::plan(options).await.unwrap(),
        SchemaState::Ahead { newest: "V999__later".to_owned() }
    );
}

#[tokio::test]
async fn of_two_migrations_one_works_and_the_other_finds_it_done() {
    let server = Postgres::start_new();
    let directory = tempfile::tempdir().unwrap();
    let urls =
        [server.create_database("twice"), format!("sqlite:{}/t.db", directory.path().display())];
    for url in urls {
        let options = options(&url);
        let patience = Duration::from_secs(20);
        let run = async || migrate::apply(&options, patience, &mut |_| {}).await.unwrap();
        let (one, other) = tokio::join!(run(), run());
        assert_eq!(one.is_empty(), !other.is_empty(), "{url}: {one:?} {other:?}");
    }
}

#[test]
fn a_migration_does_not_wait_for_ever_for_another() {
    let server = Postgres::start_new();
    let url = server.create_database("busy");
    let sleeper = "SELECT pg_advisory_lock(1718183799), pg_sleep(20)";
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let _ = std::panic::catch_unwind(|| server.query("busy", sleeper));
        });
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let mut waited = 0;
            let mut note =
                |p: Progress<'_>| waited += u32::from(matches!(p, Progress::Waiting { .. }));
            let patience = Duration::from_millis(600);
            let result = migrate::apply(&options(&url), patience, &mut note).await;
            assert!(matches!(result, Err(MigrateError::Locked { .. })), "{result:?}");
            assert_eq!(waited, 1, "waiting is said once");
        });
        let ours = "pid <> pg_backend_pid() AND query LIKE '%pg_sleep%'";
        server.query(
            "postgres",
            &format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}"),
        );
    });
}

#[tokio::test]
async fn a_bad_address_is_a_clear_error() {
    for (url, says) in [
        ("mysql://root:hush@h/db", "mysql"),
        ("hush", "no scheme"),
        ("sqlite:", "does not name a file"),
        ("sqlite:/no/such/directory/figw.db", "/no/such/directory"),
        ("postgres://figw:hush@h:x/db", "port"),
    ] {
        let message = store::open(&options(url)).await.map(drop).unwrap_err().to_string();
        assert!(message.contains(says), "{url}: {message}");
        assert!(!message.contains("hush") && !message.contains('\n'), "{message}");
    }
    let nobody = store::open(&options("postgres://figw:hush@127.0.0.1:1/db")).await.unwrap();
    let error = nobody.ping().await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert!(!error.to_string().contains("hush"), "{error}");
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
            runtime.block_on(life());
            runtime.shutdown_timeout(Duration::from_secs(5));
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
async fn rows_the_database_refuses_do_not_block_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("figw.db");
    let store = migrated(&options(&format!("sqlite:{}", path.display()))).await;
    let counter = Counter::Sqlite(path);
    counter.execute(
        "CREATE TRIGGER picky BEFORE INSERT ON usage WHEN new.model = 'poison' \
         BEGIN SELECT RAISE(ABORT, 'not that one'); END",
    );
    let spool = directory.path().join("spool");
    let writer = RowWriter::start(store, writer_options(&spool));
    writer.record_usage(UsageRow { model: "poison".to_owned(), ..usage(now()) });
    tokio::time::sleep(Duration::from_millis(500)).await;
    writer.record_usage(usage(now()));
    eventually("the segment is moved aside", || writer.state().rejected_segments == 1).await;
    writer.flush_and_stop(Duration::from_secs(10)).await;
    assert_eq!(counter.number("SELECT count(*) FROM usage"), 1);
    let aside = fs::read_dir(spool.join("test")).unwrap();
    let rejected =
        aside.filter(|f| f.as_ref().unwrap().path().extension().is_some_and(|e| e == "rejected"));
    assert_eq!(rejected.count(), 1);
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
