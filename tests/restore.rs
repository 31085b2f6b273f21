//! Databases that were wrecked, and how they come back.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a test")]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use serde_json::Value;
use support::{
    backups::{Estate, Said, age_key, hashes},
    postgres::Postgres,
};

const REPLACE: [&str; 4] = ["--yes", "restore", "latest", "--replace"];

#[test]
fn a_wrecked_postgresql_database_is_as_it_was() {
    let server = Postgres::start_new();
    let estate = Estate::postgres(&server, "estate");
    let wreck = "DROP TABLE tasks; DELETE FROM usage WHERE status = 200 AND prompt_tokens > 50; \
        UPDATE clusters SET adapter = 'wrong'; CREATE TABLE strange (x int); \
        CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE DOMAIN small AS int; \
        CREATE VIEW moods AS SELECT 'good'::mood; CREATE SEQUENCE steps; \
        CREATE FUNCTION f(mood) RETURNS int LANGUAGE sql AS 'SELECT 1'; \
        CREATE PROCEDURE p() LANGUAGE sql AS 'SELECT 1'; \
        CREATE MATERIALIZED VIEW m AS SELECT * FROM usage; \
        CREATE SCHEMA \"odd one\"; CREATE TABLE \"odd one\".t (x mood); \
        CREATE OPERATOR <-> (LEFTARG = int, RIGHTARG = int, FUNCTION = int4mi); \
        CREATE OPERATOR FAMILY several USING btree; \
        CREATE COLLATION plain (LOCALE = 'C'); \
        CREATE CONVERSION odd FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8; \
        CREATE TEXT SEARCH CONFIGURATION terse (COPY = simple); \
        CREATE TEXT SEARCH DICTIONARY few (TEMPLATE = simple); \
        CREATE FOREIGN DATA WRAPPER wrapper; CREATE SERVER elsewhere FOREIGN DATA WRAPPER wrapper; \
        CREATE PUBLICATION everything FOR ALL TABLES; \
        CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql \
            AS $$ BEGIN RAISE EXCEPTION 'nothing may be dropped'; END $$; \
        CREATE EVENT TRIGGER watching ON sql_drop EXECUTE FUNCTION refuse(); \
        SELECT lo_create(4711)";
    a_wrecked_database_is_as_it_was(&estate, wreck);
    // Nothing of the wreck is left.
    let left = "SELECT count(*) FROM pg_class WHERE relname IN ('strange', 'moods', 'steps', 'm')";
    assert_eq!(server.query("estate", left), "0");
    let left = "SELECT count(*) FROM pg_type WHERE typname IN ('mood', 'small')";
    assert_eq!(server.query("estate", left), "0");
    let left = "SELECT (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_event_trigger) \
        + (SELECT count(*) FROM pg_foreign_data_wrapper) + (SELECT count(*) FROM pg_foreign_server) \
        + (SELECT count(*) FROM pg_operator WHERE oprname = '<->' AND oprleft = 'int'::regtype) \
        + (SELECT count(*) FROM pg_collation WHERE collname = 'plain') \
        + (SELECT count(*) FROM pg_conversion WHERE conname = 'odd') \
        + (SELECT count(*) FROM pg_opfamily WHERE opfname = 'several') \
        + (SELECT count(*) FROM pg_ts_config WHERE cfgname = 'terse') \
        + (SELECT count(*) FROM pg_ts_dict WHERE dictname = 'few')";
    assert_eq!(server.query("estate", left), "0");
    assert_eq!(server.query("estate", "SELECT count(*) FROM pg_largeobject_metadata"), "0");
}

#[test]
fn large_objects_are_content_too() {
    let server = Postgres::start_new();
    let estate = Estate::postgres(&server, "estate");
    estate.back_up();
    let into = server.create_database("objects");
    server.query("objects", "SELECT lo_create(4711)");
    let why = estate.fails(1, &["restore", "latest", "--into", &into]);
    assert!(why.contains("LARGE OBJECT 4711") && why.contains("--replace"), "{why}");
    assert_eq!(server.query("objects", "SELECT count(*) FROM pg_largeobject_metadata"), "1");
}

