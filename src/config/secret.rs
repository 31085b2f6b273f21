//! Secrets: where they come from, and how they stay out of sight.

use std::{borrow::Cow, fmt, fs::File, io::Read, path::Path, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use url::Url;

use crate::domain::{SecretSource, secret::SecretReference};

/// What stands in the place of a secret wherever it is shown.
pub const MASK: &str = "***";

/// No real secret is longer; a path that names something else (`/dev/zero`) ends here.
const LARGEST_FILE: u64 = 64 * 1024;

/// Why a secret cannot be had. Never repeats the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct SecretError {
    /// The configuration key, or whatever else names the secret.
    pub place: Arc<str>,
    /// What is wrong, and what to do.
    pub reason: String,
}

/// Reads the secret itself. `place` names it in the error.
///
/// # Errors
/// When the variable or file is missing, empty or not text, and for every Vault reference: this
/// version cannot read Vault.
pub fn reveal(place: &str, source: &SecretSource) -> Result<SecretString, SecretError> {
    read(source).map_err(|reason| SecretError { place: place.into(), reason })
}

fn read(source: &SecretSource) -> Result<SecretString, String> {
    let (value, origin) = match source {
        SecretSource::Plain(text) => (text.clone(), "the secret".to_owned()),
        SecretSource::Reference(SecretReference::Env(name)) => {
            (read_variable(name)?, format!("environment variable {name}"))
        }
        SecretSource::Reference(SecretReference::File(path)) => {
            (read_file(Path::new(path))?, format!("secret file {path}"))
        }
        SecretSource::Reference(SecretReference::Vault(_)) => {
            return Err("this version of figw cannot read Vault; use {file: …} or {env: …}".into());
        }
    };
    if value.is_empty() { Err(format!("{origin} is empty")) } else { Ok(value.into()) }
}

fn read_variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|error| match error {
        std::env::VarError::NotPresent => format!("environment variable {name} is not set"),
        std::env::VarError::NotUnicode(_) => format!("environment variable {name} is not UTF-8"),
    })
}

fn read_file(path: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("secret file {}: {error}", path.display());
    let mut bytes = Vec::new();
    File::open(path)
        .map_err(failed)?
        .take(LARGEST_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(format!("secret file {} is larger than 64KiB", path.display()));
    }
    let mut text = String::from_utf8(bytes)
        .map_err(|_| format!("secret file {} is not UTF-8", path.display()))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// Whether everybody on this machine may read the file.
pub(super) fn is_world_readable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0)
}

/// A secret of the configuration. Shows itself as `***`, or as the reference that it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    source: SecretSource,
    key: Arc<str>,
}

impl Secret {
    /// A secret under this configuration key.
    #[must_use]
    pub fn new(key: &str, source: SecretSource) -> Self {
        Self { source, key: key.into() }
    }

    /// Where it comes from.
    #[must_use]
    pub const fn source(&self) -> &SecretSource {
        &self.source
    }

    /// The configuration key, such as `server.admin_token`.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Reads the secret itself; a variable or file is read anew each time.
    ///
    /// # Errors
    /// When it cannot be had, naming the key and the place.
    pub fn reveal(&self) -> Result<SecretString, SecretError> {
        reveal(&self.key, &self.source)
    }

    /// What an operator should know about how the secret is kept.
    pub(super) fn warning(&self) -> Option<String> {
        let SecretSource::Reference(SecretReference::File(path)) = &self.source else {
            return None;
        };
        is_world_readable(Path::new(path)).then(|| {
            format!("{}: everybody may read secret file {path}; run chmod o= on it", self.key)
        })
    }

    pub(super) fn set_key(&mut self, key: String) {
        self.key = key.into();
    }

    const fn plain(&self) -> Option<&String> {
        match &self.source {
            SecretSource::Plain(text) => Some(text),
            SecretSource::Reference(_) => None,
        }
    }

    fn shown(&self, mask: impl Fn(&str) -> String) -> SecretSource {
        self.plain().map_or_else(|| self.source.clone(), |text| SecretSource::Plain(mask(text)))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.shown(|_| MASK.to_owned()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // serde's own words would repeat the text that did not fit.
        SecretSource::deserialize(deserializer)
            .map(|source| Self { source, key: "secret".into() })
            .map_err(|_| D::Error::custom(FORMS))
    }
}

/// What a secret may be written as.
pub(super) const FORMS: &str =
    "must be text, {env: NAME}, {file: PATH} or {vault: \"mount/path#field\"}";

/// A URL that may hold a password; the rest of it may be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(Secret);

impl SecretUrl {
    /// A URL under this configuration key.
    #[must_use]
    pub fn new(key: &str, source: SecretSource) -> Self {
        Self(Secret::new(key, source))
    }

