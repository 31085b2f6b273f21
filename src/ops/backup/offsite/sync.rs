//! Bringing the store up to date: uploading what is missing there, then retention.

use jiff::Timestamp;
use object_store::{ObjectStoreExt, path::Path};
use secrecy::ExposeSecret;
use serde::Serialize;

use super::{
    super::{
        Backups,
        error::BackupError,
        manifest::{MANIFEST, Manifest, SUMS, sha256},
        repository::{BROKEN, Repository, Stored},
        retention::Verdict,
        wal::Need,
    },
    fetch::{Remote, no_place},
    place::{Patience, Place},
    plan::{Plan, plan},
    transfer::Expected,
};

/// What a run has done off-site, or would do.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Synced {
    /// Backups that were uploaded, oldest first.
    pub uploaded: Vec<String>,
    /// Bytes that were uploaded for them.
    pub bytes: u64,
    /// Copies that were removed, oldest first.
    pub removed: Vec<String>,
    /// Files of archived WAL that were uploaded.
    pub wal_uploaded: usize,
    /// Files of archived WAL that were removed.
    pub wal_removed: usize,
    /// What the policy says about each backup, oldest first.
    #[serde(skip)]
    pub verdicts: Vec<Verdict>,
}

impl Backups {
    /// Where off-site copies go; none when `backup.offsite_url` is not set.
    ///
    /// # Errors
    /// [`BackupError::Invalid`] when it makes no sense.
    pub fn place(&self, patience: Patience) -> Result<Option<Place>, BackupError> {
        let Some(url) = &self.config().backup.offsite_url else { return Ok(None) };
        let backups = self.repository().directory();
        let place = Place::open(url.reveal()?.expose_secret(), patience)?.known_in(backups)?;
        if place.is_within(backups) {
            return Err(BackupError::Invalid(
                "backup.offsite_url is backup.directory itself; name another place".to_owned(),
            ));
        }
        Ok(Some(place))
    }

    /// Uploads what is missing off-site, and applies retention there. A dry run only tells.
    /// `new_place` means that copies are to go there although it is not the place that was used
    /// before.
    ///
    /// # Errors
    /// When there is no such place, it is another one than before, another run holds the lock, or
    /// the store fails.
    pub async fn sync(&self, dry_run: bool, new_place: bool) -> Result<Synced, BackupError> {
        let mut place = self.place(Patience::Transfer)?.ok_or_else(no_place)?;
        if new_place {
            place.begin_anew();
        }
        if dry_run {
            return self.sync_locked(&place, true).await;
        }
        let repository = Repository::create(self.repository().directory())?;
        let _lock = repository.lock(self.lock_wait()).await?;
        self.sync_locked(&place, false).await
    }

    /// After a good backup: its copy, when there is a place for one. The exclusive lock must be
    /// held. A failure is part of the answer, for the backup itself is good.
    pub(in crate::ops) async fn copy_offsite(
        &self,
        place: Option<&Place>,
        stored: &Stored,
    ) -> Result<Option<Synced>, BackupError> {
        let Some(place) = place else { return Ok(None) };
        self.sync_locked(place, false).await.map(Some).map_err(|error| {
            BackupError::failed(format!(
                "backup {} is good in {}, but its off-site copy is not: {error}; the next run goes \
                 on where this one stopped",
                stored.id,
                self.repository().directory().display()
            ))
        })
    }

    /// As [`Backups::sync`]; the exclusive lock must be held, unless it is a dry run.
    ///
    /// # Errors
    /// As [`Backups::sync`].
    pub(in crate::ops) async fn sync_locked(
        &self,
        place: &Place,
        dry_run: bool,
    ) -> Result<Synced, BackupError> {
        self.meter.begin("looking at the off-site copies", 0);
        if !dry_run {
            place.enter(self.repository().directory()).await?;
            place.take_back().await?;
        }
        let local = self.repository().list()?;
        let remote = place.list().await?;
        let keep = &self.config().backup;
        let keep = &keep.offsite_keep;
        let Plan { upload, remove, verdicts } = plan(&local, &remote, keep, Timestamp::now());
        let mut synced = Synced { verdicts, ..Synced::default() };
        for stored in local.iter().filter(|stored| upload.contains(&stored.id)) {
            let there = remote.iter().find(|remote| remote.id == stored.id);
            synced.bytes += self.upload_backup(place, stored, there, dry_run).await?;
            synced.uploaded.push(stored.id.clone());
        }
        for id in &remove {
            if !dry_run {
                let there = remote.iter().find(|remote| remote.id == *id);
                place.remove_backup(id, there).await?;
            }
            synced.removed.push(id.clone());
        }
        let new = local.iter().filter(|one| upload.contains(&one.id)).map(Need::from);
        let is_seen = |id: &String| upload.contains(id) || remove.contains(id);
        let old = remote.iter().filter(|one| !is_seen(&one.id)).map(Need::from);
        let staying: Vec<_> = new.chain(old).collect();
        let wal = self.sync_wal(place, staying, dry_run).await?;
        (synced.wal_uploaded, synced.wal_removed) = (wal.uploaded, wal.removed);
        Ok(synced)
    }

