//! The pages: each is worked out once, for people and for programs.

mod batches;
mod entry;
mod health;
mod log;
mod models;
mod others;
mod overview;
mod parts;
mod series;
mod users;

use maud::Markup;
use serde_json::Value;

use super::{layout::Tab, problem::Problem, table::Table, view::View};

/// A page.
pub(super) struct Page {
    /// What a file with its table is called.
    pub(super) name: &'static str,
    pub(super) tab: Tab,
    pub(super) title: String,
    /// For people.
    pub(super) body: Markup,
    /// For programs.
    pub(super) json: Value,
    /// For spreadsheets, when there is one.
    pub(super) table: Option<Table>,
}

/// The page at a path below the dashboard's own.
pub(super) async fn make(view: &View<'_>, path: &str) -> Result<Page, Problem> {
    match path {
        "" | "overview" => overview::page(view).await,
        "series" => series::page(view).await,
        "models" => models::page(view).await,
        "users" => users::page(view).await,
        "log" => log::page(view).await,
        "batches" => batches::page(view).await,
        "health" => health::page(view).await,
        _ => match path.strip_prefix("log/").map(uuid::Uuid::parse_str) {
            Some(Ok(id)) => entry::page(view, id).await,
            _ => Err(Problem::NotFound),
        },
    }
}
