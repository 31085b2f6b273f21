//! The token file, in the form and place of the Globus SDK's `JSONTokenStorage`, which FIRST's
//! helper and figw share. What figw does not know in it stays as it is.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::globus::oauth::{Grant, Identity};

/// The form that is written, and the release of the SDK from which on it has been so.
const FORMAT: &str = "2.0";
const SDK_VERSION: &str = "4.9.1";

/// The SDK's name for the tokens of an application that has not set another.
const NAMESPACE: &str = "DEFAULT";

/// Marks the entries that figw obtained itself.
const OBTAINED_BY: (&str, &str) = ("obtained_by", "figw");

/// How long another figw may hold the file; it asks Globus meanwhile.
const LOCK_PATIENCE: Duration = Duration::from_mins(1);

/// Pause between two looks at a file that is held or half written.
const PAUSE: Duration = Duration::from_millis(25);

/// The SDK overwrites the file in place: for a moment it is no JSON.
const READ_ATTEMPTS: u32 = 8;

/// What can be wrong with the file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system refuses.
    #[error("cannot {action} {}: {error}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// It is not what the SDK writes.
    #[error("{} is not a token file of the Globus SDK: {reason}; move it away and run `figw login`", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Another process holds it.
    #[error("another figw has been renewing {} for a minute; try again", path.display())]
    Held {
        /// The file.
        path: PathBuf,
    },
}

/// A token file, which need not exist.
#[derive(Debug, Clone)]
pub struct TokenFile {
    path: PathBuf,
}

/// The right to change the file, until it is dropped.
#[derive(Debug)]
pub struct Hold<'a> {
    file: &'a TokenFile,
    _lock: File,
}

/// What is in the file.
#[derive(Debug)]
pub struct Document {
    root: Map<String, Value>,
}

/// The tokens for one resource server.
#[derive(Debug, Deserialize)]
pub struct Entry {
    /// The access token.
    pub access_token: SecretString,
    /// Renews it.
    pub refresh_token: Option<SecretString>,
    /// When the access token ends, in seconds since 1970.
    pub expires_at_seconds: i64,
    /// What it allows.
    #[serde(default)]
    pub scope: String,
    /// Whose it is.
    pub identity_id: Option<String>,
    obtained_by: Option<String>,
}

impl Entry {
    /// Whether figw itself obtained it, and nobody has replaced it since.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.obtained_by.as_deref() == Some(OBTAINED_BY.1)
    }
}

impl TokenFile {
    /// The file of the application `app_name` of the client `client_id`, below `home`.
    #[must_use]
    pub fn of_app(home: &Path, client_id: &str, app_name: &str) -> Self {
        let app = home.join(".globus/app").join(client_id);
        Self { path: app.join(directory_name(app_name)).join("tokens.json") }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is in it; nothing when it is not there.
    ///
    /// # Errors
    /// When it cannot be read or is not of the SDK's form.
    pub async fn read(&self) -> Result<Document, FileError> {
        let mut attempt = 1;
        loop {
            let text = match fs::read(&self.path) {
                Ok(text) => text,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Document::empty()),
                Err(error) => return Err(self.io("read", error)),
            };
            match serde_json::from_slice(&text) {
                Ok(root) => return Document::new(root).map_err(|reason| self.malformed(reason)),
                Err(_) if attempt < READ_ATTEMPTS => attempt += 1,
                Err(error) => return Err(self.malformed(error.to_string())),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until no other figw changes the file.
    ///
    /// # Errors
    /// When its directory cannot be written, or another figw does not come to an end.
    pub async fn hold(&self) -> Result<Hold<'_>, FileError> {
        let parent = self.path.parent().unwrap_or(Path::new("/"));
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)
            .map_err(|error| self.io("make the directory of", error))?;
        // A file of its own: the other one is replaced with each change.
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.path.with_extension("lock"))
            .map_err(|error| self.io("lock", error))?;
        let given_up = Instant::now() + LOCK_PATIENCE;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Hold { file: self, _lock: lock }),
                Err(TryLockError::WouldBlock) if Instant::now() < given_up => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(FileError::Held { path: self.path.clone() });
                }
                Err(TryLockError::Error(error)) => return Err(self.io("lock", error)),
            }
        }
    }

    fn io(&self, action: &'static str, error: io::Error) -> FileError {
        FileError::Io { action, path: self.path.clone(), error }
    }

    fn malformed(&self, reason: impl Into<String>) -> FileError {
        FileError::Malformed { path: self.path.clone(), reason: reason.into() }
    }
}

