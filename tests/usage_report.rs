//! `figw usage`: who used what, up to this moment.

#![allow(clippy::unwrap_used, reason = "a test helper may fail its test")]

mod support;

use serde_json::Value;
use support::{
    client::Caller,
    fake::Fake,
    gateway::Plan,
    requests::{ANSWER_TOKENS, PROMPT_TOKENS, chat},
};

#[tokio::test]
async fn a_report_tells_of_every_request_in_text_json_and_csv() {
    let fake = Fake::start();
    let mut gateway = Plan::in_front_of(fake.api_url()).models(["fake-model", "=other"]).prepare();
    let key = gateway.create_key("ada@example.org");
    gateway.serve();
    let ada = Caller::of(&gateway).with_key(&key);
    for model in ["fake-model", "fake-model", "=other"] {
        ada.ask("chat/completions", &chat(model)).await.ok();
    }
    Caller::of(&gateway).ask("chat/completions", &chat("fake-model")).await.ok();
    gateway.wait_for_usage(4);

    let report: Value = serde_json::from_str(
        &gateway.run(&["--output", "json", "usage", "--by", "user", "--since", "0d"]),
    )
    .unwrap();
    let of = |row: &Value| (row["name"].as_str().unwrap().to_owned(), row["requests"].as_u64());
    let rows: Vec<_> = report["rows"].as_array().unwrap().iter().map(of).collect();
    let expected = [("ada@example.org", 3), ("researcher@example.org", 1)]
        .map(|(u, n)| (u.to_owned(), Some(n)));
    assert_eq!(rows, expected);
    assert_eq!(report["total"]["prompt_tokens"], 4 * PROMPT_TOKENS);
    assert_eq!(report["total"]["completion_tokens"], 4 * ANSWER_TOKENS);
    assert_eq!((&report["by"], &report["total"]["users"]), (&"user".into(), &2.into()));
    assert!(report["total"].get("name").is_none());

    let csv = gateway.run(&["usage", "--by", "model", "--output", "csv"]);
    let lines: Vec<_> = csv.lines().collect();
    assert!(lines[1].starts_with("fake-model,2,3,3,0,0,"), "{csv}");
    assert!(lines[2].starts_with("'=other,1,1,1,"), "no formula: {csv}");

    let text = gateway.run(&["usage", "--by", "cluster"]);
    assert!(text.starts_with("Usage by cluster, ") && text.contains("100.0 %"), "{text}");
    assert!(text.lines().last().unwrap().starts_with("total"), "{text}");
    let nothing =
        gateway.run(&["usage", "--by", "day", "--since", "2001-01-01", "--until", "2001-12-31"]);
    assert!(nothing.ends_with("(none)\n"), "{nothing}");
}

#[test]
fn wrong_days_and_formats_are_refused_with_a_word_on_the_right_ones() {
    let gateway = Plan::in_front_of("http://127.0.0.1:9/v1").prepare();
    for (arguments, status, said) in [
        (&["--by", "user", "--since", "soon"][..], 2, "such as 2026-01-31"),
        (&["--by", "user", "--since", "1d", "--until", "2d"], 2, "is after --until"),
        (&["--by", "colour"], 2, "[possible values: user, model, cluster, day]"),
        (&[], 2, "--by <WHAT>"),
    ] {
        let output = gateway.command().arg("usage").args(arguments).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{stderr}");
        assert!(stderr.contains(said), "{stderr}");
    }
    let output = gateway.command().args(["--output", "csv", "key", "list"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "only reports are made as CSV");
}
