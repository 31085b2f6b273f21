//! `backup`, `instances` and `rolling_restart`: what the operator's commands work on.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    problem::Complaints,
    secret::SecretUrl,
    units::{DurationForm, HttpUrl},
};
use crate::domain::human::duration;

/// Where backups go and how long they are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Backup {
    /// Directory for backups.
    pub directory: PathBuf,
    /// How many backups of each kind are kept. One that several rules keep counts for each.
    pub keep: Keep,
    /// How backups are compressed.
    pub compression: Compression,
    /// Public keys (age or SSH) that backups are encrypted to; empty means not encrypted.
    pub encrypt_to: Vec<String>,
    /// Object store that receives a copy of each backup, such as `s3://bucket/prefix`.
    pub offsite_url: Option<SecretUrl>,
    /// Files and directories that belong to a backup of the configuration, besides the
    /// configuration file itself.
    pub config_paths: Vec<PathBuf>,
}

impl Default for Backup {
    fn default() -> Self {
        Self {
            directory: "./figw-backups".into(),
            keep: Keep::default(),
            compression: Compression::default(),
            encrypt_to: Vec::new(),
            offsite_url: None,
            config_paths: Vec::new(),
        }
    }
}

/// How many backups are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Keep {
    /// The newest ones.
    pub last: u32,
    /// The newest of each of that many hours.
    pub hourly: u32,
    /// The newest of each of that many days.
    pub daily: u32,
    /// The newest of each of that many weeks.
    pub weekly: u32,
    /// The newest of each of that many months.
    pub monthly: u32,
    /// The newest of each of that many years.
    pub yearly: u32,
}

impl Default for Keep {
    fn default() -> Self {
        Self { last: 3, hourly: 24, daily: 7, weekly: 5, monthly: 12, yearly: 0 }
    }
}

/// How backups are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// with zstd
    #[default]
    Zstd,
    /// not at all
    None,
}

impl Backup {
    pub(super) fn check(&self, complaints: &mut Complaints) {
        let Keep { last, hourly, daily, weekly, monthly, yearly } = self.keep;
        if [last, hourly, daily, weekly, monthly, yearly].iter().all(|n| *n == 0) {
            complaints.add("backup.keep", "must keep at least one backup");
        }
        if self.directory.as_os_str().is_empty() {
            complaints.add("backup.directory", "must name a directory");
        }
        for (index, key) in self.encrypt_to.iter().enumerate() {
            if !["age1", "ssh-ed25519 ", "ssh-rsa "].iter().any(|start| key.starts_with(start)) {
                complaints.add(
                    &format!("backup.encrypt_to[{index}]"),
                    "must be a public key that starts with age1, ssh-ed25519 or ssh-rsa",
                );
            }
        }
        if let Some(url) = &self.offsite_url {
            complaints.add_unless_url(url, &["s3://", "https://", "gs://", "az://", "file://"]);
        }
    }
}

/// One figw process of the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// Its name, for messages and for `--only`.
    pub name: String,
    /// Address of its public listener.
    pub url: HttpUrl,
    /// Address of its admin listener.
    pub admin_url: HttpUrl,
    /// Command that restarts it, such as `ssh gw1 sudo systemctl restart figw`.
    #[serde(default)]
    pub restart: Option<String>,
}

pub(super) fn check_instances(instances: &[Instance], complaints: &mut Complaints) {
    let mut seen = BTreeSet::new();
    for (index, instance) in instances.iter().enumerate() {
        let key = format!("instances[{index}].name");
        if instance.name.is_empty() {
            complaints.add(&key, "must not be empty");
        } else if !seen.insert(&instance.name) {
            complaints.add(&key, "is the name of another instance too");
        }
    }
}

/// How `figw rolling-restart` goes about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RollingRestart {
    /// How long a restarted instance must stay ready before the next one is taken.
    #[serde(with = "duration")]
    #[schemars(with = "DurationForm")]
    pub stabilise: Duration,
    /// Longest wait for an instance's requests in flight.
    #[serde(with = "duration")]
    #[schemars(with = "DurationForm")]
    pub drain_timeout: Duration,
}

impl Default for RollingRestart {
    fn default() -> Self {
        Self { stabilise: Duration::from_secs(15), drain_timeout: Duration::from_mins(10) }
    }
}
