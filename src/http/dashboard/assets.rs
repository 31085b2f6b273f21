//! The style sheet, the script and the icon: parts of the program, under names that change with them.

use std::sync::LazyLock;

use http::{HeaderValue, header};
use sha2::{Digest, Sha256};
use warp::reply::Response;

const STYLE: &str = include_str!("assets/dashboard.css");
const SCRIPT: &str = include_str!("assets/dashboard.js");
const ICON: &str = include_str!("assets/icon.svg");

/// Where each part is, below `/dashboard/`.
pub(super) struct Paths {
    pub(super) style: String,
    pub(super) script: String,
    pub(super) icon: String,
}

pub(super) static PATHS: LazyLock<Paths> = LazyLock::new(|| Paths {
    style: path(STYLE, "css"),
    script: path(SCRIPT, "js"),
    icon: path(ICON, "svg"),
});

fn path(content: &str, extension: &str) -> String {
    let hash = Sha256::digest(content);
    let short = hash.first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
    format!("assets/{short:016x}.{extension}")
}

/// The part at a path below `/dashboard/`; an old name has nothing any more.
pub(super) fn find(path: &str) -> Option<Response> {
    let (content, kind) = match path {
        _ if path == PATHS.style => (STYLE, "text/css; charset=utf-8"),
        _ if path == PATHS.script => (SCRIPT, "text/javascript; charset=utf-8"),
        _ if path == PATHS.icon => (ICON, "image/svg+xml"),
        _ => return None,
    };
    let mut response = Response::new(content.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    let for_good = HeaderValue::from_static("public, max-age=31536000, immutable");
    headers.insert(header::CACHE_CONTROL, for_good);
    Some(response)
}
