//! Usage and access rows in SQLite.

use rusqlite::{Connection, params};

use super::Trouble;
use crate::store::{RowBatch, record::to_bigint};

/// Writes the rows; those that are there already are left as they are.
pub(super) fn write(transaction: &Connection, rows: &RowBatch) -> Result<(), Trouble> {
    write_usage(transaction, rows)?;
    write_access(transaction, rows)?;
    write_prompts(transaction, rows)?;
    move_last_uses(transaction, rows)
}

fn write_usage(transaction: &Connection, rows: &RowBatch) -> Result<(), Trouble> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO usage (id, request_id, started_at, username, key_id, cluster, framework, \
         endpoint, model, route, streamed, status, backend_status, prompt_tokens, \
         completion_tokens, tokens_estimated, first_byte_us, duration_us, request_bytes, \
         response_bytes, error) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, \
         ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21) ON CONFLICT (id) DO NOTHING",
    )?;
    for row in &rows.usage {
        insert.execute(params![
            row.id,
            row.request_id,
            row.started_at.as_microsecond(),
            row.user,
            row.key_id,
            row.cluster,
            row.framework,
            row.endpoint,
            row.model,
            row.route.as_str(),
            row.streamed,
            row.status,
            row.backend_status,
            to_bigint(row.tokens.prompt),
            to_bigint(row.tokens.completion),
            row.tokens.estimated,
            row.first_byte_us.map(to_bigint),
            to_bigint(row.duration_us),
            to_bigint(row.request_bytes),
            to_bigint(row.response_bytes),
            row.error,
        ])?;
    }
    Ok(())
}

fn write_access(transaction: &Connection, rows: &RowBatch) -> Result<(), Trouble> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO access (id, request_id, started_at, username, key_id, method, path, status, \
         duration_us, model, error) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
         ON CONFLICT (id) DO NOTHING",
    )?;
    for row in &rows.access {
        insert.execute(params![
            row.id,
            row.request_id,
            row.started_at.as_microsecond(),
            row.user,
            row.key_id,
            row.method,
            row.path,
            row.status,
            to_bigint(row.duration_us),
            row.model,
            row.error,
        ])?;
    }
    Ok(())
}

fn write_prompts(transaction: &Connection, rows: &RowBatch) -> Result<(), Trouble> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO prompts (id, started_at, prompt, answer) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (id) DO NOTHING",
    )?;
    for row in &rows.prompts {
        insert.execute(params![row.id, row.started_at.as_microsecond(), row.prompt, row.answer])?;
    }
    Ok(())
}

/// Forwards only, and at most once a minute per key.
fn move_last_uses(transaction: &Connection, rows: &RowBatch) -> Result<(), Trouble> {
    const MINUTE: i64 = 60_000_000;
    let mut update = transaction.prepare_cached(
        "UPDATE api_keys SET last_used_at = ?2 \
         WHERE id = ?1 AND (last_used_at IS NULL OR last_used_at + ?3 <= ?2)",
    )?;
    for (key, at) in rows.last_uses() {
        update.execute(params![key, at.as_microsecond(), MINUTE])?;
    }
    Ok(())
}
