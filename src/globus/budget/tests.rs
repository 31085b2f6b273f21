use proptest::prelude::*;

use super::*;

const TEN_SECONDS: Duration = Duration::from_secs(10);

/// Sends as early as the budget lets it, a request of each kind that is wanted, for `span`.
fn run(budget: &Budget, start: Instant, span: Duration, kinds: &[Purpose]) -> Vec<Instant> {
    let (mut now, mut sent) = (start, Vec::new());
    while now < start + span {
        let mut again = now + Duration::from_millis(100);
        for kind in kinds {
            match budget.try_take(*kind, now) {
                Ok(_) => sent.push(now),
                Err(at) => again = again.min(at),
            }
        }
        now = again.max(now + Duration::from_millis(1));
    }
    sent
}

fn most_in_ten_seconds(sent: &[Instant]) -> usize {
    let within =
        |from: &Instant| sent.iter().filter(|at| *at >= from && **at < *from + TEN_SECONDS).count();
    sent.iter().map(within).max().unwrap_or(0)
}

#[test]
fn no_ten_seconds_see_more_than_the_limit_however_much_is_wanted() {
    let start = Instant::now();
    for kinds in [
        &[Purpose::Submit][..],
        &[Purpose::Poll],
        &[Purpose::Urgent],
        &[Purpose::Submit, Purpose::Urgent, Purpose::Poll],
    ] {
        let sent = run(&Budget::new(20), start, Duration::from_mins(2), kinds);
        assert!(most_in_ten_seconds(&sent) <= 20, "{kinds:?}");
    }
}

#[test]
fn an_idle_client_sends_a_burst_of_half_the_limit_at_once() {
    let budget = Budget::new(20);
    let start = Instant::now();
    for n in 0..10 {
        let now = start + Duration::from_millis(10) * n;
        assert!(budget.try_take(Purpose::Submit, now).is_ok(), "request {n}");
    }
}

#[test]
fn one_request_a_second_never_waits() {
    let budget = Budget::new(20);
    let start = Instant::now();
    for second in 0..300 {
        let now = start + Duration::from_secs(second);
        assert!(budget.try_take(Purpose::Submit, now).is_ok(), "second {second}");
    }
}

/// How long each of these wishes for a submit waits; those that wait go together.
fn waits(wishes: impl IntoIterator<Item = Duration>) -> Vec<Duration> {
    let budget = Budget::new(20);
    let start = Instant::now();
    let mut wishes = wishes.into_iter().map(|after| start + after).peekable();
    let mut waits = Vec::new();
    while let Some(first) = wishes.next() {
        let (mut now, mut gathered) = (first, vec![first]);
        while let Err(at) = budget.try_take(Purpose::Submit, now) {
            now = at;
            gathered.extend(std::iter::from_fn(|| wishes.next_if(|wish| *wish <= at)));
        }
        waits.extend(gathered.into_iter().map(|wish| now - wish));
    }
    waits
}

#[test]
fn two_requests_a_second_seldom_wait() {
    let waits = waits((0..1_000).map(|n| Duration::from_millis(500) * n));
    let waited = waits.iter().filter(|wait| **wait > Duration::from_millis(1)).count();
    assert!(waited <= waits.len() / 10, "{waited} of {} waited", waits.len());
}

#[test]
fn after_a_burst_nobody_waits_for_more_than_about_a_second() {
    let burst = (0..20).map(|n| Duration::from_millis(20) * n);
    let after = (0..20).map(|n| Duration::from_secs(1) + Duration::from_millis(300) * n);
    let waits = waits(burst.chain(after));
    assert!(waits[..10].iter().all(Duration::is_zero), "{waits:?}");
    assert!(waits.iter().all(|wait| *wait < Duration::from_millis(1_100)), "{waits:?}");
}