impl Hold<'_> {
    /// Puts `document` in the file's place, whole or not at all, readable by its owner alone.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn write(&self, document: &Document) -> Result<(), FileError> {
        write_private(self.file.path(), &document.root).map_err(|e| self.file.io("write", e))
    }
}

/// Puts JSON in the place of the file at `path`, whole or not at all, with mode 0600.
pub(super) fn write_private(path: &Path, value: &impl serde::Serialize) -> io::Result<()> {
    // Who has put a link there wants the file behind it to change.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let directory = path.parent().unwrap_or(Path::new("/"));
    // A temporary file has mode 0600 from the first moment on.
    let mut file = tempfile::Builder::new().prefix(".figw-").tempfile_in(directory)?;
    serde_json::to_writer(&mut file, value)?;
    file.flush()?;
    file.as_file().sync_all()?;
    file.persist(&path)?;
    File::open(directory)?.sync_all()
}

impl Document {
    fn empty() -> Self {
        let root = json!({
            "data": {},
            "format_version": FORMAT,
            "globus-sdk.version": SDK_VERSION,
        });
        Self { root: root.as_object().cloned().unwrap_or_default() }
    }

    fn new(root: Value) -> Result<Self, String> {
        let Value::Object(mut root) = root else { return Err("it is no JSON object".to_owned()) };
        match root.get("format_version").and_then(Value::as_str) {
            Some("2.0") => {}
            // Older SDKs had neither namespaces nor this key.
            Some("1.0") => {
                let tokens = root.remove("by_rs").ok_or("`by_rs` is missing")?;
                root.insert("data".into(), json!({ NAMESPACE: tokens }));
                root.insert("format_version".into(), FORMAT.into());
            }
            _ => return Err("its format_version is neither 1.0 nor 2.0".to_owned()),
        }
        let namespaces = root.get("data").and_then(Value::as_object);
        if !namespaces.is_some_and(|data| data.values().all(Value::is_object)) {
            return Err("`data` is not what it should be".to_owned());
        }
        root.entry("globus-sdk.version").or_insert_with(|| SDK_VERSION.into());
        Ok(Self { root })
    }

    fn tokens(&self) -> Option<&Map<String, Value>> {
        self.root.get("data")?.get(NAMESPACE)?.as_object()
    }

    fn tokens_mut(&mut self) -> Option<&mut Map<String, Value>> {
        let data = self.root.get_mut("data")?.as_object_mut()?;
        data.entry(NAMESPACE).or_insert_with(|| json!({})).as_object_mut()
    }

    /// The resource servers that there are tokens for.
    pub fn resource_servers(&self) -> impl Iterator<Item = &str> {
        self.tokens().into_iter().flat_map(|tokens| tokens.keys().map(String::as_str))
    }

    /// The tokens for one resource server. An entry that cannot be read counts as none.
    #[must_use]
    pub fn entry(&self, resource_server: &str) -> Option<Entry> {
        Entry::deserialize(self.tokens()?.get(resource_server)?).ok()
    }

