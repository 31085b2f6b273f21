use figw::domain::Route::Embeddings;

use crate::{accepted, each_names_its_field, each_passes};

fn input(input: &str) -> String {
    format!(r#"{{"model":"m","input":{input}}}"#)
}

fn with(fields: &str) -> String {
    format!(r#"{{"model":"m","input":"text",{fields}}}"#)
}

#[test]
fn bodies_outside_the_reference_are_refused() {
    let many = format!("[{}]", vec!["1"; 2049].join(","));
    let cases = [
        (r#"{"model":"m"}"#.to_owned(), "input"),
        (r#"{"input":"a"}"#.to_owned(), "model"),
        (input("null"), "input"),
        (input(r#""""#), "input"),
        (input("[]"), "input"),
        (input("7"), "input"),
        (input("{}"), "input"),
        (input(r#"["a",""]"#), "input[1]"),
        (input(r#"["a",3]"#), "input[1]"),
        (input(r#"[3,"a"]"#), "input[1]"),
        (input("[[]]"), "input[0]"),
        (input(r#"[["a"]]"#), "input[0][0]"),
        (input("[1.5]"), "input[0]"),
        (input("[null]"), "input[0]"),
        (input(&many), "input"),
        (with(r#""encoding_format":"hex""#), "encoding_format"),
        (with(r#""dimensions":0"#), "dimensions"),
        (with(r#""dimensions":"256""#), "dimensions"),
        (with(r#""user":{}"#), "user"),
    ];
    each_names_its_field(Embeddings, &cases);
}

#[test]
fn every_form_of_input_passes() {
    let bodies = [
        input(r#""text""#),
        input(r#"["a","b"]"#),
        input("[1,2,3]"),
        input("[[1,2],[3]]"),
        with(r#""encoding_format":"base64","dimensions":256,"user":"u""#),
        with(r#""encoding_format":null,"truncate_prompt_tokens":128,"priority":1"#),
        r#"{"model":"m","messages":[{"role":"user","content":"a"}]}"#.to_owned(),
    ];
    each_passes(Embeddings, &bodies);
}

#[test]
fn embeddings_never_stream() {
    let body = with(r#""stream":true"#);
    let scan = accepted(Embeddings, &body);
    assert!(!scan.stream && scan.usage_edit.is_none());
    assert_eq!(scan.prompt_bytes, 4);
}
