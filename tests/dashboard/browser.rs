//! The dashboard in a real Chromium, with a million requests in PostgreSQL.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    plan,
    support::{
        backups::eventually,
        fake::Fake,
        globus_auth::Globus,
        postgres::{Postgres, psql},
    },
};

/// A million requests over a year, more of them lately: a thousand users, twenty models, three
/// clusters, one failure in twenty.
const REQUESTS: &str = "\
INSERT INTO usage (id, request_id, started_at, username, cluster, framework, endpoint, model, route, \
    streamed, status, backend_status, prompt_tokens, completion_tokens, tokens_estimated, \
    first_byte_us, duration_us, request_bytes, response_bytes, error) \
SELECT (lpad(to_hex(floor(extract(epoch FROM t) * 1000)::bigint), 12, '0') || '7' \
        || lpad(to_hex(n % 4096), 3, '0') || '8' || lpad(to_hex(n), 15, '0'))::uuid, \
    'request-' || n, t, 'user' || (n * 7919) % 1000 || '@anl.gov', 'c' || model % 3, 'vllm', \
    'c' || model % 3 || '-vllm-model-' || model, 'model-' || model, \
    CASE WHEN n % 10 = 0 THEN 'embeddings' ELSE 'chat/completions' END, n % 2 = 0, status, status, \
    100 + n % 900, 10 + n % 500, false, 20000 + (n * 31) % 400000 * (1 + model), \
    100000 + (n * 37) % 4000000 * (1 + model), 1000, 4000, \
    CASE WHEN status < 400 THEN NULL ELSE 'the back end answered ' || status END \
FROM (SELECT n, now() - interval '365 days' * power((n % 99991) / 99991.0, 2) - interval '1 second' * (n / 99991) AS t, \
          (n * 31) % 20 AS model, CASE n % 40 WHEN 0 THEN 400 WHEN 1 THEN 502 ELSE 200 END AS status \
      FROM generate_series(1::bigint, 1000000) AS n) AS made";

const BATCHES: &str = "\
INSERT INTO batches (id, username, cluster, framework, endpoint, model, compute_endpoint, input_file, \
    status, created_at, submit_by, submitted_at, finished_at, error, total_tokens, responses) \
SELECT ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'user' || n || '@anl.gov', 'c1', \
    'vllm', 'c1-vllm-model-1', 'model-1', '00000000-0000-4000-8000-000000000001', \
    '/eagle/projects/user' || n || '/requests.jsonl', CASE WHEN n % 7 = 0 THEN 'failed' ELSE 'completed' END, \
    now() - interval '1 hour' * n, now(), now() - interval '1 hour' * n, now() - interval '1 minute' * n, \
    CASE WHEN n % 7 = 0 THEN 'The job ran out of time on its node.' END, 1000 * n, 10 * n \
FROM generate_series(1, 80) AS n";

#[test]
fn a_million_requests_in_a_real_browser() {
    let postgres = Postgres::start_new_with(&[
        ("fsync", "off"),
        ("synchronous_commit", "off"),
        ("max_wal_size", "4GB"),
        ("shared_buffers", "256MB"),
    ]);
    let globus = Globus::start();
    globus.know_member("token-of-ada", "ada@anl.gov");
    globus.web().token = Some("token-of-ada".into());
    let fake = Fake::start();
    let mut gateway = plan(&fake)
        .database(postgres.create_database("figw"))
        .settings(&globus.settings())
        .prepare();
    gateway.set_variable("FIGW_DASHBOARD__PUBLIC_URL", &gateway.url());
    let key = gateway.create_key_with(&[
        "--name",
        "o",
        "--user",
        "olga@anl.gov",
        "--groups",
        "operators",
    ]);
    psql(gateway.database(), REQUESTS);
    psql(gateway.database(), BATCHES);
    psql(gateway.database(), "VACUUM ANALYZE");
    gateway.serve();
    let pending = || gateway.count("SELECT count(*) FROM usage_pending");
    eventually(Duration::from_mins(2), || pending() == 0);

    let own = TempDir::new().unwrap();
    let screenshots = env::var_os("FIGW_SCREENSHOTS").map_or(own.path().to_owned(), PathBuf::from);
    let output = python()
        .env("FIGW_URL", gateway.url())
        .env("FIGW_GLOBUS", globus.url())
        .env("FIGW_KEY", &key)
        .env("FIGW_SCREENSHOTS", &screenshots)
        .output()
        .expect("Python runs; scripts/test prepares it, or FIGW_TEST_BROWSER_PYTHON names one");
    let (said, log) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("milliseconds from navigation to load: {said}");
    assert!(output.status.success(), "{log}");
    let took: Value = serde_json::from_str(&said).unwrap();
    assert!(took["light"].as_object().unwrap().len() > 30);
    let pictures = std::fs::read_dir(&screenshots).unwrap().count();
    assert!(pictures >= 20, "screenshots in both colour schemes");
}

/// Python with what drives a browser, and its script.
fn python() -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = env::var_os("FIGW_TEST_BROWSER_PYTHON")
        .map_or_else(|| root.join(".venv-browser/bin/python"), PathBuf::from);
    let mut command = Command::new(python);
    command.arg("-B").arg(root.join("tests/dashboard/browser.py")).env("NO_PROXY", "*");
    command
}
