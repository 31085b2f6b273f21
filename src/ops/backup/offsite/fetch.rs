//! What is off-site, and bringing it back.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use object_store::{ObjectStoreExt, path::Path};

use super::{
    super::{
        Backups,
        error::BackupError,
        manifest::{MANIFEST, Manifest, SUMS},
        repository::{BROKEN, Repository, Stored, is_id, write_synced},
    },
    place::{Patience, Place},
    transfer::Expected,
};

/// Backups that are looked at beside each other.
const AT_A_TIME: usize = 8;
/// No manifest is longer; a longer object is something else.
const LONGEST_TEXT: u64 = 16 << 20;
/// Before the reason why the store was not asked.
pub const ONLY_LOCAL: &str = "off-site copies are left out";

/// What is known of an off-site copy at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoteState {
    /// Everything is there, as far as sizes tell.
    Whole(Box<Manifest>),
    /// The checksums, which are uploaded last and removed first, are not there.
    Unfinished,
    /// Something is wrong with it.
    Broken(String),
}

/// A copy of a backup in the store.
#[derive(Debug, Clone)]
pub struct Remote {
    /// Its name.
    pub id: String,
    /// Whether it is whole.
    pub state: RemoteState,
    /// Bytes of each object.
    pub(super) sizes: BTreeMap<String, u64>,
}

impl Remote {
    /// What it says about itself, when it is whole.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        match &self.state {
            RemoteState::Whole(manifest) => Some(manifest),
            _ => None,
        }
    }

    /// Why it is not whole.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match &self.state {
            RemoteState::Whole(_) => None,
            RemoteState::Unfinished => Some("its upload has not finished"),
            RemoteState::Broken(why) => Some(why),
        }
    }
}

impl Place {
    /// Every copy, oldest first.
    ///
    /// # Errors
    /// When the store cannot be asked, or is not the one that was used before.
    pub async fn list(&self) -> Result<Vec<Remote>, BackupError> {
        self.recognise().await?;
        if self.directory.as_ref().is_some_and(|directory| !directory.exists()) {
            return Ok(Vec::new());
        }
        let listed = self.store.list_with_delimiter(Some(&self.prefix)).await;
        let listed = listed.map_err(|error| self.failed("list", &error))?;
        let ids = listed.common_prefixes.iter().filter_map(|path| path.filename());
        let ids: Vec<String> = ids.filter(|id| is_id(id)).map(str::to_owned).collect();
        let mut all: Vec<Remote> = stream::iter(ids.into_iter().map(|id| self.look_at(id)))
            .buffer_unordered(AT_A_TIME)
            .try_collect()
            .await?;
        // One without objects is a directory that a removal has left.
        all.retain(|remote| !remote.sizes.is_empty() || self.directory.is_some());
        all.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(all)
    }

    async fn look_at(&self, id: String) -> Result<Remote, BackupError> {
        let prefix = self.prefix.clone().join(id.as_str());
        let objects: Vec<_> = self
            .store
            .list(Some(&prefix))
            .try_collect()
            .await
            .map_err(|error| self.failed("list", &error))?;
        let sizes: BTreeMap<_, _> = objects
            .iter()
            .filter_map(|object| Some((object.location.filename()?.to_owned(), object.size)))
            .collect();
        let state = self.state(&id, &sizes).await?;
        Ok(Remote { id, state, sizes })
    }

    async fn state(
        &self,
        id: &str,
        sizes: &BTreeMap<String, u64>,
    ) -> Result<RemoteState, BackupError> {
        if !sizes.contains_key(SUMS) {
            return Ok(RemoteState::Unfinished);
        }
        if sizes.contains_key(BROKEN) {
            let why = self.text(&self.key(id, BROKEN)).await?.unwrap_or_default();
            return Ok(RemoteState::Broken(String::from_utf8_lossy(&why).trim_end().to_owned()));
        }
        Ok(match self.manifest(id).await? {
            Err(why) => RemoteState::Broken(why),
            Ok((manifest, ..)) => match wrong_size(&manifest, sizes) {
                Some(why) => RemoteState::Broken(why),
                None => RemoteState::Whole(Box::new(manifest)),
            },
        })
    }

    /// The manifest with the bytes of its file and of the checksums, or why it is no good.
    async fn manifest(
        &self,
        id: &str,
    ) -> Result<Result<(Manifest, Vec<u8>, Vec<u8>), String>, BackupError> {
        let (manifest, sums) = (self.key(id, MANIFEST), self.key(id, SUMS));
        let (text, sums) = tokio::try_join!(self.text(&manifest), self.text(&sums))?;
        let Some(text) = text else { return Ok(Err(format!("{MANIFEST} is missing"))) };
        let Some(sums) = sums else { return Ok(Err(format!("{SUMS} is missing"))) };
        Ok(Manifest::read(id, &text, &sums).map(|manifest| (manifest, text, sums)))
    }

    /// A small object; none when it is not there.
    pub(super) async fn text(&self, key: &Path) -> Result<Option<Vec<u8>>, BackupError> {
        let failed = |error: &object_store::Error| self.failed("read from", error);
        match self.store.get(key).await {
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(&error)),
            Ok(found) if found.meta.size > LONGEST_TEXT => Ok(Some(Vec::new())),
            Ok(found) => Ok(Some(found.bytes().await.map_err(|error| failed(&error))?.into())),
        }
    }

    /// Notes that a copy is broken, for every later command to see. A reader may not be allowed to.
    pub(super) async fn mark_broken(&self, id: &str, why: &str) {
        let note = why.as_bytes().to_vec();
        if let Err(error) = self.store.put(&self.key(id, BROKEN), note.into()).await {
            tracing::warn!("{}", self.failed("note a broken copy in", &error));
        }
    }
}

