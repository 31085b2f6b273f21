//! The log of requests, the newest first.

use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    super::{
        figure, layout::Tab, params::Params, problem::Problem, range::Range, table::Table,
        view::View,
    },
    Page, others, parts,
};
use crate::domain::{
    Route, UsageRow,
    figures::{LogFilter, StatusClass},
};

/// Requests on one page.
const PER_PAGE: u32 = 50;

/// Most requests in one answer for programs.
const PER_FILE: u32 = 1_000;

const STATUSES: [(&str, StatusClass); 4] = [
    ("ok", StatusClass::Succeeded),
    ("errors", StatusClass::Errors),
    ("4xx", StatusClass::ClientErrors),
    ("5xx", StatusClass::ServerErrors),
];

/// Which requests are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Inference,
    Other,
}

/// The other kind, in words.
const KIND_WORDS: [(&str, &str); 1] = [("other", "all others, and those refused")];

const KINDS: [(&str, Kind); 2] = [("inference", Kind::Inference), ("other", Kind::Other)];

pub(super) async fn page(view: &View<'_>) -> Result<Page, Problem> {
    let filter = filter(view)?;
    let limit = limit(view)?;
    if parts::chosen(&view.params, "kind", &KINDS)? == Some(Kind::Other) {
        return others::page(view, &filter, limit).await;
    }
    let mut rows = view.ask(view.reader().log(&filter, limit + 1)).await?;
    let older = older(&mut rows, limit, |row| (row.started_at, row.id));
    let described: Vec<_> = rows.iter().map(row_json).collect();
    let listed = table_of(view, &rows);
    let json = json!({ "requests": described, "older": older });
    Ok(shown(view, &filter, &listed, older.as_deref(), json, table(&rows)))
}

fn limit(view: &View<'_>) -> Result<u32, Problem> {
    let Some(limit) = view.params.get("limit") else { return Ok(PER_PAGE) };
    limit
        .parse()
        .ok()
        .filter(|limit| (1..=PER_FILE).contains(limit))
        .ok_or_else(|| Problem::invalid("limit", &format!("must be a number from 1 to {PER_FILE}")))
}

/// Cuts off what was read only to see whether there is more, and tells where that begins.
pub(super) fn older<T>(
    rows: &mut Vec<T>,
    limit: u32,
    place: impl Fn(&T) -> (Timestamp, Uuid),
) -> Option<String> {
    let has_more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let (at, id) = rows.last().filter(|_| has_more).map(place)?;
    Some(format!("{}_{}", at.as_microsecond(), id.simple()))
}

/// The page around a list of requests.
pub(super) fn shown(
    view: &View<'_>,
    filter: &LogFilter,
    listed: &Markup,
    older: Option<&str>,
    json: Value,
    table: Table,
) -> Page {
    let is_live = filter.before.is_none();
    let to =
        |before: &str| format!("{}{}", Tab::Log.path(), view.params.with(&[("before", before)]));
    let body = html! {
        (filters(view))
        div.live data-live=[is_live.then_some("5")] { (listed) }
        nav.pager aria-label="Parts of the log" {
            @if !is_live { a.button.quiet href=(to("")) { "Newest" } }
            @if let Some(older) = older { a.button.quiet rel="next" href=(to(older)) { "Older" } }
        }
        (parts::downloads(view, "/dashboard/log", true))
    };
    Page { name: "log", tab: Tab::Log, title: "Log".to_owned(), body, json, table: Some(table) }
}

fn filter(view: &View<'_>) -> Result<LogFilter, Problem> {
    let params = &view.params;
    let is_timed = ["range", "from", "until"].iter().any(|name| params.get(name).is_some());
    let range = is_timed.then(|| Range::read(params, "24h", view.now)).transpose()?;
    let routes: Vec<_> = Route::ALL.iter().map(|route| (route.as_str(), *route)).collect();
    let route = parts::chosen(params, "route", &routes)?;
    Ok(LogFilter {
        user: view.whose(),
        model: params.text("model"),
        cluster: params.text("cluster"),
        route: route.map(|route| route.as_str().to_owned()),
        status: parts::chosen(params, "status", &STATUSES)?,
        request_id: params.text("request_id"),
        from: range.as_ref().map(|range| range.from),
        until: range.as_ref().map(|range| range.until),
        before: params.get("before").map(read_cursor).transpose()?,
    })
}

/// A place in the log, as [`older`] tells it.
fn read_cursor(text: &str) -> Result<(Timestamp, Uuid), Problem> {
    let read = || {
        let (micros, id) = text.split_once('_')?;
        let at = Timestamp::from_microsecond(micros.parse().ok()?).ok()?;
        (at >= Timestamp::UNIX_EPOCH).then_some(())?;
        Some((at, Uuid::parse_str(id).ok()?))
    };
    read().ok_or_else(|| Problem::invalid("before", "must be taken from the page before"))
}

