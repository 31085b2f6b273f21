//! What was seen and what was told, from one run to the next.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions, TryLockError},
    io::ErrorKind,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::decide::AllTold;
use crate::ops::{
    anew::create_state_dir,
    backup::repository::write_synced,
    health::{Line, State, within},
};

/// How long the file system may take for a file of a few kilobytes.
const LONGEST: Duration = Duration::from_secs(10);

/// The file whose lock keeps two runs apart.
const LOCK: &str = "alerts.lock";

/// The file with what is remembered, in `server.state_dir`; each run writes it anew.
pub(in crate::ops) const FILE: &str = "alerts.json";

/// How often it is tried to get the lock.
const PAUSE: Duration = Duration::from_millis(100);

/// Since when a check has been in its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    state: State,
    since: Timestamp,
}

/// What is remembered of one instance.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Remembered {
    /// By the check's name.
    #[serde(default)]
    seen: BTreeMap<String, Seen>,
    /// By the channel's name.
    #[serde(default)]
    told: BTreeMap<String, AllTold>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Content {
    /// By the instance, as messages call it.
    #[serde(default)]
    instances: BTreeMap<String, Remembered>,
    /// In files of before, which did not tell instances apart.
    #[serde(flatten, skip_serializing)]
    former: Remembered,
}

/// What is remembered; nobody else remembers anything meanwhile.
#[derive(Debug)]
pub(super) struct Memory {
    content: Content,
    /// The instance that is looked at.
    instance: String,
    nothing: AllTold,
    /// Checks that nothing was remembered of.
    first_looks: BTreeSet<&'static str>,
    place: Place,
}

/// Where it is kept.
#[derive(Debug)]
enum Place {
    /// The open file is the lock, and the kernel gives it up with the process.
    File { path: PathBuf, _lock: File },
    /// Nowhere, for this reason.
    Nowhere(String),
}

/// Another run is telling people, and did not come to an end.
#[derive(Debug, thiserror::Error)]
#[error("another `figw health --notify` holds {} for too long", .0.display())]
pub(super) struct Held(PathBuf);

impl Memory {
    /// Reads what is remembered of `instance` in this directory, once no other run has it. Where
    /// nothing can be read or kept, nothing is remembered: that disk may be the very thing to be told of.
    pub(super) async fn open(
        directory: &Path,
        instance: &str,
        patience: Duration,
    ) -> Result<Self, Held> {
        let given_up = Instant::now() + patience;
        loop {
            let from = directory.to_owned();
            let opened = within(LONGEST, move || read_locked(&from)).await;
            let (content, place) = match opened.unwrap_or_else(|| Err(hangs(directory))) {
                Ok(Some((content, lock))) => {
                    (content, Place::File { path: directory.join(FILE), _lock: lock })
                }
                Ok(None) if Instant::now() >= given_up => {
                    return Err(Held(directory.join(LOCK)));
                }
                Ok(None) => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Err(error) => (Content::default(), Place::Nowhere(format!("{error:#}"))),
            };
            return Ok(Self::new(content, instance.to_owned(), place));
        }
    }

    fn new(mut content: Content, instance: String, place: Place) -> Self {
        let former = std::mem::take(&mut content.former);
        // Most directories have one instance: what was told is that one's.
        content.instances.entry(instance.clone()).or_insert(former);
        let (nothing, first_looks) = Default::default();
        Self { content, instance, nothing, first_looks, place }
    }

    fn own(&self) -> Option<&Remembered> {
        self.content.instances.get(&self.instance)
    }

    fn own_mut(&mut self) -> &mut Remembered {
        self.content.instances.entry(self.instance.clone()).or_default()
    }

    /// Notes what is seen now.
    pub(super) fn see(&mut self, lines: &[Line], now: Timestamp) {
        for line in lines {
            let state = line.finding.state;
            let since = line.finding.since.unwrap_or(now);
            let before = self.own_mut().seen.get(line.name).map(|seen| seen.state);
            if before.is_none() {
                self.first_looks.insert(line.name);
            }
            if before != Some(state) {
                self.own_mut().seen.insert(line.name.to_owned(), Seen { state, since });
            }
        }
    }

