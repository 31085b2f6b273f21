//! The sockets that figw listens on, and what is served there.

use std::{sync::Arc, time::Duration};

use tokio::{net::TcpListener, task::JoinHandle};
use warp::{filters::BoxedFilter, reply::Response};

use super::ServeError;
use crate::{
    config::Config,
    http::{
        self, App,
        server::{Limits, Listener, Proxies, Stop, Tls, bind, to_https},
    },
    workers::Workers,
};

/// Connections that a listener beside the public one serves at the same time.
const FEW_CONNECTIONS: usize = 64;

/// How long an idle connection is kept. Longer than the 60 s after which nginx closes its own idle
/// connections to an upstream, so that nginx never sends into one that is just being closed.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Sockets that are bound, before anything is served on them.
pub(super) struct Listeners {
    public: TcpListener,
    admin: TcpListener,
    redirecting: Option<TcpListener>,
    /// Keys and certificates of the public one.
    pub(super) tls: Option<Tls>,
}

impl Listeners {
    /// Binds all of them.
    pub(super) fn bind(config: &Config) -> Result<Self, ServeError> {
        let server = &config.server;
        let tls = Tls::load(&server.tls).map_err(ServeError::Configuration)?;
        let redirecting = server.redirect_http.map(|at| bind(at, "server.redirect_http"));
        Ok(Self {
            public: bind(server.listen, "server.listen")?,
            admin: bind(server.admin_listen, "server.admin_listen")?,
            redirecting: redirecting.transpose()?,
            tls,
        })
    }

    /// Starts serving. The admin listener goes on until the very end, so that the operator sees how
    /// the public one drains.
    pub(super) fn serve(
        self,
        config: &Config,
        app: &Arc<App>,
        admin_routes: BoxedFilter<(Response,)>,
        workers: Workers,
        stop: &Stop,
    ) -> JoinHandle<()> {
        let server = &config.server;
        let limits = Limits {
            max_connections: server.max_connections as usize,
            header_timeout: server.header_timeout,
            keep_alive: KEEP_ALIVE,
        };
        let beside = |socket, routes| Listener {
            socket,
            routes,
            limits: Limits { max_connections: FEW_CONNECTIONS, ..limits },
            tls: None,
            proxies: Arc::default(),
        };
        let until_the_end = Stop { soft: stop.hard.clone(), hard: stop.hard.clone() };
        tokio::spawn(beside(self.admin, admin_routes).serve(until_the_end, None));
        if let Some(socket) = self.redirecting {
            let redirecting = beside(socket, to_https(server.listen.port()));
            tokio::spawn(redirecting.serve(stop.clone(), None));
        }
        if let Some(tls) = self.tls.clone() {
            tokio::spawn(tls.follow());
        }
        let public = Listener {
            socket: self.public,
            routes: http::public(app),
            limits,
            tls: self.tls,
            proxies: Arc::new(Proxies {
                trusted: server.trusted_proxies.clone(),
                protocol: server.proxy_protocol,
            }),
        };
        tokio::spawn(public.serve(stop.clone(), Some(Arc::new(workers))))
    }
}
