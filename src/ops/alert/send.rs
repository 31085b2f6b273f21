//! The ways to tell people: a webhook, and mail.

use std::time::Duration;

use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message as Mail, Tokio1Executor,
    message::{
        Mailbox,
        header::{ContentType, HeaderName, HeaderValue},
    },
    transport::smtp::extension::ClientId,
};
use secrecy::{ExposeSecret, SecretString};
use url::Url;
use uuid::Uuid;

use super::message::Message;
use crate::{
    config::{Alerts, Smtp, Webhook, WebhookFormat, secret::SecretError},
    ops::health::within,
    outbound,
};

/// How long a receiver may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// A way to tell people.
#[derive(Debug, Clone, Copy)]
pub(super) enum Channel<'a> {
    Webhook(&'a Webhook),
    Mail(&'a Smtp),
}

/// Those that the configuration names.
pub(super) fn channels(alerts: &Alerts) -> Vec<Channel<'_>> {
    let webhook = alerts.webhook.url.is_some().then_some(Channel::Webhook(&alerts.webhook));
    let mail = alerts.smtp.url.is_some().then_some(Channel::Mail(&alerts.smtp));
    webhook.into_iter().chain(mail).collect()
}

impl Channel<'_> {
    /// Its name, for messages and for what is remembered.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Mail(_) => "mail",
        }
    }

    /// Sends the message.
    ///
    /// # Errors
    /// Why it could not be sent, with nothing secret.
    pub(super) async fn send(self, message: &Message) -> Result<(), String> {
        let sent = async {
            match self {
                Self::Webhook(settings) => post(settings, message).await,
                Self::Mail(settings) => mail(settings, message).await,
            }
        };
        let sent = tokio::time::timeout(2 * PATIENCE, sent).await;
        sent.unwrap_or_else(|_| Err(format!("no answer within {} s", 2 * PATIENCE.as_secs())))
    }
}

/// Reads a secret, whose file may hang.
async fn read(
    key: &str,
    reveal: impl FnOnce() -> Result<SecretString, SecretError> + Send + 'static,
) -> Result<SecretString, String> {
    let hangs = || Err(format!("{key}: its file cannot be read to its end; look at its mount"));
    let read = within(PATIENCE, reveal).await;
    read.map_or_else(hangs, |read| read.map_err(|error| error.to_string()))
}

async fn post(settings: &Webhook, message: &Message) -> Result<(), String> {
    let Some(url) = &settings.url else { return Ok(()) };
    let url = url.clone();
    let url = read("alerts.webhook.url", move || url.reveal()).await?;
    let body = match settings.format {
        WebhookFormat::Slack => message.slack(),
        WebhookFormat::Json => message.json(),
    };
    let client = outbound::client(PATIENCE).map_err(|error| outbound::reason(&error))?;
    // The address is the secret, which an error in whole would name.
    let sent = client.post(url.expose_secret()).json(&body).send().await;
    let answer = sent.map_err(|error| outbound::failure(&error))?;
    if answer.status().is_success() {
        return Ok(());
    }
    Err(format!("it answered {}", answer.status()))
}

async fn mail(settings: &Smtp, message: &Message) -> Result<(), String> {
    let Some(url) = &settings.url else { return Ok(()) };
    let url = url.clone();
    let url = read("alerts.smtp.url", move || url.reveal()).await?;
    if let Some(complaint) = Smtp::complaint_of(url.expose_secret()) {
        return Err(format!("alerts.smtp.url {complaint}"));
    }
    let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose_secret());
    let transport = transport.map_err(|_| {
        "alerts.smtp.url is none that mail can be sent by; write smtps://USER:PASSWORD@HOST"
            .to_owned()
    })?;
    let mut transport = transport.timeout(Some(PATIENCE));
    let host = host_name().await;
    if let Some(name) = hello_name(url.expose_secret(), &host) {
        transport = transport.hello_name(ClientId::Domain(name.to_owned()));
    }
    let transport = transport.build();
    let mail = compose(settings, message, &host)?;
    transport.send(mail).await.map(drop).map_err(|error| outbound::reason(&error))
}

/// The machine's name.
async fn host_name() -> String {
    let read = within(PATIENCE, || std::fs::read_to_string("/proc/sys/kernel/hostname")).await;
    read.and_then(Result::ok).unwrap_or_default().trim().to_owned()
}

/// What figw calls itself to the mail server: the machine's name where it has a domain, for servers
/// refuse others. The path of the URL is a name that the operator has chosen.
fn hello_name<'h>(url: &str, host: &'h str) -> Option<&'h str> {
    let is_chosen = Url::parse(url).is_ok_and(|url| url.path().len() > 1);
    (!is_chosen && host.contains('.') && is_name(host)).then_some(host)
}

/// What stands behind the at sign of a message's identifier.
fn id_domain(host: &str) -> &str {
    if is_name(host) { host } else { "figw" }
}

fn is_name(host: &str) -> bool {
    let may_be = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    !host.is_empty() && host.chars().all(may_be)
}

fn compose(settings: &Smtp, message: &Message, host: &str) -> Result<Mail, String> {
    let address = |text: &str| {
        text.parse::<Mailbox>()
            .map_err(|_| format!("{text} is no address that mail can be sent to"))
    };
    let mut mail = Mail::builder()
        .from(address(settings.from.as_deref().unwrap_or_default())?)
        .subject(message.title())
        // Filters for spam hold it against a mail that has none.
        .message_id(Some(format!("<{}@{}>", Uuid::new_v4(), id_domain(host))))
        .header(ContentType::TEXT_PLAIN);
    for to in &settings.to {
        mail = mail.to(address(to)?);
    }
    let mut mail = mail.body(message.text()).map_err(|error| outbound::reason(&error))?;
    // Keeps out-of-office answers away.
    let name = HeaderName::new_from_ascii_str("Auto-Submitted");
    mail.headers_mut().insert_raw(HeaderValue::new(name, "auto-generated".to_owned()));
    Ok(mail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_server_is_told_a_whole_name_or_the_one_that_was_chosen() {
        for (url, host, name) in [
            ("smtp://mail", "gw1.example.org", Some("gw1.example.org")),
            ("smtp://mail", "gw1", None),
            ("smtp://mail/chosen.example.org", "gw1.example.org", None),
            ("smtp://mail", "not a.name", None),
            ("smtp://mail", "", None),
        ] {
            assert_eq!(hello_name(url, host), name, "{url} {host}");
        }
        assert_eq!((id_domain("gw1"), id_domain("a b"), id_domain("")), ("gw1", "figw", "figw"));
    }
}
