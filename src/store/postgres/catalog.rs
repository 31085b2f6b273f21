//! The catalogue in PostgreSQL.

use std::collections::{BTreeMap, BTreeSet};

use tokio::try_join;
use tokio_postgres::{Client, IsolationLevel, Row, Transaction, types::Type};

use super::{error::Trouble, keys};
use crate::{
    domain::{Cluster, Endpoint, Federation, Target},
    store::{
        CatalogData, CatalogEdit,
        edit::{Names, changed_meanwhile},
        record::{ClusterRecord, EndpointRecord, FederationRecord, from_json},
    },
};

/// The version, from a server that takes writes: one that was demoted or is not promoted yet would
/// hold this connection at what is old.
pub(super) async fn current_version(client: &Client) -> Result<i64, Trouble> {
    let query = "SELECT version, pg_is_in_recovery() FROM catalog_version";
    let row = client.query_typed_one(query, &[]).await?;
    if row.try_get(1)? {
        return Err(Trouble::Replica);
    }
    Ok(row.try_get(0)?)
}

async fn version(client: &Client) -> Result<i64, Trouble> {
    let row = client.query_typed_one("SELECT version FROM catalog_version", &[]).await?;
    Ok(row.try_get(0)?)
}

/// Makes running instances read the catalogue and the keys again.
pub(super) async fn bump(transaction: &Transaction<'_>) -> Result<i64, Trouble> {
    let bump = "UPDATE catalog_version SET version = version + 1 RETURNING version";
    Ok(transaction.query_typed_one(bump, &[]).await?.try_get(0)?)
}

pub(super) async fn read(client: &mut Client) -> Result<CatalogData, Trouble> {
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    let (version, clusters, endpoints, federations, keys) = try_join!(
        version(transaction.client()),
        clusters(&transaction),
        endpoints(&transaction),
        federations(&transaction),
        keys::read(transaction.client(), keys::USABLE),
    )?;
    transaction.commit().await?;
    Ok(CatalogData { version, clusters, endpoints, federations, keys })
}

async fn clusters(transaction: &Transaction<'_>) -> Result<Vec<Cluster>, Trouble> {
    let query = "SELECT name, adapter, frameworks, routes, access, settings, maintenance, \
                 maintenance_since FROM clusters ORDER BY name COLLATE \"C\"";
    let rows = transaction.query_typed(query, &[]).await?;
    rows.iter().map(|row| Ok(cluster_record(row)?.into_cluster()?)).collect()
}

fn cluster_record(row: &Row) -> Result<ClusterRecord, tokio_postgres::Error> {
    Ok(ClusterRecord {
        name: row.try_get(0)?,
        adapter: row.try_get(1)?,
        frameworks: row.try_get(2)?,
        routes: row.try_get(3)?,
        access: row.try_get(4)?,
        settings: row.try_get(5)?,
        maintenance: row.try_get(6)?,
        maintenance_since: row.try_get(7)?,
    })
}

async fn endpoints(transaction: &Transaction<'_>) -> Result<Vec<Endpoint>, Trouble> {
    let query = "SELECT slug, cluster, framework, model, adapter, settings, access, tpm_model, \
                 tpm_user, enabled FROM endpoints ORDER BY slug COLLATE \"C\"";
    let rows = transaction.query_typed(query, &[]).await?;
    rows.iter().map(|row| Ok(endpoint_record(row)?.into_endpoint()?)).collect()
}

fn endpoint_record(row: &Row) -> Result<EndpointRecord, tokio_postgres::Error> {
    Ok(EndpointRecord {
        slug: row.try_get(0)?,
        cluster: row.try_get(1)?,
        framework: row.try_get(2)?,
        model: row.try_get(3)?,
        adapter: row.try_get(4)?,
        settings: row.try_get(5)?,
        access: row.try_get(6)?,
        tpm_model: row.try_get(7)?,
        tpm_user: row.try_get(8)?,
        enabled: row.try_get(9)?,
    })
}

async fn federations(transaction: &Transaction<'_>) -> Result<Vec<Federation>, Trouble> {
    let query = "SELECT model, description, policy, targets FROM federations \
                 ORDER BY model COLLATE \"C\"";
    let rows = transaction.query_typed(query, &[]).await?;
    rows.iter().map(|row| Ok(federation_record(row)?.into_federation()?)).collect()
}

fn federation_record(row: &Row) -> Result<FederationRecord, tokio_postgres::Error> {
    Ok(FederationRecord {
        model: row.try_get(0)?,
        description: row.try_get(1)?,
        policy: row.try_get(2)?,
        targets: row.try_get(3)?,
    })
}

/// Applies all edits, if the catalogue is still at `base`.
pub(super) async fn edit(
    client: &mut Client,
    base: i64,
    edits: &[CatalogEdit],
) -> Result<i64, Trouble> {
    let transaction = client.transaction().await?;
    // Editors queue up at this row, so the names below cannot change before the commit.
    let lock = "SELECT version FROM catalog_version FOR UPDATE";
    let current = transaction.query_typed_one(lock, &[]).await?.try_get(0)?;
    if current != base {
        return Err(changed_meanwhile(base, current).into());
    }
    names(&transaction).await?.check(edits)?;
    for edit in edits {
        apply(&transaction, edit).await?;
    }
    let version = bump(&transaction).await?;
    transaction.commit().await?;
    Ok(version)
}

