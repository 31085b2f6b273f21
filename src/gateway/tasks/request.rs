//! What a task's request says, and which endpoint is meant.

use std::{borrow::Cow, sync::Arc};

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    catalog::{Served, Snapshot},
    domain::{Caller, EndpointSettings},
    gateway::{Refusal, choose},
};

/// The framework whose tasks are FIRST's SAM3 service.
pub(super) const SAM3: &str = "sam3service";

/// The model that FIRST's SAM3 service means, whose requests name none.
const SAM3_MODEL: &str = "sam3";

/// The longest directory of weights, in bytes.
const LONGEST_PATH: usize = 1_024;

/// A task's request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// The function's argument, as JSON.
    pub(super) argument: String,
    /// The model that is asked for, if the request names one.
    pub(super) model: Option<String>,
    /// How the endpoint is to start its worker.
    pub(super) endpoint_config: Option<Value>,
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
        let (argument, endpoint_config) =
            if framework == SAM3 { sam3(text)? } else { (text.to_owned(), None) };
        Ok(Self { argument, model, endpoint_config })
    }
}

/// The function's argument, and what its endpoint is configured with.
fn sam3(text: &str) -> Result<(String, Option<Value>), Refusal> {
    let request: Sam3<'_> = parsed(text)?;
    if !matches!(&*request.inference_type, "single-image" | "batch") {
        return Err(
            invalid("inference_type must be 'single-image' or 'batch'").param("inference_type")
        );
    }
    let weights = request.weights_dir_override.as_deref();
    let config = weights.map(weights_config).transpose()?;
    let argument = serde_json::to_string(&request).map_err(|error| invalid(&error.to_string()))?;
    Ok((argument, config))
}

/// FIRST's variable for the endpoint's template. What that makes of it, perhaps a line of a shell
/// script, is not known here: only characters that mean nothing to a shell or to YAML pass.
fn weights_config(directory: &str) -> Result<Value, Refusal> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._+@-".contains(&byte);
    let fits = directory.starts_with('/')
        && directory.len() <= LONGEST_PATH
        && directory.bytes().all(is_plain)
        && !directory.split('/').any(|segment| segment == "..");
    if fits {
        return Ok(json!({ "sam3_weights_dir": directory }));
    }
    let message = format!(
        "weights_dir_override must be an absolute path of up to {LONGEST_PATH} letters, digits and \
         any of / . _ + @ -, without '..'"
    );
    Err(invalid(&message).param("weights_dir_override"))
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
        (Some(_), Some(_)) if framework == SAM3 => Ok(SAM3_MODEL),
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
        let request = read(SAM3, body).unwrap();
        assert_eq!((request.argument.as_str(), request.endpoint_config), (expected, None));
        let body = r#"{"data_uri": "/x", "inference_type": "batch", "weights_dir_override": null}"#;
        assert_eq!(read(SAM3, body).unwrap().endpoint_config, None);
        let body =
            r#"{"data_uri": "/x", "inference_type": "batch", "weights_dir_override": "/w/3"}"#;
        let request = read(SAM3, body).unwrap();
        assert_eq!(request.endpoint_config, Some(json!({ "sam3_weights_dir": "/w/3" })));
        assert!(!request.argument.contains("weights"), "{}", request.argument);
    }

    #[test]
    fn only_a_plain_path_reaches_the_endpoint_s_template() {
        let long = format!("/{}", "a".repeat(LONGEST_PATH));
        for path in [
            "", "w", "/a/../b", "/a b", "/a;b", "/$(a)", "/`a`", "/a\nb", "/a'", "/{{a}}", "/a:b",
            "/é", "/a\0", &long,
        ] {
            let body = json!({
                "data_uri": "/x", "inference_type": "batch", "weights_dir_override": path,
            });
            let (message, param) = read(SAM3, &body.to_string()).unwrap_err();
            assert_eq!(param.as_deref(), Some("weights_dir_override"), "{path}: {message}");
        }
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
        ] {
            let (message, param) = read(framework, body).unwrap_err();
            assert!(message.contains(says), "{body}: {message}");
            assert_eq!(param.as_deref(), about, "{body}: {message}");
        }
    }
}
