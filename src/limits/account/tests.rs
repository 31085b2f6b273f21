use proptest::prelude::*;

use super::*;

const MINUTE: u64 = 60_000;
const SECOND: u64 = 1_000;

/// What `exchange.lua` does, with a clock passed in.
#[derive(Default)]
struct Redis {
    window: u64,
    by_instance: [Vec<(u64, u64)>; 3],
}

impl Redis {
    fn new(window: u64) -> Self {
        Self { window, ..Self::default() }
    }

    fn exchange(&mut self, who: usize, now: u64, question: &Question) -> Answer {
        let mut mine: Vec<_> = question.spent.iter().map(|(age, n)| (now - age, *n)).collect();
        let mut used: u64 = mine.iter().map(|(_, count)| count).sum();
        let mut others = Vec::new();
        for (instance, spent) in self.by_instance.iter_mut().enumerate() {
            if instance != who {
                spent.retain(|(at, _)| at + self.window > now);
                let age = |at: u64| i64::try_from(now).unwrap() - i64::try_from(at).unwrap();
                others.extend(spent.iter().map(|(at, count)| (age(*at), *count)));
                used += spent.iter().map(|(_, count)| count).sum::<u64>();
            }
        }
        let mut granted = 0;
        if question.need > 0 && used + question.need <= question.limit {
            granted = question.want.min(question.limit - used);
            mine.push((now + lease_life(self.window), granted));
        }
        self.by_instance[who] = mine;
        Answer { granted, others }
    }
}

/// An instance whose clock began at another time than the others'.
struct Instance {
    account: Account,
    who: usize,
    clock: u64,
}

impl Instance {
    fn new(who: usize, window: u64) -> Self {
        Self { account: Account::new(window), who, clock: 1 + 777_777 * who as u64 }
    }

    /// Spends, asking Redis where that is needed. `deaf` loses its answer.
    fn spend(
        &mut self,
        redis: &mut Redis,
        now: u64,
        (cost, limit): (u64, u64),
        deaf: bool,
    ) -> Option<(u64, u64)> {
        for _ in 0..2 {
            match self.account.spend(self.clock + now, cost, limit, Among::Shared) {
                Verdict::Spent { at, count } => return Some((at, count)),
                Verdict::Over { .. } => return None,
                Verdict::Ask => self.ask(redis, now, (cost, limit), deaf),
            }
        }
        None
    }

    fn ask(&mut self, redis: &mut Redis, now: u64, (need, limit): (u64, u64), deaf: bool) {
        let question = self.account.question(self.clock + now, need, need, limit);
        let answer = redis.exchange(self.who, now, &question);
        if deaf {
            self.account.unanswered();
        } else {
            self.account.answered(self.clock + now, &question, answer);
        }
    }
}

fn spend_alone(account: &mut Account, now: u64, cost: u64, limit: u64, of: u64) -> bool {
    matches!(account.spend(now, cost, limit, Among::Alone(of)), Verdict::Spent { .. })
}

#[test]
fn without_others_the_sum_is_exact_and_the_wait_is_told() {
    let mut account = Account::new(SECOND);
    let spend = |account: &mut Account, now| account.spend(now, 1, 3, Among::Alone(1));
    for now in [10, 20, 30] {
        assert!(matches!(spend(&mut account, now), Verdict::Spent { .. }));
    }
    // The first two share an entry, which counts until the second has left.
    assert_eq!(spend(&mut account, 40), Verdict::Over { wait: 980 });
    assert!(matches!(spend(&mut account, 1_020), Verdict::Spent { .. }));
}

#[test]
fn a_request_above_the_limit_goes_when_nothing_else_was_spent() {
    let mut account = Account::new(MINUTE);
    assert!(spend_alone(&mut account, 0, 1_000_000, 100, 1));
    assert!(!spend_alone(&mut account, 59_999, 1, 100, 1));
    assert!(spend_alone(&mut account, 60_000, 1, 100, 1));
    assert!(!spend_alone(&mut account, 60_000, 1_000_000, 100, 1));
}

