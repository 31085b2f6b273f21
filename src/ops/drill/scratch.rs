//! A database for one drill, and its end.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use secrecy::SecretString;
use tempfile::TempDir;
use tokio_postgres::{
    Client,
    error::SqlState,
    types::{ToSql, Type},
};
use uuid::Uuid;

use crate::{
    ops::{
        backup::{
            BackupError, Backups, dump::server_version, manifest::Engine, repository::Repository,
        },
        restore::{Source, Target, postgres},
    },
    store::{Location, PostgresUrl, Session, StoreOptions, explain},
};

/// What a drill's sessions are called.
const APPLICATION: &str = "figw drill";
/// Beginning of the names of scratch databases; twelve hexadecimal digits follow.
const PREFIX: &str = "figw_drill_";

/// A database for one drill.
#[derive(Debug)]
pub(super) enum Scratch {
    /// A file of the drill's own, in a hidden directory beside the backups.
    File(TempDir),
    /// A file that its operator has named.
    GivenFile(PathBuf),
    /// A database of the drill's own.
    Database(Box<Created>),
    /// An empty database that its operator has named.
    GivenDatabase(Box<PostgresUrl>, StoreOptions),
}

/// A database that this drill has created.
#[derive(Debug)]
pub(super) struct Created {
    url: PostgresUrl,
    name: String,
    major: u32,
    /// Holds a lock under the database's name, which tells other drills that this one lives.
    maintenance: Session,
}

impl Scratch {
    /// A scratch database for the backup.
    pub(super) async fn make(
        backups: &Backups,
        source: &Source,
        into: Option<&SecretString>,
    ) -> Result<Self, BackupError> {
        let options = backups.options();
        if let Some(into) = into {
            return Self::given(backups, source, into).await;
        }
        let (facts, _) = source.database()?;
        match (facts.engine, options.migration_location()?) {
            (Engine::Sqlite, _) => Self::file(backups.repository()),
            (Engine::Postgresql, Location::Postgres(url)) => {
                let created = Created::make(&url.named(APPLICATION), options).await?;
                Ok(Self::Database(Box::new(created)))
            }
            (Engine::Postgresql, Location::Sqlite(_)) => Err(BackupError::Invalid(
                "the newest backup is of a PostgreSQL database, but database.url names an SQLite \
                 file; name an empty database with --into postgres://…"
                    .to_owned(),
            )),
        }
    }

    /// The database that the operator has named, which must be empty.
    async fn given(
        backups: &Backups,
        source: &Source,
        into: &SecretString,
    ) -> Result<Self, BackupError> {
        let options = backups.options();
        let given = match Location::parse(into, "--into")? {
            Location::Sqlite(path) => {
                Self::GivenFile(path.canonicalize().unwrap_or_else(|_| path.clone()))
            }
            Location::Postgres(url) => {
                Self::GivenDatabase(Box::new(url.named(APPLICATION)), options.clone())
            }
        };
        // The wrong database is wrong usage, and says nothing about the backup.
        let wrong = |error: BackupError| match error {
            busy @ BackupError::Busy { .. } => busy,
            other => BackupError::Invalid(other.to_string()),
        };
        let target = given.target(options).await.map_err(wrong)?;
        target.check(source)?;
        let remedy = "a drill wants an empty database, which it empties again";
        target.must_be_empty(remedy).map_err(wrong)?;
        Ok(given)
    }

    /// In a directory that the next backup sweeps away, should this run be killed.
    fn file(repository: &Repository) -> Result<Self, BackupError> {
        let directory = repository.directory();
        tempfile::Builder::new()
            .prefix(".new-drill-")
            .tempdir_in(directory)
            .map(Self::File)
            .map_err(|error| BackupError::io("write", directory, &error))
    }

    /// Where it is.
    pub(super) fn location(&self) -> Location {
        match self {
            Self::File(directory) => Location::Sqlite(directory.path().join("figw.db")),
            Self::GivenFile(path) => Location::Sqlite(path.clone()),
            Self::Database(created) => Location::Postgres(Box::new(created.url.clone())),
            Self::GivenDatabase(url, _) => Location::Postgres(url.clone()),
        }
    }

    /// Whether nobody else can have put anything into it.
    pub(super) const fn is_own(&self) -> bool {
        matches!(self, Self::File(_) | Self::Database(_))
    }

    /// It as something to be filled.
    pub(super) async fn target(&self, options: &StoreOptions) -> Result<Target, BackupError> {
        Target::look(self.location(), options).await
    }

