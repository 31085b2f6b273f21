//! PostgreSQL's primary is lost under load, and a promoted replica takes its place.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]
#![allow(clippy::print_stdout, reason = "what was measured, for whoever asks with --nocapture")]

mod support;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use figw::store::{self, RowBatch, Store, StoreError, StoreOptions};
use support::{
    client::Caller,
    fake::Fake,
    forwarder::Forwarder,
    gateway::{Gateway, Plan},
    load::{Load, Outcome, assert_all_answered},
    outage::{PATIENCE, assert_each_has_one_row, becomes_ready_as, check_says},
    postgres::{PgBouncer, Postgres},
    requests::chat,
    samples::{migrated, now, options, usage},
};
use tokio::time::sleep;

const MODEL: &str = "fake-model";
const PER_SECOND: u32 = 50;

/// How the gateway comes to the database.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Straight,
    ThroughPgBouncer,
}

/// A gateway whose database has a replica, at an address that can be led elsewhere.
struct Site {
    primary: Postgres,
    replica: Postgres,
    address: Forwarder,
    _bouncer: Option<PgBouncer>,
    _fake: Fake,
    gateway: Gateway,
}

impl Site {
    fn start(way: Way) -> Self {
        let primary = Postgres::start_new();
        primary.create_database("figw");
        let replica = primary.start_replica();
        let address = Forwarder::to(primary.port());
        let direct = format!("postgres://figw:unused-secret@127.0.0.1:{}/figw", address.port());
        let bouncer =
            (way == Way::ThroughPgBouncer).then(|| PgBouncer::start_before_port(address.port()));
        let url = bouncer.as_ref().map_or_else(|| direct.clone(), |pooler| pooler.url("figw"));
        let fake = Fake::start();
        let gateway = Plan::in_front_of(fake.api_url())
            .database(url)
            .set("database.migration_url", &direct)
            .set("database.statement_timeout", "5s")
            .models([MODEL])
            .start();
        replica.wait_for(&primary);
        Self { primary, replica, address, _bouncer: bouncer, _fake: fake, gateway }
    }

    fn load(&self) -> Load {
        Load::start(&Caller::of(&self.gateway), MODEL, PER_SECOND)
    }

    /// Promotes the replica and leads the address to it.
    fn fail_over(&mut self) -> Instant {
        self.replica.promote();
        let promoted = Instant::now();
        self.address.lead_to(self.replica.port());
        promoted
    }

    /// Nobody has noticed anything, and the books are complete.
    async fn ends_well(&self, load: Load, promoted: Instant) {
        becomes_ready_as(&self.gateway, "ready").await;
        println!("ready {:?} after the promotion", promoted.elapsed());
        an_edit_arrives(&self.gateway).await;
        let outcomes = load.stop().await;
        assert_all_answered(&outcomes);
        assert_each_has_one_row(&self.gateway, &with_the_new_key_s(outcomes, &self.gateway));
    }
}

/// A key that is made now is soon let in.
async fn an_edit_arrives(gateway: &Gateway) {
    let caller = Caller::of(gateway).with_key(&gateway.create_key("newcomer@example.org"));
    let made = Instant::now();
    while caller.ask("chat/completions", &chat(MODEL)).await.status != 200 {
        assert!(made.elapsed() < Duration::from_secs(5), "a new key does not reach the gateway");
        sleep(Duration::from_millis(50)).await;
    }
}

