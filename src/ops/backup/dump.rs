//! PostgreSQL: `pg_dump` of one snapshot, and the count of each table's rows in the same snapshot.

use std::{collections::BTreeMap, io::Read, io::Write, process::Stdio, sync::Arc};

use jiff::Timestamp;

use super::{
    archive::{CHUNK, PartWriter, Sealing},
    blocking,
    error::BackupError,
    manifest::{Content, DatabaseFacts, Engine, Part},
    meter::Meter,
    repository::Draft,
    tools::Running,
    verify::Verifier,
    watch::Expected,
};
use crate::store::{PostgresUrl, Session, StoreOptions, explain};

/// Ordinary tables that belong to no extension, as `pg_dump` writes their names.
pub(in crate::ops) const TABLES: &str = "\
    SELECT format('%I.%I', n.nspname, c.relname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND NOT EXISTS (SELECT FROM pg_depend d
                      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY 1";

/// A server that can be backed up.
#[derive(Debug)]
pub(super) struct Server {
    session: Session,
    url: PostgresUrl,
    major: u32,
    version: String,
}

impl Server {
    /// Connects and asks for the version.
    pub(super) async fn connect(
        url: &PostgresUrl,
        options: &StoreOptions,
    ) -> Result<Self, BackupError> {
        let session = Session::open(url, options).await?;
        let (major, version) = server_version(&session, url).await?;
        Ok(Self { session, url: url.clone(), major, version })
    }

    /// Dumps the database as of now.
    pub(super) async fn dump(
        &self,
        verifier: &Verifier,
        sealing: &Sealing,
        draft: &Draft,
    ) -> Result<(DatabaseFacts, Part, Timestamp), BackupError> {
        let (tools, meter) = (&verifier.tools, &verifier.meter);
        tools.require("pg_dump", self.major)?;
        tools.require("pg_restore", self.major)?;
        let failed =
            |error| BackupError::failed(format!("{}: {}", self.url.describe(), explain(&error)));
        let client = &self.session.client;
        client
            .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .await
            .map_err(failed)?;
        // The snapshot is taken by the first statement, just before its clock is read.
        let row = client
            .query_typed_one(
                "SELECT pg_export_snapshot(), clock_timestamp(), pg_database_size(current_database())",
                &[],
            )
            .await
            .map_err(failed)?;
        let snapshot: String = row.try_get(0).map_err(failed)?;
        let moment: Timestamp = row.try_get(1).map_err(failed)?;
        let size: i64 = row.try_get(2).map_err(failed)?;
        meter.begin("dumping the database", u64::try_from(size).unwrap_or(0));

        let mut command = tools.command("pg_dump", Some(&self.url));
        command.args(["--format=custom", "--compress=0", "--no-password"]);
        command.arg(format!("--snapshot={snapshot}"));
        let running = Running::start("pg_dump", command, Stdio::null(), Stdio::piped())?;
        let part = sealing.part(draft.directory(), Content::PostgresqlDump)?;
        let watch = verifier.watch(&part, Content::PostgresqlDump);
        let meter = Arc::clone(meter);
        let pump = tokio::task::spawn_blocking(move || pump(running, part, &meter));
        let counted = self.count_rows().await;
        let part = pump.await.map_err(|error| BackupError::failed(error.to_string()))?;
        // Of two errors, pg_dump's tells more: both lose the server at the same time.
        let part = part?;
        let (schema, tables) = counted?;
        let directory = draft.directory().to_owned();
        let (part, tables) = blocking(move || {
            watch.finish(&directory, &part, Expected::Rows(&tables))?;
            Ok((part, tables))
        })
        .await?;
        client.batch_execute("COMMIT").await.map_err(failed)?;
        let facts = DatabaseFacts {
            engine: Engine::Postgresql,
            identity: self.url.describe(),
            version: self.version.clone(),
            schema,
            tables,
        };
        Ok((facts, part, moment))
    }

    async fn count_rows(&self) -> Result<(Option<String>, BTreeMap<String, u64>), BackupError> {
        let failed = |why: String| BackupError::failed(format!("{}: {why}", self.url.describe()));
        let schema = self.session.newest_migration().await.map_err(failed)?;
        Ok((schema, table_counts(&self.session).await.map_err(failed)?))
    }
}

/// The server's major version, and its whole version for people.
pub(in crate::ops) async fn server_version(
    session: &Session,
    url: &PostgresUrl,
) -> Result<(u32, String), BackupError> {
    let question = "SELECT current_setting('server_version_num')::int, \
                    split_part(current_setting('server_version'), ' ', 1)";
    let version = async {
        let row = session.client.query_typed_one(question, &[]).await?;
        Ok((row.try_get::<_, i32>(0)?, row.try_get(1)?))
    };
    let (number, version) = version.await.map_err(|error: tokio_postgres::Error| {
        BackupError::failed(format!("{}: {}", url.describe(), explain(&error)))
    })?;
    Ok((u32::try_from(number / 10_000).unwrap_or(0), version))
}

/// Rows of each table, as the session's transaction sees them.
///
/// # Errors
/// What the server said, on one line.
pub async fn table_counts(session: &Session) -> Result<BTreeMap<String, u64>, String> {
    let counts = async {
        let names = session.client.query_typed(TABLES, &[]).await?;
        let mut counts = BTreeMap::new();
        for row in names {
            let name: String = row.try_get(0)?;
            let count = format!("SELECT count(*) FROM ONLY {name}");
            let count: i64 = session.client.query_typed_one(&count, &[]).await?.try_get(0)?;
            counts.insert(name, u64::try_from(count).unwrap_or(0));
        }
        Ok(counts)
    };
    counts.await.map_err(|error: tokio_postgres::Error| explain(&error))
}

/// Brings everything that the program writes into the part.
pub(super) fn pump(
    mut running: Running,
    mut part: PartWriter,
    meter: &Meter,
) -> Result<Part, BackupError> {
    let path = part.path().to_owned();
    let mut from = running.stdout().map_err(|error| BackupError::failed(error.to_string()))?;
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = from
            .read(&mut buffer)
            .map_err(|error| BackupError::failed(format!("cannot read its output: {error}")))?;
        if read == 0 {
            break;
        }
        part.write_all(&buffer[..read]).map_err(|error| BackupError::io("write", &path, &error))?;
        meter.advance(read as u64);
    }
    running.finish()?;
    let part = part.finish()?;
    if part.content_bytes == 0 {
        return Err(BackupError::failed("the program ended well, but wrote nothing"));
    }
    Ok(part)
}