    /// Removes it with all that is in it.
    pub(super) async fn remove(self) -> Result<(), BackupError> {
        match self {
            Self::File(directory) => {
                let path = directory.path().to_owned();
                directory.close().map_err(|error| BackupError::io("remove", &path, &error))
            }
            Self::GivenFile(path) => remove_database_file(&path),
            Self::Database(created) => created.drop_database().await,
            Self::GivenDatabase(url, options) => {
                postgres::Target::look(&url, &options).await?.empty().await
            }
        }
    }
}

fn remove_database_file(path: &Path) -> Result<(), BackupError> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match fs::remove_file(&name) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(BackupError::io("remove", name.as_ref(), &error));
            }
            _ => {}
        }
    }
    Ok(())
}

impl Created {
    /// Creates a database on the server of `url`, after dropping what killed drills have left.
    async fn make(url: &PostgresUrl, options: &StoreOptions) -> Result<Self, BackupError> {
        let maintenance = match Session::open(&url.with_database("postgres"), options).await {
            Ok(session) => session,
            Err(_) => Session::open(url, options).await?,
        };
        let (major, _) = server_version(&maintenance, url).await?;
        let failed = |error: tokio_postgres::Error| explained(url, &error);
        drop_leftovers(&maintenance.client).await.map_err(failed)?;
        let digits = Uuid::new_v4().simple().to_string();
        let name = format!("{PREFIX}{}", digits.get(..12).unwrap_or(&digits));
        claim(&maintenance.client, &name).await.map_err(failed)?;
        let like = like_database(&maintenance.client, url.database()).await.map_err(failed)?;
        let create = format!("CREATE DATABASE {name} TEMPLATE template0{like}");
        maintenance.client.batch_execute(&create).await.map_err(failed)?;
        Ok(Self { url: url.with_database(&name), name, major, maintenance })
    }

    async fn drop_database(self) -> Result<(), BackupError> {
        // Connections that are just being closed need not hold it up.
        let force = if self.major >= 13 { " WITH (FORCE)" } else { "" };
        let drop = format!("DROP DATABASE IF EXISTS {}{force}", self.name);
        self.maintenance
            .client
            .batch_execute(&drop)
            .await
            .map_err(|error| explained(&self.url, &error))
    }
}

/// Encoding and collation of the database of this name, as options for a new one.
async fn like_database(client: &Client, name: &str) -> Result<String, tokio_postgres::Error> {
    let question = "SELECT format(' ENCODING %L LC_COLLATE %L LC_CTYPE %L', \
                    pg_encoding_to_char(encoding), datcollate, datctype) \
                    FROM pg_database WHERE datname = $1";
    let row = client.query_typed_opt(question, &[text(&name)]).await?;
    row.map_or_else(|| Ok(String::new()), |row| row.try_get(0))
}

/// Drops scratch databases of ours that no session uses and no drill claims.
async fn drop_leftovers(client: &Client) -> Result<(), tokio_postgres::Error> {
    let question = "SELECT d.datname::text FROM pg_database d \
                    WHERE d.datname ~ ('^' || $1 || '[0-9a-f]{12}$') \
                      AND pg_get_userbyid(d.datdba) = current_user \
                      AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datid = d.oid)";
    for row in client.query_typed(question, &[text(&PREFIX)]).await? {
        let name: String = row.try_get(0)?;
        if claim(client, &name).await? {
            tracing::info!("dropping {name}, left by a drill that was interrupted");
            client.batch_execute(&format!("DROP DATABASE IF EXISTS {name}")).await?;
        }
    }
    Ok(())
}

/// Locks the name until the session ends. Whether nobody else had.
async fn claim(client: &Client, name: &str) -> Result<bool, tokio_postgres::Error> {
    let question = "SELECT pg_try_advisory_lock(hashtext($1))";
    client.query_typed_one(question, &[text(&name)]).await?.try_get(0)
}

fn text<'a>(value: &'a &str) -> (&'a (dyn ToSql + Sync), Type) {
    (value, Type::TEXT)
}

fn explained(url: &PostgresUrl, error: &tokio_postgres::Error) -> BackupError {
    if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
        return BackupError::failed(format!(
            "{}: the role may not create a scratch database: ALTER ROLE … CREATEDB, or name an \
             empty database with --into postgres://…",
            url.describe()
        ));
    }
    BackupError::failed(format!("{}: {}", url.describe(), explain(error)))
}
