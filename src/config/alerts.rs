//! `alerts` and `doctor`: who is told when something is not well, and what a person has to attest.

use std::{path::PathBuf, time::Duration};

use lettre::message::Mailbox;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    problem::Complaints,
    secret::{Secret, SecretUrl},
    units::{DurationForm, PositiveDurationForm},
};
use crate::domain::{SecretSource, human::duration};

/// Whom `figw health --notify` tells, and of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Alerts {
    /// An address that is sent a POST.
    pub webhook: Webhook,
    /// Mail.
    pub smtp: Smtp,
    /// The least that is told of. What gets better is told of, too, when it had been told of before.
    pub minimum: Severity,
    /// Time after which it is told once more that something is still not well; zero for never.
    #[serde(with = "duration")]
    #[schemars(with = "DurationForm")]
    pub reminder: Duration,
    /// A check that changes more often is told of only once in this time, so that one that goes to
    /// and fro does not flood anybody. What gets worse is told of at once all the same.
    #[serde(with = "duration")]
    #[schemars(with = "DurationForm")]
    pub settle: Duration,
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            webhook: Webhook::default(),
            smtp: Smtp::default(),
            minimum: Severity::default(),
            reminder: Duration::from_hours(4),
            settle: Duration::from_mins(15),
        }
    }
}

/// An address that is sent a POST.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Webhook {
    /// The address, which is a secret with most services.
    pub url: Option<Secret>,
    /// What it is sent.
    pub format: WebhookFormat,
}

/// What a webhook is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WebhookFormat {
    /// a message of Slack's, which Mattermost and others take, too
    #[default]
    Slack,
    /// the alert as plain JSON
    Json,
}

/// Mail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Smtp {
    /// The mail server: `smtps://USER:PASSWORD@HOST:465`,
    /// `smtp://USER:PASSWORD@HOST:587?tls=required` for STARTTLS (`?tls=opportunistic` for STARTTLS
    /// where the server has it, and plain text where it has not), or `smtp://HOST:25` for one in plain
    /// text. A path, as in `smtp://HOST:25/gw1.example.org`, is the name that figw gives the server
    /// for its own; without one that is the machine's, where it has a domain.
    pub url: Option<SecretUrl>,
    /// Whom mail is from, such as `figw <figw@example.org>`.
    pub from: Option<String>,
    /// Who gets it.
    pub to: Vec<String>,
}

/// The least that is told of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// what works, but somebody should look at
    #[default]
    Warning,
    /// what does not work
    Critical,
}

impl Alerts {
    /// Whether anybody is told.
    #[must_use]
    pub const fn is_set(&self) -> bool {
        self.webhook.url.is_some() || self.smtp.url.is_some()
    }

    pub(super) fn check(&self, complaints: &mut Complaints) {
        if let Some(url) = &self.webhook.url {
            complaints.add_unless_url(url, &["https://", "http://"]);
        }
        let Some(url) = &self.smtp.url else { return };
        complaints.add_unless_url(url.secret(), &["smtp://", "smtps://"]);
        if self.smtp.from.is_none() {
            complaints.add("alerts.smtp.from", "must be set where alerts.smtp.url is");
        }
        if self.smtp.to.is_empty() {
            complaints.add("alerts.smtp.to", "must name somebody where alerts.smtp.url is set");
        }
        let from = self.smtp.from.iter().map(|from| ("alerts.smtp.from".to_owned(), from));
        let to = self.smtp.to.iter().enumerate();
        let to = to.map(|(index, to)| (format!("alerts.smtp.to[{index}]"), to));
        for (key, address) in from.chain(to) {
            if address.parse::<Mailbox>().is_err() {
                complaints.add(&key, "must be an address such as figw <figw@example.org>");
            }
        }
        if let SecretSource::Plain(text) = url.secret().source()
            && let Some(message) = Smtp::complaint_of(text)
        {
            complaints.add("alerts.smtp.url", message);
        }
    }
}

impl Smtp {
    /// What is wrong with the parameters of a mail server's URL. One that is misspelt would leave mail
    /// in plain text.
    #[must_use]
    pub fn complaint_of(url: &str) -> Option<&'static str> {
        let url = Url::parse(url).ok()?;
        let mut parameters = url.query_pairs();
        let (name, value) = parameters.next()?;
        if name != "tls" || parameters.next().is_some() {
            return Some("may have no other parameter than ?tls=required or ?tls=opportunistic");
        }
        let is_known = matches!(&*value, "required" | "opportunistic");
        (!is_known).then_some("must have ?tls=required or ?tls=opportunistic, or none of them")
    }
}

/// What `figw doctor` needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Doctor {
    /// File that keeps what people have attested (`figw doctor --attest`);
    /// `attestations.json` in `server.state_dir` when it is not set. Of several machines, each has
    /// its own there, for a firewall is a machine's; a file on a directory that they share is for
    /// all of them.
    pub attestations: Option<PathBuf>,
    /// How long an attestation counts.
    #[serde(with = "duration")]
    #[schemars(with = "PositiveDurationForm")]
    pub attestation_valid: Duration,
}

impl Default for Doctor {
    fn default() -> Self {
        Self { attestations: None, attestation_valid: Duration::from_hours(365 * 24) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_parameter_does_not_send_mail_in_plain_text() {
        for fine in ["smtp://h", "smtp://h?tls=required", "smtp://h?tls=opportunistic", "smtps://h"]
        {
            assert_eq!(Smtp::complaint_of(fine), None, "{fine}");
        }
        for (wrong, word) in [
            ("smtp://h?tsl=required", "no other parameter"),
            ("smtps://h?foo=bar", "no other parameter"),
            ("smtp://h?tls=required&foo=bar", "no other parameter"),
            ("smtp://h?tls=maybe", "?tls=required or ?tls=opportunistic"),
            ("smtp://h?tls=", "?tls=required or ?tls=opportunistic"),
        ] {
            let said = Smtp::complaint_of(wrong).unwrap_or_default();
            assert!(said.contains(word), "{wrong}: {said}");
        }
    }
}
