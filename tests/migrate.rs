//! `figw migrate` on databases in use: a backup first, failed steps undone, locks bounded.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod support;

use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use figw::store::{
    StoreOptions,
    locks::{Mode, Subject},
    migrate::{self, MigrateError, Migrations, Progress, Run},
};
use serde_json::{Value, json};
use support::{
    backups::{Estate, Said, eventually},
    postgres::{Postgres, psql},
    samples::options,
};

/// Takes a database back to the schema of V2.
fn rewind(estate: &Estate) {
    let trigger = if estate.is_sqlite() {
        "DROP TRIGGER usage_pending;"
    } else {
        "DROP TRIGGER usage_pending ON usage; DROP FUNCTION note_usage_pending;"
    };
    let tables = [
        "tasks",
        "batches",
        "usage_pending",
        "usage_hourly",
        "usage_daily",
        "usage_latency",
        "upkeep",
        "prompts",
    ];
    let tables = tables.map(|table| format!("DROP TABLE {table};")).join(" ");
    estate.execute(&format!(
        "{trigger} {tables} DELETE FROM refinery_schema_history WHERE version > 2"
    ));
}

const PENDING: [&str; 4] = ["V3__batches", "V4__tasks", "V5__roll_ups", "V6__roll_up_earlier_rows"];

/// A database of each kind, one release behind.
fn behind(tell: impl Fn(&Estate)) {
    let server = Postgres::start_new();
    for estate in [Estate::sqlite(), Estate::postgres(&server, "behind")] {
        assert!(!estate.backups().exists(), "nothing to back up in a new database");
        estate.add_usage(20);
        rewind(&estate);
        tell(&estate);
    }
}

/// The id of the second backup: within one second, ids are in no order.
fn another_than(first: &str, estate: &Estate) -> String {
    let ids = estate.listed().into_iter().map(|(id, _)| id);
    ids.into_iter().find(|id| id != first).unwrap()
}

fn schema(estate: &Estate) -> String {
    estate.json(&["migrate", "--plan"])["pending"].to_string()
}

#[test]
fn a_backup_comes_first_and_its_id_is_shown() {
    behind(|estate| {
        let plan = estate.json(&["migrate", "--plan"]);
        assert_eq!(plan["pending"], json!(PENDING));
        assert_eq!(plan["plan"][0]["migration"], PENDING[0]);
        let expected = if estate.is_sqlite() {
            json!([{ "table": "the whole file", "mode": "WRITE", "blocks": "writes", "rewrites": false }])
        } else {
            json!([])
        };
        assert_eq!(plan["plan"][1]["locks"], expected);
        let text = estate.run(&["migrate", "--plan"]);
        let locks = if estate.is_sqlite() { "locked for writing" } else { "locks no table" };
        assert!(text.contains(locks) && text.contains("would back up the database"), "{text}");
        assert!(!estate.backups().exists(), "planning changes nothing");

        let before = estate.hashes();
        let done = estate.json(&["migrate"]);
        assert_eq!((&done["state"], &done["applied"]), (&json!("current"), &json!(PENDING)));
        let id = done["backup"].as_str().expect("the backup's id").to_owned();
        assert_eq!(estate.listed(), [(id.clone(), "good".to_owned())]);
        let list = estate.json(&["backup", "list"]);
        let manifest = &list["backups"][0]["manifest"];
        assert_eq!(manifest["kind"], "database");
        assert_eq!(manifest["database"]["schema"], "V2__usage", "as it was before");
        let after = estate.hashes();
        let kept = before.iter().filter(|(table, _)| !table.contains("refinery"));
        for (table, hash) in kept {
            assert_eq!(after.get(table), Some(hash), "{table}");
        }

        let again = estate.json(&["migrate"]);
        assert_eq!((&again["applied"], &again["backup"]), (&json!([]), &Value::Null));
        assert_eq!(estate.run(&["migrate"]), "Nothing to do.\n");
        assert_eq!(estate.listed().len(), 1, "nothing to do, nothing to back up");

        rewind(estate);
        let text = estate.run(&["migrate"]);
        let second = another_than(&id, estate);
        assert!(text.contains(&second) && text.contains("V4__tasks"), "{text}");
        rewind(estate);
        let skipped = estate.json(&["migrate", "--no-backup"]);
        assert_eq!((&skipped["applied"], &skipped["backup"]), (&json!(PENDING), &Value::Null));
        assert_eq!(estate.listed().len(), 2);
    });
}

