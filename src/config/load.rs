//! From file and environment to a checked configuration.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use secrecy::SecretString;
use serde_yaml::{Mapping, Value};

use super::{
    Config, Dashboard,
    environment::overrides,
    lines::Lines,
    problem::{Complaints, ConfigError, Origin, Problem},
    schema::root,
    secret::{is_world_readable, mask_url},
    shape,
};
use crate::domain::SecretSource;

/// Where a configuration is looked for when none is named.
pub const SEARCHED: [&str; 2] = ["config.yaml", "/etc/figw/config.yaml"];

/// A configuration, and where it came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The effective values.
    pub config: Config,
    /// The file that was read; none when every value is built in or from the environment.
    pub path: Option<PathBuf>,
    origins: Origins,
}

/// Which file, line or variable set which key.
#[derive(Debug, Clone, Default)]
struct Origins {
    file: Option<(PathBuf, Lines)>,
    variables: BTreeMap<String, String>,
}

impl Origins {
    /// The place of the key, of a variable below it, or of the nearest section around it.
    fn nearest(&self, key: &str) -> Origin {
        // What a variable sets has replaced all that the file has below it.
        let mut parts = std::iter::successors(Some(key), |part| parent(part));
        if let Some(name) = parts.find_map(|part| self.variables.get(part)) {
            return Origin::Variable(name.clone());
        }
        if let Some(origin) = self.exact(key).or_else(|| self.below(key)) {
            return origin;
        }
        let mut around = Some(key);
        while let Some(path) = around {
            if let Some(origin) = self.exact(path) {
                return origin;
            }
            around = parent(path);
        }
        match &self.file {
            Some((path, _)) => Origin::File { path: path.clone(), line: None },
            None => Origin::BuiltIn,
        }
    }

    fn exact(&self, key: &str) -> Option<Origin> {
        if let Some(name) = self.variables.get(key) {
            return Some(Origin::Variable(name.clone()));
        }
        let (path, lines) = self.file.as_ref()?;
        lines.get(key).map(|line| Origin::File { path: path.clone(), line: Some(line) })
    }

    /// A section that only a variable mentions has no line of its own.
    fn below(&self, section: &str) -> Option<Origin> {
        let is_below =
            |key: &str| key.strip_prefix(section).is_some_and(|rest| rest.starts_with(['.', '[']));
        let (_, name) = self.variables.iter().find(|(key, _)| is_below(key))?;
        Some(Origin::Variable(name.clone()))
    }

    fn error(&self, complaints: Vec<(String, String)>) -> ConfigError {
        let problem =
            |(key, message): (String, String)| Problem { origin: self.nearest(&key), key, message };
        ConfigError { problems: complaints.into_iter().map(problem).collect() }
    }
}

/// The section or list that a key belongs to.
fn parent(key: &str) -> Option<&str> {
    key.rfind(['.', '[']).map(|end| &key[..end])
}

impl Loaded {
    /// The place that set this key, if one did.
    #[must_use]
    pub fn origin(&self, key: &str) -> Option<Origin> {
        self.origins.exact(key)
    }

    /// What an operator should know: secrets that everybody on this machine may read.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut config = self.config.clone();
        let mut warnings = Vec::new();
        let mut holds_plain = false;
        config.each_secret(&mut |key, secret| {
            warnings.extend(secret.warning());
            // A URL without a password is no secret, but for one whose path is.
            let is_secret = |text: &String| key == "alerts.webhook.url" || mask_url(text) != *text;
            holds_plain |= matches!(secret.source(), SecretSource::Plain(text) if is_secret(text))
                && matches!(self.origin(key), Some(Origin::File { .. }));
        });
        if let Some(path) = self.path.as_ref().filter(|path| holds_plain && is_world_readable(path))
        {
            warnings.push(format!(
                "{}: holds secrets and everybody may read it; run chmod o= on it",
                path.display()
            ));
        }
        warnings
    }

    /// Reads every secret once, so that a missing one is found before it is needed.
    ///
    /// # Errors
    /// Every secret that cannot be read, or is too short for what it is for.
    pub fn check_secrets(&self) -> Result<(), ConfigError> {
        let mut config = self.config.clone();
        let mut missing = Vec::new();
        config.each_secret(&mut |key, secret| match secret.reveal() {
            Err(error) => missing.push((key.to_owned(), error.reason)),
            Ok(text) => missing.extend(too_short(key, &text).map(|why| (key.to_owned(), why))),
        });
        if missing.is_empty() { Ok(()) } else { Err(self.origins.error(missing)) }
    }
}

/// What is wrong with a secret that cannot protect what it is for.
fn too_short(key: &str, secret: &SecretString) -> Option<String> {
    (key == "dashboard.session_secret").then(|| Dashboard::complain_of(secret)).flatten()
}