#[test]
fn a_wrecked_sqlite_file_is_as_it_was() {
    let estate = Estate::sqlite();
    let wreck = "DROP TABLE tasks; DELETE FROM usage WHERE prompt_tokens > 50; \
        CREATE TABLE strange (x int)";
    a_wrecked_database_is_as_it_was(&estate, wreck);
}

fn a_wrecked_database_is_as_it_was(estate: &Estate, wreck: &str) {
    estate.add_usage(5000);
    let before = estate.hashes();
    let id = estate.back_up();
    estate.add_usage(100);
    estate.execute(wreck);
    let wrecked = estate.hashes();
    assert_ne!(before, wrecked);

    let restored = estate.json(&REPLACE);
    assert_eq!(restored["id"], *id);
    assert_eq!(estate.hashes(), before);
    assert_eq!(rows(&restored)["usage"], 5000);
    assert_eq!(restored["schema"], *newest_migration(estate));
    assert!(!restored["into"].as_str().unwrap().contains("secret"), "{restored}");

    // What was given up is a good backup, too, but not what `latest` means.
    let safety = restored["safety_backup"].as_str().unwrap();
    assert!(estate.listed().contains(&(safety.to_owned(), "good".to_owned())));
    estate.run(&["backup", "verify", safety]);
    let again = estate.json(&REPLACE);
    assert_eq!(again["id"], *id, "not the safety backup");
    estate.run(&["--yes", "restore", safety, "--replace", "--no-safety-backup"]);
    assert_eq!(estate.hashes(), wrecked);
    let text = estate.run(&["--yes", "restore", &id, "--replace", "--no-safety-backup"]);
    assert!(text.contains("TABLE") && text.contains("5000"), "{text}");
    assert_eq!(estate.hashes(), before);
    assert_eq!(hidden_files(estate), Vec::<String>::new());
}

/// Rows of each table, by its name without a schema.
fn rows(restored: &Value) -> BTreeMap<String, u64> {
    let tables = restored["tables"].as_object().unwrap();
    let name = |name: &str| name.rsplit('.').next().unwrap().to_owned();
    tables.iter().map(|(table, rows)| (name(table), rows.as_u64().unwrap())).collect()
}

fn newest_migration(estate: &Estate) -> String {
    let list = estate.json(&["backup", "list"]);
    list["backups"][0]["manifest"]["database"]["schema"].as_str().unwrap().to_owned()
}

fn hidden_files(estate: &Estate) -> Vec<String> {
    let names = fs::read_dir(estate.path("")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with('.')).collect()
}

#[test]
fn a_backup_made_while_rows_are_written_is_whole() {
    let server = Postgres::start_new();
    let estates = [Estate::postgres(&server, "busy"), Estate::sqlite()];
    for estate in estates {
        estate.add_usage(3000);
        let writing = estate.keep_writing();
        let least = estate.usage_count();
        let id = estate.back_up();
        let most = estate.usage_count();
        assert!(writing.stop() > 0);
        let into = if estate.is_sqlite() {
            format!("sqlite:{}", estate.path("other.db").display())
        } else {
            server.create_database("other")
        };
        let restored = estate.json(&["restore", &id, "--into", &into]);
        let usage = rows(&restored)["usage"];
        assert!((least..=most).contains(&usage), "{least} {usage} {most}");
        let whole = hashes(&into).into_iter().map(|(name, hash)| {
            (
                name.rsplit('.').next().unwrap().to_owned(),
                hash.split(':').next().unwrap().to_owned(),
            )
        });
        let counted = rows(&restored).into_iter().map(|(name, rows)| (name, rows.to_string()));
        let counted = counted.filter(|(name, _)| name != "upkeep");
        assert_eq!(whole.collect::<BTreeMap<_, _>>(), counted.collect());
        assert_eq!(restored["safety_backup"], Value::Null, "nothing was replaced");
    }
}

