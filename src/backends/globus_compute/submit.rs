//! Sends gathered tasks to the service and hands each caller what became of his.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use jiff::Timestamp;
use metrics::counter;
use tokio::sync::{Mutex, OwnedSemaphorePermit, oneshot, watch};
use uuid::Uuid;

use super::{
    ComputeError,
    gather::Piece,
    health::Pulse,
    status::Statuses,
    waiting::{Ticket, Waiting},
};
use crate::globus::{
    GlobusError, SendError,
    budget::{Permit, Purpose},
    compute::{Accepted, ComputeApi, NewTask, ResultsTo},
};

/// Pauses before a submit that was surely not accepted is sent again.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// A service that asks for more patience than this gets its submit from the next caller.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Submits that may follow a refused one to find out whose task was refused.
const MOST_RESUBMITS: usize = 16;

/// Where a task goes. Only tasks with the same can go in one request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Address {
    pub(super) endpoint: Uuid,
    /// Nobody in this process waits for its result.
    pub(super) detached: bool,
    /// The endpoint's configuration for it, JSON.
    pub(super) config: Option<Arc<str>>,
}

/// A task whose caller waits for it to be accepted.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) task: NewTask,
    pub(super) answer: oneshot::Sender<Result<Placed, ComputeError>>,
    /// Its place among those that may wait.
    pub(super) _room: OwnedSemaphorePermit,
}

/// A task that was accepted.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) id: Uuid,
    pub(super) at: Timestamp,
    /// The right to its result, unless it is detached.
    pub(super) ticket: Option<Ticket>,
}

impl Piece for Job {
    fn size(&self) -> usize {
        self.task.size()
    }

    fn is_wanted(&self) -> bool {
        !self.answer.is_closed()
    }
}

/// The task group of this process: its results come from one queue.
#[derive(Debug)]
pub(super) struct Group {
    current: watch::Sender<Option<Uuid>>,
    /// Held by the submit that makes a new group, so that there are never two.
    founding: Mutex<()>,
}

impl Group {
    pub(super) fn new() -> Self {
        Self { current: watch::Sender::new(None), founding: Mutex::new(()) }
    }

    /// Follows the current group.
    pub(super) fn subscribe(&self) -> watch::Receiver<Option<Uuid>> {
        self.current.subscribe()
    }

    /// This group, or its queue, is gone: the next submit makes a new one.
    pub(super) fn drop_if(&self, gone: Uuid) {
        self.current.send_if_modified(|current| current.take_if(|id| *id == gone).is_some());
    }

    fn get(&self) -> Option<Uuid> {
        *self.current.borrow()
    }

    fn set(&self, group: Option<Uuid>) {
        self.current.send_if_modified(|current| {
            let changed = group.is_some() && *current != group;
            *current = group.or(*current);
            changed
        });
    }
}

/// Sends tasks for one client.
#[derive(Debug)]
pub(super) struct Submitter {
    pub(super) api: ComputeApi,
    pub(super) waiting: Arc<Waiting>,
    pub(super) group: Arc<Group>,
    pub(super) statuses: Statuses,
    pub(super) pulse: Arc<Pulse>,
}

impl Submitter {
    /// Sends jobs in one request; `permit` pays for it. When they are refused, they are sent again
    /// in smaller parts, so that one caller's task does not take the others' along.
    pub(super) async fn send(&self, to: Address, jobs: Vec<Job>, permit: Permit) {
        let mut permit = Some(permit);
        let mut parts = vec![jobs];
        let mut left = MOST_RESUBMITS;
        while let Some(mut jobs) = parts.pop() {
            jobs.retain(Piece::is_wanted);
            if jobs.is_empty() {
                continue;
            }
            let permit = self.permit(&mut permit).await;
            let tasks: Vec<NewTask> = jobs.iter().map(|job| job.task.clone()).collect();
            // From here until every ticket is made, results of unknown tasks are kept.
            let submitting = self.waiting.submitting();
            let error = match self.patiently(&to, &tasks, permit).await {
                Ok(accepted) => {
                    self.statuses.triggered(to.endpoint).await;
                    count("accepted", jobs.len());
                    let ticket = |id| {
                        (!to.detached).then(|| submitting.accepted(id, to.endpoint, accepted.group))
                    };
                    hand_out(jobs, &accepted.ids, ticket);
                    continue;
                }
                Err(error) => error,
            };
            match divide(jobs, &error) {
                Ok(smaller) if smaller.len() <= left => {
                    left -= smaller.len();
                    parts.extend(smaller);
                }
                Ok(smaller) => smaller.into_iter().for_each(|jobs| refuse(jobs, &error)),
                Err(jobs) => refuse(jobs, &error),
            }
        }
    }

