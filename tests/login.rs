//! A person logs in from the terminal, uses tokens in scripts, and logs out, against a Globus Auth
//! that checks what the standards ask for.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod support;

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{
    login_server::{ADA, LoginServer, Mood},
    person::{CLIENT, GATEWAY, Person, browse, visit},
};

fn scope() -> String {
    format!("https://auth.globus.org/scopes/{GATEWAY}/action_all")
}

#[test]
fn a_login_in_the_browser_leaves_tokens_where_the_globus_sdk_keeps_them() {
    let auth = LoginServer::start();
    let ada = Person::new(&auth);
    let waiting = ada.begin(&["--policy", &format!("{CLIENT},{GATEWAY}"), "--domain", "anl.gov"]);
    assert_eq!(waiting.asks_for("client_id"), CLIENT);
    assert_eq!(waiting.asks_for("scope"), format!("{} openid", scope()));
    assert_eq!(waiting.asks_for("access_type"), "offline");
    assert_eq!(waiting.asks_for("code_challenge_method"), "S256");
    assert_eq!(waiting.asks_for("session_required_policies"), format!("{CLIENT},{GATEWAY}"));
    assert_eq!(waiting.asks_for("session_required_single_domain"), "anl.gov");
    assert!(waiting.asks_for("redirect_uri").starts_with("http://localhost:"));
    assert!(waiting.asks_for("state").len() >= 43);
    assert!(waiting.asks_for("prefill_named_grant").starts_with("figw"));

    let page = browse(waiting.url.as_str());
    assert_eq!(page.status, 200);
    assert!(page.body.contains("You may close this window"), "{}", page.body);
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let said = waiting.end();
    assert_eq!(said.status, 0, "{said:?}");
    assert_eq!(said.stdout, "Logged in as ada@anl.gov; `figw token` prints a token.\n");

    let tokens = ada.tokens();
    assert_eq!(tokens["format_version"], "2.0");
    assert!(tokens["globus-sdk.version"].is_string());
    let entry = ada.entry();
    assert_eq!(entry["resource_server"], GATEWAY);
    assert_eq!(entry["identity_id"], ADA);
    assert_eq!(entry["scope"], scope());
    assert_eq!(entry["token_type"], "Bearer");
    assert!(entry["refresh_token"].as_str().unwrap().starts_with("refresh-"));
    assert_eq!(tokens["data"]["DEFAULT"]["auth.globus.org"]["scope"], "openid");
    let left = entry["expires_at_seconds"].as_i64().unwrap() - jiff::Timestamp::now().as_second();
    assert!((172_700..=172_800).contains(&left), "{left}");
}

#[test]
fn only_the_owner_can_read_the_tokens() {
    let auth = LoginServer::start();
    let ada = Person::new(&auth);
    ada.log_in();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let file = ada.token_file();
    assert_eq!(mode(file.as_path()), 0o600);
    for directory in file.ancestors().skip(1).take_while(|path| *path != ada.home()) {
        assert_eq!(mode(directory), 0o700, "{}", directory.display());
    }
    // Nothing half written is left beside it.
    let mut names: Vec<_> = fs::read_dir(file.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["tokens.json", "tokens.lock"]);
    // Somebody who had opened it to others has that put right with the next change.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    ada.let_it_end_in(0);
    assert_eq!(ada.run(&["token"]).status, 0);
    assert_eq!(mode(file.as_path()), 0o600);
}

