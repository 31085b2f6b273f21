//! The one list of keys that this version keeps and checks, but does not act on yet.

use super::Config;

/// A key or section (and all below it), and what will act on it.
const LATER: &[(&str, &str)] = &[];

/// What the key waits for, when exactly this key or section is in the list.
pub(super) fn waits_for(key: &str) -> Option<&'static str> {
    LATER.iter().find(|(later, _)| *later == key).map(|(_, feature)| *feature)
}

impl Config {
    /// Keys and sections that are set, but that this version does not act on yet.
    #[must_use]
    pub fn not_yet_in_effect(&self) -> Vec<&'static str> {
        let (Ok(set), Ok(default)) =
            (serde_json::to_value(self), serde_json::to_value(Self::default()))
        else {
            return Vec::new();
        };
        LATER
            .iter()
            .map(|(key, _)| *key)
            .filter(|key| {
                let pointer = format!("/{}", key.replace('.', "/"));
                set.pointer(&pointer) != default.pointer(&pointer)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_a_key_and_none_is_set_by_default() {
        let default = serde_json::to_value(Config::default()).unwrap();
        for (key, _) in LATER {
            assert!(default.pointer(&format!("/{}", key.replace('.', "/"))).is_some(), "{key}");
        }
        assert!(Config::default().not_yet_in_effect().is_empty());
    }

    #[test]
    fn what_is_set_is_listed() {
        let mut config = Config::default();
        config.logging.prompts = crate::config::Prompts::Full;
        assert_eq!(config.not_yet_in_effect(), ["logging.prompts"]);
    }
}
