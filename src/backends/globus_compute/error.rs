//! What can go wrong between a task and its result.

use std::time::Duration;

use http::StatusCode;

use crate::globus::GlobusError;

/// Longest name of an exception's class that is believed to be one.
const LONGEST_CLASS: usize = 80;

/// What a traceback of Python begins with.
const TRACEBACK: &str = "Traceback (most recent call last):";

/// Why a task has no result. Written as text, it holds nothing of what a function says: that may
/// quote the prompt, and errors go into the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComputeError {
    /// The endpoint is not online.
    #[error("the compute endpoint is offline")]
    Offline,
    /// The endpoint was asked to start nodes a moment ago and has none yet.
    #[error("the compute endpoint is still starting its nodes")]
    Starting,
    /// The arguments are too long for the service.
    #[error("the request is too large for Globus Compute")]
    TooLarge,
    /// Too many tasks wait to be submitted.
    #[error("too many tasks wait to be submitted")]
    Full,
    /// The service cannot be reached, or fails.
    #[error("{reason}")]
    Unavailable {
        /// What was seen.
        reason: String,
        /// When to try again.
        retry_after: Option<Duration>,
    },
    /// The service refused; an operator has to look at it.
    #[error("{0}")]
    Refused(String),
    /// The function failed on the cluster; the text of its exception.
    #[error("the function failed ({})", outline(.0))]
    Failed(String),
    /// The result cannot be read.
    #[error("the result cannot be read: {0}")]
    Unreadable(String),
}

/// What may be said of a function's failure: the exception's class and how long its text is.
fn outline(text: &str) -> String {
    match class(text) {
        Some(class) => format!("{class}, {} bytes of text", text.len()),
        None => format!("{} bytes of text", text.len()),
    }
}

/// The exception's class, where one is named before what it says.
fn class(text: &str) -> Option<&str> {
    let text = text.trim_start();
    let line = match text.strip_prefix(TRACEBACK) {
        // Where it was is indented.
        Some(calls) => calls.lines().find(|line| line.starts_with(char::is_alphabetic))?,
        None => text,
    };
    let (name, _) = line.split_once([':', '\n'])?;
    let is_identifier = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    (name.len() <= LONGEST_CLASS && name.split('.').all(is_identifier)).then_some(name)
}

impl ComputeError {
    pub(super) fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable { reason: reason.into(), retry_after: None }
    }

    pub(super) fn stopping() -> Self {
        Self::unavailable("the gateway is stopping")
    }
}

impl From<GlobusError> for ComputeError {
    fn from(error: GlobusError) -> Self {
        match &error {
            GlobusError::Refused { status: StatusCode::PAYLOAD_TOO_LARGE, .. } => Self::TooLarge,
            GlobusError::Refused { code: Some(code), .. } if code == "TASK_PAYLOAD_TOO_LARGE" => {
                Self::TooLarge
            }
            GlobusError::Refused { .. } => Self::Refused(error.to_string()),
            _ => Self::Unavailable { reason: error.to_string(), retry_after: error.retry_after() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_function_s_failure_only_its_class_is_written() {
        for (text, class) in [
            ("KeyError: no port in {'messages': 'secret'}", Some("KeyError")),
            ("requests.exceptions.Timeout: secret", Some("requests.exceptions.Timeout")),
            (
                "Traceback (most recent call last):\n  File \"f.py\"\n    secret\nOSError: secret\n",
                Some("OSError"),
            ),
            ("API request failed with status code: 400\nResponse text: secret", None),
            ("say secret", None),
            ("secret", None),
            ("{\"secret\": 1}", None),
            ("", None),
        ] {
            let written = ComputeError::Failed(text.to_owned()).to_string();
            let class = class.map_or_else(String::new, |class| format!("{class}, "));
            assert_eq!(
                written,
                format!("the function failed ({class}{} bytes of text)", text.len())
            );
        }
    }
}
