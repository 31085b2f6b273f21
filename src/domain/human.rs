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

/// Serialises an age that need not be there as text such as `90d`.
pub mod age {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    const DAY: u64 = 24 * 3600;

    /// Writes the age in days, where it is a number of days.
    ///
    /// # Errors
    /// As the serializer's own.
    #[allow(clippy::ref_option, reason = "serde's `with` asks for a reference")]
    pub fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            None => serializer.serialize_none(),
            Some(age) if age.as_secs() % DAY == 0 => {
                serializer.collect_str(&format_args!("{}d", age.as_secs() / DAY))
            }
            Some(age) => serializer.collect_str(&humantime::format_duration(*age)),
        }
    }

    /// Reads `90d`, `2y` and sums of them.
    ///
    /// # Errors
    /// When the text is not such an age.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        humantime::parse_duration(&text).map(Some).map_err(|_| {
            D::Error::custom(format!("`{text}` is not an age; write a number of days, such as 90d"))
        })
    }
}