#[test]
fn a_pair_of_requests_every_other_second_never_waits() {
    let budget = Budget::new(20);
    let start = Instant::now();
    for second in 0..300 {
        let now = start + Duration::from_secs(second * 2);
        assert!(budget.try_take(Purpose::Submit, now).is_ok(), "second {second}");
        let now = now + Duration::from_millis(100);
        assert!(budget.try_take(Purpose::Submit, now).is_ok(), "second {second}");
    }
}

#[test]
fn under_pressure_from_both_sides_submits_and_polls_alternate() {
    let budget = Budget::new(20);
    let start = Instant::now();
    let mut sent: [Vec<Instant>; 2] = Default::default();
    let mut now = start;
    while now < start + Duration::from_mins(2) {
        for (kind, sent) in [Purpose::Submit, Purpose::Poll].into_iter().zip(&mut sent) {
            if budget.try_take(kind, now).is_ok() {
                sent.push(now);
            }
        }
        now += Duration::from_millis(5);
    }
    for sent in sent {
        let longest = sent.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert!(longest < Some(Duration::from_secs(3)), "{longest:?}");
        assert!(sent.len() > 90, "{} in two minutes", sent.len());
    }
}

#[test]
fn steady_pressure_is_spread_so_that_nobody_waits_ten_seconds() {
    let budget = Budget::new(20);
    let start = Instant::now();
    let sent = run(&budget, start, Duration::from_mins(2), &[Purpose::Submit]);
    let gaps: Vec<_> = sent.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| *gap < Duration::from_millis(1_100)), "{gaps:?}");
    let settled = &gaps[gaps.len() / 2..];
    assert!(settled.iter().all(|gap| *gap < Duration::from_millis(600)), "{settled:?}");
}

#[test]
fn submits_leave_polls_their_share_when_one_waits() {
    let budget = Budget::new(20);
    let start = Instant::now();
    let _waiting = Waiting::new(&budget.polls_waiting);
    let (mut polls, mut now) = (0, start);
    while now < start + Duration::from_mins(1) {
        let _ = budget.try_take(Purpose::Submit, now);
        let _ = budget.try_take(Purpose::Submit, now);
        polls += usize::from(budget.try_take(Purpose::Poll, now).is_ok());
        now += Duration::from_millis(10);
    }
    assert!(polls >= 20, "{polls} polls in a minute");
}

#[test]
fn silence_that_the_service_asked_for_is_kept() {
    let budget = Budget::new(20);
    budget.be_silent(Duration::from_secs(3));
    let until = budget.try_take(Purpose::Submit, Instant::now()).unwrap_err();
    assert!(until > Instant::now() + Duration::from_secs(2));
    assert!(budget.try_take(Purpose::Submit, until).is_ok());
}

#[test]
fn after_a_refusal_less_is_sent_and_then_slowly_more() {
    let budget = Budget::new(20);
    budget.be_silent(Duration::ZERO);
    budget.be_silent(Duration::ZERO);
    assert_eq!(budget.ledger().allowed, 15, "two refusals at the same time are one");
    let start = Instant::now();
    let sent = run(&budget, start, Duration::from_secs(9), &[Purpose::Submit]);
    assert!(sent.len() <= 15);
    run(&budget, start + Duration::from_secs(9), Duration::from_mins(2), &[Purpose::Submit]);
    assert_eq!(budget.ledger().allowed, 20);
}

proptest! {
    #[test]
    fn no_pattern_of_wishes_breaks_the_limit(
        wishes in prop::collection::vec((0_u64..900, 0_usize..3), 1..400),
        limit in 5_u32..40,
    ) {
        let budget = Budget::new(limit);
        let mut now = Instant::now();
        let mut sent = Vec::new();
        for (pause, kind) in wishes {
            now += Duration::from_millis(pause);
            let kind = [Purpose::Submit, Purpose::Urgent, Purpose::Poll][kind];
            if budget.try_take(kind, now).is_ok() {
                sent.push(now);
            }
        }
        prop_assert!(most_in_ten_seconds(&sent) <= limit as usize);
    }
}
