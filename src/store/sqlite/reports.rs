//! Reports from SQLite.

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};

use super::{Sqlite, Trouble};
use crate::{
    domain::report::{Days, Grouping, UsageSum},
    store::{ReportStore, StoreError, record::from_bigint, reports},
};

/// Days that are summed up, and what is not yet.
const DAYS: &str = "
SELECT day, username, cluster, model, requests, succeeded, client_errors, server_errors,
       prompt_tokens, completion_tokens, duration_us
FROM usage_daily WHERE day BETWEEN ?1 AND ?2
UNION ALL
SELECT date(started_at / 1000000, 'unixepoch'), username, cluster, model, 1, status < 400,
       status BETWEEN 400 AND 499, status >= 500, prompt_tokens, completion_tokens, duration_us
FROM usage_pending
WHERE date(started_at / 1000000, 'unixepoch') BETWEEN ?1 AND ?2";

const SUMS: &str = "sum(requests) AS requests, sum(succeeded), sum(client_errors), \
     sum(server_errors), sum(prompt_tokens), sum(completion_tokens), sum(duration_us), \
     count(DISTINCT username)";

fn usage_sums(
    connection: &mut Connection,
    by: Grouping,
    days: Days,
) -> Result<Vec<UsageSum>, Trouble> {
    let (column, order) = (reports::column(by), reports::order(by));
    let each =
        format!("SELECT {column} AS name, {SUMS} FROM ({DAYS}) GROUP BY {column} ORDER BY {order}");
    let all = format!("SELECT '' AS name, {SUMS} FROM ({DAYS}) HAVING count(*) > 0");
    // Both as of one moment.
    let transaction = connection.transaction()?;
    let days = [days.first.to_string(), days.last.to_string()];
    let mut sums = Vec::new();
    for query in [each, all] {
        let mut statement = transaction.prepare(&query)?;
        let rows = statement.query_and_then(params![days[0], days[1]], sum)?;
        for row in rows {
            sums.push(row?);
        }
    }
    Ok(sums)
}

fn sum(row: &Row<'_>) -> Result<UsageSum, Trouble> {
    let name: String = row.get(0)?;
    let number = |index: usize| Ok::<_, Trouble>(from_bigint(&name, row.get(index)?)?);
    Ok(UsageSum {
        requests: number(1)?,
        succeeded: number(2)?,
        client_errors: number(3)?,
        server_errors: number(4)?,
        prompt_tokens: number(5)?,
        completion_tokens: number(6)?,
        duration_us: number(7)?,
        users: number(8)?,
        name,
    })
}

#[async_trait]
impl ReportStore for Sqlite {
    async fn usage_sums(&self, by: Grouping, days: Days) -> Result<Vec<UsageSum>, StoreError> {
        self.read(move |connection| usage_sums(connection, by, days)).await
    }
}
