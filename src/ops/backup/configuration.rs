//! The configuration as a tar archive: the file itself, the catalogue, what
//! `backup.config_paths` names, and, only when it will be encrypted, the values of secrets.
//!
//! ```text
//! config/config.yaml     the configuration file
//! catalogue.yaml         what `figw fixtures load` reads
//! files/etc/figw/…       backup.config_paths, by their absolute paths
//! secrets.yaml           secrets from variables and files, by their keys
//! ```

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    path::{Component, Path, PathBuf},
};

use jiff::Timestamp;
use secrecy::ExposeSecret;

use super::{
    archive::{PartWriter, Sealing},
    error::BackupError,
    manifest::{ConfigurationFacts, Content, Part},
    repository::Draft,
    verify::Verifier,
    watch::Expected,
};
use crate::{
    config::{Config, secret},
    domain::{SecretSource, secret::SecretReference},
    store::CatalogData,
};

/// What goes into the archive.
#[derive(Debug)]
pub(super) struct Sources<'a> {
    pub(super) config: &'a Config,
    /// The configuration file; none when there is none.
    pub(super) file: Option<&'a Path>,
    /// The catalogue, or why it cannot be had.
    pub(super) catalogue: Result<CatalogData, String>,
}

impl Sources<'_> {
    /// What is wrong with the paths, before any work is done.
    pub(super) fn check(config: &Config) -> Result<(), BackupError> {
        for path in &config.backup.config_paths {
            fs::symlink_metadata(path).map_err(|error| {
                BackupError::failed(format!(
                    "backup.config_paths: {}: {error}; correct the list",
                    path.display()
                ))
            })?;
        }
        Ok(())
    }

    /// Writes the archive.
    pub(super) fn archive(
        &self,
        sealing: &Sealing,
        draft: &Draft,
        verifier: &Verifier,
    ) -> Result<(ConfigurationFacts, Part), BackupError> {
        let part = sealing.part(draft.directory(), Content::ConfigurationTar)?;
        let watch = verifier.watch(&part, Content::ConfigurationTar);
        let path = part.path().to_owned();
        let secret_files = if sealing.encrypts() { Vec::new() } else { self.secret_files() };
        let mut archive = Archive {
            tar: tar::Builder::new(part),
            facts: ConfigurationFacts { files: 0, secrets: false, left_out: Vec::new() },
            never: canonical(&self.config.backup.identities),
            secret_files: canonical(&secret_files),
        };
        let failed = |error: io::Error| BackupError::io("write", &path, &error);
        if let Some(file) = self.file {
            let name = file.file_name().unwrap_or_default();
            archive.file(file, &Path::new("config").join(name))?;
            if !sealing.encrypts() && self.holds_plain_secrets() {
                tracing::warn!(
                    "this backup holds the secrets that stand in {}, in plain text; set \
                     backup.encrypt_to, or move them to files or variables",
                    file.display()
                );
            }
        }
        self.add_catalogue(&mut archive).map_err(failed)?;
        for path in &self.config.backup.config_paths {
            archive.tree(path)?;
        }
        if sealing.encrypts() {
            self.add_secrets(&mut archive).map_err(failed)?;
        }
        let Archive { tar, facts, .. } = archive;
        let part = tar.into_inner().map_err(failed)?.finish()?;
        watch.finish(draft.directory(), &part, Expected::Files(facts.files))?;
        Ok((facts, part))
    }

    fn add_catalogue(&self, archive: &mut Archive) -> io::Result<()> {
        match &self.catalogue {
            Ok(data) => {
                let document = crate::catalog::fixtures::dump(data.clone());
                let text = serde_yaml::to_string(&document).map_err(io::Error::other)?;
                archive.text("catalogue.yaml", text.as_bytes())
            }
            Err(why) => {
                archive.facts.left_out.push(format!("the catalogue: {why}"));
                Ok(())
            }
        }
    }

    /// Secrets that stand somewhere else, of the configuration and of the catalogue.
    fn references(&self) -> Vec<(String, SecretSource)> {
        let configured =
            self.config.secrets().into_iter().map(|s| (s.key().to_owned(), s.source().clone()));
        let endpoints = self.catalogue.iter().flat_map(|data| &data.endpoints);
        let keys = endpoints.filter_map(|endpoint| {
            let key = format!("endpoints.{}.api_key", endpoint.slug);
            Some((key, endpoint.settings.api_key()?.clone()))
        });
        let all = configured.chain(keys);
        all.filter(|(_, source)| matches!(source, SecretSource::Reference(_))).collect()
    }

    fn secret_files(&self) -> Vec<PathBuf> {
        let tls_key = self.config.server.tls.key.clone();
        let files = self.references().into_iter().filter_map(|(_, source)| match source {
            SecretSource::Reference(SecretReference::File(path)) => Some(path.into()),
            _ => None,
        });
        files.chain(tls_key).collect()
    }

    /// Whether the configuration file holds secrets in plain text.
    fn holds_plain_secrets(&self) -> bool {
        self.config.secrets().iter().any(|secret| match secret.source() {
            // A URL without a password is no secret.
            SecretSource::Plain(text) => secret::mask_url(text) != *text,
            SecretSource::Reference(_) => false,
        })
    }

    fn add_secrets(&self, archive: &mut Archive) -> io::Result<()> {
        let mut values = BTreeMap::new();
        for (key, source) in self.references() {
            match secret::reveal(&key, &source) {
                Ok(value) => {
                    values.insert(key, value.expose_secret().to_owned());
                }
                Err(error) => archive.facts.left_out.push(error.to_string()),
            }
        }
        archive.facts.secrets = true;
        let text = serde_yaml::to_string(&values).map_err(io::Error::other)?;
        archive.text("secrets.yaml", text.as_bytes())
    }
}

