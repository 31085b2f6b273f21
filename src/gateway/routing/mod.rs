//! One request among several endpoints: which one next, and what is learned from each.

pub mod breaker;
pub mod choice;
mod probes;
mod rooms;
mod vitals;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use fastrand::Rng;
use futures_util::future::{self, FutureExt};
use tokio::time::sleep_until;

pub use breaker::{BreakerPolicy, Fault};
pub use rooms::Rooms;
pub use vitals::{Stay, Terms, Vitals};

use self::{
    breaker::Gate,
    choice::{Choice, Seen, Standing, choose},
};
use super::{
    Budgets, Gateway,
    choose::Field,
    lines::{Line, Way},
    miss::Blame,
    refusal::Refusal,
};
use crate::{backends::Presence, catalog::Served, domain::Moment};

/// How often a waiting request looks around, besides being told of free seats.
const LOOK_AROUND: Duration = Duration::from_millis(100);

/// The longest that a request waits to learn whether an endpoint is there; sending it will tell, too.
const LOOK: Duration = Duration::from_secs(2);

/// How one of several endpoints is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Routing {
    /// When an endpoint is left out, and for how long.
    pub breaker: BreakerPolicy,
    /// Most endpoints that one request is sent to; at least 1.
    pub max_attempts: u32,
    /// How long an endpoint may answer nobody before its requests are sent to another.
    pub attempt_timeout: Duration,
    /// Most requests of one model that wait for an endpoint.
    pub waiting_room: u32,
    /// The longest that they wait.
    pub waiting_timeout: Duration,
    /// Pause between two probes of an endpoint.
    pub probe_interval: Duration,
}

/// An endpoint that a request may be sent to.
#[derive(Debug)]
pub struct Contender {
    /// The endpoint.
    pub served: Arc<Served>,
    /// The way to it.
    pub line: Arc<Line>,
    priority: u32,
    weight: u32,
    /// Whether the request was sent to it, or need not be.
    tried: bool,
    /// Whether it has been made sure that it is there.
    looked_at: bool,
}

/// A request's way through the endpoints that can answer it.
#[derive(Debug)]
pub struct Course<'a> {
    gateway: &'a Gateway,
    policy: Routing,
    contenders: Vec<Contender>,
    room: Option<Arc<str>>,
    /// Its place in the waiting room.
    place: Option<rooms::Place<'a>>,
    /// Until when it may wait, once it has begun to.
    wait_until: Option<Instant>,
    /// When the request came.
    started: Instant,
    budgets: Budgets,
    /// How many endpoints it has been sent to.
    sent: u32,
    /// The endpoint that it has left without an answer.
    left: Option<usize>,
    /// How long it has waited for an endpoint to be free, as far as nobody was told yet.
    waited: Duration,
}

impl<'a> Course<'a> {
    /// Begins, for a request that came at `started`.
    #[must_use]
    pub fn new(gateway: &'a Gateway, field: Field, started: Instant) -> Self {
        let (policy, budgets) = {
            let settings = gateway.settings.load();
            (settings.routing, settings.budgets)
        };
        let contender = |target: crate::catalog::FederatedTarget| Contender {
            line: gateway.lines.to(&target.served),
            served: target.served,
            priority: target.priority,
            weight: target.weight,
            tried: false,
            looked_at: false,
        };
        let contenders: Vec<_> = field.targets.into_iter().map(contender).collect();
        if contenders.len() > 1 {
            let now = Moment::now();
            for one in &contenders {
                one.line.vitals.considered(now);
            }
        }
        Self {
            gateway,
            policy,
            contenders,
            room: field.room,
            place: None,
            wait_until: None,
            started,
            budgets,
            sent: 0,
            left: None,
            waited: Duration::ZERO,
        }
    }

    /// The line of the first endpoint in the catalogue's order.
    #[must_use]
    pub fn first(&self) -> &Line {
        &self.contenders[0].line
    }

    /// One of the endpoints.
    #[must_use]
    pub fn contender(&self, index: usize) -> &Contender {
        &self.contenders[index]
    }

