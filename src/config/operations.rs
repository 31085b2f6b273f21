//! `backup`, `instances` and `rolling_restart`: what the operator's commands work on.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    database::POSTGRES,
    problem::Complaints,
    secret::SecretUrl,
    units::{DurationForm, HttpUrl, PositiveDurationForm},
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
    /// Public keys of age (`age1…`) that backups are encrypted to; empty means not encrypted.
    pub encrypt_to: Vec<String>,
    /// Files with secret keys of age, as `age-keygen` writes them, for reading encrypted backups.
    /// They need not be on the machine that makes the backups.
    pub identities: Vec<PathBuf>,
    /// Object store that receives a copy of each backup: `s3://bucket/prefix` or `file:///path`.
    /// S3 takes its keys, region and endpoint from the usual `AWS_…` variables, or from the URL:
    /// `?endpoint=http://host:9000&region=…&access_key_id=…&secret_access_key=…`. There, too,
    /// `virtual_hosted=true` puts the bucket into the host's name, and `retry_for=1m` is how long
    /// passing faults are retried. One prefix is for the backups of one database. A place that was
    /// used before is known again by its `figw-offsite.json`; without it, a disk that is not mounted
    /// is not taken for an empty one (`figw backup sync --new-place` begins anew).
    pub offsite_url: Option<SecretUrl>,
    /// How many backups of each kind are kept in the object store.
    pub offsite_keep: Keep,
    /// Files and directories that belong to a backup of the configuration, besides the
    /// configuration file itself.
    pub config_paths: Vec<PathBuf>,
    /// Directory of PostgreSQL's own programs (`pg_dump`, `pg_restore`, `pg_basebackup`); those
    /// on the search path when it is not set.
    pub postgres_bin: Option<PathBuf>,
    /// The server for `figw backup base`, as a role that may replicate; `database.migration_url`
    /// or else `database.url` when it is not set.
    pub replication_url: Option<SecretUrl>,
    /// What `figw backup drill` and `figw health` hold backups against.
    pub objectives: Objectives,
}

/// How long a recovery may take, and how much it may lose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Objectives {
    /// Recovery time objective: longest time to restore the newest backup.
    #[serde(with = "duration")]
    #[schemars(with = "PositiveDurationForm")]
    pub rto: Duration,
    /// Recovery point objective: greatest age of the newest backup.
    #[serde(with = "duration")]
    #[schemars(with = "PositiveDurationForm")]
    pub rpo: Duration,
}

impl Default for Objectives {
    fn default() -> Self {
        Self { rto: Duration::from_hours(2), rpo: Duration::from_hours(1) }
    }
}

impl Default for Backup {
    fn default() -> Self {
        Self {
            directory: "./figw-backups".into(),
            keep: Keep::default(),
            compression: Compression::default(),
            encrypt_to: Vec::new(),
            identities: Vec::new(),
            offsite_url: None,
            offsite_keep: Keep::default(),
            config_paths: Vec::new(),
            postgres_bin: None,
            replication_url: None,
            objectives: Objectives::default(),
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

impl Keep {
    /// Whether the policy keeps nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { last, hourly, daily, weekly, monthly, yearly } = self;
        [last, hourly, daily, weekly, monthly, yearly].iter().all(|n| **n == 0)
    }
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
        if self.keep.is_empty() {
            complaints.add("backup.keep", "must keep at least one backup");
        }
        if self.offsite_keep.is_empty() {
            complaints.add("backup.offsite_keep", "must keep at least one backup");
        }
        if self.directory.as_os_str().is_empty() {
            complaints.add("backup.directory", "must name a directory");
        }
        for (index, key) in self.encrypt_to.iter().enumerate() {
            if key.parse::<age::x25519::Recipient>().is_err() {
                complaints.add(
                    &format!("backup.encrypt_to[{index}]"),
                    "must be a public key of age, age1…, as `age-keygen` prints it",
                );
            }
        }
        if let Some(url) = &self.offsite_url {
            complaints.add_unless_url(url.secret(), &["s3://", "file://"]);
        }
        if let Some(url) = &self.replication_url {
            complaints.add_unless_url(url.secret(), POSTGRES);
        }
    }
}

/// How `figw migrate` changes a database that is in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Migrate {
    /// PostgreSQL: longest time that a migration waits for a lock on a table, or keeps others from
    /// using one. A migration that would take longer is undone.
    #[serde(with = "duration")]
    #[schemars(with = "PositiveDurationForm")]
    pub lock_timeout: Duration,
}

impl Default for Migrate {
    fn default() -> Self {
        Self { lock_timeout: Duration::from_secs(5) }
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
    /// Command that restarts it, as a list of arguments, such as
    /// `[ssh, gw1, sudo, systemctl, restart, figw]`.
    #[serde(default)]
    pub restart: Vec<String>,
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
    /// How long a restarted instance must stay ready, and answer no worse than the others, before
    /// the next one is taken.
    #[serde(with = "duration")]
    #[schemars(with = "DurationForm")]
    pub stabilise: Duration,
    /// Longest wait for an instance's requests in flight.
    #[serde(with = "duration")]
    #[schemars(with = "DurationForm")]
    pub drain_timeout: Duration,
    /// Longest time that an instance's `restart` may take.
    #[serde(with = "duration")]
    #[schemars(with = "DurationForm")]
    pub restart_timeout: Duration,
    /// Longest wait for the new process to become ready.
    #[serde(with = "duration")]
    #[schemars(with = "DurationForm")]
    pub ready_timeout: Duration,
}

impl Default for RollingRestart {
    fn default() -> Self {
        Self {
            stabilise: Duration::from_secs(15),
            drain_timeout: Duration::from_mins(10),
            restart_timeout: Duration::from_mins(10),
            ready_timeout: Duration::from_mins(2),
        }
    }
}
