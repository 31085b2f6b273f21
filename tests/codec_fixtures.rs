//! What the real SDKs of Globus Compute wrote decodes to the values they wrote.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, and nobody imports them"
)]

use figw::globus::codec::{self, PyValue};
use serde_json::Value;

fn cases(file: &str) -> Vec<Value> {
    let path = format!("{}/../shared/globus/fixtures/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    let cases = document["cases"].as_array().unwrap().clone();
    assert!(!cases.is_empty(), "{file} has no cases");
    cases
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap_or_else(|| panic!("{key} of {}", case["name"]))
}

/// The value as it is, in JSON's terms: a `str` stays one. Numbers are compared as JSON text, which
/// keeps integers of any length apart from floats.
fn as_json(value: &PyValue) -> Value {
    let text = serde_json::to_string(value).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn every_argument_decodes_to_what_was_sent() {
    for case in cases("args.json") {
        for (buffer, expected) in [("args_buffer", "args"), ("kwargs_buffer", "kwargs")] {
            let value = codec::decode(text(&case, buffer)).unwrap();
            assert_eq!(as_json(&value), case["expected"][expected], "{case}");
        }
    }
}

#[test]
fn payloads_are_the_ones_the_sdk_makes_of_the_same_json() {
    let mut compared = 0;
    for case in cases("args.json") {
        if text(&case, "strategy") != "JSONData" || text(&case, "kwargs_buffer") != "11\n{}" {
            continue;
        }
        let list = text(&case, "args_buffer").strip_prefix("11\n[").expect("a list");
        let argument = list.strip_suffix(']').expect("a list");
        let argument = Some(argument).filter(|argument| !argument.is_empty());
        assert_eq!(codec::task_payload(argument), text(&case, "packed"));
        compared += 1;
    }
    assert!(compared >= 6, "{compared} payloads compared");
}

#[test]
fn every_result_decodes_to_what_was_returned() {
    for case in cases("results.json").into_iter().chain(cases("results_200k.json")) {
        let value = codec::decode(text(&case, "payload"))
            .unwrap_or_else(|error| panic!("{} {}: {error}", case["name"], case["strategy"]));
        assert_eq!(as_json(&value), case["expected"], "{} {}", case["name"], case["strategy"]);
    }
}

#[test]
fn integers_of_any_length_keep_their_digits() {
    let names = ["bigint_i64", "bigint_u64", "bigint_beyond"];
    for case in cases("results.json") {
        if names.contains(&text(&case, "name")) && case["strategy"] != "JSONData" {
            let twin = cases("results.json")
                .into_iter()
                .find(|twin| twin["name"] == case["name"] && twin["strategy"] == "JSONData");
            let digits = text(&twin.expect("the same in JSON"), "payload")[3..].to_owned();
            let value = codec::decode(text(&case, "payload")).expect("an integer");
            assert_eq!(value.into_document(), digits);
        }
    }
}

#[test]
fn every_message_of_the_result_queue_carries_a_value_or_a_traceback() {
    for case in cases("amqp_results.json") {
        let body: Value = serde_json::from_str(text(&case, "body_after_version_byte")).unwrap();
        let data = body["data"]["data"].as_str().expect("data");
        if case["expected"]["is_error"] == true {
            assert_eq!(data, text(&case["expected"], "exception"));
            assert!(codec::decode(data).is_err(), "a traceback is no buffer");
        } else {
            assert_eq!(as_json(&codec::decode(data).expect("a value")), case["expected"]["value"]);
        }
    }
}
