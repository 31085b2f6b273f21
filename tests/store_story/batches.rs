//! The part of the store's story that is about batches.

use std::{sync::Arc, time::Duration};

use figw::{
    domain::{Batch, BatchMetrics, BatchOutcome, BatchStatus},
    store::{Admission, Store},
};
use jiff::SignedDuration;
use uuid::Uuid;

use crate::support::samples::{Counter, batch, now};

/// Longer than the story takes.
const LEASE: Duration = Duration::from_mins(1);

const NONE: [Uuid; 0] = [];

pub(crate) async fn the_story(store: &Arc<dyn Store>, counter: &Counter<'_>) {
    the_same_input_waits_for_the_first(store.as_ref()).await;
    of_many_at_once_the_quota_is_admitted(store).await;
    of_many_on_one_file_one_is_admitted(store).await;
    one_that_is_never_submitted_is_given_up(store.as_ref()).await;
    the_owner_sees_it_and_nobody_else(store.as_ref()).await;
    each_has_one_follower(store).await;
    a_lease_that_ends_is_taken_over(store.as_ref()).await;
    it_ends_once(store.as_ref(), counter).await;
}

async fn admitted(store: &dyn Store, user: &str, file: &str) -> Batch {
    let batch = Batch { user: user.to_owned(), ..batch(file) };
    assert_eq!(store.create_batch(&batch, 0).await.unwrap(), Admission::Admitted);
    batch
}

async fn submitted(store: &dyn Store, user: &str, file: &str) -> Batch {
    let batch = admitted(store, user, file).await;
    assert!(store.batch_submitted(batch.id, Uuid::new_v4(), now()).await.unwrap());
    store.batch(user, batch.id).await.unwrap().unwrap()
}

