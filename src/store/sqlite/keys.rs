//! API keys in SQLite.

use jiff::Timestamp;
use rusqlite::{Connection, params};
use uuid::Uuid;

use super::{
    Trouble,
    catalog::{all, bump, optional_time, time},
};
use crate::{
    domain::{ApiKey, KeyHash},
    store::{
        StoreError,
        record::{from_json, to_json},
    },
};

/// Every key, by creation.
pub(super) const ALL: &str = "SELECT id, hash, name, username, groups, models, created_at, \
     expires_at, revoked_at, last_used_at FROM api_keys ORDER BY created_at, id";

/// Those that are not revoked.
pub(super) const USABLE: &str = "SELECT id, hash, name, username, groups, models, created_at, \
     expires_at, revoked_at, last_used_at FROM api_keys WHERE revoked_at IS NULL \
     ORDER BY created_at, id";

pub(super) fn read(connection: &Connection, query: &str) -> Result<Vec<ApiKey>, Trouble> {
    let rows = all(connection, query, |row| {
        let key = ApiKey {
            id: row.get(0)?,
            hash: KeyHash(row.get(1)?),
            name: row.get(2)?,
            user: row.get(3)?,
            groups: Vec::new(),
            models: Vec::new(),
            created_at: time(row, 6)?,
            expires_at: optional_time(row, 7)?,
            revoked_at: optional_time(row, 8)?,
            last_used_at: optional_time(row, 9)?,
        };
        Ok((key, row.get(4)?, row.get(5)?))
    })?;
    let complete = rows.into_iter().map(|(key, groups, models)| {
        let object = format!("API key {}", key.id);
        Ok(ApiKey {
            groups: from_json(&object, groups)?,
            models: from_json(&object, models)?,
            ..key
        })
    });
    complete.collect()
}

pub(super) fn create(transaction: &Connection, key: &ApiKey) -> Result<(), Trouble> {
    let object = format!("API key {}", key.id);
    let created = transaction.execute(
        "INSERT INTO api_keys (id, hash, name, username, groups, models, created_at, expires_at, \
         revoked_at, last_used_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
         ON CONFLICT DO NOTHING",
        params![
            key.id,
            key.hash.0,
            key.name,
            key.user,
            to_json(&object, &key.groups)?,
            to_json(&object, &key.models)?,
            key.created_at.as_microsecond(),
            key.expires_at.map(Timestamp::as_microsecond),
            key.revoked_at.map(Timestamp::as_microsecond),
            key.last_used_at.map(Timestamp::as_microsecond),
        ],
    )?;
    if created == 0 {
        return Err(StoreError::Conflict(format!("{object} exists already")).into());
    }
    bump(transaction)?;
    Ok(())
}

pub(super) fn revoke(transaction: &Connection, id: Uuid, at: Timestamp) -> Result<bool, Trouble> {
    let revoked = transaction.execute(
        "UPDATE api_keys SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL",
        params![id, at.as_microsecond()],
    )?;
    if revoked > 0 {
        bump(transaction)?;
        return Ok(true);
    }
    Ok(transaction.query_row(
        "SELECT EXISTS (SELECT 1 FROM api_keys WHERE id = ?1)",
        [id],
        |row| row.get(0),
    )?)
}
