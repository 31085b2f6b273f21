//! `figw doctor` before a careless deployment, in which it finds each planted fault by name, and before
//! a careful one, in which it finds none.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod support;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use support::{
    backups::{Said, age_key},
    certificates::write_certificate,
    checklist::Report,
    fake::Fake,
    gateway::{Gateway, Plan},
    globus::{
        APPLICATION_ID, APPLICATION_SECRET, COMPUTE_CLIENT_ID, COMPUTE_CLIENT_SECRET, FakeGlobus,
        Service,
    },
    ports::free_port,
    postgres::{PgBouncer, Postgres},
    redis::Redis,
};

/// A directory with programs of a firewall of which one lets everything through, as Docker's own does,
/// and the other is not in use: what this machine really has is its owner's business.
fn open_firewall(directory: &Path) -> String {
    let place = directory.join("firewall");
    fs::create_dir(&place).unwrap();
    let listed = serde_json::json!({"nftables": [
        {"metainfo": {"json_schema_version": 1}},
        {"table": {"family": "ip", "name": "filter", "handle": 1}},
        {"chain": {"family": "ip", "table": "filter", "name": "INPUT", "handle": 1, "type": "filter",
            "hook": "input", "prio": 0, "policy": "accept"}},
    ]});
    for (name, says) in [("nft", listed.to_string()), ("ufw", "Status: inactive".to_owned())] {
        fs::write(place.join(name), format!("#!/bin/sh\ncat <<'END'\n{says}\nEND\n")).unwrap();
        set_mode(&place.join(name), 0o755);
    }
    format!("{}:{}", place.display(), std::env::var("PATH").unwrap())
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

const GUESSED: &str = "password1";

#[test]
fn a_careless_deployment() {
    let (postgres, globus) = (Postgres::start_new(), FakeGlobus::start());
    let redis = Redis::start_new_at("0.0.0.0", &["--protected-mode", "no"]);
    let database = postgres.create_database("careless").replace("unused-secret", GUESSED);
    let echo = serde_json::json!([
        {"model": "resource_server_async.cluster", "fields": {
            "cluster_name": "toys", "frameworks": ["api"], "openai_endpoints": ["chat/completions"],
            "cluster_adapter": "resource_server_async.clusters.direct_api.DirectAPICluster",
            "config": {}}},
    ]);
    let settings = format!(
        "{}cache:\n  redis_url: {}\nlogging: {{level: debug, prompts: full}}\n\
         retention: {{prompts: null}}
\
         dashboard: {{public_url: 'http://gateway.example.org', session_secret: {}}}
\
         limits: {{requests_per_second_per_user: 0}}
",
        globus.config_yaml(),
        redis.url(),
        "a".repeat(40)
    );
    let plan = Plan::in_front_of("http://127.0.0.1:9/v1").models(["m"]).database(database);
    let plan = plan.settings(&settings).entries(echo.as_array().unwrap().clone());
    let plan =
        plan.set("health.disk_free_warning", "100%").set("health.disk_free_critical", "100%");
    let mut gateway = plan.set("server.admin_token", GUESSED).prepare();
    let parrot = "endpoint add --cluster toys --framework api --model parrot --adapter echo";
    gateway.run(&parrot.split(' ').collect::<Vec<_>>());
    let (public, admin) = (gateway.address().port(), gateway.admin_url());
    let admin = admin.rsplit(':').next().unwrap();
    for (name, value) in [
        ("FIGW_SERVER__LISTEN", format!("0.0.0.0:{public}")),
        ("FIGW_SERVER__ADMIN_LISTEN", format!("0.0.0.0:{admin}")),
        ("FIGW_SERVER__DRAIN_GRACE", "0s".to_owned()),
        ("FIGW_SERVER__MAX_CONNECTIONS", "1000000".to_owned()),
        ("FIGW_DATABASE__MAX_CONNECTIONS", "1000".to_owned()),
    ] {
        gateway.set_variable(name, &value);
    }
    let path = open_firewall(gateway.directory());
    gateway.set_variable("PATH", &path);
    set_mode(&gateway.directory().join("config.yaml"), 0o644);
    gateway.serve();
    // Whoever made the machine, and not figw, has made this directory.
    set_mode(&gateway.directory().join("state"), 0o777);

    let report = Report::of(gateway.command(), &[]);
    assert_eq!(report.status, Some(1));
    report.finds(&[
        ("secrets.outside", "fail", "auth.globus.application_secret"),
        ("secrets.permissions", "fail", "config.yaml has mode 0644"),
        ("secrets.strength", "fail", "server.admin_token is easy to guess"),
        ("secrets.strength", "fail", "database.url is easy to guess"),
        ("secrets.strength", "fail", "cache.redis_url has no password"),
        ("secrets.strength", "fail", "dashboard.session_secret is easy to guess"),
        ("tls.listener", "fail", "in plain text from the network"),
        (
            "tls.addresses",
            "fail",
            "dashboard.public_url: logins and sessions go to gateway.example.org",
        ),
        ("firewall.rules", "warn", "no rule keeps out anything"),
        ("firewall.admin", "warn", "can be reached from the network"),
        ("firewall.services", "fail", &format!("0.0.0.0:{} (cache.redis_url)", redis.port())),
        ("debug.log_level", "fail", "logging.level"),
        ("debug.prompts", "warn", "are stored for ever"),
        ("debug.retention", "warn", "are kept for ever"),
        ("debug.echo", "fail", "toys-api-parrot"),
        ("access.keys", "warn", "1 never end (test)"),
        ("limits.requests", "warn", "any number of requests"),
        ("limits.drain", "warn", "0s"),
        ("database.connections", "fail", "the server allows 100"),
        ("backup.age", "fail", "no backup at all"),
        ("backup.encrypted", "warn", "not encrypted"),
        ("backup.offsite", "warn", "this machine alone"),
        ("backup.drill", "warn", "there has been no drill"),
        ("redis.memory", "warn", "no limit"),
        ("system.files", "fail", "1000000 connections"),
        ("system.state_dir", "fail", "anybody may write there"),
        ("system.disk", "fail", "make room"),
        ("monitoring.metrics", "warn", "nobody has asked for /metrics"),
        ("monitoring.alerts", "warn", "nobody is told"),
        ("logs.collected", "warn", "text on a standard stream"),
        ("globus.openness", "warn", "everybody with a Globus account"),
        ("service.endpoints", "fail", "no endpoint is left for m"),
        ("attested.load_test", "fail", "nobody has attested"),
        ("attested.recovery_plan", "fail", "nobody has attested"),
        ("attested.firewall", "fail", "nobody has attested"),
        ("attested.on_call", "fail", "nobody has attested"),
    ]);
    let said = serde_json::to_string(&report.checks).unwrap();
    for secret in [GUESSED, APPLICATION_SECRET, COMPUTE_CLIENT_SECRET] {
        assert!(!said.contains(secret), "{secret} is repeated: {said}");
    }
    what_the_faults_above_hide(gateway, &postgres);
}

fn what_the_faults_above_hide(mut gateway: Gateway, postgres: &Postgres) {
    gateway.set_variable("FIGW_SERVER__TRUSTED_PROXIES", "[0.0.0.0/0]");
    gateway.set_variable("FIGW_DATABASE__URL", "sqlite:figw-dev/figw.db");
    for (variable, name) in [("FIGW_INSTANCES__0", "a"), ("FIGW_INSTANCES__1", "b")] {
        let instance = format!("{{name: {name}, url: http://{name}, admin_url: http://{name}:1}}");
        gateway.set_variable(variable, &instance);
    }
    let loose = gateway.directory().join("loose");
    fs::create_dir(&loose).unwrap();
    set_mode(&loose, 0o777);
    for (name, value) in [
        ("FIGW_BACKUP__DIRECTORY", "loose"),
        ("FIGW_BACKUP__OFFSITE_URL", &format!("file://{}", loose.join("copies").display())),
        ("FIGW_BACKUP__REPLICATION_URL", "postgres://repl:repl@192.0.2.1:5432,192.0.2.2/postgres"),
        ("FIGW_LOGGING__FILE", "/dev/null"),
        ("FIGW_ALERTS__WEBHOOK__URL", "http://hooks.example.org/services/T/B/secret"),
    ] {
        gateway.set_variable(name, value);
    }
    write_certificate(gateway.directory(), 1);
    gateway.set_variable("FIGW_SERVER__TLS__CERTIFICATE", "certificate.pem");
    gateway.set_variable("FIGW_SERVER__TLS__KEY", "key.pem");
    set_mode(&gateway.directory().join("key.pem"), 0o644);
    let short = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:1024", "-nodes", "-subj", "/CN=short", "-days", "1"])
        .args(["-keyout", "short-key.pem", "-out", "certificate.pem"])
        .current_dir(gateway.directory())
        .output()
        .unwrap();
    assert!(short.status.success(), "{short:?}");
    let only = [
        "proxies",
        "debug.database",
        "database.instances",
        "database.schema",
        "tls",
        "secrets",
        "database.encryption",
        "system.data",
        "backup.offsite",
        "logs.collected",
        "monitoring.alerts",
    ];
    let only: Vec<_> = only.iter().flat_map(|name| ["--only", name]).collect();
    let report = Report::of(gateway.command(), &only);
    report.finds(&[
        ("proxies.trusted", "fail", "0.0.0.0/0 is no list of proxies"),
        ("debug.database", "fail", "figw serve --dev"),
        ("database.instances", "fail", "a file of one machine"),
        ("database.schema", "fail", "does not exist"),
        ("tls.key", "fail", "1024 bits"),
        ("tls.certificate", "fail", "renew it"),
        ("secrets.permissions", "fail", "key.pem has mode 0644"),
        ("secrets.strength", "fail", "backup.replication_url is easy to guess"),
        ("database.encryption", "warn", "backup.replication_url goes to 192.0.2.2 in plain text"),
        ("tls.addresses", "fail", "alerts.webhook.url"),
        ("system.data", "fail", "loose has mode 0777"),
        ("backup.offsite", "warn", "on the same file system"),
        ("logs.collected", "fail", "/dev/null is a device"),
        ("monitoring.alerts", "warn", "has never run here"),
    ]);
    assert_eq!(report.outcome("tls.listener"), "pass");

    let pooler = PgBouncer::start_before(postgres);
    gateway.set_variable("FIGW_DATABASE__URL", &pooler.url("careless"));
    gateway.set_variable("FIGW_DATABASE__MIGRATION_URL", &postgres.url("careless"));
    let report = Report::of(gateway.command(), &["--only", "database.pooler"]);
    let pooler = &report.checks["database.pooler"];
    assert_eq!(pooler["evidence"], "PgBouncer's pool_mode is transaction", "{pooler}");
}

/// A gateway that runs as somebody who is nobody else; ended when dropped.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the gateway as a user without privileges, when the test has them.
fn serve_unprivileged(gateway: &Gateway) -> Serving {
    let directory = gateway.directory();
    let id = Command::new("id").arg("-u").output().unwrap();
    let log = fs::File::create(directory.join("serve.log")).unwrap();
    let mut command = if id.stdout.trim_ascii() == b"0" {
        // The build's own directory may be closed to others.
        fs::copy(env!("CARGO_BIN_EXE_figw"), directory.join("figw")).unwrap();
        let owned = Command::new("chown").args(["-R", "65534:65534"]).arg(directory).status();
        assert!(owned.unwrap().success());
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
        command.arg(directory.join("figw"));
        command
    } else {
        Command::new(env!("CARGO_BIN_EXE_figw"))
    };
    command.args(["--config", "careful.yaml", "serve"]).current_dir(directory);
    command.env("FAKE_BACKEND_KEY", support::gateway::BACKEND_KEY);
    Serving(command.stderr(log).stdin(Stdio::null()).spawn().unwrap())
}

/// The configuration of somebody who has thought of everything; their secrets stand in files of their
/// own.
fn write_careful(
    directory: &Path,
    offsite: &Path,
    globus: &FakeGlobus,
    (public, admin): (u16, u16),
) {
    let (identity, recipient) = age_key(directory, "backup.key");
    let config = format!(
        "server:\n  listen: 127.0.0.1:{public}\n  admin_listen: 127.0.0.1:{admin}\n  \
         state_dir: state\n  max_connections: 100\n  tls: {{certificate: certificate.pem, key: key.pem}}\n\
         database:\n  url: {{file: database-url}}\ncache:\n  redis_url: {{file: redis-url}}\n\
         auth:\n  globus:\n    application_id: {APPLICATION_ID}\n    \
         application_secret: {{file: application-secret}}\n    auth_url: {auth}\n    \
         groups_url: {groups}\n    authorized_idp_domains: [anl.gov]\n\
         globus_compute:\n  client_id: {COMPUTE_CLIENT_ID}\n  client_secret: {{file: compute-secret}}\n  \
         url: {compute}\nlimits: {{requests_per_second_per_user: 20}}\n\
         logging: {{format: json}}\nalerts:\n  webhook: {{url: {{file: webhook-url}}}}\n\
         health: {{disk_free_warning: 64KiB, disk_free_critical: 32KiB}}\n\
         backup:\n  directory: backups\n  encrypt_to: [{recipient}]\n  identities: [{identity}]\n  \
         offsite_url: file://{offsite}\n",
        auth = globus.url(Service::Auth),
        groups = globus.url(Service::Groups),
        compute = globus.url(Service::Compute),
        identity = identity.display(),
        offsite = offsite.display(),
    );
    fs::write(directory.join("careful.yaml"), config).unwrap();
    for name in ["careful.yaml", "key.pem"] {
        set_mode(&directory.join(name), 0o600);
    }
    set_mode(&identity, 0o600);
}

#[test]
fn a_careful_deployment() {
    let (postgres, globus, back_end) = (Postgres::start_new(), FakeGlobus::start(), Fake::start());
    let password = "kX9vQ2m7Lr0TzpWb4nEe";
    let limits =
        ["--requirepass", password, "--maxmemory", "64mb", "--maxmemory-policy", "volatile-ttl"];
    let redis = Redis::start_new_at("127.0.0.1", &limits);
    let database = postgres.create_database("careful").replace("unused-secret", password);
    let gateway = Plan::in_front_of(back_end.api_url()).models(["m"]).database(&database).prepare();
    let directory = gateway.directory();
    write_certificate(directory, 90);
    for (name, text) in [
        ("database-url", database.as_str()),
        ("redis-url", &format!("redis://:{password}@127.0.0.1:{}/0", redis.port())),
        ("application-secret", APPLICATION_SECRET),
        ("compute-secret", COMPUTE_CLIENT_SECRET),
        ("webhook-url", "https://hooks.example.org/services/T/B/secret"),
    ] {
        fs::write(directory.join(name), text).unwrap();
        set_mode(&directory.join(name), 0o600);
    }
    let (public, admin) = (free_port(), free_port());
    // Another file system than that of the backups.
    let offsite = tempfile::tempdir_in("/dev/shm").unwrap();
    write_careful(directory, offsite.path(), &globus, (public, admin));
    let figw = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_figw"));
        command.args(["--config", "careful.yaml"]).current_dir(directory);
        command.env("FAKE_BACKEND_KEY", support::gateway::BACKEND_KEY);
        command
    };
    let run = |arguments: &[&str]| {
        let said = Said::from(figw().args(arguments).stdin(Stdio::null()).output().unwrap());
        assert_eq!(said.status, Some(0), "{arguments:?}: {said:?}");
        said.stdout
    };
    let keys: Value = serde_json::from_str(&run(&["--output", "json", "key", "list"])).unwrap();
    let list = keys.as_array().or_else(|| keys["keys"].as_array()).unwrap();
    run(&["--yes", "key", "revoke", list[0]["id"].as_str().unwrap()]);
    let made = run(&[
        "--output",
        "json",
        "key",
        "create",
        "--name",
        "ops",
        "--user",
        "ops@anl.gov",
        "--expires",
        "30d",
    ]);
    let made: Value = serde_json::from_str(&made).unwrap();
    fs::write(directory.join("ops-key"), made["key"].as_str().unwrap()).unwrap();
    run(&["backup"]);
    run(&["backup", "drill"]);
    for what in ["load_test", "recovery_plan", "firewall", "on_call"] {
        run(&["doctor", "--attest", what, "--by", "Ada Lovelace", "--note", "wiki/figw"]);
    }

    let _serving = serve_unprivileged(&gateway);
    let begun = Instant::now();
    let scraped = || {
        let url = format!("http://127.0.0.1:{admin}/metrics");
        Command::new("curl")
            .args(["-sSf", "--noproxy", "*", "-o", "/dev/null", &url])
            .output()
            .unwrap()
    };
    while !scraped().status.success() {
        let log = || fs::read_to_string(directory.join("serve.log")).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(30), "{}", log());
        std::thread::sleep(Duration::from_millis(100));
    }
    let ready = format!("https://127.0.0.1:{public}/ready");
    let asked = Command::new("curl").args(["-sSfk", "--noproxy", "*", &ready]).output().unwrap();
    assert!(asked.status.success(), "{asked:?}");
    run(&["health", "--notify"]);

    let report = Report::of(figw(), &["--key-file", "ops-key"]);
    let troubled = report
        .checks
        .values()
        .filter(|check| !["pass", "not_applicable"].contains(&check["outcome"].as_str().unwrap()));
    let troubled: Vec<_> = troubled.collect();
    assert!(troubled.is_empty(), "{troubled:#?}");
    assert_eq!(report.status, Some(0));
    let idle = report.checks.keys().filter(|name| report.outcome(name) == "not_applicable");
    let idle: Vec<_> = idle.collect();
    let expected = [
        "backup.wal",
        "database.pooler",
        "database.replicas",
        "globus.policies",
        "proxies.trusted",
    ];
    assert_eq!(idle, expected);
    let evidence = |name: &str| report.checks[name]["evidence"].as_str().unwrap().to_owned();
    assert!(evidence("attested.on_call").contains("attested by Ada Lovelace at 2"));
    assert!(evidence("attested.on_call").ends_with(": wiki/figw"));
    assert!(evidence("service.answers").starts_with("m has answered"));
}
