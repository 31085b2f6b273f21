//! What is stored of prompts and answers: nothing, their beginning, or all of it; and for how long.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]

mod support;

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use serde_json::json;
use support::{
    client::{Answer, Caller},
    fake::Fake,
    gateway::{Gateway, Plan},
    postgres::{Postgres, psql},
};

/// How long a text may take into the database.
const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway that stores so much, on PostgreSQL.
fn gateway(fake: &Fake, postgres: &Postgres, prompts: &str) -> Gateway {
    Plan::in_front_of(fake.api_url())
        .models(["fake-model"])
        .database(postgres.create_database("figw"))
        .settings(&format!("logging: {{prompts: {prompts}}}\n"))
        .start()
}

/// What is stored of this request: the prompt and the answer.
fn stored(gateway: &Gateway, request: &Answer) -> Option<(String, String)> {
    let id = request.header("x-request-id").unwrap();
    let statement = format!(
        "SELECT json_build_array(prompt, answer) FROM prompts JOIN usage USING (id) \
         WHERE request_id = '{id}'"
    );
    let text = psql(gateway.database(), &statement);
    (!text.is_empty()).then(|| serde_json::from_str(&text).expect("two texts"))
}

fn wait_for(gateway: &Gateway, request: &Answer) -> (String, String) {
    let given_up = Instant::now() + PATIENCE;
    loop {
        if let Some(texts) = stored(gateway, request) {
            return texts;
        }
        assert!(Instant::now() < given_up, "nothing is stored");
        thread::sleep(Duration::from_millis(100));
    }
}

fn question(words: usize, stream: bool) -> serde_json::Value {
    let content = "wörds ".repeat(words);
    json!({"model": "fake-model", "stream": stream, "messages": [{"role": "user", "content": content}]})
}

#[tokio::test]
async fn nothing_is_stored_unless_it_is_asked_for() {
    let (fake, postgres) = (Fake::start(), Postgres::start_new());
    let gateway = gateway(&fake, &postgres, "off");
    let caller = Caller::of(&gateway);
    caller.ask("chat/completions", &question(10, false)).await.ok();
    let mut invalid = question(1, false);
    invalid["messages"][0]["role"] = "wörds".into();
    let refused = caller.ask("chat/completions", &invalid).await;
    assert!(refused.status == 400 && refused.text().contains("wörds"), "{refused:?}");
    gateway.wait_for_usage(1);
    thread::sleep(Duration::from_secs(2));
    assert_eq!(gateway.count("SELECT count(*) FROM prompts"), 0);
    let refusals = "SELECT count(*) FROM access WHERE status = 400 AND error";
    assert_eq!(gateway.count(&format!("{refusals} = 'invalid_value'")), 1);
    assert_eq!(gateway.count(&format!("{refusals} LIKE '%wörds%'")), 0);
}

#[tokio::test]
async fn all_of_it_is_stored_where_that_is_asked_for_whole_or_streamed() {
    let (fake, postgres) = (Fake::start(), Postgres::start_new());
    let gateway = gateway(&fake, &postgres, "full");
    let caller = Caller::of(&gateway);
    for stream in [false, true] {
        let question = question(5_000, stream);
        let answer = caller.ask("chat/completions", &question).await.ok();
        let (prompt, stored) = wait_for(&gateway, &answer);
        assert_eq!(prompt, question.to_string());
        assert_eq!(stored, answer.text(), "as it was sent");
    }
}

#[tokio::test]
async fn the_beginning_is_stored_where_that_is_asked_for_and_a_reload_changes_it() {
    let (fake, postgres) = (Fake::start(), Postgres::start_new());
    let gateway = gateway(&fake, &postgres, "truncated");
    let caller = Caller::of(&gateway);
    let long = question(5_000, true);
    let answer = caller.ask("chat/completions", &long).await.ok();
    let (prompt, _) = wait_for(&gateway, &answer);
    let beginning = prompt.strip_suffix('…').expect("cut off");
    assert!(beginning.len() <= 2048 && long.to_string().starts_with(beginning));

    let configuration = gateway.directory().join("config.yaml");
    let text = fs::read_to_string(&configuration).unwrap();
    fs::write(&configuration, text.replace("prompts: truncated", "prompts: off")).unwrap();
    gateway.signal("HUP");
    let given_up = Instant::now() + PATIENCE;
    loop {
        let answer = caller.ask("chat/completions", &question(1, false)).await.ok();
        thread::sleep(Duration::from_secs(2));
        if stored(&gateway, &answer).is_none() {
            break;
        }
        assert!(Instant::now() < given_up, "texts are stored after the reload");
    }
}
