//! Globus Groups: what the bearer of a token belongs to.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{World, answer::Answer, switches::Asked};

pub(super) fn answer(world: &World, asked: &Asked) -> Answer {
    if asked.route() != "GET /v2/groups/my_groups" {
        return Answer::api_error(404, "NOT_FOUND", "there is no such route");
    }
    match world.accounts.groups_of_bearer(asked) {
        Some(groups) => Answer::ok(&groups.iter().map(|id| group(id)).collect()),
        None => Answer::api_error(401, "UNAUTHORIZED", "a token for Globus Groups is needed"),
    }
}

fn group(id: &str) -> Value {
    json!({
        "id": id, "name": "a group", "parent_id": null, "group_type": "regular",
        "enforce_session": false, "session_limit": 28800, "session_timeouts": {},
        "my_memberships": [{"group_id": id, "identity_id": Uuid::new_v4(),
            "username": "somebody@example.org", "role": "member", "status": "active"}],
        "policies": {},
    })
}
