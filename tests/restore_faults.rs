//! Restores that must not happen, and restores that are cut short: the old data stays.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a test")]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use figw::ops::backup::manifest::sha256;
use serde_json::Value;
use support::{
    backups::{Estate, Said, age_key, eventually, flip_a_byte, hashes, stand_in},
    gateway::{Gateway, Plan},
    postgres::{Postgres, psql},
};
use tempfile::TempDir;

const REPLACE: [&str; 4] = ["--yes", "restore", "latest", "--replace"];

/// The file of a backup whose name begins like this.
fn part(estate: &Estate, id: &str, beginning: &str) -> PathBuf {
    let entries = fs::read_dir(estate.backups().join(id)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut fitting =
        paths.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(beginning));
    fitting.next().unwrap()
}

/// Writes the manifest anew, with checksums that fit.
fn rewrite_manifest(estate: &Estate, id: &str, change: impl Fn(&mut Value)) {
    let directory = estate.backups().join(id);
    let path = directory.join("manifest.json");
    let old = fs::read(&path).unwrap();
    let mut manifest: Value = serde_json::from_slice(&old).unwrap();
    change(&mut manifest);
    let new = serde_json::to_vec_pretty(&manifest).unwrap();
    let (old_sum, new_sum) = (sha256(&old), sha256(&new));
    let sums = fs::read_to_string(directory.join("SHA256SUMS")).unwrap();
    assert!(sums.contains(&old_sum));
    fs::write(directory.join("SHA256SUMS"), sums.replace(&old_sum, &new_sum)).unwrap();
    fs::write(path, new).unwrap();
}

/// Fails with this status, naming all these words, and changes nothing.
#[track_caller]
fn refused(estate: &Estate, status: i32, arguments: &[&str], words: &[&str]) {
    let before = estate.hashes();
    let why = estate.fails(status, arguments);
    for word in words {
        assert!(why.contains(word), "{word} in: {why}");
    }
    assert_eq!(estate.hashes(), before, "nothing was changed");
}

#[test]
fn what_speaks_against_a_restore_is_found_before_anything_is_touched() {
    let server = Postgres::start_new();
    let estates = [Estate::sqlite(), Estate::postgres(&server, "estate")];
    for estate in &estates {
        refused(estate, 1, &["restore", "latest"], &["no backups", "`figw backup`"]);
        estate.add_usage(300);
        let id = estate.back_up();
        estate.add_usage(1);
        refused(estate, 1, &["restore", "latest"], &["not empty", "--replace"]);
        refused(
            estate,
            2,
            &["restore", "latest", "--replace"],
            &[&id, estate.url(), "--yes"].map(|word| {
                word.split("unused-secret").next().unwrap().trim_start_matches("postgres://figw:")
            }),
        );
        refused(estate, 1, &["restore", "20200101T000000Z-0000"], &["there is no backup"]);
        refused(estate, 2, &["restore", "latest", "--into", "mysql://x/y"], &["--into", "mysql"]);
        let (other, remedy) = if estate.is_sqlite() {
            (server.create_database("wrong"), "--into sqlite:PATH")
        } else {
            (format!("sqlite:{}", estate.path("x.db").display()), "--into postgres://")
        };
        refused(estate, 2, &["restore", "latest", "--into", &other], &[remedy]);
        assert!(!estate.path("x.db").exists());

        rewrite_manifest(estate, &id, |m| m["database"]["schema"] = "V999__later".into());
        refused(estate, 1, &REPLACE, &["V999__later", "newer"]);
        rewrite_manifest(estate, &id, |m| m["format"] = 2.into());
        refused(estate, 1, &["restore", &id, "--replace"], &["newer form"]);
    }
}

