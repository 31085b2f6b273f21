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
    time::Duration,
};

use anyhow::{Context as _, bail};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::{UnixListener, UnixStream},
    time::{sleep, timeout},
};

use super::{
    ServeError,
    sockets::{Inherited, Role},
};

/// The Unix socket's name in `server.state_dir`.
const SOCKET: &str = "takeover.sock";

/// How long the predecessor may take to hand over its sockets.
const HAND_OVER: Duration = Duration::from_secs(10);

/// How long a successor may take to serve. It is told nothing after that, and another one may try.
const COME_TO_SERVE: Duration = Duration::from_mins(2);

/// How long nothing is accepted after an error: it may be a lack of descriptors.
const BREATH: Duration = Duration::from_millis(200);

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
    /// [`ServeError::Busy`] while another process is taking over, or when it answers with something
    /// else.
    pub(super) async fn ask(state_dir: &Path) -> Result<Option<(Self, Inherited)>, ServeError> {
        let path = place(state_dir);
        let asking = async {
            loop {
                let stream = match UnixStream::connect(&path).await {
                    Ok(stream) => stream,
                    Err(error) if is_nobody(&error) => return Ok(None),
                    Err(error) => {
                        return Err(anyhow::Error::new(error)
                            .context(format!("cannot take over through {}", path.display())));
                    }
                };
                let received = receive(&stream).await.with_context(|| {
                    format!("what came through {} makes no sense", path.display())
                })?;
                if let Some(sockets) = received {
                    return Ok(Some((Self(stream), Inherited::of_process(sockets))));
                }
                // Another one was faster: from now on the path leads to that one.
                sleep(BREATH).await;
            }
        };
        match timeout(HAND_OVER, asking).await {
            Ok(found) => Ok(found?),
            Err(_) => Err(ServeError::Busy(format!(
                "nothing is handed over through {}: another process is taking over; try again",
                path.display()
            ))),
        }
    }

    /// Tells it that requests are served, and that it may go.
    pub(super) async fn relieve(mut self) {
        if let Err(error) = self.0.write_all(READY).await {
            tracing::warn!(%error, "the process before this one is gone already");
        }
    }
}

/// Whether there is no process at the other end.
fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// One letter for each role, with as many descriptors; none when the other end has gone.
async fn receive(stream: &UnixStream) -> anyhow::Result<Option<Vec<(Role, StdListener)>>> {
    let mut letters = [0; Role::ALL.len()];
    let received = stream
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
        .await;
    let (length, descriptors) = match received {
        Ok((0, _)) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
        other => other?,
    };
    let roles: Option<Vec<Role>> = letters[..length].iter().map(|letter| role(*letter)).collect();
    match roles {
        Some(roles) if roles.len() == descriptors.len() && !roles.is_empty() => {
            let sockets = descriptors.into_iter().map(StdListener::from);
            Ok(Some(roles.into_iter().zip(sockets).collect()))
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

    /// From now on there is only this socket to hand over; the others are closed here.
    pub(super) fn keep_only(&mut self, role: Role) {
        self.sockets.retain(|(of, _)| *of == role);
    }

    /// Hands the sockets to whoever asks, until a successor serves with them.
    pub(super) async fn stand(&self) {
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::debug!(%error, "a process that would take over is not let in yet");
                    sleep(BREATH).await;
                    continue;
                }
            };
            match timeout(COME_TO_SERVE, self.serve(stream)).await {
                Ok(Ok(true)) => return,
                Ok(Ok(false)) => tracing::warn!("the process that should take over has given up"),
                Ok(Err(error)) => tracing::warn!(%error, "a process could not take over"),
                Err(_) => tracing::warn!(
                    limit = ?COME_TO_SERVE,
                    "the process that should take over has not come to serve"
                ),
            }
        }
    }

    /// Whether the successor has come to serve.
    async fn serve(&self, stream: UnixStream) -> io::Result<bool> {
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
        stream.take(READY.len() as u64).read_to_end(&mut answer).await?;
        Ok(answer == READY)
    }
}
