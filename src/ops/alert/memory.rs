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
    file: PathBuf,
    content: Content,
    /// The instance that is looked at.
    instance: String,
    nothing: AllTold,
    /// The open file is the lock, and the kernel gives it up with the process.
    _lock: File,
}

impl Memory {
    /// Reads what is remembered of `instance` in this directory, once no other run has it.
    pub(super) async fn open(
        directory: &Path,
        instance: &str,
        patience: Duration,
    ) -> anyhow::Result<Self> {
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
        let mut content = read(&file)?;
        let former = std::mem::take(&mut content.former);
        // Most directories have one instance: what was told is that one's.
        content.instances.entry(instance.to_owned()).or_insert(former);
        let instance = instance.to_owned();
        Ok(Self { file, content, instance, nothing: AllTold::new(), _lock: lock })
    }

    fn own(&self) -> Option<&Remembered> {
        self.content.instances.get(&self.instance)
    }

    fn own_mut(&mut self) -> &mut Remembered {
        self.content.instances.entry(self.instance.clone()).or_default()
    }

    /// Notes what is seen now.
    pub(super) fn see(&mut self, lines: &[Line], now: Timestamp) {
        let own = self.own_mut();
        for line in lines {
            let state = line.finding.state;
            let since = line.finding.since.unwrap_or(now);
            let seen = own.seen.entry(line.name.to_owned());
            let seen = seen.or_insert(Seen { state, since });
            if seen.state != state {
                *seen = Seen { state, since };
            }
        }
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
        one.keep().unwrap();
        drop(one);
        let two = open(place, "two").await;
        assert_eq!(*two.told_by("webhook"), AllTold::new());
        two.keep().unwrap();
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
        one.keep().unwrap();
        drop(one);
        assert_eq!(*open(place, "two").await.told_by("webhook"), AllTold::new());
        assert_eq!(*open(place, "one").await.told_by("webhook"), critical());
    }
}
