//! What the gateway's admin listener tells.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::Deserialize;

use super::{Finding, Measure, State, Subject, Unit, gateway};
use crate::{
    config::{Secret, Server},
    outbound,
};

/// How long it may take to answer.
const LONGEST: Duration = Duration::from_secs(5);

/// The body of `/admin/status`, as far as it matters here.
#[derive(Debug, Clone, Deserialize)]
pub struct Status {
    version: String,
    /// When the process began.
    pub started_at: Timestamp,
    in_flight: u64,
    /// Errors logged since then.
    #[serde(default)]
    pub errors: u64,
    /// When the last one was.
    #[serde(default)]
    pub last_error_at: Option<Timestamp>,
    /// When `/ready` was last asked for.
    #[serde(default)]
    pub ready_asked_at: Option<Timestamp>,
    /// When the metrics were.
    #[serde(default)]
    pub metrics_asked_at: Option<Timestamp>,
    /// As whom the process runs.
    #[serde(default)]
    pub user_id: Option<u32>,
    /// What it logs, as `RUST_LOG` would say it.
    #[serde(default)]
    pub log_filter: Option<String>,
    /// How many files it may have open.
    #[serde(default)]
    pub open_files: Option<u64>,
}

/// Asks the admin listener of this configuration; that of another gateway is not known.
pub(super) async fn check(subject: &Subject) -> Option<Finding> {
    if subject.url.is_some() {
        return None;
    }
    Some(match ask(&subject.config.server).await {
        Ok(status) => judge(&status),
        Err(reason) => {
            let evidence = format!("{reason}; drain, reload and metrics are out of reach");
            Finding::new(State::Warning, evidence)
        }
    })
}

/// What `/admin/status` of this configuration's gateway answers.
///
/// # Errors
/// Why there is no answer, with the address.
pub async fn ask(server: &Server) -> Result<Status, String> {
    let url = format!("http://{}/admin/status", gateway::reachable(server.admin_listen));
    ask_at(server, &url).await.map_err(|reason| format!("{url}: {reason}"))
}

async fn ask_at(server: &Server, url: &str) -> Result<Status, String> {
    let token = server.admin_token.as_ref().map(Secret::reveal);
    let token = token.transpose().map_err(|error| error.to_string())?;
    let client = outbound::own_client(LONGEST).map_err(|error| error.to_string())?;
    let mut request = client.get(url);
    if let Some(token) = &token {
        request = request.bearer_auth(token.expose_secret());
    }
    let failed = |error: reqwest::Error| {
        if error.is_timeout() {
            format!("no answer within {} s", LONGEST.as_secs())
        } else {
            outbound::failure(&error)
        }
    };
    let answer = request.send().await.map_err(failed)?;
    match answer.status() {
        http::StatusCode::OK => {
            answer.json().await.map_err(|_| "its answer is not figw's".to_owned())
        }
        http::StatusCode::UNAUTHORIZED => Err("it does not accept server.admin_token".to_owned()),
        status => Err(format!("it answered {status}")),
    }
}

fn judge(status: &Status) -> Finding {
    let own = env!("CARGO_PKG_VERSION");
    let finding = if status.version == own {
        Finding::new(State::Ok, format!("version {own}, {} requests in flight", status.in_flight))
    } else {
        let evidence = format!(
            "figw {} runs, this is {own}; restart it with `figw rolling-restart`",
            status.version
        );
        Finding::new(State::Warning, evidence)
    };
    #[allow(clippy::cast_precision_loss, reason = "a number to be drawn")]
    let in_flight = Measure::new("requests_in_flight", status.in_flight as f64, Unit::Count);
    let age = Timestamp::now().duration_since(status.started_at).as_secs_f64();
    finding.measuring([in_flight, Measure::seconds("uptime", age.max(0.0))])
}
