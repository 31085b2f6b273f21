//! What a backup says about itself: `manifest.json`, and `SHA256SUMS` beside it, which `sha256sum
//! --check` reads.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::wal::Lsn;
use crate::config::Compression;

/// The manifest's file name.
pub const MANIFEST: &str = "manifest.json";
/// The name of the file with every file's checksum. It is written last, here and off-site, so that
/// a backup without it is not whole.
pub const SUMS: &str = "SHA256SUMS";
/// The manifest's format. A program refuses those that are newer than it knows.
pub const FORMAT: u32 = 1;

/// What a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The database and the configuration.
    Complete,
    /// The database.
    Database,
    /// The configuration.
    Config,
    /// A PostgreSQL server's data directory, which archived WAL brings to any later time.
    Base,
}

impl Kind {
    /// Whether it holds what `figw restore` puts into a database.
    #[must_use]
    pub const fn has_database(self) -> bool {
        matches!(self, Self::Complete | Self::Database)
    }

    /// Whether it holds the configuration.
    #[must_use]
    pub const fn has_configuration(self) -> bool {
        matches!(self, Self::Complete | Self::Config)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Complete => "complete",
            Self::Database => "database",
            Self::Config => "config",
            Self::Base => "base",
        })
    }
}

/// What a backup says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`] of the program that made it.
    pub format: u32,
    /// The backup's name, which is its directory's.
    pub id: String,
    /// What it holds.
    pub kind: Kind,
    /// Version of the figw that made it.
    pub figw: String,
    /// When it was begun.
    pub started_at: Timestamp,
    /// The moment whose state it holds.
    pub moment: Timestamp,
    /// When it was whole.
    pub finished_at: Timestamp,
    /// The database in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseFacts>,
    /// The configuration in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<ConfigurationFacts>,
    /// The physical backup in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<BaseFacts>,
    /// Public keys that it is encrypted to; empty when it is not encrypted.
    #[serde(default)]
    pub encrypted_to: Vec<String>,
    /// Made only so that nothing is lost when this backup was put back over a live database. It
    /// holds what was given up, and is not what `latest` means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_restore_of: Option<String>,
    /// Its files besides manifest and checksums.
    pub parts: Vec<Part>,
}

/// Which database a backup is of, and what was in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseFacts {
    /// `postgresql` or `sqlite`.
    pub engine: Engine,
    /// Its URL without the password.
    pub identity: String,
    /// Version of the server or library.
    pub version: String,
    /// The newest migration it has seen; none when figw has never migrated it.
    pub schema: Option<String>,
    /// Rows of each table.
    pub tables: BTreeMap<String, u64>,
}

/// A database system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// PostgreSQL.
    Postgresql,
    /// SQLite.
    Sqlite,
}

/// What a backup of the configuration holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationFacts {
    /// Number of files in the archive.
    pub files: u64,
    /// Whether the values of secrets from variables and files are in it.
    pub secrets: bool,
    /// What was left out of it, with the reason.
    pub left_out: Vec<String>,
}

/// What recovery needs to know of a physical backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseFacts {
    /// The server's URL without the password.
    pub identity: String,
    /// Major version of the server; the same one must recover it.
    pub major: u32,
    /// Identifier that the server's cluster was initialised with.
    pub system_identifier: String,
    /// The first WAL segment that recovery needs.
    pub start_wal: String,
    /// Where it ends in the log, which it holds up to there; unknown in early ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Lsn>,
    /// Bytes of each WAL segment.
    #[serde(default = "usual_segment_bytes")]
    pub segment_bytes: u64,
    /// Bytes of the data directory.
    pub bytes: u64,
}

const fn usual_segment_bytes() -> u64 {
    16 << 20
}

/// What a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// `pg_dump`'s custom format, not compressed by itself.
    PostgresqlDump,
    /// An SQLite file.
    SqliteFile,
    /// A tar archive of the configuration.
    ConfigurationTar,
    /// `pg_basebackup`'s tar archive.
    PostgresqlBaseTar,
}

impl Content {
    /// The name of a part's file before the endings of compression and encryption.
    #[must_use]
    pub const fn file_stem(self) -> &'static str {
        match self {
            Self::PostgresqlDump => "database.dump",
            Self::SqliteFile => "database.sqlite",
            Self::ConfigurationTar => "configuration.tar",
            Self::PostgresqlBaseTar => "base.tar",
        }
    }
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its file name.
    pub name: String,
    /// What it is.
    pub content: Content,
    /// How it is compressed.
    pub compression: Compression,
    /// Whether it is encrypted with age, around the compression.
    pub encrypted: bool,
    /// Bytes of the file.
    pub bytes: u64,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// Bytes of what is in it.
    pub content_bytes: u64,
}

