//! Who comes in with a Globus token, who does not and is told what to do, and how often Globus is
//! asked about it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]

mod support;

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use support::{
    client::{Answer, Caller},
    fake::Fake,
    gateway::{Gateway, Plan},
    globus_auth::{GROUP, Globus, Mood, POLICY, ROBOT, in_seconds, logged_in, service_account},
    requests::chat,
};

const WHOAMI: &str = "/resource_server/whoami";

fn gateway(globus: &Globus) -> Plan {
    Plan::in_front_of("http://127.0.0.1:9/v1").models(["m"]).settings(&globus.settings())
}

async fn whoami(gateway: &Gateway, token: &str) -> Answer {
    Caller::of(gateway).with_key(token).get(WHOAMI).await
}

fn message(answer: &Answer) -> String {
    answer.json()["error"]["message"].as_str().expect("a message").to_owned()
}

fn with(mut document: Value, key: &str, value: Value) -> Value {
    document[key] = value;
    document
}

const LOG_OUT: &str = "https://app.globus.org/logout";
const PROVIDERS: &str = "anl.gov or uchicago.edu";

/// A row of the matrix: who asks, with which memberships, the status, what the message says, and
/// whether Globus Groups has to be asked.
type Row = (
    &'static str,
    Value,
    &'static [(&'static str, &'static str)],
    u16,
    &'static [&'static str],
    bool,
);

const MEMBER: &[(&str, &str)] = &[(GROUP, "active")];
const INVITED: &[(&str, &str)] = &[(GROUP, "invited")];

fn matrix() -> Vec<Row> {
    let ada = || logged_in(&["ada@anl.gov"]);
    let expired = with(ada(), "exp", in_seconds(-5).into());
    let linked = logged_in(&["ada@gmail.com", "ada@anl.gov"]);
    let no_session = with(ada(), "session_info", json!({"authentications": {}}));
    let failed = with(ada(), "policy_evaluations", json!({POLICY: {"evaluation": false}}));
    let missing = with(ada(), "policy_evaluations", json!({}));
    let other_robot = service_account("other@clients.auth.globus.org");
    vec![
        ("good", ada(), MEMBER, 200, &["ada@anl.gov"], true),
        ("inactive", json!({"active": false}), MEMBER, 401, &["not active", "Log in again"], false),
        ("expired", expired, MEMBER, 401, &["has expired"], false),
        (
            "wrong-domain",
            logged_in(&["eve@gmail.com"]),
            MEMBER,
            401,
            &["logged in as Person eve@gmail.com", PROVIDERS, LOG_OUT],
            false,
        ),
        (
            "linked",
            linked,
            MEMBER,
            401,
            &["ada@anl.gov is linked", LOG_OUT, "log in again with anl.gov."],
            false,
        ),
        ("no-session", no_session, MEMBER, 401, &["without a login", LOG_OUT], false),
        ("policy-failed", failed, MEMBER, 401, &[POLICY, LOG_OUT], false),
        ("policy-missing", missing, MEMBER, 401, &[POLICY, "did not say"], false),
        (
            "no-group",
            ada(),
            &[],
            403,
            &["ada@anl.gov", "none of the Globus groups", "within a minute"],
            true,
        ),
        ("invited", ada(), INVITED, 403, &["none of the Globus groups"], true),
        ("robot", service_account(ROBOT), MEMBER, 200, &[ROBOT], true),
        ("other-robot", other_robot, MEMBER, 401, &["other@clients", "to list"], false),
        ("tag", logged_in(&["<b>ada@anl.gov"]), MEMBER, 403, &["?b?ada@anl.gov"], false),
    ]
}

/// Asks three times: the same status and words each time, and one introspection in all.
async fn asks(
    (gateway, globus): (&Gateway, &Globus),
    token: &str,
    status: u16,
    words: &[&str],
    asks_for_groups: bool,
) {
    let (introspected, (granted, _)) = (globus.introspections(), globus.group_calls());
    for _ in 0..3 {
        let answer = whoami(gateway, token).await;
        assert_eq!(answer.status, status, "{token}: {}", answer.text());
        assert!(!answer.text().contains('<'), "{}", answer.text());
        for word in words {
            assert!(answer.text().contains(word), "{token}: no '{word}' in {}", answer.text());
        }
        assert_eq!(answer.header("www-authenticate").is_some(), status == 401, "{token}");
    }
    assert_eq!(globus.introspections() - introspected, 1, "{token}");
    assert_eq!(globus.group_calls().0 - granted, usize::from(asks_for_groups), "{token}");
}

