//! The catalogue as the gateway sees it: what a caller may use, and how soon a change is seen.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, and nobody imports them"
)]

#[path = "support/memory_store.rs"]
mod memory_store;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use figw::{
    auth::keys::{self, KeyRequest},
    catalog::{
        Catalog, KeyRefusal, Kind, Snapshot,
        edits::{self, Action, Objects},
        watch,
    },
    domain::{Caller, Cluster, Endpoint, Federation, KeyHash, SecretSource},
    store::{CatalogData, CatalogEdit, Store, StoreError},
};
use jiff::Timestamp;
use memory_store::MemoryStore;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Notify;

const CATALOG: &str = r#"{
  "clusters": [
    {"name": "open", "adapter": "direct-api", "frameworks": ["vllm"], "routes": ["embeddings"]},
    {"name": "lab", "adapter": "direct-api", "frameworks": ["vllm", "api"],
     "routes": ["chat/completions"], "access": {"domains": ["ANL.gov"]}}
  ],
  "endpoints": [
    {"slug": "open-a", "cluster": "open", "framework": "vllm", "model": "a", "adapter": "echo"},
    {"slug": "lab-a", "cluster": "lab", "framework": "vllm", "model": "a", "adapter": "direct-api",
     "settings": {"api_url": "https://h/v1", "api_key": {"env": "KEY"}}},
    {"slug": "lab-b", "cluster": "lab", "framework": "api", "model": "b", "adapter": "direct-api",
     "settings": {"api_url": "https://h/v1", "api_key": {"env": "MISSING"}},
     "access": {"groups": ["team"]}},
    {"slug": "open-c", "cluster": "open", "framework": "vllm", "model": "c", "adapter": "echo",
     "enabled": false}
  ],
  "federations": [
    {"model": "best", "targets": [{"endpoint": "lab-b", "priority": 2},
                                  {"endpoint": "open-c"},
                                  {"endpoint": "open-a", "priority": 1, "weight": 3}]}
  ]
}"#;

#[derive(serde::Deserialize)]
struct Written {
    clusters: Vec<Cluster>,
    endpoints: Vec<Endpoint>,
    federations: Vec<Federation>,
}

fn objects() -> Objects {
    let Written { clusters, endpoints, federations } = serde_json::from_str(CATALOG).unwrap();
    Objects { clusters, endpoints, federations }
}

fn data() -> CatalogData {
    let Objects { clusters, endpoints, federations } = objects();
    CatalogData { version: 1, clusters, endpoints, federations, keys: Vec::new() }
}

fn resolve(source: &SecretSource) -> Result<SecretString, String> {
    match format!("{source:?}") {
        place if place.contains("MISSING") => Err("environment variable MISSING is not set".into()),
        _ => Ok("secret".into()),
    }
}

fn caller(user: &str, groups: &[&str], models: &[&str]) -> Caller {
    let owned = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
    Caller {
        user: user.into(),
        name: user.into(),
        groups: owned(groups),
        models: owned(models),
        key_id: None,
        login: None,
    }
}

fn models(snapshot: &Snapshot, caller: &Caller) -> Vec<String> {
    snapshot.models_for(caller).map(|federated| federated.model.to_string()).collect()
}

#[test]
fn a_caller_sees_the_models_that_their_domain_groups_and_key_allow() {
    let snapshot = Snapshot::build(data(), &resolve);
    for (caller, expected) in [
        (caller("x@example.org", &[], &[]), vec!["a", "best"]),
        (caller("ada@anl.gov", &[], &[]), vec!["a", "best"]),
        (caller("ada@anl.gov", &["team"], &[]), vec!["a", "b", "best"]),
        (caller("ada@anl.gov", &["team"], &["b"]), vec!["b"]),
        (caller("service", &["team"], &["b"]), vec![]),
    ] {
        assert_eq!(models(&snapshot, &caller), expected, "{caller:?}");
    }
    let slugs: Vec<_> = snapshot
        .endpoints_for(&caller("ada@anl.gov", &["team"], &[]))
        .map(|served| served.endpoint.slug.clone())
        .collect();
    assert_eq!(slugs, ["lab-b", "lab-a", "open-a"]);
}