#[test]
fn a_lost_sqlite_file_is_made_anew_for_its_owner_alone() {
    let estate = Estate::sqlite();
    estate.add_usage(200);
    let before = estate.hashes();
    estate.back_up();
    let path = estate.path("figw.db");
    fs::remove_file(&path).unwrap();
    // A log without its file would be taken for the new file's.
    fs::write(estate.path("figw.db-wal"), b"somebody else's log").unwrap();
    fs::write(estate.path(".figw.db.figw-restore"), vec![7; 100_000]).unwrap();
    let restored = estate.json(&["restore", "latest"]);
    assert_eq!(estate.hashes(), before);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let aside = restored["set_aside"][0].as_str().unwrap();
    assert!(aside.contains("figw.db.damaged-") && aside.ends_with("-wal"), "{aside}");
    assert_eq!(fs::read(aside).unwrap(), b"somebody else's log");
    assert_eq!(hidden_files(&estate), Vec::<String>::new());
}

#[test]
fn a_damaged_sqlite_file_is_set_aside_whole() {
    for first in [0, 40] {
        let estate = Estate::sqlite();
        estate.add_usage(2000);
        let before = estate.hashes();
        estate.back_up();
        let path = estate.path("figw.db");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        // Either the head is garbage or, with a good head, pages further on are.
        let mut bytes = fs::read(&path).unwrap();
        bytes[first * 4096..(first + 8) * 4096].fill(0xa5);
        fs::write(&path, &bytes).unwrap();
        let restored = estate.json(&REPLACE);
        assert_eq!(estate.hashes(), before);
        let aside = restored["set_aside"][0].as_str().unwrap();
        assert_eq!(fs::read(aside).unwrap().len(), bytes.len());
        assert!(
            Path::new(aside).file_name().unwrap().to_str().unwrap().starts_with("figw.db.damaged-")
        );
        assert_eq!(restored["safety_backup"], Value::Null);
        let mode = fs::metadata(&path).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o640, "as the file before it");
    }
}

