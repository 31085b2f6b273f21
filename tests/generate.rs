//! The files of `figw generate`, each judged by the program that it is for.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test helper may fail its test"
)]

mod support;

use std::{
    fs,
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command},
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;
use support::{
    backups::Said,
    generated::{FLEET, SECRET, Site, accepted},
    ports::free_port,
    postgres::{Postgres, as_service_user, newest_bin, private_directory, psql},
    python,
};

/// A command that believes itself root, with a network of its own.
fn in_own_network(program: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net", program]);
    command.env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()));
    command
}

#[test]
fn systemd_takes_the_units_without_a_word() {
    let site = Site::new(FLEET);
    let written = site.path("units");
    site.generate(&["systemd", "--into", written.to_str().unwrap()]);
    let (service, socket) = (written.join("figw.service"), written.join("figw.socket"));
    let said = accepted(
        Command::new("systemd-analyze").args(["verify", "--man=no"]).args([&service, &socket]),
    );
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("", ""), "not a warning either");
    // Of 100; an ordinary service has 96.
    let mut security = Command::new("systemd-analyze");
    security.args(["security", "--no-pager", "--offline=true", "--threshold=20"]).arg(&service);
    accepted(&mut security);

    let text = fs::read_to_string(&service).unwrap();
    assert!(text.contains("\nLogsDirectory=figw\n"), "{text}");
    let socket = fs::read_to_string(&socket).unwrap();
    assert!(socket.contains("\nListenStream=0.0.0.0:8000\n"), "{socket}");

    // The configuration's path may be one that systemd would take for something else.
    fs::create_dir(site.path("100% o'dd")).unwrap();
    let odd = site.path("100% o'dd/config.yaml");
    fs::write(&odd, FLEET).unwrap();
    let odd = [
        "--config",
        odd.to_str().unwrap(),
        "generate",
        "systemd",
        "--into",
        written.to_str().unwrap(),
        "--yes",
    ];
    let said = site.figw(&odd);
    assert_eq!(said.status, Some(0), "{said:?}");
    let said = accepted(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&service));
    assert_eq!(said.stderr, "");
}

#[test]
fn files_are_written_whole_and_not_over_others_without_a_question() {
    let site = Site::new(FLEET);
    let into = site.path("new/units");
    let into = ["systemd", "--into", into.to_str().unwrap()];
    site.generate(&into);
    let service = site.path("new/units/figw.service");
    assert_eq!(fs::metadata(&service).unwrap().permissions().mode() & 0o777, 0o644);
    site.generate(&into);
    fs::write(&service, "by hand").unwrap();
    let refusal = site.figw(&[&["generate"], &into[..]].concat()).refused(2);
    assert!(refusal.contains("figw.service") && refusal.contains("--yes"), "{refusal}");
    assert_eq!(fs::read_to_string(&service).unwrap(), "by hand");
    let said = site.figw(&[&["--yes", "--output", "json", "generate"], &into[..]].concat());
    assert_eq!(said.json()["written"].as_array().map(Vec::len), Some(2), "{said:?}");
    let printed = site.figw(&["--output", "json", "generate", "systemd"]).json();
    assert_eq!(printed["files"][0]["name"], "figw.service");
    assert_eq!(printed["files"][0]["content"], fs::read_to_string(&service).unwrap());
}