#[test]
fn a_backup_that_is_not_what_it_was_is_not_restored() {
    let server = Postgres::start_new();
    for estate in [Estate::sqlite(), Estate::postgres(&server, "estate")] {
        estate.add_usage(300);
        let old = estate.back_up();
        let id = estate.back_up();
        flip_a_byte(&part(&estate, &id, "database"));
        refused(&estate, 1, &["--yes", "restore", &id, "--replace"], &["database", "damaged"]);
        let state = (id.clone(), "broken".to_owned());
        assert!(estate.listed().contains(&state), "it is remembered");
        fs::remove_file(part(&estate, &old, "manifest")).unwrap();
        refused(&estate, 1, &["restore", &old, "--replace"], &["manifest.json is missing"]);
        refused(&estate, 1, &REPLACE, &["no good backup", "`figw backup list`"]);
    }
}

#[test]
fn rows_that_do_not_add_up_are_never_seen() {
    let server = Postgres::start_new();
    for estate in [Estate::sqlite(), Estate::postgres(&server, "estate")] {
        estate.add_usage(300);
        let id = estate.back_up();
        let table = if estate.is_sqlite() { "usage" } else { "public.usage" };
        rewrite_manifest(&estate, &id, |m| m["database"]["tables"][table] = 301.into());
        estate.add_usage(1);
        let arguments = ["--yes", "restore", &id, "--replace", "--no-safety-backup"];
        refused(&estate, 1, &arguments, &[table, "300 rows instead of 301"]);
        rewrite_manifest(&estate, &id, |m| {
            m["database"]["tables"][table] = 300.into();
            m["database"]["tables"]["lost"] = 5.into();
        });
        refused(&estate, 1, &arguments, &["lost"]);
        rewrite_manifest(&estate, &id, |m| {
            m["database"]["tables"].as_object_mut().unwrap().remove("lost");
        });
        estate.run(&arguments);
    }
}

#[test]
fn only_the_right_key_opens_an_encrypted_backup() {
    let estate = Estate::sqlite();
    let (_, public) = age_key(&estate.path(""), "right.txt");
    let (wrong, _) = age_key(&estate.path(""), "wrong.txt");
    estate.configure(&format!("  encrypt_to: [{public}]\n"));
    estate.back_up();
    refused(&estate, 1, &REPLACE, &["no key", "--identity"]);
    let wrong = wrong.to_str().unwrap();
    refused(&estate, 1, &[&REPLACE[..], &["--identity", wrong]].concat(), &["other keys"]);
    let config = estate.path("config.yaml");
    let config = config.to_str().unwrap();
    refused(
        &estate,
        2,
        &[&REPLACE[..], &["--identity", config]].concat(),
        &["no file with secret"],
    );
    assert_eq!(estate.listed()[0].1, "good", "a wrong key says nothing about the backup");
}

#[test]
fn another_run_is_waited_for_or_refused() {
    let estate = Estate::sqlite();
    estate.back_up();
    let lock = fs::File::options().write(true).open(estate.backups().join(".lock")).unwrap();
    lock.lock().unwrap();
    refused(&estate, 75, &REPLACE, &["--lock-wait"]);
    let waiting = estate
        .command(&[&REPLACE[..], &["--lock-wait", "30s"]].concat())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    thread::sleep(Duration::from_millis(300));
    lock.unlock().unwrap();
    assert!(waiting.unwrap().wait().unwrap().success());
}

/// A directory with PostgreSQL's programs, but for those that the scripts stand in for.
fn programs(directory: &Path, replaced: &[(&str, &str)]) {
    for name in ["pg_dump", "pg_restore", "psql"] {
        let script = replaced.iter().find(|(program, _)| *program == name);
        let real = format!("exec /usr/bin/{name} \"$@\"");
        stand_in(directory, name, script.map_or(&real, |(_, script)| script));
    }
}