fn wrong_size(manifest: &Manifest, sizes: &BTreeMap<String, u64>) -> Option<String> {
    manifest.parts.iter().find_map(|part| match sizes.get(&part.name) {
        None => Some(format!("{} is missing", part.name)),
        Some(bytes) if *bytes == part.bytes => None,
        Some(bytes) => {
            Some(format!("{} is {bytes} bytes long instead of {}", part.name, part.bytes))
        }
    })
}

impl Backups {
    /// The local backup of this name. What is off-site alone is brought here first. No lock may be
    /// held.
    ///
    /// # Errors
    /// When there is none, it cannot be brought, or another run holds the lock.
    pub async fn find_anywhere(&self, name: &str) -> Result<Stored, BackupError> {
        match self.repository().find(name) {
            Ok(stored) if stored.state.is_ok() => Ok(stored),
            local if !is_id(name) => local,
            local => self.bring_instead(name, local).await,
        }
    }

    /// Brings the newest whole copy that `wanted` takes, if it is newer than the given moment and
    /// name. A store that is away takes nothing from the backups that are here.
    pub(in crate::ops) async fn bring_newer(
        &self,
        than: Option<(Timestamp, String)>,
        wanted: impl Fn(&Manifest) -> bool,
    ) -> Result<Option<Stored>, BackupError> {
        match self.newest_offsite(wanted).await {
            Ok(Some(newest)) if than.as_ref().is_none_or(|than| newest > *than) => {
                self.bring(&newest.1).await.map(Some)
            }
            Ok(_) => Ok(None),
            Err(error @ BackupError::Invalid(_)) => Err(error),
            Err(error) if than.is_none() => Err(error),
            Err(error) => {
                tracing::warn!("{ONLY_LOCAL}: {error}");
                Ok(None)
            }
        }
    }

    /// Moment and name of the newest whole copy that `wanted` takes.
    async fn newest_offsite(
        &self,
        wanted: impl Fn(&Manifest) -> bool,
    ) -> Result<Option<(Timestamp, String)>, BackupError> {
        let all = self.offsite_manifests().await?.into_iter();
        let wanted = all.filter(|manifest| wanted(manifest));
        Ok(wanted.map(|manifest| (manifest.moment, manifest.id)).max())
    }

    /// What the whole copies say about themselves; none when there is no place for copies.
    pub(in crate::ops) async fn offsite_manifests(&self) -> Result<Vec<Manifest>, BackupError> {
        let Some(place) = self.place(Patience::Question)? else { return Ok(Vec::new()) };
        let all = place.list().await?;
        Ok(all.iter().filter_map(Remote::manifest).cloned().collect())
    }

    /// Brings a copy of what is not here or broken, or else answers with what is known here.
    pub(in crate::ops) async fn bring_instead(
        &self,
        id: &str,
        local: Result<Stored, BackupError>,
    ) -> Result<Stored, BackupError> {
        let Some(place) = self.place(Patience::Question)? else { return local };
        let looked = async {
            place.recognise().await?;
            place.look_at(id.to_owned()).await
        };
        let remote = match looked.await {
            Ok(remote) => remote,
            Err(error) if local.is_ok() => {
                tracing::warn!("{ONLY_LOCAL}: {error}");
                return local;
            }
            Err(error) => return Err(error),
        };
        match (remote.reason(), local) {
            (None, _) => self.bring(id).await,
            (Some(_), local) if remote.sizes.is_empty() || local.is_ok() => local,
            (Some(why), _) => Err(BackupError::Damaged(format!(
                "the copy of {id} in {place} is not whole: {why}, and there is no other"
            ))),
        }
    }

    /// Downloads a whole copy into the local directory, where everything else can then be done
    /// with it. A broken local backup of this name gives way to it. No lock may be held.
    ///
    /// # Errors
    /// When the copy is not whole, the store or the disk fails, or another run holds the lock.
    pub async fn bring(&self, id: &str) -> Result<Stored, BackupError> {
        let repository = Repository::create(self.repository().directory())?;
        let _lock = repository.lock(self.lock_wait()).await?;
        repository.sweep()?;
        self.bring_locked(id).await
    }

    /// As [`Backups::bring`]; the exclusive lock must be held.
    ///
    /// # Errors
    /// As [`Backups::bring`].
    pub(in crate::ops) async fn bring_locked(&self, id: &str) -> Result<Stored, BackupError> {
        let place = self.place(Patience::Transfer)?.ok_or_else(no_place)?;
        let (manifest, text, sums) = place.manifest(id).await?.map_err(|why| {
            BackupError::Damaged(format!("the copy of {id} in {place} is broken: {why}"))
        })?;
        let draft = self.repository().begin_as(id)?;
        for part in &manifest.parts {
            let to = draft.directory().join(&part.name);
            let expected = Expected { bytes: part.bytes, sha256: Some(part.sha256.clone()) };
            let key = place.key(id, &part.name);
            let done = place.download(&key, &to, &expected, &self.meter).await;
            if let Err(BackupError::Damaged(why)) = &done {
                place.mark_broken(id, why).await;
            }
            done?;
        }
        write_synced(&draft.directory().join(MANIFEST), &text)?;
        write_synced(&draft.directory().join(SUMS), &sums)?;
        if self.repository().directory().join(id).exists() {
            self.repository().remove(id)?;
        }
        draft.adopt(&manifest)
    }
}

/// What to say when there is no place for off-site copies.
pub(super) fn no_place() -> BackupError {
    BackupError::Invalid(
        "backup.offsite_url is not set: there is no place for off-site copies".to_owned(),
    )
}
