//! What the gateway says about itself at `/ready`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header::USER_AGENT};
use http_body_util::Full;
use jiff::Timestamp;
use reqwest::RequestBuilder;
use secrecy::ExposeSecret;
use serde::Deserialize;
use url::Url;

use super::{Finding, Measure, State, Subject};
pub(super) use crate::ops::door::reachable;
use crate::{
    config::{Secret, Server},
    http::health::UNNOTED_AGENT,
    ops::door,
    outbound::{self, Broken},
};

/// How long the gateway may take to answer.
const LONGEST: Duration = Duration::from_secs(5);

/// The same for the admin listener, where that is asked after the public one.
const LONGEST_ADMIN: Duration = Duration::from_secs(3);

/// What to do when nobody answers.
const SERVE: &str = "; look whether `figw serve` runs";

/// What a gateway may want that is asked at an address of its own.
const WANTED: &str = "a PROXY header or a client's certificate (server.proxy_protocol, \
                      server.tls.client_ca): then ask it where clients do";

/// The body of `/ready`.
#[derive(Debug, Deserialize)]
struct Ready {
    status: String,
    #[serde(default)]
    checks: Vec<Part>,
}

#[derive(Debug, Deserialize)]
struct Part {
    name: String,
    state: String,
    since: Option<Timestamp>,
    reason: Option<String>,
}

pub(super) async fn check(subject: &Subject) -> Option<Finding> {
    let server = &subject.config.server;
    let begun = Instant::now();
    let asked = async {
        match &subject.url {
            Some(url) => at(url, subject).await,
            None if server.tls.client_ca.is_some() => by_admin(server, subject).await,
            None => own(server, subject).await,
        }
    };
    let hangs = || {
        let url = subject.url.as_ref().map_or_else(|| door::url(server), ToString::to_string);
        let place = ready(&url);
        let reason = format!("no answer within {} s", LONGEST.as_secs());
        Finding::new(State::Critical, format!("{place}: {reason}{SERVE}"))
    };
    let finding = tokio::time::timeout(LONGEST, asked).await.unwrap_or_else(|_| hangs());
    let value = begun.elapsed().as_secs_f64();
    let measure = Measure::seconds("gateway_time", value).above(None, Some(LONGEST.as_secs_f64()));
    Some(finding.measuring([measure]))
}

fn ready(base: &str) -> String {
    format!("{}/ready", base.trim_end_matches('/'))
}

/// The gateway at `url`.
async fn at(url: &Url, subject: &Subject) -> Finding {
    let url = ready(url.as_str());
    let asked = async { fetch(outbound::direct_client(2 * LONGEST)?.get(&url), subject).await };
    match asked.await {
        Ok((status, body)) => judge(&url, status, &body),
        Err(error) => {
            let advice = match outbound::broken(&error) {
                Broken::Away => SERVE.to_owned(),
                Broken::Closed => format!("{SERVE}, and whether it wants {WANTED}"),
                Broken::Refused => format!("; it may want {WANTED}"),
                Broken::Tls => "; clients refuse it, too: look at its certificate".to_owned(),
                Broken::NoTls => String::new(),
                Broken::Otherwise => "; check the address".to_owned(),
            };
            let evidence = format!("{url}: {}{advice}", outbound::failure(&error));
            Finding::new(State::Critical, evidence)
        }
    }
}

async fn fetch(
    mut request: RequestBuilder,
    subject: &Subject,
) -> reqwest::Result<(StatusCode, Bytes)> {
    if !subject.is_monitoring {
        request = request.header(USER_AGENT, UNNOTED_AGENT);
    }
    let response = request.send().await?;
    Ok((response.status(), response.bytes().await?))
}

