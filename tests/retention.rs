//! Rows that have become too old go while requests are served, and their sums stay.
//!
//! `RETENTION_ROWS` says how many rows there are, nine tenths of which fall due; with 1000000 and
//! `--release -- --nocapture` the figures of the README are measured.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test, which tells what it measures"
)]

mod support;

use std::{
    fs,
    time::{Duration, Instant},
};

use support::{
    client::Caller,
    fake::Fake,
    gateway::{Gateway, Plan},
    load::{Load, Outcome, assert_all_answered},
    postgres::{Postgres, psql},
};
use tokio::time::sleep;

/// Requests a second that are sent meanwhile.
const RATE: u32 = 100;

/// How long it is measured before and after.
const QUIET: Duration = Duration::from_secs(8);

fn rows() -> u32 {
    std::env::var("RETENTION_ROWS").map_or(60_000, |rows| rows.parse().unwrap())
}

/// Rows of the last hundred days, spread evenly. `id`, `time` and `series` are how the database says it.
fn insert(rows: u32, id: &str, time: &str, series: &str) -> String {
    format!(
        "INSERT INTO usage (id, request_id, started_at, username, cluster, framework, endpoint, model, \
         route, streamed, status, prompt_tokens, completion_tokens, tokens_estimated, first_byte_us, \
         duration_us, request_bytes, response_bytes) \
         SELECT {id}, 'r' || n, {time}, 'user' || (n % 200), 'sophia', 'vllm', 'e' || (n % 10), 'm' || (n % 10), \
         'chat/completions', {false_}, CASE WHEN n % 50 = 0 THEN 502 ELSE 200 END, 100, 200, {false_}, \
         5000 + n % 1000, 900000 + n, 500, 900 FROM {series}",
        false_ = if series.contains("generate_series(") { "false" } else { "0" },
    )
    .replace("ROWS", &rows.to_string())
}

fn p99(outcomes: &[Outcome], from: Instant, until: Instant) -> Duration {
    let within = outcomes.iter().filter(|one| one.at >= from && one.at < until);
    let mut times: Vec<_> = within.map(|one| one.took).collect();
    times.sort_unstable();
    assert!(times.len() > 100, "{} requests", times.len());
    times[times.len() * 99 / 100]
}

/// Turns retention on, and waits until no row is left that is due.
async fn retain(gateway: &Gateway) -> (Instant, Instant) {
    let configuration = gateway.directory().join("config.yaml");
    let text = fs::read_to_string(&configuration).unwrap();
    let begun = Instant::now();
    fs::write(&configuration, text.replace("usage: null", "usage: 10d")).unwrap();
    gateway.signal("HUP");
    let given_up = begun + Duration::from_mins(20);
    // Asking the database would be a load of its own.
    while !gateway.log().contains("old rows were deleted") {
        assert!(Instant::now() < given_up, "retention does not come to an end\n{}", gateway.log());
        sleep(Duration::from_millis(500)).await;
    }
    (begun, Instant::now())
}

async fn story(gateway: &Gateway, rows: u32) {
    let requests = || gateway.count("SELECT coalesce(sum(requests), 0) FROM usage_daily");
    let given_up = Instant::now() + Duration::from_mins(10);
    while requests() < rows as usize {
        assert!(Instant::now() < given_up, "{} rows are summed up", requests());
        sleep(Duration::from_secs(1)).await;
    }
    let load = Load::start(&Caller::of(gateway), "fake-model", RATE);
    sleep(Duration::from_secs(2)).await;
    let measured_from = Instant::now();
    let memory = gateway.resident_kib();
    sleep(QUIET).await;
    let (begun, done) = retain(gateway).await;
    let grown = gateway.resident_kib().saturating_sub(memory);
    sleep(QUIET).await;
    let outcomes = load.stop().await;
    assert_all_answered(&outcomes);

    let quiet = p99(&outcomes, measured_from, begun).max(p99(&outcomes, done, Instant::now()));
    let busy = p99(&outcomes, begun, done.max(begun + Duration::from_secs(2)));
    println!(
        "{rows} rows, {:?} for nine tenths; p99 {busy:?} meanwhile, {quiet:?} otherwise; {grown} KiB more",
        done - begun
    );
    let still = gateway.count("SELECT count(*) FROM usage WHERE cluster = 'sophia'");
    let kept = rows as usize / 10;
    assert!(still <= kept && still + rows as usize / 1000 > kept, "{still} rows are left");
    assert!(requests() >= rows as usize, "their sums stay");
    assert!(grown < 32 * 1024, "{grown} KiB");
    // On a machine that does other things, too; the figure to be held is a fifth more.
    assert!(busy < quiet * 6 / 5 + Duration::from_millis(30), "{busy:?} instead of {quiet:?}");
    let report = gateway.run(&["usage", "--by", "cluster", "--since", "101d", "--output", "csv"]);
    assert!(report.contains(&format!("\nsophia,200,{rows},")), "{report}");
}

fn plan(fake: &Fake) -> Plan {
    Plan::in_front_of(fake.api_url())
        .models(["fake-model"])
        .settings("retention: {usage: null, every: 1s}\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_rows_go_from_postgresql_while_requests_are_served() {
    let (fake, postgres) = (Fake::start(), Postgres::start_new());
    let gateway = plan(&fake).database(postgres.create_database("retention")).start();
    psql(
        gateway.database(),
        &insert(
            rows(),
            "gen_random_uuid()",
            "now() - interval '100 days' * (1 - (n - 0.5) / ROWS)",
            "generate_series(1, ROWS) AS n",
        ),
    );
    story(&gateway, rows()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_rows_go_from_sqlite_while_requests_are_served() {
    let fake = Fake::start();
    let gateway = plan(&fake).start();
    let path = gateway.database().strip_prefix("sqlite:").unwrap().to_owned();
    let database = rusqlite::Connection::open(path).unwrap();
    database.busy_timeout(Duration::from_secs(20)).unwrap();
    let rows = rows() / 10;
    let series = "(WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers \
         WHERE n < ROWS) SELECT n FROM numbers)";
    let time =
        "CAST((unixepoch('subsec') - 8640000 * (1 - (n - 0.5) / ROWS)) * 1000000 AS INTEGER)";
    database.execute_batch(&insert(rows, "randomblob(16)", time, series)).unwrap();
    drop(database);
    story(&gateway, rows).await;
}