    async fn permit(&self, paid: &mut Option<Permit>) -> Permit {
        match paid.take() {
            Some(permit) => permit,
            None => self.api.budget().take(Purpose::Submit).await,
        }
    }

    /// Sends again only what the service has surely not taken: a task sent twice would run twice.
    async fn patiently(
        &self,
        to: &Address,
        tasks: &[NewTask],
        permit: Permit,
    ) -> Result<Accepted, GlobusError> {
        let mut permit = Some(permit);
        let mut pauses = PAUSES.into_iter();
        loop {
            let permit = self.permit(&mut permit).await;
            let failed = match self.once(to, tasks, permit).await {
                Ok(accepted) => {
                    self.pulse.answered(None);
                    return Ok(accepted);
                }
                Err(failed) => failed,
            };
            self.pulse.answered(Some(&failed.error));
            let again = failed.not_accepted && failed.error.is_passing();
            let Some(pause) = pauses.next().filter(|_| again) else { return Err(failed.error) };
            let pause = failed.error.retry_after().unwrap_or(pause);
            if pause > LONGEST_PAUSE {
                return Err(failed.error);
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn once(
        &self,
        to: &Address,
        tasks: &[NewTask],
        permit: Permit,
    ) -> Result<Accepted, SendError> {
        let send = |permit, results| {
            self.api.submit(permit, to.endpoint, results, tasks, to.config.as_deref())
        };
        if to.detached {
            return send(permit, ResultsTo::Storage).await;
        }
        let mut permit = Some(permit);
        if let Some(group) = self.group.get() {
            let permit = self.permit(&mut permit).await;
            match send(permit, ResultsTo::Queue(Some(group))).await {
                Err(failed) if is_about_group(&failed.error) => self.group.drop_if(group),
                outcome => return outcome,
            }
        }
        let _founding = self.group.founding.lock().await;
        let permit = self.permit(&mut permit).await;
        // Somebody else may have made one in the meantime.
        let accepted = send(permit, ResultsTo::Queue(self.group.get())).await?;
        self.group.set(accepted.group);
        Ok(accepted)
    }
}

/// A 404 that does not name the endpoint or the function may mean the task group.
fn is_about_group(error: &GlobusError) -> bool {
    let GlobusError::Refused { status: StatusCode::NOT_FOUND, code, message, .. } = error else {
        return false;
    };
    let said = format!("{} {message}", code.as_deref().unwrap_or_default()).to_ascii_lowercase();
    said.contains("group") || !(said.contains("endpoint") || said.contains("function"))
}

/// Parts in which refused jobs are worth another try; the jobs themselves when they are not.
fn divide(jobs: Vec<Job>, error: &GlobusError) -> Result<Vec<Vec<Job>>, Vec<Job>> {
    match error.refused_with() {
        // These are about what is called, not about the arguments.
        Some(StatusCode::FORBIDDEN | StatusCode::NOT_FOUND) => by_function(jobs),
        Some(
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY,
        ) if jobs.len() > 1 => {
            let mut left = jobs;
            let right = left.split_off(left.len() / 2);
            Ok(vec![right, left])
        }
        _ => Err(jobs),
    }
}

fn by_function(jobs: Vec<Job>) -> Result<Vec<Vec<Job>>, Vec<Job>> {
    let mut parts: Vec<Vec<Job>> = Vec::new();
    for job in jobs {
        match parts.iter_mut().find(|part| part[0].task.function == job.task.function) {
            Some(part) => part.push(job),
            None => parts.push(vec![job]),
        }
    }
    if parts.len() > 1 { Ok(parts) } else { Err(parts.pop().unwrap_or_default()) }
}

fn hand_out(jobs: Vec<Job>, ids: &[Uuid], ticket: impl Fn(Uuid) -> Option<Ticket>) {
    let at = Timestamp::now();
    for (job, id) in jobs.into_iter().zip(ids) {
        // The ticket of a caller who has gone is dropped with the answer that he does not take.
        let _ = job.answer.send(Ok(Placed { id: *id, at, ticket: ticket(*id) }));
    }
}

fn refuse(jobs: Vec<Job>, error: &GlobusError) {
    count("refused", jobs.len());
    let error = ComputeError::from(error.clone());
    for job in jobs {
        let _ = job.answer.send(Err(error.clone()));
    }
}

fn count(outcome: &'static str, tasks: usize) {
    counter!("figw_globus_submits_total", "outcome" => outcome).increment(1);
    counter!("figw_globus_tasks_total", "outcome" => outcome).increment(tasks as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: StatusCode, code: &str, message: &str) -> GlobusError {
        GlobusError::Refused {
            service: "Globus Compute",
            status,
            code: Some(code.to_owned()),
            message: message.to_owned(),
        }
    }

    fn jobs(functions: &[u128]) -> Vec<Job> {
        let room = Arc::new(tokio::sync::Semaphore::new(functions.len()));
        let job = |function: &u128| Job {
            task: NewTask::new(Uuid::from_u128(*function), "").unwrap(),
            answer: oneshot::channel().0,
            _room: Arc::clone(&room).try_acquire_owned().unwrap(),
        };
        functions.iter().map(job).collect()
    }

    fn lengths(parts: Result<Vec<Vec<Job>>, Vec<Job>>) -> Result<Vec<usize>, usize> {
        parts.map(|parts| parts.iter().map(Vec::len).collect()).map_err(|jobs| jobs.len())
    }

    #[test]
    fn refused_jobs_are_divided_where_that_can_help() {
        let invalid = refused(StatusCode::UNPROCESSABLE_ENTITY, "", "");
        assert_eq!(lengths(divide(jobs(&[1, 1, 1, 1, 1]), &invalid)), Ok(vec![3, 2]));
        assert_eq!(lengths(divide(jobs(&[1]), &invalid)), Err(1));

        let forbidden = refused(StatusCode::FORBIDDEN, "", "");
        assert_eq!(lengths(divide(jobs(&[1, 2, 1]), &forbidden)), Ok(vec![2, 1]));
        assert_eq!(lengths(divide(jobs(&[1, 1, 1]), &forbidden)), Err(3));

        let token = refused(StatusCode::UNAUTHORIZED, "", "");
        assert_eq!(lengths(divide(jobs(&[1, 2]), &token)), Err(2));
    }

    #[test]
    fn a_missing_group_is_told_from_a_missing_endpoint() {
        let not_found = StatusCode::NOT_FOUND;
        assert!(is_about_group(&refused(not_found, "TASK_GROUP_NOT_FOUND", "no such thing")));
        assert!(is_about_group(&refused(not_found, "", "not found")));
        assert!(!is_about_group(&refused(not_found, "ENDPOINT_NOT_FOUND", "no such thing")));
        assert!(!is_about_group(&refused(StatusCode::FORBIDDEN, "", "task group")));
    }

    #[test]
    fn a_group_that_is_gone_is_dropped_once() {
        let group = Group::new();
        let (old, new) = (Uuid::from_u128(1), Uuid::from_u128(2));
        group.set(Some(old));
        group.set(Some(new));
        group.drop_if(old);
        assert_eq!(group.get(), Some(new));
        group.drop_if(new);
        assert_eq!(group.get(), None);
    }
}
