//! One process takes another's place: the sockets go over a Unix socket in `server.state_dir`, so
//! that no connection finds nobody listening. The old process goes on until the new one serves, and
//! then finishes what it has begun.

use std::{
    fs,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::TcpListener as StdListener,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::{UnixListener, UnixStream},
    sync::Notify,
};

use super::sockets::{Inherited, Role};

/// The Unix socket's name in `server.state_dir`.
const SOCKET: &str = "takeover.sock";

/// What the new process says once it serves.
const READY: &[u8] = b"ready\n";

fn place(state_dir: &Path) -> PathBuf {
    state_dir.join(SOCKET)
}

/// The process whose place is being taken.
#[derive(Debug)]
pub(super) struct Predecessor(UnixStream);

impl Predecessor {
    /// Gets the sockets of the process that serves with this state directory; none when there is
    /// no such process.
    ///
    /// # Errors
    /// When it answers with something else.
    pub(super) async fn ask(state_dir: &Path) -> anyhow::Result<Option<(Self, Inherited)>> {
        let path = place(state_dir);
        let stream = match UnixStream::connect(&path).await {
            Ok(stream) => stream,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                return Ok(None);
            }
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("cannot take over through {}", path.display()));
            }
        };
        let sockets = receive(&stream)
            .await
            .with_context(|| format!("what came through {} makes no sense", path.display()))?;
        Ok(Some((Self(stream), Inherited::of_process(sockets))))
    }

    /// Tells it that requests are served, and that it may go.
    pub(super) async fn relieve(mut self) {
        if let Err(error) = self.0.write_all(READY).await {
            tracing::warn!(%error, "the process before this one is gone already");
        }
    }
}

/// One letter for each role, with as many descriptors.
async fn receive(stream: &UnixStream) -> anyhow::Result<Vec<(Role, StdListener)>> {
    let mut letters = [0; Role::ALL.len()];
    let (length, descriptors) = stream
        .async_io(Interest::READABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
            let mut buffer = RecvAncillaryBuffer::new(&mut space);
            let mut into = [IoSliceMut::new(&mut letters)];
            let message = recvmsg(stream, &mut into, &mut buffer, RecvFlags::CMSG_CLOEXEC)?;
            let mut descriptors: Vec<OwnedFd> = Vec::new();
            for received in buffer.drain() {
                if let RecvAncillaryMessage::ScmRights(some) = received {
                    descriptors.extend(some);
                }
            }
            Ok((message.bytes, descriptors))
        })
        .await?;
    let roles: Option<Vec<Role>> = letters[..length].iter().map(|letter| role(*letter)).collect();
    match roles {
        Some(roles) if roles.len() == descriptors.len() && !roles.is_empty() => {
            Ok(roles.into_iter().zip(descriptors.into_iter().map(StdListener::from)).collect())
        }
        _ => bail!("{length} bytes with {} descriptors", descriptors.len()),
    }
}

const fn letter(role: Role) -> u8 {
    match role {
        Role::Public => b'p',
        Role::Admin => b'a',
        Role::Redirect => b'r',
    }
}

fn role(wanted: u8) -> Option<Role> {
    Role::ALL.into_iter().find(|role| letter(*role) == wanted)
}

/// What a successor is given.
#[derive(Debug)]
pub(super) struct Offer {
    listener: UnixListener,
    sockets: Vec<(Role, OwnedFd)>,
}

impl Offer {
    /// Makes these sockets available to a successor.
    ///
    /// # Errors
    /// When the Unix socket cannot be made.
    pub(super) fn make(state_dir: &Path, sockets: &[(Role, BorrowedFd<'_>)]) -> io::Result<Self> {
        let own = sockets.iter().map(|(role, socket)| Ok((*role, socket.try_clone_to_owned()?)));
        let sockets = own.collect::<io::Result<_>>()?;
        // Under another name first: the predecessor's stays until this one takes its place.
        let new = place(state_dir).with_extension(std::process::id().to_string());
        let _ = fs::remove_file(&new);
        let listener = UnixListener::bind(&new)?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
        fs::rename(&new, place(state_dir))?;
        Ok(Self { listener, sockets })
    }

    /// Hands the sockets to whoever asks, and notifies `relieved` once a successor serves with them.
    pub(super) async fn stand(self, relieved: Arc<Notify>) {
        loop {
            let successor = match self.listener.accept().await {
                Ok((stream, _)) => self.serve(stream).await,
                Err(error) => Err(error),
            };
            match successor {
                Ok(true) => return relieved.notify_one(),
                Ok(false) => tracing::warn!("the process that should take over has given up"),
                Err(error) => tracing::warn!(%error, "a process could not take over"),
            }
        }
    }

    /// Whether the successor has come to serve.
    async fn serve(&self, mut stream: UnixStream) -> io::Result<bool> {
        let letters: Vec<u8> = self.sockets.iter().map(|(role, _)| letter(*role)).collect();
        let descriptors: Vec<_> = self.sockets.iter().map(|(_, socket)| socket.as_fd()).collect();
        stream
            .async_io(Interest::WRITABLE, || {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
                let mut buffer = SendAncillaryBuffer::new(&mut space);
                if !buffer.push(SendAncillaryMessage::ScmRights(&descriptors)) {
                    return Err(io::Error::other("too many sockets"));
                }
                let what = [IoSlice::new(&letters)];
                Ok(sendmsg(&stream, &what, &mut buffer, SendFlags::NOSIGNAL)?)
            })
            .await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(answer == READY)
    }
}
