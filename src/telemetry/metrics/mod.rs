//! Metrics: the one table of all there are, the recorder behind the `metrics` crate's macros, and
//! their exposition for Prometheus.
//!
//! What is not in the table is not recorded, so that the manual, which is made from it, lists all.

mod histogram;
mod manual;
mod metric;
mod process;
mod recorder;
mod table;

use std::{sync::OnceLock, time::Duration};

use anyhow::anyhow;
use metrics::{counter, gauge};

pub use self::{
    manual::manual,
    metric::{Kind, Label, Metric, Presence},
    table::ALL,
};
use self::{metric::Values, recorder::Recorder};

/// How often what is neither counted nor known from requests is looked at.
const LOOK: Duration = Duration::from_secs(15);

static RECORDER: OnceLock<Recorder> = OnceLock::new();

/// Renders the metrics of this process.
#[derive(Debug, Clone, Copy)]
pub struct Exposition(&'static Recorder);

/// Installs the process' recorder; metrics recorded before are lost. Series that need nothing but the
/// process are there from now on, with 0: an increase from nothing to 1 would be none for Prometheus.
///
/// # Errors
/// When one is installed already.
pub fn install() -> anyhow::Result<Exposition> {
    let recorder = RECORDER.get_or_init(Recorder::default);
    metrics::set_global_recorder(recorder).map_err(|_| anyhow!("metrics are set up already"))?;
    for metric in ALL.iter().filter(|metric| metric.presence == Presence::Always) {
        begin(metric);
    }
    gauge!(
        "figw_build_info",
        "version" => env!("CARGO_PKG_VERSION"),
        "architecture" => std::env::consts::ARCH,
        "profile" => if cfg!(debug_assertions) { "debug" } else { "release" },
    )
    .set(1.0);
    Ok(Exposition(recorder))
}

impl Exposition {
    /// All series in Prometheus' text format, version 0.0.4.
    #[must_use]
    pub fn render(self) -> String {
        self.0.render(&process::figures())
    }
}

/// Makes every series of a metric whose label values are all known beforehand.
fn begin(metric: &Metric) {
    for labels in combinations(metric.labels) {
        match metric.kind {
            Kind::Counter => counter!(metric.name, &labels).increment(0),
            Kind::Gauge => gauge!(metric.name, &labels).increment(0.0),
            Kind::Histogram(_) => drop(metrics::histogram!(metric.name, &labels)),
            Kind::Process => {}
        }
    }
}

/// Every combination of the labels' values; none where a value is only known later.
fn combinations(labels: &[Label]) -> Vec<Vec<(&'static str, &'static str)>> {
    let mut all = vec![Vec::new()];
    for label in labels {
        let Values::Of(values) = label.values else { return Vec::new() };
        let longer = |start: Vec<_>| {
            values.iter().map(move |value| {
                let mut start = start.clone();
                start.push((label.name, *value));
                start
            })
        };
        all = all.into_iter().flat_map(longer).collect();
    }
    all
}

/// Forgets series whose `label` has a value that `keep` does not know, once nobody counts with them
/// any more: handles that are still held count into nothing.
pub fn retain(label: &str, keep: impl Fn(&str) -> bool) {
    if let Some(recorder) = RECORDER.get() {
        recorder.retain(|key| {
            key.labels().filter(|l| l.key() == label).all(|found| keep(found.value()))
        });
    }
}

/// Looks every 15 seconds at the room that is left on the file system of `state_dir`.
pub async fn watch_disk(state_dir: std::path::PathBuf) {
    let mut ticks = tokio::time::interval(LOOK);
    loop {
        ticks.tick().await;
        let path = state_dir.clone();
        // A file system may hang; requests do not.
        let found = tokio::task::spawn_blocking(move || rustix::fs::statvfs(&path)).await;
        if let Ok(Ok(room)) = found {
            gauge!("figw_state_free_bytes").set(float(room.f_bavail.saturating_mul(room.f_frsize)));
            gauge!("figw_state_size_bytes").set(float(room.f_blocks.saturating_mul(room.f_frsize)));
        }
    }
}

/// A count as metrics have it.
#[allow(clippy::cast_precision_loss, reason = "a metric needs no more than 52 bits")]
#[must_use]
pub const fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_labels_follow_prometheus() {
        let mut names = BTreeSet::new();
        for metric in ALL {
            let name = metric.name;
            assert!(names.insert(name), "{name} is in the table twice");
            let is_fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(name.chars().all(is_fit), "{name}");
            assert!(metric.labels.iter().all(|label| label.name.chars().all(is_fit)), "{name}");
            assert_eq!(
                name.ends_with("_total"),
                metric.kind == Kind::Counter || name == "process_cpu_seconds_total",
                "{name}"
            );
            assert!(metric.help.ends_with('.') && !metric.help.contains('\n'), "{name}");
            for unit in ["seconds", "bytes"] {
                assert_eq!(name.contains(unit), metric.unit == unit, "{name}");
            }
        }
    }

    #[test]
    fn series_whose_labels_are_known_are_known_beforehand() {
        let labels = [
            Label { name: "a", values: Values::Of(&["1", "2"]) },
            Label { name: "b", values: Values::Of(&["x"]) },
        ];
        assert_eq!(
            combinations(&labels),
            [vec![("a", "1"), ("b", "x")], vec![("a", "2"), ("b", "x")]]
        );
        let named = [Label { name: "a", values: Values::Named("endpoints") }];
        assert!(combinations(&named).is_empty());
        assert_eq!(combinations(&[]).len(), 1, "without labels there is one series");
    }
}