#[test]
fn postgresql_s_programs_are_looked_at_first() {
    let server = Postgres::start_new();
    let estate = Estate::postgres(&server, "estate");
    estate.add_usage(2000);
    estate.back_up();
    estate.add_usage(1);
    let bin = estate.path("bin");
    estate.configure(&format!("  postgres_bin: {}\n", bin.display()));
    let old = "echo 'psql (PostgreSQL) 9.6'";
    programs(&bin, &[("psql", old)]);
    refused(&estate, 1, &REPLACE, &["psql is of PostgreSQL 9", "backup.postgres_bin"]);
    fs::remove_file(bin.join("psql")).unwrap();
    refused(&estate, 1, &REPLACE, &["psql is not installed"]);
    // A safety backup that fails ends it.
    let fails =
        "[ \"$1\" = --version ] && exec /usr/bin/pg_dump --version; echo 'no luck' >&2; exit 1";
    programs(&bin, &[("pg_dump", fails)]);
    refused(&estate, 1, &REPLACE, &["no luck", "nothing was changed", "--no-safety-backup"]);
    // One of the two ends in the middle, with and without a complaint.
    let version = |name| format!("[ \"$1\" = --version ] && exec /usr/bin/{name} --version");
    let breaks = format!(
        "{}; case \"$*\" in *--list*) exec /usr/bin/pg_restore \"$@\";; esac; \
         /usr/bin/pg_restore \"$@\" | head -c 3000",
        version("pg_restore")
    );
    programs(&bin, &[("pg_restore", &breaks)]);
    let go_on = [&REPLACE[..], &["--no-safety-backup"]].concat();
    refused(&estate, 1, &go_on, &["has no end", "nothing was changed"]);
    let breaks = format!("{}; head -c 3000 | /usr/bin/psql \"$@\"", version("psql"));
    programs(&bin, &[("psql", &breaks)]);
    refused(&estate, 1, &go_on, &["it is as it was"]);
    programs(&bin, &[]);
    estate.run(&REPLACE);
}

#[test]
fn a_file_that_somebody_has_open_is_not_replaced() {
    let estate = Estate::sqlite();
    estate.back_up();
    estate.add_usage(3);
    let other = rusqlite::Connection::open(estate.path("figw.db")).unwrap();
    other.query_row("SELECT count(*) FROM usage", [], |_| Ok(())).unwrap();
    refused(&estate, 1, &REPLACE, &["another process has", "stop it first"]);
    drop(other);
    estate.run(&REPLACE);
    assert_eq!(estate.usage_count(), 0);
}

/// A gateway that serves, with its backups in this directory.
fn gateway(backups: &TempDir, database: Option<&str>) -> Gateway {
    let plan = Plan::in_front_of("http://127.0.0.1:1/v1")
        .models(["m"])
        .settings(&format!("backup:\n  directory: {}\n", backups.path().display()));
    let plan = match database {
        Some(url) => plan.database(url),
        None => plan,
    };
    let mut gateway = plan.prepare();
    gateway.run(&["backup"]);
    gateway.serve();
    gateway
}

fn restore(gateway: &Gateway) -> (Option<i32>, String) {
    let Output { status, stderr, .. } =
        gateway.command().args(REPLACE).stdin(Stdio::null()).output().unwrap();
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

fn drain(gateway: &Gateway) {
    let url = format!("{}/admin/drain", gateway.admin_url());
    let curl = std::process::Command::new("curl").args(["-s", "-X", "POST", &url]).output();
    assert!(curl.unwrap().status.success());
    assert_eq!(gateway.status()["draining"], true);
}

#[test]
fn a_gateway_on_postgresql_must_be_drained() {
    let server = Postgres::start_new();
    let backups = TempDir::new().unwrap();
    let database = server.create_database("gateway");
    let gateway = gateway(&backups, Some(&database));
    let before = hashes(&database);
    let (status, said) = restore(&gateway);
    assert_eq!(status, Some(1), "{said}");
    let lever = format!("curl -X POST {}/admin/drain", gateway.admin_url());
    assert!(said.contains(&lever), "{said}");

    // Somebody who cannot ask it sees its sessions.
    let stranger = Estate::postgres(&server, "stranger");
    stranger.back_up();
    let into = ["--yes", "restore", "latest", "--replace", "--into", &database];
    let why = stranger.fails(1, &into);
    assert!(why.contains("is in use") && why.contains("127.0.0.1"), "{why}");
    assert_eq!(hashes(&database), before);

    psql(&database, "DELETE FROM endpoints");
    drain(&gateway);
    let (status, said) = restore(&gateway);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("undrain") && said.contains("backed up as"), "{said}");
    assert_eq!(hashes(&database), before);
}

