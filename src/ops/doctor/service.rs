//! Whether the gateway does what it is there for, asked as a client asks.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::Full;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{Finding, Subject};
use crate::{ops::door, outbound};

/// How long an answer of the gateway's own may take.
const PATIENCE: Duration = Duration::from_secs(8);

/// How long a model's may.
const MODEL_PATIENCE: Duration = Duration::from_mins(1);

const WHOAMI: &str = "/resource_server/whoami";

/// What to do about a gateway that does not answer.
const UNREACHABLE: &str = "see that it runs, and that the address is right (--url)";

/// What to do where a client's certificate is wanted, which this program has not.
const SHUT: &str = "ask with a client's certificate of server.tls.client_ca (curl --cert), or name an \
                    address that wants none (--url)";

fn base(subject: &Subject) -> String {
    match &subject.public_url {
        Some(url) => url.as_str().trim_end_matches('/').to_owned(),
        None => door::url(subject.server()),
    }
}

/// What to say instead of asking where nobody is let in without a client's certificate.
fn shut(subject: &Subject) -> Option<Finding> {
    let is_shut = subject.public_url.is_none() && subject.server().tls.client_ca.is_some();
    is_shut.then(|| {
        let why = "only clients with a certificate are let in (server.tls.client_ca)";
        Finding::not_applicable(format!("{why}; {SHUT}"))
    })
}

/// Why there is no answer.
fn unanswered(subject: &Subject, reason: String) -> Finding {
    if subject.server().tls.client_ca.is_some() {
        Finding::warn(format!("{reason}; a client's certificate may be wanted there"), SHUT)
    } else {
        Finding::fail(reason, UNREACHABLE)
    }
}

/// Sends a request with or without credentials; status and body.
async fn ask(
    subject: &Subject,
    path: &str,
    with_credentials: bool,
    body: Option<Value>,
) -> Result<(StatusCode, Value), String> {
    // Only what has a body is for a model.
    let patience = if body.is_some() { MODEL_PATIENCE } else { PATIENCE };
    let client = outbound::client(patience).map_err(|error| error.to_string())?;
    let url = format!("{}{path}", base(subject));
    let mut request = match body {
        None => client.get(&url),
        Some(body) => client.post(&url).json(&body),
    };
    if let Some(credentials) = subject.credentials.as_ref().filter(|_| with_credentials) {
        request = request.bearer_auth(credentials.expose_secret());
    }
    // The certificate is checked where clients reach it, and not on this machine's own address.
    let (status, text) = if subject.public_url.is_some() {
        let answer = request.send().await.map_err(|error| outbound::failure(&error))?;
        let status = answer.status();
        (status, answer.bytes().await.map_err(|error| outbound::failure(&error))?)
    } else {
        let request = request.build().map_err(|error| outbound::failure(&error))?;
        let asked = tokio::time::timeout(patience, at_the_door(subject, path, request));
        asked.await.map_err(|_| "no answer in time".to_owned())??
    };
    Ok((status, serde_json::from_slice(&text).unwrap_or_default()))
}

async fn at_the_door(
    subject: &Subject,
    path: &str,
    request: reqwest::Request,
) -> Result<(StatusCode, Bytes), String> {
    let request = http::Request::try_from(request).map_err(|error| outbound::failure(&error))?;
    let (mut head, body) = request.into_parts();
    head.uri = path.parse().map_err(|_| format!("{path} is no path"))?;
    let body = body.as_bytes().map(Bytes::copy_from_slice).unwrap_or_default();
    let request = http::Request::from_parts(head, Full::new(body));
    door::ask(subject.server(), request).await.map_err(|error| outbound::last_cause(&*error))
}

/// Nobody comes in without credentials, or with made-up ones.
pub(super) async fn refuses_strangers(subject: &Subject) -> Finding {
    if let Some(finding) = shut(subject) {
        return finding;
    }
    match ask(subject, WHOAMI, false, None).await {
        Err(reason) => unanswered(subject, reason),
        Ok((StatusCode::UNAUTHORIZED, _)) => Finding::pass("without credentials the answer is 401"),
        Ok((status, _)) => Finding::fail(
            format!("without credentials {WHOAMI} answers {status}, not 401"),
            "see what stands between clients and the gateway",
        ),
    }
}

const NO_CREDENTIALS: &str = "give a key or a token with --key-file or FIGW_DOCTOR_KEY";

/// Somebody with credentials comes in.
pub(super) async fn admits(subject: &Subject) -> Finding {
    if subject.credentials.is_none() {
        return Finding::not_applicable(NO_CREDENTIALS);
    }
    if let Some(finding) = shut(subject) {
        return finding;
    }
    match ask(subject, WHOAMI, true, None).await {
        Err(reason) => unanswered(subject, reason),
        Ok((StatusCode::OK, who)) => {
            let name = ["username", "user", "name", "id"].iter().find_map(|key| who[key].as_str());
            Finding::pass(format!("the credentials are {}'s", name.unwrap_or("somebody")))
        }
        Ok((status, said)) => Finding::fail(
            format!("the credentials are answered {status}: {}", message(&said)),
            "make a key (`figw key create`) or a fresh token (`figw token`)",
        ),
    }
}

/// A request goes all the way to a model and back.
pub(super) async fn answers(subject: &Subject) -> Finding {
    if subject.credentials.is_none() {
        return Finding::not_applicable(NO_CREDENTIALS);
    }
    if let Some(finding) = shut(subject) {
        return finding;
    }
    let models = match ask(subject, "/v1/models", true, None).await {
        Err(reason) => return unanswered(subject, reason),
        Ok((StatusCode::OK, models)) => models,
        Ok((status, said)) => {
            let evidence = format!("/v1/models answers {status}: {}", message(&said));
            return Finding::fail(evidence, "see service.admits");
        }
    };
    let Some(model) = models["data"][0]["id"].as_str() else {
        return Finding::warn(
            "whoever has these credentials may use no model",
            "see `figw endpoint list`",
        );
    };
    let request = json!({
        "model": model, "max_tokens": 1, "messages": [{"role": "user", "content": "ping"}],
    });
    match ask(subject, "/v1/chat/completions", true, Some(request)).await {
        Err(reason) => unanswered(subject, reason),
        Ok((StatusCode::OK, _)) => {
            Finding::pass(format!("{model} has answered at {}", base(subject)))
        }
        Ok((status, said)) => Finding::fail(
            format!("{model} is answered {status}: {}", message(&said)),
            "see service.endpoints",
        ),
    }
}

fn message(answer: &Value) -> String {
    let message = answer["error"]["message"].as_str().unwrap_or("no reason given");
    message.chars().filter(|c| !c.is_control()).take(200).collect()
}
