//! The recorder: every series of every metric in the table.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::{Display, Write},
    sync::{Arc, LazyLock, atomic::Ordering::Relaxed},
};

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, SharedString, Unit, atomics::AtomicU64,
};
use metrics_util::registry::{Registry, Storage};

use super::{
    histogram::Buckets,
    metric::{Kind, Metric},
    table::ALL,
};

static BY_NAME: LazyLock<HashMap<&'static str, &'static Metric>> =
    LazyLock::new(|| ALL.iter().map(|metric| (metric.name, metric)).collect());

/// How series are kept.
#[derive(Debug)]
pub(super) struct Atomics;

impl Storage<Key> for Atomics {
    type Counter = Arc<AtomicU64>;
    type Gauge = Arc<AtomicU64>;
    type Histogram = Arc<Buckets>;

    fn counter(&self, _: &Key) -> Self::Counter {
        Arc::default()
    }

    fn gauge(&self, _: &Key) -> Self::Gauge {
        Arc::default()
    }

    fn histogram(&self, key: &Key) -> Self::Histogram {
        let bounds = match BY_NAME.get(key.name()).map(|metric| metric.kind) {
            Some(Kind::Histogram(bounds)) => bounds,
            _ => &[],
        };
        Arc::new(Buckets::new(bounds))
    }
}

/// Takes what the `metrics` crate's macros record.
#[derive(Debug)]
pub(super) struct Recorder {
    registry: Registry<Key, Atomics>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self { registry: Registry::new(Atomics) }
    }
}

impl Recorder {
    /// Forgets series that `keep` does not want.
    pub(super) fn retain(&self, keep: impl Fn(&Key) -> bool) {
        self.registry.retain_counters(|key, _| keep(key));
        self.registry.retain_gauges(|key, _| keep(key));
        self.registry.retain_histograms(|key, _| keep(key));
    }

    /// Everything in Prometheus' text format, in the table's order, with the `process` figures.
    pub(super) fn render(&self, process: &[(&'static str, f64)]) -> String {
        let mut series: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut add = |key: &Key, lines: String| {
            series.entry(key.name().to_owned()).or_default().push(lines);
        };
        self.registry.visit_counters(|key, counter| add(key, line(key, counter.load(Relaxed))));
        self.registry.visit_gauges(|key, gauge| {
            add(key, line(key, f64::from_bits(gauge.load(Relaxed))));
        });
        self.registry.visit_histograms(|key, buckets| add(key, histogram(key, buckets)));
        for (name, value) in process {
            series.entry((*name).to_owned()).or_default().push(format!("{name} {value}\n"));
        }
        let mut text = String::with_capacity(64 * 1024);
        for metric in ALL {
            let Some(mut lines) = series.remove(metric.name) else { continue };
            // Registries have no order; people who compare do.
            lines.sort_unstable();
            let (name, word) = (metric.name, metric.word());
            let _ = writeln!(text, "# HELP {name} {}", escaped(metric.help));
            let _ = writeln!(text, "# TYPE {name} {word}");
            text.extend(lines);
        }
        text
    }
}

/// Whether the table has it; in tests it must.
fn is_known(key: &Key, is_kind: impl Fn(Kind) -> bool) -> bool {
    let known = BY_NAME.get(key.name()).is_some_and(|metric| {
        is_kind(metric.kind)
            && key.labels().len() == metric.labels.len()
            && key.labels().zip(metric.labels).all(|(found, label)| found.key() == label.name)
    });
    debug_assert!(known, "not in the table of metrics: {key}");
    known
}

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        if !is_known(key, |kind| kind == Kind::Counter) {
            return Counter::noop();
        }
        self.registry.get_or_create_counter(key, |counter| Counter::from_arc(Arc::clone(counter)))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        if !is_known(key, |kind| kind == Kind::Gauge) {
            return Gauge::noop();
        }
        self.registry.get_or_create_gauge(key, |gauge| Gauge::from_arc(Arc::clone(gauge)))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        if !is_known(key, |kind| matches!(kind, Kind::Histogram(_))) {
            return Histogram::noop();
        }
        let handle = |buckets: &Arc<Buckets>| Histogram::from_arc(Arc::clone(buckets));
        self.registry.get_or_create_histogram(key, handle)
    }
}

fn line(key: &Key, value: impl Display) -> String {
    format!("{}{} {value}\n", key.name(), labels(key, None))
}

fn histogram(key: &Key, buckets: &Buckets) -> String {
    let (name, counted) = (key.name(), buckets.counted());
    let mut text = String::new();
    for (bound, count) in counted.up_to {
        let labels = labels(key, Some(&bound.to_string()));
        let _ = writeln!(text, "{name}_bucket{labels} {count}");
    }
    let (count, plain) = (counted.count, labels(key, None));
    let _ = writeln!(text, "{name}_bucket{} {count}", labels(key, Some("+Inf")));
    let _ = writeln!(text, "{name}_sum{plain} {}", counted.sum);
    let _ = writeln!(text, "{name}_count{plain} {count}");
    text
}

/// The labels in braces; nothing when there are none.
fn labels(key: &Key, bound: Option<&str>) -> String {
    let own = key.labels().map(|label| (label.key(), label.value()));
    let pairs = own.chain(bound.map(|bound| ("le", bound)));
    let pairs: Vec<_> =
        pairs.map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    static METADATA: Metadata<'static> =
        Metadata::new("figw", metrics::Level::INFO, Some(module_path!()));

    fn key(name: &'static str, labels: &[(&'static str, &'static str)]) -> Key {
        Key::from_parts(name, labels)
    }

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let recorder = Recorder::default();
        let rows = key("figw_rows_written_total", &[("kind", "usage")]);
        metrics::Recorder::register_counter(&recorder, &rows, &METADATA).increment(3);
        let open = key("figw_breaker_open", &[("endpoint", "a\"b\\c\nd")]);
        metrics::Recorder::register_gauge(&recorder, &open, &METADATA).set(0.5);
        let text = recorder.render(&[("process_threads", 7.0)]);
        assert!(text.contains("# TYPE figw_rows_written_total counter\n"), "{text}");
        assert!(text.contains("figw_rows_written_total{kind=\"usage\"} 3\n"), "{text}");
        assert!(text.contains(r#"figw_breaker_open{endpoint="a\"b\\c\nd"} 0.5"#), "{text}");
        assert!(text.ends_with("process_threads 7\n"), "{text}");
    }

    #[test]
    fn what_is_forgotten_is_made_anew_when_it_comes_back() {
        let recorder = Recorder::default();
        let name = "figw_retries_total";
        let count = |endpoint| {
            let key = key(name, &[("endpoint", endpoint)]);
            metrics::Recorder::register_counter(&recorder, &key, &METADATA).increment(1);
        };
        count("gone");
        count("stays");
        recorder.retain(|key| key.labels().all(|label| label.value() == "stays"));
        let text = recorder.render(&[]);
        assert!(!text.contains("gone") && text.contains("stays"), "{text}");
        count("gone");
        assert!(recorder.render(&[]).contains("{endpoint=\"gone\"} 1"));
    }
}
