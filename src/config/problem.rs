//! What can be wrong with a configuration, and where.

use std::{fmt, path::PathBuf};

use super::secret::Secret;
use crate::domain::SecretSource;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The configuration file.
    File {
        /// Its path as it was given.
        path: PathBuf,
        /// Line, from 1.
        line: Option<usize>,
    },
    /// An environment variable.
    Variable(String),
    /// No place that can be named: built-in values.
    BuiltIn,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::BuiltIn => f.write_str("configuration"),
        }
    }
}

/// One thing that is wrong. Never repeats a value that could be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file and line, or the variable.
    pub origin: Origin,
    /// The full path of the key, such as `server.listen`; empty when it is not about one key.
    pub key: String,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong with a configuration; one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    pub(super) fn one(origin: Origin, message: impl Into<String>) -> Self {
        Self { problems: vec![Problem { origin, key: String::new(), message: message.into() }] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// What is wrong with values that have the right shape: key and message.
#[derive(Debug, Default)]
pub(super) struct Complaints(pub(super) Vec<(String, String)>);

impl Complaints {
    pub(super) fn add(&mut self, key: &str, message: impl Into<String>) {
        self.0.push((key.to_owned(), message.into()));
    }

    /// A URL that is written out can be checked here; a reference only when it is read.
    pub(super) fn add_unless_url(&mut self, url: &Secret, schemes: &[&str]) {
        if let SecretSource::Plain(text) = url.source()
            && let Some(message) = url_complaint(text, schemes)
        {
            self.add(url.key(), message);
        }
    }
}

/// What is wrong with the URL, without repeating it.
fn url_complaint(text: &str, schemes: &[&str]) -> Option<String> {
    let Some(scheme) = schemes.iter().find(|scheme| text.starts_with(**scheme)) else {
        return Some(format!("must start with {}", schemes.join(" or ")));
    };
    if text.len() == scheme.len() {
        return Some(format!("holds nothing after {scheme}"));
    }
    (scheme.ends_with("//") && one_per_host(text).iter().any(|url| url::Url::parse(url).is_err()))
        .then(|| "is not a valid URL; percent-encode special characters in the password".to_owned())
}

/// A PostgreSQL URL may name several hosts (`a:5432,b:5432`), which others may not: one URL for
/// each.
pub(crate) fn one_per_host(text: &str) -> Vec<String> {
    if !text.starts_with("postgres") {
        return vec![text.to_owned()];
    }
    let hosts = host_list(text);
    let (before, after) = (&text[..hosts.start], &text[hosts.end..]);
    text[hosts].split(',').map(|host| format!("{before}{host}{after}")).collect()
}

fn host_list(text: &str) -> std::ops::Range<usize> {
    let start = text.rfind('@').or_else(|| Some(text.find("//")? + 1)).map_or(0, |at| at + 1);
    let length = text[start..].find(['/', '?']).unwrap_or(text.len() - start);
    start..start + length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_hosts_are_postgresql_s_alone() {
        let schemes = ["postgres://", "redis://"];
        for fine in
            ["postgres://u:p,w@a:1,b:2/db?x=1,2", "postgres://a,b", "postgres://[::1]:5,b/d"]
        {
            assert_eq!(url_complaint(fine, &schemes), None, "{fine}");
        }
        for wrong in ["postgres://u@a:1,b:x/db", "redis://a:1,b:2", "postgres://u@a,/db"] {
            assert!(url_complaint(wrong, &schemes).is_some(), "{wrong}");
        }
    }
}
