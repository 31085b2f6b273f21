//! Physical backups: `pg_basebackup`'s tar archive of a server's data directory.

use std::{
    io::{self, BufReader, Read, Write},
    path::Path,
    process::Stdio,
    sync::Arc,
};

use jiff::Timestamp;
use serde::Deserialize;

use super::{
    Backups, Made,
    archive::{CHUNK, PartWriter, Sealing},
    blocking,
    dump::server_version,
    error::BackupError,
    manifest::{BaseFacts, Content, FORMAT, Kind, Manifest, Part},
    meter::Meter,
    offsite::Patience,
    repository::{Repository, Stored},
    tools::{ProgramOutput, Running},
    verify::Verifier,
    wal::Lsn,
    watch::Expected,
};
use crate::store::{Location, PostgresUrl, Session, explain};

/// The program that makes them.
const PROGRAM: &str = "pg_basebackup";
/// What its words mean for the operator: a part of them, and what to do.
const REMEDIES: &[(&str, &str)] = &[
    (
        "no pg_hba.conf entry for replication",
        "add a line such as `host replication ROLE ADDRESS scram-sha-256` to the server's \
         pg_hba.conf and reload it",
    ),
    ("replication role", "give the role the right: ALTER ROLE … REPLICATION"),
    ("start WAL sender", "give the role the right: ALTER ROLE … REPLICATION"),
    ("max_wal_senders", "raise max_wal_senders in postgresql.conf and restart the server"),
    ("wal_level", "set wal_level = replica in postgresql.conf and restart the server"),
    ("already been removed", "raise wal_keep_size in postgresql.conf and reload it"),
    ("could not find WAL file", "raise wal_keep_size in postgresql.conf and reload it"),
    (
        "unsupported startup parameter",
        "let backup.replication_url lead to the server itself and not to a pooler",
    ),
];

/// A server that can be copied while it runs.
#[derive(Debug)]
struct Source {
    url: PostgresUrl,
    major: u32,
    system_identifier: String,
    /// Bytes of each WAL segment.
    segment_bytes: u64,
    /// About how many bytes there are to copy.
    size: u64,
}

impl Backups {
    /// Makes a physical backup of the whole server, verifies it, and applies retention.
    ///
    /// # Errors
    /// When the database is not PostgreSQL's, another run holds the lock, or anything goes wrong;
    /// then nothing of the backup stays, and no other one is touched.
    pub async fn make_base(&self) -> Result<Made, BackupError> {
        let sealing = self.sealing()?;
        let place = self.place(Patience::Transfer)?;
        let source = self.source().await?;
        self.tools().require(PROGRAM, source.major)?;
        let repository = Repository::create(self.repository.directory())?;
        let _lock = repository.lock(self.lock_wait).await?;
        let swept = repository.sweep()?;
        let (stored, manifest) = self.copy_locked(&source, &sealing).await?;
        let (offsite, pruned) = self.copy_and_prune(place.as_ref(), &stored).await?;
        Ok(Made { stored, manifest, pruned, offsite, swept })
    }

    async fn copy_locked(
        &self,
        source: &Source,
        sealing: &Sealing,
    ) -> Result<(Stored, Manifest), BackupError> {
        let started_at = Timestamp::now();
        let draft = Arc::new(self.repository.begin(started_at)?);
        self.meter.begin("copying the server's files", source.size);
        let mut command = self.tools().command(PROGRAM, Some(&source.url));
        command.args(["--pgdata=-", "--format=tar", "--wal-method=fetch"]);
        command.args(["--checkpoint=fast", "--no-password", "--label=figw"]);
        let running = Running::start(PROGRAM, command, Stdio::null(), Stdio::piped())?;
        let part = sealing.part(draft.directory(), Content::PostgresqlBaseTar)?;
        let verifier = self.verifier(&[])?;
        let directory = draft.directory().to_owned();
        let receive = move || receive(running, part, &directory, &verifier);
        let (found, part) = blocking(receive).await.map_err(with_remedy)?;
        // Recovery may end at any moment after this one: by the clock that stamps transactions.
        let moment = self.clock(&source.url).await?;
        let manifest = Manifest {
            format: FORMAT,
            id: draft.id.clone(),
            kind: Kind::Base,
            figw: env!("CARGO_PKG_VERSION").to_owned(),
            started_at,
            moment,
            finished_at: Timestamp::now(),
            database: None,
            configuration: None,
            base: Some(BaseFacts {
                identity: source.url.describe(),
                major: found.major,
                system_identifier: source.system_identifier.clone(),
                start_wal: found.start_wal,
                end: found.end,
                segment_bytes: source.segment_bytes,
                bytes: found.bytes,
            }),
            encrypted_to: self.config.backup.encrypt_to.clone(),
            before_restore_of: None,
            parts: vec![part],
        };
        self.commit(draft, manifest).await
    }