#[test]
fn settling_gives_back_and_charges_what_was_needed() {
    let mut account = Account::new(MINUTE);
    let Verdict::Spent { at, count } = account.spend(5, 80, 100, Among::Alone(1)) else {
        panic!("there is enough")
    };
    assert!(!spend_alone(&mut account, 6, 80, 100, 1));
    account.give_back(7, at, count - 10);
    assert!(spend_alone(&mut account, 8, 80, 100, 1), "10 and 80 are within 100");
    account.charge(9, 50);
    assert_eq!(account.standing(9, 100, Among::Alone(1)).remaining, 0);
    assert!(!spend_alone(&mut account, 10, 1, 100, 1));
}

#[test]
fn a_new_limit_holds_at_once_and_what_was_spent_stays_spent() {
    let mut account = Account::new(MINUTE);
    assert!(spend_alone(&mut account, 0, 50, 100, 1));
    assert!(!spend_alone(&mut account, 1, 1, 40, 1));
    assert!(spend_alone(&mut account, 2, 150, 200, 1));
    assert!(!spend_alone(&mut account, 3, 1, 200, 1));

    let (mut redis, mut one) = (Redis::new(MINUTE), Instance::new(0, MINUTE));
    assert!(one.spend(&mut redis, 0, (10, 1_000), false).is_some());
    assert!(one.spend(&mut redis, 1, (10, 15), false).is_none(), "in spite of its lease");
}

#[test]
fn within_a_lease_nobody_is_asked_and_it_ends_soon() {
    let (mut redis, mut one) = (Redis::new(MINUTE), Instance::new(0, MINUTE));
    one.ask(&mut redis, 0, (1, 1_000), false);
    for now in 0..50 {
        let verdict = one.account.spend(one.clock + now, 1, 1_000, Among::Shared);
        assert!(matches!(verdict, Verdict::Spent { .. }), "{now}");
    }
    let clock = one.clock;
    assert_eq!(one.account.spend(clock + 50, 1, 1_000, Among::Shared), Verdict::Ask);
    one.ask(&mut redis, 60, (1, 1_000), false);
    assert!(!one.account.should_tell(clock + 1_059), "the lease is still being spent from");
    assert!(one.account.should_tell(clock + 1_060));
    assert_eq!(one.account.spend(clock + 1_060, 1, 1_000, Among::Shared), Verdict::Ask);
}

#[test]
fn what_is_not_spent_is_given_back() {
    let mut redis = Redis::new(MINUTE);
    let [mut one, mut two] = [0, 1].map(|who| Instance::new(who, MINUTE));
    assert!(one.spend(&mut redis, 0, (1, 100), false).is_some());
    assert!(two.spend(&mut redis, 1, (96, 100), false).is_none(), "one holds five");
    one.ask(&mut redis, 1_100, (0, 0), false);
    assert!(two.spend(&mut redis, 1_200, (96, 100), false).is_some());
}

#[test]
fn a_refusal_is_taken_to_hold_for_a_moment_only() {
    let mut redis = Redis::new(MINUTE);
    let [mut one, mut two] = [0, 1].map(|who| Instance::new(who, MINUTE));
    let (at, count) = one.spend(&mut redis, 0, (100, 100), false).unwrap();
    assert!(two.spend(&mut redis, 1, (1, 100), false).is_none());
    let verdict = two.account.spend(two.clock + 100, 1, 100, Among::Shared);
    assert!(matches!(verdict, Verdict::Over { wait: 59_000.. }), "{verdict:?}");

    one.account.give_back(one.clock + 101, at, count);
    one.ask(&mut redis, 1_200, (0, 0), false);
    assert!(two.spend(&mut redis, 1_300, (1, 100), false).is_some());
}

