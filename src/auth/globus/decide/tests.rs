use serde_json::{Value, json};

use super::*;
use crate::auth::globus::denial::Reason;

const POLICY: &str = "00000000-0000-4000-8000-000000000401";
const GROUP: &str = "00000000-0000-4000-8000-000000000501";
const ARGONNE_GROUP: &str = "00000000-0000-4000-8000-000000000502";
const ROBOT: &str = "11111111-0000-4000-8000-000000000001@clients.auth.globus.org";
const NOW: i64 = 1_700_000_000;

/// One policy, two domains, a group for all and one more for `anl.gov`, and one robot.
fn rules() -> Rules {
    Rules {
        policies: vec![POLICY.into()],
        domains: vec!["anl.gov".into(), "uchicago.edu".into()],
        groups_of_domain: [("anl.gov".to_owned(), vec![ARGONNE_GROUP.into()])].into(),
        groups: vec![GROUP.into()],
        service_accounts: vec![ROBOT.into()],
    }
}

fn identity(user: &str) -> Value {
    json!({
        "sub": format!("id of {user}"), "username": user, "name": format!("The {user}"),
        "identity_provider": format!("idp of {user}"),
        "identity_provider_display_name": "An Institution",
    })
}

/// An account with these identities, logged in with the first.
fn logged_in(users: &[&str]) -> Value {
    let first = users[0];
    json!({
        "active": true, "exp": NOW + 1000, "username": "primary@elsewhere.org", "client_id": "app",
        "iss": "https://auth.globus.org",
        "identity_set_detail": users.iter().map(|user| identity(user)).collect::<Value>(),
        "session_info": {"authentications": {
            format!("id of {first}"): {"idp": format!("idp of {first}")},
        }},
        "policy_evaluations": {POLICY: {"evaluation": true}},
    })
}

fn with(mut base: Value, pointer: &str, value: Value) -> Value {
    *base.pointer_mut(pointer).unwrap() = value;
    base
}

fn robot(user: &str) -> Value {
    json!({"active": true, "exp": NOW + 1000, "username": user, "client_id": "robot-id",
        "sub": "robot-id", "name": null, "iss": "https://auth.globus.org/"})
}

fn outcome(document: Value, groups: &[&str]) -> Result<Caller, Denial> {
    let introspection: Introspection = serde_json::from_value(document).unwrap();
    let groups: Vec<_> = groups.iter().map(|group| (*group).to_owned()).collect();
    decide(&introspection, &groups, &rules(), Timestamp::from_second(NOW).unwrap())
}