    /// Uploads a backup's files, the checksums last; those that are there whole stay as they are.
    /// Returns the bytes that had to be uploaded.
    async fn upload_backup(
        &self,
        place: &Place,
        stored: &Stored,
        there: Option<&Remote>,
        dry_run: bool,
    ) -> Result<u64, BackupError> {
        let Some(manifest) = stored.manifest() else { return Ok(0) };
        if !dry_run {
            place.sweep(&stored.id);
        }
        let mut uploaded = 0;
        for (name, expected) in files(stored, manifest)? {
            let size = there.and_then(|there| there.sizes.get(&name));
            let is_there = size == Some(&expected.bytes);
            let key = place.key(&stored.id, &name);
            if dry_run {
                uploaded += if is_there { 0 } else { expected.bytes };
            } else if !is_there || !place.holds(&key, &expected, &self.meter).await? {
                let from = stored.directory.join(&name);
                let done = place.upload(&from, &key, &expected, &self.meter).await;
                if let Err(BackupError::Damaged(why)) = &done {
                    self.repository().mark_broken(&stored.id, why)?;
                }
                done?;
                uploaded += expected.bytes;
            }
        }
        if !dry_run && there.is_some_and(|there| there.sizes.contains_key(BROKEN)) {
            place.remove_objects(vec![place.key(&stored.id, BROKEN)]).await?;
        }
        Ok(uploaded)
    }
}

/// The files of a good backup in the order of their upload.
fn files(stored: &Stored, manifest: &Manifest) -> Result<Vec<(String, Expected)>, BackupError> {
    let mut files = Vec::new();
    for part in &manifest.parts {
        let expected = Expected { bytes: part.bytes, sha256: Some(part.sha256.clone()) };
        files.push((part.name.clone(), expected));
    }
    for name in [MANIFEST, SUMS] {
        let path = stored.directory.join(name);
        let text = std::fs::read(&path).map_err(|error| BackupError::io("read", &path, &error))?;
        let expected = Expected { bytes: text.len() as u64, sha256: Some(sha256(&text)) };
        files.push((name.to_owned(), expected));
    }
    Ok(files)
}

impl Place {
    /// Removes what a killed upload of this backup has left in a directory. For a store of objects
    /// there is [`Place::take_back`].
    fn sweep(&self, id: &str) {
        let Some(directory) = &self.directory else { return };
        let entries = std::fs::read_dir(directory.join(id)).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name();
            // `object_store` writes `NAME#1` and renames it.
            let end = name.to_str().and_then(|name| name.rsplit_once('#')).map(|(_, end)| end);
            if end.is_some_and(|end| end.bytes().all(|byte| byte.is_ascii_digit())) {
                // What cannot be removed is in nobody's way.
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    /// Removes a copy: the checksums first, so that what an interruption leaves is not whole.
    async fn remove_backup(&self, id: &str, there: Option<&Remote>) -> Result<(), BackupError> {
        match self.store.delete(&self.key(id, SUMS)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(self.failed(&format!("remove {id} from"), &error)),
        }
        let names = there.into_iter().flat_map(|there| there.sizes.keys());
        let rest: Vec<Path> =
            names.filter(|name| *name != SUMS).map(|name| self.key(id, name)).collect();
        self.remove_objects(rest).await?;
        if let Some(directory) = &self.directory {
            // With it goes what interrupted uploads have left under hidden names.
            let directory = directory.join(id);
            match std::fs::remove_dir_all(&directory) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(BackupError::io("remove", &directory, &error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
