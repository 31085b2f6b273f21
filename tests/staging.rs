//! A person asks for a staging directory: what Globus Transfer is told, and what the person is.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]

mod support;

use std::{sync::Arc, time::Duration};

use figw::{
    domain::{Caller, Login},
    gateway::{Refusal, StagingArea},
    globus::{
        Service, ServiceAccount, Tokens,
        transfer::{self, Collection},
    },
};
use serde_json::json;
use support::{
    client::Caller as Client,
    gateway::Plan,
    globus::{FakeGlobus, Rule, Service as Fake, researcher},
    small_server::Reply,
    transfer::{ACCOUNT, COLLECTION, Transfer},
};

const ADA: &str = "00000000-0000-4000-8000-000000000101";
const BOB: &str = "00000000-0000-4000-8000-000000000102";

/// A person who is known by a Globus login.
fn person(id: &str) -> Caller {
    Caller {
        user: "ada@anl.gov".into(),
        name: "Ada".into(),
        groups: Arc::default(),
        models: Arc::default(),
        key_id: None,
        login: Some(Arc::new(Login {
            id: id.to_owned(),
            provider_id: "anl".to_owned(),
            provider_name: "Argonne".to_owned(),
        })),
    }
}

/// The staging area of a gateway that has just been started.
fn area(transfer: &Transfer) -> StagingArea {
    let service =
        |name| Service::new(name, transfer.url().parse().unwrap(), Duration::from_secs(5)).unwrap();
    let account = ServiceAccount { id: ACCOUNT.0.into(), secret: ACCOUNT.1.into() };
    let auth = service("Globus Auth");
    let tokens = Tokens::new(auth, account, transfer::SCOPE, transfer::RESOURCE_SERVER);
    let collection = Collection::new(service("Globus Transfer"), tokens, COLLECTION);
    StagingArea::new(collection, "/user-staging/")
}

fn refused(prepared: Result<impl std::fmt::Debug, Refusal>) -> Refusal {
    prepared.expect_err("nothing is prepared")
}

#[tokio::test]
async fn the_first_request_makes_a_directory_that_only_this_person_may_use() {
    let transfer = Transfer::start();
    let prepared = area(&transfer).prepare(&person(ADA)).await.unwrap();
    let path = format!("/user-staging/{ADA}/");
    assert_eq!(
        json!(*prepared),
        json!({
            "collection_id": COLLECTION, "path": path, "acl_rule_id": "rule-1", "principal": ADA,
        })
    );
    assert_eq!(transfer.directories(), [path.clone()].into());
    assert_eq!(transfer.rules(), [(ADA.into(), path, "rule-1".into())]);
}

#[tokio::test]
async fn whoever_asks_again_is_told_the_same() {
    let transfer = Transfer::start();
    let first = area(&transfer).prepare(&person(ADA)).await.unwrap();
    // Another instance of the gateway, which remembers nothing.
    let second = area(&transfer).prepare(&person(ADA)).await.unwrap();
    assert_eq!(first, second);
    assert_eq!(transfer.rules().len(), 1);
    assert_eq!(transfer.count("POST /v0.10/operation"), 2, "the first is not tried again");
    let bob = area(&transfer).prepare(&person(BOB)).await.unwrap();
    assert_eq!(bob.acl_rule_id, "rule-2");
}

#[tokio::test]
async fn an_instance_that_was_slower_finds_the_other_s_rule() {
    let transfer = Transfer::start();
    let first = area(&transfer).prepare(&person(ADA)).await.unwrap();
    transfer.next_list_is_stale();
    let second = area(&transfer).prepare(&person(ADA)).await.unwrap();
    assert_eq!(first, second);
}

#[tokio::test]
async fn a_hundred_requests_at_once_are_one() {
    let transfer = Transfer::start();
    transfer.delay(Duration::from_millis(50));
    let area = Arc::new(area(&transfer));
    let asked: Vec<_> = (0..100)
        .map(|_| {
            let area = Arc::clone(&area);
            tokio::spawn(async move { area.prepare(&person(ADA)).await.unwrap() })
        })
        .collect();
    for answer in asked {
        assert_eq!(answer.await.unwrap().acl_rule_id, "rule-1");
    }
    assert_eq!(transfer.count(""), 4, "a token, mkdir, the list, the rule");
}

#[tokio::test]
async fn one_who_hangs_up_spoils_nothing_for_the_next() {
    let transfer = Transfer::start();
    transfer.delay(Duration::from_millis(100));
    let area = Arc::new(area(&transfer));
    let hasty = {
        let area = Arc::clone(&area);
        tokio::spawn(async move { area.prepare(&person(ADA)).await })
    };
    tokio::time::sleep(Duration::from_millis(30)).await;
    let patient = {
        let area = Arc::clone(&area);
        tokio::spawn(async move { area.prepare(&person(ADA)).await })
    };
    tokio::time::sleep(Duration::from_millis(30)).await;
    hasty.abort();
    assert_eq!(patient.await.unwrap().unwrap().acl_rule_id, "rule-1");
}

