//! PostgreSQL: one transaction that empties the database, fills it, counts its rows, and commits.
//!
//! figw writes the `COMMIT` itself, as the last line that `psql` gets to read. Whoever dies before
//! that, figw, `pg_restore`, `psql` or the server, leaves the old data in place. (`psql
//! --single-transaction` would commit whatever it has got when its input ends early.)

use std::{
    collections::BTreeMap,
    io::{self, Write},
    process::Stdio,
    thread,
};

use super::{
    gateways::{Places, Sessions},
    script::{self, ScriptError},
    source::Source,
    things::{self, emptying},
};
use crate::{
    ops::backup::{
        BackupError, blocking,
        dump::{TABLES, server_version, table_counts},
        manifest::{DatabaseFacts, Engine, Part},
        tools::{Running, Tools},
        verify::feed,
    },
    store::{MIGRATION_LOCK, PostgresUrl, Session, StoreOptions, explain},
};

/// What a restore's sessions are called, so that nobody takes them for a gateway's.
const APPLICATION: &str = "figw restore";

/// What psql says before it commits.
const COMMITTING: &str = "committing";

/// A PostgreSQL database that a backup is put into.
#[derive(Debug, Clone)]
pub(in crate::ops) struct Target {
    url: PostgresUrl,
    /// What the gateways' sessions on it are called.
    gateways: String,
    options: StoreOptions,
    major: u32,
    /// One of the things in it, such as `TABLE public.usage`; none when it is empty.
    content: Option<String>,
}

impl Target {
    /// Looks at the database.
    pub(in crate::ops) async fn look(
        url: &PostgresUrl,
        options: &StoreOptions,
    ) -> Result<Self, BackupError> {
        let gateways = url.application_name().to_owned();
        let url = url.named(APPLICATION);
        let session = Session::open(&url, options).await?;
        let (major, _) = server_version(&session, &url).await?;
        let target = Self { url, gateways, options: options.clone(), major, content: None };
        let found = session.client.query_typed_opt(&things::first(), &[]).await;
        let content = found
            .and_then(|row| row.map(|row| row.try_get(0)).transpose())
            .map_err(|error| target.failed(&explain(&error)))?;
        Ok(Self { content, ..target })
    }

    pub(super) fn describe(&self) -> String {
        self.url.describe()
    }

    pub(super) fn content(&self) -> Option<&str> {
        self.content.as_deref()
    }

    /// Makes sure that the backup and the programs fit the server.
    pub(super) fn check(&self, source: &Source) -> Result<(), BackupError> {
        source.check_engine(Engine::Postgresql, &self.describe())?;
        source.tools.require("psql", self.major)?;
        source.tools.require("pg_restore", self.major)?;
        Ok(())
    }

    /// Lets `pg_restore` list the dump. Returns hints for the operator.
    pub(super) async fn look_through(source: &Source) -> Result<Vec<String>, BackupError> {
        let (_, part) = source.database()?;
        let (source, part) = (source.clone(), part.clone());
        let listing = blocking(move || source.list(&part)).await?;
        let mut hints = Vec::new();
        // `3421; 0 0 ACL public TABLE usage figw`; the settings of `DEFAULT ACL` are such, too.
        if listing.lines().any(|line| !line.starts_with(';') && line.contains(" ACL ")) {
            hints.push(
                "the backed-up database had granted privileges to other roles; these are not \
                 restored: grant them anew"
                    .to_owned(),
            );
        }
        Ok(hints)
    }

    /// That no gateway has a session on the database, except where drained ones are.
    pub(super) async fn must_have_no_gateways(&self, drained: &Places) -> Result<(), BackupError> {
        let found = self.gateway_sessions().await?;
        let others: Vec<_> = found.iter().filter(|found| !drained.explain(found)).collect();
        if others.is_empty() {
            return Ok(());
        }
        let origins: Vec<_> = others.iter().map(|sessions| sessions.origin()).collect();
        Err(BackupError::failed(format!(
            "{} is in use: figw has {} sessions on it, from {}; drain or stop these gateways, and \
             list them under instances, so that they can be asked",
            self.describe(),
            others.iter().map(|sessions| sessions.count).sum::<i64>(),
            origins.join(", ")
        )))
    }

