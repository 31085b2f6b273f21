//! Parts that several pages have.

use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::super::{
    chart::bars::step_name,
    figure,
    layout::Tab,
    params::Params,
    problem::Problem,
    range::{Extent, Range},
    table::Table,
    view::View,
};
use crate::domain::figures::{Counters, Share, Source, Step};

/// The columns of a table of sums, after its first one.
const SUMS: [&str; 8] = [
    "requests",
    "succeeded",
    "client_errors",
    "server_errors",
    "prompt_tokens",
    "completion_tokens",
    "success_ratio",
    "mean_duration_us",
];

/// The ranges to choose from, and whose requests, for who sees everybody's.
pub(super) fn range_choice(view: &View<'_>, range: &Range, tab: Tab) -> Markup {
    let clear = [("from", ""), ("until", ""), ("page", "")];
    html! {
        nav.ranges aria-label="Range of time" {
            ul {
                @for offered in Range::offered() {
                    @let changes = [&clear[..], &[("range", offered.key)]].concat();
                    li {
                        a href={ (tab.path()) (view.params.with(&changes)) }
                            aria-current=[(range.key == Some(offered.key)).then_some("true")] {
                            (offered.label)
                        }
                    }
                }
            }
        }
        details.own open[range.key.is_none() || view.params.get("user").is_some()] {
            summary {
                @if view.is_admin { "Another range, or one user" } @else { "Another range" }
            }
            form.filters method="get" action=(tab.path()) {
                (moments(&range.from, &range.until))
                @if view.is_admin { (user_field(&view.params)) }
                button type="submit" { "Show" }
                a.button.quiet href=(tab.path()) { "Reset" }
            }
        }
    }
}

fn moments(from: &Timestamp, until: &Timestamp) -> Markup {
    const FORM: &str = "%Y-%m-%dT%H:%M";
    html! {
        div.field {
            label for="from" { "From (UTC)" }
            input #from type="datetime-local" name="from" value=(from.strftime(FORM));
        }
        div.field {
            label for="until" { "Until (UTC)" }
            input #until type="datetime-local" name="until" value=(until.strftime(FORM));
        }
    }
}

/// Whose requests; for who sees everybody's.
pub(super) fn user_field(params: &Params) -> Markup {
    html! {
        div.field {
            label for="user" { "User" }
            input #user type="text" name="user" value=[params.get("user")] autocomplete="off"
                spellcheck="false";
        }
    }
}

/// What exactly is shown.
pub(super) fn extent_note(extent: &Extent) -> Markup {
    let scope = &extent.scope;
    html! {
        p.hint {
            @match &scope.user {
                Some(user) => { "Requests of " strong { (user) } ", " },
                None => { "Everybody's requests, " },
            }
            (figure::time(scope.from)) " to " (figure::time(scope.until)) " UTC"
            @if scope.source == Source::Days { "; whole days of UTC" }
            "."
        }
    }
}

/// Links to the same for programs.
pub(super) fn downloads(view: &View<'_>, path: &str, has_table: bool) -> Markup {
    let query = view.params.with(&[]);
    let query = if query == "?" { "" } else { &query };
    html! {
        p.downloads {
            "The same as "
            a href={ (path) ".json" (query) } { "JSON" }
            @if has_table { ", " a href={ (path) ".csv" (query) } { "CSV" } }
            "."
        }
    }
}

/// Every step of the range with what came in it.
pub(super) fn filled(extent: &Extent, found: &[Step]) -> Vec<Step> {
    let mut found = found.iter().peekable();
    let steps = extent.steps().into_iter();
    let steps = steps.map(|at| {
        while found.next_if(|step| step.at < at).is_some() {}
        let counters = found.next_if(|step| step.at == at).map(|step| step.counters);
        Step { at, counters: counters.unwrap_or_default() }
    });
    steps.collect()
}

/// All of it together.
pub(super) fn total(steps: &[Step]) -> Counters {
    steps.iter().fold(Counters::default(), |mut sum, step| {
        sum += step.counters;
        sum
    })
}

/// Sums for programs.
pub(super) fn counters_json(counters: &Counters) -> Value {
    json!({
        "requests": counters.requests,
        "succeeded": counters.succeeded,
        "client_errors": counters.client_errors,
        "server_errors": counters.server_errors,
        "prompt_tokens": counters.prompt_tokens,
        "completion_tokens": counters.completion_tokens,
        "success_ratio": counters.success(),
        "mean_duration_us": counters.mean_us(),
    })
}

/// The same with a name or a moment.
pub(super) fn named_json(key: &str, name: &str, counters: &Counters) -> Value {
    let mut value = json!({ key: name });
    if let (Value::Object(value), Value::Object(sums)) = (&mut value, counters_json(counters)) {
        value.extend(sums);
    }
    value
}

/// What a page is about, for programs.
pub(super) fn extent_json(extent: &Extent) -> Value {
    json!({
        "user": extent.scope.user,
        "from": extent.scope.from,
        "until": extent.scope.until,
        "step_seconds": extent.step,
        "step": step_name(extent.step),
    })
}

