//! The sockets that figw listens on, and what is served there.

use std::{os::fd::AsFd, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use warp::{filters::BoxedFilter, reply::Response};

use super::{
    ServeError,
    sockets::{Inherited, Role},
    takeover::{Offer, Predecessor},
};
use crate::{
    config::Config,
    http::{
        self, App,
        server::{Limits, Listener, Proxies, Stop, Tls, to_https},
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
    /// Gets all of them: systemd's, with `take_over` those of the process before this one, or else
    /// new ones.
    pub(super) async fn get(
        config: &Config,
        take_over: bool,
    ) -> Result<(Self, Option<Predecessor>), ServeError> {
        let given = Inherited::of_systemd()?;
        if take_over && given.is_empty() {
            if let Some((predecessor, sockets)) = Predecessor::ask(&config.server.state_dir).await?
            {
                return Ok((Self::bind(config, sockets)?, Some(predecessor)));
            }
            tracing::info!("there is no process to take over from");
        }
        Ok((Self::bind(config, given)?, None))
    }

    /// Binds those that are not among the inherited ones.
    fn bind(config: &Config, mut inherited: Inherited) -> Result<Self, ServeError> {
        let server = &config.server;
        let tls = Tls::load(&server.tls).map_err(ServeError::Configuration)?;
        let mut get = |role, address| inherited.take_or_bind(role, address);
        Ok(Self {
            public: get(Role::Public, server.listen)?,
            admin: get(Role::Admin, server.admin_listen)?,
            redirecting: server.redirect_http.map(|at| get(Role::Redirect, at)).transpose()?,
            tls,
        })
    }

    /// Offers the sockets to a successor, from the moment at which `stop` makes deaf the admin one
    /// alone: it is in use until the very end, and nobody could start meanwhile. What is returned is
    /// notified once a successor serves with them.
    pub(super) fn offer(
        &self,
        config: &Config,
        stop: &Stop,
        admin_deaf: &CancellationToken,
    ) -> Arc<Notify> {
        let relieved = Arc::new(Notify::new());
        let redirecting = self.redirecting.as_ref().map(|socket| (Role::Redirect, socket.as_fd()));
        let sockets: Vec<_> =
            [(Role::Public, self.public.as_fd()), (Role::Admin, self.admin.as_fd())]
                .into_iter()
                .chain(redirecting)
                .collect();
        match Offer::make(&config.server.state_dir, &sockets) {
            Ok(mut offer) => {
                let (deaf, admin_deaf) = (stop.deaf.clone(), admin_deaf.clone());
                let relieved = Arc::clone(&relieved);
                tokio::spawn(async move {
                    let mut successor = deaf.run_until_cancelled(offer.stand()).await;
                    if successor.is_none() {
                        offer.keep_only(Role::Admin);
                        successor = admin_deaf.run_until_cancelled(offer.stand()).await;
                    }
                    if successor.is_some() {
                        relieved.notify_one();
                    }
                });
            }
            Err(error) => tracing::warn!(%error, "no other process will be able to take over"),
        }
        relieved
    }

    /// Starts serving. The admin listener accepts until `admin_deaf`, and goes on until the very end,
    /// so that the operator sees how the public one drains.
    pub(super) fn serve(
        self,
        config: &Config,
        app: &Arc<App>,
        admin_routes: BoxedFilter<(Response,)>,
        workers: Workers,
        stop: &Stop,
        admin_deaf: CancellationToken,
    ) -> JoinHandle<()> {
        let server = &config.server;
        let limits = Limits {
            max_connections: server.max_connections as usize,
            header_timeout: server.header_timeout,
            keep_alive: KEEP_ALIVE,
        };
        let beside = |socket, routes, proxies| Listener {
            socket,
            routes,
            limits: Limits { max_connections: FEW_CONNECTIONS, ..limits },
            tls: None,
            proxies,
        };
        let proxies = Arc::new(Proxies {
            trusted: server.trusted_proxies.clone(),
            protocol: server.proxy_protocol,
        });
        let until_the_end = Stop {
            closing: Arc::clone(&stop.closing),
            deaf: admin_deaf,
            soft: stop.hard.clone(),
            hard: stop.hard.clone(),
        };
        tokio::spawn(beside(self.admin, admin_routes, Arc::default()).serve(until_the_end, None));
        if let Some(socket) = self.redirecting {
            let routes = to_https(server.listen.port());
            let redirecting = beside(socket, routes, Arc::clone(&proxies));
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
            proxies,
        };
        tokio::spawn(public.serve(stop.clone(), Some(Arc::new(workers))))
    }
}