    async fn gateway_sessions(&self) -> Result<Vec<Sessions>, BackupError> {
        let session = Session::open(&self.url, &self.options).await?;
        // Without the right to see it, a session of another role has neither address nor port.
        let question = "SELECT count(*), host(client_addr), client_port IS NOT NULL, \
                               client_addr IS NOT NULL AND client_addr = inet_client_addr() \
                        FROM pg_stat_activity \
                        WHERE datname = current_database() AND application_name = $1 \
                          AND pid <> pg_backend_pid() \
                        GROUP BY 2, 3, 4 ORDER BY 2";
        let parameter = [(
            &self.gateways as &(dyn tokio_postgres::types::ToSql + Sync),
            tokio_postgres::types::Type::TEXT,
        )];
        let found = async {
            let rows = session.client.query_typed(question, &parameter).await?;
            let sessions = rows.iter().map(|row| {
                Ok(Sessions {
                    count: row.try_get(0)?,
                    address: row.try_get::<_, Option<&str>>(1)?.and_then(|text| text.parse().ok()),
                    is_visible: row.try_get(2)?,
                    is_ours: row.try_get(3)?,
                })
            });
            sessions.collect::<Result<Vec<Sessions>, tokio_postgres::Error>>()
        };
        found.await.map_err(|error: tokio_postgres::Error| self.failed(&explain(&error)))
    }

    /// Puts the backup in, in one transaction, in place of all that is there. Returns the rows of
    /// each table.
    pub(in crate::ops) async fn fill(
        &self,
        source: &Source,
    ) -> Result<BTreeMap<String, u64>, BackupError> {
        let (facts, part) = source.database()?;
        let pouring = Pouring {
            source: source.clone(),
            facts: facts.clone(),
            part: part.clone(),
            target: self.clone(),
        };
        blocking(move || pouring.run()).await?;
        let session = Session::open(&self.url, &self.options).await?;
        table_counts(&session).await.map_err(|why| self.failed(&why))
    }

    /// Drops everything that users have created in it.
    pub(in crate::ops) async fn empty(&self) -> Result<(), BackupError> {
        let session = Session::open(&self.url, &self.options).await?;
        let script = format!("SET client_min_messages = warning; {}", emptying());
        session.client.batch_execute(&script).await.map_err(|error| self.failed(&explain(&error)))
    }

    fn failed(&self, why: &str) -> BackupError {
        BackupError::failed(format!("{}: {why}", self.describe()))
    }
}

/// One restore on its way. Everything of it blocks.
struct Pouring {
    source: Source,
    facts: DatabaseFacts,
    part: Part,
    target: Target,
}

impl Pouring {
    fn run(self) -> Result<(), BackupError> {
        let tools = &self.source.tools;
        self.source.meter.begin("restoring the database", self.part.content_bytes);
        let mut psql = self.start_psql(tools)?;
        let broken = |error: io::Error| BackupError::failed(format!("psql: {error}"));
        let mut script = psql.stdin().map_err(broken)?;
        let stdout = psql.stdout().map_err(broken)?;
        let said = thread::spawn(move || io::read_to_string(stdout).unwrap_or_default());
        // Writing stops where psql does not read on: then psql says why.
        let poured = match script.write_all(Self::beginning().as_bytes()) {
            Ok(()) => self.pour(tools, &mut script)?,
            Err(_) => Poured::Refused,
        };
        let is_written = match poured {
            Poured::Whole => script.write_all(ending(&self.facts.tables).as_bytes()).is_ok(),
            Poured::Refused => false,
        };
        drop(script);
        self.source.meter.begin("counting and committing", 0);
        let finished = psql.finish();
        let said = said.join().unwrap_or_default();
        match finished {
            Ok(()) if is_written => Ok(()),
            Ok(()) => Err(self.explain("psql ended before everything was restored", false)),
            Err(BackupError::Failed(why)) => {
                // Who is killed cannot say any more how far it came.
                let may_commit = said.contains(COMMITTING) || why.contains("signal: ");
                Err(self.explain(&why, is_written && may_commit))
            }
            Err(other) => Err(other),
        }
    }

    fn start_psql(&self, tools: &Tools) -> Result<Running, BackupError> {
        let mut command = tools.command("psql", Some(&self.target.url));
        command.args(["--no-psqlrc", "--quiet", "--no-password", "--file=-"]);
        command.args(["--set=ON_ERROR_STOP=1", "--set=VERBOSITY=terse"]);
        command.arg("--output=/dev/null");
        Running::start("psql", command, Stdio::piped(), Stdio::piped())
    }

    fn beginning() -> String {
        // Nobody's own settings may end it early, or make its commit less than one.
        format!(
            "BEGIN READ WRITE;\n\
             SET LOCAL client_min_messages = warning;\n\
             SET LOCAL statement_timeout = 0;\n\
             SET LOCAL idle_in_transaction_session_timeout = 0;\n\
             SET LOCAL synchronous_commit = on;\n\
             SET LOCAL lock_timeout = '30s';\n\
             DO $$ BEGIN IF NOT pg_try_advisory_xact_lock({MIGRATION_LOCK}) THEN \
             RAISE EXCEPTION 'a migration of this database is running'; END IF; END $$;\n\
             {}\n",
            emptying()
        )
    }

