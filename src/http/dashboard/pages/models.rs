//! How long models take, and how much they write.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde_json::json;

use super::{
    super::{
        chart::boxes::{Boxes, Spread},
        figure,
        layout::Tab,
        problem::Problem,
        range::{Extent, Range},
        table::Table,
        view::View,
    },
    Page, parts,
};
use crate::{
    domain::figures::{Breakdown, LatencyBin, LatencySample, Measure, Source},
    store::MOST_SAMPLES,
};

/// Models in the figures; the table below has them all.
const MOST_DRAWN: usize = 20;

/// Each model's spreads.
type Spreads = BTreeMap<String, BTreeMap<Measure, Spread>>;

pub(super) async fn page(view: &View<'_>) -> Result<Page, Problem> {
    let range = Range::read(&view.params, "24h", view.now)?;
    let whose = view.whose();
    let extent = range.extent(whose.as_deref());
    let shares = view.ask(view.reader().usage_by(&extent.scope, Breakdown::Model));
    let ((spreads, source), shares) = tokio::try_join!(spreads(view, &range, &extent), shares)?;
    // The most used first, as far as any of their requests succeeded.
    let order: Vec<&str> = shares.iter().map(|share| share.name.as_str()).collect();
    let body = html! {
        (parts::range_choice(view, &range, Tab::Models))
        (parts::extent_note(&extent))
        p.hint {
            (source)
            " A box is the middle half of the requests, the line in it the median; the whiskers \
              leave out the outermost twentieths."
        }
        (draw(&order, &spreads, Measure::Duration))
        (draw(&order, &spreads, Measure::FirstByte))
        (draw(&order, &spreads, Measure::Throughput))
        (numbers(&order, &spreads))
        (parts::downloads(view, "/dashboard/models", true))
    };
    let described: Vec<_> = order
        .iter()
        .map(|model| {
            let of = |measure| spreads.get(*model)?.get(&measure).map(spread_json);
            json!({
                "model": model,
                "duration_seconds": of(Measure::Duration),
                "first_byte_seconds": of(Measure::FirstByte),
                "tokens_per_second": of(Measure::Throughput),
            })
        })
        .collect();
    Ok(Page {
        name: "models",
        tab: Tab::Models,
        title: "Models".to_owned(),
        body,
        json: json!({ "range": parts::extent_json(&extent), "models": described }),
        table: Some(table(&order, &spreads)),
    })
}

/// Each model's spreads, and from what they were taken.
async fn spreads(
    view: &View<'_>,
    range: &Range,
    extent: &Extent,
) -> Result<(Spreads, String), Problem> {
    let is_short = range.until.duration_since(range.from).as_hours() <= 25;
    if extent.scope.user.is_none() && !(is_short && extent.scope.from >= recent(view)) {
        let bins = view.ask(view.reader().latency_bins(&extent.scope)).await?;
        return Ok((of_bins(&bins), "Of requests that succeeded, by days of UTC.".to_owned()));
    }
    let mut scope = extent.scope.clone();
    scope.source = Source::Rows;
    let samples = view.ask(view.reader().latency_samples(&scope)).await?;
    let of = if samples.len() == MOST_SAMPLES {
        format!("Of the newest {} requests that succeeded.", figure::whole(MOST_SAMPLES as u64))
    } else {
        "Of requests that succeeded.".to_owned()
    };
    Ok((of_samples(&samples), of))
}

/// From when on requests are looked at one by one.
fn recent(view: &View<'_>) -> jiff::Timestamp {
    view.now.checked_sub(jiff::SignedDuration::from_hours(26)).unwrap_or(view.now)
}

fn of_bins(bins: &[LatencyBin]) -> Spreads {
    let mut grouped: BTreeMap<(&str, Measure), Vec<(i16, u64)>> = BTreeMap::new();
    for bin in bins {
        grouped.entry((&bin.model, bin.measure)).or_default().push((bin.bucket, bin.requests));
    }
    let mut spreads = Spreads::new();
    for ((model, measure), bins) in grouped {
        let count: u64 = bins.iter().map(|(_, requests)| requests).sum();
        let at = |share| in_unit(measure, quantile(&bins, count, share));
        let spread = spread(count, at);
        spreads.entry(model.to_owned()).or_default().insert(measure, spread);
    }
    spreads
}

/// The value below which a share of all values lies; within a bin they are taken to be spread evenly.
fn quantile(bins: &[(i16, u64)], count: u64, share: f64) -> f64 {
    let wanted = share * figure::ratio(count, 1);
    let mut below = 0.0;
    for (bucket, requests) in bins {
        let here = figure::ratio(*requests, 1);
        if below + here >= wanted {
            let within = if here > 0.0 { (wanted - below) / here } else { 0.0 };
            return 2_f64.powf((f64::from(*bucket) + within) / 4.0);
        }
        below += here;
    }
    bins.last().map_or(0.0, |(bucket, _)| 2_f64.powf((f64::from(*bucket) + 1.0) / 4.0))
}

fn of_samples(samples: &[LatencySample]) -> Spreads {
    let mut grouped: BTreeMap<(&str, Measure), Vec<u64>> = BTreeMap::new();
    for sample in samples {
        let mut add = |measure, value| {
            grouped.entry((sample.model.as_str(), measure)).or_default().push(value);
        };
        add(Measure::Duration, sample.duration_us);
        if let Some(first) = sample.first_byte_us {
            add(Measure::FirstByte, first);
        }
        let tokens = sample.completion_tokens.saturating_mul(1_000_000_000);
        if sample.completion_tokens > 0
            && let Some(rate) = tokens.checked_div(sample.duration_us)
        {
            add(Measure::Throughput, rate);
        }
    }
    let mut spreads = Spreads::new();
    for ((model, measure), mut values) in grouped {
        values.sort_unstable();
        let at = |share: f64| in_unit(measure, figure::ratio(nearest(&values, share), 1));
        let spread = spread(values.len() as u64, at);
        spreads.entry(model.to_owned()).or_default().insert(measure, spread);
    }
    spreads
}

