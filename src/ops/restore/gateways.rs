//! Whether gateways serve from the database that is about to be replaced.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use http::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use crate::{
    config::{Config, Secret, Server},
    ops::backup::{BackupError, blocking},
    outbound,
};

/// How long an instance has to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// An instance that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Instance {
    /// Its name and where it answered.
    name: String,
    admin_url: String,
    /// Whether it is the one of this configuration, on this machine.
    is_local: bool,
    state: State,
}

/// Where drained gateways are.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// One is on this machine.
    here: bool,
    addresses: BTreeSet<IpAddr>,
}

/// Sessions of gateways on the database, from one address.
#[derive(Debug)]
pub(super) struct Sessions {
    pub(super) count: i64,
    /// None for a socket, or when the role may not see it.
    pub(super) address: Option<IpAddr>,
    pub(super) is_visible: bool,
    /// Whether the restore has the same address.
    pub(super) is_ours: bool,
}

impl Sessions {
    /// Where they come from, for people.
    pub(super) fn origin(&self) -> String {
        match self.address {
            Some(address) => address.to_string(),
            None if self.is_visible => "a socket".to_owned(),
            None => "somewhere that only a member of pg_read_all_stats may see".to_owned(),
        }
    }
}

impl Places {
    /// Where these instances are, as far as their names can be resolved.
    pub(super) async fn of(instances: &[Instance]) -> Self {
        let mut places = Self::default();
        for instance in instances {
            places.here |= instance.is_local;
            let Ok(url) = Url::parse(&instance.admin_url) else { continue };
            let resolved = blocking(move || Ok(url.socket_addrs(|| None).unwrap_or_default()));
            for address in resolved.await.unwrap_or_default() {
                let address = address.ip().to_canonical();
                places.here |= address.is_loopback();
                places.addresses.insert(address);
            }
        }
        places
    }

    /// Whether the sessions can be those of a drained gateway.
    pub(super) fn explain(&self, sessions: &Sessions) -> bool {
        match sessions.address.map(|address| address.to_canonical()) {
            None => sessions.is_visible && self.here,
            Some(address) => {
                let is_here = address.is_loopback() || sessions.is_ours;
                (is_here && self.here) || self.addresses.contains(&address)
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Status(Status),
    /// It does not tell us.
    Refused(StatusCode),
}

/// The part of `GET /admin/status` that matters here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Status {
    draining: bool,
    in_flight: u64,
}

impl Instance {
    /// That it neither gets requests nor works on any.
    pub(super) fn must_be_drained(&self) -> Result<(), BackupError> {
        let Self { name, admin_url, state, .. } = self;
        match state {
            State::Status(Status { draining: true, in_flight: 0 }) => Ok(()),
            State::Status(Status { draining: false, .. }) => Err(BackupError::failed(format!(
                "{name} is serving from this database; drain it first: curl -X POST \
                 {admin_url}/admin/drain"
            ))),
            State::Status(Status { in_flight, .. }) => Err(BackupError::failed(format!(
                "{name} is draining, but still has {in_flight} requests in flight; try again when \
                 {admin_url}/admin/status says 0"
            ))),
            State::Refused(status) => Err(self.unknown(*status)),
        }
    }

    /// That it does not run at all.
    pub(super) fn must_be_stopped(&self) -> Result<(), BackupError> {
        match &self.state {
            State::Status(_) => Err(BackupError::failed(format!(
                "{} is running on this file; stop it first: draining is not enough for SQLite",
                self.name
            ))),
            State::Refused(status) => Err(self.unknown(*status)),
        }
    }

    fn unknown(&self, status: StatusCode) -> BackupError {
        BackupError::failed(format!(
            "{} answers {status}, so nobody knows whether it is drained; set server.admin_token to \
             its token, or stop it",
            self.name
        ))
    }
}

/// Asks the gateway of this configuration and every listed instance. Those that do not answer are
/// left out, with a warning where that is no proof that they do not run.
pub(super) async fn ask(config: &Config) -> Result<Vec<Instance>, BackupError> {
    let token = config.server.admin_token.as_ref().map(Secret::reveal).transpose()?;
    let client = outbound::direct_client(PATIENCE)
        .map_err(|error| BackupError::failed(outbound::reason(&error)))?;
    let local = own_admin_url(&config.server);
    let mut asked = vec![(format!("the gateway at {local}"), local, true)];
    for instance in &config.instances {
        let url = instance.admin_url.to_string();
        asked.push((format!("instance {} at {url}", instance.name), url, false));
    }
    let (mut found, mut silent) = (Vec::new(), Vec::new());
    for (name, admin_url, is_local) in asked {
        match look(&client, &name, &admin_url, token.as_ref()).await {
            Some(state) => found.push(Instance { name, admin_url, is_local, state }),
            None if !is_local => silent.push(name),
            None => {}
        }
    }
    if !(found.is_empty() || silent.is_empty()) {
        tracing::warn!(
            "{} cannot be reached while others can; make sure that it does not run",
            silent.join(", ")
        );
    }
    Ok(found)
}

async fn look(
    client: &reqwest::Client,
    name: &str,
    admin_url: &str,
    token: Option<&SecretString>,
) -> Option<State> {
    let mut request = client.get(format!("{admin_url}/admin/status"));
    if let Some(token) = token {
        request = request.bearer_auth(token.expose_secret());
    }
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) => {
            if !error.is_connect() || error.is_timeout() {
                let why = outbound::failure(&error);
                tracing::warn!("{name} does not answer ({why}); make sure that it does not run");
            }
            return None;
        }
    };
    match response.status() {
        status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Some(State::Refused(status)),
        status => {
            let told = response.json().await.ok();
            if told.is_none() {
                tracing::warn!("{name} is no figw gateway: it answered {status}");
            }
            told.map(State::Status)
        }
    }
}

