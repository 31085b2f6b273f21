//! The archive of WAL off-site: what is missing there is uploaded, and what no base backup there
//! needs is removed.

use std::{
    collections::BTreeMap,
    path::{Path as FilePath, PathBuf},
};

use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::{Path, PathPart};
use walkdir::WalkDir;

use super::{
    super::{
        Backups, blocking,
        error::BackupError,
        meter::Meter,
        wal::{Archived, Need, Survey, WalName, needed_from},
    },
    fetch::Remote,
    place::Place,
    transfer::Expected,
};

/// The archive's directory, here and there.
const WAL: &str = "wal";

/// What was done for the archive of WAL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct WalDone {
    pub(super) uploaded: usize,
    pub(super) removed: usize,
}

/// What the object or file of this name in the archive is called by PostgreSQL; none when it is
/// something else, such as the note of the cluster.
fn name_of(file: &str) -> Option<WalName> {
    Archived::parse(FilePath::new(WAL), file).map(|(name, _)| name)
}

/// Whether no recovery that begins with the segment `needed_from` asks for the file.
fn is_too_old(file: &str, needed_from: Option<&WalName>) -> bool {
    needed_from.is_some_and(|first| name_of(file).is_some_and(|name| name.is_before(first)))
}

impl From<&Remote> for Need {
    fn from(remote: &Remote) -> Self {
        remote.manifest().map_or(Self::Unknown, |manifest| Self::of(manifest, true))
    }
}

/// A file of the local archive.
struct Segment {
    path: PathBuf,
    /// Its path in the archive.
    name: Vec<String>,
    bytes: u64,
}

impl Segment {
    fn key(&self, place: &Place) -> Path {
        let archive = place.prefix.clone().join(WAL);
        self.name.iter().fold(archive, |path, part| path.join(PathPart::from(part.as_str())))
    }
}

/// What is archived here; names that begin with a dot are not archived yet.
fn local_segments(archive: &FilePath) -> Vec<Segment> {
    let is_hidden = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(b".");
    let walk = WalkDir::new(archive).min_depth(1).sort_by_file_name().into_iter();
    let walk = walk.filter_entry(|entry| !is_hidden(entry.file_name()));
    // What retention removes meanwhile need not be uploaded.
    let files = walk.filter_map(Result::ok).filter(|entry| entry.file_type().is_file());
    files
        .filter_map(|entry| {
            let relative = entry.path().strip_prefix(archive).ok()?;
            let name = relative.iter().map(|part| part.to_str().map(str::to_owned));
            Some(Segment {
                name: name.collect::<Option<_>>()?,
                bytes: entry.metadata().ok()?.len(),
                path: entry.into_path(),
            })
        })
        .collect()
}

impl Backups {
    /// Uploads archived WAL that is missing there, and removes what none of the copies needs.
    pub(super) async fn sync_wal(
        &self,
        place: &Place,
        staying: impl IntoIterator<Item = Need>,
        dry_run: bool,
    ) -> Result<WalDone, BackupError> {
        let archive = self.repository().directory().join(WAL);
        let local = blocking(move || Ok(local_segments(&archive))).await?;
        let remote = place.list_wal().await?;
        let needed_from = needed_from(staying);
        let needed_from = needed_from.as_ref();
        let mut done = WalDone::default();
        for segment in &local {
            let key = segment.key(place);
            let is_there = remote.get(&key) == Some(&segment.bytes);
            let name = segment.name.last().map(String::as_str).unwrap_or_default();
            if is_there || is_too_old(name, needed_from) {
                continue;
            }
            done.uploaded += 1;
            if !dry_run {
                let expected = Expected { bytes: segment.bytes, sha256: None };
                place.upload(&segment.path, &key, &expected, &self.meter).await?;
            }
        }
        let old: Vec<Path> = remote
            .into_keys()
            .filter(|key| key.filename().is_some_and(|name| is_too_old(name, needed_from)))
            .collect();
        done.removed = old.len();
        if !dry_run {
            place.remove_objects(old).await?;
        }
        Ok(done)
    }
}

impl Place {
    /// Brings the archived file of this name into a directory, sealed as it is. None when it is not
    /// there. A place that is all there is, for `is_only`, must be one that WAL went to.
    pub(in crate::ops::backup) async fn bring_wal(
        &self,
        name: &WalName,
        to: &FilePath,
        is_only: bool,
    ) -> Result<Option<Archived>, BackupError> {
        let prefix = self.prefix.clone().join(WAL).join(name.directory());
        let mut listed = self.store.list(Some(&prefix));
        while let Some(object) = listed.next().await {
            let object = object.map_err(|error| self.failed("list", &error))?;
            let file = object.location.filename().unwrap_or_default();
            if let Some((of, archived)) = Archived::parse(to, file)
                && of == *name
            {
                let expected = Expected { bytes: object.size, sha256: None };
                let meter = Meter::default();
                self.download(&object.location, &archived.path, &expected, &meter).await?;
                return Ok(Some(archived));
            }
        }
        self.check_that_it_lacks(is_only).await.map(|()| None)
    }

    /// A disk that is not mounted must not be taken for one that lacks a file: PostgreSQL would
    /// end its recovery there.
    async fn check_that_it_lacks(&self, is_only: bool) -> Result<(), BackupError> {
        if self.recognise().await?.is_some() || !is_only {
            return Ok(());
        }
        // Those of earlier releases have no marker.
        let prefix = self.prefix.clone().join(WAL);
        match self.store.list(Some(&prefix)).try_next().await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(BackupError::failed(format!(
                "there is no archived WAL in {self}, and none here; is its disk mounted?"
            ))),
            Err(error) => Err(self.failed("list", &error)),
        }
    }

    /// Adds what is archived there.
    pub(in crate::ops::backup) async fn survey_wal(
        &self,
        survey: &mut Survey,
    ) -> Result<(), BackupError> {
        self.recognise().await?;
        let prefix = self.prefix.clone().join(WAL);
        let mut listed = self.store.list(Some(&prefix));
        while let Some(object) = listed.next().await {
            let object = object.map_err(|error| self.failed("list", &error))?;
            if let Some(name) = object.location.filename().and_then(name_of) {
                survey.add(name, object.last_modified.into());
            }
        }
        Ok(())
    }

    async fn list_wal(&self) -> Result<BTreeMap<Path, u64>, BackupError> {
        let prefix = self.prefix.clone().join(WAL);
        let listed = self.store.list(Some(&prefix)).map_ok(|object| (object.location, object.size));
        listed.try_collect().await.map_err(|error| self.failed("list", &error))
    }

    /// Removes objects. One that is gone already is fine.
    pub(super) async fn remove_objects(&self, keys: Vec<Path>) -> Result<(), BackupError> {
        let mut removing = self.store.delete_stream(stream::iter(keys).map(Ok).boxed());
        while let Some(removed) = removing.next().await {
            match removed {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(self.failed("remove objects from", &error)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_segments_before_the_first_needed_one_are_too_old() {
        let first = "000000020000000000000009".parse().ok();
        for (name, too_old) in [
            ("000000010000000000000008", true),
            ("000000010000000000000009", false),
            ("000000030000000000000008.partial", true),
            ("000000010000000000000008.00000028.backup", true),
            ("00000002.history", false),
        ] {
            let file = format!("{name}-{}.zst", "a".repeat(64));
            assert_eq!(is_too_old(&file, first.as_ref()), too_old, "{name}");
            assert!(!is_too_old(&file, None), "{name}");
        }
        assert!(!is_too_old("system-identifier", first.as_ref()));
    }
}
