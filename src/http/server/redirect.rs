//! Plain HTTP beside HTTPS: it only says where HTTPS is.

use http::{HeaderMap, HeaderValue, StatusCode, header, uri::Authority};
use warp::{Filter, filters::BoxedFilter, path::FullPath, reply::Response};

use crate::{gateway::Refusal, http::error};

/// Redirects everything to the same place below `https://`, on this port.
#[must_use]
pub fn to_https(port: u16) -> BoxedFilter<(Response,)> {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::path::full()
        .and(query)
        .and(warp::header::headers_cloned())
        .map(move |path: FullPath, query: String, headers: HeaderMap| {
            redirect(port, path.as_str(), &query, &headers)
        })
        .boxed()
}

fn redirect(port: u16, path: &str, query: &str, headers: &HeaderMap) -> Response {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()?.parse().ok());
    let location = host.and_then(|host: Authority| {
        let host = host.host();
        let port = if port == 443 { String::new() } else { format!(":{port}") };
        let query = if query.is_empty() { String::new() } else { format!("?{query}") };
        HeaderValue::from_str(&format!("https://{host}{port}{path}{query}")).ok()
    });
    let Some(location) = location.filter(|_| path.starts_with('/')) else {
        let message = "This port only leads to HTTPS, and takes a path and a Host header for that.";
        let refusal = Refusal::new(StatusCode::BAD_REQUEST, "bad_request", message);
        return error::response(&refusal, error::Shape::OpenAi);
    };
    let mut response = Response::default();
    // With its method and body, unlike 301.
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(header::LOCATION, location);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_path_and_query_are_kept_and_the_port_is_not() {
        let to = |host: Option<&'static str>, port| {
            let mut headers = HeaderMap::new();
            if let Some(host) = host {
                headers.insert(header::HOST, HeaderValue::from_static(host));
            }
            let response = redirect(port, "/v1/models", "a=b", &headers);
            let location = response.headers().get(header::LOCATION);
            location.map(|location| location.to_str().unwrap().to_owned())
        };
        assert_eq!(to(Some("a.org:80"), 443).unwrap(), "https://a.org/v1/models?a=b");
        assert_eq!(to(Some("[::1]:80"), 8443).unwrap(), "https://[::1]:8443/v1/models?a=b");
        assert_eq!(to(None, 443), None);
    }
}
