//! Sample objects and rows, and a way to look behind the store's back.
#![allow(
    clippy::unwrap_used,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "test support: what fails here fails the test, and no test uses everything"
)]

use std::{path::PathBuf, sync::Arc, time::Duration};

use figw::{
    domain::{
        AccessPolicy, AccessRow, Adapter, ApiKey, Batch, BatchJob, BatchMetrics, BatchStatus,
        Cluster, Endpoint, EndpointSettings, Federation, KeyHash, Policy, Route, Target,
        TokenCount, UsageRow, catalog::DirectApi,
    },
    store::{self, Store, StoreOptions, migrate},
};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::postgres::Postgres;

pub fn options(url: &str) -> StoreOptions {
    StoreOptions {
        url: url.into(),
        migration_url: None,
        read_replicas: Vec::new(),
        replica_max_lag: Duration::from_secs(10),
        connection_lifetime: Duration::from_mins(30),
        max_connections: 4,
        connect_timeout: Duration::from_secs(2),
        statement_timeout: Duration::from_secs(5),
        lock_timeout: Duration::from_secs(5),
    }
}

pub async fn migrated(options: &StoreOptions) -> Arc<dyn Store> {
    migrate::apply(options, Duration::ZERO, &mut |_| {}).await.unwrap();
    store::open(options).await.unwrap()
}

pub fn cluster(name: &str) -> Cluster {
    Cluster {
        name: name.to_owned(),
        adapter: Adapter::GlobusCompute,
        frameworks: vec!["vllm".to_owned(), "api".to_owned()],
        routes: vec![Route::ChatCompletions, Route::Embeddings],
        access: AccessPolicy { groups: vec!["users".to_owned()], domains: Vec::new() },
        settings: serde_json::from_str(r#"{"z": 1, "status_url": "http://x/", "a": [null]}"#)
            .unwrap(),
        maintenance: None,
    }
}

pub fn endpoint(cluster: &str, model: &str) -> Endpoint {
    Endpoint {
        slug: Endpoint::default_slug(cluster, "vllm", model),
        cluster: cluster.to_owned(),
        framework: "vllm".to_owned(),
        model: model.to_owned(),
        settings: EndpointSettings::DirectApi(DirectApi {
            api_url: "http://127.0.0.1:9/v1".to_owned(),
            api_key: None,
            request_timeout: Some(Duration::from_secs(90)),
            max_in_flight: None,
        }),
        access: AccessPolicy::default(),
        tpm_model: 100_000,
        tpm_user: 0,
        enabled: true,
    }
}

pub fn federation(model: &str, endpoint: &str) -> Federation {
    Federation {
        model: model.to_owned(),
        description: "one name".to_owned(),
        policy: Policy::LeastBusy,
        targets: vec![Target { endpoint: endpoint.to_owned(), priority: 1, weight: 3 }],
    }
}

pub fn key(name: &str, at: Timestamp) -> ApiKey {
    ApiKey {
        id: Uuid::now_v7(),
        hash: KeyHash::of(name),
        name: name.to_owned(),
        user: "ada@anl.gov".to_owned(),
        groups: vec!["users".to_owned()],
        models: Vec::new(),
        created_at: at,
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    }
}

pub fn usage(at: Timestamp) -> UsageRow {
    UsageRow {
        id: Uuid::now_v7(),
        request_id: Uuid::new_v4().to_string(),
        started_at: at,
        user: "ada@anl.gov".into(),
        key_id: None,
        cluster: "sophia".into(),
        framework: "vllm".into(),
        endpoint: "sophia-vllm-m".into(),
        model: "m".into(),
        route: Route::ChatCompletions,
        streamed: true,
        status: 200,
        backend_status: Some(200),
        tokens: TokenCount { prompt: 12, completion: 30, estimated: false },
        first_byte_us: Some(1_000),
        duration_us: 250_000,
        request_bytes: 900,
        response_bytes: u64::MAX,
        error: None,
    }
}

pub fn access(at: Timestamp, model: &str) -> AccessRow {
    AccessRow {
        id: Uuid::now_v7(),
        request_id: Uuid::new_v4().to_string(),
        started_at: at,
        user: "ada@anl.gov".into(),
        key_id: None,
        method: "POST".to_owned(),
        path: "/v1/chat/completions".to_owned(),
        status: 404,
        duration_us: 90,
        model: Some(model.to_owned()),
        error: Some("no such model".to_owned()),
    }
}

/// A batch of Ada's that waits for its task.
pub fn batch(input_file: &str) -> Batch {
    Batch {
        id: Uuid::now_v7(),
        user: "ada@anl.gov".to_owned(),
        key_id: Some(Uuid::new_v4()),
        job: BatchJob {
            cluster: "sophia".to_owned(),
            framework: "vllm".to_owned(),
            endpoint: "sophia-vllm-m".to_owned(),
            model: "m".to_owned(),
            compute_endpoint: Uuid::new_v4(),
            input_file: input_file.to_owned(),
            output_folder: Some("/data/out".to_owned()),
        },
        task: None,
        status: BatchStatus::Pending,
        created_at: now(),
        submit_by: now() + SignedDuration::from_mins(5),
        submitted_at: None,
        finished_at: None,
        error: None,
        metrics: BatchMetrics::default(),
    }
}

/// Now, as precisely as a database keeps it.
pub fn now() -> Timestamp {
    Timestamp::from_microsecond(Timestamp::now().as_microsecond()).unwrap()
}

/// Counts rows of a table behind the store's back.
pub enum Counter<'a> {
    Sqlite(PathBuf),
    Postgres(&'a Postgres, &'a str),
}

impl Counter<'_> {
    pub fn number(&self, query: &str) -> i64 {
        match self {
            Self::Sqlite(path) => rusqlite::Connection::open(path)
                .unwrap()
                .query_row(query, [], |row| row.get(0))
                .unwrap(),
            Self::Postgres(server, database) => server.query(database, query).parse().unwrap(),
        }
    }

    pub fn execute(&self, statement: &str) {
        match self {
            Self::Sqlite(path) => {
                rusqlite::Connection::open(path).unwrap().execute_batch(statement).unwrap();
            }
            Self::Postgres(server, database) => {
                server.query(database, statement);
            }
        }
    }
}