#[test]
fn a_redis_that_comes_back_empty_is_filled_again() {
    let mut redis = Redis::new(MINUTE);
    let mut instances = [0, 1, 2].map(|who| Instance::new(who, MINUTE));
    for one in &mut instances {
        assert!(one.spend(&mut redis, 0, (30, 90), false).is_some());
    }
    redis = Redis::new(MINUTE);
    for one in &mut instances {
        let now = one.clock + 2_000;
        assert!(one.account.tell_anew(now));
        one.ask(&mut redis, 2_000, (0, 0), false);
    }
    for one in &mut instances {
        assert!(one.spend(&mut redis, 2_500, (1, 90), false).is_none());
    }
    for one in &mut instances {
        assert!(one.spend(&mut redis, 60_000, (30, 90), false).is_some());
    }
}

#[test]
fn alone_each_has_its_share_of_what_nobody_had_spent() {
    let mut redis = Redis::new(MINUTE);
    let mut instances = [0, 1, 2].map(|who| Instance::new(who, MINUTE));
    assert!(instances[0].spend(&mut redis, 0, (40, 100), false).is_some());
    for one in &mut instances {
        one.ask(&mut redis, 10, (0, 0), false);
    }
    for one in &mut instances {
        let now = one.clock + 20;
        assert!(spend_alone(&mut one.account, now, 20, 100, 3));
        assert!(!spend_alone(&mut one.account, now, 1, 100, 3));
    }
}

#[test]
fn telling_a_redis_that_is_back_wins_nobody_anything() {
    let mut instances = [0, 1, 2].map(|who| Instance::new(who, MINUTE));
    for one in &mut instances {
        assert!(spend_alone(&mut one.account, one.clock, 30, 90, 3));
    }
    let mut redis = Redis::new(MINUTE);
    for one in &mut instances {
        let now = one.clock + 100;
        let question = one.account.report_alone(now);
        let answer = redis.exchange(one.who, 100, &question);
        one.account.answered(now, &question, answer);
        assert!(!spend_alone(&mut one.account, now, 1, 90, 3), "its share is spent");
    }
    for one in &mut instances {
        assert!(one.spend(&mut redis, 200, (1, 90), false).is_none());
    }
}

#[test]
fn questions_without_an_answer_win_nobody_anything() {
    let mut account = Account::new(MINUTE);
    let mut spent = 0;
    for now in 0..50 {
        while spend_alone(&mut account, now, 1, 90, 3) {
            spent += 1;
        }
        account.question(now, 1, 1, 90);
        account.unanswered();
    }
    assert_eq!(spent, 30);
}

#[test]
fn alone_each_has_at_least_one() {
    let mut account = Account::new(SECOND);
    assert!(spend_alone(&mut account, 0, 1, 2, 3));
    assert!(!spend_alone(&mut account, 1, 1, 2, 3));
}

#[test]
fn whoever_is_quiet_is_forgotten() {
    let (mut redis, mut one) = (Redis::new(SECOND), Instance::new(0, SECOND));
    assert!(one.account.is_idle(1));
    assert!(one.spend(&mut redis, 0, (1, 10), false).is_some());
    assert!(!one.account.is_idle(one.clock + 999));
    assert!(one.account.is_idle(one.clock + 1_000));
}

#[test]
fn what_was_spent_before_a_lease_does_not_fill_it_again() {
    let (mut redis, mut one) = (Redis::new(SECOND), Instance::new(0, SECOND));
    let (at, count) = one.spend(&mut redis, 0, (10, 40), false).unwrap();
    assert!(one.spend(&mut redis, 900, (30, 40), false).is_some());
    one.account.give_back(one.clock + 950, at, count);
    // At 1,000 Redis forgets the first ten; those of the lease are then all that it knows of.
    let verdict = one.account.spend(one.clock + 960, 10, 40, Among::Shared);
    assert_eq!(verdict, Verdict::Ask);
}

/// What was really spent, and when, by one clock.
#[derive(Default)]
struct Truth(Vec<(u64, u64)>);

impl Truth {
    fn within(&self, window: u64, now: u64) -> u64 {
        self.0.iter().filter(|(at, _)| at + window > now).map(|(_, count)| count).sum()
    }
}

