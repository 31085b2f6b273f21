//! Point-in-time recovery on a real PostgreSQL: a base backup, archived WAL, and back to a moment.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should say where"
)]

mod support;

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Instant,
};

use serde_json::Value;
use support::{
    archiving::{LIMIT, archiving, note_in_a_segment, notes, now, switch_wal},
    backup_site::{BackupSite, readable_by_all},
    backups::{age_key, eventually, flip_a_byte},
    postgres::{Postgres, as_service_user, newest_bin, psql},
};

/// Of each kind of backup, the newest alone.
const KEEP_ONE: &str = "keep: {last: 1, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0}";
const KEEP_TWO: &str = "keep: {last: 2, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0}";

/// A row with its time every tenth of a second, each a transaction of its own.
fn write_rows(postgres: &Postgres) -> Child {
    let url = postgres.url("postgres");
    psql(&url, "CREATE TABLE stamps (id int PRIMARY KEY, at timestamptz NOT NULL)");
    let rows = "DO $$ BEGIN FOR i IN 1..600 LOOP INSERT INTO stamps VALUES (i, clock_timestamp()); \
                COMMIT; PERFORM pg_sleep(0.1); END LOOP; END $$";
    let mut writer = Command::new(newest_bin().join("psql"));
    writer.args(["-qX", "-d", &url, "-c", rows]).stderr(Stdio::null());
    writer.spawn().expect("psql starts")
}

fn rows(postgres: &Postgres) -> i64 {
    postgres.query("postgres", "SELECT count(*) FROM stamps").parse().unwrap()
}

