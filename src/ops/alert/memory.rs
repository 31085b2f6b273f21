//! What was seen and what was told, from one run to the next.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::ErrorKind,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::decide::AllTold;
use crate::ops::{
    anew::create_state_dir,
    backup::repository::write_synced,
    health::{Line, State},
};

/// How often it is tried to get the lock.
const PAUSE: Duration = Duration::from_millis(100);

/// Since when a check has been in its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    state: State,
    since: Timestamp,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Content {
    /// By the check's name.
    #[serde(default)]
    seen: BTreeMap<String, Seen>,
    /// By the channel's name.
    #[serde(default)]
    told: BTreeMap<String, AllTold>,
}

/// What is remembered; nobody else remembers anything meanwhile.
#[derive(Debug)]
pub(super) struct Memory {
    file: PathBuf,
    content: Content,
    nothing: AllTold,
    /// The open file is the lock, and the kernel gives it up with the process.
    _lock: File,
}

impl Memory {
    /// Reads what is remembered in this directory, once no other run has it.
    pub(super) async fn open(directory: &Path, patience: Duration) -> anyhow::Result<Self> {
        create_state_dir(directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        let path = directory.join("alerts.lock");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let lock =
            options.open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        let given_up = Instant::now() + patience;
        while lock.try_lock().is_err() {
            if Instant::now() >= given_up {
                bail!("another `figw health --notify` holds {} for too long", path.display());
            }
            tokio::time::sleep(PAUSE).await;
        }
        let file = directory.join("alerts.json");
        Ok(Self { content: read(&file)?, file, nothing: AllTold::new(), _lock: lock })
    }

    /// Notes what is seen now.
    pub(super) fn see(&mut self, lines: &[Line], now: Timestamp) {
        for line in lines {
            let state = line.finding.state;
            let since = line.finding.since.unwrap_or(now);
            let seen = self.content.seen.entry(line.name.to_owned());
            let seen = seen.or_insert(Seen { state, since });
            if seen.state != state {
                *seen = Seen { state, since };
            }
        }
    }

    /// Since when a check has been in its state.
    pub(super) fn since(&self, check: &str) -> Option<Timestamp> {
        self.content.seen.get(check).map(|seen| seen.since)
    }

    /// What this channel was told.
    pub(super) fn told_by(&self, channel: &str) -> &AllTold {
        self.content.told.get(channel).unwrap_or(&self.nothing)
    }

    /// Notes what this channel has been told by now.
    pub(super) fn remember(&mut self, channel: &str, told: AllTold) {
        self.content.told.insert(channel.to_owned(), told);
    }

    /// Brings it to the disk.
    pub(super) fn keep(&self) -> anyhow::Result<()> {
        let text = serde_json::to_vec_pretty(&self.content)?;
        Ok(write_synced(&self.file, &text)?)
    }
}

/// What makes no sense is begun anew: telling something twice is better than never again.
fn read(file: &Path) -> anyhow::Result<Content> {
    let text = match fs::read(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Content::default()),
        text => text.with_context(|| format!("cannot read {}", file.display()))?,
    };
    Ok(serde_json::from_slice(&text).unwrap_or_else(|error| {
        tracing::warn!(%error, file = %file.display(), "what was told is forgotten");
        Content::default()
    }))
}
