//! Values of answers that need not be there, or have more than one form.

use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;

/// A value that may be null; with serde's `default`, it may be missing, too.
pub(super) fn or_empty<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Seconds, which Python may write with a fraction, or as text. Null reads as 0.
pub(super) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let text = match &value {
        Value::Null => return Ok(0),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        _ => return Err(D::Error::custom("seconds that are no number")),
    };
    if let Ok(whole) = text.parse() {
        return Ok(whole);
    }
    let seconds: f64 = text.parse().map_err(|_| D::Error::custom("seconds that are no number"))?;
    // Beyond the range it saturates, and what is no number is 0: long ago.
    #[allow(clippy::cast_possible_truncation, reason = "the fraction does not matter")]
    Ok(seconds.floor() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_read_in_each_form() {
        for (text, expected) in [
            ("1700000000", Some(1_700_000_000)),
            ("1700000000.73", Some(1_700_000_000)),
            ("1.7e9", Some(1_700_000_000)),
            ("\"1700000000\"", Some(1_700_000_000)),
            ("-1", Some(-1)),
            ("null", Some(0)),
            ("1e300", Some(i64::MAX)),
            ("\"NaN\"", Some(0)),
            ("\"soon\"", None),
            ("true", None),
            ("[1]", None),
        ] {
            let read = seconds(&mut serde_json::Deserializer::from_str(text)).ok();
            assert_eq!(read, expected, "{text}");
        }
    }
}
