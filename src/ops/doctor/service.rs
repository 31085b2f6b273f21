//! Whether the gateway does what it is there for, asked as a client asks.

use std::time::Duration;

use http::StatusCode;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{Finding, Subject};
use crate::{ops::health::reachable, outbound};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_mins(1);

const WHOAMI: &str = "/resource_server/whoami";

/// What to do about a gateway that does not answer.
const UNREACHABLE: &str = "see that it runs, and that the address is right (--url)";

fn base(subject: &Subject) -> String {
    if let Some(url) = &subject.public_url {
        return url.as_str().trim_end_matches('/').to_owned();
    }
    let server = subject.server();
    let scheme = if server.tls.is_set() { "https" } else { "http" };
    format!("{scheme}://{}", reachable(server.listen))
}

fn client(subject: &Subject) -> reqwest::Result<reqwest::Client> {
    // Its certificate is checked where clients reach it, and not on this machine's own address.
    if subject.public_url.is_some() {
        outbound::client(PATIENCE)
    } else {
        outbound::own_client(PATIENCE)
    }
}

/// Sends a request with or without credentials; status and body.
async fn ask(
    subject: &Subject,
    path: &str,
    with_credentials: bool,
    body: Option<Value>,
) -> Result<(StatusCode, Value), String> {
    let client = client(subject).map_err(|error| error.to_string())?;
    let url = format!("{}{path}", base(subject));
    let mut request = match body {
        None => client.get(&url),
        Some(body) => client.post(&url).json(&body),
    };
    if let Some(credentials) = subject.credentials.as_ref().filter(|_| with_credentials) {
        request = request.bearer_auth(credentials.expose_secret());
    }
    let answer = request.send().await.map_err(|error| outbound::failure(&error))?;
    let status = answer.status();
    let text = answer.bytes().await.map_err(|error| outbound::failure(&error))?;
    Ok((status, serde_json::from_slice(&text).unwrap_or_default()))
}

/// Nobody comes in without credentials, or with made-up ones.
pub(super) async fn refuses_strangers(subject: &Subject) -> Finding {
    match ask(subject, WHOAMI, false, None).await {
        Err(reason) => Finding::fail(reason, UNREACHABLE),
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
    match ask(subject, WHOAMI, true, None).await {
        Err(reason) => Finding::fail(reason, UNREACHABLE),
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
    let models = match ask(subject, "/v1/models", true, None).await {
        Err(reason) => return Finding::fail(reason, UNREACHABLE),
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
        Err(reason) => Finding::fail(reason, UNREACHABLE),
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
