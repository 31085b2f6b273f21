//! How clusters and endpoints are, as this instance sees them.

use std::{collections::HashMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::{
    super::{figure, layout::Tab, problem::Problem, view::View},
    Page, parts,
};
use crate::{
    catalog::Served,
    domain::{
        Moment, UsageRow,
        figures::{LogFilter, StatusClass},
    },
    gateway::{lines::Line, routing::breaker::Gate},
};

/// Failures that are looked at for the last one of each endpoint.
const MOST_FAILURES: u32 = 200;

/// What is known of an endpoint.
struct Condition {
    cluster: String,
    slug: String,
    model: String,
    state: State,
    /// What is told besides.
    note: Option<String>,
    in_flight: u32,
    last_failure: Option<(Timestamp, u16, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Well,
    Unused,
    Busy,
    Trial,
    Out,
    Maintenance,
    Disabled,
    Unusable,
}

impl State {
    /// The word, and the class that colours it.
    const fn shown(self) -> (&'static str, &'static str) {
        match self {
            Self::Well => ("well", "good"),
            Self::Unused => ("not asked yet", "plain"),
            Self::Busy => ("busy", "warn"),
            Self::Trial => ("on trial", "warn"),
            Self::Out => ("out of service", "bad"),
            Self::Maintenance => ("maintenance", "warn"),
            Self::Disabled => ("disabled", "plain"),
            Self::Unusable => ("not set up", "bad"),
        }
    }
}

pub(super) async fn page(view: &View<'_>) -> Result<Page, Problem> {
    let since = view.now.checked_sub(SignedDuration::from_hours(24)).unwrap_or(view.now);
    // The breakers tell how endpoints are, with or without the database.
    let failures = failures(view, since).await;
    let is_complete = failures.is_ok();
    let conditions = conditions(view, &last_of_each(failures.unwrap_or_default()));
    let (_, readiness) = view.app.readiness.report();
    let body = html! {
        p.hint { "As the instance " strong { (view.app.readiness.instance) } " sees it." }
        div.live data-live="5" {
            (endpoints(&conditions))
            @if !is_complete {
                p.note.bad { "The last failures cannot be read at present." }
            }
            (checks(&readiness))
        }
        (parts::downloads(view, "/dashboard/health", false))
    };
    let described: Vec<_> = conditions.iter().map(described).collect();
    Ok(Page {
        name: "health",
        tab: Tab::Health,
        title: "Health".to_owned(),
        body,
        json: json!({ "endpoints": described, "instance": readiness }),
        table: None,
    })
}

/// The newest failures that this person may see.
async fn failures(view: &View<'_>, since: Timestamp) -> Result<Vec<UsageRow>, Problem> {
    let filter = LogFilter {
        user: (!view.is_admin).then(|| view.caller.user.to_string()),
        status: Some(StatusClass::ServerErrors),
        from: Some(since),
        ..LogFilter::default()
    };
    view.ask(view.reader().log(&filter, MOST_FAILURES)).await
}

fn last_of_each(failures: Vec<UsageRow>) -> HashMap<String, (Timestamp, u16, String)> {
    let mut last = HashMap::new();
    for row in failures {
        last.entry(row.endpoint.to_string()).or_insert((
            row.started_at,
            row.status,
            row.error.unwrap_or_default(),
        ));
    }
    last
}

fn conditions(
    view: &View<'_>,
    failures: &HashMap<String, (Timestamp, u16, String)>,
) -> Vec<Condition> {
    let gateway = &view.app.gateway;
    let snapshot = gateway.catalog.snapshot();
    let lines: HashMap<String, Arc<Line>> = gateway
        .lines
        .all()
        .into_iter()
        .map(|line| (line.names.endpoint.to_string(), line))
        .collect();
    let seen = snapshot.endpoints().iter().filter(|served| {
        view.is_admin
            || (served.endpoint.enabled
                && view.caller.may_ask_for(&served.endpoint.model)
                && served.permits(&view.caller))
    });
    let condition = |served: &Arc<Served>| {
        let slug = &served.endpoint.slug;
        let line = lines.get(slug);
        let (state, note) = state(served, line.map(|line| &**line));
        Condition {
            cluster: served.cluster.name.clone(),
            slug: slug.clone(),
            model: served.endpoint.model.clone(),
            state,
            // What is wrong with its set-up is for operators.
            note: note.filter(|_| view.is_admin || state == State::Maintenance),
            in_flight: line.map_or(0, |line| line.vitals.in_flight()),
            last_failure: failures.get(slug).cloned(),
        }
    };
    seen.map(condition).collect()
}

fn state(served: &Served, line: Option<&Line>) -> (State, Option<String>) {
    if !served.endpoint.enabled {
        return (State::Disabled, None);
    }
    if let Some(maintenance) = &served.cluster.maintenance {
        return (State::Maintenance, Some(maintenance.notice.clone()));
    }
    if let Some(why) = &served.unusable {
        return (State::Unusable, Some(why.clone()));
    }
    let Some(line) = line else { return (State::Unused, None) };
    let now = Moment::now();
    let state = match line.vitals.gate(now) {
        Gate::Open => State::Out,
        Gate::TrialDue => State::Trial,
        Gate::Closed if line.vitals.is_busy(now) => State::Busy,
        Gate::Closed => State::Well,
    };
    (state, None)
}

fn endpoints(conditions: &[Condition]) -> Markup {
    html! {
        section {
            h2 #endpoints { "Endpoints" }
            @if conditions.is_empty() {
                p.empty { "There are no endpoints that you may use." }
            } @else {
                div.scroll tabindex="0" role="region" aria-labelledby="endpoints" {
                    table {
                        thead { tr {
                            th scope="col" { "Endpoint" }
                            th scope="col" { "Cluster" }
                            th scope="col" { "Model" }
                            th scope="col" { "State" }
                            th.number scope="col" { "In flight" }
                            th scope="col" { "Last failure of 24 hours (UTC)" }
                        } }
                        tbody { @for condition in conditions { (line(condition)) } }
                    }
                }
            }
        }
    }
}

fn line(condition: &Condition) -> Markup {
    let (word, class) = condition.state.shown();
    html! {
        tr {
            th scope="row" { (condition.slug) }
            td { (condition.cluster) }
            td { (condition.model) }
            td {
                span class={ "status " (class) } { (word) }
                @if let Some(note) = &condition.note { " " span.hint { (note) } }
            }
            td.number { (condition.in_flight) }
            td {
                @match &condition.last_failure {
                    Some((at, status, error)) => {
                        (figure::time(*at)) " " (super::log::status(*status)) " " (error)
                    }
                    None => "none",
                }
            }
        }
    }
}

fn checks(readiness: &Value) -> Markup {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let none = Vec::new();
    let checks = readiness["checks"].as_array().unwrap_or(&none);
    html! {
        section {
            h2 #checks { "This instance: " (text(&readiness["status"])) }
            div.scroll tabindex="0" role="region" aria-labelledby="checks" {
                table {
                    thead { tr {
                        th scope="col" { "Check" }
                        th scope="col" { "State" }
                        th scope="col" { "Since (UTC)" }
                        th scope="col" { "Reason" }
                    } }
                    tbody {
                        @for check in checks {
                            @let state = text(&check["state"]);
                            @let class = match state.as_str() {
                                "ok" => "good",
                                "degraded" => "warn",
                                _ => "bad",
                            };
                            tr {
                                th scope="row" { (text(&check["name"])) }
                                td { span class={ "status " (class) } { (state) } }
                                td {
                                    @match text(&check["since"]).parse::<Timestamp>() {
                                        Ok(since) => (figure::time(since)),
                                        Err(_) => "–",
                                    }
                                }
                                td { (check["reason"].as_str().unwrap_or("–")) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn described(condition: &Condition) -> Value {
    let failure = condition
        .last_failure
        .as_ref()
        .map(|(at, status, error)| json!({ "at": at, "status": status, "error": error }));
    json!({
        "endpoint": condition.slug,
        "cluster": condition.cluster,
        "model": condition.model,
        "state": condition.state.shown().0,
        "note": condition.note,
        "in_flight": condition.in_flight,
        "last_failure": failure,
    })
}
