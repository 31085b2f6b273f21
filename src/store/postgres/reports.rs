//! Reports from PostgreSQL.

use async_trait::async_trait;
use tokio::time::timeout;
use tokio_postgres::{
    Client, Row,
    types::{ToSql, Type},
};

use super::{Postgres, error::Trouble, run};
use crate::{
    domain::report::{Days, Grouping, UsageSum},
    store::{ReportStore, StoreError, record::from_bigint, reports},
};

/// Days that are summed up, and what is not yet.
const DAYS: &str = "
SELECT day, username, cluster, model, requests, succeeded, client_errors, server_errors,
       prompt_tokens, completion_tokens, duration_us
FROM usage_daily WHERE day BETWEEN $1 AND $2
UNION ALL
SELECT (hour AT TIME ZONE 'UTC')::date, username, cluster, model, requests, succeeded, client_errors,
       server_errors, prompt_tokens, completion_tokens, duration_us
FROM usage_pending WHERE (hour AT TIME ZONE 'UTC')::date BETWEEN $1 AND $2";

async fn usage_sums(client: &Client, by: Grouping, days: Days) -> Result<Vec<UsageSum>, Trouble> {
    let (column, order) = (reports::column(by), reports::order(by));
    let query = format!(
        "SELECT coalesce({column}::text, '') AS name, sum(requests)::int8 AS requests, \
         sum(succeeded)::int8, sum(client_errors)::int8, sum(server_errors)::int8, \
         sum(prompt_tokens)::int8, sum(completion_tokens)::int8, sum(duration_us)::int8, \
         count(DISTINCT username) FROM ({DAYS}) AS days \
         GROUP BY GROUPING SETS (({column}), ()) HAVING count(*) > 0 \
         ORDER BY grouping({column}), {order}"
    );
    let parameters: [(&(dyn ToSql + Sync), Type); 2] =
        [(&days.first, Type::DATE), (&days.last, Type::DATE)];
    client.query_typed(&query, &parameters).await?.iter().map(sum).collect()
}

fn sum(row: &Row) -> Result<UsageSum, Trouble> {
    let name: String = row.try_get(0)?;
    let number = |index| Ok::<_, Trouble>(from_bigint(&name, row.try_get(index)?)?);
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
impl ReportStore for Postgres {
    async fn usage_sums(&self, by: Grouping, days: Days) -> Result<Vec<UsageSum>, StoreError> {
        run!(self, c => usage_sums(c, by, days))
    }
}
