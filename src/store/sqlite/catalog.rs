//! The catalogue in SQLite.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, Row, params, types::Type};

use super::{Trouble, keys};
use crate::{
    domain::{Cluster, Endpoint, Federation, Target},
    store::{
        CatalogData, CatalogEdit,
        edit::{Names, changed_meanwhile},
        record::{ClusterRecord, EndpointRecord, FederationRecord, from_json},
    },
};

pub(super) fn version(connection: &Connection) -> Result<i64, Trouble> {
    let mut statement = connection.prepare_cached("SELECT version FROM catalog_version")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

/// Makes running instances read the catalogue and the keys again.
pub(super) fn bump(transaction: &Connection) -> Result<i64, Trouble> {
    Ok(transaction.query_row(
        "UPDATE catalog_version SET version = version + 1 RETURNING version",
        [],
        |row| row.get(0),
    )?)
}

pub(super) fn read(transaction: &Connection) -> Result<CatalogData, Trouble> {
    Ok(CatalogData {
        version: version(transaction)?,
        clusters: clusters(transaction)?,
        endpoints: endpoints(transaction)?,
        federations: federations(transaction)?,
        keys: keys::read(transaction, keys::USABLE)?,
    })
}

fn clusters(transaction: &Connection) -> Result<Vec<Cluster>, Trouble> {
    let records = all(
        transaction,
        "SELECT name, adapter, frameworks, routes, access, settings, maintenance, \
         maintenance_since FROM clusters ORDER BY name",
        |row| {
            Ok(ClusterRecord {
                name: row.get(0)?,
                adapter: row.get(1)?,
                frameworks: row.get(2)?,
                routes: row.get(3)?,
                access: row.get(4)?,
                settings: row.get(5)?,
                maintenance: row.get(6)?,
                maintenance_since: optional_time(row, 7)?,
            })
        },
    )?;
    Ok(records.into_iter().map(ClusterRecord::into_cluster).collect::<Result<_, _>>()?)
}

fn endpoints(transaction: &Connection) -> Result<Vec<Endpoint>, Trouble> {
    let records = all(
        transaction,
        "SELECT slug, cluster, framework, model, adapter, settings, access, tpm_model, tpm_user, \
         enabled FROM endpoints ORDER BY slug",
        |row| {
            Ok(EndpointRecord {
                slug: row.get(0)?,
                cluster: row.get(1)?,
                framework: row.get(2)?,
                model: row.get(3)?,
                adapter: row.get(4)?,
                settings: row.get(5)?,
                access: row.get(6)?,
                tpm_model: row.get(7)?,
                tpm_user: row.get(8)?,
                enabled: row.get(9)?,
            })
        },
    )?;
    Ok(records.into_iter().map(EndpointRecord::into_endpoint).collect::<Result<_, _>>()?)
}

fn federations(transaction: &Connection) -> Result<Vec<Federation>, Trouble> {
    let records = all(
        transaction,
        "SELECT model, description, policy, targets FROM federations ORDER BY model",
        |row| {
            Ok(FederationRecord {
                model: row.get(0)?,
                description: row.get(1)?,
                policy: row.get(2)?,
                targets: row.get(3)?,
            })
        },
    )?;
    Ok(records.into_iter().map(FederationRecord::into_federation).collect::<Result<_, _>>()?)
}

/// Applies all edits, if the catalogue is still at `base`.
pub(super) fn edit(
    transaction: &Connection,
    base: i64,
    edits: &[CatalogEdit],
) -> Result<i64, Trouble> {
    let current = version(transaction)?;
    if current != base {
        return Err(changed_meanwhile(base, current).into());
    }
    names(transaction)?.check(edits)?;
    for edit in edits {
        apply(transaction, edit)?;
    }
    bump(transaction)
}

fn names(transaction: &Connection) -> Result<Names, Trouble> {
    let clusters = all(transaction, "SELECT name FROM clusters", |row| row.get(0))?;
    let endpoints = all(transaction, "SELECT slug, cluster FROM endpoints", |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    let targets = all(transaction, "SELECT model, targets FROM federations", |row| {
        Ok((row.get::<_, String>(0)?, row.get(1)?))
    })?;
    let mut federations = BTreeMap::new();
    for (model, targets) in targets {
        let targets: Vec<Target> = from_json(&format!("federation `{model}`"), targets)?;
        federations.insert(model, targets.into_iter().map(|t| t.endpoint).collect());
    }
    Ok(Names {
        clusters: BTreeSet::from_iter(clusters),
        endpoints: BTreeMap::from_iter(endpoints),
        federations,
    })
}

fn apply(transaction: &Connection, edit: &CatalogEdit) -> Result<(), Trouble> {
    match edit {
        CatalogEdit::PutCluster(cluster) => put_cluster(transaction, cluster)?,
        CatalogEdit::PutEndpoint(endpoint) => put_endpoint(transaction, endpoint)?,
        CatalogEdit::PutFederation(federation) => put_federation(transaction, federation)?,
        CatalogEdit::RemoveCluster(name) => {
            transaction.execute("DELETE FROM clusters WHERE name = ?1", [name])?;
        }
        CatalogEdit::RemoveEndpoint(slug) => {
            transaction.execute("DELETE FROM endpoints WHERE slug = ?1", [slug])?;
        }
        CatalogEdit::RemoveFederation(model) => {
            transaction.execute("DELETE FROM federations WHERE model = ?1", [model])?;
        }
    }
    Ok(())
}

fn put_cluster(transaction: &Connection, cluster: &Cluster) -> Result<(), Trouble> {
    let row = ClusterRecord::of(cluster)?;
    transaction.execute(
        "INSERT INTO clusters (name, adapter, frameworks, routes, access, settings, maintenance, \
         maintenance_since) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
         ON CONFLICT (name) DO UPDATE SET adapter = excluded.adapter, \
         frameworks = excluded.frameworks, routes = excluded.routes, access = excluded.access, \
         settings = excluded.settings, maintenance = excluded.maintenance, \
         maintenance_since = excluded.maintenance_since",
        params![
            row.name,
            row.adapter,
            row.frameworks,
            row.routes,
            row.access,
            row.settings,
            row.maintenance,
            row.maintenance_since.map(jiff::Timestamp::as_microsecond),
        ],
    )?;
    Ok(())
}

fn put_endpoint(transaction: &Connection, endpoint: &Endpoint) -> Result<(), Trouble> {
    let row = EndpointRecord::of(endpoint)?;
    transaction.execute(
        "INSERT INTO endpoints (slug, cluster, framework, model, adapter, settings, access, \
         tpm_model, tpm_user, enabled) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
         ON CONFLICT (slug) DO UPDATE SET cluster = excluded.cluster, \
         framework = excluded.framework, model = excluded.model, adapter = excluded.adapter, \
         settings = excluded.settings, access = excluded.access, tpm_model = excluded.tpm_model, \
         tpm_user = excluded.tpm_user, enabled = excluded.enabled",
        params![
            row.slug,
            row.cluster,
            row.framework,
            row.model,
            row.adapter,
            row.settings,
            row.access,
            row.tpm_model,
            row.tpm_user,
            row.enabled,
        ],
    )?;
    Ok(())
}

fn put_federation(transaction: &Connection, federation: &Federation) -> Result<(), Trouble> {
    let row = FederationRecord::of(federation)?;
    transaction.execute(
        "INSERT INTO federations (model, description, policy, targets) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (model) DO UPDATE SET description = excluded.description, \
         policy = excluded.policy, targets = excluded.targets",
        params![row.model, row.description, row.policy, row.targets],
    )?;
    Ok(())
}

pub(super) fn all<T>(
    connection: &Connection,
    query: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, Trouble> {
    let mut statement = connection.prepare_cached(query)?;
    let rows = statement.query_map([], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<jiff::Timestamp> {
    to_time(column, row.get(column)?)
}

pub(super) fn optional_time(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<Option<jiff::Timestamp>> {
    row.get::<_, Option<i64>>(column)?.map(|us| to_time(column, us)).transpose()
}

fn to_time(column: usize, microseconds: i64) -> rusqlite::Result<jiff::Timestamp> {
    jiff::Timestamp::from_microsecond(microseconds)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, e.into()))
}
