//! Usage and access rows in PostgreSQL: one statement per table and batch, whatever the number of
//! rows, with a column per array.

use std::borrow::Cow;

use jiff::Timestamp;
use tokio_postgres::{
    Client,
    error::SqlState,
    types::{ToSql, Type},
};
use uuid::Uuid;

use super::error::{Trouble, may_pass};
use crate::{
    domain::{AccessRow, PromptRow, UsageRow},
    store::{RowBatch, record::to_bigint},
};

/// Writes the rows; those that are there already are left as they are. Every part may be repeated,
/// so the parts need no common transaction.
pub(super) async fn write(client: &Client, rows: &RowBatch) -> Result<Option<u32>, Trouble> {
    if !rows.usage.is_empty() {
        write_usage(client, &rows.usage).await?;
    }
    if !rows.access.is_empty() {
        write_access(client, &rows.access).await?;
    }
    if !rows.prompts.is_empty() {
        write_prompts(client, &rows.prompts).await?;
    }
    move_last_uses(client, rows).await?;
    // Asked last: if another server answers than has taken the rows, its timeline is a new one.
    timeline(client).await
}

/// The timeline is the first part of the name of a file of the log. Some hosted databases are
/// PostgreSQL but for this, which must not count against the rows.
async fn timeline(client: &Client) -> Result<Option<u32>, Trouble> {
    let query = "SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)";
    let name: String = match client.query_typed_one(query, &[]).await {
        Err(error) if error.as_db_error().is_some() && !may_pass(&error) => return Ok(None),
        answer => answer?.try_get(0)?,
    };
    Ok(u32::from_str_radix(&name, 16).ok())
}

async fn write_usage(client: &Client, rows: &[UsageRow]) -> Result<(), Trouble> {
    let insert = "INSERT INTO usage (id, request_id, started_at, username, key_id, cluster, \
         framework, endpoint, model, route, streamed, status, backend_status, prompt_tokens, \
         completion_tokens, tokens_estimated, first_byte_us, duration_us, request_bytes, \
         response_bytes, error) SELECT * FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], \
         $4::text[], $5::uuid[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], \
         $11::bool[], $12::int4[], $13::int4[], $14::int8[], $15::int8[], $16::bool[], \
         $17::int8[], $18::int8[], $19::int8[], $20::int8[], $21::text[])";
    let columns: [Column<'_>; 21] = [
        uuids(rows, |r| Some(r.id)),
        texts(rows, |r| Some(&r.request_id)),
        times(rows, |r| r.started_at),
        texts(rows, |r| Some(&r.user)),
        uuids(rows, |r| r.key_id),
        texts(rows, |r| Some(&r.cluster)),
        texts(rows, |r| Some(&r.framework)),
        texts(rows, |r| Some(&r.endpoint)),
        texts(rows, |r| Some(&r.model)),
        texts(rows, |r| Some(r.route.as_str())),
        flags(rows, |r| r.streamed),
        statuses(rows, |r| Some(r.status)),
        statuses(rows, |r| r.backend_status),
        numbers(rows, |r| Some(r.tokens.prompt)),
        numbers(rows, |r| Some(r.tokens.completion)),
        flags(rows, |r| r.tokens.estimated),
        numbers(rows, |r| r.first_byte_us),
        numbers(rows, |r| Some(r.duration_us)),
        numbers(rows, |r| Some(r.request_bytes)),
        numbers(rows, |r| Some(r.response_bytes)),
        texts(rows, |r| r.error.as_deref()),
    ];
    execute(client, insert, &columns).await
}

async fn write_access(client: &Client, rows: &[AccessRow]) -> Result<(), Trouble> {
    let insert = "INSERT INTO access (id, request_id, started_at, username, key_id, method, path, \
         status, duration_us, model, error) SELECT * FROM unnest($1::uuid[], $2::text[], \
         $3::timestamptz[], $4::text[], $5::uuid[], $6::text[], $7::text[], $8::int4[], \
         $9::int8[], $10::text[], $11::text[])";
    let columns: [Column<'_>; 11] = [
        uuids(rows, |r| Some(r.id)),
        texts(rows, |r| Some(&r.request_id)),
        times(rows, |r| r.started_at),
        texts(rows, |r| Some(&r.user)),
        uuids(rows, |r| r.key_id),
        texts(rows, |r| Some(&r.method)),
        texts(rows, |r| Some(&r.path)),
        statuses(rows, |r| Some(r.status)),
        numbers(rows, |r| Some(r.duration_us)),
        texts(rows, |r| r.model.as_deref()),
        texts(rows, |r| r.error.as_deref()),
    ];
    execute(client, insert, &columns).await
}