/// A table of sums for spreadsheets.
pub(super) fn sums_table<'a>(
    first: &'static str,
    rows: impl Iterator<Item = (String, &'a Counters)>,
) -> Table {
    let mut table = Table::new(&[&[first], &SUMS[..]].concat());
    table.rows.extend(rows.map(|(name, counters)| {
        let sums = counters_json(counters);
        let cells = SUMS.iter().map(|column| match &sums[*column] {
            Value::Null => String::new(),
            other => other.to_string(),
        });
        std::iter::once(name).chain(cells).collect()
    }));
    table
}

/// Sums for each name, as a table with a bar for each.
pub(super) fn shares(
    heading: &str,
    id: &str,
    shares: &[Share],
    link: impl Fn(&str) -> String,
) -> Markup {
    let largest = shares.iter().map(|share| share.counters.requests).max().unwrap_or(0);
    html! {
        section {
            h2 #(id) { (heading) }
            @if shares.is_empty() {
                p.empty { "No requests in this range." }
            } @else {
                div.scroll tabindex="0" role="region" aria-labelledby=(id) {
                    table {
                        thead { tr {
                            th scope="col" { "Name" }
                            th.number scope="col" { "Requests" }
                            th.meter scope="col" { span.unseen { "Share" } }
                            th.number scope="col" { "Succeeded" }
                            th.number scope="col" { "Tokens in" }
                            th.number scope="col" { "Tokens out" }
                            th.number scope="col" { "Mean time" }
                        } }
                        tbody {
                            @for share in shares {
                                tr {
                                    th scope="row" { a href=(link(&share.name)) { (share.name) } }
                                    (sums_cells(&share.counters, Some(largest)))
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A row's cells with sums; a bar shows the part of `largest`, where there is one.
pub(super) fn sums_cells(counters: &Counters, largest: Option<u64>) -> Markup {
    html! {
        td.number title=(figure::whole(counters.requests)) { (figure::short(counters.requests)) }
        @if let Some(largest) = largest {
            td.meter {
                svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" {
                    rect.part-a height="10" rx="2"
                        width=(format!("{:.1}", 100.0 * figure::ratio(counters.requests, largest))) {}
                }
            }
        }
        td.number { (figure::percent(counters.success())) }
        td.number title=(figure::whole(counters.prompt_tokens)) {
            (figure::short(counters.prompt_tokens))
        }
        td.number title=(figure::whole(counters.completion_tokens)) {
            (figure::short(counters.completion_tokens))
        }
        td.number { (figure::optional_duration(counters.mean_us())) }
    }
}

/// One of a few words, such as a status; none when nothing was chosen.
pub(super) fn chosen<T: Copy>(
    params: &Params,
    name: &'static str,
    words: &[(&'static str, T)],
) -> Result<Option<T>, Problem> {
    let Some(word) = params.get(name) else { return Ok(None) };
    let found = words.iter().find(|(known, _)| *known == word).map(|(_, value)| *value);
    found.map(Some).ok_or_else(|| {
        let known: Vec<_> = words.iter().map(|(known, _)| *known).collect();
        Problem::invalid(name, &format!("must be one of {}", known.join(", ")))
    })
}

/// A field with a few words to choose from.
pub(super) fn select_field(
    params: &Params,
    name: &str,
    label: &str,
    options: &[(&str, &str)],
) -> Markup {
    select_field_or(params, name, label, "any", options)
}

/// The same, with a word for what is meant where nothing is chosen.
pub(super) fn select_field_or(
    params: &Params,
    name: &str,
    label: &str,
    unchosen: &str,
    options: &[(&str, &str)],
) -> Markup {
    let selected = params.get(name).unwrap_or_default();
    html! {
        div.field {
            label for=(name) { (label) }
            select #(name) name=(name) {
                option value="" { (unchosen) }
                @for (value, label) in options {
                    option value=(value) selected[*value == selected] { (label) }
                }
            }
        }
    }
}

/// The heading of users, whom only operators see.
pub(super) const USER: &str = "User";

/// A table of requests under these headings; those of numbers come last.
pub(super) fn requests(
    view: &View<'_>,
    texts: &[&str],
    numbers: &[&str],
    lines: impl ExactSizeIterator<Item = Markup>,
) -> Markup {
    if lines.len() == 0 {
        return html! { p.empty { "No requests with these filters." } };
    }
    html! {
        div.scroll tabindex="0" role="region" aria-label="Requests" {
            table.log {
                thead { tr {
                    @for text in texts.iter().filter(|text| view.is_admin || **text != USER) {
                        th scope="col" { (text) }
                    }
                    @for number in numbers { th.number scope="col" { (number) } }
                } }
                tbody { @for line in lines { (line) } }
            }
        }
    }
}

/// A field for a text, with suggestions.
pub(super) fn text_field(
    params: &Params,
    name: &str,
    label: &str,
    suggestions: &[String],
) -> Markup {
    let list = format!("{name}-list");
    html! {
        div.field {
            label for=(name) { (label) }
            input #(name) type="text" name=(name) value=[params.get(name)] autocomplete="off"
                spellcheck="false" list=[(!suggestions.is_empty()).then_some(&list)];
            @if !suggestions.is_empty() {
                datalist #(list) { @for suggestion in suggestions { option value=(suggestion) {} } }
            }
        }
    }
}
