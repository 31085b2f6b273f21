//! How an endpoint is doing, as its own requests tell. Atomics throughout: nobody waits for anybody.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicU8, AtomicU32, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
    time::Duration,
};

use metrics::{Counter, Gauge, counter, gauge};
use tokio::sync::Notify;

use super::breaker::{Breaker, BreakerPolicy, Fault, Gate, Pass};
use crate::{backends::Presence, domain::Moment};

/// How long an endpoint that is too busy is left alone when it does not say.
const USUAL_PAUSE: Duration = Duration::from_secs(1);

/// What is known of one endpoint. It outlives changes of the catalogue that leave its address.
pub struct Vitals {
    slug: String,
    breaker: Breaker,
    in_flight: AtomicU32,
    /// Until when it asked to be left alone.
    busy_until: AtomicU64,
    /// When somebody last had the beginning of an answer.
    last_answer: AtomicU64,
    /// When it was last found to answer nobody.
    last_silence: AtomicU64,
    /// When it was last one of several endpoints that a request could go to.
    last_considered: AtomicU64,
    presence: AtomicU8,
    /// Told when a request ends where their number is limited.
    seat_freed: Notify,
    meters: Meters,
}

struct Meters {
    in_flight: Gauge,
    open: Gauge,
    opened: Counter,
    retries: Counter,
}

impl std::fmt::Debug for Vitals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vitals")
            .field("slug", &self.slug)
            .field("breaker", &self.breaker)
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

impl Vitals {
    /// Nothing is known yet of the endpoint with that slug.
    #[must_use]
    pub fn new(slug: &str) -> Arc<Self> {
        let label = || [("endpoint", slug.to_owned())];
        let meters = Meters {
            in_flight: gauge!("figw_requests_in_flight", &label()),
            open: gauge!("figw_breaker_open", &label()),
            opened: counter!("figw_breaker_opened_total", &label()),
            retries: counter!("figw_retries_total", &label()),
        };
        // Makes the series appear.
        meters.open.increment(0.0);
        Arc::new(Self {
            slug: slug.to_owned(),
            breaker: Breaker::default(),
            in_flight: AtomicU32::new(0),
            busy_until: AtomicU64::new(0),
            last_answer: AtomicU64::new(0),
            last_silence: AtomicU64::new(0),
            last_considered: AtomicU64::new(0),
            presence: AtomicU8::new(Presence::Unknown as u8),
            seat_freed: Notify::new(),
            meters,
        })
    }

    /// Requests that were sent to it and are not at their end.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// What its breaker says at `now`.
    #[must_use]
    pub fn gate(&self, now: Moment) -> Gate {
        self.breaker.gate(now)
    }

    /// Whether it has asked to be left alone at `now`.
    #[must_use]
    pub fn is_busy(&self, now: Moment) -> bool {
        Moment::from_millis(self.busy_until.load(Relaxed)) > now
    }

    /// It answered that it has too much to do. It is left alone for as long as it asks, but not for
    /// longer than an endpoint that fails.
    pub fn too_busy(&self, asked: Option<Duration>, now: Moment, policy: BreakerPolicy) {
        let pause = asked.unwrap_or(USUAL_PAUSE).min(policy.fail_timeout);
        self.busy_until.store(now.after(pause).millis(), Relaxed);
    }

    /// Whether it is there, as far as is known without asking.
    #[must_use]
    pub fn presence(&self) -> Presence {
        Presence::from_u8(self.presence.load(Relaxed))
    }

    /// What was found out about its being there.
    pub fn found(&self, presence: Presence) {
        self.presence.store(presence as u8, Relaxed);
    }

    /// The first byte of an answer has come.
    pub fn alive(&self, now: Moment) {
        self.last_answer.store(now.millis(), Relaxed);
    }

    /// When somebody last had the first byte of an answer.
    #[must_use]
    pub fn last_answer(&self) -> Moment {
        Moment::from_millis(self.last_answer.load(Relaxed))
    }

    /// When it was last found to answer nobody.
    #[must_use]
    pub fn last_silence(&self) -> Moment {
        Moment::from_millis(self.last_silence.load(Relaxed))
    }

    /// It is one of several endpoints that a request can go to.
    pub fn considered(&self, now: Moment) {
        self.last_considered.store(now.millis(), Relaxed);
    }

    /// When it was last one of several.
    #[must_use]
    pub fn last_considered(&self) -> Moment {
        Moment::from_millis(self.last_considered.load(Relaxed))
    }

    /// A request goes on to another endpoint.
    pub fn retried(&self) {
        self.meters.retries.increment(1);
    }

    /// Waits until a request ends, where their number is limited.
    pub async fn seat_freed(&self) {
        self.seat_freed.notified().await;
    }

    /// A probe of the endpoint went well, or failed with this reason.
    pub fn probed(&self, outcome: &Result<(), String>) {
        match outcome {
            Ok(()) if self.breaker.probe_answered() => self.closed("a probe was answered"),
            Ok(()) => {}
            Err(reason) => {
                tracing::debug!(endpoint = self.slug, reason, "a probe failed");
                self.breaker.probe_failed();
            }
        }
    }