impl Manifest {
    /// Whether it is what a restore or a drill of the newest backup works on.
    #[must_use]
    pub fn is_for_recovery(&self) -> bool {
        self.kind.has_database() && self.before_restore_of.is_none()
    }

    /// Whether it is that for this database.
    #[must_use]
    pub fn is_for_recovery_of(&self, database: &str) -> bool {
        let identity = self.database.as_ref().map(|facts| facts.identity.as_str());
        self.is_for_recovery() && identity == Some(database)
    }

    /// The part with this content.
    #[must_use]
    pub fn part(&self, wanted: &[Content]) -> Option<&Part> {
        self.parts.iter().find(|part| wanted.contains(&part.content))
    }

    /// Bytes of all parts.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// The text of `manifest.json`.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        text
    }

    /// The text of `SHA256SUMS`, for this text of the manifest.
    #[must_use]
    pub fn sums(&self, manifest: &[u8]) -> String {
        // Writing to a string cannot fail.
        let mut text = String::new();
        for part in &self.parts {
            let _ = writeln!(text, "{}  {}", part.sha256, part.name);
        }
        let _ = writeln!(text, "{}  {MANIFEST}", sha256(manifest));
        text
    }

    /// That it tells what a backup of its kind must tell, in characters that can be shown.
    fn check_sense(&self) -> Result<(), String> {
        use Content::{ConfigurationTar, PostgresqlBaseTar, PostgresqlDump, SqliteFile};
        let has = |wanted: &[Content]| self.part(wanted).is_some();
        let database = has(&[PostgresqlDump, SqliteFile]) && self.database.is_some();
        let configuration = has(&[ConfigurationTar]) && self.configuration.is_some();
        let base = has(&[PostgresqlBaseTar]) && self.base.is_some();
        let (kind, parts) = (self.kind, (database, configuration, base));
        if parts != (kind.has_database(), kind.has_configuration(), kind == Kind::Base) {
            return Err(format!("{MANIFEST} does not tell what a {kind} backup holds"));
        }
        // PostgreSQL's own limits, on which figw reckons.
        let is_segment =
            |bytes: u64| bytes.is_power_of_two() && (1 << 20..=1 << 30).contains(&bytes);
        if self.base.as_ref().is_some_and(|base| !is_segment(base.segment_bytes)) {
            return Err(format!("{MANIFEST} tells a size that no WAL segment has"));
        }
        let identity = self.database.as_ref().map(|facts| &facts.identity);
        let texts = [identity, self.base.as_ref().map(|facts| &facts.identity), Some(&self.figw)];
        if texts.into_iter().flatten().any(|text| text.chars().any(char::is_control)) {
            return Err(format!("{MANIFEST} holds control characters"));
        }
        Ok(())
    }

    /// Reads a manifest that belongs to the backup `id`, after comparing it with the checksums.
    ///
    /// # Errors
    /// One line that says what is wrong.
    pub fn read(id: &str, manifest: &[u8], sums: &[u8]) -> Result<Self, String> {
        let sum = sha256(manifest);
        let listed = String::from_utf8_lossy(sums);
        let listed =
            listed.lines().filter_map(|line| line.split_once("  ")).find(|(_, n)| *n == MANIFEST);
        match listed {
            Some((listed, _)) if listed == sum => {}
            Some(_) => return Err(format!("{MANIFEST} differs from its checksum in {SUMS}")),
            None => return Err(format!("{SUMS} does not list {MANIFEST}")),
        }
        let read: Self = serde_json::from_slice(manifest)
            .map_err(|error| format!("{MANIFEST} cannot be read: {error}"))?;
        if read.format > FORMAT {
            return Err(format!(
                "made by figw {}, in a newer form than this figw knows; use that release",
                read.figw
            ));
        }
        if read.id != id {
            return Err(format!("{MANIFEST} belongs to backup {}", read.id));
        }
        // What comes from a store that others can write to names no file elsewhere.
        if let Some(part) = read.parts.iter().find(|part| !is_file_name(&part.name)) {
            return Err(format!("{MANIFEST} has a part of the name {:?}", part.name));
        }
        read.check_sense()?;
        if read.sums(manifest).as_bytes() != sums {
            return Err(format!("{SUMS} differs from {MANIFEST}"));
        }
        Ok(read)
    }
}

fn is_file_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0'])
}

/// SHA-256 in hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes in hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