fn filters(view: &View<'_>) -> Markup {
    let params = &view.params;
    let (models, clusters) = suggestions(view);
    let routes: Vec<_> = Route::ALL.iter().map(|route| (route.as_str(), route.as_str())).collect();
    let ranges: Vec<_> =
        Range::offered().iter().map(|offered| (offered.key, offered.label)).collect();
    let statuses = [
        ("ok", "succeeded"),
        ("errors", "any error"),
        ("4xx", "client error (4xx)"),
        ("5xx", "server error (5xx)"),
    ];
    html! {
        form.filters method="get" action=(Tab::Log.path()) role="search" aria-label="Filters" {
            @if view.is_admin { (parts::user_field(params)) }
            (parts::text_field(params, "model", "Model", &models))
            (parts::text_field(params, "cluster", "Cluster", &clusters))
            (parts::select_field(params, "status", "Status", &statuses))
            (parts::select_field_or(params, "kind", "Requests", "sent to an endpoint", &KIND_WORDS))
            (parts::select_field(params, "route", "Route", &routes))
            (parts::select_field(params, "range", "In the last", &ranges))
            (parts::text_field(params, "request_id", "Request id", &[]))
            div.buttons {
                button type="submit" { "Filter" }
                a.button.quiet href=(Tab::Log.path()) { "Reset" }
            }
        }
    }
}

/// Models and clusters that this person may know of.
fn suggestions(view: &View<'_>) -> (Vec<String>, Vec<String>) {
    const MOST: usize = 200;
    let snapshot = view.app.gateway.catalog.load();
    let mut models: Vec<String>;
    let mut clusters: Vec<String>;
    if view.is_admin {
        models = snapshot.endpoints().iter().map(|s| s.endpoint.model.clone()).collect();
        clusters = snapshot.clusters().map(|cluster| cluster.name.clone()).collect();
    } else {
        let mine = || snapshot.endpoints_for(&view.caller);
        models = mine().map(|served| served.endpoint.model.clone()).collect();
        clusters = mine().map(|served| served.cluster.name.clone()).collect();
    }
    for names in [&mut models, &mut clusters] {
        names.sort_unstable();
        names.dedup();
        names.truncate(MOST);
    }
    (models, clusters)
}

fn table_of(view: &View<'_>, rows: &[UsageRow]) -> Markup {
    let texts = ["Time (UTC)", parts::USER, "Model", "Cluster", "Route", "Status"];
    let numbers = ["In", "Out", "First byte", "Took"];
    parts::requests(view, &texts, &numbers, rows.iter().map(|row| line(view, row)))
}

fn line(view: &View<'_>, row: &UsageRow) -> Markup {
    let about = if row.tokens.estimated { "~" } else { "" };
    html! {
        tr {
            th scope="row" {
                a href={ (Tab::Log.path()) "/" (row.id) } { (figure::time(row.started_at)) }
            }
            @if view.is_admin {
                td {
                    @let query = Params::default().with(&[("user", &row.user)]);
                    a href={ (Tab::Log.path()) (query) } { (row.user) }
                }
            }
            td { (row.model) }
            td { (row.cluster) }
            td { (row.route.as_str()) }
            td title=[row.error.as_deref()] { (status(row.status)) }
            td.number { (about) (figure::short(row.tokens.prompt)) }
            td.number { (about) (figure::short(row.tokens.completion)) }
            td.number { (figure::optional_duration(row.first_byte_us)) }
            td.number { (figure::duration(row.duration_us)) }
        }
    }
}

/// A status, with more than its colour to tell it by.
pub(super) fn status(status: u16) -> Markup {
    let class = match status {
        ..400 => "good",
        400..500 => "warn",
        _ => "bad",
    };
    html! { span class={ "status " (class) } { (status) } }
}

/// All columns.
pub(super) fn row_json(row: &UsageRow) -> Value {
    serde_json::to_value(row).unwrap_or_default()
}

fn table(rows: &[UsageRow]) -> Table {
    let mut table = Table::new(&[
        "id",
        "request_id",
        "started_at",
        "user",
        "cluster",
        "framework",
        "endpoint",
        "model",
        "route",
        "streamed",
        "status",
        "backend_status",
        "prompt_tokens",
        "completion_tokens",
        "tokens_estimated",
        "first_byte_us",
        "duration_us",
        "request_bytes",
        "response_bytes",
        "error",
    ]);
    let optional = |number: Option<u64>| number.map(|n| n.to_string()).unwrap_or_default();
    table.rows.extend(rows.iter().map(|row| {
        vec![
            row.id.to_string(),
            row.request_id.clone(),
            row.started_at.to_string(),
            row.user.to_string(),
            row.cluster.to_string(),
            row.framework.to_string(),
            row.endpoint.to_string(),
            row.model.to_string(),
            row.route.as_str().to_owned(),
            row.streamed.to_string(),
            row.status.to_string(),
            optional(row.backend_status.map(u64::from)),
            row.tokens.prompt.to_string(),
            row.tokens.completion.to_string(),
            row.tokens.estimated.to_string(),
            optional(row.first_byte_us),
            row.duration_us.to_string(),
            row.request_bytes.to_string(),
            row.response_bytes.to_string(),
            row.error.clone().unwrap_or_default(),
        ]
    }));
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_the_log_is_one_or_nothing() {
        let id = Uuid::nil();
        let at = Timestamp::from_microsecond(1_700_000_000_000_123).unwrap();
        let text = format!("1700000000000123_{}", id.simple());
        assert_eq!(read_cursor(&text).unwrap(), (at, id));
        for wrong in ["", "_", "1", "1_", "x_0", "-1_00000000000000000000000000000000", "9e9_0"] {
            assert!(read_cursor(wrong).is_err(), "{wrong}");
        }
    }
}
