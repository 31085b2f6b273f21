//! A database with rows in it, its configuration and its directory of backups.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rusqlite::Connection;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::postgres::{Postgres, psql};

/// A database with its backups, in a directory of its own.
pub struct Estate {
    directory: TempDir,
    url: String,
}

/// What a command has said and how it ended.
#[derive(Debug)]
pub struct Said {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("no JSON ({e}): {self:?}"))
    }

    /// The one line of a command that must have failed like this.
    pub fn refused(&self, status: i32) -> String {
        assert_eq!(self.status, Some(status), "{self:?}");
        assert_eq!(self.stdout, "", "a failure has no result");
        assert_eq!(self.stderr.trim_end().lines().count(), 1, "one line: {self:?}");
        self.stderr.trim_end().to_owned()
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Estate {
    /// With an SQLite file.
    pub fn sqlite() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let url = format!("sqlite:{}", directory.path().join("figw.db").display());
        Self::new(directory, url)
    }

    /// With a database of this name on the server.
    pub fn postgres(server: &Postgres, name: &str) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        Self::new(directory, server.create_database(name))
    }

    fn new(directory: TempDir, url: String) -> Self {
        let estate = Self { directory, url };
        estate.configure("");
        estate.run(&["--yes", "migrate"]);
        estate.run(&["key", "create", "--name", "ada", "--user", "ada@example.org"]);
        estate
    }

    /// Writes the configuration anew, with these lines below `backup:`.
    pub fn configure(&self, backup: &str) {
        let text = format!(
            "server:\n  listen: \"127.0.0.1:1\"\n  admin_listen: \"127.0.0.1:2\"\n  state_dir: {0}/state\n\
             database:\n  url: \"{1}\"\nbackup:\n  directory: {0}/backups\n{backup}",
            self.path("").display(),
            self.url
        );
        fs::write(self.path("config.yaml"), text).expect("config.yaml written");
    }

    pub fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() {
            self.directory.path().to_owned()
        } else {
            self.directory.path().join(name)
        }
    }

    pub fn backups(&self) -> PathBuf {
        self.path("backups")
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn is_sqlite(&self) -> bool {
        self.url.starts_with("sqlite:")
    }

    /// figw with this configuration.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_figw"));
        command
            .arg("--config")
            .arg(self.path("config.yaml"))
            .args(arguments)
            .current_dir(self.directory.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs figw, however it ends.
    pub fn figw(&self, arguments: &[&str]) -> Said {
        self.command(arguments).output().expect("figw runs").into()
    }

    /// Runs figw, which must succeed, and returns its standard output.
    pub fn run(&self, arguments: &[&str]) -> String {
        let said = self.figw(arguments);
        assert_eq!(said.status, Some(0), "figw {arguments:?}: {said:?}");
        said.stdout
    }

    /// Runs figw, which must succeed, and returns the document on its standard output.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let text = self.run(&[&["--output", "json"][..], arguments].concat());
        serde_json::from_str(&text).expect("a JSON document")
    }

    /// Runs figw, which must fail with this exit status, saying one line on standard error.
    pub fn fails(&self, status: i32, arguments: &[&str]) -> String {
        self.figw(arguments).refused(status)
    }

    /// The ids of the backups in `list`, with their states.
    pub fn listed(&self) -> Vec<(String, String)> {
        let list = self.json(&["backup", "list"]);
        let one = |backup: &Value| {
            let text = |key: &str| backup[key].as_str().expect("a text").to_owned();
            (text("id"), text("state"))
        };
        list["backups"].as_array().expect("backups").iter().map(one).collect()
    }

    /// Makes a backup and returns its id.
    pub fn back_up(&self) -> String {
        self.json(&["backup"])["id"].as_str().expect("an id").to_owned()
    }

    /// Runs SQL on the database, past figw.
    pub fn execute(&self, sql: &str) {
        match self.url.strip_prefix("sqlite:") {
            Some(path) => connect(path).execute_batch(sql).expect("SQL runs"),
            None => drop(psql(&self.url, sql)),
        }
    }

    /// Adds rows to `usage`.
    pub fn add_usage(&self, rows: u32) {
        self.execute(&usage_rows(self.is_sqlite(), rows));
    }

    /// As `hashes`, of the time when the writer had written so many rows.
    pub fn hashes_at(&self, written: u64) -> BTreeMap<String, String> {
        let number =
            if self.is_sqlite() { "CAST(request_id AS INTEGER)" } else { "request_id::bigint" };
        hashes_where(
            &self.url,
            &format!(
                "WHERE CASE WHEN request_id LIKE 'req%' THEN 0 ELSE {number} END <= {written}"
            ),
        )
    }

    /// A hash of each table's content, whatever the order of its rows.
    pub fn hashes(&self) -> BTreeMap<String, String> {
        hashes(&self.url)
    }

    /// Rows of `usage`.
    pub fn usage_count(&self) -> u64 {
        match self.url.strip_prefix("sqlite:") {
            Some(path) => connect(path)
                .query_row("SELECT count(*) FROM usage", [], |row| row.get::<_, i64>(0))
                .expect("a count")
                .try_into()
                .expect("a count"),
            None => psql(&self.url, "SELECT count(*) FROM usage").parse().expect("a count"),
        }
    }

    /// Writes rows without a pause until the answer is stopped or dropped. Their request ids are
    /// numbers, in the order in which they are committed.
    pub fn keep_writing(&self) -> Writing {
        let stop = Arc::new(AtomicBool::new(false));
        let (url, stopped) = (self.url.clone(), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut written = 0;
            while !stopped.load(Ordering::Relaxed) {
                let sql = usage_rows(url.starts_with("sqlite:"), 5)
                    .replacen("'req_' || hex(randomblob(12))", &format!("{written} + i"), 1)
                    .replacen("'req_' || md5(random()::text)", &format!("{written} + i"), 1);
                match url.strip_prefix("sqlite:") {
                    Some(path) => connect(path).execute_batch(&sql).expect("rows are written"),
                    None => drop(psql(&url, &sql)),
                }
                written += 5;
                thread::sleep(Duration::from_millis(5));
            }
            written
        });
        Writing { stop, thread: Some(thread) }
    }
}

