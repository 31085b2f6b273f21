//! Somebody with a browser, as far as pages need one: cookies are kept, and nothing is followed.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::gateway::Gateway;

/// A browser at one gateway.
#[derive(Debug, Clone)]
pub struct Visitor {
    client: reqwest::Client,
    base: String,
    pub cookies: BTreeMap<String, String>,
    headers: Vec<(&'static str, String)>,
}

/// What it was answered.
#[derive(Debug)]
pub struct Shown {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: String,
}

impl Visitor {
    pub fn of(gateway: &Gateway) -> Self {
        let client = figw::outbound::direct_client(Duration::from_mins(1)).expect("a client");
        Self { client, base: gateway.url(), cookies: BTreeMap::new(), headers: Vec::new() }
    }

    /// Somebody who is logged in with this key.
    pub async fn with_key(gateway: &Gateway, key: &str) -> Self {
        let mut visitor = Self::of(gateway);
        let shown = visitor.log_in(key).await;
        assert_eq!((shown.status, shown.location()), (303, "/dashboard/"), "{}", shown.body);
        visitor
    }

    /// The same browser, sending this header, too.
    #[must_use]
    pub fn sending(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// The same browser as it is at another site.
    #[must_use]
    pub fn without_cookies(mut self) -> Self {
        self.cookies.clear();
        self
    }

    /// The same browser at another instance.
    #[must_use]
    pub fn at(mut self, gateway: &Gateway) -> Self {
        self.base = gateway.url();
        self
    }

    pub async fn get(&mut self, path: &str) -> Shown {
        self.send(http::Method::GET, path, None).await
    }

    pub async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Shown {
        self.send(http::Method::POST, path, Some(form)).await
    }

    /// Shows the form of the login and sends it with `key`.
    pub async fn log_in(&mut self, key: &str) -> Shown {
        let form = self.get("/dashboard/login").await;
        let token = form.form_token();
        self.post("/dashboard/login", &[("token", &token), ("key", key)]).await
    }

    pub async fn send(
        &mut self,
        method: http::Method,
        path: &str,
        form: Option<&[(&str, &str)]>,
    ) -> Shown {
        let url =
            if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) };
        let mut request = self.client.request(method, url);
        if !self.cookies.is_empty() {
            let cookies: Vec<_> = self.cookies.iter().map(|(k, v)| format!("{k}={v}")).collect();
            request = request.header("cookie", cookies.join("; "));
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if let Some(form) = form {
            request = request.form(form);
        }
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        for cookie in headers.get_all("set-cookie") {
            let cookie = cookie.to_str().expect("text");
            let (name, value) =
                cookie.split(';').next().and_then(|c| c.split_once('=')).expect("a cookie");
            if cookie.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Shown { status, headers, body: response.text().await.expect("text") }
    }

    /// Asks again until the page as JSON is as it should be.
    pub async fn wait_for(&mut self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let given_up = Instant::now() + Duration::from_secs(30);
        loop {
            let shown = self.get(path).await;
            let json = shown.json();
            if is_so(&json) {
                return json;
            }
            assert!(Instant::now() < given_up, "{path}: {json:#}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Shown {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    /// A header's value, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    pub fn location(&self) -> &str {
        self.header("location")
    }

    /// All cookies that it sets, as they are sent.
    pub fn cookies(&self) -> Vec<&str> {
        let cookies = self.headers.get_all("set-cookie").iter();
        cookies.map(|cookie| cookie.to_str().expect("text")).collect()
    }

    /// The hidden token of the page's form.
    pub fn form_token(&self) -> String {
        let rest = self.body.split_once("name=\"token\" value=\"").map(|(_, rest)| rest);
        let token = rest.and_then(|rest| rest.split_once('"')).map(|(token, _)| token);
        token.unwrap_or_else(|| panic!("no form in {} {}", self.status, self.body)).to_owned()
    }
}