impl Config {
    /// Reads the configuration: the named file, or the first of [`SEARCHED`] that exists, or
    /// built-in values; then `FIGW_…__…` variables on top.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with file, line and key.
    pub fn load(explicit: Option<&Path>) -> Result<Loaded, ConfigError> {
        let file = match explicit {
            Some(path) => Some((path.to_owned(), read_named(path)?)),
            None => read_first_found()?,
        };
        Self::load_from(file, std::env::vars_os())
    }

    /// Reads the configuration from a file's path and content and the given variables.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_from(
        file: Option<(PathBuf, Vec<u8>)>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Loaded, ConfigError> {
        let mut origins = Origins::default();
        let mut document = Value::Mapping(Mapping::new());
        if let Some((path, content)) = file {
            let (read, lines) = parse(&path, content)?;
            document = read;
            origins.file = Some((path, lines));
        }
        shape::fill_empty_sections(root(), &mut document);
        let mut wrong = apply_variables(&mut document, &mut origins, variables)?;
        wrong.extend(shape::complaints(&document));
        if !wrong.is_empty() {
            return Err(origins.error(wrong));
        }
        let config = deserialize(document).map_err(|complaint| origins.error(vec![complaint]))?;
        let mut complaints = Complaints::default();
        config.check(&mut complaints);
        if !complaints.0.is_empty() {
            return Err(origins.error(complaints.0));
        }
        let path = origins.file.as_ref().map(|(path, _)| path.clone());
        Ok(Loaded { config, path, origins })
    }
}

fn read_named(path: &Path) -> Result<Vec<u8>, ConfigError> {
    if path.as_os_str().is_empty() {
        return Err(ConfigError::one(Origin::BuiltIn, "the configuration file's name is empty"));
    }
    std::fs::read(path).map_err(|error| unreadable(path, &error))
}

fn read_first_found() -> Result<Option<(PathBuf, Vec<u8>)>, ConfigError> {
    for path in SEARCHED.map(PathBuf::from) {
        match std::fs::read(&path) {
            Ok(content) => return Ok(Some((path, content))),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(&path, &error)),
        }
    }
    Ok(None)
}

fn unreadable(path: &Path, error: &std::io::Error) -> ConfigError {
    let origin = Origin::File { path: path.to_owned(), line: None };
    let message = match error.kind() {
        ErrorKind::NotFound => "there is no such configuration file".to_owned(),
        _ => format!("cannot read the configuration file: {error}"),
    };
    ConfigError::one(origin, message)
}

/// The document of a file, and where its keys stand.
fn parse(path: &Path, content: Vec<u8>) -> Result<(Value, Lines), ConfigError> {
    let at = |line: Option<usize>| Origin::File { path: path.to_owned(), line };
    let text = String::from_utf8(content).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.split(|byte| *byte == b'\n').count();
        ConfigError::one(at(Some(line)), "is not UTF-8 text")
    })?;
    let lines = Lines::read(&text);
    if !lines.repeated.is_empty() {
        let problem = |(key, line, first): &(String, usize, usize)| Problem {
            origin: at(Some(*line)),
            key: key.clone(),
            message: format!("is given twice, first on line {first}"),
        };
        return Err(ConfigError { problems: lines.repeated.iter().map(problem).collect() });
    }
    let document: Value = serde_yaml::from_str(&text).map_err(|error| {
        let place = error.location().map(|place| (place.line(), place.column()));
        let mut message = error.to_string();
        if let Some((line, column)) = place {
            message = message.replace(&format!(" at line {line} column {column}"), "");
        }
        ConfigError::one(at(place.map(|(line, _)| line)), format!("is not valid YAML: {message}"))
    })?;
    Ok((document, lines))
}

/// Puts the variables' values into the document, and returns what could not be put there.
fn apply_variables(
    document: &mut Value,
    origins: &mut Origins,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Vec<(String, String)>, ConfigError> {
    let overrides = overrides(variables)
        .map_err(|(name, message)| ConfigError::one(Origin::Variable(name), message))?;
    let mut wrong = Vec::new();
    if !document.is_mapping() {
        return Ok(wrong);
    }
    for one in overrides {
        let path = one.path();
        origins.variables.insert(path.clone(), one.variable.clone());
        if let Err(message) = one.apply(document) {
            wrong.push((path, message));
        }
    }
    shape::fill_empty_sections(root(), document);
    Ok(wrong)
}

fn deserialize(document: Value) -> Result<Config, (String, String)> {
    let mut config: Config = serde_path_to_error::deserialize(document)
        .map_err(|error| (error.path().to_string(), error.into_inner().to_string()))?;
    config.each_secret(&mut |key, secret| secret.set_key(key.to_owned()));
    Ok(config)
}