#[test]
fn a_link_to_the_file_stays_a_link() {
    let estate = Estate::sqlite();
    let before = estate.hashes();
    estate.back_up();
    let (path, elsewhere) = (estate.path("figw.db"), estate.path("elsewhere.db"));
    fs::rename(&path, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    estate.add_usage(10);
    estate.run(&REPLACE);
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    assert_eq!(estate.hashes(), before);
}

#[test]
fn an_encrypted_backup_comes_back_with_its_configuration_and_secrets() {
    let estate = Estate::sqlite();
    let (key, public) = age_key(&estate.path(""), "key.txt");
    let (_, other) = age_key(&estate.path(""), "other.txt");
    estate.configure(&format!(
        "  encrypt_to: [{other}, {public}]\n  config_paths: [{}]\n",
        estate.path("site").display()
    ));
    fs::create_dir(estate.path("site")).unwrap();
    fs::write(estate.path("site/motd"), "welcome").unwrap();
    std::os::unix::fs::symlink("/etc/hostname", estate.path("site/link")).unwrap();
    let before = estate.hashes();
    let id = estate.back_up();
    estate.execute("DELETE FROM api_keys");
    let to = estate.path("unpacked");
    let (key, directory) = (key.to_str().unwrap(), to.to_str().unwrap());
    let arguments =
        [&REPLACE[..], &["--identity", key, "--config-to", directory, "--no-safety-backup"]]
            .concat();
    let restored = estate.json(&arguments);
    assert_eq!(restored["config_to"], directory);
    assert_eq!(estate.hashes(), before);
    assert_eq!(fs::metadata(&to).unwrap().mode() & 0o777, 0o700);
    assert_eq!(
        fs::read(to.join("config/config.yaml")).unwrap(),
        fs::read(estate.path("config.yaml")).unwrap()
    );
    let motd = format!("files{}/site/motd", estate.path("").display());
    assert_eq!(fs::read_to_string(to.join(motd)).unwrap(), "welcome");
    assert!(to.join("secrets.yaml").exists() && to.join("catalogue.yaml").exists());

    let full = estate.fails(1, &["restore", &id, "--identity", key, "--config-to", directory]);
    assert!(full.contains("not empty"), "{full}");
    assert_eq!(hidden_files(&estate), Vec::<String>::new());
}

#[test]
fn the_configuration_alone_is_unpacked() {
    let estate = Estate::sqlite();
    let id = estate.json(&["backup", "--kind", "config"])["id"].as_str().unwrap().to_owned();
    let refused = estate.fails(2, &["restore", &id]);
    assert!(refused.contains("--config-to"), "{refused}");
    let to = estate.path("unpacked");
    fs::create_dir(&to).unwrap();
    let before = estate.hashes();
    let restored = estate.json(&["restore", &id, "--config-to", to.to_str().unwrap()]);
    assert_eq!(restored.get("into"), None);
    assert!(to.join("config/config.yaml").exists());
    assert_eq!(estate.hashes(), before);

    let here = estate.path("here");
    fs::create_dir(&here).unwrap();
    let mut restore = estate.command(&["restore", &id, "--config-to", "."]);
    assert!(restore.current_dir(&here).output().unwrap().status.success());
    assert!(here.join("config/config.yaml").exists());
    let deep = estate.path("no/such");
    let why = estate.fails(1, &["restore", &id, "--config-to", deep.to_str().unwrap()]);
    assert!(why.contains("above it does not exist"), "{why}");
}

#[test]
fn an_older_schema_ends_with_the_command_that_is_left_to_run() {
    let estate = Estate::sqlite();
    estate.execute(
        "DROP TABLE tasks; DELETE FROM refinery_schema_history \
         WHERE version = (SELECT max(version) FROM refinery_schema_history)",
    );
    let before = estate.hashes();
    let id = estate.json(&["backup", "--kind", "database"])["id"].as_str().unwrap().to_owned();
    let said = estate.figw(&["--yes", "restore", &id, "--replace"]);
    assert_eq!(said.status, Some(0), "{said:?}");
    assert!(said.stderr.contains("run `figw migrate`"), "{said:?}");
    assert_eq!(estate.hashes(), before);
    estate.run(&["--yes", "migrate"]);
}

#[test]
fn privileges_of_other_roles_are_told_of() {
    let server = Postgres::start_new();
    let estate = Estate::postgres(&server, "estate");
    server.query("estate", "CREATE ROLE auditor; GRANT SELECT ON usage TO auditor");
    estate.back_up();
    let into = server.create_database("other");
    let restored = estate.json(&["restore", "latest", "--into", &into]);
    let hints = restored["hints"].to_string();
    assert!(hints.contains("grant them anew"), "{hints}");
    assert!(hints.contains("--config-to"), "{hints}");
}

#[test]
fn what_is_left_off_site_alone_comes_back() {
    let estate = Estate::sqlite();
    estate.configure(&format!("  offsite_url: file://{}\n", estate.path("elsewhere").display()));
    estate.add_usage(100);
    let before = estate.hashes();
    let id = estate.back_up();
    fs::remove_dir_all(estate.backups()).unwrap();
    fs::remove_file(estate.path("figw.db")).unwrap();
    assert_eq!(estate.json(&["restore", "latest"])["id"], *id);
    assert_eq!(estate.hashes(), before);
    fs::remove_dir_all(estate.backups()).unwrap();
    estate.run(&["backup", "drill"]);
}

#[test]
fn latest_is_the_newest_of_ones_own_database() {
    let (estate, neighbour, newcomer) = (Estate::sqlite(), Estate::sqlite(), Estate::sqlite());
    let here = |other: &Estate, arguments: &[&str]| -> Said {
        let mut command = other.command(arguments);
        command.env("FIGW_BACKUP__DIRECTORY", estate.backups()).output().unwrap().into()
    };
    let own = estate.back_up();
    let health = here(&neighbour, &["health", "--only", "backup"]);
    assert_eq!(health.status, Some(2), "somebody else's backup helps nobody: {health:?}");
    assert!(health.stdout.contains(neighbour.url()) && health.stdout.contains(estate.url()));

    let theirs = here(&neighbour, &["--output", "json", "backup"]).json()["id"].clone();
    let into = format!("sqlite:{}", estate.path("copy.db").display());
    let restored = estate.json(&["restore", "latest", "--into", &into]);
    assert_eq!(restored["id"], *own);
    assert_ne!(theirs, *own);
    let drilled = estate.json(&["backup", "drill"]);
    assert_eq!((&drilled["id"], &drilled["database"]), (&own.into(), &estate.url().into()));
    let health = here(&neighbour, &["health", "--only", "drill"]);
    assert_eq!(health.status, Some(1), "nor does its drill: {health:?}");

    let why = here(&newcomer, &["restore", "latest"]).refused(1);
    assert!(why.contains(estate.url()) && why.contains(neighbour.url()), "{why}");
}
