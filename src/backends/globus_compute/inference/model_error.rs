//! What the model's server said, read out of the text of a function's failure.

use http::StatusCode;
use serde_json::value::RawValue;

/// What FIRST's function puts before the status and the body of an answer that is no success.
const STATUS: &str = "API request failed with status code:";

/// What it puts before the body.
const BODY: &str = "Response text:";

/// What it adds behind the body.
const AFTER: [&str; 2] = ["\nResponse headers:", "\nResponse time:"];

/// Most characters of a body that is not JSON.
const LONGEST_TEXT: usize = 300;

/// An answer of the model's server that is no success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelError {
    /// Its status, 400 or above.
    pub status: StatusCode,
    /// Its body, where that is a JSON object.
    pub document: Option<String>,
    /// Its body in one line otherwise; may be empty.
    pub text: String,
}

impl ModelError {
    /// Finds it in the text of an exception, which may be a whole traceback.
    #[must_use]
    pub fn read(failure: &str) -> Option<Self> {
        let (status, rest) = failure
            .match_indices(STATUS)
            .find_map(|(at, mark)| status(failure[at + mark.len()..].trim_start()))?;
        // The line's end stays: what is added behind an empty body begins with it.
        let body = rest.trim_start().strip_prefix(BODY).unwrap_or_default();
        let document = object(body);
        let text = if document.is_some() { String::new() } else { in_one_line(body) };
        Some(Self { status, document, text })
    }

    /// What the model's server says for people, wherever it says it.
    #[must_use]
    pub fn message(&self) -> Option<String> {
        let Some(document) = &self.document else {
            return Some(self.text.clone()).filter(|text| !text.is_empty());
        };
        let document: serde_json::Value = serde_json::from_str(document).ok()?;
        let message = ["/error/message", "/message", "/error", "/detail"]
            .iter()
            .find_map(|place| document.pointer(place)?.as_str())?;
        Some(in_one_line(message))
    }
}

fn status(text: &str) -> Option<(StatusCode, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let status = StatusCode::from_bytes(&text.as_bytes()[..end]).ok()?;
    (status.as_u16() >= 400).then_some((status, &text[end..]))
}

/// The JSON object that `text` begins with.
fn object(text: &str) -> Option<String> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    let value = values.next()?.ok()?.get();
    value.starts_with('{').then(|| value.to_owned())
}

fn in_one_line(text: &str) -> String {
    let end = AFTER.iter().filter_map(|mark| text.find(mark)).min().unwrap_or(text.len());
    let line: String = text[..end]
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(LONGEST_TEXT)
        .collect();
    line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, document: Option<&str>, text: &str) -> ModelError {
        let status = StatusCode::from_u16(status).unwrap();
        ModelError { status, document: document.map(Into::into), text: text.to_owned() }
    }

    #[test]
    fn the_traceback_of_a_real_endpoint_is_read() {
        let path =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/globus/fixtures/amqp_results.json");
        let results: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let case = results["cases"]
            .as_array()
            .unwrap()
            .iter()
            .find(|case| case["name"] == "exception")
            .unwrap();
        let traceback = case["expected"]["exception"].as_str().unwrap();
        let document = r#"{"object":"error","message":"bad ✓","code":400}"#;
        let read = ModelError::read(traceback);
        assert_eq!(read, Some(error(400, Some(document), "")));
        assert_eq!(read.unwrap().message().as_deref(), Some("bad ✓"));
    }

    #[test]
    fn a_body_that_is_no_json_is_put_into_one_line() {
        let html = "API request failed with status code: 404\nResponse text: <h1>Not\nFound</h1>\n\
                    Response headers: {'server': 'gpu-node-17'}\nResponse time: 0.1";
        assert_eq!(ModelError::read(html), Some(error(404, None, "<h1>Not Found</h1>")));
        let empty =
            "API request failed with status code: 500\nResponse text: \nResponse headers: {}";
        assert_eq!(ModelError::read(empty), Some(error(500, None, "")));
        assert_eq!(
            ModelError::read("API request failed with status code: 429"),
            Some(error(429, None, ""))
        );
    }

    #[test]
    fn the_second_telling_of_an_error_does_not_hide_the_first() {
        let twice = "Exception: API request failed with status code: 400\nResponse text: {\"message\": \
                     \"you said: API request failed with status code: 500\"}\n\nDuring handling of the \
                     above exception, another exception occurred:\n\nException: Unexpected error of \
                     type Exception: API request failed with status code: 400\nResponse text: {}";
        assert_eq!(ModelError::read(twice).unwrap().status, StatusCode::BAD_REQUEST);
    }

    #[test]
    fn other_failures_are_no_answers_of_a_model() {
        for text in [
            "",
            "MaxResultSizeExceeded(4101, 1024)",
            "Network error occurred: HTTPSConnectionPool(host='127.0.0.1', port=8000)",
            "API request failed with status code: ",
            "API request failed with status code: 200\nResponse text: {}",
            "API request failed with status code: 99999999999999999999",
        ] {
            assert_eq!(ModelError::read(text), None, "{text}");
        }
    }
}
