//! A `RabbitMQ` of the test's own, set up as Globus Compute's is for a client: one account that makes
//! queues and fills them, and accounts that may only read from some.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpStream},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::{globus::QUEUE_PREFIX, ports::free_port};

/// A broker starts within 5 s, or 30 s when every core is busy.
const START_LIMIT: Duration = Duration::from_mins(2);
/// How often the start is looked for.
const LOOK: Duration = Duration::from_millis(20);
/// Behind Debian's wrapper, which insists on the system's own user and directories.
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const VHOST: &str = "results";
const SERVICE: &str = "service";
const SECRET: &str = "a-secret";
/// Logins that [`RabbitMq::client_urls`] has.
const READERS: usize = 16;

/// A broker in a directory of its own, on free ports; it ends with this value, or with the thread
/// that started it.
pub struct RabbitMq {
    directory: TempDir,
    port: u16,
    distribution_port: u16,
    names_port: u16,
    server: Option<Child>,
    /// Erlang's name server. Started here, because one that the broker starts outlives it.
    names: Child,
}

impl RabbitMq {
    /// Sets a broker up and starts it.
    pub fn start_new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (port, distribution_port, names_port) = (free_port(), free_port(), free_port());
        let file = |name: &str, text: &str| {
            fs::write(directory.path().join(name), text).expect("a file of the broker's");
        };
        file("environment", "");
        file("plugins", "[].\n");
        file("definitions.json", &definitions().to_string());
        file(
            "rabbitmq.conf",
            &format!(
                "listeners.tcp.1 = 127.0.0.1:{port}\nload_definitions = {}\n",
                directory.path().join("definitions.json").display()
            ),
        );
        let names = ending_with_us("epmd")
            .args(["-address", "127.0.0.1", "-port", &names_port.to_string()])
            .stdin(Stdio::null())
            .spawn()
            .expect("epmd starts");
        let mut broker =
            Self { directory, port, distribution_port, names_port, server: None, names };
        broker.start();
        broker
    }

    /// Starts the stopped broker again, on the same port and with what it had stored.
    pub fn start(&mut self) {
        assert!(self.server.is_none(), "the broker runs already");
        let at = |name: &str| self.directory.path().join(name);
        let log = File::options().create(true).append(true).open(at("log")).expect("a log file");
        let server = ending_with_us(SERVER)
            .current_dir(self.directory.path())
            .env("HOME", self.directory.path())
            .env("RABBITMQ_NODENAME", format!("figw-{}@localhost", self.port))
            .env("RABBITMQ_DIST_PORT", self.distribution_port.to_string())
            .env("ERL_EPMD_PORT", self.names_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_MNESIA_BASE", at("data"))
            .env("RABBITMQ_LOG_BASE", at("logs"))
            .env("RABBITMQ_LOGS", "-")
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", at("plugins"))
            .env("RABBITMQ_CONF_ENV_FILE", at("environment"))
            .env("RABBITMQ_CONFIG_FILE", at("rabbitmq.conf"))
            // Makes the script become the broker, so that its process id is the broker's.
            .env("RUNNING_UNDER_SYSTEMD", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log file, twice"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|e| panic!("{SERVER}: {e}; scripts/test installs it"));
        self.server = Some(server);
        let given_up = Instant::now() + START_LIMIT;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            let ended = self.server.as_mut().and_then(|server| server.try_wait().ok()).flatten();
            assert!(ended.is_none(), "RabbitMQ ended with {ended:?}:\n{}", self.log());
            assert!(Instant::now() < given_up, "RabbitMQ does not start:\n{}", self.log());
            sleep(LOOK);
        }
    }

    /// Stops it as an administrator does.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let sent = Command::new("kill").arg(server.id().to_string()).status();
            assert!(sent.expect("kill runs").success());
            server.wait().expect("RabbitMQ ends");
        }
    }

    /// Ends it without a chance to say anything to anybody.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            // It may have ended by itself.
            let _ = server.kill();
            let _ = server.wait();
        }
    }

    /// For the one who makes queues and fills them.
    pub fn service_url(&self) -> String {
        self.url(SERVICE)
    }

    /// For clients, who may read from queues whose names begin with [`QUEUE_PREFIX`], and no more.
    pub fn client_urls(&self) -> Vec<String> {
        (0..READERS).map(|nth| self.url(&reader(nth))).collect()
    }

    fn url(&self, user: &str) -> String {
        format!("amqp://{user}:{SECRET}@127.0.0.1:{}/{VHOST}", self.port)
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        self.kill();
        let _ = self.names.kill();
        let _ = self.names.wait();
        if std::thread::panicking() {
            eprintln!("RabbitMQ's log:\n{}", self.log());
        }
    }
}

/// A program that the kernel ends when the thread that starts it has gone.
fn ending_with_us(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig=KILL", program]);
    command
}

fn reader(nth: usize) -> String {
    format!("reader-{nth}")
}

fn definitions() -> Value {
    let only_read = format!("^{}.*", QUEUE_PREFIX.replace('.', "\\."));
    let mut users = vec![user(SERVICE)];
    let mut permissions = vec![permission(SERVICE, ".*", ".*")];
    for nth in 0..READERS {
        users.push(user(&reader(nth)));
        permissions.push(permission(&reader(nth), "", &only_read));
    }
    json!({"users": users, "vhosts": [{"name": VHOST}], "permissions": permissions})
}

fn user(name: &str) -> Value {
    const SALT: [u8; 4] = *b"salt";
    let hash = Sha256::digest([&SALT[..], SECRET.as_bytes()].concat());
    json!({"name": name, "tags": "", "hashing_algorithm": "rabbit_password_hashing_sha256",
        "password_hash": STANDARD.encode([&SALT[..], &hash[..]].concat())})
}

fn permission(user: &str, change: &str, read: &str) -> Value {
    json!({"user": user, "vhost": VHOST, "configure": change, "write": change, "read": read})
}
