//! The way to a server: the hosts of its URL, one after the other.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::{task::JoinHandle, time::timeout};
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    PostgresUrl,
    error::{connect_may_pass, one_line},
    tls,
    url::host_at,
};
use crate::store::{StoreError, StoreOptions};

/// The hosts of a URL. The one that was reached last is tried first, so that a host that hangs
/// costs its time once and not for every connection.
pub(super) struct Way {
    target: String,
    hosts: Vec<(String, Config)>,
    connector: MakeRustlsConnect,
    first: AtomicUsize,
    /// How long one host may take.
    patience: Duration,
}

impl Way {
    /// The way to `url`; all its hosts together may take the options' `connect_timeout`.
    pub(super) fn new(url: &PostgresUrl, options: &StoreOptions) -> Result<Self, StoreError> {
        let target = url.describe();
        let connector = tls::connector(&url.trust)
            .map_err(|reason| StoreError::Failed { target: target.clone(), reason })?;
        let hosts = each_host(&with_timeouts(&url.config, options));
        let share = u32::try_from(hosts.len().max(1)).unwrap_or(u32::MAX);
        let patience = options.connect_timeout / share;
        Ok(Self { target, hosts, connector, first: AtomicUsize::new(0), patience })
    }

    /// For what may take its time without a word: only keepalives watch it.
    pub(super) fn for_long_silence(mut self) -> Self {
        for (_, config) in &mut self.hosts {
            config.tcp_user_timeout(Duration::ZERO);
        }
        self
    }

    /// Connects to the first host that lets it. The task carries the connection and ends with it.
    pub(super) async fn connect(&self) -> Result<(Client, JoinHandle<()>), StoreError> {
        let first = self.first.load(Ordering::Relaxed);
        let (mut reasons, mut may_pass) = (Vec::new(), self.hosts.is_empty());
        for index in (first..self.hosts.len()).chain(0..first) {
            let Some((name, config)) = self.hosts.get(index) else { continue };
            let (passing, reason) =
                match timeout(self.patience, config.connect(self.connector.clone())).await {
                    Ok(Ok((client, connection))) => {
                        self.first.store(index, Ordering::Relaxed);
                        // Whoever uses the client sees the error as well.
                        return Ok((client, tokio::spawn(async move { drop(connection.await) })));
                    }
                    Ok(Err(error)) => (connect_may_pass(&error), one_line(&error)),
                    Err(_) => (true, format!("no connection within {:?}", self.patience)),
                };
            may_pass |= passing;
            reasons.push((name, reason));
        }
        let reason = match &reasons[..] {
            [(_, reason)] => reason.clone(),
            many => {
                many.iter().map(|(name, r)| format!("{name}: {r}")).collect::<Vec<_>>().join("; ")
            }
        };
        let target = self.target.clone();
        Err(if may_pass {
            StoreError::Unavailable { target, reason }
        } else {
            StoreError::Failed { target, reason }
        })
    }
}

fn with_timeouts(config: &Config, options: &StoreOptions) -> Config {
    let mut config = config.clone();
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(options.connect_timeout);
    }
    // A server that vanished without a word is noticed by the kernel, too.
    config.keepalives_idle(Duration::from_secs(30));
    config.keepalives_interval(Duration::from_secs(10));
    config.keepalives_retries(3);
    config.tcp_user_timeout(options.statement_timeout);
    config
}

/// The driver's own way through several hosts waits for one that takes the connection and is then
/// silent, as a stopped server does, for as long as for all.
fn each_host(config: &Config) -> Vec<(String, Config)> {
    let count = config.get_hosts().len().max(config.get_hostaddrs().len());
    (0..count).map(|index| (host_at(config, index), only_host(config, index))).collect()
}

fn only_host(all: &Config, index: usize) -> Config {
    use tokio_postgres::config::Host;
    let mut one = Config::new();
    match all.get_hosts().get(index) {
        Some(Host::Tcp(name)) => drop(one.host(name)),
        Some(Host::Unix(path)) => drop(one.host_path(path)),
        None => {}
    }
    if let Some(address) = all.get_hostaddrs().get(index) {
        one.hostaddr(*address);
    }
    if let Some(port) = all.get_ports().get(index).or(all.get_ports().first()) {
        one.port(*port);
    }
    if let Some(user) = all.get_user() {
        one.user(user);
    }
    if let Some(password) = all.get_password() {
        one.password(password);
    }
    if let Some(name) = all.get_dbname() {
        one.dbname(name);
    }
    if let Some(options) = all.get_options() {
        one.options(options);
    }
    if let Some(name) = all.get_application_name() {
        one.application_name(name);
    }
    if let Some(time) = all.get_connect_timeout() {
        one.connect_timeout(*time);
    }
    if let Some(time) = all.get_tcp_user_timeout() {
        one.tcp_user_timeout(*time);
    }
    if let Some(interval) = all.get_keepalives_interval() {
        one.keepalives_interval(interval);
    }
    if let Some(retries) = all.get_keepalives_retries() {
        one.keepalives_retries(retries);
    }
    one.keepalives(all.get_keepalives())
        .keepalives_idle(all.get_keepalives_idle())
        .ssl_mode(all.get_ssl_mode())
        .ssl_negotiation(all.get_ssl_negotiation())
        .channel_binding(all.get_channel_binding())
        .target_session_attrs(all.get_target_session_attrs());
    one
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_keeps_everything_but_the_other_hosts() {
        let url = "postgres://figw:hush@a:1,b:2/db?sslmode=require&application_name=me&\
                   connect_timeout=7&options=-c%20work_mem%3D4MB&target_session_attrs=read-write";
        let all: Config = url.parse().unwrap();
        let hosts = each_host(&all);
        assert_eq!(hosts.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a:1", "b:2"]);
        let alone: Config = url.replace("a:1,", "").parse().unwrap();
        assert_eq!(hosts[1].1, alone);
    }
}
