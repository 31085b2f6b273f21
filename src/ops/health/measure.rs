//! Numbers for monitoring systems, as plugins print them.

use std::{
    borrow::Cow,
    fmt::{self, Write},
};

use serde::Serialize;

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Unit {
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
    /// Bytes.
    #[serde(rename = "B")]
    Bytes,
    /// Things.
    #[serde(rename = "")]
    Count,
}

impl Unit {
    const fn symbol(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Bytes => "B",
            Self::Count => "",
        }
    }
}

/// On which side of a threshold it is time to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Alarm {
    /// Too much.
    Above,
    /// Too little.
    Below,
}

/// A number that a monitoring system may draw.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measure {
    /// Its name.
    pub name: Cow<'static, str>,
    /// How much it is.
    pub value: f64,
    /// Of what.
    pub unit: Unit,
    /// From where on it is a warning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<f64>,
    /// From where on it is critical.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub critical: Option<f64>,
    /// On which side of these.
    pub alarm: Alarm,
}

impl Measure {
    /// A number without thresholds.
    pub(super) fn new(name: impl Into<Cow<'static, str>>, value: f64, unit: Unit) -> Self {
        let (warning, critical) = (None, None);
        Self { name: name.into(), value, unit, warning, critical, alarm: Alarm::Above }
    }

    /// So many seconds.
    pub(super) fn seconds(name: impl Into<Cow<'static, str>>, value: f64) -> Self {
        Self::new(name, value, Unit::Seconds)
    }

    /// Where it is too much.
    pub(super) fn above(self, warning: Option<f64>, critical: Option<f64>) -> Self {
        Self { warning, critical, alarm: Alarm::Above, ..self }
    }

    /// Where it is too little.
    pub(super) fn below(self, warning: f64, critical: f64) -> Self {
        let (warning, critical) = (Some(warning), Some(critical));
        Self { warning, critical, alarm: Alarm::Below, ..self }
    }
}

impl fmt::Display for Measure {
    /// `backup_age=123s;3600;7200`. A threshold for too little is written `10:`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}{}", self.name, number(self.value), self.unit.symbol())?;
        if self.warning.is_none() && self.critical.is_none() {
            return Ok(());
        }
        for at in [self.warning, self.critical] {
            f.write_char(';')?;
            if let Some(at) = at {
                f.write_str(&number(at))?;
                f.write_str(if self.alarm == Alarm::Below { ":" } else { "" })?;
            }
        }
        Ok(())
    }
}

fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_plugins_do() {
        let bare = Measure::seconds("time", 0.0123);
        assert_eq!(bare.to_string(), "time=0.012s");
        let age = Measure::seconds("age", 123.0).above(Some(3600.0), Some(7200.5));
        assert_eq!(age.to_string(), "age=123s;3600;7200.5");
        let one = Measure::seconds("age", 1.0).above(None, Some(2.0));
        assert_eq!(one.to_string(), "age=1s;;2");
        let free = Measure::new("free", 10.0, Unit::Bytes).below(100.0, 50.0);
        assert_eq!(free.to_string(), "free=10B;100:;50:");
        assert_eq!(Measure::new("n", 3.0, Unit::Count).to_string(), "n=3");
    }
}