    /// Puts tokens from a new login in, each in place of what was there.
    pub fn put(&mut self, grant: &Grant, identity: Option<&Identity>, now: i64) {
        let mut entry = Map::new();
        entry.insert("resource_server".into(), grant.resource_server.clone().into());
        if let Some(identity) = identity {
            entry.insert("identity_id".into(), identity.sub.clone().into());
        }
        entry.insert(OBTAINED_BY.0.into(), OBTAINED_BY.1.into());
        fill(&mut entry, grant, now);
        if let Some(tokens) = self.tokens_mut() {
            tokens.insert(grant.resource_server.clone(), entry.into());
        }
    }

    /// Puts a renewed token in; whatever else the entry says stays.
    pub fn renew(&mut self, grant: &Grant, now: i64) {
        let entry = self.tokens_mut().and_then(|tokens| tokens.get_mut(&grant.resource_server));
        if let Some(Value::Object(entry)) = entry {
            fill(entry, grant, now);
        }
    }

    /// Takes the tokens for one resource server out.
    pub fn remove(&mut self, resource_server: &str) {
        if let Some(tokens) = self.tokens_mut() {
            tokens.shift_remove(resource_server);
        }
    }
}

fn fill(entry: &mut Map<String, Value>, grant: &Grant, now: i64) {
    let life = i64::try_from(grant.expires_in.as_secs()).unwrap_or(i64::MAX);
    entry.insert("scope".into(), grant.scope.clone().into());
    entry.insert("access_token".into(), grant.access_token.expose_secret().into());
    entry.insert("expires_at_seconds".into(), now.saturating_add(life).into());
    if let Some(token) = &grant.refresh_token {
        entry.insert("refresh_token".into(), token.expose_secret().into());
    }
    if let Some(kind) = &grant.token_type {
        entry.insert("token_type".into(), kind.clone().into());
    }
}

/// An application's name as the SDK makes a directory of it.
fn directory_name(app_name: &str) -> String {
    app_name
        .chars()
        .map(|c| match c {
            '<' | '>' | ':' | '"' | '/' | '\\' | '|' | '?' | '*' => '+',
            '.' | ' ' => '-',
            other => other,
        })
        .filter(|c| !c.is_control())
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_s_directory_is_named_as_by_the_sdk() {
        assert_eq!(directory_name("inference_app"), "inference_app");
        assert_eq!(directory_name("My App v1.2?"), "my-app-v1-2+");
        assert_eq!(directory_name("../.."), "--+--");
    }

    #[test]
    fn a_file_of_the_older_form_is_read_and_brought_up_to_date() {
        let old = json!({
            "by_rs": { "a": { "access_token": "t", "expires_at_seconds": 1, "scope": "s" } },
            "format_version": "1.0",
            "globus-sdk.version": "3.0.0",
        });
        let document = Document::new(old).unwrap();
        assert_eq!(document.entry("a").unwrap().expires_at_seconds, 1);
        assert_eq!(document.root["format_version"], "2.0");
        assert_eq!(document.root["globus-sdk.version"], "3.0.0");
    }

    #[test]
    fn what_is_no_token_file_says_why() {
        for (root, reason) in [
            (json!([]), "no JSON object"),
            (json!({}), "format_version"),
            (json!({ "format_version": "3.0", "data": {} }), "format_version"),
            (json!({ "format_version": "2.0" }), "`data`"),
            (json!({ "format_version": "2.0", "data": { "DEFAULT": 1 } }), "`data`"),
            (json!({ "format_version": "1.0", "data": {} }), "`by_rs`"),
        ] {
            let error = Document::new(root.clone()).unwrap_err();
            assert!(error.contains(reason), "{root}: {error}");
        }
    }

    #[test]
    fn an_entry_that_cannot_be_read_is_none() {
        let root = json!({ "format_version": "2.0", "data": { "DEFAULT": { "a": 1, "b": {} } } });
        let document = Document::new(root).unwrap();
        assert!(document.entry("a").is_none());
        assert!(document.entry("b").is_none());
        assert!(document.entry("c").is_none());
    }
}