proptest! {
    /// Whatever happens to instances and their questions, what all of them have let through within
    /// any window is never above the limit.
    #[test]
    fn together_they_never_exceed_the_limit(
        window in prop::sample::select(vec![SECOND, MINUTE]),
        limit in 1_u64..400,
        steps in prop::collection::vec((0_u64..100, 0_usize..3, 1_u64..40, 0_u8..20), 1..400),
    ) {
        let mut redis = Redis::new(window);
        let mut instances = [0, 1, 2].map(|who| Instance::new(who, window));
        let mut truth = Truth::default();
        // By instance: when by the common clock, under which moment, and how much.
        let mut open: Vec<(usize, usize, u64, u64)> = Vec::new();
        let mut now = 0;
        for (pause, who, cost, event) in steps {
            now += pause * window / 1_000 / if pause < 80 { 20 } else { 1 };
            let one = &mut instances[who];
            match event {
                0 => one.ask(&mut redis, now, (0, 0), false),
                1 => one.ask(&mut redis, now, (cost, limit), true),
                2 => drop(one.account.tell_anew(one.clock + now)),
                3..6 => {
                    if let Some(place) = open.iter().position(|(of, ..)| *of == who) {
                        let (_, place, at, count) = open.swap_remove(place);
                        let back = count.min(cost);
                        if truth.0[place].0 + window > now {
                            truth.0[place].1 -= back;
                        }
                        one.account.give_back(one.clock + now, at, back);
                    }
                }
                _ => {
                    let deaf = event == 6;
                    if let Some((at, count)) = one.spend(&mut redis, now, (cost, limit), deaf) {
                        open.push((who, truth.0.len(), at, count));
                        truth.0.push((now, count));
                    }
                }
            }
            prop_assert!(truth.within(window, now) <= limit, "{} > {limit}", truth.within(window, now));
        }
    }

    /// Nothing is withheld for good: once all is told, one instance can have all that is left.
    #[test]
    fn what_is_left_can_be_had(
        limit in 3_u64..400,
        costs in prop::collection::vec((0_usize..3, 1_u64..40), 0..40),
    ) {
        let mut redis = Redis::new(MINUTE);
        let mut instances = [0, 1, 2].map(|who| Instance::new(who, MINUTE));
        let mut spent = 0;
        for (who, cost) in costs {
            let got = instances[who].spend(&mut redis, 0, (cost, limit), false);
            spent += got.map_or(0, |(_, count)| count);
        }
        for one in &mut instances {
            one.ask(&mut redis, 1_200, (0, 0), false);
        }
        let left = limit - spent;
        let got = instances[0].spend(&mut redis, 2_000, (left.max(1), limit), false);
        prop_assert_eq!(got.map(|(_, count)| count), (left > 0).then_some(left));
    }

    /// Alone, too, they keep to the limit together, but for the one that each may always have.
    #[test]
    fn alone_they_keep_to_the_limit_together(
        limit in 1_u64..300,
        before in prop::collection::vec((0_usize..3, 1_u64..40), 0..20),
        steps in prop::collection::vec((0_u64..9_000, 0_usize..3, 1_u64..40), 1..200),
    ) {
        let mut redis = Redis::new(MINUTE);
        let mut instances = [0, 1, 2].map(|who| Instance::new(who, MINUTE));
        let mut truth = Truth::default();
        for (who, cost) in before {
            if let Some((_, count)) = instances[who].spend(&mut redis, 0, (cost, limit), false) {
                truth.0.push((0, count));
            }
        }
        // Twice, so that each knows what the others have told.
        for _ in 0..2 {
            for one in &mut instances {
                one.ask(&mut redis, 1, (0, 0), false);
            }
        }
        let mut now = 1;
        for (pause, who, cost) in steps {
            now += if pause < 6_000 { pause / 60 } else { pause };
            let one = &mut instances[who];
            let verdict = one.account.spend(one.clock + now, cost, limit, Among::Alone(3));
            if let Verdict::Spent { count, .. } = verdict {
                truth.0.push((now, count));
            }
            prop_assert!(truth.within(MINUTE, now) <= limit + 2);
        }
    }
}