#[tokio::test]
async fn each_check_answers_with_its_status_its_advice_and_one_introspection() {
    let globus = Globus::start();
    let gateway = gateway(&globus).set("logging.level", "trace").start();
    let both = (&gateway, &globus);
    for (name, document, memberships, status, words, asks_for_groups) in matrix() {
        let token = format!("tOkEn-{name}");
        globus.know(&token, document, memberships);
        asks(both, &token, status, words, asks_for_groups).await;
    }
    asks(both, "tOkEn-unknown", 401, &["not active", "Log in again"], false).await;
    globus.know_without_consent("tOkEn-mute", logged_in(&["ada@anl.gov"]));
    asks(both, "tOkEn-mute", 401, &["view your groups", LOG_OUT], true).await;

    assert!(!gateway.log().contains("tOkEn"), "a token in the log:\n{}", gateway.log());
}

#[tokio::test]
async fn a_login_is_shown_as_first_shows_it_and_accounted_under_its_user_name() {
    let (globus, fake) = (Globus::start(), Fake::start());
    globus.know_member("good", "ada@anl.gov");
    let gateway = gateway(&globus).back_end(fake.api_url()).start();

    assert_eq!(
        whoami(&gateway, "good").await.ok().json(),
        json!({
            "id": "id-of-ada@anl.gov", "name": "Person ada@anl.gov", "username": "ada@anl.gov",
            "user_group_uuids": [GROUP], "idp_id": "idp-of-ada@anl.gov",
            "idp_name": "An Institution", "auth_service": "globus",
        })
    );
    let ada = Caller::of(&gateway).with_key("good");
    ada.ask("chat/completions", &chat("m")).await.ok();
    assert_eq!(gateway.wait_for_usage(1)[0].username, "ada@anl.gov");

    let key = Caller::of(&gateway).get(WHOAMI).await.ok().json();
    assert_eq!(key["auth_service"], "api-key");
    assert_eq!(globus.introspections(), 1, "an API key is none of Globus' business");
}

#[tokio::test]
async fn what_is_no_token_or_looks_like_an_api_key_never_goes_to_globus() {
    let globus = Globus::start();
    let gateway = gateway(&globus).start();
    let long = "a".repeat(5000);
    for token in ["figw_unknown", "two words", "<script>", &long] {
        assert_eq!(whoami(&gateway, token).await.status, 401, "{token}");
    }
    let nobody = Caller::of(&gateway).without_key().get(WHOAMI).await;
    assert_eq!(nobody.status, 401);
    assert!(message(&nobody).contains("Globus access token"), "{}", nobody.text());
    assert_eq!(globus.introspections(), 0);
}

#[tokio::test]
async fn a_thousand_first_requests_of_one_token_ask_once() {
    let globus = Globus::start();
    globus.know_member("good", "ada@anl.gov");
    let gateway = gateway(&globus).start();
    globus.set_mood(Mood::Slow(Duration::from_millis(500)));

    let answers = join_all((0..1000).map(|_| whoami(&gateway, "good"))).await;

    for answer in answers {
        assert_eq!(answer.ok().json()["username"], "ada@anl.gov");
    }
    assert_eq!(globus.introspections(), 1);
    assert_eq!(globus.group_calls(), (1, 1));
}

#[tokio::test]
async fn the_first_to_ask_may_hang_up_without_harm_to_the_others() {
    let globus = Globus::start();
    globus.know_member("good", "ada@anl.gov");
    let gateway = gateway(&globus).start();
    globus.set_mood(Mood::Slow(Duration::from_millis(400)));

    let first = tokio::time::timeout(Duration::from_millis(150), whoami(&gateway, "good")).await;
    assert!(first.is_err(), "the first had not been answered when it hung up");
    whoami(&gateway, "good").await.ok();

    assert_eq!(globus.introspections(), 1);
}