/// The gateway of this configuration.
async fn own(server: &Server, subject: &Subject) -> Finding {
    let url = ready(&door::url(server));
    let mut request = Request::new(Full::default());
    *request.uri_mut() = Uri::from_static("/ready");
    if !subject.is_monitoring {
        request.headers_mut().insert(USER_AGENT, UNNOTED_AGENT);
    }
    match door::ask(server, request).await {
        Ok((status, body)) => judge(&url, status, &body),
        Err(error) => {
            let reason = outbound::last_cause(&*error);
            Finding::new(State::Critical, format!("{url}: {reason}{SERVE}"))
        }
    }
}

/// The same where only clients with a certificate are let in: it is seen that the public listener
/// shakes hands, and the admin listener is asked how the gateway is.
async fn by_admin(server: &Server, subject: &Subject) -> Finding {
    if let Err(error) = door::knock(server).await {
        let (url, reason) = (door::url(server), outbound::last_cause(&*error));
        return Finding::new(State::Critical, format!("{url}: {reason}{SERVE}"));
    }
    let url = format!("http://{}/ready", reachable(server.admin_listen));
    let asked = async {
        let token = server.admin_token.as_ref().map(Secret::reveal);
        let token = token.transpose().map_err(|error| error.to_string())?;
        let client = outbound::own_client(LONGEST_ADMIN).map_err(|error| error.to_string())?;
        let mut request = client.get(&url);
        if let Some(token) = &token {
            request = request.bearer_auth(token.expose_secret());
        }
        let answer = fetch(request, subject).await.map_err(|error| outbound::failure(&error))?;
        match answer.0 {
            StatusCode::UNAUTHORIZED => Err("it does not accept server.admin_token".to_owned()),
            _ => Ok(answer),
        }
    };
    match asked.await {
        Ok((status, body)) => judge(&url, status, &body),
        Err(reason) => {
            let evidence = format!(
                "{url}: {reason}; the public listener answers, but tells only clients with a \
                 certificate (server.tls.client_ca)"
            );
            Finding::new(State::Unknown, evidence)
        }
    }
}

fn judge(url: &str, status: StatusCode, body: &[u8]) -> Finding {
    let Ok(ready) = serde_json::from_slice::<Ready>(body) else {
        let evidence = format!("{url}: answered {status}, but not as figw does; check the address");
        return Finding::new(State::Critical, evidence);
    };
    let troubled: Vec<_> = ready.checks.iter().filter(|part| part.state != "ok").collect();
    let reasons = troubled.iter().map(|part| match &part.reason {
        Some(reason) => format!("{}: {reason}", part.name),
        None => format!("{} {}", part.name, part.state),
    });
    let reasons = reasons.collect::<Vec<_>>().join("; ");
    let since = troubled.iter().filter_map(|part| part.since).min();
    match (status, ready.status.as_str()) {
        (StatusCode::OK, "ready") => Finding::new(State::Ok, "ready"),
        (StatusCode::OK, word) => {
            Finding::new(State::Warning, format!("{word}: {reasons}")).since(since)
        }
        (_, word) => {
            Finding::new(State::Critical, format!("{word} ({status}): {reasons}")).since(since)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_has_its_state() {
        let degraded = br#"{"status": "degraded", "checks": [{"name": "serving", "state": "ok"},
            {"name": "cache", "state": "degraded", "since": "2026-01-02T03:04:05Z", "reason": "gone"}]}"#;
        for (status, body, state, evidence) in [
            (200, &br#"{"status": "ready", "checks": []}"#[..], State::Ok, "ready"),
            (200, degraded, State::Warning, "degraded: cache: gone"),
            (503, degraded, State::Critical, "degraded (503 Service Unavailable): cache: gone"),
            (404, b"{}", State::Critical, "answered 404"),
            (200, b"<html>", State::Critical, "not as figw does"),
        ] {
            let found = judge("http://h/ready", StatusCode::from_u16(status).unwrap(), body);
            assert_eq!(found.state, state, "{found:?}");
            assert!(found.evidence.contains(evidence), "{found:?}");
        }
    }
}
