//! What a manifest says, and for how long it counts.

use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpListener, time::sleep};

use super::*;

fn manifest(document: Value) -> Manifest {
    Manifest::read(serde_json::from_value(document).unwrap())
}

#[test]
fn a_model_is_found_by_its_name_or_an_experts_and_a_live_one_first() {
    let manifest = manifest(json!({
        "k1": { "status": "Stopped", "model": "llama", "url": "http://old/v1" },
        "k2": { "status": "Live", "model": "llama", "experts": ["tuned"], "url": "http://new/v1" },
        "k3": { "status": null, "model": "odd", "experts": "a, b", "model_version": 3 },
        "k4": "no object",
    }));
    assert_eq!(manifest.models.len(), 3, "what makes no sense is left out");
    let found = |model| manifest.find(model).map(|listed| listed.url.as_deref());
    assert_eq!(found("llama"), Some(Some("http://new/v1")));
    assert_eq!(found("tuned"), Some(Some("http://new/v1")));
    assert_eq!(found("b"), Some(None));
    assert_eq!(found("nobody"), None);
    assert_eq!(manifest.find("odd").unwrap().status, "Unknown");
}

#[test]
fn a_cluster_without_a_status_url_is_named() {
    let mut cluster: Cluster = serde_json::from_value(json!({
        "name": "metis", "adapter": "metis", "frameworks": ["api"], "routes": [],
    }))
    .unwrap();
    let missing = StatusSource::of(&cluster).unwrap_err();
    assert!(missing.contains("`metis`") && missing.contains("status_url"), "{missing}");
    cluster.settings = serde_json::from_value(
        json!({ "status_url": "http://metis/status", "api_request_timeout": 2.5 }),
    )
    .unwrap();
    let source = StatusSource::of(&cluster).unwrap();
    assert_eq!((source.url.as_str(), source.timeout.as_millis()), ("http://metis/status", 2500));
}

/// A page that answers an empty manifest with this status; its address and the status.
async fn page() -> (StatusSource, Arc<AtomicU16>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/status", listener.local_addr().unwrap());
    let status = Arc::new(AtomicU16::new(200));
    let answered = Arc::clone(&status);
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let status = answered.load(Ordering::SeqCst);
            let head = format!(
                "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}"
            );
            let _ = tcp.write_all(head.as_bytes()).await;
            // Read before closing, or the answer may be lost with the connection.
            let _ = tokio::io::copy(&mut tcp, &mut tokio::io::sink()).await;
        }
    });
    (StatusSource { url, timeout: Duration::from_millis(500) }, status)
}

#[tokio::test]
async fn the_last_good_manifest_stands_in_for_a_while() {
    let (source, status) = page().await;
    let times = Times {
        kept: Duration::from_millis(50),
        failure_kept: Duration::from_millis(50),
        last_resort: Duration::from_millis(400),
    };
    let client = outbound::client(Duration::from_secs(5)).unwrap();
    let manifests = Manifests { times, ..Manifests::new(client) };
    assert_eq!(manifests.get(&source).await, Ok(Arc::default()));
    status.store(500, Ordering::SeqCst);
    sleep(Duration::from_millis(100)).await;
    assert_eq!(manifests.get(&source).await, Ok(Arc::default()), "the last good one");
    sleep(Duration::from_millis(500)).await;
    assert_eq!(manifests.get(&source).await, Err(ManifestError::Unavailable), "but not for ever");
    status.store(200, Ordering::SeqCst);
    sleep(Duration::from_millis(100)).await;
    assert_eq!(manifests.get(&source).await, Ok(Arc::default()));
}
