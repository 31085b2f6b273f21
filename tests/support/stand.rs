//! A gateway with everything it may depend on, each of which can be made to fail.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    fake::Fake,
    federation,
    full_disk::SmallDisk,
    gateway::{Gateway, Plan},
    globus::{FakeGlobus, researcher},
    postgres::{Postgres, as_service_user},
    redis::Redis,
    requests::chat,
};

/// The model, which is on two clusters.
const MODEL: &str = "m";

/// A login that is known from before.
const KNOWN: &str = "a-known-token";

/// The gateway, and what stands behind it.
pub struct Stand {
    pub gateway: Gateway,
    pub postgres: Postgres,
    pub redis: Redis,
    pub globus: FakeGlobus,
    pub fakes: Vec<Fake>,
    /// Where the database keeps its tables.
    pub tables: SmallDisk,
    /// Where the gateway keeps its spool.
    pub state: SmallDisk,
    client: reqwest::Client,
    newcomers: AtomicU32,
}

impl Stand {
    /// All is well, backups and all.
    pub async fn start(change: impl FnOnce(Plan) -> Plan) -> Self {
        Self::start_with(change, |_| {}).await
    }

    /// The same; `before` may do something to the gateway before it serves.
    pub async fn start_with(
        change: impl FnOnce(Plan) -> Plan,
        before: impl FnOnce(&mut Gateway),
    ) -> Self {
        let (tables, state) = (SmallDisk::of_mib(64), SmallDisk::of_mib(8));
        let postgres = Postgres::start_new();
        let place = tables.path().join("tables");
        // Its owner must be whom the server runs as.
        let made = as_service_user(Path::new("/bin/mkdir")).arg(&place).status();
        assert!(made.expect("mkdir runs").success());
        let place = place.display();
        postgres.query("postgres", &format!("CREATE TABLESPACE small LOCATION '{place}'"));
        postgres.query("postgres", "CREATE DATABASE stand TABLESPACE small");
        let (redis, globus) = (Redis::start_new(), FakeGlobus::start());
        let fakes: Vec<_> = (0..2).map(|_| Fake::start()).collect();
        let backups = "backup:\n  directory: backups\n  objectives: {rpo: 3h}\n";
        let settings = format!("{}{backups}", globus.config_yaml());
        let plan = Plan::in_front_of("http://127.0.0.1:9/v1")
            .database(postgres.url("stand"))
            .settings(&settings)
            .set("cache.redis_url", &redis.url())
            .set("server.state_dir", &state.path().display().to_string())
            .set("gateway.attempt_timeout", "500ms")
            .set("health.endpoint_timeout", "2s");
        let mut gateway = change(plan).prepare();
        let file = gateway.directory().join("federation.yaml");
        fs::write(&file, federation::catalogue(&fakes, |_| json!({}))).expect("the catalogue");
        gateway.run(&["fixtures", "load", file.to_str().expect("a path in UTF-8")]);
        gateway.run(&["backup"]);
        gateway.run(&["backup", "drill"]);
        globus.token(KNOWN, researcher("ada@anl.gov"));
        before(&mut gateway);
        gateway.serve_unseen();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .tls_danger_accept_invalid_certs(true)
            .no_proxy()
            .timeout(Duration::from_secs(30));
        let client = client.build().expect("a client");
        let newcomers = AtomicU32::new(0);
        let stand =
            Self { gateway, postgres, redis, globus, fakes, tables, state, client, newcomers };
        assert_eq!(stand.ask_with(KNOWN).await, 200, "the login becomes known");
        stand
    }

    fn url(&self, path: &str) -> String {
        let scheme = if self.gateway.directory().join("certificate.pem").exists() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}{path}", self.gateway.address())
    }

    /// Status, body and time of a question that needs no credentials.
    pub async fn probe(&self, path: &str) -> (u16, Value, Duration) {
        let begun = Instant::now();
        let answer = self.client.get(self.url(path)).send().await.expect("the gateway answers");
        let status = answer.status().as_u16();
        let body = answer.bytes().await.expect("a body");
        (status, serde_json::from_slice(&body).expect("JSON"), begun.elapsed())
    }

    /// The status of a request for the model.
    pub async fn ask_with(&self, token: &str) -> u16 {
        let url = self.url("/v1/chat/completions");
        let request = self.client.post(url).bearer_auth(token).json(&chat(MODEL));
        request.send().await.expect("the gateway answers").status().as_u16()
    }

    /// What becomes of a caller with a key, one whose login is known, and one whose is new.
    pub async fn fates(&self) -> [u16; 3] {
        let number = self.newcomers.fetch_add(1, Ordering::Relaxed);
        let newcomer = format!("new-token-{number}");
        self.globus.token(&newcomer, researcher(&format!("new-{number}@anl.gov")));
        [
            self.ask_with(self.gateway.key()).await,
            self.ask_with(KNOWN).await,
            self.ask_with(&newcomer).await,
        ]
    }

    /// The word of `/ready`, and the checks there that are not ok.
    pub async fn readiness(&self) -> (u16, String, BTreeSet<String>) {
        let (status, body, _) = self.probe("/ready").await;
        let word = body["status"].as_str().unwrap_or_default().to_owned();
        (status, word, not_ok(&body))
    }

    /// The exit status of `figw health`, the checks that are not ok, what it said, and its time.
    pub fn health(&self, arguments: &[&str]) -> (i32, BTreeSet<String>, Value, Duration) {
        let begun = Instant::now();
        let mut command = self.gateway.command();
        command.args(["--output", "json", "health"]).args(arguments).stdin(Stdio::null());
        let output = command.output().expect("figw runs");
        let took = begun.elapsed();
        let report: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {output:?}"));
        (output.status.code().expect("an exit status"), not_ok(&report), report, took)
    }
}

fn not_ok(report: &Value) -> BTreeSet<String> {
    let checks = report["checks"].as_array().into_iter().flatten();
    let troubled = checks.filter(|check| check["state"] != "ok");
    troubled.filter_map(|check| check["name"].as_str().map(str::to_owned)).collect()
}