#[tokio::test]
async fn a_refusal_is_told_and_not_kept() {
    let transfer = Transfer::start();
    let area = area(&transfer);
    let error = json!({ "code": "PermissionDenied", "message": "not your collection" });
    transfer.always(Some(Reply::json(403, &error)));
    let refusal = refused(area.prepare(&person(ADA)).await);
    assert_eq!(refusal.status, 502);
    assert!(refusal.message.contains("not your collection"), "{}", refusal.message);
    // A collection that refuses is no outage of Transfer, although it comes as a 502.
    let error = json!({ "code": "ExternalError.MkdirFailed.NoSuchPath", "message": "no parent" });
    transfer.always(Some(Reply::json(502, &error)));
    let refusal = refused(area.prepare(&person(ADA)).await);
    assert_eq!(refusal.status, 502);
    assert!(refusal.message.contains("no parent"), "{}", refusal.message);
    transfer.always(None);
    assert!(area.prepare(&person(ADA)).await.is_ok());
}

#[tokio::test]
async fn an_outage_asks_for_patience() {
    let transfer = Transfer::start();
    let area = area(&transfer);
    let mut away = Reply::json(503, &json!({ "message": "maintenance" }));
    away.headers.push(("retry-after", "1".to_owned()));
    transfer.always(Some(away));
    let refusal = refused(area.prepare(&person(ADA)).await);
    assert_eq!(refusal.status, 503);
    assert_eq!(refusal.retry_after, Some(Duration::from_secs(1)));
    drop(transfer);
    let refusal = refused(area.prepare(&person(BOB)).await);
    assert_eq!(refusal.status, 503);
    assert!(refusal.retry_after.is_some());
}

#[tokio::test]
async fn only_a_person_s_identity_opens_a_directory() {
    let transfer = Transfer::start();
    let area = area(&transfer);
    let with_key = Caller { login: None, ..person(ADA) };
    let refusal = refused(area.prepare(&with_key).await);
    assert_eq!(refusal.status, 403);
    assert!(refusal.message.contains("figw token"), "{}", refusal.message);
    assert_eq!(refused(area.prepare(&person("../etc")).await).status, 403);
    assert_eq!(transfer.count(""), 0);
}

#[tokio::test]
async fn the_route_takes_put_and_is_accounted_for() {
    let transfer = Transfer::start();
    let settings = format!(
        "staging:\n  collection_id: {COLLECTION}\n  client_id: {}\n  client_secret: {}\n  \
         transfer_url: {}\n",
        ACCOUNT.0,
        ACCOUNT.1,
        transfer.url()
    );
    let gateway = Plan::in_front_of("http://127.0.0.1:9/v1").settings(&settings).start();
    let caller = Client::of(&gateway);
    for path in ["/resource_server/data/staging", "/resource_server/data/staging/"] {
        let answer = caller.send("PUT", path, "").await;
        assert_eq!(answer.status, 403, "{answer:?}");
        assert_eq!(answer.json()["error"]["type"], "permission_error");
        assert_eq!(caller.send("GET", path, "").await.headers["allow"], "PUT");
    }
    let rows = gateway.wait_for_access(2);
    assert!(rows.iter().all(|row| (row.method.as_str(), row.status) == ("PUT", 403)), "{rows:?}");
    let anonymous = caller.with_key("none").send("PUT", "/resource_server/data/staging", "").await;
    assert_eq!(anonymous.status, 401);
}

#[tokio::test]
async fn a_person_with_a_globus_login_gets_a_directory_over_http() {
    let globus = FakeGlobus::start();
    let ada = researcher("ada@anl.gov");
    let id = ada["sub"].as_str().unwrap().to_owned();
    globus.token("adas-token", ada);
    // The account of Globus Compute manages the collection, too.
    let settings = format!(
        "{}staging:\n  collection_id: {COLLECTION}\n  transfer_url: {}\n",
        globus.config_yaml(),
        globus.url(Fake::Transfer)
    );
    let gateway = Plan::in_front_of("http://127.0.0.1:9/v1").settings(&settings).start();
    let caller = Client::of(&gateway).with_key("adas-token");

    let first = caller.send("PUT", "/resource_server/data/staging", "").await.ok().json();
    let again = caller.send("PUT", "/resource_server/data/staging/", "").await.ok().json();

    let [Rule { id: rule, principal, path, permissions, .. }] = &globus.rules()[..] else {
        panic!("one rule: {:?}", globus.rules());
    };
    assert_eq!((principal, permissions.as_str()), (&id, "rw"));
    let expected = json!({
        "collection_id": COLLECTION, "path": path, "acl_rule_id": rule, "principal": id,
    });
    assert_eq!((&first, &again), (&expected, &expected));
    assert!(path.starts_with('/') && path.ends_with(&format!("/{id}/")), "{path}");
    assert!(globus.has_directory(COLLECTION.parse().unwrap(), path));
    let rows = gateway.wait_for_access(2);
    assert!(rows.iter().all(|row| (row.method.as_str(), row.status) == ("PUT", 200)), "{rows:?}");
}

#[tokio::test]
async fn a_gateway_without_a_staging_area_says_so() {
    let gateway = Plan::in_front_of("http://127.0.0.1:9/v1").start();
    let answer = Client::of(&gateway).send("PUT", "/resource_server/data/staging", "").await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.json()["error"]["code"], "no_staging_area");
}