/// A server that ends with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn pgbouncer_lets_figw_through_to_postgresql_and_nobody_without_the_password() {
    let postgres = Postgres::start_new();
    let direct = postgres.create_database("gateway");
    postgres.query("postgres", "CREATE ROLE clerk SUPERUSER LOGIN PASSWORD 'geheim-and-hidden'");
    let direct = direct.replace("figw:unused-secret", &format!("clerk:{SECRET}"));
    let port = free_port();
    let pooled = format!("postgres://clerk:{SECRET}@127.0.0.1:{port}/gateway");
    let site = Site::new(&format!(
        "database: {{url: '{pooled}', migration_url: '{direct}'}}\nserver: {{state_dir: {0}/state}}\n\
         backup: {{directory: {0}/backups}}\n",
        private_directory().path().display()
    ));
    let users = site.path("userlist.txt");
    let ini = site.save("pgbouncer.ini", &["pgbouncer", "--auth-file", users.to_str().unwrap()]);

    // As its own remark says.
    let text = fs::read_to_string(&ini).unwrap();
    let remark = text.lines().find_map(|line| line.split_once("-Atc \"")).expect("the remark").1;
    let statement = remark.trim_end_matches('"').replace("\\\"", "\"");
    fs::write(&users, postgres.query("gateway", &statement) + "\n").unwrap();
    let mut pgbouncer = as_service_user(Path::new("pgbouncer"));
    let log = fs::File::create(site.path("pgbouncer.log")).unwrap();
    let _running = Running(pgbouncer.arg(&ini).stderr(log).spawn().expect("PgBouncer starts"));
    let said = || fs::read_to_string(site.path("pgbouncer.log")).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "PgBouncer did not start: {}", said());
        sleep(Duration::from_millis(50));
    }
    assert!(!said().contains("WARNING") && !said().contains("ERROR"), "{}", said());

    assert_eq!(psql(&pooled, "SELECT 6 * 7"), "42");
    for arguments in [
        &["--yes", "migrate", "--no-backup"][..],
        &["key", "create", "--name", "ada", "--user", "ada@example.org"],
    ] {
        let said = site.figw(arguments);
        assert_eq!(said.status, Some(0), "{said:?}");
    }
    let wrong = pooled.replace(SECRET, "a-guess");
    let psql = Command::new(newest_bin().join("psql"))
        .args(["-d", &wrong, "-c", "SELECT 1"])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&psql.stderr).contains("authentication failed"), "{psql:?}");

    let refusal = Site::new("{}").figw(&["generate", "pgbouncer"]).refused(2);
    assert!(refusal.contains("SQLite"), "{refusal}");
}

#[test]
fn logrotate_moves_the_log_away() {
    let site = Site::new("");
    let logs = site.path("logs");
    fs::create_dir(&logs).unwrap();
    let file = logs.join("figw.log");
    fs::write(site.path("figw.yaml"), format!("logging: {{file: '{}'}}\n", file.display()))
        .unwrap();
    let me = accepted(Command::new("id").arg("-un")).stdout;
    let rules = site.save("logrotate", &["logrotate", "--user", me.trim_end()]);
    fs::set_permissions(&rules, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&file, "a line\n").unwrap();
    let logrotate = |arguments: &[&str]| {
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap());
        let mut command = Command::new("logrotate");
        command.env("PATH", path).arg("--state").arg(site.path("state")).args(arguments);
        accepted(command.arg(&rules))
    };
    let said = logrotate(&["--debug"]);
    assert!(!said.stderr.contains("error:"), "{said:?}");
    let said = logrotate(&["--force"]);
    assert!(!said.stderr.contains("error"), "{said:?}");
    assert!(!file.exists(), "figw makes the new one");
    let rotated: Vec<_> = fs::read_dir(&logs).unwrap().map(|entry| entry.unwrap().path()).collect();
    let old = rotated.iter().find(|path| **path != file).expect("a rotated file");
    assert_eq!(fs::read_to_string(old).unwrap(), "a line\n");

    let refusal = Site::new("{}").figw(&["generate", "logrotate"]).refused(2);
    assert!(refusal.contains("set logging.file"), "{refusal}");
}

