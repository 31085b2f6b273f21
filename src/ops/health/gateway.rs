//! What the gateway says about itself at `/ready`.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use http::{StatusCode, header::USER_AGENT};
use jiff::Timestamp;
use serde::Deserialize;

use super::{Finding, Measure, State, Subject};
use crate::{config::Server, http::health::UNNOTED_AGENT, outbound};

/// How long the gateway may take to answer.
const LONGEST: Duration = Duration::from_secs(5);

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
    let url = match &subject.url {
        Some(url) => format!("{}/ready", url.as_str().trim_end_matches('/')),
        None => own_url(&subject.config.server),
    };
    let begun = Instant::now();
    let finding = match ask(&url, subject).await {
        Ok((status, body)) => judge(&url, status, &body),
        Err(error) => {
            let reason = if error.is_timeout() {
                format!("no answer within {} s", LONGEST.as_secs())
            } else {
                outbound::failure(&error)
            };
            Finding::new(
                State::Critical,
                format!("{url}: {reason}; look whether `figw serve` runs"),
            )
        }
    };
    let value = begun.elapsed().as_secs_f64();
    let measure = Measure::seconds("gateway_time", value).above(None, Some(LONGEST.as_secs_f64()));
    Some(finding.measuring([measure]))
}

async fn ask(url: &str, subject: &Subject) -> reqwest::Result<(StatusCode, Vec<u8>)> {
    let client = match subject.url {
        Some(_) => outbound::direct_client(LONGEST)?,
        None => outbound::own_client(LONGEST)?,
    };
    let mut request = client.get(url);
    if !subject.is_monitoring {
        request = request.header(USER_AGENT, UNNOTED_AGENT);
    }
    let response = request.send().await?;
    let status = response.status();
    Ok((status, response.bytes().await?.to_vec()))
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

/// Where the gateway of this configuration answers.
fn own_url(server: &Server) -> String {
    let scheme = if server.tls.is_set() { "https" } else { "http" };
    format!("{scheme}://{}/ready", reachable(server.listen))
}

/// Where a program on this machine reaches a listener.
pub(crate) fn reachable(listen: SocketAddr) -> SocketAddr {
    let loopback: IpAddr = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(loopback, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_asked_on_loopback() {
        for (listen, asked) in [
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("10.0.0.1:80", "10.0.0.1:80"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), asked);
        }
    }

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