    /// Whether nobody knows how a check was before this run.
    pub(super) fn is_first_look(&self, check: &str) -> bool {
        self.first_looks.contains(check)
    }

    /// Since when a check has been in its state.
    pub(super) fn since(&self, check: &str) -> Option<Timestamp> {
        self.own()?.seen.get(check).map(|seen| seen.since)
    }

    /// What this channel was told.
    pub(super) fn told_by(&self, channel: &str) -> &AllTold {
        self.own().and_then(|own| own.told.get(channel)).unwrap_or(&self.nothing)
    }

    /// Notes what this channel has been told by now.
    pub(super) fn remember(&mut self, channel: &str, told: AllTold) {
        self.own_mut().told.insert(channel.to_owned(), told);
    }

    /// Brings it to the disk.
    pub(super) async fn keep(&self) -> anyhow::Result<()> {
        let path = match &self.place {
            Place::File { path, .. } => path.clone(),
            Place::Nowhere(reason) => return Err(anyhow!(reason.clone())),
        };
        let text = serde_json::to_vec_pretty(&self.content)?;
        let place = path.clone();
        let written = within(LONGEST, move || write_synced(&path, &text)).await;
        Ok(written.ok_or_else(|| hangs(&place))??)
    }
}

fn hangs(path: &Path) -> anyhow::Error {
    anyhow!("{}: the file system does not answer", path.display())
}

/// Reads what is remembered in this directory, and holds the lock; nothing when another run holds it.
fn read_locked(directory: &Path) -> anyhow::Result<Option<(Content, File)>> {
    create_state_dir(directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    let path = directory.join(LOCK);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let lock = options.open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some((read(&directory.join(FILE))?, lock))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

/// What makes no sense is begun anew: telling something twice is better than never again.
fn read(file: &Path) -> anyhow::Result<Content> {
    let text = match fs::read(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Content::default()),
        text => text.with_context(|| format!("cannot read {}", file.display()))?,
    };
    Ok(serde_json::from_slice(&text).unwrap_or_else(|error| {
        tracing::warn!(
            "{} makes no sense ({error}); it is begun anew, and everything is told once more",
            file.display()
        );
        Content::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::alert::decide::Told;

    /// What one channel was told.
    fn critical() -> AllTold {
        let at = "2026-01-02T03:04:05Z".parse().unwrap();
        AllTold::from([("gateway".to_owned(), Told { state: State::Critical, at })])
    }

    async fn open(directory: &Path, instance: &str) -> Memory {
        Memory::open(directory, instance, Duration::from_secs(5)).await.unwrap()
    }

    #[tokio::test]
    async fn what_is_told_of_one_instance_is_not_told_of_another() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path();
        let mut one = open(place, "one").await;
        one.remember("webhook", critical());
        one.keep().await.unwrap();
        drop(one);
        let two = open(place, "two").await;
        assert_eq!(*two.told_by("webhook"), AllTold::new());
        two.keep().await.unwrap();
        drop(two);
        assert_eq!(*open(place, "one").await.told_by("webhook"), critical());
    }

    #[tokio::test]
    async fn what_was_remembered_before_instances_were_told_apart_is_the_first_one_s() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path();
        let at = "2026-01-02T03:04:05Z";
        let former = format!(
            r#"{{"seen": {{"gateway": {{"state": "critical", "since": "{at}"}}}},
                "told": {{"webhook": {{"gateway": {{"state": "critical", "at": "{at}"}}}}}}}}"#
        );
        fs::write(place.join("alerts.json"), former).unwrap();
        let one = open(place, "one").await;
        assert_eq!(*one.told_by("webhook"), critical());
        assert_eq!(one.since("gateway"), at.parse().ok());
        one.keep().await.unwrap();
        drop(one);
        assert_eq!(*open(place, "two").await.told_by("webhook"), AllTold::new());
        assert_eq!(*open(place, "one").await.told_by("webhook"), critical());
    }
}