/// What Globus says, the person's groups, the reason for the refusal, whether a new login helps, and
/// words of the message.
type Row<'a> = (Value, &'a [&'a str], Reason, bool, &'a [&'a str]);

#[test]
fn each_check_refuses_with_its_reason_and_says_what_to_do() {
    let all = [GROUP, ARGONNE_GROUP];
    let ada = || logged_in(&["ada@anl.gov"]);
    let table: Vec<Row<'_>> = vec![
        (json!({"active": false}), &all, Reason::Inactive, true, &["not active", "anl.gov or uch"]),
        (with(ada(), "/exp", NOW.into()), &all, Reason::Expired, true, &["has expired", "again"]),
        (with(ada(), "/exp", Value::Null), &all, Reason::Expired, true, &["has expired"]),
        (
            with(ada(), "/session_info/authentications", json!({})),
            &all,
            Reason::NoSession,
            true,
            &["https://app.globus.org/logout", "anl.gov or uchicago.edu"],
        ),
        (
            logged_in(&["eve@gmail.com"]),
            &all,
            Reason::WrongProvider,
            true,
            &["The eve@gmail.com (eve@gmail.com)", "/logout", "anl.gov or uchicago.edu"],
        ),
        (
            logged_in(&["eve@gmail.com@anl.gov.evil"]),
            &all,
            Reason::WrongProvider,
            true,
            &["/logout"],
        ),
        (
            logged_in(&["ada@gmail.com", "ada@anl.gov"]),
            &all,
            Reason::LinkedButNotUsed,
            true,
            &["logged in as The ada@gmail.com", "ada@anl.gov is linked", "again with anl.gov."],
        ),
        (
            with(ada(), "/policy_evaluations", json!({POLICY: {"evaluation": false}})),
            &all,
            Reason::PolicyFailed,
            true,
            &[POLICY, "too long ago", "/logout"],
        ),
        (
            with(ada(), "/policy_evaluations", json!({"another": {"evaluation": true}})),
            &all,
            Reason::PolicyMissing,
            true,
            &[POLICY, "/logout"],
        ),
        (
            with(
                ada(),
                "/policy_evaluations",
                json!({POLICY: {"evaluation": true}, "another": {"evaluation": false}}),
            ),
            &all,
            Reason::PolicyFailed,
            true,
            &["/logout"],
        ),
        (with(ada(), "/policy_evaluations", Value::Null), &all, Reason::PolicyMissing, true, &[]),
        (ada(), &[GROUP], Reason::NotInDomainGroup, false, &["ada@anl.gov", "users of anl.gov"]),
        (ada(), &[ARGONNE_GROUP], Reason::NotInGroup, false, &["ada@anl.gov", "operators"]),
        (ada(), &[], Reason::NotInDomainGroup, false, &[]),
        (logged_in(&["bo@uchicago.edu"]), &[], Reason::NotInGroup, false, &["bo@uchicago.edu"]),
        (logged_in(&["<b>@anl.gov"]), &all, Reason::BadUserName, false, &["'?b?@anl.gov'"]),
        (
            logged_in(&["a\u{1b}[2J@anl.gov"]),
            &all,
            Reason::BadUserName,
            false,
            &["'a?[2J@anl.gov'"],
        ),
        (logged_in(&["a@b@anl.gov"]), &all, Reason::BadUserName, false, &[]),
        (logged_in(&["<i>@gmail.com"]), &all, Reason::WrongProvider, true, &["?i?@gmail.com"]),
        (robot("other@clients.auth.globus.org"), &all, Reason::ServiceAccount, true, &["other@cl"]),
        (robot(ROBOT), &[], Reason::NotInGroup, false, &[ROBOT]),
    ];
    for (document, groups, reason, new_login_helps, words) in table {
        let denial = outcome(document.clone(), groups).expect_err(&document.to_string());
        let message = denial.to_string();
        assert_eq!(denial.reason, reason, "{document}: {message}");
        assert_eq!(denial.new_login_helps(), new_login_helps, "{message}");
        assert!(!message.contains(['<', '>', '\u{1b}']), "{message}");
        for word in words {
            assert!(message.contains(word), "no '{word}' in: {message}");
        }
    }
}

#[test]
fn who_passes_every_check_is_the_identity_of_the_session() {
    let groups = [GROUP.to_uppercase(), ARGONNE_GROUP.to_owned()];
    let groups: Vec<_> = groups.iter().map(String::as_str).collect();
    let ada = outcome(logged_in(&["ada@ANL.gov", "ada@gmail.com"]), &groups).unwrap();
    assert_eq!(&*ada.user, "ada@ANL.gov");
    assert_eq!(&*ada.name, "The ada@ANL.gov");
    assert_eq!(*ada.groups, [GROUP, ARGONNE_GROUP]);
    let login = ada.login.unwrap();
    assert_eq!((&*login.id, &*login.provider_id), ("id of ada@ANL.gov", "idp of ada@ANL.gov"));
    assert_eq!(login.provider_name, "An Institution");

    // The answer may name the provider of a login without an identity of exactly that id.
    let document = with(
        logged_in(&["bo@uchicago.edu"]),
        "/session_info/authentications",
        json!({"another id": {"idp": "unknown"}, "more": {"idp": "idp of bo@uchicago.edu"}}),
    );
    assert_eq!(&*outcome(document, &[GROUP]).unwrap().user, "bo@uchicago.edu");
}

#[test]
fn a_listed_service_account_needs_neither_session_nor_policy() {
    let robot = outcome(robot(ROBOT), &[GROUP]).unwrap();
    assert_eq!((&*robot.user, &*robot.name), (ROBOT, ROBOT));
    let login = robot.login.unwrap();
    assert_eq!((&*login.id, &*login.provider_id), ("robot-id", "clients.auth.globus.org"));
    assert_eq!(login.provider_name, "https://auth.globus.org", "the slash does not matter");
}

#[test]
fn rules_that_are_empty_ask_for_nothing_but_a_login() {
    let introspection: Introspection =
        serde_json::from_value(logged_in(&["eve@gmail.com"])).unwrap();
    let now = Timestamp::from_second(NOW).unwrap();
    let caller = decide(&introspection, &[], &Rules::default(), now).unwrap();
    assert_eq!(&*caller.user, "eve@gmail.com");
}