/// The value at a share of the way through.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "there are few values, and the share is one"
)]
fn nearest(sorted: &[u64], share: f64) -> u64 {
    let last = sorted.len().saturating_sub(1);
    let index = (share * last as f64).round() as usize;
    sorted.get(index.min(last)).copied().unwrap_or(0)
}

fn spread(count: u64, at: impl Fn(f64) -> f64) -> Spread {
    Spread { p5: at(0.05), p25: at(0.25), p50: at(0.5), p75: at(0.75), p95: at(0.95), count }
}

/// Seconds, or tokens per second.
fn in_unit(measure: Measure, value: f64) -> f64 {
    match measure {
        Measure::Duration | Measure::FirstByte => value / 1e6,
        Measure::Throughput => value / 1e3,
    }
}

fn draw(order: &[&str], spreads: &Spreads, measure: Measure) -> Markup {
    let rows: Vec<_> = order
        .iter()
        .filter_map(|model| Some((*model, *spreads.get(*model)?.get(&measure)?)))
        .take(MOST_DRAWN)
        .collect();
    let (id, title, what) = names(measure);
    Boxes { id, title, what, rows: &rows, write: writer(measure) }.draw()
}

const fn names(measure: Measure) -> (&'static str, &'static str, &'static str) {
    match measure {
        Measure::Duration => ("duration", "Time to the end of the answer", "answers"),
        Measure::FirstByte => ("first-byte", "Time to the first byte of the answer", "answers"),
        Measure::Throughput => {
            ("throughput", "Tokens written per second of the request", "answers with tokens")
        }
    }
}

fn writer(measure: Measure) -> fn(f64) -> String {
    match measure {
        Measure::Duration | Measure::FirstByte => |seconds| figure::duration(micros(seconds)),
        Measure::Throughput => |rate| {
            if rate >= 10.0 { format!("{rate:.0}/s") } else { format!("{rate:.2}/s") }
        },
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
fn micros(seconds: f64) -> u64 {
    (seconds * 1e6).round() as u64
}

const SHOWN: [&str; 5] = ["p5", "p25", "median", "p75", "p95"];

const fn values(spread: &Spread) -> [f64; 5] {
    [spread.p5, spread.p25, spread.p50, spread.p75, spread.p95]
}

fn numbers(order: &[&str], spreads: &Spreads) -> Markup {
    html! {
        section {
            h2 #numbers { "In numbers" }
            @if spreads.is_empty() {
                p.empty { "No answers in this range." }
            } @else {
                div.scroll tabindex="0" role="region" aria-labelledby="numbers" {
                    table {
                        thead { tr {
                            th scope="col" { "Model" }
                            th scope="col" { "Measure" }
                            th.number scope="col" { "Requests" }
                            @for shown in SHOWN { th.number scope="col" { (shown) } }
                        } }
                        tbody {
                            @for model in order {
                                @for (measure, spread) in spreads.get(*model).into_iter().flatten() {
                                    tr {
                                        th scope="row" { (model) }
                                        td { (names(*measure).1) }
                                        td.number { (figure::whole(spread.count)) }
                                        @for value in values(spread) {
                                            td.number { (writer(*measure)(value)) }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn spread_json(spread: &Spread) -> serde_json::Value {
    json!({
        "requests": spread.count,
        "p5": spread.p5,
        "p25": spread.p25,
        "median": spread.p50,
        "p75": spread.p75,
        "p95": spread.p95,
    })
}

fn table(order: &[&str], spreads: &Spreads) -> Table {
    let mut table =
        Table::new(&["model", "measure", "requests", "p5", "p25", "median", "p75", "p95"]);
    for model in order {
        for (measure, spread) in spreads.get(*model).into_iter().flatten() {
            let name = match measure {
                Measure::Duration => "duration_seconds",
                Measure::FirstByte => "first_byte_seconds",
                Measure::Throughput => "tokens_per_second",
            };
            let mut row = vec![(*model).to_owned(), name.to_owned(), spread.count.to_string()];
            row.extend(values(spread).map(|value| format!("{value:.6}")));
            table.rows.push(row);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_and_single_requests_tell_nearly_the_same() {
        let values: Vec<u64> = (1..=1000).map(|n| n * 1000).collect();
        let mut bins: BTreeMap<i16, u64> = BTreeMap::new();
        for value in &values {
            #[allow(clippy::cast_possible_truncation, reason = "small")]
            let bucket = (4.0 * figure::ratio(*value, 1).log2()).floor() as i16;
            *bins.entry(bucket).or_default() += 1;
        }
        let bins: Vec<_> = bins.into_iter().collect();
        for share in [0.05, 0.25, 0.5, 0.75, 0.95] {
            let exact = figure::ratio(nearest(&values, share), 1);
            let told = quantile(&bins, 1000, share);
            assert!((told / exact - 1.0).abs() < 0.1, "{share}: {told} {exact}");
        }
    }

    #[test]
    fn nothing_is_no_spread_and_one_value_is_all_of_it() {
        assert!(of_samples(&[]).is_empty() && of_bins(&[]).is_empty());
        let sample = LatencySample {
            model: "m".into(),
            duration_us: 0,
            first_byte_us: None,
            completion_tokens: 7,
        };
        let spreads = of_samples(&[sample]);
        assert_eq!(spreads["m"].len(), 1, "no rate in no time");
        assert_eq!(spreads["m"][&Measure::Duration].count, 1);
    }
}
