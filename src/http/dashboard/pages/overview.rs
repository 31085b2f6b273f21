//! The overview: how much, by whom, of which model.

use maud::{Markup, html};
use serde_json::json;

use super::{
    super::{chart::bars::Bars, figure, layout::Tab, problem::Problem, range::Range, view::View},
    Page, parts,
    series::{ENDS, seconds},
};
use crate::domain::figures::{Breakdown, Counters, Source};

pub(super) async fn page(view: &View<'_>) -> Result<Page, Problem> {
    let range = Range::read(&view.params, "24h", view.now)?;
    let whose = view.whose();
    let extent = range.extent(whose.as_deref());
    let (scope, reader) = (&extent.scope, view.reader());
    let users = async {
        if whose.is_some() {
            return Ok(None);
        }
        view.ask(reader.active_users(scope)).await.map(Some)
    };
    let (found, models, clusters, users) = tokio::try_join!(
        view.ask(reader.usage_over_time(scope, seconds(&extent))),
        view.ask(reader.usage_by(scope, Breakdown::Model)),
        view.ask(reader.usage_by(scope, Breakdown::Cluster)),
        users,
    )?;
    let steps = parts::filled(&extent, &found);
    let total = parts::total(&steps);
    let bars: Vec<_> = steps.iter().map(|step| (step.at, ENDS.values(&step.counters))).collect();
    let chart = Bars {
        id: "requests",
        title: "Requests",
        unit: "requests",
        parts: ENDS.parts,
        steps: &bars,
        step: extent.step,
    };
    let log = Tab::Log.path();
    let to_log = |key: &str, name: &str| {
        format!(
            "{log}{}",
            view.params.with(&[("range", ""), ("from", ""), ("until", ""), (key, name)])
        )
    };
    let counted_by_days = scope.source == Source::Hours;
    let body = html! {
        (parts::range_choice(view, &range, Tab::Overview))
        (parts::extent_note(&extent))
        (tiles(&total, users, counted_by_days))
        (chart.draw())
        (parts::shares("By model", "by-model", &models, |name| to_log("model", name)))
        (parts::shares("By cluster", "by-cluster", &clusters, |name| to_log("cluster", name)))
        (parts::downloads(view, "/dashboard/overview", true))
    };
    let named = |shares: &[crate::domain::figures::Share], key: &str| -> Vec<_> {
        shares.iter().map(|share| parts::named_json(key, &share.name, &share.counters)).collect()
    };
    Ok(Page {
        name: "overview",
        tab: Tab::Overview,
        title: "Overview".to_owned(),
        body,
        json: json!({
            "range": parts::extent_json(&extent),
            "total": parts::counters_json(&total),
            "users": users,
            "models": named(&models, "model"),
            "clusters": named(&clusters, "cluster"),
        }),
        table: Some(parts::sums_table(
            "model",
            models.iter().map(|share| (share.name.clone(), &share.counters)),
        )),
    })
}

fn tiles(total: &Counters, users: Option<u64>, counted_by_days: bool) -> Markup {
    let tile = |label: &str, value: String, more: String| {
        html! {
            div.tile {
                dt { (label) }
                dd.value { (value) }
                dd.more { (more) }
            }
        }
    };
    let errors = format!(
        "{} client, {} server errors",
        figure::short(total.client_errors),
        figure::short(total.server_errors)
    );
    html! {
        dl.tiles {
            (tile("Requests", figure::short(total.requests), figure::whole(total.requests)))
            (tile("Succeeded", figure::percent(total.success()), errors))
            (tile("Tokens in", figure::short(total.prompt_tokens), figure::whole(total.prompt_tokens)))
            (tile(
                "Tokens out",
                figure::short(total.completion_tokens),
                figure::whole(total.completion_tokens),
            ))
            @if let Some(users) = users {
                @let how = if counted_by_days { "counted by days of UTC" } else { "who made requests" };
                (tile("Users", figure::whole(users), how.to_owned()))
            }
            (tile("Mean time", figure::optional_duration(total.mean_us()), "to the end of an answer".into()))
        }
    }
}
