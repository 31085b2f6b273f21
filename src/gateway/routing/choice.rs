//! Which of several endpoints a request is sent to: a pure function of what is known of them.
//!
//! By priority, then by what is known to run, then by weight and requests in flight. What cannot take
//! the request now makes way for the next priority.

use fastrand::Rng;

/// What can be expected of an endpoint now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its model runs.
    Running,
    /// It is there, and would have to start its model first.
    Idle,
    /// Its model is being started, and takes no request yet.
    Starting,
    /// It has answered that it has too much to do.
    Busy,
    /// It has as many requests as it may have.
    Full,
    /// Its breaker is open.
    Out,
    /// It is known not to be there.
    Away,
}

/// An endpoint, as far as the choice goes.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Whether this request has been sent to it before.
    pub tried: bool,
    /// What can be expected of it.
    pub standing: Standing,
    /// Lower is chosen first.
    pub priority: u32,
    /// Share among its equals; at least 1.
    pub weight: u32,
    /// Requests in flight.
    pub in_flight: u32,
}

/// What is to be done with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Send it to this one, which should answer.
    Send(usize),
    /// Wait: some will take it later.
    Wait,
    /// Send it to this one, for want of a better.
    Try(usize),
    /// There is none that it could still be sent to.
    None,
}

/// Chooses for a request, which may wait or may not.
#[must_use]
pub fn choose(seen: &[Seen], may_wait: bool, rng: &mut Rng) -> Choice {
    if let Some(best) = best_ready(seen) {
        return least_busy(seen, |index| ready_rank(seen, index) == Some(best), rng)
            .map_or(Choice::None, Choice::Send);
    }
    let is = |index: usize, standings: &[Standing]| {
        !seen[index].tried && standings.contains(&seen[index].standing)
    };
    let waits = |index| is(index, &[Standing::Starting, Standing::Busy, Standing::Full]);
    if may_wait && (0..seen.len()).any(waits) {
        return Choice::Wait;
    }
    // One that is full takes none, however dire the need; all others might.
    [&[Standing::Out][..], &[Standing::Busy, Standing::Starting], &[Standing::Away]]
        .into_iter()
        .find_map(|last| {
            let first = (0..seen.len()).filter(|i| is(*i, last)).map(|i| seen[i].priority).min()?;
            least_busy(seen, |i| is(i, last) && seen[i].priority == first, rng)
        })
        .map_or(Choice::None, Choice::Try)
}

/// Priority and standing of an endpoint that takes a request now.
fn ready_rank(seen: &[Seen], index: usize) -> Option<(u32, bool)> {
    let one = &seen[index];
    match one.standing {
        _ if one.tried => None,
        Standing::Running => Some((one.priority, false)),
        Standing::Idle if !starting_before(seen, one.priority) => Some((one.priority, true)),
        _ => None,
    }
}

fn best_ready(seen: &[Seen]) -> Option<(u32, bool)> {
    (0..seen.len()).filter_map(|index| ready_rank(seen, index)).min()
}

/// Whether a model is being started already, so that no second one is to be woken.
fn starting_before(seen: &[Seen], priority: u32) -> bool {
    seen.iter()
        .any(|one| !one.tried && one.standing == Standing::Starting && one.priority <= priority)
}

/// Of two that are drawn by weight, the one with fewer requests in flight for its weight.
fn least_busy(seen: &[Seen], may: impl Fn(usize) -> bool, rng: &mut Rng) -> Option<usize> {
    let first = draw(seen, &may, rng)?;
    let Some(second) = draw(seen, |index| index != first && may(index), rng) else {
        return Some(first);
    };
    let load = |of: usize, other: usize| {
        u64::from(seen[of].in_flight) * u64::from(seen[other].weight.max(1))
    };
    Some(if load(second, first) < load(first, second) { second } else { first })
}

