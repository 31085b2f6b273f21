//! A steady load of requests, and what became of each.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::{JoinHandle, JoinSet};

use super::{client::Caller, requests::chat};

/// Requests sent at a steady rate until told to stop.
pub struct Load {
    stop: Arc<AtomicBool>,
    sending: JoinHandle<Vec<Outcome>>,
}

/// What became of a request.
#[derive(Debug)]
pub struct Outcome {
    /// When that was known.
    pub at: Instant,
    /// How long it took.
    pub took: Duration,
    /// The status of a whole answer and the request's id, or why there is none.
    pub answer: Result<(u16, String), String>,
}

impl Load {
    /// Begins to ask for `model`.
    pub fn start(caller: &Caller, model: &str, per_second: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (caller, body) = (caller.clone(), chat(model));
        let sending = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
            let mut requests = JoinSet::new();
            while !stopped.load(Ordering::Relaxed) {
                ticks.tick().await;
                let (caller, body) = (caller.clone(), body.clone());
                requests.spawn(async move {
                    let begun = Instant::now();
                    let answer = caller.try_ask("chat/completions", &body).await;
                    let answer = match answer {
                        Ok(answer) if answer.cut => Err("cut".to_owned()),
                        Ok(answer) => {
                            let id = answer.header("x-request-id").unwrap_or_default().to_owned();
                            Ok((answer.status, id))
                        }
                        Err(error) => Err(error.to_string()),
                    };
                    Outcome { at: Instant::now(), took: begun.elapsed(), answer }
                });
            }
            requests.join_all().await
        });
        Self { stop, sending }
    }

    /// Stops sending and waits for the requests under way.
    pub async fn stop(self) -> Vec<Outcome> {
        self.stop.store(true, Ordering::Relaxed);
        self.sending.await.expect("the load ends")
    }
}

/// Fails unless each request was answered with 200.
#[track_caller]
pub fn assert_all_answered(outcomes: &[Outcome]) {
    assert!(!outcomes.is_empty(), "nothing was sent");
    for outcome in outcomes {
        assert!(matches!(outcome.answer, Ok((200, _))), "{outcome:?}");
    }
}
