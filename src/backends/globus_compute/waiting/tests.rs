use super::*;

fn done(text: &str) -> Outcome {
    Outcome::Returned(text.to_owned())
}

fn ids<const N: usize>() -> [Uuid; N] {
    std::array::from_fn(|_| Uuid::new_v4())
}

#[tokio::test]
async fn a_result_that_is_faster_than_the_submit_s_answer_is_not_lost() {
    let waiting = Arc::new(Waiting::default());
    let [id, endpoint] = ids();
    let submitting = waiting.submitting();
    assert_eq!(waiting.deliver(id, done("early"), Source::Amqp), None);
    let ticket = submitting.accepted(id, endpoint, None);
    assert_eq!(ticket.result().await, Some(done("early")));
    assert_eq!(waiting.len(), 0);
}

#[test]
fn a_task_that_ended_without_its_result_is_asked_for_at_once_even_before_it_is_known() {
    let waiting = Arc::new(Waiting::default());
    let [before, after, endpoint, group] = ids();
    waiting.consumes(Some(group));
    let submitting = waiting.submitting();
    waiting.has_ended(before);
    let _tickets = [before, after].map(|id| submitting.accepted(id, endpoint, Some(group)));
    drop(submitting);
    let asked = |waiting: &Waiting| {
        let due = waiting.due(Instant::now(), 128);
        due.into_iter().map(|question| question.id).collect::<Vec<_>>()
    };
    assert_eq!(asked(&waiting), [before]);
    waiting.has_ended(after);
    assert_eq!(asked(&waiting), [after]);
    assert!(asked(&waiting).is_empty(), "once is enough");
}

#[tokio::test]
async fn a_second_delivery_changes_nothing() {
    let waiting = Arc::new(Waiting::default());
    let [id, endpoint] = ids();
    let ticket = waiting.submitting().accepted(id, endpoint, None);
    assert_eq!(waiting.deliver(id, done("once"), Source::Rest), Some(endpoint));
    assert_eq!(waiting.deliver(id, done("twice"), Source::Amqp), None);
    assert_eq!(ticket.result().await, Some(done("once")));
}

#[test]
fn a_caller_who_goes_takes_only_his_own_task_along() {
    let waiting = Arc::new(Waiting::default());
    let [mine, other, endpoint] = ids();
    let submitting = waiting.submitting();
    let tickets = [mine, other].map(|id| submitting.accepted(id, endpoint, None));
    drop(submitting);
    let [ticket, _others] = tickets;
    drop(ticket);
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting.deliver(mine, done("late"), Source::Amqp), None);
    assert_eq!(waiting.deliver(other, done("kept"), Source::Amqp), Some(endpoint));
}

#[test]
fn without_the_broker_a_task_is_asked_for_every_second_and_with_it_seldom() {
    let waiting = Arc::new(Waiting::default());
    let [id, endpoint, group] = ids();
    let _ticket = waiting.submitting().accepted(id, endpoint, Some(group));
    let soon = Instant::now() + FIRST_QUESTION + PACE;
    assert_eq!(waiting.due(soon, 128), [Question { id, is_check: false }]);
    assert_eq!(waiting.next_question(), Some(soon + PACE));

    waiting.consumes(Some(group));
    assert_eq!(waiting.next_question(), Some(soon + CHECK_PACE));
    let check = soon + CHECK_PACE;
    assert_eq!(waiting.due(check, 128), [Question { id, is_check: true }]);
    waiting.ask_by(id, check);
    assert_eq!(waiting.due(check, 128), [Question { id, is_check: false }]);

    waiting.consumes(Some(Uuid::new_v4()));
    assert!(waiting.next_question() < Some(check + CHECK_PACE), "another group's queue is read");
}

#[test]
fn a_task_that_is_unknown_once_gets_a_second_chance() {
    let waiting = Arc::new(Waiting::default());
    let [id, endpoint] = ids();
    let _ticket = waiting.submitting().accepted(id, endpoint, None);
    let now = Instant::now();
    assert!(waiting.miss(id, now));
    assert!(!waiting.miss(id, now));
    assert!(!waiting.miss(Uuid::new_v4(), now));
}