    /// Reads the URL with its password.
    ///
    /// # Errors
    /// As [`Secret::reveal`].
    pub fn reveal(&self) -> Result<SecretString, SecretError> {
        self.0.reveal()
    }

    /// The secret that it is.
    #[must_use]
    pub const fn secret(&self) -> &Secret {
        &self.0
    }

    pub(super) const fn secret_mut(&mut self) -> &mut Secret {
        &mut self.0
    }
}

/// The URL with every password in it masked. A text that is no URL is masked altogether.
#[must_use]
pub fn mask_url(text: &str) -> String {
    if text.starts_with("sqlite:") {
        return text.to_owned();
    }
    let Ok(mut url) = Url::parse(text) else {
        return MASK.to_owned();
    };
    if url.cannot_be_a_base() {
        return MASK.to_owned();
    }
    if url.password().is_some() && url.set_password(Some(MASK)).is_err() {
        return MASK.to_owned();
    }
    let is_secret = |name: &str| {
        ["password", "passwd", "secret", "token", "key"]
            .iter()
            .any(|word| name.to_ascii_lowercase().contains(word))
    };
    let query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    if query.iter().any(|(name, _)| is_secret(name)) {
        let masked = query
            .iter()
            .map(|(name, value)| (name, if is_secret(name) { MASK } else { value.as_str() }));
        url.query_pairs_mut().clear().extend_pairs(masked);
    }
    url.into()
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.plain() {
            Some(text) => write!(f, "{:?}", mask_url(text)),
            None => self.0.fmt(f),
        }
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.shown(mask_url).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SecretUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Secret::deserialize(deserializer).map(Self)
    }
}

/// Both are text to the schema; the loader knows the format and allows the references too.
macro_rules! secret_schema {
    ($name:ident) => {
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                "secret".into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "format": "secret"})
            }
        }
    };
}

secret_schema!(Secret);
secret_schema!(SecretUrl);

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;
    use std::io::Write;

    fn file_with(content: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        file
    }

    fn from_file(path: &Path) -> SecretSource {
        SecretSource::Reference(SecretReference::File(path.display().to_string()))
    }

    #[test]
    fn a_file_gives_its_text_without_the_last_line_break() {
        let file = file_with(b"two\nlines\r\n");
        let secret = reveal("k", &from_file(file.path())).unwrap();
        assert_eq!(secret.expose_secret(), "two\nlines");
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_key_and_place() {
        let empty = file_with(b"\n");
        let binary = file_with(&[0xff, 0xfe]);
        let endless = from_file(Path::new("/dev/zero"));
        for (source, expected) in [
            (from_file(empty.path()), "is empty"),
            (from_file(binary.path()), "is not UTF-8"),
            (from_file(Path::new("/nowhere/token")), "secret file /nowhere/token: No such file"),
            (endless, "larger than 64KiB"),
            (
                SecretSource::Reference(SecretReference::Env("FIGW_NOT_THERE".into())),
                "environment variable FIGW_NOT_THERE is not set",
            ),
            (
                SecretSource::Reference(SecretReference::Vault("a/b#c".into())),
                "this version of figw cannot read Vault",
            ),
        ] {
            let error = reveal("server.admin_token", &source).unwrap_err().to_string();
            assert!(error.starts_with("server.admin_token: "), "{error}");
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn only_a_file_that_everybody_may_read_is_warned_about() {
        use std::os::unix::fs::PermissionsExt;
        let file = file_with(b"x");
        let secret = Secret::new("k", from_file(file.path()));
        assert_eq!(secret.warning(), None);
        std::fs::set_permissions(file.path(), PermissionsExt::from_mode(0o644)).unwrap();
        assert!(secret.warning().unwrap().contains("everybody may read"));
    }

    #[test]
    fn every_password_in_a_url_is_masked_and_nothing_else() {
        for (url, shown) in [
            ("sqlite:figw.db", "sqlite:figw.db"),
            ("postgres://me:pw@db:5432/figw", "postgres://me:***@db:5432/figw"),
            ("postgres://me@db/figw", "postgres://me@db/figw"),
            ("redis://:pw@cache/0", "redis://:***@cache/0"),
            (
                "postgres://db/x?sslmode=require&password=pw",
                "postgres://db/x?sslmode=require&password=***",
            ),
            ("host=db password=pw", "***"),
            ("postgres:me:pw", "***"),
        ] {
            assert_eq!(mask_url(url), shown);
        }
    }
}
