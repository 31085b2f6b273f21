//! The log's other part: requests that asked no model, as lists do, and those that were refused before.

use maud::{Markup, html};
use serde_json::{Value, json};

use super::{
    super::{figure, params::Params, problem::Problem, table::Table, view::View},
    Page, log, parts,
};
use crate::domain::{AccessRow, figures::LogFilter};

pub(super) async fn page(view: &View<'_>, filter: &LogFilter, limit: u32) -> Result<Page, Problem> {
    let mut rows = view.ask(view.reader().other_log(filter, limit + 1)).await?;
    let older = log::older(&mut rows, limit, |row| (row.started_at, row.id));
    let described: Vec<Value> =
        rows.iter().map(|row| serde_json::to_value(row).unwrap_or_default()).collect();
    let listed = table_of(view, &rows);
    let json = json!({ "requests": described, "older": older });
    Ok(log::shown(view, filter, &listed, older.as_deref(), json, table(&rows)))
}

fn table_of(view: &View<'_>, rows: &[AccessRow]) -> Markup {
    let texts = ["Time (UTC)", parts::USER, "Request", "Model", "Status", "Why"];
    parts::requests(view, &texts, &["Took"], rows.iter().map(|row| line(view, row)))
}

fn line(view: &View<'_>, row: &AccessRow) -> Markup {
    html! {
        tr {
            th scope="row" title=(row.request_id) { (figure::time(row.started_at)) }
            @if view.is_admin {
                td {
                    @let query =
                        Params::default().with(&[("kind", "other"), ("user", &row.user)]);
                    a href=(query) { (row.user) }
                }
            }
            td.path { (row.method) " " (row.path) }
            td { (row.model.as_deref().unwrap_or("–")) }
            td { (log::status(row.status)) }
            td { (row.error.as_deref().unwrap_or("–")) }
            td.number { (figure::duration(row.duration_us)) }
        }
    }
}

fn table(rows: &[AccessRow]) -> Table {
    let mut table = Table::new(&[
        "id",
        "request_id",
        "started_at",
        "user",
        "method",
        "path",
        "model",
        "status",
        "duration_us",
        "error",
    ]);
    table.rows.extend(rows.iter().map(|row| {
        vec![
            row.id.to_string(),
            row.request_id.clone(),
            row.started_at.to_string(),
            row.user.to_string(),
            row.method.clone(),
            row.path.clone(),
            row.model.clone().unwrap_or_default(),
            row.status.to_string(),
            row.duration_us.to_string(),
            row.error.clone().unwrap_or_default(),
        ]
    }));
    table
}
