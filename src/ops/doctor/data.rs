//! Where data lies: who else can change or read it, and whether its copies lie elsewhere.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use secrecy::ExposeSecret;
use url::Url;

use super::{Finding, Subject};
use crate::{
    config::{Config, SecretError},
    ops::{database, health},
    store::Location,
};

/// How long the file systems may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What others must not do with a database's file, which holds keys and texts.
const ANYTHING: u32 = 0o007;

/// What others must not do with a directory: whoever may write there can replace what it holds. figw's
/// own files in it are closed to them.
const WRITING: u32 = 0o002;

/// Others can neither change data nor read the database.
pub(super) async fn permissions(subject: &Subject) -> Finding {
    let places = places(subject.config());
    let looked = health::within(PATIENCE, move || {
        let complaints = places.iter().filter_map(|(path, bits)| complaint(path, *bits));
        complaints.collect::<Vec<_>>()
    });
    let Some(mut complaints) = looked.await else {
        return Finding::fail(
            "a file system that figw writes to does not answer",
            "look at its mount",
        );
    };
    complaints.sort();
    complaints.dedup();
    Finding::unless(
        &complaints,
        "run `chmod o-w DIRECTORY` on a directory, and `chmod o= FILE` on a database's file",
        "only figw's user and group can change its database file, backups and log",
    )
}

/// What figw writes to, with the bits that must not be set; `server.state_dir` has a check of its own.
fn places(config: &Config) -> Vec<(PathBuf, u32)> {
    let mut places = vec![(config.backup.directory.clone(), WRITING)];
    let location = database::options(config).map(|options| options.location());
    if let Ok(Ok(Location::Sqlite(path))) = location {
        places.push((directory_of(&path), WRITING));
        for end in ["", "-wal", "-shm"] {
            let mut file = path.clone().into_os_string();
            file.push(end);
            places.push((file.into(), ANYTHING));
        }
    }
    if let Ok(Some(directory)) = offsite_directory(config) {
        places.push((directory, WRITING));
    }
    if let Some(file) = config.logging.own_file() {
        places.push((directory_of(file), WRITING));
    }
    places
}

fn directory_of(file: &Path) -> PathBuf {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new(".")).to_owned()
}

/// Says what is wrong with a file or directory of which these bits must not be set.
fn complaint(path: &Path, forbidden: u32) -> Option<String> {
    // What is not there yet is made with the right mode.
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    let may = match mode & forbidden {
        0 => return None,
        set if set & 0o002 != 0 => "write",
        _ => "read",
    };
    Some(format!("{} has mode {mode:04o}: anybody may {may} there", path.display()))
}

/// The directory of a `file://` URL for off-site copies.
fn offsite_directory(config: &Config) -> Result<Option<PathBuf>, SecretError> {
    let Some(url) = &config.backup.offsite_url else { return Ok(None) };
    let url = Url::parse(url.reveal()?.expose_secret()).ok();
    Ok(url.filter(|url| url.scheme() == "file").and_then(|url| url.to_file_path().ok()))
}

/// A backup outlasts this machine.
pub(super) async fn offsite(subject: &Subject) -> Finding {
    let backup = &subject.config().backup;
    if backup.offsite_url.is_none() {
        return Finding::warn(
            "backups are on this machine alone",
            "set backup.offsite_url to s3://bucket/prefix or a file:// path on another machine's disk",
        );
    }
    let copies = match offsite_directory(subject.config()) {
        Ok(Some(directory)) => directory,
        Ok(None) => return Finding::pass("backups have copies elsewhere"),
        Err(error) => return Finding::fail(error.to_string(), "make the secret readable for figw"),
    };
    let (own, shown) = (backup.directory.clone(), copies.display().to_string());
    let looked = health::within(PATIENCE, move || (file_system(&own), file_system(&copies)));
    match looked.await {
        None => Finding::fail(
            format!("the file system of {shown} or of backup.directory does not answer"),
            "look at its mount",
        ),
        Some((own, copies)) if own == copies => Finding::warn(
            format!("{shown} is on the same file system as backup.directory: both go together"),
            "mount another machine's disk there, or set backup.offsite_url to s3://bucket/prefix",
        ),
        Some(_) => Finding::pass(format!("backups have copies on another file system, in {shown}")),
    }
}

/// The file system of a directory, or of the nearest one above it that is there.
fn file_system(path: &Path) -> Option<u64> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let found = absolute.ancestors().find_map(|path| fs::metadata(path).ok())?;
    Some(found.dev())
}

#[cfg(test)]
mod tests {
    use super::super::{Outcome, subject::tests::subject};
    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[tokio::test]
    async fn nobody_else_changes_what_figw_keeps() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for name in ["data", "backups", "copies", "logs"] {
            fs::create_dir(at(name)).unwrap();
            set_mode(&at(name), 0o755);
        }
        for name in ["data/figw.db", "data/figw.db-wal"] {
            fs::write(at(name), "").unwrap();
            set_mode(&at(name), 0o640);
        }
        let place = directory.path().display();
        let subject = subject(&format!(
            "database: {{url: 'sqlite:{place}/data/figw.db'}}\n\
             backup: {{directory: {place}/backups, offsite_url: 'file://{place}/copies'}}\n\
             logging: {{file: {place}/logs/figw.log}}\n"
        ))
        .await;
        assert_eq!(permissions(&subject).await.outcome, Outcome::Pass);
        for (name, mode, word) in [
            ("data/figw.db", 0o644, "data/figw.db has mode 0644: anybody may read there"),
            ("data/figw.db-wal", 0o606, "data/figw.db-wal has mode 0606: anybody may write there"),
            ("data", 0o777, "data has mode 0777"),
            ("backups", 0o757, "backups has mode 0757: anybody may write there"),
            ("copies", 0o777, "copies has mode 0777"),
            ("logs", 0o777, "logs has mode 0777"),
        ] {
            let before = fs::metadata(at(name)).unwrap().permissions();
            set_mode(&at(name), mode);
            let found = permissions(&subject).await;
            assert_eq!(found.outcome, Outcome::Fail, "{name}");
            assert!(found.evidence.contains(word), "{found:?}");
            fs::set_permissions(at(name), before).unwrap();
        }
    }

    #[tokio::test]
    async fn a_copy_beside_its_original_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().display();
        for (url, outcome) in [
            (format!("file://{place}/backups/copies"), Outcome::Warn),
            (format!("file://{place}/not/mounted"), Outcome::Warn),
            ("file:///proc/elsewhere".to_owned(), Outcome::Pass),
            ("s3://bucket/prefix".to_owned(), Outcome::Pass),
        ] {
            let yaml = format!("backup: {{directory: {place}/backups, offsite_url: '{url}'}}");
            let found = offsite(&subject(&yaml).await).await;
            assert_eq!(found.outcome, outcome, "{url}: {found:?}");
        }
    }
}
