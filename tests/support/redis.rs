//! A Redis server of the test's own.

use std::{
    net::{Ipv4Addr, TcpStream},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use super::ports::free_port;

/// A server without files on a free port; it ends with this value.
#[derive(Debug)]
pub struct Redis {
    port: u16,
    server: Option<Child>,
}

impl Redis {
    /// Starts a server and waits until it answers.
    pub fn start_new() -> Self {
        let mut redis = Self::not_yet_started();
        redis.start();
        redis
    }

    /// Starts a server that listens at this address, with these further arguments.
    pub fn start_new_at(address: &str, arguments: &[&str]) -> Self {
        let mut redis = Self::not_yet_started();
        redis.start_at(address, arguments);
        redis
    }

    /// A port on which a server can be started later.
    pub fn not_yet_started() -> Self {
        Self { port: free_port(), server: None }
    }

    /// Starts the server, empty.
    pub fn start(&mut self) {
        self.start_at("127.0.0.1", &[]);
    }

    fn start_at(&mut self, address: &str, arguments: &[&str]) {
        let port = self.port.to_string();
        let server = Command::new("redis-server")
            .args(["--port", &port, "--bind", address, "--save", "", "--appendonly", "no"])
            .args(arguments)
            .current_dir("/")
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        self.server = Some(server);
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            assert!(Instant::now() < deadline, "Redis did not start");
            sleep(Duration::from_millis(20));
        }
    }

    /// Ends the server, with all it holds.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().expect("Redis is there to be ended");
            server.wait().expect("Redis ends");
        }
    }

    /// Sends the server a signal, such as `STOP` and `CONT`.
    pub fn signal(&self, name: &str) {
        let id = self.server.as_ref().expect("Redis runs").id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &id]).status();
        assert!(sent.expect("kill runs").success(), "Redis is there to be sent {name}");
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// From now on the server wants this password, which the URL holds.
    pub fn url_with_password(&self, password: &str) -> String {
        let set = redis::cmd("CONFIG").arg("SET").arg("requirepass").arg(password).to_owned();
        set.exec(&mut self.connection()).expect("Redis takes a password");
        format!("redis://:{password}@127.0.0.1:{}/0", self.port)
    }

    pub fn connection(&self) -> redis::Connection {
        let client = redis::Client::open(self.url()).expect("a Redis URL");
        client.get_connection().expect("a connection to Redis")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}
