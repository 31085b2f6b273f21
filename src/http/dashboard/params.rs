//! The values of a query or a form.

use url::form_urlencoded;

/// Longest value that is looked at, in bytes.
const LONGEST: usize = 1024;

/// The values by their names; of several of one name, the last.
#[derive(Debug, Default)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads `a=b&c=d`. What no database takes, or nobody would write, is left out.
    pub(super) fn parse(text: &str) -> Self {
        let pairs = form_urlencoded::parse(text.as_bytes());
        let pairs = pairs.map(|(name, value)| (name.into_owned(), value.trim().to_owned()));
        Self(pairs.filter(|(_, value)| value.len() <= LONGEST && !value.contains('\0')).collect())
    }

    /// A value that is not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The same as a text of its own.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(ToOwned::to_owned)
    }

    /// A query that keeps these values with `changes`; an empty value takes one out.
    pub(super) fn with(&self, changes: &[(&str, &str)]) -> String {
        let mut query = form_urlencoded::Serializer::for_suffix(String::from("?"), 1);
        let mut seen: Vec<&str> = changes.iter().map(|(name, _)| *name).collect();
        for (name, _) in &self.0 {
            if seen.contains(&name.as_str()) {
                continue;
            }
            seen.push(name);
            if let Some(value) = self.get(name) {
                query.append_pair(name, value);
            }
        }
        for (name, value) in changes.iter().filter(|(_, value)| !value.is_empty()) {
            query.append_pair(name, value);
        }
        query.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_counts_and_none_can_break_out() {
        let params = Params::parse("a=1&b=%22%3E%3Cscript%3E&a=2&c=&d=%00");
        assert_eq!(params.get("a"), Some("2"));
        assert_eq!(params.get("c"), None);
        assert_eq!(params.get("d"), None);
        assert_eq!(params.with(&[("a", "")]), "?b=%22%3E%3Cscript%3E");
        assert_eq!(params.with(&[("b", "x y")]), "?a=2&b=x+y");
    }
}
