//! The way to processes with the same state directory: one that has taken over from another, and
//! those before it that still finish their streams. Each has a Unix socket with its name.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    task::AbortHandle,
    time::{sleep, timeout},
};

use super::{PostKind, StreamHub, instance::Instance, passing::Missed, seal::Label};

/// What a socket's name begins and ends with.
const NAME: (&str, &str) = ("streams-", ".sock");

/// Most neighbours who are answered at the same time; further ones wait.
const MOST: usize = 256;

/// How long one question and its answer may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Longest message, in bytes.
const LONGEST: usize = PostKind::Data.longest() + 1024;

/// The sockets in a state directory.
#[derive(Debug)]
pub(super) struct Sockets {
    directory: PathBuf,
}

/// The own socket; dropping it takes it away.
#[derive(Debug)]
pub(super) struct Standing {
    path: PathBuf,
    task: AbortHandle,
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.task.abort();
        // It is swept by the next process at the latest.
        let _ = fs::remove_file(&self.path);
    }
}

impl Sockets {
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    fn path(&self, instance: Instance) -> PathBuf {
        self.directory.join(format!("{}{instance}{}", NAME.0, NAME.1))
    }

    /// Asks the holder once.
    pub(super) async fn ask(&self, holder: Instance, message: &[u8]) -> Result<Vec<u8>, Missed> {
        // Whatever keeps from connecting, there is nobody to be found on this way.
        let connected = UnixStream::connect(self.path(holder)).await;
        let mut stream = connected.map_err(|_| Missed::Nobody)?;
        let exchange = async {
            send(&mut stream, message).await?;
            receive(&mut stream).await
        };
        match timeout(PATIENCE, exchange).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                tracing::debug!(%error, %holder, "a neighbour did not answer");
                Err(Missed::NoAnswer)
            }
            Err(_) => Err(Missed::NoAnswer),
        }
    }

    /// Answers neighbours for as long as what is returned is kept.
    pub(super) async fn stand(&self, hub: &StreamHub) -> Option<Standing> {
        self.sweep().await;
        let path = self.path(hub.inner.me);
        match bind(&path) {
            Ok(listener) => {
                let task = tokio::spawn(answer_all(listener, hub.clone())).abort_handle();
                Some(Standing { path, task })
            }
            Err(error) => {
                tracing::warn!(
                    %error,
                    path = %path.display(),
                    "streams of clusters will not outlive a hand-over without Redis"
                );
                None
            }
        }
    }

    /// Removes sockets of processes that have ended without doing so.
    async fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let is_one = name
                .to_str()
                .is_some_and(|name| name.starts_with(NAME.0) && name.ends_with(NAME.1));
            if !is_one {
                continue;
            }
            let connected = timeout(PATIENCE, UnixStream::connect(entry.path())).await;
            if let Ok(Err(error)) = connected
                && error.kind() == io::ErrorKind::ConnectionRefused
            {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    // Under another name until it listens, lest another process sweeps it away.
    let new = path.with_extension("new");
    let _ = fs::remove_file(&new);
    let listener = UnixListener::bind(&new)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
    fs::rename(&new, path)?;
    Ok(listener)
}

async fn answer_all(listener: UnixListener, hub: StreamHub) {
    let places = Arc::new(Semaphore::new(MOST));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let hub = hub.clone();
                tokio::spawn(async move {
                    let answered = timeout(PATIENCE, answer(stream, &hub)).await;
                    if let Ok(Err(error)) = answered {
                        tracing::debug!(%error, "a neighbour could not be answered");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "neighbours cannot be heard");
                sleep(PATIENCE).await;
            }
        }
    }
}

async fn answer(mut stream: UnixStream, hub: &StreamHub) -> io::Result<()> {
    let message = receive(&mut stream).await?;
    let answer = Label::read(&message).and_then(|label| hub.answer(&label, &message));
    match answer {
        Some(answer) => send(&mut stream, &answer).await,
        None => Err(io::Error::other("a message that makes no sense")),
    }
}

async fn send(stream: &mut UnixStream, message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(message).await
}

async fn receive(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let length = usize::try_from(stream.read_u32().await?).unwrap_or(usize::MAX);
    if length > LONGEST {
        return Err(io::Error::other(format!("a message of {length} bytes")));
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    Ok(message)
}
