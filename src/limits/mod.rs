//! Limits on callers.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock};

/// Requests per second that each user may make on this instance.
#[derive(Debug, Default)]
pub struct RequestLimits {
    limiter: Option<DefaultKeyedRateLimiter<Arc<str>>>,
}

impl RequestLimits {
    /// Allows each user `per_second` requests, in bursts of at most as many; 0 means no limit.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        let limiter =
            NonZeroU32::new(per_second).map(|rate| RateLimiter::keyed(Quota::per_second(rate)));
        Self { limiter }
    }

    /// Takes one request from the user's allowance.
    ///
    /// # Errors
    /// How long to wait when there is none left.
    pub fn take(&self, user: &Arc<str>) -> Result<(), Duration> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        limiter.check_key(user).map_err(|refused| refused.wait_time_from(limiter.clock().now()))
    }

    /// Forgets users whose allowance is full again. Cheap; meant to be called now and then.
    pub fn forget_idle(&self) {
        if let Some(limiter) = &self.limiter {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}
