//! Listening sockets that this process did not make itself: systemd's, or those of the process
//! whose place it takes.

use std::{
    env,
    net::{SocketAddr, TcpListener as StdListener},
};

use anyhow::Context as _;
use listenfd::ListenFd;
use tokio::net::TcpListener;

use crate::http::server::bind;

/// What a socket is for: the key that would have it bound otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// `server.listen`
    Public,
    /// `server.admin_listen`
    Admin,
    /// `server.redirect_http`
    Redirect,
}

impl Role {
    pub(super) const ALL: [Self; 3] = [Self::Public, Self::Admin, Self::Redirect];

    /// Its key in the configuration.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::Public => "server.listen",
            Self::Admin => "server.admin_listen",
            Self::Redirect => "server.redirect_http",
        }
    }

    /// What systemd calls it: `FileDescriptorName=` of the socket unit.
    const fn descriptor(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Admin => "admin",
            Self::Redirect => "redirect",
        }
    }
}

/// Sockets that were handed over.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    sockets: Vec<(Role, StdListener)>,
    /// Whether they count wherever they listen: systemd's configuration is the operator's, too.
    anywhere: bool,
}

impl Inherited {
    /// Those that systemd has opened for this process (`LISTEN_FDS`). Without names, the first is
    /// the public one.
    ///
    /// # Errors
    /// When one of them is no listening TCP socket.
    pub(super) fn of_systemd() -> anyhow::Result<Self> {
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut descriptors = ListenFd::from_env();
        let mut sockets: Vec<(Role, StdListener)> = Vec::new();
        for index in 0..descriptors.len() {
            let name = names.split(':').nth(index).unwrap_or_default();
            let by_name = Role::ALL.into_iter().find(|role| role.descriptor() == name);
            let free =
                Role::ALL.into_iter().find(|one| sockets.iter().all(|(role, _)| role != one));
            let Some(role) = by_name.or(free) else { break };
            let socket = descriptors.take_tcp_listener(index).with_context(|| {
                format!("descriptor {index} of LISTEN_FDS is no TCP socket that listens")
            })?;
            sockets.extend(socket.map(|socket| (role, socket)));
        }
        Ok(Self { sockets, anywhere: true })
    }

    /// Those of another process: each counts where it is configured to be.
    pub(super) fn of_process(sockets: Vec<(Role, StdListener)>) -> Self {
        Self { sockets, anywhere: false }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// The socket for this role: a handed-over one that listens there, or a new one.
    ///
    /// # Errors
    /// When the operating system refuses it.
    pub(super) fn take_or_bind(
        &mut self,
        role: Role,
        address: SocketAddr,
    ) -> anyhow::Result<TcpListener> {
        let anywhere = self.anywhere;
        let fits = |(of, socket): &mut (Role, StdListener)| {
            *of == role && (anywhere || socket.local_addr().is_ok_and(|at| at == address))
        };
        let Some((_, socket)) = self.sockets.extract_if(.., fits).next() else {
            return bind(address, role.key());
        };
        let adopted = socket.set_nonblocking(true).and_then(|()| TcpListener::from_std(socket));
        adopted.with_context(|| format!("cannot use the socket given for {}", role.key()))
    }
}