/// The file of an archived segment.
fn archived_file(site: &BackupSite, segment: &str) -> PathBuf {
    let directory = site.backups().join("wal").join(&segment[..16]);
    let mut files = fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
    let is_it = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(segment);
    files.find(is_it).expect("the segment is archived")
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn base_backup(site: &BackupSite) -> Value {
    json(&site.run(&["--output", "json", "backup", "base"]))
}

/// The first WAL segment that a base backup needs.
fn start_of(site: &BackupSite, id: &Value) -> String {
    let manifest = site.backups().join(id.as_str().unwrap()).join("manifest.json");
    let manifest = json(&fs::read_to_string(manifest).unwrap());
    manifest["base"]["start_wal"].as_str().unwrap().to_owned()
}

fn restore<'a>(time: &'a str, into: &'a Path) -> Vec<&'a str> {
    vec![
        "--output",
        "json",
        "restore",
        "latest",
        "--to-time",
        time,
        "--into",
        into.to_str().unwrap(),
    ]
}

/// Wrecks the server, goes back to a moment between two rows, and checks that exactly the rows
/// before it are there.
fn story(mut site: BackupSite, identity: Option<&Path>) {
    let mut postgres = archiving(&mut site);
    let mut writer = write_rows(&postgres);
    base_backup(&site);
    switch_wal(&site, &postgres);
    let newest = base_backup(&site);
    check_retention(&site, &newest);

    let seen = rows(&postgres);
    eventually(LIMIT, || rows(&postgres) > seen + 8);
    let time = format!(
        "SELECT to_json(at + interval '50 ms')#>>'{{}}' FROM stamps WHERE id = {}",
        seen + 4
    );
    let time = postgres.query("postgres", &time);
    let expected = format!(
        "SELECT md5(string_agg(s::text, ',' ORDER BY id)) FROM stamps s WHERE at <= '{time}'"
    );
    let expected = postgres.query("postgres", &expected);
    switch_wal(&site, &postgres);
    postgres.crash();
    writer.wait().unwrap();

    let data = site.path("recovered");
    let mut arguments = restore(&time, &data);
    if let Some(identity) = identity {
        assert!(site.fail(1, &arguments).contains("--identity FILE"));
        assert!(!data.exists());
        arguments.extend(["--identity", identity.to_str().unwrap()]);
    }
    let laid_out = json(&site.run(&arguments));
    assert_eq!(laid_out["id"], newest["id"]);
    assert_eq!(laid_out["into"], data.to_str().unwrap());
    assert_eq!(laid_out["start_wal"], start_of(&site, &newest["id"]));
    assert_eq!(data.metadata().unwrap().mode() & 0o777, 0o700);

    let recovered = Postgres::start_existing(&data);
    let is_open = "SELECT NOT pg_is_in_recovery()";
    eventually(LIMIT, || recovered.query("postgres", is_open) == "t");
    let found = "SELECT md5(string_agg(s::text, ',' ORDER BY id)) FROM stamps s";
    assert_eq!(recovered.query("postgres", found), expected, "{}", recovered.log());
    assert_eq!(rows(&recovered), seen + 4);

    // It goes on archiving, on its own timeline.
    recovered.query("postgres", "INSERT INTO stamps VALUES (1000, now())");
    let segment = switch_wal(&site, &recovered);
    assert!(segment.starts_with("00000002"), "{segment}");
    site.database(recovered.url("postgres"));
    base_backup(&site);
    assert!(site.archived().contains(&"00000002.history".to_owned()), "histories stay");
}

/// What stays in the archive is what the newest base backup needs, and no more.
fn check_retention(site: &BackupSite, newest: &Value) {
    let first = start_of(site, &newest["id"]);
    // What PostgreSQL notes about a base backup is archived last.
    let is_noted = |name: &String| name.starts_with(&first) && name.ends_with("backup");
    eventually(LIMIT, || site.archived().iter().any(is_noted));
    let before = site.archived();
    assert!(before.iter().any(|name| *name < first), "{before:?}");
    let dry = json(&site.run(&["--output", "json", "backup", "prune", "--dry-run"]));
    assert_eq!(dry["wal"]["files"], 0, "both base backups stay");

    let config = fs::read_to_string(site.config()).unwrap();
    fs::write(site.config(), config.replace(KEEP_TWO, KEEP_ONE)).unwrap();
    let dry = json(&site.run(&["--output", "json", "backup", "prune", "--dry-run"]));
    let going = before.iter().filter(|name| **name < first).count();
    assert_eq!(dry["wal"]["files"], going);
    assert_eq!(dry["wal"]["needed_from"], *first);
    assert_eq!(site.archived(), before, "a dry run removes nothing");

    let said = site.run(&["backup", "prune"]);
    assert!(said.contains(&format!("{going} files removed, all before {first}")), "{said}");
    let after = site.archived();
    let kept: Vec<_> = before.into_iter().filter(|name| *name >= first).collect();
    assert!(after.starts_with(&kept), "{after:?} instead of {kept:?}");
}

#[test]
fn after_a_crash_every_row_up_to_the_moment_is_there_and_none_after() {
    story(BackupSite::new(&[KEEP_TWO]), None);
}

#[test]
fn an_encrypted_archive_recovers_with_its_key() {
    let site = BackupSite::new(&[]);
    let (secret, public) = age_key(site.directory(), "key");
    // PostgreSQL fetches with the key, too.
    readable_by_all(&secret);
    site.configure(&[KEEP_TWO, &format!("encrypt_to: [{public}]")]);
    story(site, Some(&secret));
}

#[test]
fn a_gap_in_the_archive_is_found_before_anything_is_laid_out() {
    let mut site = BackupSite::new(&[]);
    let postgres = archiving(&mut site);
    let before = base_backup(&site)["id"].clone();
    postgres.query("postgres", "CREATE TABLE notes (note text)");
    let early = now(&postgres);
    note_in_a_segment(&site, &postgres, "1");
    let gap = note_in_a_segment(&site, &postgres, "2");
    note_in_a_segment(&site, &postgres, "3");
    let late = now(&postgres);
    let kept = site.path("kept");
    fs::rename(archived_file(&site, &gap), &kept).unwrap();

    let (verified, _) = site.expect(1, &["backup", "verify"]);
    let why = format!("archived WAL  BAD   the archive here lacks the segment {gap}");
    assert!(verified.contains(&why), "{verified}");
    let (health, _) = site.expect(2, &["health", "--only", "wal", "--deep"]);
    assert!(health.contains(&gap), "{health}");

    let data = site.path("recovered");
    let said = site.fail(1, &restore(&late, &data));
    assert_eq!(said.lines().count(), 1, "{said}");
    let why = format!("segment {gap} is not in {}", site.backups().join("wal").display());
    assert!(said.contains(&why) && said.contains("--to-time can be until about"), "{said}");
    assert!(!data.exists());
    // Until then it leads without a break, and after a new base backup once more.
    assert_eq!(json(&site.run(&restore(&early, &data)))["id"], before);
    fs::remove_dir_all(&data).unwrap();
    let after = base_backup(&site)["id"].clone();
    let later = now(&postgres);
    note_in_a_segment(&site, &postgres, "4");
    assert_eq!(json(&site.run(&restore(&later, &data)))["id"], after);
    site.run(&["backup", "verify"]);
    site.expect(0, &["health", "--only", "wal", "--deep"]);
}

/// The server was brought back to a moment, and went on from there.
#[test]
fn a_recovery_begins_with_a_base_backup_that_leads_to_its_timeline() {
    let mut site = BackupSite::new(&[]);
    let mut old = archiving(&mut site);
    let first = base_backup(&site)["id"].clone();
    note_in_a_segment(&site, &old, "1-kept");
    let good = now(&old);
    note_in_a_segment(&site, &old, "2-given-up");
    let given_up = base_backup(&site)["id"].clone();
    note_in_a_segment(&site, &old, "3-given-up");
    let bad = now(&old);
    note_in_a_segment(&site, &old, "4-given-up");
    old.crash();

    let recover = |time: &str, into: &Path, more: &[&str], id: &Value, timeline: u32| {
        let laid_out = json(&site.run(&[&restore(time, into)[..], more].concat()));
        assert_eq!((&laid_out["id"], &laid_out["timeline"]), (id, &timeline.into()));
        Postgres::start_existing(into)
    };
    let second = recover(&good, &site.path("second"), &[], &first, 1);
    assert_eq!(notes(&second), "1-kept");
    eventually(LIMIT, || site.archived().contains(&"00000002.history".to_owned()));
    note_in_a_segment(&site, &second, "5-new");
    let newest = now(&second);
    note_in_a_segment(&site, &second, "6-new");

    // The newest base backup belongs to the time that was given up.
    let named = ["restore", given_up.as_str().unwrap(), "--to-time", &newest, "--into"];
    let none = site.path("none");
    let said = site.fail(1, &[&named[..], &[none.to_str().unwrap()]].concat());
    assert!(said.contains("after timeline 2 had left that at 0/"), "{said}");
    assert!(said.contains("--timeline 1") && said.lines().count() == 1, "{said}");
    let third = recover(&newest, &site.path("third"), &[], &first, 2);
    assert_eq!(notes(&third), "1-kept 5-new", "{}", third.log());

    // Whoever went back too far finds what was given up on its own timeline.
    let along = ["--timeline", "1"];
    let fourth = recover(&bad, &site.path("fourth"), &along, &given_up, 1);
    assert_eq!(notes(&fourth), "1-kept 2-given-up 3-given-up", "{}", fourth.log());
    let nowhere = [&restore(&bad, &none)[..], &["--timeline", "9"]].concat();
    assert!(site.fail(1, &nowhere).contains("no history of timeline 9"));
}

#[test]
fn an_interrupted_restore_leaves_its_place_as_it_was() {
    let mut site = BackupSite::new(&[]);
    let postgres = archiving(&mut site);
    let made = base_backup(&site);
    let end = now(&postgres);
    switch_wal(&site, &postgres);

    let data = site.path("place/recovered");
    fs::create_dir(site.path("place")).unwrap();
    let arguments = restore(&end, &data);
    let since = Instant::now();
    site.run(&arguments);
    let takes = since.elapsed();
    fs::remove_dir_all(&data).unwrap();
    for n in 0..8_u32 {
        let mut restoring = site.command(&arguments).stdout(Stdio::null()).spawn().unwrap();
        sleep(takes * n / 8);
        restoring.kill().unwrap();
        restoring.wait().unwrap();
        if data.exists() {
            assert!(data.join("recovery.signal").exists(), "whole or not at all");
            fs::remove_dir_all(&data).unwrap();
        }
    }
    fs::create_dir(&data).unwrap();
    site.run(&arguments);
    assert_eq!(fs::read_dir(site.path("place")).unwrap().count(), 1, "nothing hidden stays");
    assert!(site.fail(2, &arguments).contains("it is not empty"));

    what_does_not_fit_is_refused(&site, &made, &end);
    a_damaged_base_is_refused(&site, &made, &end);
}

fn what_does_not_fit_is_refused(site: &BackupSite, made: &Value, end: &str) {
    let id = made["id"].as_str().unwrap();
    let new = site.path("new");
    let new = new.to_str().unwrap();
    let refused = |status, arguments: &[&str], why: &str| {
        let said = site.fail(status, &[&["restore"][..], arguments].concat());
        assert!(said.contains(why), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(!Path::new(new).exists());
    };
    let long_ago = "2020-01-01T00:00:00Z";
    refused(
        1,
        &["latest", "--to-time", long_ago, "--into", new],
        "the oldest one allows --to-time",
    );
    refused(1, &[id, "--to-time", long_ago, "--into", new], "name an earlier one");
    refused(2, &[id, "--to-time", "2100-01-01T00:00:00Z", "--into", new], "in the future");
    refused(2, &[id, "--to-time", end], "--into DIR");
    refused(2, &[id, "--to-time", end, "--into", "postgres://h/db"], "names a directory");
    refused(2, &[id, "--to-time", end, "--into", "/nowhere/at/all"], "does not exist");
    refused(1, &["20200101T000000Z-0000", "--to-time", end, "--into", new], "there is no backup");

    let note = site.backups().join("wal/system-identifier");
    let known = fs::read_to_string(&note).unwrap();
    fs::write(&note, "1\n").unwrap();
    refused(1, &[id, "--to-time", end, "--into", new], "WAL of the PostgreSQL cluster 1");
    fs::write(&note, known).unwrap();
}

fn a_damaged_base_is_refused(site: &BackupSite, made: &Value, end: &str) {
    let part = site.backups().join(made["id"].as_str().unwrap()).join("base.tar.zst");
    flip_a_byte(&part);
    let new = site.path("new");
    assert!(site.fail(1, &restore(end, &new)).contains("is damaged"));
    assert!(!new.exists());
    assert_eq!(site.fail(1, &["backup", "verify"]), "");
    assert!(site.fail(1, &restore(end, &new)).contains("no good base backup"));
}

#[test]
fn a_base_backup_says_what_the_server_lacks() {
    let mut site = BackupSite::new(&[]);
    let said = site.fail(2, &["backup", "base"]);
    assert!(said.contains("SQLite") && said.contains("`figw backup`"), "{said}");

    let postgres = Postgres::start_new();
    site.database(postgres.url("postgres"));
    let (out, said) = site.expect(0, &["backup", "base"]);
    assert!(out.contains("base backup"), "{out}");
    assert!(said.contains("archive_mode is off"), "{said}");

    postgres.query("postgres", "CREATE ROLE reader LOGIN");
    let url = postgres.url("postgres").replace("figw:", "reader:");
    site.configure(&[&format!("replication_url: \"{url}\"")]);
    let said = site.fail(1, &["backup", "base"]);
    assert!(said.contains("ALTER ROLE … REPLICATION"), "{said}");
    postgres.query("postgres", "ALTER ROLE reader REPLICATION");
    site.expect(0, &["backup", "base"]);

    let place = site.path("tablespace");
    assert!(as_service_user(Path::new("mkdir")).arg(&place).status().unwrap().success());
    let statement = format!("CREATE TABLESPACE elsewhere LOCATION '{}'", place.display());
    postgres.query("postgres", &statement);
    let said = site.fail(1, &["backup", "base"]);
    assert!(said.contains("tablespaces of its own (elsewhere)"), "{said}");

    let listed = json(&site.run(&["--output", "json", "backup", "list"]));
    let states: Vec<_> =
        listed["backups"].as_array().unwrap().iter().map(|b| &b["state"]).collect();
    assert_eq!(states, ["good", "good"]);
    let hidden = fs::read_dir(site.backups())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".new-"));
    assert_eq!(hidden.count(), 0);
}
