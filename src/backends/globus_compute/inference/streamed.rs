//! The body of a streamed answer: what its function posts, until the posts or the task end it.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use serde::Deserialize;
use sync_wrapper::SyncWrapper;
use tokio::time::Sleep;

use super::{
    super::{
        ComputeError, Submitted,
        streams::{End, Inbox, MOST_WAITING, Piece},
    },
    Unanswered,
};
use crate::{
    backends::{AnswerBody, BoxError, Told},
    domain::Route,
    globus::codec::PyValue,
};

/// FIRST's function gives up on a post of data after this time, and then goes on.
const GRACE: Duration = Duration::from_secs(2);

/// How long the task may take to say how much it has sent, where posts may have been lost.
const PROOF: Duration = Duration::from_secs(10);

type Outcome = Result<PyValue, ComputeError>;

/// A streamed answer, still coming.
pub(super) struct StreamedAnswer {
    inbox: Inbox,
    task: TaskState,
    /// What was read before the answer's head went out.
    first: Option<Step>,
    route: Route,
    /// How long posts may still be on their way when their task has ended.
    grace: Duration,
    /// Until when a stream that is said to be done, but may have a gap, waits for its task.
    proof: Option<Pin<Box<Sleep>>>,
    ended: bool,
}

/// What is known of the task behind a stream.
enum TaskState {
    Running(SyncWrapper<Pin<Box<dyn Future<Output = Outcome> + Send>>>),
    /// It has ended well; posts may still come for a while.
    Returned(Summary, Option<Pin<Box<Sleep>>>),
    /// Its end will not be heard of; its posts may go on all the same.
    Unknown,
}

/// What FIRST's function returns when it has streamed; other functions may return less.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Summary {
    status: String,
    error: String,
    /// Lines of the model's stream. Fewer come here when posts were given up; some of those may
    /// still be on their way.
    total_chunks: Option<u64>,
}

enum Step {
    Events(Bytes),
    /// All of it has been read.
    End,
    Failed(Failure),
}

/// Why a stream cannot be completed.
enum Failure {
    /// The words of the function, or of Globus Compute about it.
    Function(String),
    Compute(ComputeError),
    /// Lines that the model has sent did not come here.
    Lost,
    Overrun,
}

impl StreamedAnswer {
    pub(super) fn new(inbox: Inbox, submitted: Submitted, route: Route, deadline: Instant) -> Self {
        Self::waiting_for(inbox, Box::pin(submitted.result_by(deadline)), route, GRACE)
    }

    fn waiting_for(
        inbox: Inbox,
        result: Pin<Box<dyn Future<Output = Outcome> + Send>>,
        route: Route,
        grace: Duration,
    ) -> Self {
        let task = TaskState::Running(SyncWrapper::new(result));
        Self { inbox, task, first: None, route, grace, proof: None, ended: false }
    }

    /// Waits for the first events, so that a failure before them can still have its own status.
    pub(super) async fn begun(mut self) -> Result<AnswerBody, Unanswered> {
        match std::future::poll_fn(|cx| self.poll_step(cx)).await {
            Step::Failed(failure) => Err(failure.before_the_answer()),
            first => {
                self.first = Some(first);
                Ok(self.boxed())
            }
        }
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        loop {
            match self.inbox.poll_piece(cx) {
                Poll::Ready(Piece::End(End::Done)) if self.inbox.is_in_doubt() => {
                    return self.poll_proof(cx);
                }
                Poll::Ready(piece) => return Poll::Ready(piece.into()),
                Poll::Pending => {}
            }
            match &mut self.task {
                TaskState::Unknown => return Poll::Pending,
                TaskState::Running(result) => {
                    let outcome = ready!(result.get_mut().as_mut().poll(cx));
                    // Posts have been taken meanwhile, perhaps: they are read first.
                    match self.task_ended(outcome) {
                        Ok(state) => self.task = state,
                        Err(failure) => return Poll::Ready(Step::Failed(failure)),
                    }
                }
                TaskState::Returned(summary, grace) => {
                    if let Some(grace) = grace {
                        ready!(grace.as_mut().poll(cx));
                    }
                    return Poll::Ready(summary.verdict(self.inbox.lines()));
                }
            }
        }
    }

    /// The function says that it is done, while posts to other instances may have been lost: what it
    /// returns tells how many lines there were. Where that cannot be had, its word counts.
    fn poll_proof(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let expected = match &mut self.task {
            TaskState::Unknown => None,
            TaskState::Returned(summary, _) => summary.total_chunks,
            TaskState::Running(result) => {
                let proof = self.proof.get_or_insert_with(|| Box::pin(tokio::time::sleep(PROOF)));
                match result.get_mut().as_mut().poll(cx) {
                    Poll::Ready(Ok(value)) => Summary::of(value).total_chunks,
                    Poll::Ready(Err(_)) => None,
                    Poll::Pending => {
                        ready!(proof.as_mut().poll(cx));
                        None
                    }
                }
            }
        };
        Poll::Ready(match expected {
            Some(expected) if self.inbox.lines() < expected => Step::Failed(Failure::Lost),
            _ => Step::End,
        })
    }

