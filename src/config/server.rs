//! `server`: listeners, limits of a connection, life cycle.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    problem::Complaints,
    secret::Secret,
    units::{AddressForm, DurationForm, Network, PositiveDurationForm, SizeForm, size},
};
use crate::domain::human::duration;

/// Listeners, limits of a connection, and how the process starts and stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address and port for users and their clients.
    #[schemars(with = "AddressForm")]
    pub listen: SocketAddr,
    /// Address and port for operators: metrics, status, drain, reload. Users never need to reach
    /// it. Any other than a loopback address demands `admin_token`.
    #[schemars(with = "AddressForm")]
    pub admin_listen: SocketAddr,
    /// Bearer token that the admin listener demands. Without one it answers everybody who can
    /// reach it.
    pub admin_token: Option<Secret>,
    /// Addresses and networks of the proxies in front of figw. Only from these is
    /// `X-Forwarded-For` believed.
    pub trusted_proxies: Vec<Network>,
    /// Whether connections from `trusted_proxies` begin with a header of the PROXY protocol
    /// (version 1 or 2), which says whose they are. Those without one are closed.
    pub proxy_protocol: bool,
    /// Largest request body. A larger one is answered with 413.
    #[serde(with = "size")]
    #[schemars(with = "SizeForm")]
    pub max_body_bytes: u64,
    /// Longest time for a client to send the headers of its first request. Those of later requests
    /// on the same connection have 75 s, idle time included.
    #[serde(with = "duration")]
    #[schemars(with = "PositiveDurationForm")]
    pub header_timeout: Duration,
    /// Longest pause while a client sends its request's body.
    #[serde(with = "duration")]
    #[schemars(with = "PositiveDurationForm")]
    pub body_timeout: Duration,
    /// On SIGTERM, how long `/ready` answers 503 before the listener closes, so that load
    /// balancers notice in time.
    #[serde(with = "duration")]
    #[schemars(with = "DurationForm")]
    pub drain_grace: Duration,
    /// After that, longest wait for the requests in flight.
    #[serde(with = "duration")]
    #[schemars(with = "DurationForm")]
    pub drain_timeout: Duration,
    /// Most connections of clients at one time; further ones wait to be accepted. Each needs up to
    /// two file descriptors.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections: u32,
    /// Threads that serve requests; 0 means one for each processor core.
    #[schemars(range(max = 1024))]
    pub worker_threads: u32,
    /// Directory for what must survive a restart: spooled rows and locks. Relative to the working
    /// directory.
    pub state_dir: PathBuf,
    /// TLS on the public listener.
    pub tls: Tls,
    /// A further address and port where plain HTTP is answered with a redirect to HTTPS. Needs
    /// `tls`.
    #[schemars(with = "Option<AddressForm>")]
    pub redirect_http: Option<SocketAddr>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8000).into(),
            admin_listen: (Ipv4Addr::LOCALHOST, 8001).into(),
            admin_token: None,
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            max_body_bytes: 100 << 20,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_mins(1),
            drain_grace: Duration::from_secs(5),
            drain_timeout: Duration::from_mins(5),
            max_connections: 10_000,
            worker_threads: 0,
            state_dir: "./figw-state".into(),
            tls: Tls::default(),
            redirect_http: None,
        }
    }
}

/// TLS (1.2 and 1.3, with HTTP/2) on the public listener. Without a certificate, figw speaks plain
/// HTTP/1. The files are read again on SIGHUP, and soon after they have changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM file with the certificate and its chain.
    pub certificate: Option<PathBuf>,
    /// PEM file with the certificate's private key.
    pub key: Option<PathBuf>,
    /// PEM file with the authorities whose client certificates are demanded. Without it no client
    /// certificate is asked for.
    pub client_ca: Option<PathBuf>,
}

impl Tls {
    /// Whether anything of it is set.
    #[must_use]
    pub const fn is_set(&self) -> bool {
        self.certificate.is_some() || self.key.is_some() || self.client_ca.is_some()
    }
}

impl Server {
    pub(super) fn check(&self, complaints: &mut Complaints) {
        if !self.admin_listen.ip().is_loopback() && self.admin_token.is_none() {
            complaints.add(
                "server.admin_listen",
                "is not a loopback address, so server.admin_token must be set",
            );
        }
        let takes_both = |a: SocketAddr, b: SocketAddr| {
            a.port() == b.port()
                && a.port() != 0
                && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
        };
        if takes_both(self.listen, self.admin_listen) {
            complaints.add("server.admin_listen", "must differ from server.listen");
        }
        if self.max_body_bytes == 0 {
            complaints.add("server.max_body_bytes", "must be at least 1");
        }
        if self.state_dir.as_os_str().is_empty() {
            complaints.add("server.state_dir", "must name a directory");
        }
        if self.redirect_http.is_some() && !self.tls.is_set() {
            complaints.add("server.redirect_http", "needs server.tls: there is no HTTPS to go to");
        }
        let others = [self.listen, self.admin_listen];
        if self.redirect_http.is_some_and(|at| others.iter().any(|other| takes_both(at, *other))) {
            let why = "must differ from server.listen and server.admin_listen";
            complaints.add("server.redirect_http", why);
        }
        if self.proxy_protocol && self.trusted_proxies.is_empty() {
            let why = "needs server.trusted_proxies: whose headers are to be believed?";
            complaints.add("server.proxy_protocol", why);
        }
        if self.tls.is_set() && self.tls.certificate.is_none() {
            complaints.add("server.tls.certificate", "must be set when other keys of tls are");
        }
        if self.tls.is_set() && self.tls.key.is_none() {
            complaints.add("server.tls.key", "must be set when other keys of tls are");
        }
    }
}
