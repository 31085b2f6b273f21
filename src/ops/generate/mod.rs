//! The files that surround a deployment, rendered from the one configuration.
//!
//! The texts stand in `templates/`, as an operator reads them; the modules say what goes into their
//! gaps. Nothing here reads a clock, a network or another file: the same configuration gives the
//! same files. No secret is ever read, but for the host in a database's URL.

mod compose;
mod contained;
mod firewall;
mod fleet;
mod grafana;
mod kubernetes;
mod logrotate;
mod nginx;
mod pgbouncer;
mod prometheus;
mod systemd;
mod template;

use serde::Serialize;

use crate::config::Server;

pub use compose::Compose;
pub use firewall::{Firewall, FirewallTool};
pub use fleet::{Color, Instances};
pub use grafana::grafana;
pub use kubernetes::Kubernetes;
pub use logrotate::Logrotate;
pub use nginx::{Nginx, NginxPart};
pub use pgbouncer::PgBouncer;
pub use prometheus::Prometheus;
pub use systemd::Systemd;

/// A file that was rendered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GeneratedFile {
    /// The name under which its program expects it.
    pub name: String,
    /// What it holds.
    pub content: String,
}

impl GeneratedFile {
    fn new(name: impl Into<String>, content: String) -> Self {
        Self { name: name.into(), content }
    }
}

/// What the configuration or an option lacks, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct GenerateError(String);

impl GenerateError {
    fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// Whole seconds, rounded up: what these programs count in.
const fn seconds(duration: std::time::Duration) -> u64 {
    duration.as_secs() + (duration.subsec_nanos() > 0) as u64
}

/// How long figw may take to stop: `server.drain_grace`, `server.drain_timeout`, and a little more to
/// write the last rows.
const fn seconds_to_stop(server: &Server) -> u64 {
    seconds(server.drain_grace) + seconds(server.drain_timeout) + 15
}

/// The files that figw may have open: for each connection one to a back end, too, and beside these the
/// database, logs, spooled rows.
fn descriptors(server: &Server) -> u64 {
    u64::from(server.max_connections) * 2 + 1024
}

/// Text for people in front of a value that programs read, which must not break out of its line.
fn one_line<'a>(what: &str, text: &'a str) -> Result<&'a str, GenerateError> {
    if text.chars().any(char::is_control) {
        return Err(GenerateError::new(format!("{what} holds a control character: {text:?}")));
    }
    Ok(text)
}

/// A path that every program takes without quoting.
fn plain_path<'a>(what: &str, path: &'a std::path::Path) -> Result<&'a str, GenerateError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@,".contains(c);
    path.to_str().filter(|text| text.chars().all(is_plain)).ok_or_else(|| {
        GenerateError::new(format!(
            "{what}: {} cannot be written into this file; use a path of letters, digits and /._-+@,",
            path.display()
        ))
    })
}
