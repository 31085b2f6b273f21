//! Requests, errors and tokens over time.

use maud::html;
use serde_json::json;

use super::{
    super::{
        chart::bars::{Bars, Part, step_name},
        layout::Tab,
        problem::Problem,
        range::{Extent, Range},
        view::View,
    },
    Page, parts,
};
use crate::domain::figures::Counters;

/// A way to divide what came in a step.
pub(super) struct Division {
    pub(super) parts: &'static [Part],
    values: fn(&Counters) -> Vec<u64>,
}

impl Division {
    pub(super) fn values(&self, counters: &Counters) -> Vec<u64> {
        (self.values)(counters)
    }
}

/// By how requests ended.
pub(super) const ENDS: Division = Division {
    parts: &[
        Part { name: "succeeded", colour: "part-a" },
        Part { name: "client errors", colour: "part-b" },
        Part { name: "server errors", colour: "part-c" },
    ],
    values: |counters| vec![counters.succeeded, counters.client_errors, counters.server_errors],
};

const ERRORS: Division = Division {
    parts: &[
        Part { name: "client errors", colour: "part-b" },
        Part { name: "server errors", colour: "part-c" },
    ],
    values: |counters| vec![counters.client_errors, counters.server_errors],
};

const TOKENS: Division = Division {
    parts: &[
        Part { name: "tokens in", colour: "part-a" },
        Part { name: "tokens out", colour: "part-d" },
    ],
    values: |counters| vec![counters.prompt_tokens, counters.completion_tokens],
};

/// A step's length for the database.
pub(super) fn seconds(extent: &Extent) -> u32 {
    u32::try_from(extent.step).unwrap_or(u32::MAX)
}

pub(super) async fn page(view: &View<'_>) -> Result<Page, Problem> {
    let range = Range::read(&view.params, "24h", view.now)?;
    let whose = view.whose();
    let extent = range.extent(whose.as_deref());
    let found = view.reader().usage_over_time(&extent.scope, seconds(&extent));
    let steps = parts::filled(&extent, &view.ask(found).await?);
    let draw = |id, title, unit, division: &Division| {
        let bars: Vec<_> =
            steps.iter().map(|step| (step.at, division.values(&step.counters))).collect();
        Bars { id, title, unit, parts: division.parts, steps: &bars, step: extent.step }.draw()
    };
    let body = html! {
        (parts::range_choice(view, &range, Tab::Series))
        (parts::extent_note(&extent))
        p.hint { "One bar for each " (step_name(extent.step).trim_start_matches("1 ")) "." }
        (draw("requests", "Requests", "requests", &ENDS))
        (draw("errors", "Errors", "errors", &ERRORS))
        (draw("tokens", "Tokens", "tokens", &TOKENS))
        (parts::downloads(view, "/dashboard/series", true))
    };
    let described: Vec<_> = steps
        .iter()
        .map(|step| parts::named_json("from", &step.at.to_string(), &step.counters))
        .collect();
    let rows = steps.iter().map(|step| (step.at.to_string(), &step.counters));
    Ok(Page {
        name: "series",
        tab: Tab::Series,
        title: "Time series".to_owned(),
        body,
        json: json!({ "range": parts::extent_json(&extent), "steps": described }),
        table: Some(parts::sums_table("from", rows)),
    })
}