#[test]
fn nftables_loads_the_rules_and_loads_them_again() {
    let site = Site::new(FLEET);
    let file = site.save("figw.nft", &["firewall", "--admin-from", "192.0.2.0/24"]);
    accepted(in_own_network("nft").arg("--check").arg("--file").arg(&file));
    let twice = "nft --file \"$1\" && nft --file \"$1\" && nft list table inet figw";
    let said = accepted(in_own_network("sh").args(["-c", twice, "sh"]).arg(&file));
    let listed = said.stdout;
    assert_eq!(listed.matches("tcp dport 8001 counter").count(), 1, "{listed}");
    for present in
        ["192.0.2.0/24", "fd00::3", "tcp dport { 80, 443 } accept", "ip saddr @proxies4 accept"]
    {
        assert!(listed.contains(present), "{present} in {listed}");
    }
    // A lone gateway that users reach straight, and the default configuration.
    for configuration in ["server: {listen: '0.0.0.0:8000'}", "{}"] {
        let site = Site::new(configuration);
        let file = site.save("figw.nft", &["firewall"]);
        accepted(in_own_network("nft").arg("--check").arg("--file").arg(&file));
    }
    let refusal = site.figw(&["generate", "firewall", "--public-port", "8001"]).refused(2);
    assert!(refusal.contains("server.admin_listen"), "{refusal}");
}

#[test]
fn ufw_takes_each_command_and_firewalld_is_given_what_it_knows() {
    let site = Site::new(FLEET);
    let bin = site.path("bin");
    fs::create_dir(&bin).unwrap();
    let stub = |name: &str, script: &str| {
        fs::write(bin.join(name), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    };
    // The machine's own rules are for root's eyes; these are Debian's first ones.
    let own = site.path("own");
    fs::create_dir_all(own.join("etc/ufw/applications.d")).unwrap();
    fs::create_dir_all(own.join("etc/default")).unwrap();
    fs::copy("/etc/default/ufw", own.join("etc/default/ufw")).unwrap();
    for name in [
        "user.rules",
        "user6.rules",
        "before.rules",
        "before6.rules",
        "after.rules",
        "after6.rules",
        "ufw.conf",
    ] {
        fs::copy(Path::new("/usr/share/ufw").join(name), own.join("etc/ufw").join(name)).unwrap();
    }
    stub(
        "ufw",
        &format!(
            "exec unshare --user --map-root-user --net /usr/sbin/ufw --dry-run --rootdir=/ \
             --datadir={} \"$@\"",
            own.display()
        ),
    );
    let told = site.path("told");
    stub("firewall-cmd", &format!("printf '%s|' \"$@\" >> {0}; echo >> {0}", told.display()));
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    for tool in ["ufw", "firewalld"] {
        let script = site.save(tool, &["firewall", "--tool", tool]);
        let said = accepted(Command::new("/bin/sh").arg(&script).env("PATH", &path));
        assert!(!said.stderr.contains("ERROR"), "{said:?}");
        if tool == "ufw" {
            let shut = "### tuple ### deny tcp 8001 0.0.0.0/0 any 0.0.0.0/0 in";
            assert!(said.stdout.contains(shut), "{said:?}");
        }
    }
    let told = fs::read_to_string(told).unwrap();
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines.first(), Some(&"--permanent|--add-port=80/tcp|"));
    assert_eq!(lines.last(), Some(&"--reload|"));
    let rule = "--permanent|--add-rich-rule=rule family=\"ipv6\" source address=\"fd00::3\" port \
                port=\"8001\" protocol=\"tcp\" accept|";
    assert!(lines.contains(&rule), "{told}");
}

