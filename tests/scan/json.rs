use figw::domain::Route;
use figw::domain::Route::ChatCompletions;
use figw::gateway::scan::scan;
use proptest::prelude::*;

use crate::{accepted, refused};

/// A valid chat body with more fields.
fn with(fields: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}],{fields}}}"#)
}

#[test]
fn what_is_not_json_is_told_with_its_place() {
    let cases = [
        ("{\"model\":\n  \"m\",}".to_owned(), "line 2 column 7"),
        (r#"{"model" "m"}"#.to_owned(), "expected `:`"),
        (r#"{"model":"m" "n":1}"#.to_owned(), "expected `,` or `}`"),
        (r#"{model:"m"}"#.to_owned(), "double quotes"),
        (r#"{"model":"m"#.to_owned(), "unexpected end of the body in a string"),
        (r#"{"a":tru}"#.to_owned(), "expected a value"),
        (r#"{"a":NaN}"#.to_owned(), "expected a value"),
        (r#"{"a":01}"#.to_owned(), "leading zero"),
        (r#"{"a":1.}"#.to_owned(), "expected a digit"),
        (r#"{"a":-}"#.to_owned(), "expected a digit"),
        (r#"{"a":1e}"#.to_owned(), "expected a digit"),
        (r#"{"a":"\x"}"#.to_owned(), "invalid escape"),
        (r#"{"a":"\u12g4"}"#.to_owned(), "invalid `\\u` escape"),
        (r#"{"a":"\ud83d"}"#.to_owned(), "surrogate"),
        (r#"{"a":"\ude00"}"#.to_owned(), "surrogate"),
        ("{\"a\":\"\n\"}".to_owned(), "control character"),
        (r#"{"a":[1,]}"#.to_owned(), "expected a value"),
        (r#"{"a":[1 2]}"#.to_owned(), "expected `,` or `]`"),
        (format!("{} {{}}", with(r#""a":1"#)), "after the JSON value"),
        (format!("{}\0", with(r#""a":1"#)), "after the JSON value"),
        (String::new(), "empty"),
        (" \n".to_owned(), "empty"),
    ];
    for (body, said) in &cases {
        let refusal = refused(ChatCompletions, body);
        assert!(refusal.message.contains(said), "{body}\n{refusal}");
        assert_eq!((refusal.param, refusal.code), (None, Some("invalid_json")), "{body}");
    }
}

#[test]
fn the_body_is_an_object() {
    for body in ["[]", "\"text\"", "7", "null", "[{\"model\":\"m\"}]"] {
        for route in Route::ALL {
            let refusal = refused(route, body);
            assert!(refusal.message.contains("must be a JSON object"), "{refusal}");
        }
    }
}

#[test]
fn bytes_that_are_not_utf8_are_refused_wherever_they_stand() {
    for broken in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf"] {
        let body = with(r#""unknown":["HERE"]"#);
        let (before, after) = body.split_once("HERE").unwrap();
        let bytes = [before.as_bytes(), broken, after.as_bytes()].concat();
        let refusal = scan(ChatCompletions, &bytes).unwrap_err();
        let place = format!("not UTF-8 at byte {}.", before.len());
        assert!(refusal.message.contains(&place), "{refusal}");
    }
}

#[test]
fn depth_is_bounded_in_known_and_unknown_fields() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let nested = |depth| format!("{}1{}", open.repeat(depth), close.repeat(depth));
        accepted(ChatCompletions, &with(&format!(r#""unknown":{}"#, nested(127))));
        for depth in [128, 10_000, 200_000] {
            for field in ["unknown", "metadata", "messages", "tools"] {
                let body = format!(r#"{{"model":"m","{field}":{}}}"#, nested(depth));
                let refusal = refused(ChatCompletions, &body);
                let shallow = refusal.param.is_some();
                assert!(shallow || refusal.code == Some("nested_too_deeply"), "{refusal}");
            }
            let refusal = refused(ChatCompletions, &with(&format!(r#""x":{}"#, nested(depth))));
            assert!(refusal.message.contains("nested too deeply"), "{refusal}");
        }
        let unclosed = open.repeat(100_000);
        refused(ChatCompletions, &unclosed);
    }
}

#[test]
fn numbers_beyond_every_type_are_refused() {
    for number in ["1e999", "-1e999", &"9".repeat(400)] {
        let refusal = refused(ChatCompletions, &with(&format!(r#""unknown":{number}"#)));
        assert!(refusal.message.contains("too large"), "{refusal}");
    }
    accepted(ChatCompletions, &with(r#""unknown":123456789012345678901234567890"#));
    accepted(ChatCompletions, &with(r#""unknown":[0,-0,0.0,1E+2,1e-999]"#));
}

#[test]
fn a_field_given_twice_is_refused_at_every_level() {
    let cases = [
        (r#"{"model":"a","messages":[],"model":"b"}"#, "messages"),
        (r#"{"model":"a","model":"b"}"#, "model"),
        (r#"{"model":"a","mod\u0065l":"b"}"#, "model"),
        (r#"{"\u006dodel":"a","model":"b"}"#, "model"),
        (r#"{"model":"a","Model":"b"}"#, "model"),
        (r#"{"MODEL":"b","model":"a"}"#, "model"),
        (r#"{"stream":false,"stream":true}"#, "stream"),
        (r#"{"messages":[{"role":"user","role":"system","content":"a"}]}"#, "messages[0].role"),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a","text":"b"}]}]}"#,
            "messages[0].content[0].text",
        ),
        (
            r#"{"stream_options":{"include_usage":false,"include_usage":true}}"#,
            "stream_options.include_usage",
        ),
    ];
    for (body, param) in cases {
        assert_eq!(refused(ChatCompletions, body).param.as_deref(), Some(param), "{body}");
    }
    accepted(ChatCompletions, &with(r#""unknown":1,"unknown":2"#));
}

/// JSON of any shape, with the words that the tables know among the strings.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let word = prop::sample::select(vec![
        "model",
        "messages",
        "role",
        "user",
        "content",
        "type",
        "text",
        "input",
        "tools",
        "stream",
        "stream_options",
        "include_usage",
        "function",
        "name",
        "n",
        "prompt",
        "max_tokens",
        "thinking",
        "budget_tokens",
        "response_format",
        "assistant",
        "tool",
        "é\n\"😀",
    ]);
    let text = prop_oneof![word.prop_map(str::to_owned), ".{0,12}"];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        (-3i64..3).prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        text.clone().prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::hash_map(text.clone(), inner, 0..6)
                .prop_map(|members| members.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for route in Route::ALL {
            let _ = scan(route, &bytes);
        }
    }

    #[test]
    fn no_json_makes_it_panic(value in any_json()) {
        let body = value.to_string();
        for route in Route::ALL {
            let _ = scan(route, body.as_bytes());
        }
    }

    #[test]
    fn no_cut_makes_it_panic(cut in 0usize..400, byte in any::<u8>()) {
        let mut bytes = with(r#""stop":["é\n\ud83d\ude00"],"n":2,"temperature":1.5e0"#).into_bytes();
        bytes[cut % 100] = byte;
        bytes.truncate(cut);
        for route in Route::ALL {
            let _ = scan(route, &bytes);
        }
    }

    /// Whatever stands in an unknown field, the scan and serde_json agree on whether it is JSON.
    #[test]
    fn it_reads_json_as_serde_json_does(text in r#"[\[\]{},:"\\u0-9a-f.eE+\- ntrl\n]{0,24}"#) {
        let body = with(&format!(r#""unknown":{text}"#));
        let ours = scan(ChatCompletions, body.as_bytes());
        let theirs = serde_json::from_str::<serde_json::Value>(&body);
        // A stray comma may bring fields of its own; those are judged elsewhere.
        prop_assume!(ours.as_ref().err().is_none_or(|refusal| refusal.param.is_none()));
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{}: {:?} {:?}", body, ours, theirs);
    }

    #[test]
    fn it_accepts_every_unknown_value(value in any_json()) {
        let body = with(&format!(r#""unknown":{value}"#));
        accepted(ChatCompletions, &body);
    }
}