fn canonical(paths: &[PathBuf]) -> Vec<PathBuf> {
    paths.iter().filter_map(|path| path.canonicalize().ok()).collect()
}

struct Archive {
    tar: tar::Builder<PartWriter>,
    facts: ConfigurationFacts,
    /// Files that belong into no backup: keys that would open it.
    never: Vec<PathBuf>,
    /// Files that belong only into an encrypted one.
    secret_files: Vec<PathBuf>,
}

impl Archive {
    fn text(&mut self, name: &str, text: &[u8]) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(Timestamp::now().as_second()).unwrap_or(0));
        self.facts.files += 1;
        self.tar.append_data(&mut header, name, text)
    }

    fn file(&mut self, path: &Path, name: &Path) -> Result<(), BackupError> {
        let failed = |error: io::Error| BackupError::io("read", path, &error);
        if let Some(why) = self.excuse(path) {
            self.facts.left_out.push(format!("{}: {why}", path.display()));
            return Ok(());
        }
        let file = File::open(path).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        let mut header = tar::Header::new_gnu();
        header.set_metadata(&meta);
        let mut content = OfSize { inner: file, left: meta.len(), was_cut: false };
        self.tar.append_data(&mut header, name, &mut content).map_err(failed)?;
        self.facts.files += 1;
        if content.was_cut {
            let note = format!("{}: became shorter while it was read; its end", path.display());
            self.facts.left_out.push(note);
        }
        Ok(())
    }

    /// Why a file is left out, if it is.
    fn excuse(&self, path: &Path) -> Option<&'static str> {
        let real = path.canonicalize().ok()?;
        if self.never.contains(&real) {
            return Some("a secret key that opens backups belongs somewhere else");
        }
        self.secret_files
            .contains(&real)
            .then_some("holds a secret, and backup.encrypt_to is not set")
    }

    /// A file, or a directory with all that is in it.
    fn tree(&mut self, root: &Path) -> Result<(), BackupError> {
        // What is named by a link is what the link leads to.
        let real = root.canonicalize().map_err(|error| BackupError::io("read", root, &error))?;
        for entry in walkdir::WalkDir::new(&real).sort_by_file_name() {
            let entry = entry
                .map_err(|error| BackupError::failed(format!("backup.config_paths: {error}")))?;
            let path = entry.path();
            let below = path.strip_prefix(&real).unwrap_or(path);
            let absolute =
                std::path::absolute(root).map_err(|error| BackupError::io("read", root, &error))?;
            let absolute =
                if below.as_os_str().is_empty() { absolute } else { absolute.join(below) };
            let name: PathBuf = Path::new("files")
                .components()
                .chain(absolute.components().filter(|c| matches!(c, Component::Normal(_))))
                .collect();
            let kind = entry.file_type();
            let failed = |error: io::Error| BackupError::io("read", path, &error);
            if kind.is_file() {
                self.file(path, &name)?;
            } else if kind.is_symlink() {
                self.link(path, &name).map_err(failed)?;
                if path.canonicalize().is_ok_and(|target| !target.starts_with(&real)) {
                    let note = "a link to something outside; what it leads to";
                    self.facts.left_out.push(format!("{}: {note}", path.display()));
                }
            } else if kind.is_dir() {
                self.tar.append_dir(&name, path).map_err(failed)?;
            } else {
                self.facts.left_out.push(format!("{}: neither file nor link", path.display()));
            }
        }
        Ok(())
    }

    fn link(&mut self, path: &Path, name: &Path) -> io::Result<()> {
        let target = fs::read_link(path)?;
        let mut header = tar::Header::new_gnu();
        header.set_metadata(&fs::symlink_metadata(path)?);
        header.set_size(0);
        self.facts.files += 1;
        self.tar.append_link(&mut header, name, target)
    }
}

/// Exactly as many bytes of a file as the archive has been told, whatever others do to the file
/// meanwhile; zeros for what is gone, as tar does.
struct OfSize {
    inner: File,
    left: u64,
    was_cut: bool,
}

impl Read for OfSize {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let mut read = self.inner.read(&mut buffer[..most])?;
        if read == 0 && most > 0 {
            self.was_cut = true;
            buffer[..most].fill(0);
            read = most;
        }
        self.left -= read as u64;
        Ok(read)
    }
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.facts.fmt(f)
    }
}