#[test]
fn a_token_stands_alone_on_standard_output() {
    let auth = LoginServer::start();
    let ada = Person::new(&auth);
    ada.log_in();
    let entry = ada.entry();
    let token = entry["access_token"].as_str().unwrap();
    // Neither options nor a configuration say for which gateway: the last login does.
    let said = ada.run(&["-vv", "token"]);
    assert_eq!((said.status, said.stdout), (0, format!("{token}\n")));
    assert!(!said.stderr.contains(token), "{}", said.stderr);
    let said = ada.run(&["--output", "json", "token"]);
    let json: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(json["access_token"], token);
    assert_eq!(json["identity_id"], ADA);
    let ends: jiff::Timestamp = json["expires_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(ends.as_second(), entry["expires_at_seconds"].as_i64().unwrap());
    assert!(auth.grants("refresh_token").is_empty());
}

#[test]
fn figw_opens_the_browser_that_the_person_has_set() {
    let auth = LoginServer::start();
    let ada = Person::new(&auth);
    let (program, opened) = ada.browser();
    let login = ["login", "--client-id", CLIENT, "--gateway", GATEWAY, "--port", "0"];
    let child = ada.figw(&login).env("BROWSER", program).spawn().unwrap();
    let given_up = Instant::now() + Duration::from_secs(20);
    while !opened.exists() {
        assert!(Instant::now() < given_up, "no browser was opened");
        thread::sleep(Duration::from_millis(10));
    }
    browse(&fs::read_to_string(opened).unwrap());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(ada.entry()["identity_id"], ADA);
}

#[test]
fn without_a_browser_a_person_at_a_terminal_pastes_the_code() {
    let auth = LoginServer::start();
    let ada = Person::new(&auth);
    // `script` gives figw a terminal and types what comes on its standard input.
    let figw = ada.figw(&["login", "--client-id", CLIENT, "--gateway", GATEWAY, "--no-browser"]);
    let line: Vec<_> = std::iter::once(figw.get_program())
        .chain(figw.get_args())
        .map(|part| part.to_str().unwrap())
        .collect();
    let mut script = std::process::Command::new("script");
    script
        .args(["-qefc", &line.join(" "), "/dev/null"])
        .current_dir(ada.home())
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    for (name, value) in figw.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    let mut script = script.spawn().expect("script, of util-linux, runs");
    let mut shown = support::person::Screen::of(script.stdout.take().unwrap());
    let url = shown.wait_for_address();
    assert!(url.contains("web%2Fauth-code"), "{url}");
    let code = browse(&url).body;
    shown.wait_for("The code that Globus shows there");
    let mut keyboard = script.stdin.take().unwrap();
    write!(keyboard, "{code}\r").unwrap();
    shown.wait_for("Logged in as ada@anl.gov");
    drop(keyboard);
    assert!(script.wait().unwrap().success());
    assert_eq!(ada.entry()["identity_id"], ADA);
}

#[test]
fn without_a_terminal_nothing_waits_for_a_code() {
    let auth = LoginServer::start();
    let ada = Person::new(&auth);
    let said = ada.run(&["login", "--client-id", CLIENT, "--gateway", GATEWAY]);
    assert_eq!(said.status, 2);
    assert!(said.stderr.contains("--port PORT"), "{}", said.stderr);
    let said = ada.run(&["login", "--port", "0"]);
    assert_eq!(said.status, 2);
    assert!(said.stderr.contains("--client-id UUID"), "{}", said.stderr);
}

#[test]
fn a_denied_login_is_told_in_the_browser_and_in_the_terminal() {
    let auth = LoginServer::start();
    auth.mood(Mood::Denies);
    let ada = Person::new(&auth);
    let waiting = ada.begin(&[]);
    let page = browse(waiting.url.as_str());
    assert!(page.body.contains("The user said &lt;b&gt;no&lt;/b&gt;"), "{}", page.body);
    let said = waiting.end();
    assert_eq!(said.status, 1);
    assert!(said.stderr.contains("The user said <b>no</b> (access_denied)"), "{}", said.stderr);
    assert!(!ada.token_file().exists());
}

#[test]
fn a_stranger_s_request_neither_ends_the_login_nor_takes_part_in_it() {
    let auth = LoginServer::start();
    let ada = Person::new(&auth);
    let waiting = ada.begin(&[]);
    let back = waiting.asks_for("redirect_uri");
    let state = waiting.asks_for("state");
    let ask = |rest: &str| visit(&format!("{back}{rest}").parse().unwrap()).unwrap().status;
    assert_eq!(ask("/?code=stolen&state=guessed"), 400);
    assert_eq!(ask("/?code=stolen"), 400);
    assert_eq!(ask(&format!("/?code=stolen&state={state}x")), 400);
    assert_eq!(ask("/?error=access_denied&state=guessed"), 400);
    assert_eq!(ask(&format!("/favicon.ico?code=stolen&state={state}")), 404);
    assert_eq!(browse(waiting.url.as_str()).status, 200);
    assert_eq!(waiting.end().status, 0);
    assert!(visit(&back.parse().unwrap()).is_none(), "nobody listens any more");
    assert_eq!(auth.grants("authorization_code").len(), 1);
}

#[test]
fn a_code_of_another_login_is_worth_nothing() {
    let auth = LoginServer::start();
    let (ada, eve) = (Person::new(&auth), Person::new(&auth));
    let (hers, other) = (ada.begin(&[]), eve.begin(&[]));
    // Eve agrees herself, and brings her own code to Ada's figw, with Ada's state.
    let agreed = visit(&other.url).unwrap();
    let code = agreed.header("location").unwrap().split_once("code=").unwrap().1;
    let code = code.split('&').next().unwrap();
    let forged =
        format!("{}/?code={code}&state={}", hers.asks_for("redirect_uri"), hers.asks_for("state"));
    assert_eq!(browse(&forged).status, 200);
    let said = hers.end();
    assert_eq!(said.status, 1);
    assert!(said.stderr.contains("did not accept the code (invalid_grant)"), "{}", said.stderr);
    assert!(!ada.token_file().exists());
    browse(&format!(
        "{}/?error=x&state={}",
        other.asks_for("redirect_uri"),
        other.asks_for("state")
    ));
    assert_eq!(other.end().status, 1);
}

#[test]
fn a_login_that_nobody_finishes_ends_by_itself() {
    let auth = LoginServer::start();
    let ada = Person::new(&auth);
    let begun = Instant::now();
    let said = ada.begin(&["--timeout", "300ms"]).end();
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(said.status, 1);
    assert!(said.stderr.contains("within 300ms"), "{}", said.stderr);
}

#[test]
fn a_token_that_ends_soon_is_renewed() {
    let auth = LoginServer::start();
    let ada = Person::new(&auth);
    ada.log_in();
    let before = ada.entry();
    ada.let_it_end_in(59);
    let said = ada.run(&["token"]);
    let after = ada.entry();
    assert_eq!(said.stdout.trim(), after["access_token"].as_str().unwrap());
    assert_ne!(before["access_token"], after["access_token"]);
    assert_eq!(before["refresh_token"], after["refresh_token"]);
    assert!(after["expires_at_seconds"].as_i64() >= before["expires_at_seconds"].as_i64());
    assert_eq!(ada.run(&["token"]).stdout, said.stdout);
    assert_eq!(auth.grants("refresh_token").len(), 1);
}

#[test]
fn many_scripts_at_once_renew_a_token_once() {
    let auth = LoginServer::start();
    let ada = Person::new(&auth);
    ada.log_in();
    ada.let_it_end_in(-5);
    auth.delay(Duration::from_millis(300));
    let running: Vec<_> = (0..10).map(|_| ada.figw(&["token"]).spawn().unwrap()).collect();
    let printed: Vec<_> =
        running.into_iter().map(|child| child.wait_with_output().unwrap().stdout).collect();
    let fresh = format!("{}\n", ada.entry()["access_token"].as_str().unwrap());
    assert!(printed.iter().all(|token| *token == fresh.as_bytes()), "{printed:?}");
    assert_eq!(auth.grants("refresh_token").len(), 1);
}

#[test]
fn a_login_that_has_ended_asks_for_a_new_one() {
    let auth = LoginServer::start();
    let ada = Person::new(&auth);
    let said = ada.run(&["token", "--client-id", CLIENT, "--gateway", GATEWAY]);
    assert_eq!((said.status, said.stdout.as_str()), (1, ""));
    assert!(said.stderr.contains("not logged in; run `figw login`"), "{}", said.stderr);
    ada.log_in();
    ada.let_it_end_in(10);
    auth.forget_refresh_tokens();
    let kept = ada.tokens();
    let said = ada.run(&["-vv", "token"]);
    assert_eq!((said.status, said.stdout.as_str()), (1, ""));
    assert!(said.stderr.contains("(invalid_grant); run `figw login`"), "{}", said.stderr);
    for secret in ["access_token", "refresh_token"] {
        assert!(!said.stderr.contains(ada.entry()[secret].as_str().unwrap()), "{}", said.stderr);
    }
    assert_eq!(ada.tokens(), kept);
}

#[test]
fn an_outage_of_auth_is_not_taken_for_the_end_of_the_login() {
    let auth = LoginServer::start();
    let ada = Person::new(&auth);
    ada.log_in();
    ada.let_it_end_in(10);
    auth.away(true);
    let said = ada.run(&["token"]);
    assert_eq!(said.status, 1);
    assert!(said.stderr.contains("Globus Auth is unavailable"), "{}", said.stderr);
    assert!(!said.stderr.contains("run `figw login`"), "{}", said.stderr);
    auth.away(false);
    assert_eq!(ada.run(&["token"]).status, 0);
}

/// What other programs keep in the same file, and what nobody knows yet.
fn others(tokens: &mut Value) {
    let other = json!({
        "resource_server": "transfer.api.globus.org", "identity_id": ADA, "scope": "all",
        "access_token": "theirs", "refresh_token": "theirs-too", "expires_at_seconds": 4_000_000_000_u32,
        "token_type": "Bearer", "new-key": [1, 2],
    });
    tokens["data"]["DEFAULT"]["transfer.api.globus.org"] = other.clone();
    tokens["data"]["another-namespace"] = json!({ "x": other });
    tokens["globus-sdk.version"] = "9.9.9".into();
    tokens["new-key"] = json!({ "kept": true });
}

#[test]
fn what_other_programs_keep_in_the_file_survives_everything() {
    let auth = LoginServer::start();
    let ada = Person::new(&auth);
    ada.log_in();
    ada.edit(others);
    ada.edit(|tokens| tokens["data"]["DEFAULT"][GATEWAY]["new-key"] = "kept".into());
    let theirs = |tokens: Value| {
        let mut tokens = tokens;
        let mine = tokens["data"]["DEFAULT"].as_object_mut().unwrap();
        mine.retain(|server, _| server == "transfer.api.globus.org");
        tokens
    };
    let before = theirs(ada.tokens());
    ada.let_it_end_in(0);
    assert_eq!(ada.run(&["token"]).status, 0);
    assert_eq!(theirs(ada.tokens()), before);
    assert_eq!(ada.entry()["new-key"], "kept");
    assert_eq!(ada.log_in().status, 0);
    assert_eq!(theirs(ada.tokens()), before);
    assert_eq!(ada.run(&["logout"]).status, 0);
    assert_eq!(ada.tokens(), before, "only figw's own are gone");
    assert!(!auth.revoked().contains("theirs"));
}

#[test]
fn a_file_that_is_no_token_file_is_left_alone() {
    let auth = LoginServer::start();
    let ada = Person::new(&auth);
    ada.log_in();
    for text in ["", "{", "[]", r#"{"format_version": "3.0", "data": {}}"#] {
        fs::write(ada.token_file(), text).unwrap();
        for said in [ada.run(&["token"]), ada.log_in(), ada.run(&["logout"])] {
            assert_eq!(said.status, 1, "{text}: {said:?}");
            assert!(said.stderr.contains("is not a token file of the Globus SDK"), "{said:?}");
        }
        assert_eq!(fs::read_to_string(ada.token_file()).unwrap(), text);
    }
    // Tokens that could not be kept were given back.
    let granted = auth.grants("authorization_code").len();
    assert_eq!(auth.revoked().len(), (granted - 1) * 4);
}

#[test]
fn two_people_s_tokens_are_not_mixed_in_one_file() {
    let auth = LoginServer::start();
    let ada = Person::new(&auth);
    ada.log_in();
    ada.edit(others);
    auth.person("00000000-0000-4000-8000-000000000102");
    let said = ada.log_in();
    assert_eq!(said.status, 1);
    assert!(said.stderr.contains("figw logout --all"), "{}", said.stderr);
    assert_eq!(ada.entry()["identity_id"], ADA);
    assert_eq!(auth.revoked().len(), 4, "the other's tokens were given back");
    assert_eq!(ada.run(&["logout", "--all"]).status, 0);
    assert!(auth.revoked().contains("theirs-too"));
    assert_eq!(ada.log_in().status, 0);
}

#[test]
fn a_logout_gives_the_tokens_back() {
    let auth = LoginServer::start();
    let ada = Person::new(&auth);
    ada.log_in();
    let entry = ada.entry();
    let said = ada.run(&["--output", "json", "logout"]);
    assert_eq!(said.status, 0, "{said:?}");
    let json: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(json["revoked"], true);
    let mut removed: Vec<_> = json["removed"].as_array().unwrap().clone();
    removed.sort_by_key(ToString::to_string);
    assert_eq!(removed, [GATEWAY, "auth.globus.org"]);
    for token in ["access_token", "refresh_token"] {
        assert!(auth.revoked().contains(entry[token].as_str().unwrap()), "{token}");
    }
    assert_eq!(ada.tokens()["data"]["DEFAULT"], json!({}));
    assert_eq!(ada.run(&["token"]).status, 1);
    let again = ada.run(&["logout"]);
    assert_eq!((again.status, again.stdout.as_str()), (0, "You were not logged in.\n"));
}

#[test]
fn a_logout_without_auth_keeps_the_tokens_unless_it_is_forced() {
    let auth = LoginServer::start();
    let ada = Person::new(&auth);
    ada.log_in();
    let kept = ada.tokens();
    auth.away(true);
    let said = ada.run(&["logout"]);
    assert_eq!(said.status, 1);
    assert!(said.stderr.contains("figw logout --force"), "{}", said.stderr);
    assert_eq!(ada.tokens(), kept);
    let said = ada.run(&["logout", "--force"]);
    assert_eq!(said.status, 0);
    assert!(said.stderr.contains("stay valid"), "{}", said.stderr);
    assert_eq!(ada.tokens()["data"]["DEFAULT"], json!({}));
}
