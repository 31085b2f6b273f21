//! Batches, the newest first.

use maud::{Markup, html};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    super::{figure, layout::Tab, problem::Problem, table::Table, view::View},
    Page, parts,
};
use crate::{
    domain::{Batch, BatchStatus},
    store::BatchFilter,
};

/// Batches on one page.
const PER_PAGE: u32 = 50;

pub(super) async fn page(view: &View<'_>) -> Result<Page, Problem> {
    let words = BatchStatus::ALL.map(|status| (status.as_str(), status));
    let before = view.params.get("before").map(|id| {
        Uuid::parse_str(id)
            .map_err(|_| Problem::invalid("before", "must be taken from the page before"))
    });
    let filter = BatchFilter {
        user: view.whose(),
        status: parts::chosen(&view.params, "status", &words)?,
        before: before.transpose()?,
    };
    let mut batches = view.ask(view.reader().all_batches(&filter, PER_PAGE + 1)).await?;
    let has_more = batches.len() > PER_PAGE as usize;
    batches.truncate(PER_PAGE as usize);
    let older = batches.last().filter(|_| has_more).map(|batch| batch.id.to_string());
    let options = BatchStatus::ALL.map(|status| (status.as_str(), status.as_str()));
    let body = html! {
        form.filters method="get" action=(Tab::Batches.path()) aria-label="Filters" {
            @if view.is_admin { (parts::user_field(&view.params)) }
            (parts::select_field(&view.params, "status", "Status", &options))
            div.buttons { button type="submit" { "Filter" } }
        }
        div.live data-live=[filter.before.is_none().then_some("10")] {
            (table_of(view, &batches))
        }
        nav.pager aria-label="Parts of the list" {
            @if let Some(older) = &older {
                a.button.quiet rel="next"
                    href={ (Tab::Batches.path()) (view.params.with(&[("before", older)])) } { "Older" }
            }
        }
        (parts::downloads(view, "/dashboard/batches", true))
    };
    Ok(Page {
        name: "batches",
        tab: Tab::Batches,
        title: "Batches".to_owned(),
        body,
        json: json!({
            "batches": batches.iter().map(described).collect::<Vec<_>>(),
            "older": older,
        }),
        table: Some(table(&batches)),
    })
}

fn table_of(view: &View<'_>, batches: &[Batch]) -> Markup {
    html! {
        @if batches.is_empty() {
            p.empty { "No batches." }
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Batches" {
                table {
                    thead { tr {
                        th scope="col" { "Created (UTC)" }
                        @if view.is_admin { th scope="col" { "User" } }
                        th scope="col" { "Status" }
                        th scope="col" { "Model" }
                        th scope="col" { "Cluster" }
                        th scope="col" { "Input" }
                        th.number scope="col" { "Answers" }
                        th.number scope="col" { "Tokens" }
                        th scope="col" { "Finished (UTC)" }
                        th scope="col" { "Error" }
                    } }
                    tbody { @for batch in batches { (line(view, batch)) } }
                }
            }
        }
    }
}

fn line(view: &View<'_>, batch: &Batch) -> Markup {
    let class = match batch.status {
        BatchStatus::Completed => "good",
        BatchStatus::Failed => "bad",
        BatchStatus::Pending | BatchStatus::Running => "warn",
    };
    let count = |number: Option<u64>| number.map_or_else(|| "–".to_owned(), figure::short);
    html! {
        tr {
            th scope="row" title=(batch.id) { (figure::time(batch.created_at)) }
            @if view.is_admin { td { (batch.user) } }
            td { span class={ "status " (class) } { (batch.status) } }
            td { (batch.job.model) }
            td { (batch.job.cluster) }
            td.path { (batch.job.input_file) }
            td.number { (count(batch.metrics.responses)) }
            td.number { (count(batch.metrics.total_tokens)) }
            td { @if let Some(at) = batch.finished_at { (figure::time(at)) } @else { "–" } }
            td { (batch.error.as_deref().unwrap_or("–")) }
        }
    }
}

fn described(batch: &Batch) -> Value {
    json!({
        "id": batch.id,
        "user": batch.user,
        "status": batch.status.as_str(),
        "cluster": batch.job.cluster,
        "framework": batch.job.framework,
        "endpoint": batch.job.endpoint,
        "model": batch.job.model,
        "input_file": batch.job.input_file,
        "output_folder": batch.job.output_folder,
        "created_at": batch.created_at,
        "submitted_at": batch.submitted_at,
        "finished_at": batch.finished_at,
        "responses": batch.metrics.responses,
        "total_tokens": batch.metrics.total_tokens,
        "error": batch.error,
    })
}

fn table(batches: &[Batch]) -> Table {
    const COLUMNS: [&str; 12] = [
        "id",
        "user",
        "status",
        "cluster",
        "model",
        "input_file",
        "created_at",
        "submitted_at",
        "finished_at",
        "responses",
        "total_tokens",
        "error",
    ];
    let mut table = Table::new(&COLUMNS);
    table.rows.extend(batches.iter().map(|batch| {
        let batch = described(batch);
        let cells = COLUMNS.iter().map(|column| match &batch[*column] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        cells.collect()
    }));
    table
}
