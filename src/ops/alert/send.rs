//! The ways to tell people: a webhook, and mail.

use std::time::Duration;

use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message as Mail, Tokio1Executor,
    message::{
        Mailbox,
        header::{ContentType, HeaderName, HeaderValue},
    },
};
use secrecy::{ExposeSecret, SecretString};

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
    let transport = transport.timeout(Some(PATIENCE)).build();
    let mail = compose(settings, message)?;
    transport.send(mail).await.map(drop).map_err(|error| outbound::reason(&error))
}

fn compose(settings: &Smtp, message: &Message) -> Result<Mail, String> {
    let address = |text: &str| {
        text.parse::<Mailbox>()
            .map_err(|_| format!("{text} is no address that mail can be sent to"))
    };
    let mut mail = Mail::builder()
        .from(address(settings.from.as_deref().unwrap_or_default())?)
        .subject(message.title())
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
