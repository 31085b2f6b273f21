//! One instance of the fleet, as its admin listener shows it.

use std::time::Duration;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use reqwest::{Client, Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::{config, outbound};

/// How long an instance has to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How to ask an instance, and how to restart it.
#[derive(Debug, Clone)]
pub(super) struct Instance {
    pub(super) name: String,
    pub(super) restart: Vec<String>,
    admin_url: String,
    token: Option<SecretString>,
    client: Client,
}

/// `GET /admin/status`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Status {
    pub(super) started_at: Timestamp,
    pub(super) ready: bool,
    pub(super) draining: bool,
    pub(super) in_flight: u64,
}

/// Requests that an instance has answered since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Answered {
    pub(super) all: f64,
    /// Those with a status from 500 on.
    pub(super) failed: f64,
}

impl Instance {
    /// # Errors
    /// When no HTTP client can be set up.
    pub(super) fn new(
        instance: &config::Instance,
        token: Option<SecretString>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            name: instance.name.clone(),
            restart: instance.restart.clone(),
            admin_url: instance.admin_url.to_string().trim_end_matches('/').to_owned(),
            token,
            client: outbound::direct_client(PATIENCE).context("cannot set up HTTP")?,
        })
    }

    async fn ask(&self, method: Method, path: &str) -> anyhow::Result<reqwest::Response> {
        let url = format!("{}{path}", self.admin_url);
        let mut request = self.client.request(method, &url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => bail!("{url}: {}", outbound::failure(&error)),
        };
        match response.status() {
            status if status.is_success() => Ok(response),
            StatusCode::UNAUTHORIZED => {
                bail!("{url} wants another token; set server.admin_token to that of the fleet")
            }
            status => bail!("{url} answered {status}"),
        }
    }

    /// What it says about itself.
    pub(super) async fn status(&self) -> anyhow::Result<Status> {
        let response = self.ask(Method::GET, "/admin/status").await?;
        response
            .json()
            .await
            .with_context(|| format!("{}/admin/status is not a figw gateway's", self.admin_url))
    }

    /// Asks it not to be sent requests any more.
    pub(super) async fn drain(&self) -> anyhow::Result<()> {
        self.ask(Method::POST, "/admin/drain").await.map(drop)
    }

    /// Takes that back.
    pub(super) async fn undrain(&self) -> anyhow::Result<()> {
        self.ask(Method::POST, "/admin/undrain").await.map(drop)
    }

    /// What it has answered so far.
    pub(super) async fn answered(&self) -> anyhow::Result<Answered> {
        let text = self.ask(Method::GET, "/metrics").await?.text().await?;
        Ok(Answered::read(&text))
    }
}

impl Answered {
    /// Sums `figw_requests_total` of a page of metrics.
    fn read(text: &str) -> Self {
        let mut answered = Self::default();
        for line in text.lines() {
            let Some(rest) = line.strip_prefix("figw_requests_total{") else { continue };
            let Some((labels, count)) = rest.rsplit_once("} ") else { continue };
            let count: f64 = count.trim().parse().unwrap_or_default();
            answered.all += count;
            if labels.contains("status=\"5") {
                answered.failed += count;
            }
        }
        answered
    }

    pub(super) fn since(self, before: Self) -> Self {
        // A process that was started anew counts from zero.
        if self.all < before.all {
            return self;
        }
        Self { all: self.all - before.all, failed: self.failed - before.failed }
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self { all: self.all + other.all, failed: self.failed + other.failed }
    }

    /// Failed ones of all, from 0 to 1.
    pub(super) fn error_rate(self) -> f64 {
        if self.all > 0.0 { self.failed / self.all } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_by_status() {
        let text = "# TYPE figw_requests_total counter\n\
            figw_requests_total{endpoint=\"a\",status=\"200\"} 6\n\
            figw_requests_total{endpoint=\"a\",status=\"503\"} 1\n\
            figw_requests_total{endpoint=\"b\",status=\"502\"} 1\nother 5\n";
        let answered = Answered::read(text);
        assert_eq!(answered, Answered { all: 8.0, failed: 2.0 });
        assert!((answered.error_rate() - 0.25).abs() < 1e-9);
        assert_eq!(answered.since(Answered { all: 9.0, failed: 0.0 }), answered);
    }
}