    /// Whether its breaker is open.
    #[must_use]
    pub fn is_out(&self) -> bool {
        self.breaker.is_open()
    }

    fn closed(&self, why: &str) {
        tracing::info!(endpoint = self.slug, "the endpoint is back in service: {why}");
        self.meters.open.decrement(1.0);
    }

    fn opened(&self) {
        tracing::warn!(
            endpoint = self.slug,
            "the endpoint fails and is out of service for a while"
        );
        self.meters.opened.increment(1);
        self.meters.open.increment(1.0);
    }
}

impl Drop for Vitals {
    fn drop(&mut self) {
        // An endpoint that has been removed is no longer out of service.
        if self.breaker.is_open() {
            self.meters.open.decrement(1.0);
        }
    }
}

/// What a request has to keep to when it is sent.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// When the breaker opens.
    pub breaker: BreakerPolicy,
    /// Most requests of the endpoint at one time; `None` is no limit.
    pub seats: Option<u32>,
}

/// A request's stay at an endpoint, from before it is sent until its account is closed.
#[derive(Debug)]
pub struct Stay {
    vitals: Arc<Vitals>,
    pass: Pass,
    terms: Terms,
    /// Whether the breaker has been told how it went.
    told: bool,
}

impl Stay {
    /// Goes to the endpoint; `None` when it has no free seat.
    #[must_use]
    pub fn begin(vitals: &Arc<Vitals>, now: Moment, terms: Terms) -> Option<Self> {
        let most = terms.seats.unwrap_or(u32::MAX);
        vitals
            .in_flight
            .fetch_update(AcqRel, Acquire, |count| (count < most).then_some(count + 1))
            .ok()?;
        vitals.meters.in_flight.increment(1.0);
        let pass = vitals.breaker.pass(now, terms.breaker);
        Some(Self { vitals: Arc::clone(vitals), pass, terms, told: false })
    }

    /// Whether it was let through although the breaker is open and no trial is due.
    #[must_use]
    pub fn is_last_resort(&self) -> bool {
        self.pass == Pass::LastResort
    }

    /// The first byte of the answer has come.
    pub fn alive(&self) {
        self.vitals.alive(Moment::now());
    }

    /// The request was answered as it should be.
    pub fn answered(&mut self) {
        self.told = true;
        if self.vitals.breaker.answered(self.pass) {
            self.vitals.closed("a request was answered");
        }
    }

    /// The endpoint failed.
    pub fn failed(&mut self, fault: Fault) {
        self.told = true;
        let now = Moment::now();
        if fault == Fault::Silent {
            self.vitals.last_silence.store(now.millis(), Relaxed);
        }
        if self.vitals.breaker.failed(self.pass, fault, now, self.terms.breaker) {
            self.vitals.opened();
        }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        if !self.told {
            self.vitals.breaker.left(self.pass, Moment::now());
        }
        self.vitals.in_flight.fetch_sub(1, AcqRel);
        self.vitals.meters.in_flight.decrement(1.0);
        if self.terms.seats.is_some() {
            self.vitals.seat_freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms {
        breaker: BreakerPolicy { max_fails: 1, fail_timeout: Duration::from_secs(10) },
        seats: Some(2),
    };

    #[test]
    fn a_seat_is_free_again_when_its_request_has_gone() {
        let vitals = Vitals::new("e");
        let first = Stay::begin(&vitals, Moment::now(), TERMS);
        let second = Stay::begin(&vitals, Moment::now(), TERMS);
        assert!(first.is_some() && second.is_some());
        assert!(Stay::begin(&vitals, Moment::now(), TERMS).is_none());
        assert_eq!(vitals.in_flight(), 2);
        drop(first);
        assert!(Stay::begin(&vitals, Moment::now(), TERMS).is_some());
        drop(second);
        assert_eq!(vitals.in_flight(), 0);
    }

    #[test]
    fn a_trial_whose_caller_hangs_up_leaves_the_next_one_to_the_next_request() {
        let vitals = Vitals::new("e");
        let now = Moment::now();
        Stay::begin(&vitals, now, TERMS).unwrap().failed(Fault::Failed);
        assert!(vitals.is_out());
        let later = now.after(Duration::from_mins(1));
        let trial = Stay::begin(&vitals, later, TERMS).unwrap();
        assert!(!trial.is_last_resort());
        assert_eq!(vitals.gate(later), Gate::Open);
        drop(trial);
        assert_eq!(vitals.gate(later), Gate::TrialDue);
        Stay::begin(&vitals, later, TERMS).unwrap().answered();
        assert_eq!(vitals.gate(later), Gate::Closed);
        assert_eq!(vitals.in_flight(), 0);
    }

    #[test]
    fn an_endpoint_is_left_alone_for_no_longer_than_one_that_fails() {
        let (vitals, now) = (Vitals::new("e"), Moment::now());
        vitals.too_busy(Some(Duration::from_hours(1)), now, TERMS.breaker);
        assert!(vitals.is_busy(now.after(Duration::from_millis(9_999))));
        assert!(!vitals.is_busy(now.after(Duration::from_secs(10))));
    }
}
