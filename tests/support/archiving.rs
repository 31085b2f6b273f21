//! A server that archives its WAL with figw.

use std::time::Duration;

use super::{backup_site::BackupSite, backups::eventually, postgres::Postgres};

/// How long anything may take.
pub const LIMIT: Duration = Duration::from_secs(30);

/// A server that archives its WAL with figw.
pub fn archiving(site: &mut BackupSite) -> Postgres {
    let command = site.archive_command();
    let postgres = Postgres::start_new_with(&[
        ("archive_mode", "on"),
        ("archive_command", command.as_str()),
        // The test decides when a segment ends.
        ("archive_timeout", "0"),
    ]);
    site.database(postgres.url("postgres"));
    postgres
}

/// Ends a segment and waits until it is archived.
pub fn switch_wal(site: &BackupSite, postgres: &Postgres) -> String {
    let segment = postgres.query("postgres", "SELECT pg_walfile_name(pg_switch_wal())");
    eventually(LIMIT, || site.archived().contains(&segment));
    segment
}

/// The server's time.
pub fn now(postgres: &Postgres) -> String {
    postgres.query("postgres", "SELECT to_json(clock_timestamp())#>>'{}'")
}

/// A note that ends up in a segment of its own, which is archived.
pub fn note_in_a_segment(site: &BackupSite, postgres: &Postgres, note: &str) -> String {
    postgres.query("postgres", "CREATE TABLE IF NOT EXISTS notes (note text)");
    postgres.query("postgres", &format!("INSERT INTO notes VALUES ('{note}')"));
    switch_wal(site, postgres)
}

pub fn notes(postgres: &Postgres) -> String {
    let is_open = "SELECT NOT pg_is_in_recovery()";
    eventually(LIMIT, || postgres.query("postgres", is_open) == "t");
    postgres.query("postgres", "SELECT string_agg(note, ' ' ORDER BY note) FROM notes")
}