    fn task_ended(&self, outcome: Outcome) -> Result<TaskState, Failure> {
        let summary = match outcome {
            Ok(value) => Summary::of(value),
            Err(ComputeError::Failed(text)) => return Err(Failure::Function(text)),
            Err(ComputeError::Unreadable(reason)) => {
                tracing::warn!(reason, "the summary of a stream cannot be read");
                Summary::default()
            }
            Err(error @ ComputeError::Unavailable { .. }) => {
                tracing::warn!(%error, "the end of a streaming task will not be heard of");
                return Ok(TaskState::Unknown);
            }
            Err(error) => return Err(Failure::Compute(error)),
        };
        if summary.status == "error" {
            return Err(Failure::Function(summary.error));
        }
        let all_here = summary.total_chunks.is_some_and(|n| self.inbox.lines() >= n);
        let grace = (!all_here).then(|| Box::pin(tokio::time::sleep(self.grace)));
        Ok(TaskState::Returned(summary, grace))
    }

    /// What is still to be said when all has been read.
    fn last_words(&self) -> Option<Frame<Bytes>> {
        // The other routes end with events of their own.
        matches!(self.route, Route::ChatCompletions | Route::Completions)
            .then(|| Frame::data(Bytes::from_static(b"data: [DONE]\n\n")))
    }
}

impl Body for StreamedAnswer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let step = match self.first.take() {
            Some(first) => first,
            None => ready!(self.poll_step(cx)),
        };
        self.ended = !matches!(step, Step::Events(_));
        Poll::Ready(match step {
            Step::Events(events) => Some(Ok(Frame::data(events))),
            Step::End => self.last_words().map(Ok),
            Step::Failed(failure) => Some(Err(failure.in_the_answer().into())),
        })
    }
}

impl From<Piece> for Step {
    fn from(piece: Piece) -> Self {
        match piece {
            Piece::Events(events) => Self::Events(events),
            Piece::End(End::Done) => Self::End,
            Piece::End(End::Failed(text)) => Self::Failed(Failure::Function(text)),
            Piece::End(End::Overrun) => Self::Failed(Failure::Overrun),
            Piece::End(End::Lost) => Self::Failed(Failure::Lost),
        }
    }
}

impl Summary {
    fn of(value: PyValue) -> Self {
        let document = value.into_document();
        serde_json::from_str(&document).unwrap_or_else(|error| {
            // In its own words it would quote what was returned.
            let (reason, length) = (error.classify(), document.len());
            tracing::debug!(?reason, length, "a streaming function returned no summary");
            Self::default()
        })
    }

    /// Whether the stream is whole although nobody said that it is done.
    fn verdict(&self, lines: u64) -> Step {
        let expected = self.total_chunks.unwrap_or(1).max(1);
        if lines >= expected {
            return Step::End;
        }
        tracing::warn!(
            lines,
            expected,
            "lines of a stream did not reach this gateway; if none ever do, check that compute \
             nodes reach globus_compute.streaming_public_url, that it leads to this instance or to \
             one with the same cache.redis_url, and that all have the same streaming_secret"
        );
        Step::Failed(Failure::Lost)
    }
}

impl Failure {
    /// Nothing has been said to the caller yet.
    fn before_the_answer(self) -> Unanswered {
        match self {
            Self::Function(text) => Unanswered::of_function(text),
            Self::Compute(error) => error.into(),
            Self::Lost | Self::Overrun => Unanswered::NothingCame,
        }
    }

    /// The caller has part of an answer, and gets to know why there is no more.
    fn in_the_answer(self) -> Told {
        let mut words = None;
        let what = match self {
            Self::Function(text) => {
                let of_model = super::ModelError::read(&text);
                let status = of_model.as_ref().map(|error| error.status.as_u16());
                let error = ComputeError::Failed(text);
                tracing::warn!(status, %error, "a function failed in the middle of its stream");
                words = of_model.and_then(|error| error.message());
                "the model failed in the middle of its answer".to_owned()
            }
            Self::Compute(error) => {
                tracing::warn!(%error, "a streaming task failed");
                "the model's task failed in the middle of its answer".to_owned()
            }
            Self::Lost => "a part of the answer was lost on its way from the cluster".to_owned(),
            Self::Overrun => format!(
                "more than {} MiB of this stream waited for its reader, so it was given up",
                MOST_WAITING / (1024 * 1024)
            ),
        };
        Told { what, words }
    }
}

#[cfg(test)]
mod tests;