/// A writer at work.
pub struct Writing {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Writing {
    /// Stops it and returns the number of rows that it has written.
    pub fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("it runs").join().expect("it wrote")
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn connect(path: &str) -> Connection {
    let connection = Connection::open(path).expect("the database opens");
    connection.busy_timeout(Duration::from_secs(30)).expect("a time-out");
    connection
}

fn usage_rows(sqlite: bool, rows: u32) -> String {
    let columns = "id, request_id, started_at, username, cluster, framework, endpoint, model, route, streamed, \
        status, backend_status, prompt_tokens, completion_tokens, tokens_estimated, first_byte_us, \
        duration_us, request_bytes, response_bytes, error";
    if sqlite {
        format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) \
             INSERT INTO usage ({columns}) SELECT randomblob(16), 'req_' || hex(randomblob(12)), \
             1790000000000000 + i, 'user' || (i % 97) || '@example.org', 'sophia', 'vllm', \
             'sophia-vllm-model-' || (i % 7), 'model-' || (i % 7), 'chat/completions', i % 2, \
             200, 200, i % 4000, i % 900, 0, 1000 + i % 70000, 2000 + i % 900000, i % 9000, i % 70000, \
             CASE WHEN i % 50 = 0 THEN 'tab\t, line\nand \\. end' END FROM n;"
        )
    } else {
        format!(
            "INSERT INTO usage ({columns}) SELECT gen_random_uuid(), 'req_' || md5(random()::text), \
             now() + i * interval '1 ms', 'user' || (i % 97) || '@example.org', 'sophia', 'vllm', \
             'sophia-vllm-model-' || (i % 7), 'model-' || (i % 7), 'chat/completions', i % 2 = 0, \
             200, 200, i % 4000, i % 900, false, 1000 + i % 70000, 2000 + i % 900000, i % 9000, \
             i % 70000, CASE WHEN i % 50 = 0 THEN E'tab\\t, line\\nand \\\\. end' END \
             FROM generate_series(1, {rows}) AS i"
        )
    }
}

