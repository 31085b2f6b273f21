//! The configuration as an operator meets it: through the command line, files and environment.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use assert_cmd::Command;
use tempfile::TempDir;

/// What stands for every secret here; it must never come out.
const SECRET: &str = "geheim-5f3a";

struct Outcome {
    status: i32,
    stdout: String,
    stderr: String,
}

/// A directory with a configuration file, and figw run in it with no environment but the given one.
struct Host(TempDir);

impl Host {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn with_config(yaml: impl AsRef<[u8]>) -> Self {
        let host = Self::new();
        host.write("config.yaml", yaml);
        host
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        path.display().to_string()
    }

    fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Outcome {
        let output = Command::new(env!("CARGO_BIN_EXE_figw"))
            .args(arguments)
            .env_clear()
            .envs(environment.iter().copied())
            .current_dir(self.0.path())
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Outcome {
            status: output.status.code().unwrap(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    fn check(&self, environment: &[(&str, &str)]) -> Outcome {
        self.run(&["config", "check"], environment)
    }
}

/// Checks the file and expects exactly these lines on standard error.
fn assert_errors(yaml: impl AsRef<[u8]>, expected: &[&str]) {
    let checked = Host::with_config(yaml).check(&[]);
    let expected: Vec<_> = expected.iter().map(|line| format!("error: {line}")).collect();
    let seen: Vec<_> = checked.stderr.lines().collect();
    assert_eq!((checked.status, seen), (2, expected.iter().map(String::as_str).collect()));
}

#[test]
fn without_any_file_the_defaults_are_fine() {
    let checked = Host::new().check(&[]);
    assert_eq!((checked.status, checked.stderr.as_str()), (0, ""));
    assert_eq!(checked.stdout, "OK: no file, built-in values\n");
}

#[test]
fn the_file_is_found_by_option_by_variable_and_in_the_working_directory() {
    let host = Host::with_config("{}");
    let other = host.write("other.yaml", "{}");
    assert_eq!(host.check(&[]).stdout, "OK: config.yaml\n");
    assert_eq!(host.check(&[("FIGW_CONFIG", &other)]).stdout, format!("OK: {other}\n"));
    let named = host.run(&["-c", &other, "config", "check"], &[("FIGW_CONFIG", "/nowhere")]);
    assert_eq!(named.stdout, format!("OK: {other}\n"));
}

#[test]
fn a_named_file_must_be_there() {
    let host = Host::with_config("{}");
    let missing = host.run(&["-c", "missing.yaml", "config", "check"], &[]);
    assert_eq!(missing.status, 2);
    assert_eq!(missing.stderr, "error: missing.yaml: there is no such configuration file\n");
    let directory = host.run(&["-c", "/", "config", "check"], &[]);
    assert_eq!(directory.status, 2);
    assert!(directory.stderr.starts_with("error: /: cannot read the configuration file"));
}

#[test]
fn every_mistake_is_named_with_line_and_key_at_once() {
    assert_errors(
        "server:\n  listn: x\n  header_timeout: soon\n  max_body_bytes: 10MB\nlisten: y\n\
         database: {max_connections: 0}\nlogging: {level: loud}\nlimits: 3\n\
         backup:\n  config_paths: /etc\ninstances:\n- name: a\n  url: gw\n  admin_url: http://a\n",
        &[
            "config.yaml:2: server.listn: unknown key, did you mean `listen`?",
            "config.yaml:3: server.header_timeout: must be a number with its unit, such as 250ms, \
             10s, 5m or 2h",
            "config.yaml:4: server.max_body_bytes: must be a number of bytes, such as 64KiB, \
             100MiB or 1048576",
            "config.yaml:5: listen: unknown key, did you mean `server.listen`?",
            "config.yaml:6: database.max_connections: must be a whole number from 1 to 1000",
            "config.yaml:7: logging.level: must be one of error, warn, info, debug, trace",
            "config.yaml:8: limits: must be a section of keys with values",
            "config.yaml:10: backup.config_paths: must be a list such as [first, second]",
            "config.yaml:13: instances[0].url: must be a URL that starts with http:// or https://",
        ],
    );
}

#[test]
fn keys_that_depend_on_each_other_are_checked() {
    assert_errors(
        "server:\n  listen: 0.0.0.0:8001\n  admin_listen: 192.0.2.1:8001\n  tls: {key: k}\n\
         auth: {globus: {application_id: x}}\nbackup:\n  keep: {last: 0, hourly: 0, daily: 0, \
         weekly: 0, monthly: 0}\n  encrypt_to: [nobody]\ncache: {redis_url: \"http://x\"}\n\
         globus_compute: {streaming_public_url: \"https://x/figw\"}\n",
        &[
            "config.yaml:3: server.admin_listen: is not a loopback address, so server.admin_token \
             must be set",
            "config.yaml:3: server.admin_listen: must differ from server.listen",
            "config.yaml:4: server.tls.certificate: must be set when other keys of tls are",
            "config.yaml:9: cache.redis_url: must start with redis:// or rediss://",
            "config.yaml:5: auth.globus.application_id: needs application_secret beside it",
            "config.yaml:10: globus_compute.streaming_public_url: needs streaming_secret beside it",
            "config.yaml:10: globus_compute.streaming_public_url: must end with the host or the \
             port: functions add the path",
            "config.yaml:7: backup.keep: must keep at least one backup",
            "config.yaml:8: backup.encrypt_to[0]: must be a public key of age, age1…, as \
             `age-keygen` prints it",
        ],
    );
}

#[test]
fn ids_domains_and_user_names_of_globus_must_look_like_ones() {
    assert_errors(
        "auth:\n  globus:\n    policies: [00000000-0000-4000-8000-000000000401, anl]\n    \
         groups: [00000000000040008000000000000501]\n    \
         authorized_idp_domains: [anl.gov, me@anl.gov]\n    \
         authorized_groups_per_idp:\n      uchicago.edu: []\n      anl.gov: [staff]\n    \
         service_usernames: [robot]\n",
        &[
            "config.yaml:3: auth.globus.policies[1]: must be an id such as \
             123e4567-e89b-12d3-a456-426614174000",
            "config.yaml:4: auth.globus.groups[0]: must be an id such as \
             123e4567-e89b-12d3-a456-426614174000",
            "config.yaml:5: auth.globus.authorized_idp_domains[1]: must be a domain such as \
             anl.gov, without '@'",
            "config.yaml:8: auth.globus.authorized_groups_per_idp.anl.gov[0]: must be an id such \
             as 123e4567-e89b-12d3-a456-426614174000",
            "config.yaml:7: auth.globus.authorized_groups_per_idp.uchicago.edu: must list at \
             least one group; without it nobody gets in",
            "config.yaml:9: auth.globus.service_usernames[0]: must be a user name such as \
             CLIENT_ID@clients.auth.globus.org",
        ],
    );
}

#[test]
fn what_is_no_configuration_at_all_is_refused_with_its_line() {
    assert_errors("- a\n", &["config.yaml: must be a section of keys with values"]);
    assert_errors(b"server:\n  listen: \xff\n", &["config.yaml:2: is not UTF-8 text"]);
    assert_errors(
        "server:\n  listen: 127.0.0.1:1\n  listen: 127.0.0.1:2\n",
        &["config.yaml:3: server.listen: is given twice, first on line 2"],
    );
    assert_errors(
        "server:\n  listen: 127.0.0.1:1\nserver:\n  listen: 127.0.0.1:2\n",
        &["config.yaml:3: server: is given twice, first on line 1"],
    );
    let broken = Host::with_config("server:\n\tlisten: x\n").check(&[]);
    assert!(
        broken.stderr.starts_with("error: config.yaml:2: is not valid YAML: "),
        "{}",
        broken.stderr
    );
}

#[test]
fn a_file_without_a_key_has_the_defaults_and_takes_variables() {
    for yaml in ["", "\n", "# server:\n#   listen: x\n", "---\n"] {
        let host = Host::with_config(yaml);
        let checked = host.check(&[]);
        assert_eq!((checked.status, checked.stderr.as_str()), (0, ""), "{yaml:?}");
        assert_eq!(checked.stdout, "OK: config.yaml\n");
        let shown = host.run(&["config", "show"], &[("FIGW_SERVER__LISTEN", "127.0.0.1:2")]);
        assert!(shown.stdout.contains("listen: 127.0.0.1:2"), "{}", shown.stdout);
    }
}

#[test]
fn a_section_whose_keys_are_all_commented_out_has_its_defaults() {
    let checked = Host::with_config("server:\n  # listen: x\n  tls:\n").check(&[]);
    assert_eq!((checked.status, checked.stderr.as_str()), (0, ""));
}

#[test]
fn a_variable_sets_a_key_over_the_file() {
    let host = Host::with_config("server: {listen: \"127.0.0.1:1\"}\n");
    let shown = host.run(
        &["config", "show"],
        &[
            ("FIGW_SERVER__LISTEN", "127.0.0.1:2"),
            ("FIGW_SERVER__TRUSTED_PROXIES", "[10.0.0.0/8, \"::1\"]"),
            ("FIGW_SERVER__ADMIN_TOKEN", SECRET),
            ("FIGW_DATABASE__URL", "{env: DB}"),
            ("FIGW_LIMITS__REQUESTS_PER_SECOND_PER_USER", "7"),
            ("FIGW_INSTANCES__0__NAME", "a"),
            ("FIGW_INSTANCES__0__URL", "http://a:8000"),
            ("FIGW_INSTANCES__0__ADMIN_URL", "http://a:8001"),
            ("FIGW_REWRITE", "not a key"),
        ],
    );
    assert_eq!((shown.status, shown.stderr.as_str()), (0, ""));
    for line in [
        "  listen: 127.0.0.1:2  # FIGW_SERVER__LISTEN",
        "    - 10.0.0.0/8",
        "  admin_token: '***'  # FIGW_SERVER__ADMIN_TOKEN",
        "    env: DB",
        "  requests_per_second_per_user: 7  # FIGW_LIMITS__REQUESTS_PER_SECOND_PER_USER",
        "  - name: a",
    ] {
        assert!(shown.stdout.lines().any(|l| l == line), "{line} is not in\n{}", shown.stdout);
    }
}

#[test]
fn a_wrong_variable_is_named() {
    for (name, value, expected) in [
        ("FIGW_SERVER__LISTN", "x", "server.listn: unknown key, did you mean `listen`?"),
        ("FIGW_SERVR__LISTEN", "x", "servr: unknown key, did you mean `server`?"),
        ("FIGW_DATABASE__MAX_CONNECTIONS", "many", "must be a whole number from 1 to 1000"),
        ("FIGW_SERVER__TRUSTED_PROXIES", "[", "server.trusted_proxies: is not valid YAML"),
        ("FIGW_BACKUP__ENCRYPT_TO__1", "age1", "the list has 0 entries; the next one is 0"),
        ("FIGW_SERVER__ADMIN_LISTEN", "0.0.0.0:1", "server.admin_token must be set"),
    ] {
        let checked = Host::new().check(&[(name, value)]);
        assert_eq!(checked.status, 2, "{name}");
        assert!(checked.stderr.contains(expected), "{}", checked.stderr);
        assert!(checked.stderr.contains(name), "{}", checked.stderr);
    }
    // What a variable sets is not looked for in the file, item by item.
    let file = "alerts:\n  smtp:\n    url: smtp://h\n    from: a@b.org\n    to:\n      - c@d.org\n";
    let checked = Host::with_config(file).check(&[("FIGW_ALERTS__SMTP__TO", "[nobody]")]);
    assert!(
        checked.stderr.contains("FIGW_ALERTS__SMTP__TO: alerts.smtp.to[0]: must be an address")
    );
    assert!(!checked.stderr.contains("config.yaml"), "{}", checked.stderr);
}

#[test]
fn a_secret_that_cannot_be_read_is_named_with_its_key_and_line() {
    let file = |yaml: &str| format!("server:\n  admin_token: {yaml}\n");
    for (yaml, expected) in [
        ("{env: NOT_SET}", "environment variable NOT_SET is not set"),
        ("{file: /nowhere/token}", "secret file /nowhere/token: No such file or directory"),
        ("{vault: \"a/b#c\"}", "this version of figw cannot read Vault"),
    ] {
        let checked = Host::with_config(file(yaml)).check(&[]);
        assert_eq!(checked.status, 2);
        let start = "error: config.yaml:2: server.admin_token: ";
        assert!(checked.stderr.starts_with(start), "{}", checked.stderr);
        assert!(checked.stderr.contains(expected), "{}", checked.stderr);
    }
}

#[test]
fn secrets_that_everybody_may_read_are_warned_about() {
    let host = Host::new();
    let token = host.write("token", SECRET);
    let config = host.write("config.yaml", format!("server: {{admin_token: {{file: {token}}}}}\n"));
    assert_eq!(host.check(&[]).stderr, "");
    fs::set_permissions(&token, PermissionsExt::from_mode(0o644)).unwrap();
    let warned = host.check(&[]);
    assert_eq!(warned.status, 0);
    assert!(warned.stderr.starts_with("warning: server.admin_token: everybody may read"));

    host.write("config.yaml", format!("server: {{admin_token: {SECRET}}}\n"));
    fs::set_permissions(Path::new(&config), PermissionsExt::from_mode(0o644)).unwrap();
    assert!(host.check(&[]).stderr.contains("config.yaml: holds secrets and everybody may read"));
}

/// Every place that takes a secret, each with the secret in it.
fn full_of_secrets() -> String {
    format!(
        "server: {{admin_token: {SECRET}}}\n\
         database:\n  url: postgres://figw:{SECRET}@db/figw\n\
         \x20 migration_url: postgres://db/figw?password={SECRET}\n\
         \x20 read_replicas: [\"postgres://figw:{SECRET}@replica/figw\"]\n\
         cache: {{redis_url: \"redis://:{SECRET}@cache/0\"}}\n\
         auth: {{globus: {{application_id: id, application_secret: {SECRET}}}}}\n\
         globus_compute:\n  client_id: id\n  client_secret: {SECRET}\n  streaming_secret: {SECRET}\n\
         \x20 credentials_overrides: {{00000000-0000-4000-8000-000000000501: {{client_id: id, client_secret: {SECRET}}}}}\n\
         \x20 streaming_public_url: https://gateway.example.org\n\
         backup: {{offsite_url: \"s3://key:{SECRET}@bucket/x\"}}\n"
    )
}

#[test]
fn a_secret_comes_out_nowhere() {
    let yaml = full_of_secrets();
    let loaded = figw::config::Config::load_from(
        Some(("config.yaml".into(), yaml.clone().into_bytes())),
        [],
    );
    let loaded = loaded.unwrap();
    assert!(!format!("{loaded:?}").contains(SECRET));
    assert!(!format!("{:#?}", loaded.config).contains(SECRET));

    let host = Host::with_config(&yaml);
    for arguments in [
        &["config", "check", "-vv"][..],
        &["config", "show"],
        &["config", "show", "--output", "json"],
    ] {
        let told = host.run(arguments, &[]);
        assert_eq!(told.status, 0, "{}", told.stderr);
        assert!(!told.stdout.contains(SECRET) && !told.stderr.contains(SECRET), "{arguments:?}");
    }
}

#[test]
fn a_secret_does_not_come_out_of_errors_either() {
    let misplaced = [
        format!("server: {SECRET}\n"),
        format!("server: {{listen: {SECRET}}}\n"),
        format!("server: {{admin_token: [{SECRET}]}}\n"),
        format!("server: {{admin_token: {{plain: {SECRET}}}}}\n"),
        format!("server: {{drain_grace: {SECRET}}}\n"),
        format!("server: {{max_body_bytes: {SECRET}}}\n"),
        format!("server: {{worker_threads: {SECRET}}}\n"),
        format!("server: {{trusted_proxies: [{SECRET}]}}\n"),
        format!("logging: {{format: {SECRET}}}\n"),
        format!("database: {{url: {SECRET}}}\n"),
        format!("database: {{url: \"postgres://u:{SECRET}@h:port/x\"}}\n"),
        format!("auth: {{globus: {{auth_url: \"http://u:{SECRET}@x\"}}}}\n"),
        format!("server: {{admin_token: \"{SECRET}\n"),
        format!("server: {{admin_token: !x {SECRET}}}\n"),
    ];
    for yaml in misplaced {
        let checked = Host::with_config(&yaml).check(&[]);
        assert_eq!(checked.status, 2, "{yaml}");
        assert!(!checked.stderr.contains(SECRET), "{}", checked.stderr);
    }
    for name in ["FIGW_DATABASE__URL", "FIGW_SERVER__LISTEN", "FIGW_SERVER__NOTHING"] {
        let checked = Host::new().check(&[(name, SECRET)]);
        assert_eq!(checked.status, 2, "{name}");
        assert!(!checked.stderr.contains(SECRET), "{}", checked.stderr);
    }
}

#[test]
fn a_staging_area_or_a_login_that_cannot_work_is_refused() {
    const ID: &str = "96c7390b-a3e8-4dd4-a327-1af7d143283e";
    let account = "client_id: a, client_secret: b";
    for (yaml, complaint) in [
        (format!("login: {{client_id: {ID}x}}"), "login.client_id: must be a UUID"),
        ("login: {gateway_id: mine}".to_owned(), "login.gateway_id: must be a UUID"),
        (format!("staging: {{collection_id: x, {account}}}"), "collection_id: must be a UUID"),
        (format!("staging: {{collection_id: {ID}}}"), "needs a service account"),
        ("staging: {client_id: a}".to_owned(), "needs client_secret beside it"),
        ("staging: {client_secret: a}".to_owned(), "needs client_id beside it"),
        (format!("staging: {{collection_id: {ID}, {account}, base_path: /a/../b}}"), "base_path"),
        (format!("staging: {{collection_id: {ID}, {account}, base_path: a}}"), "base_path"),
    ] {
        let checked = Host::with_config(format!("{yaml}\n")).check(&[]);
        assert_eq!(checked.status, 2, "{yaml}");
        assert!(checked.stderr.contains(complaint), "{yaml}: {}", checked.stderr);
    }
    let yaml = format!(
        "globus_compute: {{{account}}}\nstaging: {{collection_id: {ID}}}\nlogin: {{client_id: {ID}}}\n"
    );
    assert_eq!(Host::with_config(&yaml).check(&[]).status, 0);
}

const FIRST: &str = r#"# FIRST
SECRET_KEY="geheim-5f3a$x"
export GLOBUS_APPLICATION_ID="app" # comment
GLOBUS_APPLICATION_SECRET='geheim-5f3a'
SERVICE_ACCOUNT_ID=account
SERVICE_ACCOUNT_SECRET=geheim-5f3a
GLOBUS_POLICIES="00000000-0000-4000-8000-000000000401,00000000-0000-4000-8000-000000000402"
GLOBUS_GROUPS=""
AUTHORIZED_IDP_DOMAINS="
   anl.gov,
   uchicago.edu
"
AUTHORIZED_GROUPS_PER_IDP='
  {"uchicago.edu": "00000000-0000-4000-8000-000000000501, 00000000-0000-4000-8000-000000000502"}
'
PGHOST=postgres
PGPORT=5432
PGUSER="first"
PGPASSWORD="geheim-5f3a"
PGDATABASE=gateway
POSTGRES_DB=ignored
REDIS_URL="redis://redis:6379/0"
USE_REDIS_CACHE=true
MAX_BATCHES_PER_USER=2
STREAMING_SERVER_HOST="gateway.example.org"
INTERNAL_STREAMING_SECRET=geheim-5f3a
DATA_STAGING_GLOBUS_COLLECTION_ID=96c7390b-a3e8-4dd4-a327-1af7d143283e
CLI_AUTH_CLIENT_ID=58fdd3bc-e1c3-4ce5-80ea-8d6b87cfb944
CLI_ALLOWED_DOMAINS="anl.gov,alcf.anl.gov"
LOG_LEVEL=WARNING
NEWER_SETTING=1
"#;

#[test]
fn a_first_env_file_becomes_yaml_that_loads() {
    let host = Host::new();
    let file = host.write(".env", FIRST);
    let imported = host.run(&["config", "import-env", &file], &[]);
    assert_eq!(imported.status, 0, "{}", imported.stderr);
    assert!(!imported.stdout.contains(SECRET) && !imported.stderr.contains(SECRET));
    assert!(imported.stderr.contains("SECRET_KEY was not taken over: only the dashboard has"));
    assert!(imported.stderr.contains("NEWER_SETTING was not taken over: figw has no such setting"));
    assert!(imported.stderr.contains(
        "set the environment variable DATABASE_URL to \
         postgres://first:PASSWORD@postgres:5432/gateway with PGPASSWORD's value"
    ));

    host.write("config.yaml", &imported.stdout);
    let shown = host.run(&["config", "show", "--output", "json"], &[]);
    let config: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    let globus = &config["auth"]["globus"];
    assert_eq!(globus["application_id"], "app");
    assert_eq!(globus["application_secret"]["env"], "GLOBUS_APPLICATION_SECRET");
    assert_eq!(
        globus["policies"],
        serde_json::json!([
            "00000000-0000-4000-8000-000000000401",
            "00000000-0000-4000-8000-000000000402",
        ])
    );
    assert_eq!(globus["authorized_idp_domains"], serde_json::json!(["anl.gov", "uchicago.edu"]));
    let groups = serde_json::json!({"uchicago.edu": ["00000000-0000-4000-8000-000000000501", "00000000-0000-4000-8000-000000000502"]});
    assert_eq!(globus["authorized_groups_per_idp"], groups);
    assert_eq!(config["globus_compute"]["client_secret"]["env"], "SERVICE_ACCOUNT_SECRET");
    let url = &config["globus_compute"]["streaming_public_url"];
    assert_eq!(url, "https://gateway.example.org");
    let collection = &config["staging"]["collection_id"];
    assert_eq!(collection, "96c7390b-a3e8-4dd4-a327-1af7d143283e");
    assert_eq!(config["login"]["client_id"], "58fdd3bc-e1c3-4ce5-80ea-8d6b87cfb944");
    assert_eq!(config["login"]["domains"], serde_json::json!(["anl.gov", "alcf.anl.gov"]));
    assert_eq!(config["database"]["url"]["env"], "DATABASE_URL");
    assert_eq!(config["cache"]["redis_url"], "redis://redis:6379/0");
    assert_eq!(config["limits"]["max_active_batches_per_user"], 2);
    assert_eq!(config["logging"]["level"], "warn");
}

#[test]
fn secrets_are_written_out_only_when_asked_for() {
    let host = Host::new();
    let file = host.write(".env", FIRST);
    let inlined = host.run(&["config", "import-env", "--inline-secrets", &file], &[]);
    let url = format!("url: postgres://first:{SECRET}@postgres:5432/gateway");
    assert!(inlined.stdout.contains(&url), "{}", inlined.stdout);
    host.write("config.yaml", &inlined.stdout);
    assert_eq!(host.check(&[]).status, 0);
}

#[test]
fn what_is_no_env_file_is_refused_with_its_line() {
    let host = Host::new();
    let file = host.write(".env", "A=1\nB='open\n");
    let refused = host.run(&["config", "import-env", &file], &[]);
    assert_eq!(refused.status, 2);
    assert!(refused.stderr.contains(":2: ") || refused.stderr.contains("line 2"));
    assert_eq!(host.run(&["config", "import-env", "missing"], &[]).status, 2);
}
