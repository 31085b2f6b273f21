//! Durations (`250ms`, `10s`, `5m`, `2h`) as people write them, for serde's `with`.

/// Serialises a [`std::time::Duration`] as text such as `10s`.
pub mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Writes the duration in its shortest exact form.
    ///
    /// # Errors
    /// As the serializer's own.
    pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*value))
    }

    /// Reads `250ms`, `10s`, `5m`, `2h` and sums of them.
    ///
    /// # Errors
    /// When the text is not such a duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map_err(|_| {
            D::Error::custom(format!(
                "`{text}` is not a duration; write a number with its unit, such as 250ms, 10s, 5m or 2h"
            ))
        })
    }
}
