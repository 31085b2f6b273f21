//! The values of a query or a form.

use url::form_urlencoded;

/// Longest value that is looked at, in bytes.
const LONGEST: usize = 1024;

/// The most values that are looked at, and longest name of one in bytes: every link on a page
/// repeats them.
const MOST: usize = 32;
const LONGEST_NAME: usize = 32;

/// The values by their names; of several of one name, the last.
#[derive(Debug, Default)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads `a=b&c=d`. What no database takes, or nobody would write, is left out.
    pub(super) fn parse(text: &str) -> Self {
        let mut params: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            let value = value.trim();
            if name.len() > LONGEST_NAME || value.len() > LONGEST || value.contains('\0') {
                continue;
            }
            if let Some((_, known)) = params.iter_mut().find(|(known, _)| *known == name) {
                value.clone_into(known);
            } else if params.len() < MOST {
                params.push((name.into_owned(), value.to_owned()));
            }
        }
        Self(params)
    }

    /// A value that is not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The same as a text of its own.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(ToOwned::to_owned)
    }

    /// A query that keeps these values with `changes`; an empty value takes one out.
    pub(super) fn with(&self, changes: &[(&str, &str)]) -> String {
        let mut query = form_urlencoded::Serializer::for_suffix(String::from("?"), 1);
        let is_kept = |name: &str| changes.iter().all(|(changed, _)| *changed != name);
        for (name, value) in self.0.iter().filter(|(name, _)| is_kept(name)) {
            if !value.is_empty() {
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

    #[test]
    fn a_query_of_thousands_is_cut_to_what_a_page_could_mean() {
        let thousands: Vec<_> = (0..20_000).map(|i| format!("n{i}={i}")).collect();
        let params = Params::parse(&format!("range=1h&{}&range=1d", thousands.join("&")));
        assert_eq!(params.get("range"), Some("1d"));
        assert_eq!(params.get("n20"), Some("20"));
        assert_eq!(params.get("n19999"), None);
        assert!(params.with(&[]).len() < 500, "{}", params.with(&[]));
    }
}
