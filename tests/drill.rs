//! Drills: the newest backup in a scratch database, by the clock.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a test")]

mod support;

use std::{fs, process::Stdio, thread, time::Duration};

use figw::ops::{backup::repository::Repository, drill};
use serde_json::Value;
use support::{
    backups::{Estate, Said, eventually, flip_a_byte},
    postgres::{Postgres, psql},
};

const DRILL: [&str; 4] = ["--output", "json", "backup", "drill"];

/// The report of a drill that ends with this status.
#[track_caller]
fn drill(estate: &Estate, status: i32, arguments: &[&str]) -> Value {
    let said = estate.figw(&[&DRILL[..], arguments].concat());
    assert_eq!(said.status, Some(status), "{said:?}");
    let report = said.json();
    assert_eq!(report["ok"], status == 0, "{report}");
    let kept = fs::read(estate.backups().join("drill.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&kept).unwrap(), report, "for `figw health`");
    report
}

fn reason(report: &Value) -> &str {
    report["reason"].as_str().unwrap()
}

fn scratch_databases(server: &Postgres) -> String {
    server.query("postgres", "SELECT datname FROM pg_database WHERE datname LIKE 'figw_drill_%'")
}

fn hidden(estate: &Estate) -> Vec<String> {
    let names = fs::read_dir(estate.backups()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with('.') && name != ".lock").collect()
}

#[test]
fn a_drill_measures_and_leaves_nothing_behind() {
    let server = Postgres::start_new();
    for estate in [Estate::sqlite(), Estate::postgres(&server, "estate")] {
        assert!(drill::last(&Repository::at(&estate.backups())).unwrap().is_none());
        let none = estate.fails(1, &["backup", "drill"]);
        assert!(none.contains("no backups"), "{none}");
        estate.add_usage(3000);
        let id = estate.back_up();
        let before = estate.hashes();
        let report = drill(&estate, 0, &[]);
        assert_eq!(report["id"], *id);
        assert_eq!(report["reason"], Value::Null);
        let table = if estate.is_sqlite() { "usage" } else { "public.usage" };
        assert_eq!(report["tables"][table], 3000);
        let time = report["recovery_time_seconds"].as_f64().unwrap();
        let point = report["recovery_point_seconds"].as_f64().unwrap();
        assert!(time > 0.0 && time < 60.0 && point > 0.0 && point < 60.0, "{report}");
        assert_eq!(report["objectives"]["rto_seconds"], 7200.0);
        assert_eq!(report["objectives"]["rpo_seconds"], 3600.0);
        assert_eq!(scratch_databases(&server), "");
        assert_eq!(hidden(&estate), Vec::<String>::new());
        assert_eq!(estate.hashes(), before, "the database itself is left alone");
        let last = drill::last(&Repository::at(&estate.backups())).unwrap().unwrap();
        assert_eq!(last.id, Some(id));
        let text = estate.run(&["backup", "drill"]);
        assert!(text.contains("recovered in"), "{text}");
    }
}

#[test]
fn an_objective_that_is_missed_is_exit_1() {
    let estate = Estate::sqlite();
    estate.configure("  objectives: {rto: 1ms, rpo: 500ms}\n");
    estate.back_up();
    thread::sleep(Duration::from_millis(600));
    let report = drill(&estate, 1, &[]);
    let reason = reason(&report);
    assert!(reason.contains("objectives.rto") && reason.contains("objectives.rpo"), "{reason}");
    assert!(report["tables"]["usage"].is_number(), "it was restored all the same: {report}");
}

#[test]
fn a_backup_that_cannot_be_restored_is_exit_1() {
    let estate = Estate::sqlite();
    let good = estate.back_up();
    let bad = estate.back_up();
    flip_a_byte(&estate.backups().join(&bad).join("database.sqlite.zst"));
    let report = drill(&estate, 1, &[]);
    assert_eq!(report["id"], *bad);
    assert_eq!(report["recovery_time_seconds"], Value::Null);
    assert!(reason(&report).contains("damaged"), "{report}");
    // Now it is known to be broken, and the one before it is the newest good one.
    assert_eq!(drill(&estate, 0, &[])["id"], *good);
    fs::remove_file(estate.backups().join(&good).join("manifest.json")).unwrap();
    let report = drill(&estate, 1, &[]);
    assert_eq!(report["id"], Value::Null);
    assert!(reason(&report).contains("no good backup"), "{report}");
}

#[test]
fn a_database_given_by_hand_must_be_empty_and_is_emptied() {
    let server = Postgres::start_new();
    let estate = Estate::postgres(&server, "estate");
    estate.back_up();
    let given = server.create_database("given");
    drill(&estate, 0, &["--into", &given]);
    assert_eq!(
        server.query("given", "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"),
        "0"
    );
    psql(&given, "CREATE TABLE precious (x int); INSERT INTO precious VALUES (1)");
    // A wrong database says nothing about the backups, and the report stays as it was.
    let report = estate.backups().join("drill.json");
    let kept = fs::read(&report).unwrap();
    let why = estate.fails(2, &["backup", "drill", "--into", &given]);
    assert!(why.contains("public.precious"), "{why}");
    assert_eq!(psql(&given, "SELECT x FROM precious"), "1");
    let own = estate.url().to_owned();
    let before = estate.hashes();
    estate.fails(2, &["backup", "drill", "--into", &own]);
    assert_eq!(estate.hashes(), before);
    assert!(fs::read(&report).unwrap() == kept);

    let estate = Estate::sqlite();
    fs::create_dir_all(estate.backups()).unwrap();
    let why = estate.fails(1, &["backup", "drill"]);
    assert!(why.contains("figw backup") && !estate.backups().join("drill.json").exists(), "{why}");
    estate.back_up();
    let path = estate.path("given.db");
    let given = format!("sqlite:{}", path.display());
    drill(&estate, 0, &["--into", &given]);
    assert!(!path.exists());
    let before = estate.hashes();
    estate.fails(2, &["backup", "drill", "--into", estate.url()]);
    assert_eq!(estate.hashes(), before);
    let wrong = estate.fails(2, &["backup", "drill", "--into", &server.url("given")]);
    assert!(wrong.contains("--into sqlite:PATH"), "{wrong}");
}

#[test]
fn a_role_that_may_create_no_database_is_told_what_to_do() {
    let server = Postgres::start_new();
    let estate = Estate::postgres(&server, "estate");
    estate.back_up();
    server.query("estate", "CREATE ROLE limited LOGIN");
    server.query("estate", "GRANT pg_read_all_data TO limited");
    let url = estate.url().replace("figw:", "limited:");
    let said: Said = estate.command(&DRILL).env("FIGW_DATABASE__URL", url).output().unwrap().into();
    assert_eq!(said.status, Some(1), "{said:?}");
    let report = said.json();
    assert!(reason(&report).contains("CREATEDB") && reason(&report).contains("--into"), "{report}");
}

#[test]
fn what_killed_drills_have_left_is_removed_by_the_next() {
    let server = Postgres::start_new();
    let estate = Estate::postgres(&server, "estate");
    estate.add_usage(4000);
    estate.back_up();
    let mut child = estate.command(&DRILL).stdout(Stdio::null()).spawn().unwrap();
    eventually(Duration::from_secs(20), || !scratch_databases(&server).is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_ne!(scratch_databases(&server), "");
    // Names that only look like a drill's, and one that is in use, are left alone.
    server.create_database("figw_drill_mine");
    let busy = server.create_database("figw_drill_0123456789ab");
    let mut session = std::process::Command::new("psql");
    session.args(["-qX", "-d", &busy, "-c", "SELECT pg_sleep(60)"]).stdout(Stdio::null());
    let mut session = session.spawn().unwrap();
    eventually(Duration::from_secs(20), || {
        let sessions =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = 'figw_drill_0123456789ab'";
        server.query("postgres", sessions) == "1"
    });
    eventually(Duration::from_secs(20), || {
        drill(&estate, 0, &[]);
        scratch_databases(&server).lines().count() == 2
    });
    session.kill().unwrap();
    session.wait().unwrap();
    let left = scratch_databases(&server);
    assert!(left.contains("figw_drill_mine") && left.contains("figw_drill_0123456789ab"), "{left}");

    let estate = Estate::sqlite();
    estate.back_up();
    fs::create_dir(estate.backups().join(".new-drill-x")).unwrap();
    estate.back_up();
    assert_eq!(hidden(&estate), Vec::<String>::new());
}
