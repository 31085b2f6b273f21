//! API keys in PostgreSQL.

use jiff::Timestamp;
use tokio_postgres::{Client, Row, types::Type};
use uuid::Uuid;

use super::{catalog::bump, error::Trouble};
use crate::{
    domain::{ApiKey, KeyHash},
    store::{
        StoreError,
        record::{from_json, to_json, unreadable},
    },
};

/// Every key, by creation.
pub(super) const ALL: &str = "SELECT id, hash, name, username, groups, models, created_at, \
     expires_at, revoked_at, last_used_at FROM api_keys ORDER BY created_at, id";

/// Those that are not revoked.
pub(super) const USABLE: &str = "SELECT id, hash, name, username, groups, models, created_at, \
     expires_at, revoked_at, last_used_at FROM api_keys WHERE revoked_at IS NULL \
     ORDER BY created_at, id";

pub(super) async fn read(client: &Client, query: &str) -> Result<Vec<ApiKey>, Trouble> {
    client.query_typed(query, &[]).await?.iter().map(key).collect()
}

fn key(row: &Row) -> Result<ApiKey, Trouble> {
    let id: Uuid = row.try_get(0)?;
    let object = format!("API key {id}");
    let hash: &[u8] = row.try_get(1)?;
    Ok(ApiKey {
        id,
        hash: KeyHash(hash.try_into().map_err(|e| unreadable(&object, &e))?),
        name: row.try_get(2)?,
        user: row.try_get(3)?,
        groups: from_json(&object, row.try_get(4)?)?,
        models: from_json(&object, row.try_get(5)?)?,
        created_at: row.try_get(6)?,
        expires_at: row.try_get(7)?,
        revoked_at: row.try_get(8)?,
        last_used_at: row.try_get(9)?,
    })
}

pub(super) async fn create(client: &mut Client, key: &ApiKey) -> Result<(), Trouble> {
    let object = format!("API key {}", key.id);
    let transaction = client.transaction().await?;
    let insert = "INSERT INTO api_keys (id, hash, name, username, groups, models, created_at, \
         expires_at, revoked_at, last_used_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
         ON CONFLICT DO NOTHING";
    let created = transaction
        .execute_typed(
            insert,
            &[
                (&key.id, Type::UUID),
                (&key.hash.0.as_slice(), Type::BYTEA),
                (&key.name, Type::TEXT),
                (&key.user, Type::TEXT),
                (&to_json(&object, &key.groups)?, Type::JSONB),
                (&to_json(&object, &key.models)?, Type::JSONB),
                (&key.created_at, Type::TIMESTAMPTZ),
                (&key.expires_at, Type::TIMESTAMPTZ),
                (&key.revoked_at, Type::TIMESTAMPTZ),
                (&key.last_used_at, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    if created == 0 {
        return Err(StoreError::Conflict(format!("{object} exists already")).into());
    }
    bump(&transaction).await?;
    transaction.commit().await?;
    Ok(())
}

pub(super) async fn revoke(client: &mut Client, id: Uuid, at: Timestamp) -> Result<bool, Trouble> {
    let transaction = client.transaction().await?;
    let revoke = "UPDATE api_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
    let revoked =
        transaction.execute_typed(revoke, &[(&id, Type::UUID), (&at, Type::TIMESTAMPTZ)]).await?;
    if revoked > 0 {
        bump(&transaction).await?;
        transaction.commit().await?;
        return Ok(true);
    }
    let exists = "SELECT EXISTS (SELECT 1 FROM api_keys WHERE id = $1)";
    Ok(transaction.query_typed_one(exists, &[(&id, Type::UUID)]).await?.try_get(0)?)
}
