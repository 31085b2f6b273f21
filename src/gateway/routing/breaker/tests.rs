use super::*;

const POLICY: BreakerPolicy = BreakerPolicy { max_fails: 3, fail_timeout: Duration::from_secs(10) };

const fn at(millis: u64) -> Moment {
    Moment::from_millis(1 + millis)
}

/// A breaker that has just opened at moment 0.
fn open(fault: Fault) -> Breaker {
    let breaker = Breaker::default();
    for _ in 0..2 {
        assert!(!breaker.failed(Pass::Closed, fault, at(0), POLICY));
    }
    assert!(breaker.failed(Pass::Closed, fault, at(0), POLICY), "the third failure opens it");
    assert_eq!(breaker.gate(at(0)), Gate::Open);
    breaker
}

#[test]
fn it_opens_at_the_third_failure_within_ten_seconds() {
    open(Fault::Failed);
    let breaker = Breaker::default();
    for second in [0, 6, 11, 17, 22] {
        let opened = breaker.failed(Pass::Closed, Fault::Failed, at(second * 1000), POLICY);
        assert!(!opened, "never three within ten seconds");
    }
}

#[test]
fn failures_among_many_answers_do_not_open_it() {
    let breaker = Breaker::default();
    for _ in 0..20 {
        assert!(!breaker.failed(Pass::Closed, Fault::Failed, at(0), POLICY));
        for _ in 0..30 {
            breaker.answered(Pass::Closed);
        }
    }
    assert_eq!(breaker.gate(at(0)), Gate::Closed);
}

#[test]
fn half_of_the_answers_failing_opens_it() {
    let breaker = Breaker::default();
    let opened = (0..3).any(|_| {
        breaker.answered(Pass::Closed);
        breaker.failed(Pass::Closed, Fault::Failed, at(0), POLICY)
    });
    assert!(opened);
}

#[test]
fn an_endpoint_that_nobody_has_heard_of_is_taken_out_at_once() {
    let breaker = Breaker::default();
    assert!(breaker.failed(Pass::Closed, Fault::Silent, at(0), POLICY));
}

#[test]
fn without_max_fails_it_never_opens() {
    let never = BreakerPolicy { max_fails: 0, ..POLICY };
    let breaker = Breaker::default();
    for _ in 0..100 {
        assert!(!breaker.failed(Pass::Closed, Fault::Silent, at(0), never));
    }
}

#[test]
fn after_its_time_one_request_is_let_through_and_its_answer_closes_it() {
    let breaker = open(Fault::Failed);
    assert_eq!(breaker.gate(at(9_999)), Gate::Open);
    assert_eq!(breaker.gate(at(10_000)), Gate::TrialDue);
    let trial = breaker.pass(at(10_000), POLICY);
    assert!(matches!(trial, Pass::Trial(_)));
    assert_eq!(breaker.gate(at(10_001)), Gate::Open, "one at a time");
    assert_eq!(breaker.pass(at(10_001), POLICY), Pass::LastResort);
    assert!(breaker.answered(trial));
    assert_eq!(breaker.gate(at(10_002)), Gate::Closed);
}

#[test]
fn a_trial_that_fails_keeps_it_open_for_as_long_again() {
    let breaker = open(Fault::Failed);
    let trial = breaker.pass(at(10_000), POLICY);
    breaker.failed(trial, Fault::Failed, at(12_000), POLICY);
    assert_eq!(breaker.gate(at(21_999)), Gate::Open);
    assert_eq!(breaker.gate(at(22_000)), Gate::TrialDue);
}

#[test]
fn a_trial_that_its_caller_leaves_makes_way_for_the_next() {
    let breaker = open(Fault::Failed);
    let trial = breaker.pass(at(10_000), POLICY);
    breaker.left(trial, at(10_500));
    assert_eq!(breaker.gate(at(10_500)), Gate::TrialDue);
}

#[test]
fn a_trial_that_is_never_heard_of_again_is_followed_by_another() {
    let breaker = open(Fault::Failed);
    let lost = breaker.pass(at(10_000), POLICY);
    assert_eq!(breaker.gate(at(20_000)), Gate::TrialDue);
    let next = breaker.pass(at(20_000), POLICY);
    breaker.left(lost, at(20_001));
    assert_eq!(breaker.gate(at(20_001)), Gate::Open, "the lost one's end is not the next one's");
    assert!(breaker.answered(next));
    assert!(!breaker.failed(lost, Fault::Failed, at(20_002), POLICY), "one failure is only one");
}

#[test]
fn answers_to_requests_from_before_do_not_close_it() {
    let breaker = open(Fault::Failed);
    assert!(!breaker.answered(Pass::Closed));
    assert!(!breaker.failed(Pass::Closed, Fault::Failed, at(9_000), POLICY));
    assert_eq!(breaker.gate(at(10_000)), Gate::TrialDue, "nor do failures keep it open for longer");
}

#[test]
fn where_there_is_no_other_endpoint_any_answer_closes_it() {
    let breaker = open(Fault::Failed);
    let pass = breaker.pass(at(1), POLICY);
    assert_eq!(pass, Pass::LastResort);
    assert!(breaker.answered(pass));
}

#[test]
fn a_probe_closes_it_if_nobody_was_there_before() {
    assert!(open(Fault::Unreachable).probe_answered());
    let breaker = open(Fault::Failed);
    assert!(!breaker.probe_answered(), "its probe has been well all the time");
    breaker.probe_failed();
    assert!(breaker.probe_answered());
    assert_eq!(breaker.gate(at(0)), Gate::Closed);
}

#[test]
fn of_a_thousand_who_come_for_a_trial_one_makes_it() {
    let breaker = open(Fault::Failed);
    let trials = std::thread::scope(|scope| {
        let makers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let passes = (0..250).map(|_| breaker.pass(at(10_000), POLICY));
                    passes.filter(|pass| matches!(pass, Pass::Trial(_))).count()
                })
            })
            .collect();
        makers.into_iter().map(|maker| maker.join().unwrap()).sum::<usize>()
    });
    assert_eq!(trials, 1);
}
