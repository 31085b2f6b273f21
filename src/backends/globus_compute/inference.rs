//! Inference through a function on a cluster.
//!
//! The caller's request becomes the one argument of the function that FIRST registers for a model
//! server (auroraGPT-ANL/inference-gateway, `compute-functions/vllm_register_function*.py`). The
//! function sends it to the server next to it and returns the answer as a JSON document, or, for a
//! stream, posts it to [`super::streams`].

mod argument;
mod model_error;
mod streamed;

use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Full};
use uuid::Uuid;

use super::{
    Compute, ComputeError, Task,
    streams::{StreamHub, StreamTicket},
};
use crate::{
    backends::{Answer, AnswerBody, Call},
    domain::endpoint,
    globus::codec::task_payload,
};
use argument::Argument;
pub use model_error::ModelError;
use streamed::StreamedAnswer;

/// Bodies from this size on, in bytes, are rewritten aside, because other requests of the thread
/// must not wait for them.
const LONG_BODY: usize = 256 * 1024;

/// Which function answers for a model, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GlobusTarget {
    /// The Globus Compute endpoint.
    pub endpoint: Uuid,
    function: Uuid,
    api_port: u16,
}

impl GlobusTarget {
    /// Reads an endpoint's settings.
    ///
    /// # Errors
    /// Which of them is not a UUID.
    pub fn new(settings: &endpoint::GlobusCompute) -> Result<Self, String> {
        let uuid = |name: &str, text: &str| {
            Uuid::try_parse(text.trim()).map_err(|_| format!("{name} `{text}` is not a UUID"))
        };
        Ok(Self {
            endpoint: uuid("endpoint_uuid", &settings.endpoint_uuid)?,
            function: uuid("function_uuid", &settings.function_uuid)?,
            api_port: settings.api_port,
        })
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// The task has no result.
    #[error(transparent)]
    Compute(#[from] ComputeError),
    /// The model's server refused the request, or failed.
    #[error("the model answered with status {}", .0.status.as_u16())]
    Model(ModelError),
    /// A stream was asked for, and no function could send it here.
    #[error("streaming is not set up")]
    NoStreaming,
    /// The function has ended, and its stream has not come here.
    #[error("nothing of the stream came from the cluster")]
    NothingCame,
    /// The body cannot be made into an argument.
    #[error("the request cannot be read: {0}")]
    Invalid(#[from] serde_json::Error),
    /// The operating system has no random bytes to give.
    #[error("no random bytes: {0}")]
    NoRandom(#[from] getrandom::Error),
}

impl Unanswered {
    /// What the text of a failed function says.
    fn of_function(text: String) -> Self {
        match ModelError::read(&text) {
            Some(error) => Self::Model(error),
            None => Self::Compute(ComputeError::Failed(text)),
        }
    }
}

/// Has a request answered on a cluster; a streamed answer is returned with its first event. The
/// caller waits for the task's end until `deadline`.
///
/// Dropping the future, or later the answer's body, gives up waiting. The task goes on, for Globus
/// Compute cannot stop one, and what it posts is refused.
///
/// # Errors
/// Why there is no answer.
pub async fn send(
    compute: &Compute,
    hub: Option<&StreamHub>,
    target: &GlobusTarget,
    call: Call,
    deadline: Instant,
) -> Result<Answer, Unanswered> {
    if call.stream {
        let hub = hub.ok_or(Unanswered::NoStreaming)?;
        let (ticket, inbox) = hub.open()?;
        let route = call.route;
        let task = task(target, call, Some((hub, &ticket))).await?;
        let submitted = compute.submit(task).await?;
        tracing::debug!(task = %submitted.id, stream = %ticket.task, "a streaming task is submitted");
        let answer = StreamedAnswer::new(inbox, submitted, route, deadline).begun().await?;
        return Ok(ok("text/event-stream", answer));
    }
    let submitted = compute.submit(task(target, call, None).await?).await?;
    tracing::debug!(task = %submitted.id, "a task is submitted");
    match submitted.result_by(deadline).await {
        Ok(value) => Ok(ok("application/json", whole(value.into_document().into()))),
        Err(ComputeError::Failed(text)) => Err(Unanswered::of_function(text)),
        Err(error) => Err(error.into()),
    }
}

async fn task(
    target: &GlobusTarget,
    call: Call,
    stream: Option<(&StreamHub, &StreamTicket)>,
) -> Result<Task, Unanswered> {
    let argument = Argument::new(&call, target.api_port, stream);
    let length = usize::try_from(call.body.len()).unwrap_or(usize::MAX);
    let payload = move || argument.around(&call.body).map(|argument| task_payload(Some(&argument)));
    let payload = if length < LONG_BODY {
        payload()
    } else {
        // It fails only while the runtime is shutting down, when nobody waits for the answer.
        tokio::task::spawn_blocking(payload).await.map_err(|_| ComputeError::Unavailable {
            reason: "figw is stopping".to_owned(),
            retry_after: None,
        })?
    };
    Ok(Task {
        endpoint: target.endpoint,
        function: target.function,
        payload: payload?,
        user_endpoint_config: None,
    })
}

fn ok(content_type: &'static str, body: AnswerBody) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    Answer { status: StatusCode::OK, headers, body }
}

fn whole(bytes: Bytes) -> AnswerBody {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

impl ModelError {
    /// The model's own answer, where it is a JSON object.
    ///
    /// # Errors
    /// The error itself, where its text has to be put into words.
    pub fn into_answer(mut self) -> Result<Answer, Self> {
        match self.document.take() {
            Some(document) => {
                let answer = ok("application/json", whole(document.into()));
                Ok(Answer { status: self.status, ..answer })
            }
            None => Err(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_needs_two_uuids() {
        let mut settings = endpoint::GlobusCompute {
            api_port: 8000,
            endpoint_uuid: "00000000-0000-4000-8000-000000000501".to_owned(),
            function_uuid: " 00000000-0000-4000-8000-000000000502 ".to_owned(),
            batch_endpoint_uuid: None,
            batch_function_uuid: None,
            max_in_flight: None,
        };
        assert_eq!(GlobusTarget::new(&settings).unwrap().api_port, 8000);
        settings.function_uuid = "vllm".to_owned();
        let wrong = GlobusTarget::new(&settings).unwrap_err();
        assert_eq!(wrong, "function_uuid `vllm` is not a UUID");
    }
}
