//! What the archives of WAL hold, here and off-site, and whether it is enough for a recovery.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

use super::{
    super::{
        Backups,
        error::BackupError,
        manifest::{BaseFacts, Kind},
        offsite::{ONLY_LOCAL, Patience},
        repository::Repository,
    },
    WalArchive,
    name::WalName,
    timeline::Lineage,
};

/// Names of the archived files, and when each was archived: no earlier than what is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    archived: BTreeMap<WalName, SystemTime>,
}

/// How far the archived WAL leads without a break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// When the last segment before the break, or before the end, was archived; none when there is
    /// no segment.
    pub until: Option<SystemTime>,
    /// A segment that is missing, although later ones are there.
    pub missing: Option<WalName>,
}

impl Reach {
    /// The missing segment, when a recovery to this moment needs it.
    #[must_use]
    pub fn missing_for(&self, moment: SystemTime) -> Option<&WalName> {
        self.missing.as_ref().filter(|_| self.until.is_none_or(|until| until < moment))
    }
}

impl Survey {
    /// Adds an archived file. It counts from when it was archived first.
    pub(in crate::ops::backup) fn add(&mut self, name: WalName, at: SystemTime) {
        let known = self.archived.entry(name).or_insert(at);
        *known = at.min(*known);
    }

    /// The newest timeline that PostgreSQL finds from this one on: it asks for one history after
    /// the other until it meets one that is not there.
    #[must_use]
    pub fn newest_timeline(&self, from: u32) -> u32 {
        let histories: BTreeSet<u32> =
            self.archived.keys().filter_map(WalName::history_of).collect();
        (from..u32::MAX).find(|timeline| !histories.contains(&(timeline + 1))).unwrap_or(from)
    }

    /// Whether the history of a timeline is there.
    #[must_use]
    pub fn has_history(&self, timeline: u32) -> bool {
        self.archived.contains_key(&WalName::history(timeline))
    }

    /// How far the WAL leads from this base backup along a way.
    #[must_use]
    pub fn reach(&self, base: &BaseFacts, lineage: &Lineage) -> Reach {
        let size = base.segment_bytes;
        let mut expected = first_needed(base).unwrap_or(0);
        let mut until = None;
        for stretch in lineage.stretches(size) {
            let first = stretch.first.max(expected);
            let last = stretch.end.map_or(u64::MAX, |end| end.saturating_sub(1));
            for (name, at) in self.segments(stretch.timeline) {
                let Some(number) = name.number(size).filter(|n| (first..=last).contains(n)) else {
                    continue;
                };
                if number != expected {
                    return Reach { until, missing: Some(lineage.name(expected, size)) };
                }
                expected += 1;
                until = Some(*at);
            }
        }
        Reach { until, missing: None }
    }

    /// The whole segments of a timeline in their order.
    fn segments(&self, timeline: u32) -> impl Iterator<Item = (&WalName, &SystemTime)> {
        self.archived
            .range(WalName::segment(timeline, 0, 1 << 32)..)
            .take_while(move |(name, _)| name.timeline() == Some(timeline))
            .filter(|(name, _)| name.is_segment())
    }
}

/// The first segment that must come from the archive: a base backup holds those that it needs
/// itself, when it is known where it ends.
fn first_needed(base: &BaseFacts) -> Option<u64> {
    match base.end {
        Some(end) => Some(end.0.saturating_sub(1) / base.segment_bytes + 1),
        None => base.start_wal.parse::<WalName>().ok()?.number(base.segment_bytes),
    }
}

impl WalArchive {
    fn survey(&self, survey: &mut Survey) -> Result<(), BackupError> {
        self.each(|name, path| {
            let at = path.metadata().and_then(|found| found.modified());
            survey.add(name, at.map_err(|error| BackupError::io("read", &path, &error))?);
            Ok(())
        })
    }
}

impl Backups {
    /// Looks at what is archived, here and off-site.
    ///
    /// # Errors
    /// When there is no archive here, and none off-site that can be looked at.
    pub async fn survey_wal(&self) -> Result<Survey, BackupError> {
        let mut survey = Survey::default();
        let archive = self.wal();
        let here = archive.require();
        if here.is_ok() {
            archive.survey(&mut survey)?;
        }
        let Some(place) = self.place(Patience::Question)? else { return here.map(|()| survey) };
        match place.survey_wal(&mut survey).await {
            Err(error) if here.is_ok() => tracing::warn!("{ONLY_LOCAL}: {error}"),
            looked => looked?,
        }
        if survey.archived.is_empty() { here.map(|()| survey) } else { Ok(survey) }
    }
}

/// What a gap means and what to do, in one line.
#[must_use]
pub fn describe_gap(base: &str, missing: &WalName) -> String {
    format!(
        "the archive here lacks the segment {missing}, although later ones are there: unless it is \
         off-site, recovery with the newest base backup {base} breaks off before it; make a new one \
         (`figw backup base`)"
    )
}