#[test]
fn without_its_backup_nothing_is_migrated() {
    behind(|estate| {
        fs::write(estate.backups(), "in the way").unwrap();
        let said = estate.fails(1, &["migrate"]);
        for part in ["backups", "nothing was changed", "`figw migrate --no-backup`"] {
            assert!(said.contains(part), "{said}");
        }
        assert_eq!(schema(estate), json!(PENDING).to_string());
        estate.run(&["migrate", "--no-backup"]);
        assert_eq!(schema(estate), "[]");
    });
}

#[test]
fn a_backup_under_way_is_waited_for() {
    behind(|estate| {
        fs::create_dir(estate.backups()).unwrap();
        let lock = fs::File::create(estate.backups().join(".lock")).unwrap();
        lock.lock().unwrap();
        let said = estate.fails(75, &["migrate", "--lock-wait", "100ms"]);
        assert!(said.contains("another run") && said.contains("nothing was changed"), "{said}");
        let waiting = estate.command(&["migrate"]).stdout(Stdio::piped()).spawn().unwrap();
        thread::sleep(Duration::from_millis(300));
        drop(lock);
        let done: Said = waiting.wait_with_output().unwrap().into();
        assert_eq!(done.status, Some(0), "{done:?}");
        assert_eq!(estate.listed().len(), 1);
    });
}

#[test]
fn a_step_that_fails_leaves_the_database_as_it_was_before_it() {
    behind(|estate| {
        // V4 creates its table and an index before it meets this name.
        estate.execute("CREATE INDEX tasks_finished ON usage (started_at)");
        let before = estate.hashes();
        let said = estate.fails(1, &["migrate"]);
        let id = estate.listed()[0].0.clone();
        let config = estate.path("config.yaml");
        let restore = format!("`figw --config {} restore {id} --replace --yes`", config.display());
        for part in [
            "migration V4__tasks failed",
            "tasks_finished",
            "already exists",
            "as it was before this step",
            "V3__batches of this run stays applied",
            &restore,
        ] {
            assert!(said.contains(part), "no {part:?}: {said}");
        }
        assert_eq!(schema(estate), json!(PENDING[1..]).to_string());
        let mut after = estate.hashes();
        after.retain(|table, _| !table.contains("batches") && !table.contains("refinery"));
        let mut unchanged = before.clone();
        unchanged.retain(|table, _| !table.contains("refinery"));
        assert_eq!(after, unchanged, "no table of V4, and not a row has changed");

        let said = estate.fails(1, &["migrate"]);
        assert!(said.contains("nothing need be restored"), "{said}");
        assert!(
            said.contains(&another_than(&id, estate)),
            "the restore command all the same: {said}"
        );
        let said = estate.fails(1, &["migrate", "--no-backup"]);
        assert!(
            said.contains("nothing need be restored") && said.contains("no backup was made"),
            "{said}"
        );

        // The command that the first message names takes V3 back, too.
        let words = restore.trim_matches('`').replace("figw --config", "\"$FIGW\" --config");
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &words]).env("FIGW", env!("CARGO_BIN_EXE_figw"));
        let said = Said::from(shell.output().unwrap());
        assert_eq!(said.status, Some(0), "{said:?}");
        assert_eq!(estate.hashes(), before);

        estate.execute("DROP INDEX tasks_finished");
        estate.run(&["migrate"]);
        assert_eq!(schema(estate), "[]");
    });
}