    /// Brings the dump through `pg_restore` into psql's script.
    fn pour(&self, tools: &Tools, psql: &mut impl Write) -> Result<Poured, BackupError> {
        let mut command = tools.command("pg_restore", None);
        // Otherwise the script commits around large objects.
        command.args(["--single-transaction", "--no-owner", "--no-privileges", "--file=-"]);
        let mut restore = Running::start("pg_restore", command, Stdio::piped(), Stdio::piped())?;
        let broken = |error: io::Error| BackupError::failed(format!("pg_restore: {error}"));
        let mut stdin = restore.stdin().map_err(broken)?;
        let mut stdout = restore.stdout().map_err(broken)?;
        let mut reader = self.source.open(&self.part)?;
        let feeding = thread::spawn(move || {
            let fed = feed(&mut reader, &mut stdin);
            (reader, fed)
        });
        let copied = script::copy(&mut stdout, psql, self.target.major);
        drop(stdout);
        if let Err(ScriptError::Write(_)) = copied {
            // Ends pg_restore, and with it the feeding.
            drop(restore);
            let _ = feeding.join();
            return Ok(Poured::Refused);
        }
        let (reader, fed) =
            feeding.join().map_err(|_| BackupError::failed("reading the backup failed"))?;
        // A damaged layer explains whatever pg_restore makes of it.
        fed?;
        restore.finish()?;
        reader.finish(&self.part)?;
        match copied {
            Ok(()) => Ok(Poured::Whole),
            Err(ScriptError::Read(error) | ScriptError::Write(error)) => Err(broken(error)),
            Err(ScriptError::Endless) => Err(BackupError::failed(format!(
                "{}: pg_restore's script has no end; nothing was changed",
                self.target.describe()
            ))),
        }
    }

    /// What psql's words mean for the database.
    fn explain(&self, why: &str, committing: bool) -> BackupError {
        let target = self.target.describe();
        let Some((_, said)) = why.split_once("ERROR:  ") else {
            let state = if committing {
                "whether it was restored is not known, for the connection ended with the commit: \
                 look at it, or restore once more"
            } else {
                "it is as it was"
            };
            return BackupError::failed(format!("{target}: {why}; {state}"));
        };
        let remedy = if said.contains("lock timeout") {
            "; another session uses its tables: end it first"
        } else if self.is_from_newer_server() {
            "; the backup is of a newer server: restore it into the same version or a newer one"
        } else {
            ""
        };
        BackupError::failed(format!("{target}: {said}; it is as it was{remedy}"))
    }

    fn is_from_newer_server(&self) -> bool {
        let major = self.facts.version.split(|c: char| !c.is_ascii_digit()).next();
        major
            .and_then(|major| major.parse().ok())
            .is_some_and(|major: u32| major > self.target.major)
    }
}

/// How far the script came.
enum Poured {
    /// All of it was written.
    Whole,
    /// psql stopped reading.
    Refused,
}

/// Compares the rows of every table with what the backup's manifest says, and commits.
fn ending(tables: &BTreeMap<String, u64>) -> String {
    let expected = serde_json::json!(tables).to_string().replace('\'', "''");
    format!(
        "\nSET LOCAL standard_conforming_strings = on;\n\
         SELECT pg_catalog.set_config('figw.expected', '{expected}', true);\n\
         DO $figw$\n\
         DECLARE\n    \
             expected jsonb := pg_catalog.current_setting('figw.expected');\n    \
             tables text[] := ARRAY({TABLES});\n    \
             name text;\n    found bigint;\n\
         BEGIN\n    \
             FOREACH name IN ARRAY tables LOOP\n        \
                 EXECUTE 'SELECT count(*) FROM ONLY ' || name INTO found;\n        \
                 IF expected ->> name IS NULL THEN\n            \
                     RAISE EXCEPTION 'table % is not in the manifest', name;\n        \
                 ELSIF found <> (expected ->> name)::bigint THEN\n            \
                     RAISE EXCEPTION 'table % has % rows instead of %', name, found, expected ->> name;\n        \
                 END IF;\n        \
                 expected := expected - name;\n    \
             END LOOP;\n    \
             IF expected <> '{{}}' THEN\n        \
                 RAISE EXCEPTION 'tables are missing: %', expected;\n    \
             END IF;\n\
         END\n$figw$;\n\
         SET LOCAL client_min_messages = error;\n\
         ANALYZE;\n\
         \\echo {COMMITTING}\n\
         COMMIT;\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tables_are_quoted_on_their_way() {
        let end = ending(&[("public.\"it's\"".to_owned(), 2)].into());
        assert!(end.contains(r#"'{"public.\"it''s\"":2}'"#), "{end}");
    }
}
