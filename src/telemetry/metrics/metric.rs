//! What there is to say of a metric.

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    /// Its name for Prometheus.
    pub name: &'static str,
    /// What kind it is.
    pub kind: Kind,
    /// What is counted or measured.
    pub unit: &'static str,
    /// Its labels, in this order.
    pub labels: &'static [Label],
    /// What it says, in sentences.
    pub help: &'static str,
    /// When there is any series of it.
    pub presence: Presence,
}

/// What kind of metric it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only grows, while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations in buckets with these upper bounds.
    Histogram(&'static [f64]),
    /// Read from the kernel when somebody asks.
    Process,
}

/// A label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    pub(super) values: Values,
}

/// Which values a label can have: never one that a caller makes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Values {
    /// These.
    Of(&'static [&'static str]),
    /// Names of something that is bounded, such as the catalogue's endpoints.
    Named(&'static str),
}

/// When there is any series of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// From the start on.
    Always,
    /// Once it has happened.
    Happened,
    /// While something is configured.
    With(&'static str),
}

impl Metric {
    const fn new(name: &'static str, kind: Kind, unit: &'static str, help: &'static str) -> Self {
        Self { name, kind, unit, labels: &[], help, presence: Presence::Always }
    }

    pub(super) const fn by(self, labels: &'static [Label]) -> Self {
        Self { labels, ..self }
    }

    pub(super) const fn when(self, presence: Presence) -> Self {
        Self { presence, ..self }
    }

    /// Prometheus' word for its kind.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self.kind {
            Kind::Counter => "counter",
            Kind::Process if self.name.ends_with("_total") => "counter",
            Kind::Gauge | Kind::Process => "gauge",
            Kind::Histogram(_) => "histogram",
        }
    }
}

impl Label {
    pub(super) const fn of(name: &'static str, values: &'static [&'static str]) -> Self {
        Self { name, values: Values::Of(values) }
    }

    pub(super) const fn named(name: &'static str, what: &'static str) -> Self {
        Self { name, values: Values::Named(what) }
    }

    /// Its values in words.
    #[must_use]
    pub fn described(&self) -> String {
        match self.values {
            Values::Of(values) => values.join(", "),
            Values::Named(what) => what.to_owned(),
        }
    }
}

pub(super) const fn counter(name: &'static str, unit: &'static str, help: &'static str) -> Metric {
    Metric::new(name, Kind::Counter, unit, help)
}

pub(super) const fn gauge(name: &'static str, unit: &'static str, help: &'static str) -> Metric {
    Metric::new(name, Kind::Gauge, unit, help)
}

pub(super) const fn histogram(
    name: &'static str,
    bounds: &'static [f64],
    unit: &'static str,
    help: &'static str,
) -> Metric {
    Metric::new(name, Kind::Histogram(bounds), unit, help)
}

pub(super) const fn process(name: &'static str, unit: &'static str, help: &'static str) -> Metric {
    Metric::new(name, Kind::Process, unit, help)
}