impl Repository {
    /// The newest base backup, and the first segment after it that the archive here lacks although
    /// later ones are in it. No answer when there is no base backup, or none with an archive.
    ///
    /// # Errors
    /// When backups or archive cannot be read.
    pub fn gap_in_wal(&self) -> Result<Option<(String, Option<WalName>)>, BackupError> {
        let Some((stored, manifest)) = self.newest(|one| one.kind == Kind::Base)? else {
            return Ok(None);
        };
        let archive = WalArchive::beside(self.directory());
        let (Some(base), true) = (&manifest.base, archive.directory().is_dir()) else {
            return Ok(None);
        };
        let mut survey = Survey::default();
        archive.survey(&mut survey)?;
        // Where another timeline left this one, this one ends, and no gap is to be seen.
        let own = base.start_wal.parse::<WalName>()?.timeline().unwrap_or(1);
        let reach = survey.reach(base, &Lineage::of_its_own(own));
        Ok(Some((stored.id, reach.missing)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ops::backup::wal::Lsn;

    /// Files that were archived at 1, 2, 3 … seconds.
    fn survey(names: &[&str]) -> Survey {
        let mut survey = Survey::default();
        for (second, name) in (1..).zip(names) {
            survey.add(name.parse().unwrap(), at(second));
        }
        survey
    }

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    fn base(start_wal: &str, end: Option<&str>) -> BaseFacts {
        BaseFacts {
            identity: "postgres://h/db".to_owned(),
            major: 15,
            system_identifier: "7".to_owned(),
            start_wal: start_wal.to_owned(),
            end: end.map(|end| end.parse::<Lsn>().unwrap()),
            segment_bytes: 16 << 20,
            bytes: 1,
        }
    }

    #[test]
    fn a_segment_that_is_missing_between_others_is_found_and_the_end_is_none() {
        let base = base("000000010000000000000002", Some("0/2000100"));
        let first = Lineage::of_its_own(1);
        let whole = ["000000010000000000000003", "000000010000000000000004"];
        let reach = survey(&whole).reach(&base, &first);
        assert_eq!(reach, Reach { until: Some(at(2)), missing: None });

        let broken = ["000000010000000000000003", "000000010000000000000005"];
        let reach = survey(&broken).reach(&base, &first);
        assert_eq!(reach.until, Some(at(1)));
        assert_eq!(reach.missing_for(at(2)).unwrap().as_str(), "000000010000000000000004");
        assert_eq!(reach.missing_for(at(1)), None, "it is not needed as early as that");

        let reach = survey(&broken[1..]).reach(&base, &first);
        assert_eq!(reach.missing_for(at(0)).unwrap().as_str(), "000000010000000000000003");
        assert_eq!(survey(&[]).reach(&base, &first), Reach { until: None, missing: None });
    }

    #[test]
    fn what_a_base_backup_needs_itself_is_in_it_when_its_end_is_known() {
        let archived = survey(&["000000010000000000000004"]);
        let first = Lineage::of_its_own(1);
        let unknown = archived.reach(&base("000000010000000000000002", None), &first);
        assert_eq!(unknown.missing.unwrap().as_str(), "000000010000000000000002");
        for end in ["0/3000100", "0/4000000"] {
            let known = archived.reach(&base("000000010000000000000002", Some(end)), &first);
            assert_eq!(known.missing, None, "{end}");
        }
    }

    #[test]
    fn the_names_go_on_after_the_last_one_of_four_gib() {
        let archived = survey(&[
            "0000000100000000000000FE",
            "0000000100000000000000FF",
            "000000010000000100000000",
            "000000010000000100000002",
        ]);
        let reach =
            archived.reach(&base("0000000100000000000000FE", None), &Lineage::of_its_own(1));
        assert_eq!(reach.missing.unwrap().as_str(), "000000010000000100000001");
    }

    #[test]
    fn the_way_changes_over_to_the_timeline_that_left() {
        let lineage = Lineage::parse(2, "1\t0/4000100\tx\n").unwrap();
        let base = base("000000010000000000000002", Some("0/2000100"));
        let mut names = vec![
            "000000010000000000000003",
            // What the old server still archived leads nowhere.
            "000000010000000000000004",
            "000000010000000000000005",
            "000000010000000000000009",
            "00000002.history",
            "000000020000000000000004",
            "000000020000000000000004.partial",
            "000000020000000000000005",
        ];
        let reach = survey(&names).reach(&base, &lineage);
        assert_eq!(reach, Reach { until: Some(at(8)), missing: None });
        names[5] = "000000030000000000000004";
        let reach = survey(&names).reach(&base, &lineage);
        assert_eq!(reach.missing.unwrap().as_str(), "000000020000000000000004");
    }

    #[test]
    fn the_newest_timeline_is_the_last_without_a_hole() {
        let archived = survey(&["00000002.history", "00000003.history", "00000005.history"]);
        assert_eq!(archived.newest_timeline(1), 3);
        assert_eq!(archived.newest_timeline(3), 3);
        assert_eq!(archived.newest_timeline(4), 5);
        assert!(archived.has_history(5) && !archived.has_history(4));
    }
}