/// The load's requests with the one that [`an_edit_arrives`] has made.
fn with_the_new_key_s(mut outcomes: Vec<Outcome>, gateway: &Gateway) -> Vec<Outcome> {
    let given_up = Instant::now() + PATIENCE;
    loop {
        let rows = gateway.usage();
        if let Some(row) = rows.iter().find(|row| row.username == "newcomer@example.org") {
            let answer = Ok((200, row.request_id.clone()));
            outcomes.push(Outcome { at: Instant::now(), took: Duration::ZERO, answer });
            return outcomes;
        }
        assert!(Instant::now() < given_up, "no row of the new key's");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The address refuses at first, leads to what is still a replica then, and at last to a primary.
async fn a_replica_takes_the_primary_s_place(way: Way) {
    let mut site = Site::start(way);
    let load = site.load();
    sleep(Duration::from_secs(3)).await;
    site.primary.pull_the_plug();
    site.address.refuse().await;
    becomes_ready_as(&site.gateway, "degraded").await;
    sleep(Duration::from_secs(3)).await;

    site.address.lead_to(site.replica.port());
    check_says(&site.gateway, "database", "takes no writes").await;
    sleep(Duration::from_secs(3)).await;
    check_says(&site.gateway, "database", "takes no writes").await;
    check_says(&site.gateway, "rows", "wait in the spool").await;

    let promoted = site.fail_over();
    site.ends_well(load, promoted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_takes_the_primary_s_place_straight() {
    a_replica_takes_the_primary_s_place(Way::Straight).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_takes_the_primary_s_place_through_pgbouncer() {
    a_replica_takes_the_primary_s_place(Way::ThroughPgBouncer).await;
}

/// Replication is asynchronous: the primary says that rows are kept which the replica has not
/// received.
async fn rows_that_the_replica_never_received_arrive_all_the_same(way: Way) {
    let mut site = Site::start(way);
    let load = site.load();
    sleep(Duration::from_secs(3)).await;
    site.replica.cut_off();
    sleep(Duration::from_secs(4)).await;
    let count = |server: &Postgres| -> u64 {
        server.query("figw", "SELECT count(*) FROM usage").parse().unwrap()
    };
    let (kept, received) = (count(&site.primary), count(&site.replica));
    assert!(kept > received + u64::from(PER_SECOND), "{received} of {kept} rows received");
    site.primary.pull_the_plug();
    let promoted = site.fail_over();
    while !site.gateway.log().contains("its last rows are written again") {
        assert!(promoted.elapsed() < PATIENCE, "nothing is written again");
        sleep(Duration::from_millis(20)).await;
    }
    site.ends_well(load, promoted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_the_replica_never_received_arrive_straight() {
    rows_that_the_replica_never_received_arrive_all_the_same(Way::Straight).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_the_replica_never_received_arrive_through_pgbouncer() {
    rows_that_the_replica_never_received_arrive_all_the_same(Way::ThroughPgBouncer).await;
}

/// The primary hangs with its connections open, and nobody closes them when another takes over.
async fn a_primary_that_hangs_is_left_behind(way: Way) {
    let mut site = Site::start(way);
    let load = site.load();
    sleep(Duration::from_secs(2)).await;
    site.primary.freeze();
    becomes_ready_as(&site.gateway, "degraded").await;
    sleep(Duration::from_secs(2)).await;
    let promoted = site.fail_over();
    site.ends_well(load, promoted).await;
    site.primary.pull_the_plug();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_hangs_is_left_behind_straight() {
    a_primary_that_hangs_is_left_behind(Way::Straight).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_hangs_is_left_behind_through_pgbouncer() {
    a_primary_that_hangs_is_left_behind(Way::ThroughPgBouncer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_hung_for_a_while_goes_on() {
    let site = Site::start(Way::Straight);
    let load = site.load();
    sleep(Duration::from_secs(2)).await;
    site.primary.freeze();
    becomes_ready_as(&site.gateway, "degraded").await;
    sleep(Duration::from_secs(6)).await;
    site.primary.thaw();
    site.ends_well(load, Instant::now()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_hosts_the_one_that_takes_writes_is_found() {
    let mut primary = Postgres::start_new();
    primary.create_database("figw");
    let replica = primary.start_replica();
    let url = |first: &Postgres, second: &Postgres| {
        let (first, second) = (first.port(), second.port());
        format!(
            "postgres://figw:unused-secret@127.0.0.1:{first},127.0.0.1:{second}/figw\
             ?target_session_attrs=read-write&connect_timeout=2"
        )
    };
    let fake = Fake::start();
    let gateway = Plan::in_front_of(fake.api_url())
        .database(url(&replica, &primary))
        .set("database.statement_timeout", "5s")
        .models([MODEL])
        .start();
    replica.wait_for(&primary);
    let load = Load::start(&Caller::of(&gateway), MODEL, PER_SECOND);
    sleep(Duration::from_secs(2)).await;
    // It takes connections and says nothing on them.
    primary.freeze();
    becomes_ready_as(&gateway, "degraded").await;
    replica.promote();
    let promoted = Instant::now();
    becomes_ready_as(&gateway, "ready").await;
    println!("ready {:?} after the promotion", promoted.elapsed());
    an_edit_arrives(&gateway).await;
    let outcomes = load.stop().await;
    assert_all_answered(&outcomes);
    assert_each_has_one_row(&gateway, &with_the_new_key_s(outcomes, &gateway));
    primary.pull_the_plug();
}

async fn write(store: &Arc<dyn Store>) -> Result<Option<u32>, StoreError> {
    store
        .write_rows(Arc::new(RowBatch {
            usage: vec![usage(now())],
            access: vec![],
            ..RowBatch::default()
        }))
        .await
}

/// The address has moved on, but connections still lead to a server that takes no writes and is
/// otherwise well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_a_demoted_server_are_dropped() {
    let primary = Postgres::start_new();
    let direct = primary.create_database("figw");
    migrated(&options(&direct)).await;
    let replica = primary.start_replica();
    let mut address = Forwarder::to(replica.port());
    let url = format!("postgres://figw@127.0.0.1:{}/figw", address.port());
    let store = store::open(&options(&url)).await.unwrap();

    // Four connections, all of them to the replica.
    let busy = std::iter::repeat_with(|| store.keys()).take(4);
    for keys in futures_util::future::join_all(busy).await {
        assert!(keys.unwrap().is_empty(), "reading works");
    }
    address.lead_to(primary.port());
    let refused = write(&store).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Unavailable { .. }), "{refused}");
    assert!(refused.to_string().contains("25006"), "{refused}");
    for _ in 0..4 {
        write(&store).await.unwrap();
    }

    // The same found out by reading alone.
    address.lead_to(replica.port());
    let store = store::open(&options(&url)).await.unwrap();
    let busy = std::iter::repeat_with(|| store.keys()).take(4);
    futures_util::future::join_all(busy).await;
    let refused = store.catalog_version().await.unwrap_err();
    assert!(refused.to_string().contains("takes no writes"), "{refused}");
    address.lead_to(primary.port());
    for _ in 0..4 {
        store.catalog_version().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_silent_answer_is_enough_to_leave_a_dead_server() {
    let mut dead = Postgres::start_new();
    let direct = dead.create_database("figw");
    migrated(&options(&direct)).await;
    let alive = Postgres::start_new();
    migrated(&options(&alive.create_database("figw"))).await;
    let mut address = Forwarder::to(dead.port());
    let url = format!("postgres://figw@127.0.0.1:{}/figw", address.port());
    let options = StoreOptions { statement_timeout: Duration::from_secs(2), ..options(&url) };
    let store = store::open(&options).await.unwrap();
    let busy = std::iter::repeat_with(|| store.keys()).take(4);
    futures_util::future::join_all(busy).await;
    dead.freeze();
    address.lead_to(alive.port());
    let begun = Instant::now();
    store.ping().await.unwrap_err();
    for _ in 0..4 {
        store.ping().await.unwrap();
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());

    // Whoever stops waiting leaves no connection behind on which an answer is still to come.
    address.lead_to(dead.port());
    let store = store::open(&options).await.unwrap();
    dead.thaw();
    store.ping().await.unwrap();
    dead.freeze();
    let patience = Duration::from_millis(1_200);
    tokio::time::timeout(patience, store.ping()).await.unwrap_err();
    address.lead_to(alive.port());
    store.ping().await.unwrap();
    dead.pull_the_plug();
}

#[tokio::test]
async fn a_connection_does_not_outlive_its_time() {
    let server = Postgres::start_new();
    let url = server.create_database("figw");
    let connection_lifetime = Duration::from_millis(300);
    let store = migrated(&StoreOptions { connection_lifetime, ..options(&url) }).await;
    let pids = async || {
        store.ping().await.unwrap();
        let query = "SELECT string_agg(pid::text, ' ' ORDER BY pid) FROM pg_stat_activity \
                     WHERE application_name = 'figw'";
        server.query("figw", query)
    };
    let first = pids().await;
    assert_eq!(pids().await, first, "one connection, used again");
    sleep(connection_lifetime).await;
    assert_ne!(pids().await, first);
}

#[tokio::test]
async fn a_server_that_hides_its_timeline_takes_rows_all_the_same() {
    let server = Postgres::start_new();
    let url = server.create_database("figw");
    migrated(&options(&url)).await;
    for statement in [
        "CREATE ROLE guest LOGIN",
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO guest",
        "REVOKE EXECUTE ON FUNCTION pg_walfile_name(pg_lsn) FROM PUBLIC",
    ] {
        server.query("figw", statement);
    }
    let as_guest = url.replace("figw:unused-secret@", "guest@");
    let store = store::open(&options(&as_guest)).await.unwrap();
    assert_eq!(write(&store).await.unwrap(), None);
    assert_eq!(server.query("figw", "SELECT count(*) FROM usage"), "1");
    let store = store::open(&options(&url)).await.unwrap();
    assert_eq!(write(&store).await.unwrap(), Some(1));
}