#[test]
fn a_gateway_on_sqlite_must_be_stopped() {
    let backups = TempDir::new().unwrap();
    let mut gateway = gateway(&backups, None);
    drain(&gateway);
    let (status, said) = restore(&gateway);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("stop it first"), "{said}");
    gateway.terminate();
    gateway.wait_for_exit(Duration::from_secs(20));
    let (status, said) = restore(&gateway);
    assert_eq!(status, Some(0), "{said}");
    gateway.serve();
}

/// Kills restores at moments that are spread over the whole time that one takes. Each leaves
/// either the old data or the new.
fn kill_again_and_again(estate: &Estate, times: u32) {
    estate.add_usage(4000);
    let new = estate.hashes();
    let id = estate.back_up();
    let arguments = ["--yes", "restore", &id, "--replace"];
    let since = Instant::now();
    estate.run(&arguments);
    let whole = since.elapsed();
    let (mut old_stayed, mut killed) = (0, 0);
    for moment in 0..times {
        estate.execute("DELETE FROM usage WHERE prompt_tokens % 2 = 0; DELETE FROM clusters");
        estate.add_usage(50 + moment);
        let old = estate.hashes();
        let mut child =
            estate.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(whole * (2 * moment + 1) / (2 * times));
        child.kill().unwrap();
        killed += u32::from(!child.wait().unwrap().success());
        let found = estate.hashes();
        old_stayed += u32::from(found == old);
        assert!(found == old || found == new, "moment {moment}: {found:?} {old:?} {new:?}");
    }
    assert!(killed > times / 2 && old_stayed > times / 4, "{killed} {old_stayed} of {times}");
    // pg_dump and psql end a moment after figw.
    eventually(Duration::from_secs(20), || estate.figw(&arguments).status == Some(0));
    assert_eq!(estate.hashes(), new);
    let good: BTreeMap<_, _> = estate.listed().into_iter().collect();
    assert!(good.values().all(|state| state == "good"), "{good:?}");
}

#[test]
fn a_restore_that_is_killed_leaves_the_old_data_or_the_new_on_sqlite() {
    let estate = Estate::sqlite();
    kill_again_and_again(&estate, 20);
    let names = fs::read_dir(estate.path("")).unwrap();
    let names: Vec<_> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(
        !names.iter().any(|name| name.starts_with('.') || name.contains("damaged")),
        "{names:?}"
    );
}

#[test]
fn a_restore_that_is_killed_leaves_the_old_data_or_the_new_on_postgresql() {
    let server = Postgres::start_new();
    let estate = Estate::postgres(&server, "estate");
    kill_again_and_again(&estate, 20);
}

#[test]
fn a_server_that_goes_away_in_the_middle_keeps_the_old_data() {
    let mut server = Postgres::start_new();
    let estate = Estate::postgres(&server, "estate");
    estate.add_usage(20_000);
    estate.back_up();
    estate.add_usage(7);
    let old = estate.hashes();
    let child = estate
        .command(&[&REPLACE[..], &["--no-safety-backup"]].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    eventually(Duration::from_secs(20), || {
        let copying = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY public.usage%'";
        server.query("postgres", copying) == "1"
    });
    server.kill();
    let why = Said::from(child.wait_with_output().unwrap()).refused(1);
    assert!(why.contains("it is as it was"), "{why}");
    server.start();
    assert_eq!(estate.hashes(), old);
}