async fn names(transaction: &Transaction<'_>) -> Result<Names, Trouble> {
    let mut names = Names { clusters: BTreeSet::new(), ..Names::default() };
    for row in transaction.query_typed("SELECT name FROM clusters", &[]).await? {
        names.clusters.insert(row.try_get(0)?);
    }
    for row in transaction.query_typed("SELECT slug, cluster FROM endpoints", &[]).await? {
        names.endpoints.insert(row.try_get(0)?, row.try_get(1)?);
    }
    let mut federations = BTreeMap::new();
    for row in transaction.query_typed("SELECT model, targets FROM federations", &[]).await? {
        let model: String = row.try_get(0)?;
        let targets: Vec<Target> = from_json(&format!("federation `{model}`"), row.try_get(1)?)?;
        federations.insert(model, targets.into_iter().map(|t| t.endpoint).collect());
    }
    Ok(Names { federations, ..names })
}

async fn apply(transaction: &Transaction<'_>, edit: &CatalogEdit) -> Result<(), Trouble> {
    let (delete, name) = match edit {
        CatalogEdit::PutCluster(cluster) => return put_cluster(transaction, cluster).await,
        CatalogEdit::PutEndpoint(endpoint) => return put_endpoint(transaction, endpoint).await,
        CatalogEdit::PutFederation(federation) => {
            return put_federation(transaction, federation).await;
        }
        CatalogEdit::RemoveCluster(name) => ("DELETE FROM clusters WHERE name = $1", name),
        CatalogEdit::RemoveEndpoint(slug) => ("DELETE FROM endpoints WHERE slug = $1", slug),
        CatalogEdit::RemoveFederation(model) => ("DELETE FROM federations WHERE model = $1", model),
    };
    transaction.execute_typed(delete, &[(name, Type::TEXT)]).await?;
    Ok(())
}

async fn put_cluster(transaction: &Transaction<'_>, cluster: &Cluster) -> Result<(), Trouble> {
    let row = ClusterRecord::of(cluster)?;
    let upsert = "INSERT INTO clusters (name, adapter, frameworks, routes, access, settings, \
         maintenance, maintenance_since) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
         ON CONFLICT (name) DO UPDATE SET adapter = excluded.adapter, \
         frameworks = excluded.frameworks, routes = excluded.routes, access = excluded.access, \
         settings = excluded.settings, maintenance = excluded.maintenance, \
         maintenance_since = excluded.maintenance_since";
    transaction
        .execute_typed(
            upsert,
            &[
                (&row.name, Type::TEXT),
                (&row.adapter, Type::TEXT),
                (&row.frameworks, Type::JSONB),
                (&row.routes, Type::JSONB),
                (&row.access, Type::JSONB),
                (&row.settings, Type::JSONB),
                (&row.maintenance, Type::TEXT),
                (&row.maintenance_since, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    Ok(())
}

async fn put_endpoint(transaction: &Transaction<'_>, endpoint: &Endpoint) -> Result<(), Trouble> {
    let row = EndpointRecord::of(endpoint)?;
    let upsert = "INSERT INTO endpoints (slug, cluster, framework, model, adapter, settings, \
         access, tpm_model, tpm_user, enabled) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
         ON CONFLICT (slug) DO UPDATE SET cluster = excluded.cluster, \
         framework = excluded.framework, model = excluded.model, adapter = excluded.adapter, \
         settings = excluded.settings, access = excluded.access, tpm_model = excluded.tpm_model, \
         tpm_user = excluded.tpm_user, enabled = excluded.enabled";
    transaction
        .execute_typed(
            upsert,
            &[
                (&row.slug, Type::TEXT),
                (&row.cluster, Type::TEXT),
                (&row.framework, Type::TEXT),
                (&row.model, Type::TEXT),
                (&row.adapter, Type::TEXT),
                (&row.settings, Type::JSONB),
                (&row.access, Type::JSONB),
                (&row.tpm_model, Type::INT8),
                (&row.tpm_user, Type::INT8),
                (&row.enabled, Type::BOOL),
            ],
        )
        .await?;
    Ok(())
}

async fn put_federation(
    transaction: &Transaction<'_>,
    federation: &Federation,
) -> Result<(), Trouble> {
    let row = FederationRecord::of(federation)?;
    let upsert = "INSERT INTO federations (model, description, policy, targets) \
         VALUES ($1, $2, $3, $4) \
         ON CONFLICT (model) DO UPDATE SET description = excluded.description, \
         policy = excluded.policy, targets = excluded.targets";
    transaction
        .execute_typed(
            upsert,
            &[
                (&row.model, Type::TEXT),
                (&row.description, Type::TEXT),
                (&row.policy, Type::TEXT),
                (&row.targets, Type::JSONB),
            ],
        )
        .await?;
    Ok(())
}
