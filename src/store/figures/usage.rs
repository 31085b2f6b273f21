//! Sums of requests and tokens.

use jiff::Timestamp;

use super::{
    super::{
        Reader,
        record::Unfit,
        select::{Dialect, Row, Value},
    },
    Answer, table, within,
};
use crate::domain::figures::{
    Breakdown, Counters, Scope, Share, Source, Step, UserList, UserOrder, UserPage,
};

/// A Monday at midnight, in seconds since 1970, so that steps of weeks begin on Mondays.
const ORIGIN: i64 = 4 * 24 * 60 * 60;

/// The most names that a breakdown tells apart; the least used go without mention.
const MOST_NAMES: i64 = 500;

impl Reader {
    /// Sums for each step of so many seconds in which anything came, in the order of time. Steps
    /// begin at multiples of their length, those of weeks on Mondays.
    ///
    /// # Errors
    /// As the database has it, or that it takes too long.
    pub async fn usage_over_time(&self, scope: &Scope, seconds: u32) -> Answer<Vec<Step>> {
        let mut draft = within(scope);
        let (origin, step) =
            (draft.bind(Value::Int(ORIGIN)), draft.bind(Value::Int(seconds.max(1).into())));
        let conditions = draft.conditions();
        let from = table(scope.source);
        let select = draft.ask(scope.user.as_deref(), |dialect| {
            let number = dialect.step(from.time, from.kind, &origin, &step);
            format!(
                "SELECT {number} AS number, {} FROM {} WHERE {conditions} GROUP BY 1 ORDER BY 1",
                sums(dialect, scope.source),
                from.name
            )
        });
        let rows = self.rows(&select).await?;
        rows.iter().map(|row| Ok(read_step(row, seconds)?)).collect()
    }

    /// Sums for each model or cluster, the most used first.
    ///
    /// # Errors
    /// As the database has it, or that it takes too long.
    pub async fn usage_by(&self, scope: &Scope, by: Breakdown) -> Answer<Vec<Share>> {
        let draft = within(scope);
        let conditions = draft.conditions();
        let column = match by {
            Breakdown::Model => "model",
            Breakdown::Cluster => "cluster",
        };
        let from = table(scope.source).name;
        let select = draft.ask(scope.user.as_deref(), |dialect| {
            format!(
                "SELECT {column}, {} FROM {from} WHERE {conditions} \
                 GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {MOST_NAMES}",
                sums(dialect, scope.source)
            )
        });
        let rows = self.rows(&select).await?;
        rows.iter().map(|row| Ok(read_share(row)?)).collect()
    }

    /// How many users made requests.
    ///
    /// # Errors
    /// As the database has it, or that it takes too long.
    pub async fn active_users(&self, scope: &Scope) -> Answer<u64> {
        let scope = Scope { source: with_users(scope.source), ..scope.clone() };
        let draft = within(&scope);
        let conditions = draft.conditions();
        let from = table(scope.source).name;
        // Not count(DISTINCT …), for which PostgreSQL would sort all rows.
        let select = draft.ask(scope.user.as_deref(), |_| {
            format!(
                "SELECT count(*) FROM \
                 (SELECT username FROM {from} WHERE {conditions} GROUP BY username) AS users"
            )
        });
        let rows = self.rows(&select).await?;
        Ok(rows.first().map_or(Ok(0), |row| row.count(0))?)
    }

    /// Sums for each user of a part of the list of users.
    ///
    /// # Errors
    /// As the database has it, or that it takes too long.
    pub async fn usage_by_user(&self, scope: &Scope, list: &UserList) -> Answer<UserPage> {
        let scope = Scope { source: with_users(scope.source), ..scope.clone() };
        let mut draft = within(&scope);
        if !list.search.is_empty() {
            let pattern = draft.text(&containing(&list.search));
            draft.only(format!("lower(username) LIKE {pattern} ESCAPE '\\'"));
        }
        let conditions = draft.conditions();
        let (limit, offset) =
            (draft.bind(Value::Int(list.limit.into())), draft.bind(Value::Int(list.offset.into())));
        let from = table(scope.source).name;
        let select = draft.ask(scope.user.as_deref(), |dialect| {
            let order = order(dialect, scope.source, list);
            format!(
                "SELECT username, {}, count(*) OVER () FROM {from} WHERE {conditions} \
                 GROUP BY 1 ORDER BY {order}, 1 LIMIT {limit} OFFSET {offset}",
                sums(dialect, scope.source)
            )
        });
        let rows = self.rows(&select).await?;
        Ok(UserPage {
            total: rows.first().map_or(Ok(0), |row| row.count(8))?,
            users: rows.iter().map(read_share).collect::<Result<_, _>>()?,
        })
    }
}

/// The nearest source that knows users.
const fn with_users(source: Source) -> Source {
    match source {
        Source::Rows => Source::Rows,
        Source::Hours | Source::Days => Source::Days,
    }
}

/// The columns that [`read_counters`] reads.
fn sums(dialect: Dialect, source: Source) -> String {
    let tokens = ["prompt_tokens", "completion_tokens", "duration_us"];
    let tokens = tokens.map(|column| dialect.sum(column)).join(", ");
    if source == Source::Rows {
        return format!(
            "count(*), count(*) FILTER (WHERE status < 400), \
             count(*) FILTER (WHERE status >= 400 AND status < 500), \
             count(*) FILTER (WHERE status >= 500), {tokens}"
        );
    }
    let counts = ["requests", "succeeded", "client_errors", "server_errors"];
    format!("{}, {tokens}", counts.map(|column| dialect.sum(column)).join(", "))
}

/// By numbers of columns, after the name and [`sums`], or by what is no column.
fn order(dialect: Dialect, source: Source, list: &UserList) -> String {
    let direction = if list.descending { "DESC" } else { "ASC" };
    let by = match list.order {
        UserOrder::Name => "1".to_owned(),
        UserOrder::Requests => "2".to_owned(),
        UserOrder::Errors if source == Source::Rows => {
            "count(*) FILTER (WHERE status >= 400)".to_owned()
        }
        UserOrder::Errors => dialect.sum("client_errors + server_errors"),
        UserOrder::PromptTokens => "6".to_owned(),
        UserOrder::CompletionTokens => "7".to_owned(),
    };
    format!("{by} {direction}")
}

fn read_counters(row: &Row) -> Result<Counters, Unfit> {
    Ok(Counters {
        requests: row.count(1)?,
        succeeded: row.count(2)?,
        client_errors: row.count(3)?,
        server_errors: row.count(4)?,
        prompt_tokens: row.count(5)?,
        completion_tokens: row.count(6)?,
        duration_us: row.count(7)?,
    })
}

fn read_share(row: &Row) -> Result<Share, Unfit> {
    Ok(Share { name: row.text(0)?, counters: read_counters(row)? })
}

fn read_step(row: &Row, seconds: u32) -> Result<Step, Unfit> {
    let second = row.int(0)?.saturating_mul(seconds.max(1).into()).saturating_add(ORIGIN);
    let at = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
    Ok(Step { at, counters: read_counters(row)? })
}

/// A pattern for what contains `text`, in lower case.
fn containing(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for c in text.to_lowercase().chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_finds_signs_and_not_patterns() {
        assert_eq!(containing("Ada_1%\\"), "%ada\\_1\\%\\\\%");
    }
}