    /// Looks at the server that the configuration names.
    async fn source(&self) -> Result<Source, BackupError> {
        let url = self.source_url()?;
        let session = Session::open(&url, &self.options).await?;
        let (major, _) = server_version(&session, &url).await?;
        let question = "\
            SELECT (SELECT system_identifier::text FROM pg_control_system()),
                   current_setting('archive_mode'),
                   (SELECT sum(pg_database_size(oid))::bigint FROM pg_database
                    WHERE has_database_privilege(oid, 'CONNECT')),
                   (SELECT string_agg(quote_ident(spcname), ', ' ORDER BY spcname)
                    FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')),
                   pg_size_bytes(current_setting('wal_segment_size'))";
        let asked = async {
            let row = session.client.query_typed_one(question, &[]).await?;
            let (cluster, archive_mode) = (row.try_get(0)?, row.try_get(1)?);
            Ok((cluster, archive_mode, row.try_get(2)?, row.try_get(3)?, row.try_get(4)?))
        };
        let (system_identifier, archive_mode, size, tablespaces, segment_bytes): (
            String,
            String,
            Option<i64>,
            Option<String>,
            i64,
        ) = asked.await.map_err(|error| unanswered(&url, &error))?;
        if let Some(names) = tablespaces {
            return Err(BackupError::failed(format!(
                "{} has tablespaces of its own ({names}), which a base backup cannot hold; move \
                 what is in them to pg_default and drop them",
                url.describe()
            )));
        }
        if archive_mode == "off" {
            tracing::warn!(
                "{} archives no WAL (archive_mode is off): this backup can be restored to its own \
                 end only; `figw wal --help` tells how to archive",
                url.describe()
            );
        }
        let size = size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
        let segment_bytes = segment_bytes.unsigned_abs();
        Ok(Source { url, major, system_identifier, segment_bytes, size })
    }

    fn source_url(&self) -> Result<PostgresUrl, BackupError> {
        let location = match (&self.config.backup.replication_url, self.options.location()?) {
            (Some(url), Location::Postgres(_)) => {
                Location::parse(&url.reveal()?, "backup.replication_url")?
            }
            _ => self.options.migration_location()?,
        };
        match location {
            // Under a name of its own, so that nobody takes it for a gateway's session.
            Location::Postgres(url) => Ok(url.named("figw backup")),
            Location::Sqlite(path) => Err(BackupError::Invalid(format!(
                "base backups and point-in-time recovery are PostgreSQL's, but the database is the \
                 SQLite file {}; use `figw backup`",
                path.display()
            ))),
        }
    }

    /// The server's clock. A long copy may have cost the session before it.
    async fn clock(&self, url: &PostgresUrl) -> Result<Timestamp, BackupError> {
        let session = Session::open(url, &self.options).await?;
        let row = session.client.query_typed_one("SELECT clock_timestamp()", &[]).await;
        row.and_then(|row| row.try_get(0)).map_err(|error| unanswered(url, &error))
    }
}

fn unanswered(url: &PostgresUrl, error: &tokio_postgres::Error) -> BackupError {
    BackupError::failed(format!("{}: {}", url.describe(), explain(error)))
}

/// Adds what to do to what the program said.
fn with_remedy(error: BackupError) -> BackupError {
    let words = error.to_string();
    match REMEDIES.iter().find(|(part, _)| words.contains(part)) {
        Some((_, remedy)) => BackupError::failed(format!("{words}; {remedy}")),
        None => error,
    }
}

/// Brings everything that the program writes into the part, and looks into it on the way: once it
/// is encrypted, there may be no key to look with.
fn receive(
    mut running: Running,
    part: PartWriter,
    directory: &Path,
    verifier: &Verifier,
) -> Result<(BaseFound, Part), BackupError> {
    let watch = verifier.watch(&part, Content::PostgresqlBaseTar);
    let from = running.stdout().map_err(|error| BackupError::failed(error.to_string()))?;
    let path = part.path().to_owned();
    let mut tee = Tee { from, part, meter: &verifier.meter, failure: None };
    let found = examine(BufReader::with_capacity(CHUNK, &mut tee));
    let drained = io::copy(&mut tee, &mut io::sink());
    let Tee { part, failure, .. } = tee;
    if let Some(error) = failure {
        return Err(BackupError::io("write", &path, &error));
    }
    // What the program says explains why its archive is cut off.
    running.finish()?;
    let found = found?;
    drained.map_err(|error| BackupError::failed(format!("cannot read its output: {error}")))?;
    let part = part.finish()?;
    watch.finish(directory, &part, Expected::Bytes)?;
    Ok((found, part))
}

/// Gives what the program writes to who reads, and to the part.
struct Tee<'a> {
    from: ProgramOutput,
    part: PartWriter,
    meter: &'a Meter,
    /// Why the part takes no more.
    failure: Option<io::Error>,
}

