//! Logging in with Globus: the way there and back, and all that may be wrong with it.

use serde_json::json;

use super::support::{
    gateway::{Gateway, Plan},
    globus_auth::{GROUP, Globus, logged_in},
    visitor::{Shown, Visitor},
};

const SETTINGS: &str = "dashboard:\n  public_url: GATEWAY_URL\n  admin_groups: [\"00000000-0000-4000-8000-0000000005aa\"]\n";
const OPERATORS: &str = "00000000-0000-4000-8000-0000000005aa";

fn gateway(globus: &Globus) -> Gateway {
    Plan::in_front_of("http://127.0.0.1:9/v1")
        .models(["m"])
        .settings(&globus.settings())
        .settings(SETTINGS)
        .start()
}

/// To Globus and back, up to the last step.
async fn to_and_back(visitor: &mut Visitor) -> Shown {
    let shown = visitor.get("/dashboard/login/globus?next=/dashboard/log").await;
    assert_eq!(shown.status, 303);
    // Cookies of figw's do not go to Globus.
    let at_globus = visitor.clone().without_cookies().get(shown.location()).await;
    let back = at_globus.location().to_owned();
    visitor.get(&back).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_with_globus_is_judged_as_at_the_api_and_ends_at_globus_too() {
    let globus = Globus::start();
    globus.know_member("token-of-ada", "ada@anl.gov");
    globus.know(
        "token-of-olga",
        logged_in(&["olga@anl.gov"]),
        &[(GROUP, "active"), (OPERATORS, "active")],
    );
    globus.know("token-of-eve", logged_in(&["eve@anl.gov"]), &[]);
    let gateway = gateway(&globus);
    let form = Visitor::of(&gateway).get("/dashboard/login").await;
    assert!(form.body.contains("Log in with Globus"), "{}", form.body);

    globus.web().token = Some("token-of-ada".into());
    let mut ada = Visitor::of(&gateway);
    let shown = to_and_back(&mut ada).await;
    assert_eq!((shown.status, shown.location()), (303, "/dashboard/log"), "{}", shown.body);
    assert!(!ada.cookies.contains_key("figw-login"));
    let page = ada.get("/dashboard/").await;
    assert!(page.body.contains("ada@anl.gov") && page.body.contains("own usage"));
    assert!(!page.body.contains("token-of-ada") && !ada.cookies["figw"].contains("token"));
    assert_eq!(ada.get("/dashboard/users").await.status, 403);

    globus.web().token = Some("token-of-olga".into());
    let mut olga = Visitor::of(&gateway);
    to_and_back(&mut olga).await;
    assert!(olga.get("/dashboard/users").await.body.contains("sees everything"));

    // Who may not use the API may not look either, and is told why; the token is given back.
    globus.web().token = Some("token-of-eve".into());
    let mut eve = Visitor::of(&gateway);
    let shown = to_and_back(&mut eve).await;
    assert_eq!(shown.status, 403);
    assert!(shown.body.contains("eve@anl.gov is in none of the Globus groups"), "{}", shown.body);
    assert!(!eve.cookies.contains_key("figw"));

    ada.post("/dashboard/logout", &[("token", &page.form_token())]).await;
    for token in ["token-of-eve", "token-of-ada"] {
        for _ in 0..50 {
            if globus.web().revoked.iter().any(|revoked| revoked == token) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert!(globus.web().revoked.iter().any(|revoked| revoked == token), "{token}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_counts_only_in_the_browser_that_began_it_and_once() {
    let globus = Globus::start();
    globus.know_member("token-of-mallory", "mallory@anl.gov");
    let gateway = gateway(&globus);
    globus.web().token = Some("token-of-mallory".into());

    // Mallory begins a login, and has Ada's browser end it.
    let mut mallory = Visitor::of(&gateway);
    let begun = mallory.get("/dashboard/login/globus").await;
    let back = Visitor::of(&gateway).get(begun.location()).await.location().to_owned();
    let mut ada = Visitor::of(&gateway);
    assert_eq!(ada.get(&back).await.status, 403);
    ada.get("/dashboard/login/globus").await;
    let shown = ada.get(&back).await;
    assert_eq!(shown.status, 403, "another state");
    assert!(!ada.cookies.contains_key("figw") && !ada.cookies.contains_key("figw-login"));

    // It ends where it began, once: the code is used, and the browser has forgotten it.
    let again = mallory.clone();
    assert_eq!(mallory.get(&back).await.status, 303);
    let mut again = again;
    assert_eq!(again.get(&back).await.status, 403, "a used code");
    assert_eq!(mallory.get(&back).await.status, 403, "a forgotten login");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_for_another_login_is_refused() {
    let globus = Globus::start();
    globus.know_member("token-of-ada", "ada@anl.gov");
    let gateway = gateway(&globus);
    globus.web().token = Some("token-of-ada".into());
    for (claim, value) in [
        ("nonce", json!("another")),
        ("aud", json!("another")),
        ("iss", json!("https://evil.example")),
        ("exp", json!(1)),
    ] {
        globus.web().wrong = vec![(claim, value)];
        let mut ada = Visitor::of(&gateway);
        let shown = to_and_back(&mut ada).await;
        assert_eq!(shown.status, 403, "{claim}");
        assert!(shown.body.contains("does not confirm") && !ada.cookies.contains_key("figw"));
    }
    globus.web().wrong.clear();
    globus.web().token = None;
    let mut ada = Visitor::of(&gateway);
    let shown = to_and_back(&mut ada).await;
    assert!(shown.status == 403 && shown.body.contains("access_denied"), "{}", shown.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_globus_that_is_away_ends_no_session() {
    let mut globus = Globus::start();
    globus.know_member("token-of-ada", "ada@anl.gov");
    let gateway = gateway(&globus);
    globus.web().token = Some("token-of-ada".into());
    let mut ada = Visitor::of(&gateway);
    to_and_back(&mut ada).await;
    assert_eq!(ada.get("/dashboard/").await.status, 200);
    let begun = ada.clone().get("/dashboard/login/globus").await;
    assert_eq!(begun.status, 303);
    globus.stop();
    assert_eq!(ada.get("/dashboard/").await.status, 200);
}