#[test]
fn a_model_without_a_federation_is_one_of_all_its_enabled_endpoints() {
    let snapshot = Snapshot::build(data(), &resolve);
    let slugs = |model: &str| {
        let targets = &snapshot.federated(model).unwrap().targets;
        targets.iter().map(|target| target.served.endpoint.slug.clone()).collect::<Vec<_>>()
    };
    assert_eq!(slugs("a"), ["lab-a", "open-a"]);
    assert_eq!(slugs("best"), ["open-a", "lab-b"]);
    assert!(snapshot.federated("c").is_none());

    let outsider = caller("x@example.org", &[], &[]);
    let permitted: Vec<_> = snapshot.federated("a").unwrap().permitted(&outsider).collect();
    assert_eq!(permitted.len(), 1);
    assert_eq!(permitted[0].served.endpoint.slug, "open-a");
}

#[test]
fn endpoints_are_found_by_place_and_slug_and_a_missing_secret_disables_only_its_own() {
    let snapshot = Snapshot::build(data(), &resolve);
    let good = snapshot.endpoint("lab", "vllm", "a").unwrap();
    assert_eq!(good.api_key.as_ref().unwrap().expose_secret(), "secret");
    assert_eq!(good.unusable, None);
    assert!(snapshot.endpoint("lab", "api", "a").is_none());

    let broken = snapshot.by_slug("lab-b").unwrap();
    let reason = broken.unusable.as_deref().unwrap();
    assert!(reason.contains("environment variable MISSING is not set"), "{reason}");
}

#[test]
fn a_key_opens_the_door_until_it_expires() {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let later: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
    let request = KeyRequest {
        user: "ada@anl.gov".into(),
        groups: vec!["team".into()],
        expires_at: Some(later),
        ..KeyRequest::default()
    };
    let (text, key) = keys::generate(request, now).unwrap();
    let snapshot = Snapshot::build(CatalogData { keys: vec![key.clone()], ..data() }, &resolve);

    let known = snapshot.caller(&KeyHash::of(&text), now).unwrap();
    assert_eq!((&*known.user, known.key_id), ("ada@anl.gov", Some(key.id)));
    assert_eq!(models(&snapshot, known), ["a", "b", "best"]);
    let hash = KeyHash::of(&text);
    assert_eq!(snapshot.caller(&hash, later).unwrap_err(), KeyRefusal::Expired);
    let other = KeyHash::of("figw_other");
    assert_eq!(snapshot.caller(&other, now).unwrap_err(), KeyRefusal::Unknown);
}

#[test]
fn putting_the_same_twice_changes_nothing_and_a_difference_changes_one() {
    let empty = CatalogData::default();
    let first = edits::put(&empty, &objects()).unwrap();
    assert_eq!(first.edits.len(), 7);
    assert!(first.changes.iter().all(|change| change.action == Action::Created));

    let mut wanted = objects();
    assert_eq!(edits::put(&data(), &wanted).unwrap().edits, []);
    wanted.endpoints[0].tpm_user = 5;
    let second = edits::put(&data(), &wanted).unwrap();
    assert_eq!(second.edits, [CatalogEdit::PutEndpoint(wanted.endpoints[0].clone())]);
}

#[test]
fn an_object_that_would_break_another_is_refused() {
    let faults = |wanted: Objects| -> Vec<String> {
        edits::put(&data(), &wanted).unwrap_err().iter().map(ToString::to_string).collect()
    };
    let Objects { clusters, endpoints, federations } = objects();

    let mut narrower = clusters[1].clone();
    narrower.frameworks = vec!["vllm".into()];
    assert_eq!(
        faults(narrower.into()),
        ["cluster `lab`: frameworks: lacks `api`, which endpoint `lab-b` uses"]
    );
    let mut reserved = clusters[0].clone();
    reserved.name = "v1".into();
    assert!(faults(reserved.into())[0].contains("one of the gateway's own routes"));

    let mut twin = endpoints[1].clone();
    twin.slug = "lab-a-2".into();
    assert!(faults(twin.into())[0].contains("by endpoint `lab-a`"));

    let mut lost = federations[0].clone();
    lost.targets[0].endpoint = "gone".into();
    lost.targets[1].weight = 0;
    assert_eq!(faults(lost.into()).len(), 2);
}

