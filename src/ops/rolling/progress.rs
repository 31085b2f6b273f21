//! Which instances are done, for `--resume`, and the lock that keeps two runs apart.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::ErrorKind,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::{Order, RollingError, instance::Instance};
use crate::ops::{anew::create_state_dir, backup::repository::write_synced};

/// How far a run has come, in files in `server.state_dir`.
#[derive(Debug)]
pub(super) struct Progress {
    file: PathBuf,
    lock: PathBuf,
    scope: Scope,
    done: Vec<String>,
}

/// What a run is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// The whole fleet.
    All,
    /// Single instances.
    Some,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    done: Vec<String>,
}

/// Held for as long as it lives; ends with the process.
#[derive(Debug)]
pub(super) struct Lock(#[allow(dead_code, reason = "the open file is the lock")] File);

impl Progress {
    /// Before the run that this order asks for.
    pub(super) fn of(order: &Order, state_dir: &Path) -> Result<Self, RollingError> {
        let scope = if order.only.is_empty() { Scope::All } else { Scope::Some };
        let mut progress = Self {
            file: state_dir.join("rolling-restart.json"),
            lock: state_dir.join("rolling-restart.lock"),
            scope,
            done: Vec::new(),
        };
        progress.done = match progress.read()? {
            Some(done) if order.resume || scope == Scope::Some => done,
            None if order.resume => {
                return Err(RollingError::Invalid(
                    "--resume: no run has stopped half-way; leave it out".to_owned(),
                ));
            }
            _ => Vec::new(),
        };
        Ok(progress)
    }

    /// Keeps every other run away.
    pub(super) fn lock(&self) -> Result<Lock, RollingError> {
        let shown = self.lock.display();
        let directory = self.lock.parent().unwrap_or(Path::new("."));
        create_state_dir(directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&self.lock).with_context(|| format!("cannot open {shown}"))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock(file)),
            Err(TryLockError::WouldBlock) => Err(RollingError::Busy(shown.to_string())),
            Err(TryLockError::Error(error)) => {
                Err(anyhow::Error::new(error).context(format!("cannot lock {shown}")).into())
            }
        }
    }

    fn read(&self) -> Result<Option<Vec<String>>, RollingError> {
        let text = match fs::read(&self.file) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("cannot read {}", self.file.display()))?,
        };
        let content: Content = serde_json::from_slice(&text).with_context(|| {
            format!("{} makes no sense; remove it and begin anew", self.file.display())
        })?;
        Ok(Some(content.done))
    }

    /// Notes that a run is under way. What an earlier one had done stays noted until this one has
    /// done something.
    pub(super) fn begin(&self) -> Result<(), RollingError> {
        match self.scope {
            Scope::All if self.read()?.is_none() => self.keep(),
            _ => Ok(()),
        }
    }

    /// Notes that an instance is done.
    pub(super) fn restarted(&mut self, name: &str) -> Result<(), RollingError> {
        self.done.push(name.to_owned());
        // Some alone are a part of a run only when one has stopped.
        if self.scope == Scope::Some && self.read()?.is_none() { Ok(()) } else { self.keep() }
    }

    /// Forgets the run, once there is nothing left of it.
    pub(super) fn end(&self, all: &[Instance]) -> Result<(), RollingError> {
        if self.scope == Scope::Some && !all.iter().all(|one| self.is_done(&one.name)) {
            return Ok(());
        }
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(anyhow::Error::new(error)
                .context(format!("cannot remove {}", self.file.display()))
                .into()),
            _ => Ok(()),
        }
    }

    /// Whether this instance is done.
    pub(super) fn is_done(&self, name: &str) -> bool {
        self.done.iter().any(|done| done == name)
    }

    fn keep(&self) -> Result<(), RollingError> {
        let text = serde_json::to_vec(&Content { done: self.done.clone() });
        let text = text.map_err(anyhow::Error::new)?;
        write_synced(&self.file, &text).map_err(|error| anyhow::anyhow!("{error}").into())
    }
}