/// A hash of each table's content, whatever the order of its rows; but for the leases, which a gateway
/// that runs takes anew all the time.
pub fn hashes(url: &str) -> BTreeMap<String, String> {
    hashes_where(url, "")
}

/// The same, with this condition on `usage`.
fn hashes_where(url: &str, condition: &str) -> BTreeMap<String, String> {
    if let Some(path) = url.strip_prefix("sqlite:") {
        return sqlite_hashes(&connect(path), condition);
    }
    let tables = psql(
        url,
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables \
                 WHERE schemaname NOT IN ('pg_catalog', 'information_schema') \
                 AND tablename <> 'upkeep'",
    );
    let hash = |table: &str| {
        let condition = match table {
            "public.usage" => condition.to_owned(),
            // What one statement has written is together, and one writer's statements are in order.
            "public.usage_pending" => format!(
                "WHERE (SELECT sum(requests) FROM usage_pending AS earlier \
                 WHERE earlier.batch <= t.batch) <= (SELECT count(*) FROM usage {condition})"
            ),
            _ => String::new(),
        };
        let sql = format!(
            "SELECT count(*) || ':' || coalesce(sum(('x' || left(md5(t::text), 15))::bit(60)::bigint::numeric), 0) \
                     FROM {table} t {condition}"
        );
        psql(url, &sql)
    };
    tables.lines().map(|table| (table.to_owned(), hash(table))).collect()
}

fn sqlite_hashes(connection: &Connection, condition: &str) -> BTreeMap<String, String> {
    let mut names = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name <> 'upkeep'")
        .expect("names");
    let names: Vec<String> = names
        .query_map([], |row| row.get(0))
        .expect("names")
        .map(|name| name.expect("a name"))
        .collect();
    let hash = |name: &str| {
        let condition = match name {
            "usage" => condition.to_owned(),
            "usage_pending" => format!("WHERE id IN (SELECT id FROM usage {condition})"),
            _ => String::new(),
        };
        let mut rows =
            connection.prepare(&format!("SELECT * FROM \"{name}\" {condition}")).expect("a table");
        let columns = rows.column_count();
        let mut sum = [0_u8; 32];
        let mut count = 0;
        let mut rows = rows.query([]).expect("rows");
        while let Some(row) = rows.next().expect("a row") {
            let text: Vec<String> =
                (0..columns).map(|i| format!("{:?}", row.get_ref(i).expect("a value"))).collect();
            let digest = Sha256::digest(text.join("|"));
            sum.iter_mut().zip(digest).for_each(|(sum, byte)| *sum ^= byte);
            count += 1;
        }
        format!("{count}:{sum:02x?}")
    };
    names.iter().map(|name| (name.clone(), hash(name))).collect()
}

/// Flips one bit of a byte in the middle of a file.
pub fn flip_a_byte(path: &Path) {
    let mut bytes = fs::read(path).expect("the file is read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).expect("the file is written");
}

/// A program of this name that does what the script says, in a directory of its own.
pub fn stand_in(directory: &Path, name: &str, script: &str) {
    fs::create_dir_all(directory).expect("a directory");
    let path = directory.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("permissions");
}

/// Waits until this is so.
#[track_caller]
pub fn eventually(within: Duration, mut so: impl FnMut() -> bool) {
    let given_up = Instant::now() + within;
    while !so() {
        assert!(Instant::now() < given_up, "it did not come about within {within:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A pair of age keys: the file with the secret one, and the public one.
pub fn age_key(directory: &Path, name: &str) -> (PathBuf, String) {
    use age::secrecy::ExposeSecret;
    let identity = age::x25519::Identity::generate();
    let path = directory.join(name);
    fs::write(&path, format!("{}\n", identity.to_string().expose_secret())).expect("a key file");
    (path, identity.to_public().to_string())
}