fn draw(seen: &[Seen], may: impl Fn(usize) -> bool, rng: &mut Rng) -> Option<usize> {
    let weight = |index: usize| u64::from(seen[index].weight.max(1));
    let total: u64 = (0..seen.len()).filter(|index| may(*index)).map(weight).sum();
    let mut left = (total > 0).then(|| rng.u64(..total))?;
    (0..seen.len()).filter(|index| may(*index)).find(|index| {
        let hit = left < weight(*index);
        left = left.saturating_sub(weight(*index));
        hit
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Seen =
        Seen { tried: false, standing: Standing::Running, priority: 0, weight: 1, in_flight: 0 };

    fn standing(standing: Standing) -> Seen {
        Seen { standing, ..ONE }
    }

    fn chosen(seen: &[Seen]) -> Choice {
        choose(seen, true, &mut Rng::with_seed(7))
    }

    /// How often each is chosen in ten thousand draws.
    fn shares(seen: &[Seen]) -> Vec<u32> {
        let mut rng = Rng::with_seed(42);
        let mut counts = vec![0; seen.len()];
        for _ in 0..10_000 {
            let Choice::Send(index) = choose(seen, true, &mut rng) else { panic!("none is ready") };
            counts[index] += 1;
        }
        counts
    }

    #[test]
    fn equals_get_equal_shares_and_weights_are_honoured() {
        for count in shares(&[ONE; 4]) {
            assert!((2_300..2_700).contains(&count), "{count}");
        }
        let weighted = shares(&[Seen { weight: 3, ..ONE }, ONE]);
        assert!((7_300..7_700).contains(&weighted[0]), "{weighted:?}");
    }

    #[test]
    fn of_two_the_less_busy_one_for_its_weight() {
        let busy = Seen { in_flight: 4, ..ONE };
        assert_eq!(chosen(&[busy, Seen { in_flight: 3, ..ONE }]), Choice::Send(1));
        let strong = Seen { in_flight: 4, weight: 4, ..ONE };
        assert_eq!(chosen(&[strong, Seen { in_flight: 2, ..ONE }]), Choice::Send(0));
    }

    #[test]
    fn a_hanging_target_gathers_requests_and_is_hardly_drawn_any_more() {
        let hung = Seen { in_flight: 5, ..ONE };
        assert_eq!(shares(&[hung, ONE, ONE, ONE])[0], 0);
    }

    #[test]
    fn priority_comes_first_and_the_next_steps_in_where_it_cannot() {
        let later = Seen { priority: 1, ..ONE };
        assert_eq!(chosen(&[later, Seen { in_flight: 99, ..ONE }]), Choice::Send(1));
        for cannot in
            [Standing::Starting, Standing::Busy, Standing::Full, Standing::Out, Standing::Away]
        {
            assert_eq!(chosen(&[standing(cannot), later]), Choice::Send(1), "{cannot:?}");
        }
        assert_eq!(
            chosen(&[standing(Standing::Idle), later]),
            Choice::Send(0),
            "it is to be woken"
        );
        assert_eq!(chosen(&[Seen { tried: true, ..ONE }, later]), Choice::Send(1));
    }

    #[test]
    fn what_runs_comes_before_what_would_have_to_start() {
        assert_eq!(chosen(&[standing(Standing::Idle), ONE]), Choice::Send(1));
        assert_eq!(chosen(&[standing(Standing::Idle)]), Choice::Send(0));
    }

    #[test]
    fn while_one_is_starting_no_other_is_woken() {
        let starting = standing(Standing::Starting);
        assert_eq!(chosen(&[starting, standing(Standing::Idle)]), Choice::Wait);
        let busy = standing(Standing::Busy);
        assert_eq!(chosen(&[busy, standing(Standing::Idle)]), Choice::Send(1), "but help is");
    }

    #[test]
    fn when_all_are_out_one_is_tried_all_the_same() {
        let out = standing(Standing::Out);
        assert!(matches!(chosen(&[out, out]), Choice::Try(_)));
        assert_eq!(chosen(&[standing(Standing::Away), out]), Choice::Try(1));
        assert_eq!(chosen(&[standing(Standing::Away)]), Choice::Try(0));
    }

    #[test]
    fn a_request_waits_for_what_is_full_and_gives_up_in_the_end() {
        let (full, busy) = (standing(Standing::Full), standing(Standing::Busy));
        let mut rng = Rng::with_seed(7);
        assert_eq!(chosen(&[full, busy]), Choice::Wait);
        assert_eq!(choose(&[full, busy], false, &mut rng), Choice::Try(1));
        assert_eq!(choose(&[full], false, &mut rng), Choice::None);
        assert_eq!(chosen(&[Seen { tried: true, ..ONE }]), Choice::None);
    }
}