#[test]
fn nothing_is_removed_that_others_need() {
    let refusal = |kind, name| edits::remove(&data(), kind, name).unwrap_err().to_string();
    assert_eq!(
        refusal(Kind::Cluster, "open"),
        "cluster `open` is still used by endpoint `open-a`, endpoint `open-c`; remove or change \
         those first"
    );
    assert_eq!(
        refusal(Kind::Endpoint, "lab-b"),
        "endpoint `lab-b` is still used by federation `best`; remove or change that first"
    );
    assert_eq!(refusal(Kind::Federation, "gone"), "there is no federation `gone`");
    let plan = edits::remove(&data(), Kind::Federation, "best").unwrap();
    assert_eq!(plan.edits, [CatalogEdit::RemoveFederation("best".into())]);
}

async fn load_everything(store: &MemoryStore) -> Result<usize, StoreError> {
    edits::apply(store, |current| {
        let plan = edits::put(current, &objects()).unwrap();
        let count = plan.changes.len();
        Ok::<_, StoreError>((plan.edits, count))
    })
    .await
}

#[tokio::test]
async fn a_lost_race_is_run_again_but_not_for_ever() {
    let store = MemoryStore::default();
    store.races.store(2, Ordering::SeqCst);
    assert_eq!(load_everything(&store).await.unwrap(), 7);
    assert_eq!(store.data().endpoints.len(), 4);

    let store = MemoryStore::default();
    store.races.store(u32::MAX, Ordering::SeqCst);
    assert!(matches!(load_everything(&store).await, Err(StoreError::Conflict(_))));
    assert_eq!(store.data().endpoints.len(), 0);
}

/// Waits until `seen` holds; fails when that takes more than the promised 5 s.
async fn within_five_seconds(what: &str, seen: impl Fn() -> bool) {
    for _ in 0..50 {
        if seen() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not within 5 s: {what}");
}

#[tokio::test]
async fn a_running_gateway_follows_the_store_and_outlives_its_absence() {
    let store = Arc::new(MemoryStore::default());
    let catalog = Arc::new(Catalog::new(watch::load(&*store, &resolve).await.unwrap()));
    let reload = Arc::new(Notify::new());
    let following = tokio::spawn(watch::follow(
        Arc::clone(&catalog),
        Arc::clone(&store) as Arc<dyn Store>,
        Arc::new(resolve),
        Arc::clone(&reload),
    ));

    load_everything(&store).await.unwrap();
    let (text, key) = keys::generate(KeyRequest::default(), Timestamp::now()).unwrap();
    store.create_key(&key).await.unwrap();
    let hash = KeyHash::of(&text);
    let opens = || catalog.load().caller(&hash, Timestamp::now()).is_ok();
    within_five_seconds("the new key works", opens).await;
    assert!(catalog.load().by_slug("lab-a").is_some());

    store.away.store(true, Ordering::SeqCst);
    within_five_seconds("the trouble is known", || catalog.trouble().is_some()).await;
    let trouble = catalog.trouble().unwrap();
    assert_eq!(trouble.error, "database memory is unavailable: switched off");
    assert!(opens(), "known keys outlive the store's absence");

    store.away.store(false, Ordering::SeqCst);
    within_five_seconds("the trouble is over", || catalog.trouble().is_none()).await;
    store.revoke_key(key.id, Timestamp::now()).await.unwrap();
    within_five_seconds("the revoked key is refused", || !opens()).await;

    // SIGHUP reads everything anew even though the version is the same.
    let before = catalog.snapshot();
    reload.notify_one();
    let replaced = || !Arc::ptr_eq(&before, &catalog.snapshot());
    within_five_seconds("the snapshot is reloaded", replaced).await;
    following.abort();
}
