//! The log: requests one by one.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{
    super::{
        Reader,
        record::{Unfit, unreadable},
        select::{Draft, Row, Value},
    },
    Answer,
};
use crate::domain::{
    AccessRow, TokenCount, UsageRow,
    figures::{Excerpt, LogFilter, StatusClass, StoredText},
};

/// What [`read`] reads.
const COLUMNS: &str = "id, request_id, started_at, username, key_id, cluster, framework, endpoint, \
     model, route, streamed, status, backend_status, prompt_tokens, completion_tokens, \
     tokens_estimated, first_byte_us, duration_us, request_bytes, response_bytes, error";

/// What [`read_other`] reads.
const OTHER_COLUMNS: &str = "id, request_id, started_at, username, key_id, method, path, status, \
     duration_us, model, error";

impl Reader {
    /// Inference requests, the newest first.
    ///
    /// # Errors
    /// As the database has it, or that it takes too long.
    pub async fn log(&self, filter: &LogFilter, limit: u32) -> Answer<Vec<UsageRow>> {
        let mut draft = filtered(filter);
        let conditions = draft.conditions();
        let limit = draft.bind(Value::Int(limit.into()));
        let select = draft.ask(filter.user.as_deref(), |_| {
            format!(
                "SELECT {COLUMNS} FROM usage WHERE {conditions} \
                 ORDER BY started_at DESC, id DESC LIMIT {limit}"
            )
        });
        let rows = self.rows(&select).await?;
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }

    /// Other requests than those for inference, the newest first. They have no cluster and no route.
    ///
    /// # Errors
    /// As the database has it, or that it takes too long.
    pub async fn other_log(&self, filter: &LogFilter, limit: u32) -> Answer<Vec<AccessRow>> {
        let filter = LogFilter { cluster: None, route: None, ..filter.clone() };
        let mut draft = filtered(&filter);
        let conditions = draft.conditions();
        let limit = draft.bind(Value::Int(limit.into()));
        let select = draft.ask(filter.user.as_deref(), |_| {
            format!(
                "SELECT {OTHER_COLUMNS} FROM access WHERE {conditions} \
                 ORDER BY started_at DESC, id DESC LIMIT {limit}"
            )
        });
        let rows = self.rows(&select).await?;
        Ok(rows.iter().map(read_other).collect::<Result<_, _>>()?)
    }

    /// One inference request; none when it is not `user`'s, if that matters.
    ///
    /// # Errors
    /// As the database has it, or that it takes too long.
    pub async fn logged(&self, id: Uuid, user: Option<&str>) -> Answer<Option<UsageRow>> {
        let mut draft = Draft::default();
        draft.only_if("id =", Value::Uuid(id));
        if let Some(user) = user {
            draft.only_if("username =", Value::Text(user.to_owned()));
        }
        let conditions = draft.conditions();
        let select = draft.ask(user, |_| format!("SELECT {COLUMNS} FROM usage WHERE {conditions}"));
        let rows = self.rows(&select).await?;
        Ok(rows.first().map(read).transpose()?)
    }

    /// What was stored of a request's text, if anything was: so many characters of the prompt and
    /// of the answer.
    ///
    /// # Errors
    /// As the database has it, or that it takes too long.
    pub async fn stored_text(&self, id: Uuid, most: u32) -> Answer<Option<StoredText>> {
        let mut draft = Draft::default();
        let id = draft.bind(Value::Uuid(id));
        let select = draft.ask(None, |dialect| {
            let [prompt, answer] = ["prompt", "answer"]
                .map(|column| format!("substr({column}, 1, {most}), {}", dialect.bytes_of(column)));
            format!("SELECT {prompt}, {answer} FROM prompts WHERE id = {id}")
        });
        let rows = self.rows(&select).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let prompt = Excerpt { text: row.text(0)?, bytes: row.count(1)? };
        let answer = match (row.optional_text(2)?, row.optional_count(3)?) {
            (Some(text), Some(bytes)) => Some(Excerpt { text, bytes }),
            _ => None,
        };
        Ok(Some(StoredText { prompt, answer }))
    }
}

