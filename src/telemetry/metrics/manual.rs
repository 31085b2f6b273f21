//! `figw-metrics(7)`, the manual page of all metrics.

use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use super::{
    metric::{Metric, Presence},
    table::ALL,
};

/// The page in the form that `man` reads.
#[must_use]
pub fn manual() -> String {
    let mut page = Roff::new();
    let version = concat!("figw ", env!("CARGO_PKG_VERSION"));
    page.control("TH", ["figw-metrics", "7", "", version, ""]);
    page.control("SH", ["NAME"]);
    page.text([roman("figw-metrics - what figw's /metrics tells Prometheus")]);
    page.control("SH", ["DESCRIPTION"]);
    paragraph(
        &mut page,
        "GET /metrics on the admin listener (server.admin_listen) answers in Prometheus' text format, \
         with server.admin_token as a bearer token where one is set. `figw generate prometheus` makes \
         the scrape configuration and alerts, `figw generate grafana` a dashboard. telemetry.metrics: \
         false turns metrics off.",
    );
    paragraph(
        &mut page,
        "Names that begin with gen_ai are those of OpenTelemetry's conventions for generative AI. What \
         callers make up never becomes a label: not a model's name, a path, a method or a user. Series \
         of an endpoint begin with its first request, and go within half a minute of its leaving the \
         catalogue; when it comes back, they begin anew at 0. All others that need no configuration \
         are there from the start, with 0. Figures are those of one process.",
    );
    page.control("SH", ["METRICS"]);
    for metric in ALL {
        page.control("TP", []);
        page.text(heading(metric));
        page.text(body(metric));
    }
    page.control("SH", ["SEE ALSO"]);
    page.text([
        bold("figw-generate-prometheus"),
        roman("(1), "),
        bold("figw-config"),
        roman("(5)"),
    ]);
    page.render()
}

fn paragraph(page: &mut Roff, text: &str) {
    page.control("PP", []);
    page.text([roman(text)]);
}

fn heading(metric: &Metric) -> Vec<Inline> {
    let unit = if metric.unit.is_empty() { String::new() } else { format!(" ({})", metric.unit) };
    vec![bold(metric.name), roman(format!(", {}{unit}", metric.word()))]
}

fn body(metric: &Metric) -> Vec<Inline> {
    let mut text = vec![roman(metric.help)];
    for label in metric.labels {
        text.extend([roman(" "), italic(label.name), roman(format!(": {}.", label.described()))]);
    }
    match metric.presence {
        Presence::Always => {}
        Presence::Happened => text.push(roman(" There once it has happened.")),
        Presence::With(what) => text.push(roman(format!(" Only with {what}."))),
    }
    text
}
