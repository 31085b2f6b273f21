//! Which backup is the newest one to recover with: `latest`.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::{
    BackupError, Backups,
    manifest::Manifest,
    repository::{Repository, Stored},
};

/// How far the clocks of two machines may be apart.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

impl Repository {
    /// The newest good backup that `wanted` takes.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn newest(
        &self,
        wanted: impl Fn(&Manifest) -> bool,
    ) -> Result<Option<(Stored, Manifest)>, BackupError> {
        let wanted = self.list()?.into_iter().filter_map(|stored| {
            let manifest = stored.manifest().filter(|manifest| wanted(manifest)).cloned()?;
            Some((stored, manifest))
        });
        // A time that lies ahead is a clock's mistake, and must not outdo every later backup.
        let latest = Timestamp::now() + CLOCK_TOLERANCE;
        let wanted = wanted.filter(|(_, manifest)| manifest.moment <= latest);
        // The names alone do not order two backups of one second.
        Ok(wanted.max_by_key(|(_, manifest)| manifest.moment))
    }

    /// The databases that can be recovered from here.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn databases(&self) -> Result<BTreeSet<String>, BackupError> {
        Ok(databases(self.list()?.iter().filter_map(Stored::manifest)))
    }
}

impl Backups {
    /// The name of the newest good backup with a database that was not made only to keep what a
    /// restore gave up; what is only off-site is brought here. No lock may be held.
    ///
    /// # Errors
    /// When there is none, it cannot be brought, or it cannot be told of which database it should be.
    pub async fn locate_latest(&self) -> Result<String, BackupError> {
        let own = self.options.migration_location()?.describe();
        let mut there = self.repository.databases()?;
        if there.is_empty() {
            there = databases(self.offsite_manifests().await?.iter());
        }
        let Some(database) = meant(there, own)? else {
            return Err(self.none_for_recovery()?);
        };
        let wanted = |manifest: &Manifest| manifest.is_for_recovery_of(&database);
        let here = self.repository.newest(wanted)?;
        let here = here.map(|(stored, manifest)| (manifest.moment, stored.id));
        let brought = self.bring_newer(here.clone(), wanted).await?;
        match brought.map(|stored| stored.id).or(here.map(|(_, id)| id)) {
            Some(id) => Ok(id),
            None => Err(self.none_for_recovery()?),
        }
    }

    fn none_for_recovery(&self) -> Result<BackupError, BackupError> {
        if self.repository.list()?.is_empty() {
            return Ok(self.no_backups());
        }
        Ok(BackupError::failed(format!(
            "there is no good backup with a database in {}; `figw backup list` shows what there is",
            self.repository.directory().display()
        )))
    }
}

/// The databases that could be recovered with these.
fn databases<'a>(manifests: impl Iterator<Item = &'a Manifest>) -> BTreeSet<String> {
    manifests
        .filter(|manifest| manifest.is_for_recovery())
        .filter_map(|manifest| Some(manifest.database.as_ref()?.identity.clone()))
        .collect()
}

/// The database whose newest backup is meant: `own`, or the only one that has any, for a disaster
/// may have left the database with another address.
fn meant(there: BTreeSet<String>, own: String) -> Result<Option<String>, BackupError> {
    if there.contains(&own) {
        return Ok(Some(own));
    }
    if there.len() > 1 {
        let there: Vec<_> = there.into_iter().collect();
        return Err(BackupError::failed(format!(
            "the backups are of several databases ({}), none of them {own}; name one by its ID \
             (`figw backup list`)",
            there.join(", ")
        )));
    }
    Ok(there.into_iter().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_comes_before_its_neighbours_and_a_lone_one_may_have_moved() {
        let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let meant = |names: &[&str]| meant(all(names), "sqlite:a".to_owned());
        assert_eq!(meant(&["sqlite:a", "sqlite:b"]).unwrap().unwrap(), "sqlite:a");
        assert_eq!(meant(&["sqlite:b"]).unwrap().unwrap(), "sqlite:b");
        assert_eq!(meant(&[]).unwrap(), None);
        let error = meant(&["sqlite:b", "sqlite:c"]).unwrap_err().to_string();
        assert!(error.contains("sqlite:b, sqlite:c") && error.contains("ID"), "{error}");
    }
}