#[tokio::test]
async fn in_an_outage_known_callers_go_on_and_others_are_told_when_to_come_back() {
    let mut globus = Globus::start();
    globus.know_member("known", "ada@anl.gov");
    globus.know_member("new", "bo@uchicago.edu");
    let gateway = gateway(&globus).start();
    whoami(&gateway, "known").await.ok();

    for (mood, retry_after) in [
        (Mood::Failing(503, None), "2"),
        (Mood::Failing(500, Some(9)), "9"),
        (Mood::Failing(429, Some(7)), "7"),
        (Mood::Failing(429, None), "2"),
    ] {
        globus.set_mood(mood);
        let before = globus.introspections();
        let answers = join_all((0..100).map(|_| whoami(&gateway, "new"))).await;
        for answer in answers {
            assert_eq!(answer.status, 503, "{}", answer.text());
            assert_eq!(answer.header("retry-after"), Some(retry_after), "{mood:?}");
        }
        assert_eq!(globus.introspections() - before, 1, "a crowd shares one attempt: {mood:?}");
        whoami(&gateway, "known").await.ok();
        assert_eq!(whoami(&gateway, "new").await.status, 503);
        assert_eq!(globus.introspections() - before, 2, "an outage is no answer: {mood:?}");
    }
    // Only Groups is away: a newcomer's rights are not known without it.
    globus.set_mood(Mood::Well);
    globus.set_mood_of_groups(Mood::Failing(502, None));
    assert_eq!(whoami(&gateway, "new").await.status, 503);

    globus.stop();
    assert_eq!(whoami(&gateway, "new").await.status, 503);
    whoami(&gateway, "known").await.ok();
    let (status, ready) = gateway.get("/ready").unwrap();
    assert_eq!(status, 200, "{ready}");
    assert!(ready.contains("degraded") && ready.contains(r#""name":"globus""#), "{ready}");

    globus.set_mood(Mood::Well);
    globus.listen();
    whoami(&gateway, "new").await.ok();
    assert!(gateway.get("/ready").unwrap().1.contains(r#""status":"ready""#));
}

#[tokio::test]
async fn a_newcomer_waits_for_a_globus_that_takes_many_seconds() {
    let globus = Globus::start();
    globus.know_member("new", "ada@anl.gov");
    let gateway = gateway(&globus).start();
    globus.set_mood(Mood::Slow(Duration::from_secs(7)));
    // Three requests, one after the other.
    let answer = whoami(&gateway, "new").await.ok();
    assert!(answer.took > Duration::from_secs(21), "{:?}", answer.took);
    assert_eq!(globus.introspections(), 1);
}

#[tokio::test]
async fn an_answer_with_other_keys_is_read_as_far_as_it_goes() {
    let globus = Globus::start();
    let gateway = gateway(&globus).start();
    let mut document = logged_in(&["ada@anl.gov"]);
    for missing in ["token_type", "client_id", "sub", "username", "name", "iss"] {
        document.as_object_mut().unwrap().shift_remove(missing);
    }
    // Python's `time.time() + 3600` is a fraction.
    document["exp"] = json!(f64::from(u32::try_from(in_seconds(3600)).unwrap()) + 0.25);
    document["dependent_tokens_cache_id"] = json!("af2d5979090a97536619e8fbad1ebd0a");
    document["policy_evaluations"][POLICY] =
        json!({"evaluation": true, "reason": null, "detail": {"checked": []}});
    document["policy_evaluations"]["another"] = json!({"evaluation": true});
    document["identity_set_detail"] = json!([
        {"id": "somebody", "username": "x@gmail.com", "email": null, "organization": null},
        {"id": "id-of-ada@anl.gov", "username": "ada@anl.gov", "name": null,
            "identity_provider": "idp-of-ada@anl.gov", "status": "used"},
    ]);
    globus.know("other-keys", document, MEMBER);

    let ada = whoami(&gateway, "other-keys").await.ok().json();
    assert_eq!(
        (&ada["id"], &ada["username"]),
        (&"id-of-ada@anl.gov".into(), &"ada@anl.gov".into())
    );
}

#[tokio::test]
async fn a_slow_globus_holds_up_nobody_who_is_known() {
    let globus = Globus::start();
    globus.know_member("known", "ada@anl.gov");
    let gateway = gateway(&globus).start();
    whoami(&gateway, "known").await.ok();
    globus.set_mood(Mood::Slow(Duration::from_mins(1)));

    let newcomer = whoami(&gateway, "new");
    let others = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let begun = Instant::now();
        whoami(&gateway, "known").await.ok();
        Caller::of(&gateway).get(WHOAMI).await.ok();
        begun.elapsed()
    };
    let (newcomer, others) = tokio::join!(newcomer, others);

    assert!(others < Duration::from_secs(1), "{others:?}");
    assert_eq!(newcomer.status, 503, "{}", newcomer.text());
    assert!(newcomer.took < Duration::from_secs(16), "{:?}", newcomer.took);
    assert!(newcomer.header("retry-after").is_some());
}

#[tokio::test]
async fn made_up_tokens_do_not_crowd_out_anybody() {
    let globus = Globus::start();
    globus.know_member("known", "ada@anl.gov");
    let gateway = gateway(&globus).start();
    whoami(&gateway, "known").await.ok();
    globus.set_mood(Mood::Slow(Duration::from_millis(50)));

    let tokens: Vec<_> = (0..2000).map(|n| format!("made-up-{n}")).collect();
    let answers = join_all(tokens.iter().map(|token| whoami(&gateway, token))).await;

    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert!(statuses.iter().all(|status| matches!(status, 401 | 503)), "{statuses:?}");
    assert!(statuses.contains(&401));
    assert!(globus.most_open() <= 64, "{} asked about at once", globus.most_open());
    whoami(&gateway, "known").await.ok();
    assert_eq!(whoami(&gateway, "made-up-next").await.status, 401, "it is over at once");
}