#[test]
fn compose_takes_the_project_and_figw_its_configuration() {
    let site = Site::new(FLEET);
    let project = site.path("project");
    site.generate(&["compose", "--into", project.to_str().unwrap()]);
    let secrets = project.join("secrets");
    fs::create_dir(&secrets).unwrap();
    let text = fs::read_to_string(project.join("compose.yaml")).unwrap();
    let compose: Value = serde_yaml::from_str(&text).unwrap();
    let secret_names: Vec<&String> = compose["secrets"].as_object().unwrap().keys().collect();
    for name in &secret_names {
        let value = match name.as_str() {
            "database.url" => "postgres://figw:x@postgres:5432/figw",
            "cache.redis_url" => "redis://:x@redis:6379/0",
            "backup.offsite_url" => "s3://bucket/figw",
            _ => "sixteen-characters",
        };
        fs::write(secrets.join(name), value).unwrap();
    }
    for file in fs::read_dir(&project).unwrap().map(|entry| entry.unwrap().path()) {
        let content = fs::read_to_string(&file).unwrap_or_default();
        assert!(!content.contains(SECRET), "{} shows a secret", file.display());
    }
    let mut config = Command::new("docker-compose");
    let said = accepted(config.arg("config").current_dir(&project));
    assert_eq!(said.stderr, "");
    let resolved: Value = serde_yaml::from_str(&said.stdout).unwrap();
    for number in 1..=3 {
        let instance = &resolved["services"][format!("figw-{number}")];
        assert_eq!(instance["command"][0], "serve", "{instance}");
        assert!(instance["healthcheck"]["test"].is_array(), "{instance}");
    }
    assert!(resolved["services"]["figw-4"].is_null());

    // Every variable that holds a password names a file; nothing has a password of its own.
    for (name, service) in resolved["services"].as_object().unwrap() {
        for (variable, value) in service["environment"].as_object().into_iter().flatten() {
            assert!(
                !variable.contains("PASSWORD") || variable.ends_with("_FILE"),
                "{name}: {value}"
            );
        }
    }
    figw_takes(
        &site,
        &fs::read_to_string(project.join("config.yaml")).unwrap(),
        "/run/secrets",
        &secrets,
    );
}

/// Has figw check a configuration whose secrets lie there instead of in the container.
#[track_caller]
fn figw_takes(site: &Site, configuration: &str, inside: &str, outside: &Path) {
    let here = configuration.replace(inside, outside.to_str().unwrap());
    fs::write(site.path("inside.yaml"), here).unwrap();
    let file = site.path("inside.yaml");
    let said = site.figw(&["--config", file.to_str().unwrap(), "config", "check"]);
    assert_eq!(said.status, Some(0), "{said:?}\n{configuration}");
}

#[test]
fn kubernetes_own_schemas_take_each_object() {
    let site = Site::new(FLEET);
    let file = site.save("figw.yaml.out", &["kubernetes"]);
    let output = python::run(python::script("generate/kubernetes.py").arg(&file));
    let said = Said::from(output);
    assert_eq!(said.status, Some(0), "{said:?}");
    let seen = said.json();
    assert_eq!(
        seen["kinds"],
        serde_json::json!([
            "ConfigMap",
            "CronJob",
            "CronJob",
            "Deployment",
            "Job",
            "NetworkPolicy",
            "PersistentVolumeClaim",
            "PodDisruptionBudget",
            "Service",
            "ServiceAccount"
        ])
    );
    // A replica for each instance, and time to end: preStop, drain_grace, drain_timeout, some more.
    assert_eq!(seen["replicas"], 3);
    assert_eq!(seen["grace"], 10 + 5 + 300 + 15);

    let secrets = site.path("secrets");
    fs::create_dir(&secrets).unwrap();
    for name in seen["secrets"].as_array().unwrap() {
        let value = match name.as_str().unwrap() {
            "cache.redis_url" => "redis://cache/0",
            "backup.offsite_url" => "s3://bucket/figw",
            name if name.starts_with("database.") => "postgres://figw@db/figw",
            _ => "sixteen-characters",
        };
        fs::write(secrets.join(name.as_str().unwrap()), value).unwrap();
    }
    figw_takes(&site, seen["config"].as_str().unwrap(), "/run/secrets/figw", &secrets);

    let refusal = Site::new("{}").figw(&["generate", "kubernetes"]).refused(2);
    assert!(refusal.contains("postgres://"), "{refusal}");
    let refusal = site.figw(&["generate", "kubernetes", "--image", "a\nb"]).refused(2);
    assert!(refusal.contains("--image"), "{refusal}");
}
