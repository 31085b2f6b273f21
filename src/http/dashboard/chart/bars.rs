//! Bars over time, each of several parts on top of each other.

use jiff::Timestamp;
use maud::{Markup, html};

use super::{super::figure, scale};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 28.0;

/// Room that the longest label on the axis of time needs.
const LABEL: f64 = 90.0;

/// Labels on the axis of time.
const MOST_LABELS: usize = 8;

/// A chart with one bar for each step.
pub(in super::super) struct Bars<'a> {
    /// Unique on the page.
    pub(in super::super) id: &'a str,
    pub(in super::super) title: &'a str,
    /// What is counted, such as `requests`.
    pub(in super::super) unit: &'a str,
    /// The parts' names, from the bottom to the top; each has a colour of its own.
    pub(in super::super) parts: &'a [Part],
    /// Each step's beginning, and how much each part has in it.
    pub(in super::super) steps: &'a [(Timestamp, Vec<u64>)],
    /// The steps' length in seconds.
    pub(in super::super) step: i64,
}

/// A part of every bar.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Part {
    pub(in super::super) name: &'static str,
    /// The class that colours it.
    pub(in super::super) colour: &'static str,
}

impl Bars<'_> {
    /// The chart, with its legend and the same as a table.
    pub(in super::super) fn draw(&self) -> Markup {
        let total: u64 =
            self.steps.iter().map(|(_, parts)| sum(parts)).fold(0, u64::saturating_add);
        html! {
            figure.chart {
                figcaption #{ (self.id) "-title" } { (self.title) }
                @if total == 0 {
                    p.empty { "No " (self.unit) " in this range." }
                } @else {
                    (self.legend())
                    div.plot { (self.picture(total)) }
                    p.reading data-reading=(self.id) aria-hidden="true" {}
                    (self.table())
                }
            }
        }
    }

    fn legend(&self) -> Markup {
        html! {
            ul.legend {
                @for part in self.parts {
                    li {
                        svg.key viewBox="0 0 12 12" width="12" height="12" aria-hidden="true" {
                            rect class=(part.colour) width="12" height="12" rx="2" {}
                        }
                        (part.name)
                    }
                }
            }
        }
    }

    fn picture(&self, total: u64) -> Markup {
        let largest = self.steps.iter().map(|(_, parts)| sum(parts)).max().unwrap_or(0);
        let ends = scale::steps(largest);
        let top = ends.last().copied().unwrap_or(1);
        let y = |value: u64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - figure::ratio(value, top));
        let description = format!(
            "{} {} in {} steps of {}, at most {} in one.",
            figure::whole(total),
            self.unit,
            self.steps.len(),
            step_name(self.step),
            figure::whole(largest)
        );
        html! {
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" preserveAspectRatio="none"
                aria-labelledby={ (self.id) "-title " (self.id) "-text" } data-chart=(self.id) {
                desc #{ (self.id) "-text" } { (description) }
                @for end in &ends {
                    line.grid x1=(LEFT) x2=(WIDTH - RIGHT) y1=(round(y(*end))) y2=(round(y(*end))) {}
                    text.axis x=(LEFT - 8.0) y=(round(y(*end) + 4.0)) text-anchor="end" {
                        (figure::short(*end))
                    }
                }
                @for (index, (at, parts)) in self.steps.iter().enumerate() {
                    (self.bar(index, *at, parts, y))
                }
                (self.time_axis())
            }
        }
    }

    fn bar(&self, index: usize, at: Timestamp, parts: &[u64], y: impl Fn(u64) -> f64) -> Markup {
        let pitch = self.pitch();
        let gap = if pitch > 6.0 { 2.0 } else { pitch * 0.2 };
        let x = LEFT + pitch * place(index);
        let mut below = 0_u64;
        html! {
            g.bar data-label=(self.label(at, parts)) {
                @for (part, value) in self.parts.iter().zip(parts) {
                    @let bottom = y(below);
                    @let upper = y(below.saturating_add(*value));
                    @if *value > 0 {
                        rect class=(part.colour) x=(round(x + gap / 2.0)) y=(round(upper))
                            width=(round(pitch - gap)) height=(round((bottom - upper).max(0.5))) {}
                    }
                    @let () = below = below.saturating_add(*value);
                }
                rect.target x=(round(x)) y=(TOP) width=(round(pitch)) height=(HEIGHT - TOP - BOTTOM) {
                    title { (self.label(at, parts)) }
                }
            }
        }
    }

    fn label(&self, at: Timestamp, parts: &[u64]) -> String {
        let parts = self.parts.iter().zip(parts);
        let parts: Vec<_> = parts
            .map(|(part, value)| format!("{}: {}", part.name, figure::whole(*value)))
            .collect();
        format!("{} UTC — {}", figure::minute(at), parts.join(", "))
    }

    fn time_axis(&self) -> Markup {
        let every = self.steps.len().div_ceil(MOST_LABELS).max(1);
        let format = match self.step {
            ..3_600 => "%H:%M",
            3_600..86_400 if self.steps.len() < 30 => "%H:%M",
            3_600..86_400 => "%d %b %H:%M",
            _ => "%d %b %Y",
        };
        let base = HEIGHT - BOTTOM;
        html! {
            line.base x1=(LEFT) x2=(WIDTH - RIGHT) y1=(base) y2=(base) {}
            @for (index, (at, _)) in self.steps.iter().enumerate().step_by(every) {
                @let x = round(LEFT + self.pitch() * place(index));
                line.base x1=(x) x2=(x) y1=(base) y2=(base + 5.0) {}
                text.axis x=(x) y=(base + 20.0)
                    text-anchor=[(x > WIDTH - RIGHT - LABEL).then_some("end")] {
                    (at.strftime(format))
                }
            }
        }
    }

    fn pitch(&self) -> f64 {
        (WIDTH - LEFT - RIGHT) / place(self.steps.len().max(1))
    }

    fn table(&self) -> Markup {
        html! {
            details.numbers {
                summary { "The same in numbers" span.unseen { ": " (self.title) } }
                div.scroll tabindex="0" role="region" aria-label={ (self.title) " in numbers" } {
                    table {
                        thead { tr {
                            th scope="col" { "From (UTC)" }
                            @for part in self.parts { th.number scope="col" { (part.name) } }
                        } }
                        tbody {
                            @for (at, parts) in self.steps.iter().rev() {
                                tr {
                                    th scope="row" { (figure::minute(*at)) }
                                    @for value in parts { td.number { (figure::whole(*value)) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn sum(parts: &[u64]) -> u64 {
    parts.iter().copied().fold(0, u64::saturating_add)
}

#[allow(clippy::cast_precision_loss, reason = "there are few steps")]
fn place(index: usize) -> f64 {
    index as f64
}

/// To a hundredth of a pixel.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// A step's length in words.
pub(in super::super) fn step_name(seconds: i64) -> String {
    let (number, unit) = match seconds {
        604_800.. if seconds % 604_800 == 0 => (seconds / 604_800, "week"),
        86_400.. => (seconds / 86_400, "day"),
        3_600.. => (seconds / 3_600, "hour"),
        _ => (seconds / 60, "minute"),
    };
    if number == 1 { format!("1 {unit}") } else { format!("{number} {unit}s") }
}
