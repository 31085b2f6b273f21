//! Globus Transfer: directories of collections, and who may use them.

use std::{collections::HashSet, sync::Mutex};

use serde_json::{Value, json};
use uuid::Uuid;

use super::{FakeGlobus, World, answer::Answer, grants, switches::Asked};

/// Directories and rules of every collection.
#[derive(Default)]
pub(super) struct Staging {
    directories: Mutex<HashSet<(Uuid, String)>>,
    rules: Mutex<Vec<Rule>>,
}

/// Who may use a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub id: Uuid,
    pub collection: Uuid,
    pub principal: String,
    pub path: String,
    pub permissions: String,
}

impl FakeGlobus {
    /// Every rule there is.
    pub fn rules(&self) -> Vec<Rule> {
        self.world.staging.rules.lock().unwrap().clone()
    }

    /// Whether a collection has this directory.
    pub fn has_directory(&self, collection: Uuid, path: &str) -> bool {
        self.world.staging.directories.lock().unwrap().contains(&(collection, path.to_owned()))
    }
}

pub(super) fn answer(world: &World, asked: &Asked) -> Answer {
    if !world.accounts.admits(asked, grants::TRANSFER) {
        let message = "a token for Globus Transfer is needed";
        return Answer::transfer_error(401, "AuthenticationFailed", message, &asked.path);
    }
    let ids = asked.ids();
    match (asked.route().as_str(), ids.as_slice()) {
        ("POST /v0.10/operation/endpoint/{id}/mkdir", [collection]) => {
            mkdir(&world.staging, *collection, asked)
        }
        ("GET /v0.10/endpoint/{id}/access_list", [collection]) => {
            access_list(&world.staging, *collection)
        }
        ("POST /v0.10/endpoint/{id}/access", [collection]) => {
            access(&world.staging, *collection, asked)
        }
        _ => Answer::transfer_error(404, "ClientError.NotFound", "no such route", &asked.path),
    }
}

fn mkdir(staging: &Staging, collection: Uuid, asked: &Asked) -> Answer {
    let body = asked.json();
    let Some(path) = body["path"].as_str().filter(|_| body["DATA_TYPE"] == "mkdir") else {
        return bad_request(asked, "not a mkdir document with a path");
    };
    if !staging.directories.lock().unwrap().insert((collection, path.to_owned())) {
        let code = "ExternalError.MkdirFailed.Exists";
        return Answer::transfer_error(502, code, "Path already exists", &asked.path);
    }
    Answer::ok(&json!({"DATA_TYPE": "mkdir_result", "code": "DirectoryCreated",
        "message": "The directory was created successfully", "request_id": "fake",
        "resource": asked.path}))
}

fn access_list(staging: &Staging, collection: Uuid) -> Answer {
    let rules = staging.rules.lock().unwrap();
    let of_collection = rules.iter().filter(|rule| rule.collection == collection);
    let data: Vec<Value> = of_collection
        .map(|rule| {
            json!({"DATA_TYPE": "access", "id": rule.id, "role_id": null, "role_type": null,
                "principal_type": "identity", "principal": rule.principal, "path": rule.path,
                "permissions": rule.permissions, "create_time": null, "expiration_date": null})
        })
        .collect();
    Answer::ok(&json!({"DATA_TYPE": "access_list", "endpoint": collection, "length": data.len(),
        "DATA": data}))
}

fn access(staging: &Staging, collection: Uuid, asked: &Asked) -> Answer {
    let body = asked.json();
    let text = |name: &str| body[name].as_str().map(str::to_owned);
    let (Some(principal), Some(path), Some(permissions)) =
        (text("principal"), text("path"), text("permissions"))
    else {
        return bad_request(asked, "principal, path or permissions is missing");
    };
    if body["DATA_TYPE"] != "access" || body["principal_type"] != "identity" {
        return bad_request(asked, "not an access document for an identity");
    }
    let mut rules = staging.rules.lock().unwrap();
    let same = |rule: &Rule| {
        rule.collection == collection && rule.principal == principal && rule.path == path
    };
    if rules.iter().any(same) {
        return Answer::transfer_error(409, "Exists", "the rule exists already", &asked.path);
    }
    let id = Uuid::new_v4();
    rules.push(Rule { id, collection, principal, path, permissions });
    Answer::json(
        201,
        &json!({"DATA_TYPE": "access_create_result", "code": "Created", "access_id": id,
            "request_id": "fake", "message": "Access rule created successfully.",
            "resource": asked.path}),
    )
}

fn bad_request(asked: &Asked, message: &str) -> Answer {
    Answer::transfer_error(400, "ClientError.BadRequest", message, &asked.path)
}
