//! Answers of slow services: asked for once however many wait for them, and kept for a while.

use std::{
    fmt,
    future::Future,
    time::{Duration, Instant},
};

use moka::{Expiry, future::Cache};

/// Answers by their key. Cloning shares them.
#[derive(Clone)]
pub struct Kept<T> {
    answers: Cache<String, Entry<T>>,
}

/// An answer, and for how long it is good.
#[derive(Clone)]
struct Entry<T> {
    answer: T,
    keep: Duration,
}

struct KeepsItsTime;

impl<T> Expiry<String, Entry<T>> for KeepsItsTime {
    fn expire_after_create(&self, _: &String, entry: &Entry<T>, _: Instant) -> Option<Duration> {
        Some(entry.keep)
    }

    /// An answer that has expired, but is still there, counts as updated by the next one.
    fn expire_after_update(
        &self,
        _: &String,
        entry: &Entry<T>,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.keep)
    }
}

impl<T: Clone + Send + Sync + 'static> Kept<T> {
    /// Keeps at most `most` answers.
    #[must_use]
    pub fn new(most: u64) -> Self {
        Self { answers: Cache::builder().max_capacity(most).expire_after(KeepsItsTime).build() }
    }

    /// The answer kept under `key`, or else the one that `ask` brings, with how long it is to be
    /// kept. Whoever comes meanwhile waits for the same answer. Asking goes on when its first caller
    /// leaves, so that the next one finds the answer.
    ///
    /// `None` when asking was cut off, which happens while the process stops.
    pub async fn get(
        &self,
        key: &str,
        ask: impl Future<Output = (T, Duration)> + Send + 'static,
    ) -> Option<T> {
        if let Some(entry) = self.answers.get(key).await {
            return Some(entry.answer);
        }
        let (answers, key) = (self.answers.clone(), key.to_owned());
        let asking = tokio::spawn(async move {
            let asked = async {
                let (answer, keep) = ask.await;
                Entry { answer, keep }
            };
            answers.get_with(key, asked).await.answer
        });
        asking.await.ok()
    }
}

impl<T> fmt::Debug for Kept<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("answers", &self.answers.entry_count()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use tokio::time::{sleep, timeout};

    use super::*;

    /// A service that counts how often it is asked and takes its time.
    #[derive(Clone, Default)]
    struct Slow(Arc<AtomicU32>);

    impl Slow {
        async fn ask(self, keep: Duration) -> (u32, Duration) {
            sleep(Duration::from_millis(50)).await;
            (self.0.fetch_add(1, Ordering::SeqCst) + 1, keep)
        }
    }

    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn a_hundred_callers_cause_one_question() {
        let (kept, slow) = (Kept::new(4), Slow::default());
        let callers = (0..100).map(|_| {
            let (kept, slow) = (kept.clone(), slow.clone());
            tokio::spawn(async move { kept.get("a", slow.ask(LONG)).await })
        });
        for caller in callers.collect::<Vec<_>>() {
            assert_eq!(caller.await.unwrap(), Some(1));
        }
        assert_eq!(kept.get("b", slow.ask(LONG)).await, Some(2), "another key is another question");
    }

    #[tokio::test]
    async fn a_caller_that_leaves_does_not_end_the_question() {
        let (kept, slow) = (Kept::new(4), Slow::default());
        let hurried = kept.get("a", slow.clone().ask(LONG));
        assert!(timeout(Duration::from_millis(5), hurried).await.is_err());
        assert_eq!(kept.get("a", slow.clone().ask(LONG)).await, Some(1));
        assert_eq!(slow.0.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn an_answer_is_kept_for_its_own_time() {
        let (kept, slow) = (Kept::new(4), Slow::default());
        let brief = Duration::from_millis(40);
        for expected in 1..=3 {
            assert_eq!(kept.get("a", slow.clone().ask(brief)).await, Some(expected));
            assert_eq!(kept.get("a", slow.clone().ask(brief)).await, Some(expected));
            sleep(brief * 2).await;
        }
    }
}