fn filtered(filter: &LogFilter) -> Draft {
    let mut draft = Draft::default();
    for (column, wanted) in [
        ("username =", &filter.user),
        ("model =", &filter.model),
        ("cluster =", &filter.cluster),
        ("route =", &filter.route),
        ("request_id =", &filter.request_id),
    ] {
        if let Some(wanted) = wanted {
            draft.only_if(column, Value::Text(wanted.clone()));
        }
    }
    if let Some(status) = filter.status {
        draft.only(match status {
            StatusClass::Succeeded => "status < 400",
            // The index holds all but 200, and must be seen to do.
            StatusClass::ClientErrors => "status <> 200 AND status >= 400 AND status < 500",
            StatusClass::ServerErrors => "status <> 200 AND status >= 500",
            StatusClass::Errors => "status <> 200 AND status >= 400",
        });
    }
    let (from, until) = around(filter);
    if let Some(from) = from {
        draft.only_if("started_at >=", Value::Time(from));
    }
    if let Some(until) = until {
        draft.only_if("started_at <", Value::Time(until));
    }
    if let Some((at, id)) = filter.before {
        let (at, id) = (draft.bind(Value::Time(at)), draft.bind(Value::Uuid(id)));
        draft.only(format!("started_at <= {at} AND (started_at < {at} OR id < {id})"));
    }
    draft
}

/// The time in which requests are looked for. There is no index of request ids, but those that figw
/// makes tell their time, and many of those that callers make.
fn around(filter: &LogFilter) -> (Option<Timestamp>, Option<Timestamp>) {
    const LEEWAY: SignedDuration = SignedDuration::from_hours(1);
    let told = filter.request_id.as_deref().and_then(|id| {
        let (seconds, nanos) = Uuid::parse_str(id).ok()?.get_timestamp()?.to_unix();
        Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanos).ok()?).ok()
    });
    let Some(told) = told else { return (filter.from, filter.until) };
    (told.checked_sub(LEEWAY).ok(), told.checked_add(LEEWAY).ok())
}

fn read(row: &Row) -> Result<UsageRow, Unfit> {
    let id = row.uuid(0)?;
    let object = format!("request {id}");
    let status = |column| status(row, column, &object);
    Ok(UsageRow {
        id,
        request_id: row.text(1)?,
        started_at: row.time(2)?,
        user: row.text(3)?.into(),
        key_id: row.optional_uuid(4)?,
        cluster: row.text(5)?.into(),
        framework: row.text(6)?.into(),
        endpoint: row.text(7)?.into(),
        model: row.text(8)?.into(),
        route: row
            .text(9)?
            .parse()
            .map_err(|_| unreadable(&object, &"its route makes no sense"))?,
        streamed: row.bool(10)?,
        status: status(11)?.unwrap_or_default(),
        backend_status: status(12)?,
        tokens: TokenCount {
            prompt: row.count(13)?,
            completion: row.count(14)?,
            estimated: row.bool(15)?,
        },
        first_byte_us: row.optional_count(16)?,
        duration_us: row.count(17)?,
        request_bytes: row.count(18)?,
        response_bytes: row.count(19)?,
        error: row.optional_text(20)?,
    })
}

fn read_other(row: &Row) -> Result<AccessRow, Unfit> {
    let id = row.uuid(0)?;
    Ok(AccessRow {
        id,
        request_id: row.text(1)?,
        started_at: row.time(2)?,
        user: row.text(3)?.into(),
        key_id: row.optional_uuid(4)?,
        method: row.text(5)?,
        path: row.text(6)?,
        status: status(row, 7, &format!("request {id}"))?.unwrap_or_default(),
        duration_us: row.count(8)?,
        model: row.optional_text(9)?,
        error: row.optional_text(10)?,
    })
}

/// A status, where there is one; `object` is whose.
fn status(row: &Row, column: usize, object: &str) -> Result<Option<u16>, Unfit> {
    let unfit = |_| unreadable(object, &"its status makes no sense");
    row.optional_count(column)?.map(|number| u16::try_from(number).map_err(unfit)).transpose()
}