/// Where this machine's gateway would answer.
fn own_admin_url(server: &Server) -> String {
    let mut address = server.admin_listen;
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    format!("http://{address}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(state: State) -> Instance {
        let admin_url = "http://gw1:8001".into();
        Instance { name: "gw1".into(), admin_url, is_local: false, state }
    }

    fn at(admin_url: &str, is_local: bool) -> Instance {
        Instance { admin_url: admin_url.into(), is_local, ..instance(status(true, 0)) }
    }

    fn from(address: &str) -> Sessions {
        Sessions { count: 1, address: address.parse().ok(), is_visible: true, is_ours: false }
    }

    #[tokio::test]
    async fn sessions_are_those_of_a_drained_gateway_only_from_where_it_is() {
        let nowhere = Places::of(&[]).await;
        let remote = Places::of(&[at("http://192.0.2.7:8001", false)]).await;
        let local = Places::of(&[at("http://127.0.0.1:8001", true)]).await;
        for address in ["192.0.2.7", "::ffff:192.0.2.7"] {
            assert!(remote.explain(&from(address)));
            assert!(!local.explain(&from(address)) && !nowhere.explain(&from(address)));
        }
        for address in ["127.0.0.1", "::1", "a socket"] {
            assert!(local.explain(&from(address)), "{address}");
            assert!(!remote.explain(&from(address)), "{address}");
            assert!(!nowhere.explain(&from(address)), "{address}");
        }
        assert!(!remote.explain(&from("192.0.2.8")), "a second gateway that nobody listed");
        let beside = Sessions { is_ours: true, ..from("192.0.2.9") };
        assert!(local.explain(&beside) && !remote.explain(&beside));
        let hidden = Sessions { is_visible: false, ..from("") };
        assert!(!local.explain(&hidden) && hidden.origin().contains("pg_read_all_stats"));
    }

    fn status(draining: bool, in_flight: u64) -> State {
        State::Status(Status { draining, in_flight })
    }

    #[test]
    fn only_a_drained_and_idle_instance_is_passed() {
        assert!(instance(status(true, 0)).must_be_drained().is_ok());
        for (state, word) in [
            (status(false, 0), "curl -X POST http://gw1:8001/admin/drain"),
            (status(true, 2), "2 requests in flight"),
            (State::Refused(StatusCode::UNAUTHORIZED), "server.admin_token"),
        ] {
            let why = instance(state).must_be_drained().unwrap_err().to_string();
            assert!(why.starts_with("gw1") && why.contains(word), "{why}");
        }
        assert!(instance(status(true, 0)).must_be_stopped().is_err());
    }

    #[test]
    fn a_listener_on_every_address_is_asked_on_this_machine() {
        let server =
            |address: &str| Server { admin_listen: address.parse().unwrap(), ..Server::default() };
        assert_eq!(own_admin_url(&server("0.0.0.0:8001")), "http://127.0.0.1:8001");
        assert_eq!(own_admin_url(&server("[::]:8001")), "http://[::1]:8001");
    }
}
