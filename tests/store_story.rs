//! The store's story, told to SQLite, to PostgreSQL, and to PostgreSQL behind PgBouncer.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a test")]

#[path = "store_story/batches.rs"]
mod batches;
mod support;
#[path = "store_story/upkeep.rs"]
mod upkeep;

use std::{fs, sync::Arc, time::Duration};

use figw::{
    domain::{
        ApiKey, Cluster, Endpoint, EndpointSettings, Maintenance, PromptRow, RemoteTask,
        TaskOutcome, UsageRow, catalog::Echo,
    },
    store::{
        self, CatalogEdit, Location, RowBatch, SchemaState, Store, StoreError, StoreOptions,
        migrate::{self, MigrateError, Progress},
    },
};
use jiff::SignedDuration;
use support::{
    postgres::{PgBouncer, Postgres},
    samples::{Counter, access, cluster, endpoint, federation, key, now, options, usage},
};
use uuid::Uuid;

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
    upkeep::the_story(store.as_ref(), counter).await;
    batches::the_story(&store, counter).await;
    tasks_are_read_by_one_at_a_time(&store).await;
    tasks_are_forgotten_in_time(store.as_ref(), counter).await;
    many_callers_share_the_store(&store).await;
    a_strange_schema_is_recognised(options, store.as_ref(), counter).await;
}

async fn an_empty_database_is_migrated(options: &StoreOptions) {
    let SchemaState::Behind { pending } = migrate::plan(options).await.unwrap() else {
        panic!("an empty database misses everything");
    };
    let found = store::open(options).await;
    if let Location::Sqlite(path) = options.location().unwrap() {
        let refused = found.err().unwrap().to_string();
        assert!(
            refused.contains("there is no file") && refused.contains("figw migrate"),
            "{refused}"
        );
        assert!(!path.exists(), "looking makes nothing");
    } else {
        let state = found.unwrap().schema_state().await.unwrap();
        assert_eq!(state, SchemaState::Behind { pending: pending.clone() });
    }
    let mut finished = Vec::new();
    let mut note = |progress: Progress<'_>| {
        if let Progress::Finished { migration, .. } = progress {
            finished.push(migration.to_owned());
        }
    };
    let applied = migrate::apply(options, Duration::ZERO, &mut note).await.unwrap();
    assert_eq!(applied, pending);
    assert_eq!(finished, pending);
    let store = store::open(options).await.unwrap();
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
        prompts: vec![PromptRow {
            id: Uuid::now_v7(),
            started_at: at,
            prompt: "a\0b".to_owned(),
            answer: None,
        }],
    });
    store.write_rows(Arc::clone(&batch)).await.unwrap();
    store.write_rows(batch).await.unwrap();
    assert_eq!(counter.number("SELECT count(*) FROM usage WHERE prompt_tokens = 12"), 50);
    assert_eq!(counter.number("SELECT count(*) FROM access"), 2);
    assert_eq!(counter.number("SELECT count(*) FROM prompts WHERE answer IS NULL"), 1);

    let last_use = async || store.keys().await.unwrap()[1].last_used_at;
    assert_eq!(last_use().await, Some(at));
    for (moved, expected) in [(30, 0), (-600, 0), (61, 61)] {
        let at_then = at + SignedDuration::from_secs(moved);
        let row = with_key(usage(at_then));
        store
            .write_rows(Arc::new(RowBatch {
                usage: vec![row],
                access: vec![],
                ..RowBatch::default()
            }))
            .await
            .unwrap();
        assert_eq!(last_use().await, Some(at + SignedDuration::from_secs(expected)), "{moved} s");
    }
}

fn task(user: &str) -> RemoteTask {
    RemoteTask {
        id: Uuid::new_v4(),
        user: user.to_owned(),
        cluster: "sophia".to_owned(),
        framework: "sam3service".to_owned(),
        endpoint: "sophia-sam3service-sam3".to_owned(),
        model: "sam3".to_owned(),
        compute_endpoint: Uuid::new_v4(),
        submitted_at: now(),
        outcome: None,
    }
}

async fn tasks_are_read_by_one_at_a_time(store: &Arc<dyn Store>) {
    let lease = Duration::from_mins(1);
    let (one, other) = (task("ada"), task("ada"));
    for task in [&one, &other] {
        store.add_task(task).await.unwrap();
    }
    assert_eq!(store.task("ada", one.id).await.unwrap(), Some(one.clone()));
    assert_eq!(store.task("bob", one.id).await.unwrap(), None, "nobody else's business");

    let contenders = (0..20).map(|_| {
        let (store, id) = (Arc::clone(store), one.id);
        tokio::spawn(async move { store.lease_task(id, lease).await.unwrap() })
    });
    let mut winners = 0;
    for contender in contenders.collect::<Vec<_>>() {
        winners += u32::from(contender.await.unwrap());
    }
    assert_eq!(winners, 1);
    let rest = store.lease_tasks(lease, 10).await.unwrap();
    assert_eq!(rest, std::slice::from_ref(&other), "the first is leased already");
    store.rest_tasks(&[one.id, other.id], Duration::ZERO).await.unwrap();
    assert_eq!(store.lease_tasks(lease, 1).await.unwrap().len(), 1);
    assert_eq!(store.lease_tasks(lease, 10).await.unwrap().len(), 1);

    let done = TaskOutcome::Done(r#"{"masks":[]}"#.to_owned());
    assert!(store.finish_task(one.id, &done).await.unwrap());
    let late = TaskOutcome::Failed("too late".to_owned());
    assert!(!store.finish_task(one.id, &late).await.unwrap(), "the first word counts");
    assert_eq!(store.task("ada", one.id).await.unwrap().unwrap().outcome, Some(done));
    store.rest_tasks(&[one.id], Duration::ZERO).await.unwrap();
    assert!(!store.lease_task(one.id, lease).await.unwrap(), "there is nothing left to ask");
    let after_all = TaskOutcome::Done("[7]".to_owned());
    for (outcome, taken) in [(&late, true), (&late, false), (&after_all, true), (&after_all, false)]
    {
        assert_eq!(store.finish_task(other.id, outcome).await.unwrap(), taken, "{outcome:?}");
    }
    assert_eq!(store.task("ada", other.id).await.unwrap().unwrap().outcome, Some(after_all));
    assert!(!store.lease_task(Uuid::new_v4(), lease).await.unwrap());
}

async fn tasks_are_forgotten_in_time(store: &dyn Store, counter: &Counter<'_>) {
    let long = Duration::from_hours(24);
    store.add_task(&task("ada")).await.unwrap();
    let count = || counter.number("SELECT count(*) FROM tasks");
    let before = count();
    let abandoned =
        RemoteTask { submitted_at: now() - SignedDuration::from_hours(48), ..task("ada") };
    store.add_task(&abandoned).await.unwrap();
    assert_eq!(store.prune_tasks(long, long).await.unwrap(), 1);
    assert_eq!((count(), before), (before, 3));
    assert_eq!(store.prune_tasks(Duration::ZERO, long).await.unwrap(), 2, "those that have ended");
    assert_eq!(count(), 1);
}

async fn many_callers_share_the_store(store: &Arc<dyn Store>) {
    let callers = (0..40).map(|_| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            for _ in 0..10 {
                store.catalog().await.unwrap();
                let rows = RowBatch {
                    usage: vec![usage(now())],
                    access: Vec::new(),
                    ..RowBatch::default()
                };
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