#[test]
fn of_two_runs_one_migrates_and_backs_up_and_the_other_finds_it_done() {
    behind(|estate| {
        let run = || {
            let mut command = estate.command(&["--output", "json", "migrate"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let done = [run(), run()].map(|child| {
            let said = Said::from(child.wait_with_output().unwrap());
            assert_eq!(said.status, Some(0), "{said:?}");
            said.json()
        });
        let worked = done.iter().filter(|report| report["applied"] == json!(PENDING));
        assert_eq!(worked.count(), 1, "{done:?}");
        let idle = done.iter().find(|report| report["applied"] == json!([])).unwrap();
        assert_eq!(idle["backup"], Value::Null);
        assert_eq!(estate.listed().len(), 1);
    });
}

/// Holds a lock in a session of its own until the answer is dropped.
struct Held<'a> {
    server: &'a Postgres,
    database: &'a str,
    thread: Option<thread::JoinHandle<()>>,
}

impl<'a> Held<'a> {
    fn new(server: &'a Postgres, database: &'a str, lock: &str) -> Self {
        let url = server.url(database);
        let statement = format!("BEGIN; {lock}; SELECT pg_sleep(60)");
        let thread = thread::spawn(move || {
            let _ = std::panic::catch_unwind(|| psql(&url, &statement));
        });
        let held = Self { server, database, thread: Some(thread) };
        let sleeps = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        eventually(Duration::from_secs(10), || server.query(database, sleeps) == "1");
        held
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let end =
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        self.server.query(self.database, end);
        self.thread.take().unwrap().join().unwrap();
    }
}

#[test]
fn a_lock_that_somebody_holds_is_tried_for_again_and_then_given_up() {
    let server = Postgres::start_new();
    let estate = Estate::postgres(&server, "held");
    rewind(&estate);
    let migrate = |lock_timeout: &str| {
        let mut command = estate.command(&["migrate"]);
        command.env("FIGW_MIGRATE__LOCK_TIMEOUT", lock_timeout).stderr(Stdio::piped());
        command.stdout(Stdio::piped()).spawn().unwrap()
    };
    // Reading what has run is still possible, but not writing it down.
    let held = Held::new(&server, "held", "LOCK TABLE refinery_schema_history IN SHARE MODE");
    let begun = Instant::now();
    let said = Said::from(migrate("100ms").wait_with_output().unwrap());
    assert_eq!(said.status, Some(1), "{said:?}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let blocked = said.stderr.lines().filter(|line| line.contains("trying again")).count();
    assert_eq!(blocked, 4, "{said:?}");
    let error = said.stderr.lines().last().unwrap();
    for part in [
        "V3__batches could not lock",
        "quiet hour",
        "migrate.lock_timeout",
        "nothing need be restored",
    ] {
        assert!(error.contains(part), "no {part:?}: {said:?}");
    }
    assert_eq!(schema(&estate), json!(PENDING).to_string());

    let waiting = migrate("300ms");
    thread::sleep(Duration::from_millis(1500));
    drop(held);
    let said = Said::from(waiting.wait_with_output().unwrap());
    assert_eq!(said.status, Some(0), "{said:?}");
    assert!(said.stderr.contains("trying again"), "it had to wait: {said:?}");
    assert_eq!(schema(&estate), "[]");
}

/// A database with a table in use.
async fn in_use(server: &Postgres, name: &str) -> StoreOptions {
    let lock_timeout = Duration::from_millis(500);
    let options = StoreOptions { lock_timeout, ..options(&server.create_database(name)) };
    run(&options, &[FIRST], &mut |_| {}).await.unwrap();
    options
}

const FIRST: (&str, &str) = (
    "V1__big",
    "CREATE TABLE big (id int); INSERT INTO big SELECT generate_series(1, 1000); \
     CREATE TABLE other (id int PRIMARY KEY)",
);

async fn run(
    options: &StoreOptions,
    files: &[(&str, &str)],
    report: migrate::Report<'_>,
) -> Result<Vec<String>, MigrateError> {
    let migrations = Some(Migrations::new(files.iter().copied()).unwrap());
    Run::begin_others(migrations, options, Duration::ZERO, report).await?.finish(report).await
}

#[tokio::test]
async fn nobody_is_kept_waiting_for_longer_than_the_lock_time_out() {
    let server = Postgres::start_new();
    let options = in_use(&server, "slow").await;
    // Each statement is quick enough, all together are not.
    let slow = "ALTER TABLE big ADD COLUMN x int; SELECT pg_sleep(0.4); SELECT pg_sleep(0.4); \
                SELECT pg_sleep(0.4); SELECT pg_sleep(0.4)";
    let url = server.url("slow");
    let reader = thread::spawn(move || {
        thread::sleep(Duration::from_millis(200));
        let begun = Instant::now();
        psql(&url, "SELECT count(*) FROM big");
        begun.elapsed()
    });
    let result = run(&options, &[FIRST, ("V2__slow", slow)], &mut |_| {}).await;
    let error = result.unwrap_err().to_string();
    for part in
        ["V2__slow was stopped", "table big (ACCESS EXCLUSIVE)", "500ms", "as it was before"]
    {
        assert!(error.contains(part), "no {part:?}: {error}");
    }
    let waited = reader.join().unwrap();
    assert!(waited < Duration::from_secs(1), "a reader waited for {waited:?}");
    let column = "SELECT count(*) FROM information_schema.columns WHERE column_name = 'x'";
    assert_eq!(server.query("slow", column), "0", "it was undone");

    let alone = "CREATE TABLE nobodys (id int); SELECT pg_sleep(0.8)";
    let applied = run(&options, &[FIRST, ("V2__alone", alone)], &mut |_| {}).await.unwrap();
    assert_eq!(applied, ["V2__alone"], "what is in nobody's way may take its time");
}

#[tokio::test]
async fn a_busy_table_is_locked_once_it_is_free_and_others_are_let_through_meanwhile() {
    let server = Postgres::start_new();
    let options = in_use(&server, "busy").await;
    let files =
        [FIRST, ("V2__more", "CREATE INDEX i ON other (id); ALTER TABLE big ADD COLUMN x int")];
    let plan = migrate::plan_others(Some(Migrations::new(files).unwrap()), &options).await.unwrap();
    let locks: Vec<_> =
        plan.steps[0].locks.iter().map(|lock| (lock.table.to_string(), lock.mode)).collect();
    assert_eq!(
        locks,
        [("big".to_owned(), Mode::AccessExclusive), ("other".to_owned(), Mode::Share)]
    );
    assert!(plan.steps[0].locks[0].bytes > Some(8192), "{plan:?}");
    assert!(matches!(plan.steps[0].locks[0].table, Subject::Table(_)));

    let reading = Held::new(&server, "busy", "SELECT count(*) FROM big");
    let mut reading = Some(reading);
    let mut blocked = Vec::new();
    let mut report = |progress: Progress<'_>| {
        if let Progress::Blocked { what, .. } = progress {
            blocked.push(what.to_owned());
            // In the pause readers are let through at once.
            let begun = Instant::now();
            server.query("busy", "SELECT count(*) FROM big");
            assert!(begun.elapsed() < Duration::from_millis(400), "{:?}", begun.elapsed());
            if blocked.len() == 2 {
                reading.take();
            }
        }
    };
    let applied = run(&options, &files, &mut report).await.unwrap();
    assert_eq!(applied, ["V2__more"]);
    assert_eq!(blocked, ["table big (ACCESS EXCLUSIVE)"; 2]);

    let writing = Held::new(&server, "busy", "INSERT INTO other VALUES (1)");
    let files = [files[0], files[1], ("V3__never", "CREATE INDEX j ON other (id)")];
    let options = StoreOptions { lock_timeout: Duration::from_millis(50), ..options };
    let error = run(&options, &files, &mut |_| {}).await.unwrap_err().to_string();
    for part in ["V3__never could not lock table other (SHARE) within 50ms", "quiet hour"] {
        assert!(error.contains(part), "no {part:?}: {error}");
    }
    drop(writing);
}
