//! Inference through Globus Compute: what callers get, however results travel and whatever breaks.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]
#![allow(clippy::print_stdout, reason = "what was measured, for whoever asks with --nocapture")]

mod support;

use std::{
    collections::HashSet,
    net::TcpListener,
    time::{Duration, Instant},
};

use serde_json::Value;
use support::{
    client::Answer,
    globus::{Endpoint, FakeGlobus, Function, Outcome, Service, model_refusal},
    rabbitmq::RabbitMq,
    site::{MODEL, Site, said, saying},
};
use tokio::task::JoinSet;

const LOGIN: &str = "GET /v2/get_amqp_result_connection_url";
const QUESTION: &str = "POST /v2/batch_status";
const SUBMIT: &str = "POST /v3/endpoints/{id}/submit";
const TEN_SECONDS: Duration = Duration::from_secs(10);
/// Requests that Globus allows a client in ten seconds.
const ALLOWED: usize = 20;

fn with_broker(broker: &RabbitMq) -> FakeGlobus {
    FakeGlobus::start_with_broker(&broker.service_url(), broker.client_urls())
}

/// What the last message of a chat says.
fn last_message(argument: &Value) -> String {
    let messages = argument["model_params"]["messages"].as_array().unwrap();
    messages.last().unwrap()["content"].as_str().unwrap().to_owned()
}

/// A function that does as `special` says, if it says anything, and answers the chat otherwise.
fn inference_but(special: impl Fn(&str) -> Option<Outcome> + Send + Sync + 'static) -> Function {
    let usual = Function::inference(Duration::ZERO);
    Function::new(move |argument| {
        special(&last_message(argument)).unwrap_or_else(|| usual.call(argument))
    })
}

/// Everybody says their own number; each must hear it.
async fn everybody_hears_their_own(answers: JoinSet<(usize, Answer)>) {
    for (number, answer) in answers.join_all().await {
        let answer = answer.ok();
        assert_eq!(said(&answer), number.to_string());
    }
}

fn ask_all(site: &Site, numbers: impl IntoIterator<Item = usize>) -> JoinSet<(usize, Answer)> {
    let mut answers = JoinSet::new();
    for number in numbers {
        let caller = site.caller();
        answers.spawn(async move {
            let body = saying(&number.to_string());
            (number, caller.ask("chat/completions", &body).await)
        });
    }
    answers
}

