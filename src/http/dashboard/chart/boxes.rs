//! Box figures: where the middle half of the values lies, and all but the outermost twentieths.

use maud::{Markup, html};

const WIDTH: f64 = 960.0;
const LEFT: f64 = 12.0;
const RIGHT: f64 = 24.0;
const ROW: f64 = 46.0;
const AXIS: f64 = 30.0;

/// How a value is spread.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) struct Spread {
    pub(in super::super) p5: f64,
    pub(in super::super) p25: f64,
    pub(in super::super) p50: f64,
    pub(in super::super) p75: f64,
    pub(in super::super) p95: f64,
    /// How many values there are.
    pub(in super::super) count: u64,
}

/// A figure with one box for each name, on a logarithmic axis.
pub(in super::super) struct Boxes<'a> {
    /// Unique on the page.
    pub(in super::super) id: &'a str,
    pub(in super::super) title: &'a str,
    /// What the values are, in the plural.
    pub(in super::super) what: &'a str,
    pub(in super::super) rows: &'a [(&'a str, Spread)],
    /// How a value is written.
    pub(in super::super) write: fn(f64) -> String,
}

impl Boxes<'_> {
    /// The figure.
    pub(in super::super) fn draw(&self) -> Markup {
        let ends = self.decades();
        html! {
            figure.chart {
                figcaption #{ (self.id) "-title" } { (self.title) }
                @match ends {
                    None => p.empty { "No " (self.what) " in this range." },
                    Some((low, high)) => div.plot { (self.picture(low, high)) },
                }
            }
        }
    }

    /// The powers of ten between which everything lies.
    fn decades(&self) -> Option<(i32, i32)> {
        let values = || self.rows.iter().flat_map(|(_, s)| [s.p5, s.p95]).filter(|v| *v > 0.0);
        let low = values().fold(f64::INFINITY, f64::min);
        let high = values().fold(0.0, f64::max);
        if !low.is_finite() || high <= 0.0 {
            return None;
        }
        #[allow(clippy::cast_possible_truncation, reason = "values have few digits")]
        let (low, high) = (low.log10().floor() as i32, high.log10().ceil() as i32);
        Some((low, high.max(low + 1)))
    }

    fn picture(&self, low: i32, high: i32) -> Markup {
        #[allow(clippy::cast_precision_loss, reason = "there are few rows")]
        let height = ROW * self.rows.len() as f64 + AXIS;
        let span = f64::from(high - low);
        let x = |value: f64| {
            let part = (value.max(1e-9).log10() - f64::from(low)) / span;
            round(LEFT + (WIDTH - LEFT - RIGHT) * part.clamp(0.0, 1.0))
        };
        html! {
            svg.boxes viewBox={ "0 0 " (WIDTH) " " (height) } role="img"
                aria-labelledby={ (self.id) "-title " (self.id) "-text" } {
                desc #{ (self.id) "-text" } { "The table below says the same in numbers." }
                @for power in low..=high {
                    @let at = x(10_f64.powi(power));
                    line.grid x1=(at) x2=(at) y1="0" y2=(height - AXIS) {}
                    text.axis x=(at) y=(height - 8.0) text-anchor=(anchor(power, low, high)) {
                        ((self.write)(10_f64.powi(power)))
                    }
                }
                @for (index, (name, spread)) in self.rows.iter().enumerate() {
                    (self.row(index, name, spread, x))
                }
            }
        }
    }

    fn row(&self, index: usize, name: &str, spread: &Spread, x: impl Fn(f64) -> f64) -> Markup {
        #[allow(clippy::cast_precision_loss, reason = "there are few rows")]
        let top = ROW * index as f64;
        let middle = top + 30.0;
        let (left, right) = (x(spread.p25), x(spread.p75));
        html! {
            g.box {
                title { (name) ": " (self.words(spread)) }
                text.name x=(LEFT) y=(top + 15.0) { (name) }
                line.whisker x1=(x(spread.p5)) x2=(x(spread.p95)) y1=(middle) y2=(middle) {}
                @for end in [spread.p5, spread.p95] {
                    line.whisker x1=(x(end)) x2=(x(end)) y1=(middle - 5.0) y2=(middle + 5.0) {}
                }
                rect.middle x=(left) y=(middle - 8.0) width=(round((right - left).max(2.0)))
                    height="16" rx="2" {}
                line.median x1=(x(spread.p50)) x2=(x(spread.p50)) y1=(middle - 8.0) y2=(middle + 8.0) {}
            }
        }
    }

    fn words(&self, spread: &Spread) -> String {
        let write = self.write;
        format!(
            "median {}, half from {} to {}, nine of ten from {} to {}",
            write(spread.p50),
            write(spread.p25),
            write(spread.p75),
            write(spread.p5),
            write(spread.p95)
        )
    }
}

const fn anchor(power: i32, low: i32, high: i32) -> &'static str {
    if power == low {
        "start"
    } else if power == high {
        "end"
    } else {
        "middle"
    }
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
