//! SIGHUP and `POST /admin/reload`: configuration and catalogue, read anew while serving.

use std::sync::Arc;

use tokio::sync::{Notify, watch};

use super::{Reread, service_manager, settings, upkeep};
use crate::{
    config::Config,
    http::{App, server::Tls},
    store,
    telemetry::logs::LevelHandle,
};

/// What a reload works on.
pub(super) struct Reload {
    /// Reads the configuration; `None` when there is no file behind it.
    pub(super) reread: Option<Reread>,
    /// Changes the log level.
    pub(super) level: LevelHandle,
    /// The configuration in effect.
    pub(super) running: Config,
    /// What is served.
    pub(super) app: Arc<App>,
    /// Makes the catalogue be read anew, with its secrets.
    pub(super) refresh: Arc<Notify>,
    /// Keys and certificates.
    pub(super) tls: Option<Tls>,
    /// How long rows are kept.
    pub(super) retention: watch::Sender<store::Retention>,
}

impl Reload {
    /// Reloads each time `asked` is notified.
    pub(super) async fn follow(mut self, asked: Arc<Notify>) {
        loop {
            asked.notified().await;
            service_manager::reloading();
            self.refresh.notify_one();
            if let Some(tls) = &self.tls {
                tls.reload();
            }
            self.configuration();
            service_manager::ready();
        }
    }

    /// A file that cannot be used changes nothing.
    fn configuration(&mut self) {
        let Some(reread) = &self.reread else { return };
        match reread() {
            Ok(loaded) => self.take(loaded.config),
            Err(error) => {
                tracing::error!("reload refused, the old configuration stays in effect: {error}");
            }
        }
    }

    fn take(&mut self, new: Config) {
        for section in needs_restart(&self.running, &new) {
            tracing::warn!("{section} has changed; the change takes effect at the next start");
        }
        if let Err(error) = self.level.apply(&new.logging) {
            tracing::error!("reload: {error}");
        }
        self.app.gateway.settings.store(Arc::new(settings(&new)));
        self.retention.send_replace(upkeep::retention(&new.retention));
        self.running = new;
        tracing::info!("configuration reloaded");
    }
}

/// Keys whose change a running process cannot follow.
fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let (a, b) = (&old.server, &new.server);
    let changed = [
        ("server.listen", a.listen != b.listen),
        ("server.admin_listen", a.admin_listen != b.admin_listen),
        ("server.tls", a.tls != b.tls),
        ("server.redirect_http", a.redirect_http != b.redirect_http),
        ("server.trusted_proxies", a.trusted_proxies != b.trusted_proxies),
        ("server.proxy_protocol", a.proxy_protocol != b.proxy_protocol),
        ("server.admin_token", a.admin_token != b.admin_token),
        ("server.state_dir", a.state_dir != b.state_dir),
        ("server.header_timeout", a.header_timeout != b.header_timeout),
        ("server.max_connections", a.max_connections != b.max_connections),
        ("server.worker_threads", a.worker_threads != b.worker_threads),
        ("server.drain_grace", a.drain_grace != b.drain_grace),
        ("server.drain_timeout", a.drain_timeout != b.drain_timeout),
        ("globus_compute", old.globus_compute != new.globus_compute),
        ("database", old.database != new.database),
        ("cache", old.cache != new.cache),
        ("auth", old.auth != new.auth),
        ("dashboard", old.dashboard != new.dashboard),
        ("batches", old.batches != new.batches),
        ("staging", old.staging != new.staging),
        ("gateway.connect_timeout", old.gateway.connect_timeout != new.gateway.connect_timeout),
        (
            "gateway.max_idle_per_host",
            old.gateway.max_idle_per_host != new.gateway.max_idle_per_host,
        ),
        ("telemetry", old.telemetry != new.telemetry),
        ("logging.file", old.logging.file != new.logging.file),
        ("logging.max_bytes", old.logging.max_bytes != new.logging.max_bytes),
        ("logging.keep", old.logging.keep != new.logging.keep),
        ("logging.format", old.logging.format != new.logging.format),
    ];
    changed.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
}