    /// The endpoint to send the request to now, with its stay there; it may have to be waited for.
    /// `None` when there is none left.
    ///
    /// # Errors
    /// 503 when the endpoints have as many requests as they may have.
    pub async fn next(&mut self) -> Result<Option<(usize, Stay)>, Refusal> {
        loop {
            if self.sent >= self.policy.max_attempts {
                return Ok(None);
            }
            let now = Moment::now();
            let choice = self.choose(now, None, self.may_wait());
            let index = match choice {
                Choice::Send(index) | Choice::Try(index) => index,
                Choice::Wait => {
                    let since = Instant::now();
                    // Boxed, so that who need not wait does not carry the room for it around.
                    let waited = Box::pin(self.wait()).await;
                    self.waited += since.elapsed();
                    waited?;
                    continue;
                }
                Choice::None if self.is_full(now) => return Err(self.busy()),
                Choice::None => return Ok(None),
            };
            let wanted = matches!(choice, Choice::Send(_));
            if wanted && self.is_worth_a_look(index) && Box::pin(self.look_at(index)).await {
                continue;
            }
            let line = &self.contenders[index].line;
            let Some(stay) = Stay::begin(&line.vitals, now, line.terms(self.policy.breaker)) else {
                continue;
            };
            if wanted && stay.is_last_resort() {
                // Another request makes the trial that was due.
                continue;
            }
            self.sent += 1;
            self.place = None;
            if let Some(left) = self.left.take() {
                self.contenders[left].line.vitals.retried();
            }
            return Ok(Some((index, stay)));
        }
    }

    /// The endpoint answered.
    pub fn answered(&self, index: usize) {
        let line = &self.contenders[index].line;
        if line.vitals.presence() != Presence::Running {
            line.vitals.found(Presence::Running);
        }
    }

    /// The endpoint did not answer.
    pub fn missed(&mut self, index: usize, blame: Blame) {
        let may_wait = self.may_wait();
        let one = &mut self.contenders[index];
        one.tried = true;
        match blame {
            Blame::Request | Blame::Endpoint(_) => self.left = Some(index),
            Blame::Nobody => self.sent -= 1,
            Blame::Absence(presence) => {
                self.sent -= 1;
                one.line.vitals.found(presence);
                one.tried = presence != Presence::Starting || !may_wait;
            }
        }
    }

    /// The endpoint answered that it has too much to do. True when the request goes to another one.
    pub fn too_busy(&mut self, index: usize, pause: Option<Duration>) -> bool {
        let vitals = &self.contenders[index].line.vitals;
        vitals.too_busy(pause, Moment::now(), self.policy.breaker);
        if !self.has_another(index, false) {
            return false;
        }
        self.contenders[index].tried = true;
        self.left = Some(index);
        true
    }

    /// Whether another endpoint than this one takes the request now, `running` or perhaps to be
    /// started first.
    #[must_use]
    pub fn has_another(&self, index: usize, running: bool) -> bool {
        let now = Moment::now();
        let choice = self.choose(now, Some(index), false);
        let Choice::Send(other) = choice else { return false };
        let other = self.see(&self.contenders[other], now, false);
        self.sent < self.policy.max_attempts && (!running || other.standing == Standing::Running)
    }

    /// How long the endpoint may answer nobody before another one is asked; `None` when there is no
    /// other.
    #[must_use]
    pub fn patience(&self, index: usize) -> Option<Duration> {
        // Half of what is left at most, so that the other one has time, too.
        let left = self.deadline(&self.contenders[index]).saturating_duration_since(Instant::now());
        let patience = self.policy.attempt_timeout.min(left / 2).max(LOOK_AROUND);
        (self.contenders.len() > 1).then_some(patience)
    }

    /// How long it has waited for an endpoint to be free since this was last asked.
    pub fn take_waited(&mut self) -> Duration {
        std::mem::take(&mut self.waited)
    }

    /// Whether an endpoint is given only what time others have left.
    #[must_use]
    pub const fn is_short_of_time(&self) -> bool {
        self.sent > 1 || self.wait_until.is_some()
    }

    /// When the first byte of the endpoint's answer must be there.
    fn deadline(&self, one: &Contender) -> Instant {
        let total = one.served.endpoint.settings.request_timeout().unwrap_or(self.budgets.total);
        self.started + self.budgets.first_byte.min(total)
    }

    /// What the caller is told when there was no endpoint to send the request to.
    #[must_use]
    pub fn nobody(&self, model: &str) -> Refusal {
        let message = format!("No endpoint of the model '{model}' can be used at present.");
        Refusal::unavailable("no_endpoint", message, self.policy.breaker.fail_timeout)
    }

    fn choose(&self, now: Moment, without: Option<usize>, may_wait: bool) -> Choice {
        let mut rng = Rng::new();
        if let [only] = &self.contenders[..] {
            let seen = self.see(only, now, without == Some(0));
            return choose(&[seen], may_wait, &mut rng);
        }
        let contenders = self.contenders.iter().enumerate();
        let seen: Vec<_> =
            contenders.map(|(index, one)| self.see(one, now, without == Some(index))).collect();
        choose(&seen, may_wait, &mut rng)
    }

