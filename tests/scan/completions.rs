use figw::domain::Route::Completions;

use crate::{accepted, each_names_its_field, each_passes};

fn with(fields: &str) -> String {
    format!(r#"{{"model":"m","prompt":"once",{fields}}}"#)
}

fn prompt(prompt: &str) -> String {
    format!(r#"{{"model":"m","prompt":{prompt}}}"#)
}

#[test]
fn bodies_outside_the_reference_are_refused() {
    let cases = [
        (r#"{"model":"m"}"#.to_owned(), "prompt"),
        (r#"{"prompt":"once"}"#.to_owned(), "model"),
        (prompt("5"), "prompt"),
        (prompt("{}"), "prompt"),
        (prompt("[]"), "prompt"),
        (prompt(r#"["a",1]"#), "prompt[1]"),
        (prompt("[1,-2]"), "prompt[1]"),
        (prompt("[[1],[]]"), "prompt[1]"),
        (prompt(r#"[["a"]]"#), "prompt[0][0]"),
        (with(r#""best_of":1,"n":2"#), "best_of"),
        (with(r#""best_of":2,"stream":true"#), "best_of"),
        (with(r#""best_of":21"#), "best_of"),
        (with(r#""logprobs":6"#), "logprobs"),
        (with(r#""logprobs":true"#), "logprobs"),
        (with(r#""max_tokens":-1"#), "max_tokens"),
        (with(r#""max_tokens":1.0"#), "max_tokens"),
        (with(r#""echo":"yes""#), "echo"),
        (with(r#""suffix":1"#), "suffix"),
        (with(r#""temperature":2.5"#), "temperature"),
        (with(r#""top_p":-0.1"#), "top_p"),
        (with(r#""n":0"#), "n"),
        (with(r#""stop":["1","2","3","4","5"]"#), "stop"),
        (with(r#""stream_options":{"include_usage":true}"#), "stream_options"),
        (with(r#""presence_penalty":-2.1"#), "presence_penalty"),
    ];
    each_names_its_field(Completions, &cases);
}

#[test]
fn every_form_of_a_prompt_passes() {
    let bodies = [
        prompt(r#""""#),
        prompt("null"),
        prompt(r#"["a","b"]"#),
        prompt("[1,2,3]"),
        prompt("[[1,2],[3]]"),
        r#"{"model":"m","prompt_embeds":"AA=="}"#.to_owned(),
        with(r#""n":2,"best_of":2,"max_tokens":0,"echo":true,"logprobs":5"#),
        with(r#""stream":true,"stream_options":{"include_usage":true},"best_of":1"#),
        with(r#""suffix":"end","seed":1,"user":"u","stop":null,"logit_bias":null"#),
        with(r#""top_k":5,"guided_regex":"a+","min_tokens":1,"use_beam_search":false"#),
    ];
    each_passes(Completions, &bodies);
}

#[test]
fn choices_multiply_with_the_prompts() {
    let body = r#"{"model":"m","prompt":["aa","bbb"],"n":2,"best_of":3}"#;
    let scan = accepted(Completions, body);
    assert_eq!((scan.choices, scan.prompt_bytes), (6, 5));
    let tokens = prompt("[10,20,30]");
    let scan = accepted(Completions, &tokens);
    assert_eq!((scan.choices, scan.prompt_bytes), (1, 12));
}
