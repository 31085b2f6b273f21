//! What is to be uploaded and what removed: a function of what is here and there, the policy and
//! the time, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::{
    super::{
        repository::Stored,
        retention::{Candidate, Standing, Verdict, judge, moment_of},
    },
    fetch::{Remote, RemoteState},
};
use crate::config::Keep;

/// Age from which a copy that is not whole, and not known here, belongs to nobody's upload.
const ABANDONED: SignedDuration = SignedDuration::from_hours(48);

/// What a run has to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Local backups to be uploaded, oldest first.
    pub(super) upload: Vec<String>,
    /// Copies to be removed once everything is uploaded, oldest first.
    pub(super) remove: Vec<String>,
    /// What the policy says about each backup, here or there, oldest first.
    pub(super) verdicts: Vec<Verdict>,
}

/// Makes the plan. A backup that is only here is judged as if it were there already: so the newest
/// good one stays whatever happens, and nothing is uploaded to be removed at once.
pub(super) fn plan(local: &[Stored], remote: &[Remote], keep: &Keep, now: Timestamp) -> Plan {
    let here: BTreeMap<&str, &Stored> =
        local.iter().filter(|one| one.state.is_ok()).map(|one| (one.id.as_str(), one)).collect();
    let there: BTreeMap<&str, &Remote> = remote.iter().map(|one| (one.id.as_str(), one)).collect();
    let ids: BTreeSet<&str> = here.keys().chain(there.keys()).copied().collect();
    let candidates: Vec<Candidate> = ids
        .iter()
        .map(|id| match (there.get(id).and_then(|one| one.manifest()), here.get(id)) {
            (Some(manifest), _) => Candidate::from(manifest),
            (None, Some(stored)) => Candidate::from(*stored),
            (None, None) => broken(id),
        })
        .collect();
    let verdicts = judge(&candidates, keep, now);
    let mut plan = Plan::default();
    for verdict in &verdicts {
        let id = verdict.id.as_str();
        let is_whole = there.get(id).is_some_and(|one| one.manifest().is_some());
        if verdict.keep && here.contains_key(id) && !is_whole {
            plan.upload.push(id.to_owned());
        }
        if let Some(remote) = there.get(id)
            && goes(remote, verdict.keep, here.contains_key(id), now)
        {
            plan.remove.push(id.to_owned());
        }
    }
    plan.verdicts = verdicts;
    plan
}

fn broken(id: &str) -> Candidate {
    Candidate { id: id.to_owned(), series: None, moment: moment_of(id), standing: Standing::Broken }
}

/// Whether a copy is removed. One that is not whole may be what another machine uploads right now.
fn goes(remote: &Remote, keep: bool, is_here: bool, now: Timestamp) -> bool {
    let is_abandoned = now.duration_since(moment_of(&remote.id)) > ABANDONED;
    match remote.state {
        _ if is_here => !keep,
        RemoteState::Whole(_) => !keep,
        RemoteState::Unfinished => is_abandoned,
        RemoteState::Broken(_) => is_abandoned && !keep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::backup::manifest::{FORMAT, Kind, Manifest};

    const NOW: &str = "2026-11-25T12:00:00Z";

    fn manifest(id: &str) -> Manifest {
        let moment = moment_of(id);
        Manifest {
            format: FORMAT,
            id: id.to_owned(),
            kind: Kind::Complete,
            figw: "0".to_owned(),
            started_at: moment,
            moment,
            finished_at: moment,
            database: None,
            configuration: None,
            base: None,
            encrypted_to: Vec::new(),
            before_restore_of: None,
            parts: Vec::new(),
        }
    }

    fn here(id: &str) -> Stored {
        Stored {
            id: id.to_owned(),
            directory: "x".into(),
            state: Ok(manifest(id)),
            is_unreadable: false,
        }
    }

    fn there(id: &str, state: RemoteState) -> Remote {
        Remote { id: id.to_owned(), state, sizes: BTreeMap::new() }
    }

    fn whole(id: &str) -> Remote {
        there(id, RemoteState::Whole(Box::new(manifest(id))))
    }

    fn keep_last(last: u32) -> Keep {
        Keep { last, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 }
    }

    fn planned(local: &[Stored], remote: &[Remote], last: u32) -> (Vec<String>, Vec<String>) {
        let plan = plan(local, remote, &keep_last(last), NOW.parse().unwrap());
        (plan.upload, plan.remove)
    }

    const OLD: &str = "20261101T120000Z-0001";
    const YESTERDAY: &str = "20261124T120000Z-0002";
    const TODAY: &str = "20261125T110000Z-0003";

    #[test]
    fn what_the_policy_keeps_is_uploaded_and_what_it_does_not_keep_is_removed() {
        let local = [here(OLD), here(YESTERDAY), here(TODAY)];
        let (upload, remove) = planned(&local, &[], 2);
        assert_eq!(upload, [YESTERDAY, TODAY]);
        assert!(remove.is_empty());
        let (upload, remove) = planned(&local, &[whole(OLD), whole(YESTERDAY)], 2);
        assert_eq!((upload, remove), (vec![TODAY.to_owned()], vec![OLD.to_owned()]));
        let (upload, remove) = planned(&[], &[whole(OLD), whole(YESTERDAY)], 5);
        assert!(upload.is_empty() && remove.is_empty(), "the local directory is lost");
    }

    #[test]
    fn a_broken_local_backup_is_never_uploaded() {
        let broken = Stored { state: Err("damaged".to_owned()), ..here(TODAY) };
        let (upload, remove) = planned(&[broken], &[whole(YESTERDAY)], 1);
        assert!(upload.is_empty() && remove.is_empty());
    }

    #[test]
    fn half_an_upload_is_finished_when_it_is_ours_and_left_alone_while_it_may_be_anothers() {
        let half = |id| there(id, RemoteState::Unfinished);
        let (upload, remove) = planned(&[here(TODAY)], &[half(TODAY)], 1);
        assert_eq!((upload, remove), (vec![TODAY.to_owned()], vec![]));
        let (upload, remove) = planned(&[here(TODAY)], &[half(YESTERDAY)], 1);
        assert_eq!((upload, remove), (vec![TODAY.to_owned()], vec![]));
        let (_, remove) = planned(&[here(TODAY)], &[half(OLD)], 1);
        assert_eq!(remove, [OLD], "older than two days and not here");
        let (_, remove) = planned(&[here(OLD), here(TODAY)], &[half(OLD)], 2);
        assert!(remove.is_empty(), "here, and still wanted");
        let (_, remove) = planned(&[here(YESTERDAY), here(TODAY)], &[half(YESTERDAY)], 1);
        assert_eq!(remove, [YESTERDAY], "here, and no longer wanted");
    }

    #[test]
    fn a_broken_copy_is_replaced_from_here_or_kept_until_better_ones_are_older() {
        let bad = |id| there(id, RemoteState::Broken("damaged".to_owned()));
        let (upload, remove) = planned(&[here(TODAY)], &[bad(TODAY)], 1);
        assert_eq!((upload, remove), (vec![TODAY.to_owned()], vec![]));
        let (_, remove) = planned(&[], &[bad(OLD)], 1);
        assert!(remove.is_empty(), "there is nothing else");
        let (_, remove) = planned(&[], &[bad(OLD), whole(YESTERDAY)], 1);
        assert_eq!(remove, [OLD]);
    }
}
