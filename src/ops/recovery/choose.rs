//! Which base backup a recovery begins with, and along which timeline it goes.

use std::{collections::BTreeMap, fs};

use tempfile::TempDir;

use super::Order;
use crate::ops::backup::{
    BackupError, Backups,
    manifest::{BaseFacts, Kind, Manifest},
    offsite::ONLY_LOCAL,
    repository::Stored,
    wal::{self, Lineage, Lsn, Survey, WalName},
};

/// A base backup, and the way from it through the log.
pub(super) struct Choice {
    pub(super) stored: Stored,
    pub(super) manifest: Manifest,
    pub(super) base: BaseFacts,
    pub(super) lineage: Lineage,
}

/// Finds the way that PostgreSQL takes from a base backup.
struct Ways<'a> {
    backups: &'a Backups,
    order: &'a Order,
    survey: &'a Survey,
    /// Those that were read before, by the timeline that they lead to.
    read: BTreeMap<u32, Lineage>,
    /// Where histories are fetched to.
    scratch: TempDir,
}

impl Backups {
    /// A base backup can be recovered to any moment from its own end on, along every timeline that
    /// comes by there. One that is off-site alone is brought here.
    pub(super) async fn choose(
        &self,
        order: &Order,
        survey: &Survey,
    ) -> Result<Choice, BackupError> {
        let mut ways = Ways::new(self, order, survey)?;
        if order.id != "latest" {
            return self.choose_named(&mut ways).await;
        }
        let bases = self.bases(order).await?;
        let mut apart = None;
        for manifest in bases.iter().rev().filter(|manifest| manifest.moment <= order.to_time) {
            let Some(base) = manifest.base.clone() else { continue };
            match ways.from(manifest, &base).await? {
                Ok(lineage) => {
                    let stored = match self.repository().find(&manifest.id) {
                        Ok(stored) if stored.state.is_ok() => stored,
                        _ => self.bring(&manifest.id).await?,
                    };
                    return Ok(Choice { stored, manifest: manifest.clone(), base, lineage });
                }
                Err(why) => drop(apart.get_or_insert(why)),
            }
        }
        Err(apart.map_or_else(|| self.none_that_old(order, &bases), BackupError::failed))
    }

    async fn choose_named(&self, ways: &mut Ways<'_>) -> Result<Choice, BackupError> {
        let order = ways.order;
        let stored = self.find_anywhere(&order.id).await?;
        let manifest = stored.state.clone().map_err(|why| {
            BackupError::Damaged(format!("backup {} is broken: {why}", stored.id))
        })?;
        let Some(base) = manifest.base.clone() else {
            return Err(BackupError::Invalid(format!(
                "backup {} is of kind {}, but --to-time needs one of kind base; `figw backup list` \
                 shows what there is",
                stored.id, manifest.kind
            )));
        };
        if manifest.moment > order.to_time {
            return Err(BackupError::failed(format!(
                "backup {} ended at {}, after {}; name an earlier one, or `latest` for the newest \
                 that fits",
                stored.id, manifest.moment, order.to_time
            )));
        }
        let lineage = ways.from(&manifest, &base).await?.map_err(BackupError::failed)?;
        Ok(Choice { stored, manifest, base, lineage })
    }

    /// Every good base backup, here or off-site, oldest first. A store that is away takes nothing
    /// from those that are here.
    async fn bases(&self, order: &Order) -> Result<Vec<Manifest>, BackupError> {
        let here = self.repository().list()?;
        let here = here.iter().filter_map(Stored::manifest).cloned();
        let mut bases: Vec<Manifest> = here.filter(|one| one.kind == Kind::Base).collect();
        let is_any = bases.iter().any(|manifest| manifest.moment <= order.to_time);
        match self.offsite_manifests().await {
            Ok(there) => bases.extend(there.into_iter().filter(|one| one.kind == Kind::Base)),
            Err(error) if !is_any || matches!(error, BackupError::Invalid(_)) => return Err(error),
            Err(error) => tracing::warn!("{ONLY_LOCAL}: {error}"),
        }
        bases.sort_by(|a, b| (a.moment, &a.id).cmp(&(b.moment, &b.id)));
        bases.dedup_by(|a, b| a.id == b.id);
        Ok(bases)
    }

    fn none_that_old(&self, order: &Order, bases: &[Manifest]) -> BackupError {
        match bases.first().map(|manifest| manifest.moment) {
            Some(oldest) => BackupError::failed(format!(
                "no good base backup had ended by {}; the oldest one allows --to-time {oldest} and \
                 later",
                order.to_time
            )),
            None => BackupError::failed(format!(
                "there is no good base backup in {}; `figw backup base` makes one, and `figw \
                 restore latest` without --to-time restores a dump",
                self.repository().directory().display()
            )),
        }
    }
}

impl<'a> Ways<'a> {
    fn new(
        backups: &'a Backups,
        order: &'a Order,
        survey: &'a Survey,
    ) -> Result<Self, BackupError> {
        let scratch = tempfile::Builder::new().prefix(".figw-histories-").tempdir();
        let scratch = scratch.map_err(|e| BackupError::io("write", &std::env::temp_dir(), &e))?;
        Ok(Self { backups, order, survey, read: BTreeMap::new(), scratch })
    }

    /// The way from this base backup, or why there is none.
    async fn from(
        &mut self,
        manifest: &Manifest,
        base: &BaseFacts,
    ) -> Result<Result<Lineage, String>, BackupError> {
        let id = &manifest.id;
        let start: WalName = base.start_wal.parse()?;
        let Some((own, begun)) = start.timeline().zip(start.address(base.segment_bytes)) else {
            return Err(BackupError::Damaged(format!(
                "backup {id} does not tell its first WAL segment"
            )));
        };
        let wanted = self.order.timeline.unwrap_or_else(|| self.survey.newest_timeline(own));
        let lineage = self.to(wanted, own).await?;
        if lineage.comes_by(own, base.end.unwrap_or(Lsn(begun))) {
            return Ok(Ok(lineage));
        }
        let why = match lineage.left_at(own) {
            Some(at) => format!("after timeline {wanted} had left that at {at}"),
            None => format!("which timeline {wanted} does not come from"),
        };
        Ok(Err(format!(
            "backup {id} was made on timeline {own}, {why}; name an earlier base backup, or recover \
             along its own timeline with --timeline {own}"
        )))
    }

    /// The way to this timeline, for a base backup of the timeline `own`.
    async fn to(&mut self, timeline: u32, own: u32) -> Result<Lineage, BackupError> {
        if let Some(known) = self.read.get(&timeline) {
            return Ok(known.clone());
        }
        if !self.survey.has_history(timeline) {
            if timeline == 1 || timeline == own {
                return Ok(Lineage::of_its_own(timeline));
            }
            return Err(BackupError::failed(format!(
                "the archive holds no history of timeline {timeline}; give --timeline one that has \
                 been, or leave it out for the newest"
            )));
        }
        let name = WalName::history(timeline);
        let to = self.scratch.path().join(name.as_str());
        let backup = &self.backups.config().backup;
        if !wal::fetch(backup, &name, &to, &self.order.identities).await? {
            return Err(BackupError::failed(format!("{name} has just gone from the archive")));
        }
        let text = fs::read_to_string(&to).map_err(|e| BackupError::io("read", &to, &e))?;
        let lineage = Lineage::parse(timeline, &text)
            .map_err(|why| BackupError::Damaged(format!("{name} in the archive: {why}")))?;
        self.read.insert(timeline, lineage.clone());
        Ok(lineage)
    }
}
