use bytes::Bytes;
use figw::domain::Route;
use figw::gateway::scan::scan;
use figw::{backends::CallBody, gateway::scan::splice::splice};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use proptest::prelude::*;
use serde_json::{Value, json};

fn joined(spliced: &CallBody) -> Vec<u8> {
    let bytes: Vec<u8> = spliced.parts().flat_map(|piece| piece.iter().copied()).collect();
    assert_eq!(bytes.len() as u64, spliced.len());
    bytes
}

/// The body after the scan's own edits and a new model name.
fn edited(route: Route, body: &str, model: Option<&str>) -> Value {
    let scanned = scan(route, body.as_bytes()).expect(body);
    let edits =
        scanned.usage_edit.iter().cloned().chain(model.map(|model| scanned.rename_model(model)));
    let spliced = splice(&Bytes::copy_from_slice(body.as_bytes()), edits.collect());
    let bytes = joined(&spliced);
    assert!(scan(route, &bytes).is_ok(), "{}", String::from_utf8_lossy(&bytes));
    serde_json::from_slice(&bytes).expect("still JSON")
}

#[test]
fn usage_is_asked_for_wherever_it_was_not() {
    for options in [
        "",
        r#","stream_options":null"#,
        r#","stream_options":{}"#,
        r#","stream_options": { } "#,
        r#","stream_options":{"x":1}"#,
        r#","stream_options":{"include_usage":false,"x":1}"#,
        r#","stream_options":{"include_usage":null}"#,
        r#","stream_options":{"x":1,"include_usage": false }"#,
    ] {
        for (route, prompt) in [
            (Route::ChatCompletions, r#""messages":[{"role":"user","content":"{"}]"#),
            (Route::Completions, r#""prompt":"{""#),
        ] {
            let body = format!(" {{\"model\":\"m\",{prompt},\"stream\":true{options}}}\n");
            let mut expected: Value = serde_json::from_str(&body).unwrap();
            expected["stream_options"]["include_usage"] = true.into();
            assert_eq!(edited(route, &body, None), expected, "{body}");
        }
    }
}

#[test]
fn a_model_with_escapes_is_replaced_as_a_whole() {
    let body = r#"{"a":"model","model" : "org\/\u0061\"\ud83d\ude00" ,"input":"x"}"#;
    let scanned = scan(Route::Embeddings, body.as_bytes()).unwrap();
    assert_eq!(scanned.model, "org/a\"😀");
    assert_eq!(&body[scanned.model_span], r#""org\/\u0061\"\ud83d\ude00""#);
    let expected = json!({"a": "model", "model": "new \"name\"\n", "input": "x"});
    assert_eq!(edited(Route::Embeddings, body, Some("new \"name\"\n")), expected);
}

#[test]
fn the_bodys_own_bytes_are_shared() {
    let filler = "x".repeat(1 << 20);
    let body = Bytes::from(format!(r#"{{"model":"m","stream":true,"prompt":"{filler}"}}"#));
    let scanned = scan(Route::Completions, &body).unwrap();
    let edits = vec![scanned.rename_model("other"), scanned.usage_edit.unwrap()];
    let spliced = splice(&body, edits);
    let inside = |piece: &Bytes| body.as_ptr_range().contains(&piece.as_ptr());
    let copied: usize = spliced.parts().filter(|piece| !inside(piece)).map(Bytes::len).sum();
    assert!(copied < 100, "{copied} bytes are new");
    let untouched = CallBody::from(body.clone());
    assert_eq!(untouched.parts().collect::<Vec<_>>(), [&body]);
}

#[tokio::test]
async fn as_an_http_body_it_knows_its_length() {
    let body = Bytes::from_static(br#"{"model":"m","stream":true,"prompt":"p"}"#);
    let scanned = scan(Route::Completions, &body).unwrap();
    let spliced = splice(&body, vec![scanned.rename_model("n"), scanned.usage_edit.unwrap()]);
    let (len, expected) = (spliced.len(), joined(&spliced));
    assert_eq!(spliced.size_hint().exact(), Some(len));
    assert!(!spliced.is_end_stream() && !spliced.is_empty());
    let sent = spliced.collect().await.unwrap().to_bytes();
    assert_eq!(sent, expected);
}

proptest! {
    #[test]
    fn only_what_was_meant_changes(
        model in ".{1,20}",
        new_model in ".{1,20}",
        unknown in ".{0,20}",
        options in prop::option::of(prop::option::of(prop::option::of(any::<bool>()))),
        stream in any::<bool>(),
        model_first in any::<bool>(),
    ) {
        let mut body = serde_json::Map::new();
        if model_first {
            body.insert("model".into(), model.clone().into());
        }
        body.insert(format!("x{unknown}"), json!({"model": unknown}));
        body.insert("prompt".into(), unknown.clone().into());
        body.insert("model".into(), model.clone().into());
        body.insert("stream".into(), stream.into());
        if stream && let Some(options) = options {
            let options = options.map(|usage| json!({"y": 1, "include_usage": usage}));
            body.insert("stream_options".into(), options.into());
        }
        let body = Value::from(body);
        let text = body.to_string();
        let scanned = scan(Route::Completions, text.as_bytes()).unwrap();
        prop_assert_eq!(&scanned.model, &model);
        prop_assert_eq!(&text[scanned.model_span.clone()], Value::from(model).to_string());
        let mut expected = body;
        expected["model"] = new_model.as_str().into();
        if stream {
            expected["stream_options"]["include_usage"] = true.into();
        }
        prop_assert_eq!(edited(Route::Completions, &text, Some(&new_model)), expected);
    }
}
