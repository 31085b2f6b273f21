//! A PostgreSQL server, and a PgBouncer in front of it, of the test's own.
#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    dead_code,
    unreachable_pub,
    reason = "test support: what fails here fails the test, and no test uses everything"
)]

use std::{
    fs,
    io::Write,
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::ports::free_port;

/// A server in a directory of its own, on a free port; it ends with this value.
#[derive(Debug)]
pub struct Postgres {
    directory: TempDir,
    data: PathBuf,
    bin: PathBuf,
    port: u16,
    server: Option<Child>,
}

/// A PgBouncer in transaction mode.
#[derive(Debug)]
pub struct PgBouncer {
    _directory: TempDir,
    port: u16,
    server: Child,
}

impl Postgres {
    /// Makes a cluster and starts it.
    pub fn start_new() -> Self {
        Self::start_new_with(&[])
    }

    /// Makes a cluster with these lines in its configuration, and starts it.
    pub fn start_new_with(settings: &[(&str, &str)]) -> Self {
        let directory = private_directory();
        let bin = newest_bin();
        let data = directory.path().join("data");
        let mut initdb = as_service_user(&bin.join("initdb"));
        initdb.arg("-D").arg(&data).args([
            "-U",
            "figw",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
        ]);
        initdb.args(["--no-sync"]).stdout(Stdio::null());
        assert!(initdb.status().expect("initdb starts").success(), "initdb failed");
        let lines = settings.iter().map(|(name, value)| format!("{name} = '{value}'\n"));
        let conf = fs::File::options().append(true).open(data.join("postgresql.conf"));
        let mut conf = conf.expect("postgresql.conf");
        conf.write_all(lines.collect::<String>().as_bytes()).expect("settings");
        Self::start_in(directory, data)
    }

    /// Starts a server in a data directory that is there, such as a restored one. Everything ends
    /// with this value, but for the data.
    pub fn start_existing(data: &Path) -> Self {
        Self::start_in(private_directory(), data.to_owned())
    }

    pub(super) fn start_in(directory: TempDir, data: PathBuf) -> Self {
        let mut postgres =
            Self { directory, data, bin: newest_bin(), port: free_port(), server: None };
        postgres.start();
        postgres
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Starts the stopped server again, on the same port.
    pub fn start(&mut self) {
        let log = fs::File::create(self.directory.path().join("log")).expect("a log file");
        let mut server = as_service_user(&self.bin.join("postgres"));
        server.arg("-D").arg(&self.data);
        server.args(["-p", &self.port.to_string()]);
        server.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
        self.server = Some(server.stdout(Stdio::null()).stderr(log).spawn().expect("starts"));
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.is_ready() {
            assert!(Instant::now() < deadline, "PostgreSQL did not start: {}", self.log());
            sleep(Duration::from_millis(50));
        }
    }

    /// Stops it as an administrator does, with every connection.
    pub fn stop(&mut self) {
        self.end("INT");
    }

    /// Ends it without a chance to say anything to anybody.
    pub fn kill(&mut self) {
        self.end("QUIT");
    }

    /// Ends it as a power failure does.
    pub fn crash(&mut self) {
        self.end("KILL");
    }

    /// The server's main process, while it runs.
    pub fn pid(&self) -> u32 {
        self.server.as_ref().expect("PostgreSQL runs").id()
    }

    /// Forgets the server's process once somebody has killed it.
    pub fn bury(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.wait().expect("PostgreSQL ends");
        }
    }

    fn end(&mut self, signal: &str) {
        if let Some(mut server) = self.server.take() {
            let pid = server.id().to_string();
            let sent = Command::new("kill").args([&format!("-{signal}"), &pid]).status();
            assert!(sent.expect("kill runs").success());
            server.wait().expect("PostgreSQL ends");
        }
    }

    fn is_ready(&self) -> bool {
        let mut probe = Command::new(self.bin.join("pg_isready"));
        probe.args(["-q", "-h", "127.0.0.1", "-U", "figw", "-p", &self.port.to_string()]);
        probe.status().is_ok_and(|status| status.success())
    }

    /// What it has written into its log since it was started last.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// The URL of a database on it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://figw:unused-secret@127.0.0.1:{}/{database}", self.port)
    }

    /// Creates an empty database and returns its URL.
    pub fn create_database(&self, name: &str) -> String {
        self.query("postgres", &format!("CREATE DATABASE {name}"));
        self.url(name)
    }

    /// Runs one statement with psql and returns what it prints.
    pub fn query(&self, database: &str, statement: &str) -> String {
        psql(&self.url(database), statement)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let _ = Command::new("kill").args(["-QUIT", &server.id().to_string()]).status();
            let _ = server.wait();
        }
    }
}

impl PgBouncer {
    /// Starts a pooler in front of the server.
    pub fn start_before(postgres: &Postgres) -> Self {
        Self::start_before_port(postgres.port)
    }

    /// Starts a pooler in front of whatever answers there.
    pub fn start_before_port(server: u16) -> Self {
        let directory = private_directory();
        let port = free_port();
        let users = directory.path().join("users.txt");
        fs::write(&users, "\"figw\" \"\"\n").expect("a user list");
        let ini = directory.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = user=figw host=127.0.0.1 port={server}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\nauth_file = {}\n\
             pool_mode = transaction\ndefault_pool_size = 3\nlogfile = {}\n\
             server_login_retry = 1\n",
            users.display(),
            directory.path().join("log").display(),
        );
        fs::write(&ini, text).expect("a configuration");
        let mut server = as_service_user(Path::new("pgbouncer"));
        let server = server.arg(&ini).stderr(Stdio::null()).spawn().expect("PgBouncer starts");
        let pgbouncer = Self { _directory: directory, port, server };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "PgBouncer did not start");
            sleep(Duration::from_millis(50));
        }
        pgbouncer
    }

    /// The URL of a database through it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://figw@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Runs one statement with psql and returns what it prints.
pub fn psql(url: &str, statement: &str) -> String {
    let mut psql = Command::new(newest_bin().join("psql"));
    psql.args(["-qAtX", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", statement]);
    let output = psql.output().expect("psql starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A directory that the user may use whom the server runs as.
pub fn private_directory() -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let open = fs::Permissions::from_mode(0o777);
    fs::set_permissions(directory.path(), open).expect("permissions");
    directory
}

/// A program of PostgreSQL's, which refuses to run as root: root's tests run it as `postgres`.
pub fn as_service_user(program: &Path) -> Command {
    let id = Command::new("id").arg("-u").output().expect("id runs");
    if id.stdout.trim_ascii() != b"0" {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--pdeathsig=KILL"]);
    command.arg(program).current_dir("/");
    command
}

pub fn newest_bin() -> PathBuf {
    let installed = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed");
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = installed.filter_map(|entry| Some(entry.ok()?.path())).max_by_key(version);
    newest.expect("a version of PostgreSQL").join("bin")
}
