//! What a task's request says, and which endpoint is meant.

use std::{borrow::Cow, sync::Arc};

use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::{
    catalog::{Served, Snapshot},
    domain::{Caller, EndpointSettings},
    gateway::{Refusal, choose},
};

/// The framework whose tasks are FIRST's SAM3 service.
pub(super) const SAM3: &str = "sam3service";

/// A task's request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// The function's argument, as JSON.
    pub(super) argument: String,
    /// The model that is asked for, if the request names one.
    pub(super) model: Option<String>,
}

/// The part of a request that the gateway reads.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow, default)]
    model: Option<Cow<'a, str>>,
}

/// What FIRST takes for SAM3 (`schemas/sam3.py`), and what of it its function gets.
#[derive(Deserialize, Serialize)]
struct Sam3<'a> {
    #[serde(borrow)]
    inference_type: Cow<'a, str>,
    #[serde(borrow)]
    data_uri: Cow<'a, str>,
    #[serde(borrow, default)]
    single_image_prompt: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing)]
    weights_dir_override: Option<Cow<'a, str>>,
}

impl Request {
    /// Reads the body of a task for `framework`.
    ///
    /// # Errors
    /// 400, with what is wrong with it.
    pub(super) fn read(framework: &str, body: &[u8]) -> Result<Self, Refusal> {
        let text = std::str::from_utf8(body).map_err(|_| invalid("it is not UTF-8"))?;
        if !text.trim_start().starts_with('{') {
            return Err(invalid("it is not a JSON object"));
        }
        let named: Named<'_> = parsed(text)?;
        let model = named.model.map(Cow::into_owned);
        let argument = if framework == SAM3 { sam3(text)? } else { text.to_owned() };
        Ok(Self { argument, model })
    }
}

fn sam3(text: &str) -> Result<String, Refusal> {
    let request: Sam3<'_> = parsed(text)?;
    if !matches!(&*request.inference_type, "single-image" | "batch") {
        return Err(
            invalid("inference_type must be 'single-image' or 'batch'").param("inference_type")
        );
    }
    if request.weights_dir_override.is_some() {
        let message = "weights_dir_override is not taken here: the endpoint uses its own weights";
        return Err(invalid(message).param("weights_dir_override"));
    }
    serde_json::to_string(&request).map_err(|error| invalid(&error.to_string()))
}

fn parsed<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Refusal> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let refusal = invalid(&error.into_inner().to_string());
        if matches!(path.as_str(), "." | "?") { refusal } else { refusal.param(path) }
    })?;
    reader.end().map_err(|error| invalid(&error.to_string()))?;
    Ok(value)
}

fn invalid(reason: &str) -> Refusal {
    let message = format!("The body is not a task: {reason}.");
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_body", message)
}

/// The endpoint that `caller` means: that of the model it names, or the only one there is.
///
/// # Errors
/// 404 for what does not exist, 403 for what the caller may not use, 503 under maintenance, 400 when
/// it must say which.
pub(super) fn find(
    snapshot: &Snapshot,
    caller: &Caller,
    cluster: &str,
    framework: &str,
    model: Option<&str>,
) -> Result<Arc<Served>, Refusal> {
    let model = match model {
        Some(model) => model,
        None => only_model(snapshot, cluster, framework)?,
    };
    let served = choose::deferred(snapshot, caller, cluster, framework, model)?;
    if !takes_tasks(&served) {
        return Err(no_tasks(cluster, framework));
    }
    Ok(served)
}

/// The model of a framework that has only one which takes tasks. Where there is none, the empty
/// name, which is refused as any other that does not exist.
fn only_model<'a>(
    snapshot: &'a Snapshot,
    cluster: &str,
    framework: &str,
) -> Result<&'a str, Refusal> {
    let mut here = snapshot.endpoints().iter().filter(|served| {
        let endpoint = &served.endpoint;
        endpoint.cluster == cluster && endpoint.framework == framework && endpoint.enabled
    });
    let mut taking = here.clone().filter(|served| takes_tasks(served));
    match (taking.next(), taking.next()) {
        (Some(only), None) => Ok(&only.endpoint.model),
        (Some(_), Some(_)) => {
            let message =
                format!("'{cluster}/{framework}' has several models: name one as `model`");
            Err(invalid(&message).param("model"))
        }
        (None, _) if here.next().is_some() => Err(no_tasks(cluster, framework)),
        (None, _) => Ok(""),
    }
}

fn takes_tasks(served: &Served) -> bool {
    matches!(served.endpoint.settings, EndpointSettings::GlobusCompute(_))
}

fn no_tasks(cluster: &str, framework: &str) -> Refusal {
    let message = format!("'{cluster}/{framework}' takes no tasks.");
    Refusal::not_found("tasks_not_offered", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(framework: &str, body: &str) -> Result<Request, (String, Option<String>)> {
        Request::read(framework, body.as_bytes()).map_err(|r| (r.message, r.param))
    }

    #[test]
    fn a_body_reaches_the_function_as_it_came() {
        let body = r#" {"model": "m", "n": 1e400, "text": "\ud800"} "#;
        let request = read("any", body).unwrap();
        assert_eq!((request.argument.as_str(), request.model.as_deref()), (body, Some("m")));
    }

    #[test]
    fn sam3_gets_what_first_sends_it() {
        let body = r#"{"data_uri": "file:/x.png", "inference_type": "batch", "extra": 1}"#;
        let expected =
            r#"{"inference_type":"batch","data_uri":"file:/x.png","single_image_prompt":null}"#;
        assert_eq!(read(SAM3, body).unwrap().argument, expected);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (framework, body, says, about) in [
            ("any", "[]", "not a JSON object", None),
            ("any", "{", "EOF while parsing", None),
            ("any", "{} {}", "trailing characters", None),
            ("any", r#"{"model": 7}"#, "expected a string", Some("model")),
            (SAM3, r#"{"data_uri": "x"}"#, "missing field `inference_type`", None),
            (
                SAM3,
                r#"{"data_uri": "x", "inference_type": "y"}"#,
                "'batch'",
                Some("inference_type"),
            ),
            (
                SAM3,
                r#"{"data_uri": "x", "inference_type": "batch", "weights_dir_override": "/w"}"#,
                "not taken here",
                Some("weights_dir_override"),
            ),
        ] {
            let (message, param) = read(framework, body).unwrap_err();
            assert!(message.contains(says), "{body}: {message}");
            assert_eq!(param.as_deref(), about, "{body}: {message}");
        }
    }
}
