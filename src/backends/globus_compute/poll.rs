//! Asks for results: what the broker has not delivered, and everything while there is none.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use http::StatusCode;
use tokio::sync::Notify;
use uuid::Uuid;

use super::{
    health::Pulse,
    status::Statuses,
    waiting::{Question, Source, Waiting},
};
use crate::globus::{
    GlobusError,
    budget::{Permit, Purpose},
    compute::{ComputeApi, MOST_IDS, Progress},
    results::Outcome,
};

/// Between two questions, each of which is about all tasks.
const PACE: Duration = Duration::from_secs(1);

/// After a failure: the first pause, doubled each time up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(16);

/// Asks for what is due, for as long as the process runs.
#[derive(Debug)]
pub(super) struct Poller {
    pub(super) api: ComputeApi,
    pub(super) waiting: Arc<Waiting>,
    pub(super) statuses: Statuses,
    pub(super) pulse: Arc<Pulse>,
    /// Told when the broker did not deliver what it should have.
    pub(super) suspicion: Arc<Notify>,
}

impl Poller {
    /// One question at a time: a result may be readable only once, and asking for it in two places
    /// would lose it.
    pub(super) async fn run(self) {
        let mut pause = FIRST_PAUSE;
        loop {
            self.until_due().await;
            // Taken first: whatever is accepted while it is waited for goes along.
            let permit = self.api.budget().take(Purpose::Poll).await;
            let next = tokio::time::Instant::now() + PACE;
            let questions = self.waiting.due(Instant::now(), MOST_IDS);
            if questions.is_empty() {
                continue;
            }
            let ids: Vec<Uuid> = questions.iter().map(|question| question.id).collect();
            let Found { mut progress, error } = ask(&self.api, permit, &ids).await;
            self.pulse.answered(error.as_ref());
            for question in questions {
                if let Some(progress) = progress.remove(&question.id) {
                    self.take(question, progress).await;
                }
            }
            if error.is_some() {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            } else {
                pause = FIRST_PAUSE;
                tokio::time::sleep_until(next).await;
            }
        }
    }

    async fn until_due(&self) {
        loop {
            let Some(at) = self.waiting.next_question() else {
                self.waiting.changed().await;
                continue;
            };
            if at <= Instant::now() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep_until(at.into()) => {}
                () = self.waiting.changed() => {}
            }
        }
    }

    async fn take(&self, question: Question, progress: Progress) {
        let id = question.id;
        match progress {
            Progress::Pending(_) => {}
            Progress::Missing(reason) => {
                if !self.waiting.miss(id, Instant::now()) {
                    self.waiting.deliver(id, Outcome::Failed(reason), Source::Rest);
                }
            }
            Progress::Ended(outcome) => {
                let returned = matches!(outcome, Outcome::Returned(_));
                let Some(endpoint) = self.waiting.deliver(id, outcome, Source::Rest) else {
                    return;
                };
                if question.is_check {
                    self.suspicion.notify_one();
                }
                if returned {
                    self.statuses.has_worked(endpoint).await;
                }
            }
        }
    }
}

/// What could be found out. Whatever was read before an error must not be lost.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) progress: HashMap<Uuid, Progress>,
    pub(super) error: Option<GlobusError>,
}

/// Where these tasks stand. One id that the service does not like spoils only its own answer.
/// `permit` pays for the first request.
pub(super) async fn ask(api: &ComputeApi, permit: Permit, ids: &[Uuid]) -> Found {
    let mut found = Found::default();
    let mut permit = Some(permit);
    let mut pieces: Vec<&[Uuid]> = ids.chunks(MOST_IDS).rev().collect();
    while let Some(piece) = pieces.pop() {
        let permit = match permit.take() {
            Some(permit) => permit,
            None => api.budget().take(Purpose::Poll).await,
        };
        let outcome = match (api.batch_status(permit, piece).await, piece) {
            (Ok(progress), _) => {
                found.progress.extend(progress);
                Ok(())
            }
            (Err(error), [id]) if is_about_ids(&error) => alone(api, *id).await.map(|progress| {
                found.progress.insert(*id, progress);
            }),
            (Err(error), _) if is_about_ids(&error) => {
                let (left, right) = piece.split_at(piece.len() / 2);
                pieces.extend([right, left]);
                Ok(())
            }
            (Err(error), _) => Err(error),
        };
        if let Err(error) = outcome {
            found.error = Some(error);
            break;
        }
    }
    found
}

async fn alone(api: &ComputeApi, id: Uuid) -> Result<Progress, GlobusError> {
    match api.task(id).await {
        Err(error) if is_about_ids(&error) => Ok(Progress::Missing(error.to_string())),
        outcome => outcome,
    }
}

fn is_about_ids(error: &GlobusError) -> bool {
    error.refused_with().is_some_and(|status| {
        [
            StatusCode::BAD_REQUEST,
            StatusCode::NOT_FOUND,
            StatusCode::PAYLOAD_TOO_LARGE,
            StatusCode::UNPROCESSABLE_ENTITY,
        ]
        .contains(&status)
    })
}