impl Read for Tee<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.failure.is_some() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let read = self.from.read(buffer)?;
        if let Err(error) = self.part.write_all(&buffer[..read]) {
            self.failure = Some(error);
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.meter.advance(read as u64);
        Ok(read)
    }
}

/// What stands in the archive itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BaseFound {
    /// The first WAL segment that recovery needs, from `backup_label`.
    pub start_wal: String,
    /// Where the backup ends in the log, from `backup_manifest`.
    pub end: Option<Lsn>,
    /// Major version of the server, from `PG_VERSION`.
    pub major: u32,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Reads the archive to its end.
///
/// # Errors
/// [`BackupError::Damaged`] when it cannot be read, or lacks what every physical backup has.
pub fn examine(archive: impl Read) -> Result<BaseFound, BackupError> {
    let damaged =
        |why: String| BackupError::Damaged(format!("the physical backup is damaged: {why}"));
    let mut found = BaseFound::default();
    let mut has_manifest = false;
    let walk = || -> io::Result<()> {
        let mut archive = tar::Archive::new(archive);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let path = entry.path()?.to_string_lossy().into_owned();
            found.bytes += entry.size();
            match path.trim_start_matches("./") {
                "backup_label" => found.start_wal = start_wal(&text(&mut entry)?),
                "PG_VERSION" => found.major = text(&mut entry)?.trim().parse().unwrap_or(0),
                "backup_manifest" => {
                    has_manifest = true;
                    found.end = end_of(&mut entry);
                }
                _ => {}
            }
            io::copy(&mut entry, &mut io::sink())?;
        }
        Ok(())
    };
    walk().map_err(|error| damaged(error.to_string()))?;
    if found.start_wal.is_empty() {
        return Err(damaged("backup_label does not name its first WAL segment".to_owned()));
    }
    if found.major == 0 {
        return Err(damaged("PG_VERSION does not tell a version".to_owned()));
    }
    if !has_manifest {
        return Err(damaged("backup_manifest is missing: the archive was cut off".to_owned()));
    }
    Ok(found)
}

/// A small text file.
fn text(entry: &mut impl Read) -> io::Result<String> {
    let mut text = String::new();
    entry.take(64 << 10).read_to_string(&mut text)?;
    Ok(text)
}

/// `START WAL LOCATION: 0/2000028 (file 000000010000000000000002)` names the file.
fn start_wal(label: &str) -> String {
    let line = label.lines().find(|line| line.starts_with("START WAL LOCATION: "));
    let file = line.and_then(|line| line.split_once("(file ")?.1.strip_suffix(')'));
    file.unwrap_or_default().to_owned()
}

/// Where PostgreSQL's own manifest says that the backup ends. What else is wrong with it is for
/// `pg_verifybackup` to tell.
fn end_of(manifest: impl Read) -> Option<Lsn> {
    #[derive(Deserialize)]
    struct Told {
        #[serde(rename = "WAL-Ranges")]
        ranges: Vec<Range>,
    }
    #[derive(Deserialize)]
    struct Range {
        #[serde(rename = "End-LSN")]
        end: Lsn,
    }
    let told: Told = serde_json::from_reader(BufReader::new(manifest)).ok()?;
    told.ranges.iter().map(|range| range.end).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_program_come_with_what_to_do() {
        let said = "pg_basebackup failed: FATAL:  no pg_hba.conf entry for replication connection";
        let error = with_remedy(BackupError::failed(said)).to_string();
        assert!(error.starts_with(said) && error.contains("pg_hba.conf and reload it"), "{error}");
    }

    #[test]
    fn the_first_segment_stands_in_the_label() {
        let label = "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\nBACKUP METHOD: streamed\n";
        assert_eq!(start_wal(label), "000000010000000000000002");
        assert_eq!(start_wal("nothing"), "");
    }

    #[test]
    fn the_end_stands_in_the_manifest() {
        let manifest = r#"{"PostgreSQL-Backup-Manifest-Version": 1, "Files": [{"Path": "x"}],
            "WAL-Ranges": [{"Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "0/2000100"}],
            "Manifest-Checksum": "00"}"#;
        assert_eq!(end_of(manifest.as_bytes()), "0/2000100".parse().ok());
        assert_eq!(end_of(&b"nothing"[..]), None);
    }
}
