//! Results as Globus Compute's broker delivers them.
//!
//! A message is the byte 1, then JSON: a `result` of `globus_compute_common.messagepack`.

use serde::Deserialize;
use uuid::Uuid;

/// The only version of the format.
const VERSION: u8 = 1;

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its function returned; the serialised value, for [`super::codec::decode`].
    Returned(String),
    /// It failed: the exception's text, or the service's reason.
    Failed(String),
}

impl Outcome {
    /// Bytes that it holds.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Returned(text) | Self::Failed(text) => text.len(),
        }
    }

    /// Whether it holds no text at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One message.
#[derive(Debug, PartialEq, Eq)]
pub struct ResultMessage {
    /// The task that ended.
    pub task: Uuid,
    /// How.
    pub outcome: Outcome,
}

#[derive(Deserialize)]
struct Envelope {
    message_type: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    task_id: Uuid,
    #[serde(default, rename = "data")]
    text: String,
    #[serde(default)]
    error_details: Option<ErrorDetails>,
}

#[derive(Deserialize)]
struct ErrorDetails {
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    user_message: Option<String>,
}

impl ResultMessage {
    /// Reads a message's body.
    ///
    /// # Errors
    /// Why it is none.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        let json = match body.split_first() {
            Some((&VERSION, json)) => json,
            Some((other, _)) => return Err(format!("unknown version {other}")),
            None => return Err("empty".to_owned()),
        };
        let Envelope { message_type, data } =
            serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if message_type != "result" {
            let kind: String = message_type.chars().take(40).collect();
            return Err(format!("a message of type `{kind}`"));
        }
        let outcome = match data.error_details {
            None => Outcome::Returned(data.text),
            Some(details) => Outcome::Failed(details.text(data.text)),
        };
        Ok(Self { task: data.task_id, outcome })
    }

    /// Only the task that a message is about, whatever else it holds.
    #[must_use]
    pub fn task_of(body: &[u8]) -> Option<Uuid> {
        #[derive(Deserialize)]
        struct Envelope {
            data: Data,
        }
        #[derive(Deserialize)]
        struct Data {
            task_id: Uuid,
        }
        let json = body.strip_prefix(&[VERSION])?;
        serde_json::from_slice(json).ok().map(|Envelope { data }| data.task_id)
    }
}

impl ErrorDetails {
    /// The traceback says most, where there is one.
    fn text(self, traceback: String) -> String {
        if !traceback.is_empty() {
            return traceback;
        }
        self.user_message.or(self.code).unwrap_or_else(|| "no reason given".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn fixtures() -> Vec<Value> {
        let path =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/globus/fixtures/amqp_results.json");
        let text = std::fs::read(path).unwrap();
        let mut file: Value = serde_json::from_slice(&text).unwrap();
        serde_json::from_value(file["cases"].take()).unwrap()
    }

    fn body(case: &Value) -> Vec<u8> {
        let version = u8::try_from(case["version_byte"].as_u64().unwrap()).unwrap();
        let json = case["body_after_version_byte"].as_str().unwrap();
        [&[version], json.as_bytes()].concat()
    }

    #[test]
    fn what_a_real_worker_sends_is_read() {
        let cases = fixtures();
        assert!(!cases.is_empty());
        for case in cases {
            let name = &case["name"];
            let message = ResultMessage::read(&body(&case)).unwrap();
            assert_eq!(message.task.to_string(), case["expected"]["task_id"], "{name}");
            let failed = matches!(message.outcome, Outcome::Failed(_));
            assert_eq!(Some(failed), case["expected"]["is_error"].as_bool(), "{name}");
            assert!(!message.outcome.is_empty(), "{name}");
            assert_eq!(ResultMessage::task_of(&body(&case)), Some(message.task), "{name}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_a_reason() {
        for (body, reason) in [
            (&b""[..], "empty"),
            (b"\x02{}", "unknown version 2"),
            (b"\x01{", "EOF"),
            (br#"{"message_type":"result"}"#, "unknown version 123"),
            (
                b"\x01{\"message_type\":\"x\",\"data\":{\"task_id\":\"00000000-0000-4000-8000-000000000710\"}}",
                "type `x`",
            ),
            (b"\x01{\"message_type\":\"result\",\"data\":{\"task_id\":\"no\"}}", "UUID"),
        ] {
            let refused = ResultMessage::read(body).unwrap_err();
            assert!(refused.contains(reason), "{refused}");
        }
    }

    #[test]
    fn a_failure_without_a_traceback_still_says_something() {
        let body = b"\x01{\"message_type\":\"result\",\"new\":1,\"data\":{\"task_id\":\
            \"00000000-0000-4000-8000-000000000710\",\"data\":\"\",\"error_details\":\
            {\"code\":\"FUNCTION_NOT_ALLOWED\"}}}";
        let message = ResultMessage::read(body).unwrap();
        assert_eq!(message.outcome, Outcome::Failed("FUNCTION_NOT_ALLOWED".to_owned()));
    }
}
