//! Paths of the inference routes.

use crate::{domain::Route, gateway::Place};

/// Where FIRST's routes live; the same routes are served without it where OpenAI has them.
pub const FIRST_PREFIX: &str = "resource_server";

/// Reads the path of an inference request; a slash at its end, which FIRST asks for, is allowed.
#[must_use]
pub fn inference(path: &str) -> Option<(Place, Route)> {
    let path = path.strip_prefix('/')?;
    let path = path.strip_suffix('/').unwrap_or(path);
    if let Some(route) = path.strip_prefix("v1/") {
        return Some((Place::Anywhere, route.parse().ok()?));
    }
    let path = path.strip_prefix(FIRST_PREFIX)?.strip_prefix('/')?;
    if let Some(route) = path.strip_prefix("v1/") {
        return Some((Place::Anywhere, route.parse().ok()?));
    }
    let (cluster, path) = path.split_once('/')?;
    let (framework, path) = path.split_once('/')?;
    let route = path.strip_prefix("v1/")?.parse().ok()?;
    let place = Place::On { cluster: decoded(cluster)?, framework: decoded(framework)? };
    Some((place, route))
}

/// What a path of the batches' routes is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchPath {
    /// A new batch.
    Submit {
        /// The cluster's name.
        cluster: String,
        /// The framework's name.
        framework: String,
    },
    /// The caller's batches.
    List,
    /// The status of the batch with this id.
    Status(String),
    /// Its result.
    Result(String),
}

/// Reads the path of a request about batches; a slash at its end is allowed.
#[must_use]
pub fn batches(path: &str) -> Option<BatchPath> {
    let path = path.strip_prefix('/')?.strip_prefix(FIRST_PREFIX)?.strip_prefix('/')?;
    let path = path.strip_suffix('/').unwrap_or(path);
    match path.split('/').collect::<Vec<_>>()[..] {
        ["v1", "batches"] => Some(BatchPath::List),
        ["v1", "batches", id] => Some(BatchPath::Status(id.to_owned())),
        ["v1", "batches", id, "result"] => Some(BatchPath::Result(id.to_owned())),
        [cluster, framework, "v1", "batches"] => {
            Some(BatchPath::Submit { cluster: decoded(cluster)?, framework: decoded(framework)? })
        }
        _ => None,
    }
}

/// Undoes the percent-encoding of one segment.
#[must_use]
pub fn decoded(segment: &str) -> Option<String> {
    percent_encoding::percent_decode_str(segment).decode_utf8().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_the_path_leads_to_its_place() {
        let chat = Some((Place::Anywhere, Route::ChatCompletions));
        assert_eq!(inference("/v1/chat/completions"), chat);
        assert_eq!(inference("/resource_server/v1/chat/completions/"), chat);
        let on = Place::On { cluster: "sophia".into(), framework: "vllm".into() };
        let messages = Some((on, Route::Messages));
        assert_eq!(inference("/resource_server/sophia/vllm/v1/messages"), messages);
        assert_eq!(inference("/resource_server/s%6fphia/vllm/v1/messages"), messages);
    }

    #[test]
    fn batches_have_their_paths() {
        let submit = BatchPath::Submit { cluster: "sophia".into(), framework: "vllm".into() };
        for (path, expected) in [
            ("/resource_server/s%6fphia/vllm/v1/batches", submit.clone()),
            ("/resource_server/sophia/vllm/v1/batches/", submit),
            ("/resource_server/v1/batches", BatchPath::List),
            ("/resource_server/v1/batches/7", BatchPath::Status("7".into())),
            ("/resource_server/v1/batches/7/result/", BatchPath::Result("7".into())),
        ] {
            assert_eq!(batches(path), Some(expected), "{path}");
        }
        for path in ["/v1/batches", "/resource_server/batches", "/resource_server/v1/batches/7/x"] {
            assert_eq!(batches(path), None, "{path}");
        }
    }

    #[test]
    fn other_paths_are_not_inference() {
        for path in
            ["/", "/v1/", "/v1/models", "/v1/chat", "/resource_server/a/v1/chat/completions"]
        {
            assert_eq!(inference(path), None, "{path}");
        }
    }
}
