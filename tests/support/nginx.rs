//! An nginx of the test's own, around configuration files that figw has generated.

use std::{
    fs,
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::backups::Said;

/// A directory as nginx's own, with a running nginx in it or not yet; it ends with this value.
#[derive(Debug)]
pub struct Nginx {
    directory: TempDir,
    server: Option<Child>,
}

impl Nginx {
    /// A directory without any site.
    pub fn new() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let at = directory.path();
        fs::create_dir(at.join("conf.d")).expect("conf.d");
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|what| format!("  {what}_temp_path {}/{what};\n", at.display()))
            .concat();
        // nginx's workers would not be let into the directory as anybody else.
        let user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
        let conf = format!(
            "daemon off;\n{user}pid {0}/pid;\nerror_log {0}/error.log info;\nworker_processes 2;\n\
             events {{ worker_connections 2048; }}\nhttp {{\n{temporary}  include {0}/conf.d/*.conf;\n}}\n",
            at.display()
        );
        fs::write(at.join("nginx.conf"), conf).expect("nginx.conf");
        Self { directory, server: None }
    }

    /// Puts a file into `conf.d`.
    pub fn put(&self, name: &str, content: &str) {
        fs::write(self.directory.path().join("conf.d").join(name), content).expect("a file");
    }

    /// A place beside the configuration.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A certificate and its key for `localhost`, made for this test.
    pub fn make_certificate(&self) -> (PathBuf, PathBuf) {
        let (certificate, key) = (self.path("certificate.pem"), self.path("key.pem"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out"])
            .arg(&certificate)
            .arg("-keyout")
            .arg(&key)
            .output()
            .expect("openssl is installed");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        (certificate, key)
    }

    fn command(&self) -> Command {
        let mut nginx = Command::new(program());
        nginx.arg("-p").arg(self.directory.path());
        nginx.arg("-c").arg(self.directory.path().join("nginx.conf"));
        nginx.arg("-e").arg(self.directory.path().join("error.log"));
        nginx
    }

    /// What `nginx -t` says.
    pub fn test(&self) -> Said {
        self.command().arg("-t").output().expect("nginx is installed").into()
    }

    /// Starts it and waits until it listens there.
    pub fn start(&mut self, port: u16) {
        let mut nginx = self.command();
        nginx.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.server = Some(nginx.spawn().expect("nginx is installed"));
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(Instant::now() < deadline, "nginx did not start: {}", self.log());
            sleep(Duration::from_millis(20));
        }
    }

    /// Has it read its configuration anew, as `nginx -s reload` does, and waits until it has.
    pub fn reload(&self) {
        let before = self.log().matches("gracefully shutting down").count();
        let said = Said::from(self.command().args(["-s", "reload"]).output().expect("nginx runs"));
        assert_eq!(said.status, Some(0), "{said:?}");
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.log().matches("gracefully shutting down").count() < before + 2 {
            assert!(Instant::now() < deadline, "nginx did not reload: {}", self.log());
            sleep(Duration::from_millis(20));
        }
    }

    /// What it has written into its log of errors.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("error.log")).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let _ = Command::new("kill").args(["-TERM", &server.id().to_string()]).status();
            let _ = server.wait();
        }
        if std::thread::panicking() {
            eprintln!("nginx's log:\n{}", self.log());
        }
    }
}

/// Debian keeps it where only root looks.
fn program() -> PathBuf {
    let usual = Path::new("/usr/sbin/nginx");
    if usual.exists() { usual.to_owned() } else { "nginx".into() }
}