    fn see(&self, one: &Contender, now: Moment, excluded: bool) -> Seen {
        let (line, vitals) = (&one.line, &one.line.vitals);
        let in_flight = vitals.in_flight();
        // Whoever is alone is asked; there is nobody to leave it alone for.
        let is_alone = self.contenders.len() == 1;
        let is_full = line.terms(self.policy.breaker).seats.is_some_and(|most| in_flight >= most);
        let standing = match vitals.presence() {
            _ if is_full => Standing::Full,
            _ if vitals.gate(now) == Gate::Open => Standing::Out,
            Presence::Away => Standing::Away,
            Presence::Starting => Standing::Starting,
            _ if !is_alone && vitals.is_busy(now) => Standing::Busy,
            Presence::Idle => Standing::Idle,
            Presence::Unknown if line.has_presence() => Standing::Idle,
            Presence::Unknown | Presence::Running => Standing::Running,
        };
        // Who has no time left would only seem to fail.
        let is_late =
            (self.sent > 0 || self.wait_until.is_some()) && Instant::now() >= self.deadline(one);
        let tried = one.tried || excluded || is_late;
        Seen { tried, standing, priority: one.priority, weight: one.weight, in_flight }
    }

    /// Whether another endpoint could be asked instead, and this one was not looked at yet.
    fn is_worth_a_look(&self, index: usize) -> bool {
        self.contenders.len() > 1 && !self.contenders[index].looked_at
    }

    /// Makes sure that an endpoint is there before it is preferred to others. True when it turned out
    /// to be otherwise than was known.
    async fn look_at(&mut self, index: usize) -> bool {
        self.contenders[index].looked_at = true;
        let line = &self.contenders[index].line;
        let known = line.vitals.presence();
        self.gateway.look(line).await;
        line.vitals.presence() != known
    }

    fn may_wait(&self) -> bool {
        self.room.is_some()
            && self.policy.waiting_room > 0
            && self.wait_until.is_none_or(|until| Instant::now() < until)
    }

    fn is_full(&self, now: Moment) -> bool {
        let full = |one| {
            let seen = self.see(one, now, false);
            !seen.tried && seen.standing == Standing::Full
        };
        self.contenders.iter().any(full)
    }

    /// Waits a moment, in the model's room, for an endpoint to become free or ready.
    async fn wait(&mut self) -> Result<(), Refusal> {
        let Some(model) = &self.room else { return Ok(()) };
        if self.place.is_none() {
            let place = self.gateway.rooms.enter(model, self.policy.waiting_room);
            self.place = Some(place.ok_or_else(|| self.crowded(model))?);
        }
        let longest = Instant::now() + self.policy.waiting_timeout;
        let until = *self.wait_until.get_or_insert(longest);
        let next_look = until.min(Instant::now() + LOOK_AROUND);
        let seats = self.contenders.iter().filter(|one| !one.tried && one.line.seats.is_some());
        let freed: Vec<_> = seats.map(|one| one.line.vitals.seat_freed().boxed()).collect();
        if freed.is_empty() {
            sleep_until(next_look.into()).await;
        } else {
            // Either is a reason to look; which one it was does not matter.
            let _ = tokio::time::timeout_at(next_look.into(), future::select_all(freed)).await;
        }
        for one in &self.contenders {
            if !one.tried && one.line.vitals.presence() == Presence::Starting {
                self.gateway.look(&one.line).await;
            }
        }
        Ok(())
    }

    fn crowded(&self, model: &str) -> Refusal {
        let message = format!(
            "No endpoint of the model '{model}' can take a request at present, and enough requests wait \
             for one already. Try again later."
        );
        Refusal::unavailable("waiting_room_full", message, self.policy.waiting_timeout)
    }

    fn busy(&self) -> Refusal {
        let model = &self.contenders[0].served.endpoint.model;
        let model = self.room.as_deref().unwrap_or(model);
        let message = format!(
            "The model '{model}' is not available: it has as many requests as it can take. Try again in \
             a moment."
        );
        Refusal::unavailable("endpoint_busy", message, self.policy.waiting_timeout)
    }
}

impl Gateway {
    /// Finds out whether an endpoint is there, where that can be told without asking itself, and keeps
    /// it with the line.
    pub(super) async fn look(&self, line: &Line) {
        let looking = async {
            match &line.way {
                Ok(Way::GlobusCompute(target)) => match &self.compute {
                    Some(compute) => compute.presence(target.endpoint).await,
                    None => Presence::Away,
                },
                Ok(Way::Metis(target)) => target.presence(&self.manifests).await,
                _ => line.vitals.presence(),
            }
        };
        let found = tokio::time::timeout(LOOK, looking).await.unwrap_or(Presence::Unknown);
        line.vitals.found(found);
    }
}