/// Each of these was run once.
fn assert_each_ran_once(globus: &FakeGlobus, tasks: usize) {
    let submitted = globus.submitted();
    let texts: HashSet<_> = submitted.iter().map(|task| last_message(&task.argument)).collect();
    assert_eq!((submitted.len(), texts.len()), (tasks, tasks), "tasks, and different ones");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chats_are_answered_by_the_broker_alone() {
    let broker = RabbitMq::start_new();
    let plain = Site::start(with_broker(&broker), Function::inference(Duration::ZERO), &[]);
    // The first task makes the queue of results.
    assert_eq!(said(&plain.say("hello").await.ok()), "hello");
    let answer = plain.say("héllo ✓ 😀").await.ok();
    assert_eq!(said(&answer), "héllo ✓ 😀");
    let task = plain.globus.submitted().pop().unwrap();
    let parameters = &task.argument["model_params"];
    assert_eq!(parameters["openai_endpoint"], "chat/completions");
    assert_eq!((&parameters["api_port"], &parameters["model"]), (&8000.into(), &MODEL.into()));
    assert_eq!(plain.globus.count(Service::Compute, LOGIN), 1);

    // Older workers pickle what they return; others withhold it from the broker.
    plain.globus.function(plain.function, Function::inference(Duration::ZERO).pickled());
    assert_eq!(said(&plain.say("in a pickle 🥒").await.ok()), "in a pickle 🥒");
    let before = plain.globus.count(Service::Compute, QUESTION);
    plain.globus.function(plain.function, Function::inference(Duration::ZERO).withheld());
    assert_eq!(said(&plain.say("high assurance").await.ok()), "high assurance");
    assert!(plain.globus.count(Service::Compute, QUESTION) > before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chats_are_answered_by_asking_alone() {
    let globus = FakeGlobus::start();
    globus.read_once(true);
    let site = Site::start(globus, Function::inference(Duration::ZERO), &["results: poll"]);
    assert_eq!(said(&site.say("héllo ✓ 😀").await.ok()), "héllo ✓ 😀");
    site.globus.function(site.function, Function::inference(Duration::ZERO).pickled());
    assert_eq!(said(&site.say("in a pickle 🥒").await.ok()), "in a pickle 🥒");
    assert_eq!(site.globus.count(Service::Compute, LOGIN), 0);
    assert!(site.globus.count(Service::Compute, QUESTION) >= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_broker_restarts_amid_two_hundred_tasks_and_none_is_lost_or_doubled() {
    const TASKS: usize = 200;
    let mut broker = RabbitMq::start_new();
    // From an immediate end to one long after the broker has gone.
    let usual = Function::inference(Duration::ZERO);
    let spread = Function::new(move |argument| {
        let number: u64 = last_message(argument).parse().unwrap_or(0);
        Outcome::After(Duration::from_millis(number * 25), usual.call(argument).into())
    });
    let site = Site::start(with_broker(&broker), spread, &[]);
    site.say("first").await.ok();
    let answers = ask_all(&site, 0..TASKS);
    site.globus.wait_until_submitted(TASKS + 1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begun = Instant::now();
    broker.kill();
    broker.start();
    println!("the broker was away for {:?}", begun.elapsed());
    everybody_hears_their_own(answers).await;
    assert_each_ran_once(&site.globus, TASKS + 1);
    println!(
        "{} logins, {} questions",
        site.globus.count(Service::Compute, LOGIN),
        site.globus.count(Service::Compute, QUESTION)
    );
    assert!(site.globus.busiest(Service::Compute, TEN_SECONDS) <= ALLOWED);

    // The broker is used again, and what it still held of earlier tasks disturbs nobody.
    let given_up = Instant::now() + Duration::from_mins(1);
    while site.globus.count(Service::Compute, LOGIN) < 2 {
        assert!(Instant::now() < given_up, "figw does not return to the broker");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    everybody_hears_their_own(ask_all(&site, 0..10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_amqp_everything_works_within_the_allowed_requests() {
    // Takes connections and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let globus = FakeGlobus::start();
    globus.send_amqp_clients_to(vec![format!("amqp://reader:secret@{address}/results")]);
    globus.enforce_request_limit(true);
    globus.read_once(true);
    let function = Function::inference(Duration::ZERO).taking(Duration::from_millis(300));
    let site = Site::start(globus, function, &[]);

    let begun = Instant::now();
    let mut answers = JoinSet::new();
    for second in 0..25 {
        for number in 0..4 {
            let (caller, number) = (site.caller(), second * 4 + number);
            answers.spawn(async move {
                let body = saying(&number.to_string());
                (number, caller.ask("chat/completions", &body).await)
            });
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }
    let mut took: Vec<_> = Vec::new();
    for (number, answer) in answers.join_all().await {
        let answer = answer.ok();
        assert_eq!(said(&answer), number.to_string());
        took.push(answer.took);
    }
    took.sort_unstable();
    let busiest = site.globus.busiest(Service::Compute, TEN_SECONDS);
    println!(
        "100 chats in {:?}: median {:?}, slowest {:?}; {} submits, {} questions, at most {busiest} \
         requests in 10 s",
        begun.elapsed(),
        took[took.len() / 2],
        took[took.len() - 1],
        site.globus.count(Service::Compute, SUBMIT),
        site.globus.count(Service::Compute, QUESTION),
    );
    assert!(busiest <= ALLOWED, "{busiest} requests in ten seconds");
    // Ten submits and ten questions in ten seconds: half a second for each, and the run between.
    assert!(took[took.len() / 2] <= Duration::from_secs(3), "{:?}", took[took.len() / 2]);
    assert_each_ran_once(&site.globus, 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_is_offline_takes_nothing() {
    let globus = FakeGlobus::start();
    let site = Site::start(globus, Function::inference(Duration::ZERO), &["results: poll"]);
    site.globus.endpoint(site.endpoint, Endpoint::OFFLINE);
    let answer = site.say("anybody there?").await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.header("retry-after").is_some());
    assert!(answer.text().contains("offline"), "{}", answer.text());
    assert!(site.globus.submitted().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_waits_in_vain_or_leaves_touches_nobody() {
    let broker = RabbitMq::start_new();
    let special = |text: &str| (text == "never").then_some(Outcome::Never);
    let site = Site::start_with(
        with_broker(&broker),
        inference_but(special).taking(Duration::from_millis(500)),
        &[],
        |plan| plan.set("gateway.request_timeout", "4s"),
    );
    site.say("first").await.ok();
    let mut vain = JoinSet::new();
    for _ in 0..5 {
        let caller = site.caller();
        vain.spawn(async move { caller.ask("chat/completions", &saying("never")).await });
    }
    // These leave while their tasks run.
    let leaving = ask_all(&site, 100..105);
    site.globus.wait_until_submitted(11).await;
    drop(leaving);
    everybody_hears_their_own(ask_all(&site, 0..20)).await;
    for answer in vain.join_all().await {
        assert_eq!(answer.status, 504, "{}", answer.text());
    }
    everybody_hears_their_own(ask_all(&site, 0..20)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_wrong_on_the_node_is_told_as_what_it_is() {
    let broker = RabbitMq::start_new();
    let special = |text: &str| match text {
        "no model" => Some(model_refusal(
            404,
            r#"{"error": {"message": "The model `x` does not exist.", "type": "NotFoundError"}}"#,
        )),
        "crash" => Some(Outcome::Raises("ZeroDivisionError: division by zero".into())),
        "garbage" => Some(Outcome::Buffer("00\nnot base64!".into())),
        _ => None,
    };
    for (globus, how) in
        [(with_broker(&broker), "results: amqp"), (FakeGlobus::start(), "results: poll")]
    {
        let site = Site::start(globus, inference_but(special), &[how]);
        let answer = site.say("no model").await;
        assert_eq!(answer.status, 404, "{how}: {}", answer.text());
        assert_eq!(answer.json()["error"]["message"], "The model `x` does not exist.");
        let answer = site.say("crash").await;
        assert_eq!(answer.status, 502, "{how}: {}", answer.text());
        let answer = site.say("garbage").await;
        assert_eq!(answer.status, 502, "{how}: {}", answer.text());
        assert_eq!(said(&site.say("fine").await.ok()), "fine", "{how}");
    }
}