async fn write_prompts(client: &Client, rows: &[PromptRow]) -> Result<(), Trouble> {
    let insert = "INSERT INTO prompts (id, started_at, prompt, answer) \
         SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[])";
    let columns: [Column<'_>; 4] = [
        uuids(rows, |r| Some(r.id)),
        times(rows, |r| r.started_at),
        texts(rows, |r| Some(&r.prompt)),
        texts(rows, |r| r.answer.as_deref()),
    ];
    execute(client, insert, &columns).await
}

/// Forwards only, and at most once a minute per key.
async fn move_last_uses(client: &Client, rows: &RowBatch) -> Result<(), Trouble> {
    let (keys, times): (Vec<Uuid>, Vec<Timestamp>) = rows.last_uses().into_iter().unzip();
    if keys.is_empty() {
        return Ok(());
    }
    let update = "UPDATE api_keys SET last_used_at = used.at \
         FROM unnest($1::uuid[], $2::timestamptz[]) AS used (id, at) \
         WHERE api_keys.id = used.id AND (api_keys.last_used_at IS NULL \
         OR api_keys.last_used_at + interval '1 minute' <= used.at)";
    let columns = [(&keys as Value<'_>, Type::UUID_ARRAY), (&times, Type::TIMESTAMPTZ_ARRAY)];
    client.execute_typed(update, &columns).await?;
    Ok(())
}

type Value<'a> = &'a (dyn ToSql + Sync);

/// An array with its type.
type Column<'a> = (Box<dyn ToSql + Sync + Send + 'a>, Type);

/// Rows are hardly ever there already, and looking for each costs PostgreSQL a quarter more: so
/// they are looked for only once that has turned out to be so.
async fn execute(client: &Client, insert: &str, columns: &[Column<'_>]) -> Result<(), Trouble> {
    let parameters: Vec<(Value<'_>, Type)> =
        columns.iter().map(|(value, ty)| (value.as_ref() as Value<'_>, ty.clone())).collect();
    match client.execute_typed(insert, &parameters).await {
        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
            let again = format!("{insert} ON CONFLICT (id) DO NOTHING");
            client.execute_typed(&again, &parameters).await?;
        }
        result => {
            result?;
        }
    }
    Ok(())
}

fn column<'a, R, T>(rows: &'a [R], ty: Type, value: impl Fn(&'a R) -> T) -> Column<'a>
where
    T: ToSql + Sync + Send + 'a,
{
    (Box::new(rows.iter().map(value).collect::<Vec<T>>()), ty)
}

fn uuids<R>(rows: &[R], value: impl Fn(&R) -> Option<Uuid>) -> Column<'_> {
    column(rows, Type::UUID_ARRAY, value)
}

fn texts<'a, R>(rows: &'a [R], value: impl Fn(&'a R) -> Option<&'a str>) -> Column<'a> {
    column(rows, Type::TEXT_ARRAY, |row| value(row).map(storable))
}

fn times<R>(rows: &[R], value: impl Fn(&R) -> Timestamp) -> Column<'_> {
    column(rows, Type::TIMESTAMPTZ_ARRAY, value)
}

fn flags<R>(rows: &[R], value: impl Fn(&R) -> bool) -> Column<'_> {
    column(rows, Type::BOOL_ARRAY, value)
}

fn statuses<R>(rows: &[R], value: impl Fn(&R) -> Option<u16>) -> Column<'_> {
    column(rows, Type::INT4_ARRAY, |row| value(row).map(i32::from))
}

fn numbers<R>(rows: &[R], value: impl Fn(&R) -> Option<u64>) -> Column<'_> {
    column(rows, Type::INT8_ARRAY, |row| value(row).map(to_bigint))
}

/// PostgreSQL has no NUL in its texts, but a caller's JSON may (`"model": "a\u0000"`): one such
/// row must not keep the others out.
pub(super) fn storable(text: &str) -> Cow<'_, str> {
    if memchr::memchr(0, text.as_bytes()).is_some() {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}