fn completed() -> BatchOutcome {
    let metrics = BatchMetrics { total_tokens: Some(9_000_000_000), responses: Some(3) };
    BatchOutcome::Completed { result: r#"{"results_file": "é"}"#.to_owned(), metrics }
}

async fn the_same_input_waits_for_the_first(store: &dyn Store) {
    let first = admitted(store, "eva", "/in").await;
    let again = Batch { user: "eva".to_owned(), ..batch("/in") };
    let refused = store.create_batch(&again, 0).await.unwrap();
    assert_eq!(refused, Admission::SameInput(first.id));
    admitted(store, "someone else", "/in").await;
    assert!(store.finish_batch(first.id, &completed(), now()).await.unwrap());
    assert_eq!(store.create_batch(&again, 1).await.unwrap(), Admission::Admitted);
    let third = Batch { user: "eva".to_owned(), ..batch("/in/3") };
    assert_eq!(store.create_batch(&third, 1).await.unwrap(), Admission::OverQuota);
    assert_eq!(store.create_batch(&third, 2).await.unwrap(), Admission::Admitted);
}

async fn created_together(store: &Arc<dyn Store>, batches: Vec<Batch>) -> Vec<Admission> {
    let attempts: Vec<_> = batches
        .into_iter()
        .map(|batch| {
            let store = Arc::clone(store);
            tokio::spawn(async move { store.create_batch(&batch, 3).await.unwrap() })
        })
        .collect();
    let mut outcomes = Vec::new();
    for attempt in attempts {
        outcomes.push(attempt.await.unwrap());
    }
    outcomes
}

async fn of_many_at_once_the_quota_is_admitted(store: &Arc<dyn Store>) {
    let batches = (0..20).map(|n| Batch { user: "bob".to_owned(), ..batch(&format!("/{n}")) });
    let outcomes = created_together(store, batches.collect()).await;
    assert_eq!(outcomes.iter().filter(|o| **o == Admission::Admitted).count(), 3);
    assert_eq!(outcomes.iter().filter(|o| **o == Admission::OverQuota).count(), 17);
}

async fn of_many_on_one_file_one_is_admitted(store: &Arc<dyn Store>) {
    let batches = (0..20).map(|_| Batch { user: "cy".to_owned(), ..batch("/same") });
    let outcomes = created_together(store, batches.collect()).await;
    let kept = store.batches("cy", None).await.unwrap();
    assert_eq!(kept.len(), 1);
    let others = Admission::SameInput(kept[0].id);
    assert_eq!(outcomes.iter().filter(|o| **o == Admission::Admitted).count(), 1);
    assert_eq!(outcomes.iter().filter(|o| **o == others).count(), 19);
}

async fn one_that_is_never_submitted_is_given_up(store: &dyn Store) {
    let late = Batch {
        user: "dora".to_owned(),
        submit_by: now() - SignedDuration::from_secs(1),
        ..batch("/late")
    };
    assert_eq!(store.create_batch(&late, 1).await.unwrap(), Admission::Admitted);
    let done = submitted(store, "dora", "/in time").await;
    let slow_clock = Batch { user: "dora".to_owned(), ..batch("/an hour behind") };
    let slow_clock = Batch {
        created_at: slow_clock.created_at - SignedDuration::from_hours(1),
        submit_by: slow_clock.submit_by - SignedDuration::from_hours(1),
        ..slow_clock
    };
    assert_eq!(store.create_batch(&slow_clock, 0).await.unwrap(), Admission::Admitted);
    assert_eq!(store.give_up_unsubmitted("nobody knows").await.unwrap(), [late.id]);
    assert_eq!(store.give_up_unsubmitted("nobody knows").await.unwrap(), NONE);
    let given_up = store.batch("dora", late.id).await.unwrap().unwrap();
    assert_eq!(given_up.status, BatchStatus::Failed);
    assert_eq!(given_up.error.as_deref(), Some("nobody knows"));
    assert!(given_up.finished_at.is_some());
    let too_late = store.batch_submitted(late.id, Uuid::new_v4(), now()).await.unwrap();
    assert!(!too_late, "what was given up stays so");
    let task = done.task.unwrap();
    assert!(store.batch_submitted(done.id, task, now()).await.unwrap(), "the same again");
    assert!(!store.batch_submitted(done.id, Uuid::new_v4(), now()).await.unwrap(), "another");
    assert_eq!(store.batch("dora", done.id).await.unwrap().unwrap().task, Some(task));
}

async fn the_owner_sees_it_and_nobody_else(store: &dyn Store) {
    let kept = admitted(store, "fay", "/data/é 1.jsonl").await;
    let read = store.batch("fay", kept.id).await.unwrap().unwrap();
    assert!(read.submit_by.duration_since(kept.submit_by).abs() < SignedDuration::from_mins(1));
    assert_eq!(Batch { submit_by: kept.submit_by, ..read }, kept);
    assert_eq!(store.batch("gus", kept.id).await.unwrap(), None);
    assert_eq!(store.batch("fay", Uuid::now_v7()).await.unwrap(), None);
    let newer = submitted(store, "fay", "/2").await;
    store.batch_running(newer.id).await.unwrap();
    let ids = async |status| {
        let list = store.batches("fay", status).await.unwrap();
        list.iter().map(|batch| batch.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(None).await, [newer.id, kept.id], "the newest first");
    assert_eq!(ids(Some(BatchStatus::Running)).await, [newer.id]);
    assert_eq!(ids(Some(BatchStatus::Pending)).await, [kept.id]);
    assert_eq!(ids(Some(BatchStatus::Completed)).await, NONE);

    assert_eq!(store.batch_result("fay", newer.id).await.unwrap(), None);
    assert!(store.finish_batch(newer.id, &completed(), now()).await.unwrap());
    let result = store.batch_result("fay", newer.id).await.unwrap();
    assert_eq!(result.as_deref(), completed().result());
    assert_eq!(store.batch_result("gus", newer.id).await.unwrap(), None);
}

/// Ids of this user's batches that `follower` gets.
async fn claim(store: &dyn Store, follower: Uuid, user: &str) -> Vec<Uuid> {
    let claimed = store.claim_batches(follower, LEASE).await.unwrap();
    claimed.iter().filter(|batch| batch.user == user).map(|batch| batch.id).collect()
}

async fn each_has_one_follower(store: &Arc<dyn Store>) {
    let mut expected = Vec::new();
    for n in 0..30 {
        expected.push(submitted(store.as_ref(), "hal", &format!("/{n}")).await.id);
    }
    admitted(store.as_ref(), "hal", "/without a task").await;
    let followers = (0..8).map(|_| {
        let store = Arc::clone(store);
        tokio::spawn(async move { claim(store.as_ref(), Uuid::new_v4(), "hal").await })
    });
    let mut claimed = Vec::new();
    for follower in followers.collect::<Vec<_>>() {
        claimed.extend(follower.await.unwrap());
    }
    claimed.sort_unstable();
    assert_eq!(claimed, expected, "each is claimed, and by one follower only");
}

async fn a_lease_that_ends_is_taken_over(store: &dyn Store) {
    let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
    let batch = submitted(store, "ida", "/1").await;
    let short = Duration::from_millis(1_500);
    let claimed = store.claim_batches(first, short).await.unwrap();
    assert!(claimed.contains(&batch), "{claimed:?}");
    assert_eq!(claim(store, second, "ida").await, NONE);
    tokio::time::sleep(short / 2).await;
    store.renew_batches(first, short).await.unwrap();
    store.renew_batches(second, LEASE).await.unwrap();
    tokio::time::sleep(short * 2 / 3).await;
    assert_eq!(claim(store, second, "ida").await, NONE, "it was renewed");
    tokio::time::sleep(short).await;
    assert_eq!(claim(store, second, "ida").await, [batch.id], "it was not renewed again");
    store.renew_batches(first, LEASE).await.unwrap();
    assert_eq!(claim(store, first, "ida").await, NONE, "a lost lease cannot be renewed");
    assert_eq!(claim(store, second, "ida").await, [batch.id], "one's own can be claimed again");
}

async fn it_ends_once(store: &dyn Store, counter: &Counter<'_>) {
    let batch = submitted(store, "joe", "/1").await;
    let at = now();
    assert!(store.finish_batch(batch.id, &completed(), at).await.unwrap());
    let failed = BatchOutcome::Failed("too\0late".to_owned());
    assert!(!store.finish_batch(batch.id, &failed, now()).await.unwrap());
    store.batch_running(batch.id).await.unwrap();
    let ended = store.batch("joe", batch.id).await.unwrap().unwrap();
    let expected = Batch {
        status: BatchStatus::Completed,
        finished_at: Some(at),
        metrics: completed().metrics(),
        ..batch
    };
    assert_eq!(ended, expected);
    let query = "SELECT count(*) FROM batches WHERE username = 'joe' AND responses = 3";
    assert_eq!(counter.number(query), 1);

    let other = submitted(store, "joe", "/1").await;
    assert!(store.finish_batch(other.id, &failed, now()).await.unwrap());
    let ended = store.batch("joe", other.id).await.unwrap().unwrap();
    assert_eq!(ended.status, BatchStatus::Failed);
    assert!(ended.error.unwrap().starts_with("too"), "PostgreSQL has no NUL in its texts");
    assert!(!store.finish_batch(other.id, &failed, now()).await.unwrap());
    assert!(
        store.finish_batch(other.id, &completed(), now()).await.unwrap(),
        "here it is after all"
    );
    assert!(!store.finish_batch(other.id, &completed(), now()).await.unwrap());
    let ended = store.batch("joe", other.id).await.unwrap().unwrap();
    assert_eq!((ended.status, ended.error), (BatchStatus::Completed, None));
    assert_eq!(claim(store, Uuid::new_v4(), "joe").await, NONE);
}
