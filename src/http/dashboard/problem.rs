//! Why a page is not shown.

use std::time::Duration;

use http::StatusCode;

use crate::{auth::globus::Unavailable, gateway::Refusal, store::FiguresError};

/// Why a page is not shown.
#[derive(Debug)]
pub(super) enum Problem {
    /// Something that was asked for makes no sense.
    Invalid(String),
    /// There is no such page, or nothing that this caller may see.
    NotFound,
    /// A page for others.
    Forbidden,
    /// A form that this browser was not shown, or long ago.
    Form,
    /// Too many attempts.
    TooOften(Duration),
    /// The user's limit on requests.
    OverLimit(String, Duration),
    /// Too many pages are being made.
    Busy,
    /// The database would take too long.
    TooSlow,
    /// What a page needs is away.
    Unavailable(String, Duration),
    /// figw's own mistake.
    Internal,
}

impl Problem {
    /// A value that makes no sense.
    pub(super) fn invalid(name: &str, what: &str) -> Self {
        Self::Invalid(format!("{name}= {what}."))
    }

    /// As the status of an answer.
    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Forbidden | Self::Form => StatusCode::FORBIDDEN,
            Self::TooOften(_) | Self::OverLimit(..) => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy | Self::TooSlow | Self::Unavailable(..) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// A headline.
    pub(super) const fn title(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "This makes no sense",
            Self::NotFound => "There is nothing here",
            Self::Forbidden => "This page is for operators",
            Self::Form => "This form is too old",
            Self::TooOften(_) => "Too many attempts",
            Self::OverLimit(..) => "Too many requests",
            Self::Busy => "Too many pages at once",
            Self::TooSlow => "This takes too long",
            Self::Unavailable(..) => "Not available at present",
            Self::Internal => "figw made a mistake",
        }
    }

    /// What is wrong, and what to do.
    pub(super) fn message(&self) -> String {
        match self {
            Self::Invalid(message) => message.clone(),
            Self::NotFound => "There is no such page, or nothing that you may see.".to_owned(),
            Self::Forbidden => "Members of dashboard.admin_groups see it. You see your own usage \
                 on the other pages."
                .to_owned(),
            Self::Form => "It was not shown to this browser, or long ago. Load the page again and \
                 send the new form; cookies must be allowed."
                .to_owned(),
            Self::TooOften(wait) => format!(
                "Logging in failed too often from your network. Try again in {} s.",
                wait.as_secs() + 1
            ),
            Self::Busy => "Many people are looking at the dashboard. Try again in a moment.".into(),
            Self::TooSlow => "The database did not find it within a few seconds. Choose a shorter \
                 range of time, or other filters."
                .to_owned(),
            Self::OverLimit(what, _) | Self::Unavailable(what, _) => what.clone(),
            Self::Internal => "It has been logged under this answer's request id.".to_owned(),
        }
    }

    /// When trying again may help.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooOften(wait) | Self::OverLimit(_, wait) | Self::Unavailable(_, wait) => {
                Some(*wait)
            }
            Self::Busy => Some(Duration::from_secs(2)),
            _ => None,
        }
    }

    /// The same for programs.
    pub(super) fn refusal(&self) -> Refusal {
        let code = match self {
            Self::Invalid(_) => "invalid_value",
            Self::NotFound => "not_found",
            Self::Forbidden => "not_allowed",
            Self::Form => "invalid_form",
            Self::TooOften(_) => "too_many_attempts",
            Self::OverLimit(..) => "rate_limit_exceeded",
            Self::Busy => "busy",
            Self::TooSlow => "too_slow",
            Self::Unavailable(..) => "unavailable",
            Self::Internal => "internal_error",
        };
        match self.retry_after() {
            Some(after) if self.status() == StatusCode::SERVICE_UNAVAILABLE => {
                Refusal::unavailable(code, self.message(), after)
            }
            _ => Refusal::new(self.status(), code, self.message()),
        }
    }
}

impl From<FiguresError> for Problem {
    fn from(error: FiguresError) -> Self {
        match error {
            FiguresError::TooSlow => Self::TooSlow,
            FiguresError::Store(error) => {
                tracing::warn!(%error, "a page of the dashboard cannot be read");
                let message = "The database cannot be asked at present. Requests are served all \
                     the same; try again in a moment.";
                Self::Unavailable(message.to_owned(), Duration::from_secs(5))
            }
        }
    }
}

impl From<Unavailable> for Problem {
    fn from(unavailable: Unavailable) -> Self {
        let wait = unavailable.retry_after;
        Self::Unavailable(unavailable.to_string(), wait)
    }
}
