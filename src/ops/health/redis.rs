//! Whether Redis answers, and takes what is written.

use super::{Finding, Measure, State, Subject, Unit};
use crate::cache;

/// Without Redis each instance goes by itself, so nothing here is critical.
pub(super) async fn check(subject: &Subject) -> Option<Finding> {
    let url = match subject.config.cache.redis_url.as_ref()?.reveal() {
        Ok(url) => url,
        Err(error) => return Some(Finding::new(State::Unknown, error.to_string())),
    };
    let seen = match cache::inspect(&url).await {
        Ok(seen) => seen,
        Err(error) => {
            let evidence = format!(
                "Redis: {error}; each instance keeps its own limits until it is back; look whether \
                 it runs and takes writes"
            );
            return Some(Finding::new(State::Warning, evidence));
        }
    };
    let took = Measure::seconds("redis_time", seen.round_trip.as_secs_f64());
    #[allow(clippy::cast_precision_loss, reason = "a number to be drawn")]
    let used = seen.used_memory.map(|used| {
        let most = seen.most_memory.map(|most| most as f64);
        Measure::new("redis_memory", used as f64, Unit::Bytes).above(most.map(|m| m * 0.9), most)
    });
    let finding = Finding::new(State::Ok, "Redis answers and takes writes");
    Some(finding.measuring([Some(took), used].into_iter().flatten()))
}
