//! The kernel's lock on a directory: it dies with its process.

use std::{
    fs::{File, OpenOptions, TryLockError},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::{Duration, Instant},
};

use super::{super::error::BackupError, hand_over};

/// Keeps other runs away from the backups as long as it lives.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code, reason = "the lock lives as long as the file is open")] File);

/// Locks a directory by the file `.lock` in it; waits at most this long for another run.
pub(in super::super) async fn lock_directory(
    directory: &Path,
    try_lock: fn(&File) -> Result<(), TryLockError>,
    wait: Duration,
) -> Result<Lock, BackupError> {
    const PAUSE: Duration = Duration::from_millis(200);
    let path = directory.join(".lock");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(&path).map_err(|e| BackupError::io("open", &path, &e))?;
    hand_over(&path);
    let since = Instant::now();
    loop {
        match try_lock(&file) {
            Ok(()) => return Ok(Lock(file)),
            Err(TryLockError::Error(e)) => return Err(BackupError::io("lock", &path, &e)),
            Err(TryLockError::WouldBlock) => {}
        }
        let left = wait.saturating_sub(since.elapsed());
        if left.is_zero() {
            return Err(BackupError::Busy { directory: directory.to_owned() });
        }
        tokio::time::sleep(PAUSE.min(left)).await;
    }
}
