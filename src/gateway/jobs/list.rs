//! A cluster's jobs: read from what its source tells, shown as far as a caller may see them.
//!
//! Names and shapes are FIRST's (`schemas/clusters.py` and `compute-functions/qstat_register_function.py`
//! of `auroraGPT-ANL/inference-gateway`).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    backends::metis::Manifest,
    catalog::{Served, Snapshot},
    domain::Caller,
};

/// Groups of jobs, as they are answered; the qstat function writes dashes for underscores.
const GROUPS: [&str; 6] =
    ["running", "queued", "stopped", "others", "private_batch_running", "private_batch_queued"];

const RUNNING: usize = 0;
const QUEUED: usize = 1;
const STOPPED: usize = 2;

const MODELS: &str = "Models";
const FRAMEWORK: &str = "Framework";
const CLUSTER: &str = "Cluster";
const MODEL_STATUS: &str = "Model Status";

/// One job: the models it serves, where, and whatever else its source tells.
type Job = Map<String, Value>;

/// All jobs of a cluster, whoever may see them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Jobs {
    groups: [Vec<Job>; GROUPS.len()],
    cluster_status: Map<String, Value>,
}

impl Jobs {
    /// Reads what a qstat function or a cluster's status address tells; what makes no sense in it is
    /// left out. `None` when it is no JSON object at all.
    pub(super) fn read(document: Value) -> Option<Self> {
        let Value::Object(mut document) = document else { return None };
        let groups = GROUPS.map(|name| {
            let written = document
                .shift_remove(name)
                .or_else(|| document.shift_remove(name.replace('_', "-").as_str()));
            let Some(Value::Array(jobs)) = written else { return Vec::new() };
            jobs.into_iter()
                .filter_map(|job| if let Value::Object(job) = job { Some(job) } else { None })
                .collect()
        });
        let cluster_status = match document.shift_remove("cluster_status") {
            Some(Value::Object(status)) => status,
            _ => Map::new(),
        };
        Some(Self { groups, cluster_status })
    }

    /// What a Metis manifest tells, without its addresses and ids.
    pub(super) fn of_manifest(manifest: &Manifest, cluster: &str, framework: &str) -> Self {
        let mut jobs = Self::default();
        for listed in &manifest.models {
            let names = std::iter::once(&listed.model).chain(&listed.experts);
            let mut models: Vec<&str> = Vec::new();
            for name in names.map(String::as_str).filter(|name| !name.is_empty()) {
                if !models.contains(&name) {
                    models.push(name);
                }
            }
            let mut job = job(&models.join(","), framework, cluster);
            let status =
                if listed.is_live() { "running".to_owned() } else { listed.status.to_lowercase() };
            let description = format!("{} - {}", listed.model, listed.description);
            job.insert(MODEL_STATUS.to_owned(), status.into());
            job.insert("Description".to_owned(), description.into());
            let version = Some(&listed.model_version).filter(|v| v.is_string() || v.is_number());
            job.insert("Model Version".to_owned(), version.cloned().unwrap_or_else(|| "".into()));
            let group = match listed.status.as_str() {
                _ if listed.is_live() => RUNNING,
                "Stopped" => STOPPED,
                _ => QUEUED,
            };
            jobs.groups[group].push(job);
        }
        let status = json!({
            "cluster": cluster,
            "total_models": manifest.models.len(),
            "live_models": jobs.groups[RUNNING].len(),
            "stopped_models": jobs.groups[STOPPED].len(),
        });
        if let Value::Object(status) = status {
            jobs.cluster_status = status;
        }
        jobs
    }

    /// Every endpoint as a job of its own, running.
    pub(super) fn all_running<'a>(endpoints: impl Iterator<Item = &'a Served>) -> Self {
        let running = endpoints.map(|served| {
            let mut job = own_job(served);
            job.insert(MODEL_STATUS.to_owned(), "running".into());
            job
        });
        let mut jobs = Self::default();
        jobs.groups[RUNNING] = running.collect();
        jobs
    }

    /// Every endpoint as a job of its own, stopped.
    pub(super) fn all_stopped<'a>(endpoints: impl Iterator<Item = &'a Served>) -> Self {
        let mut jobs = Self::default();
        jobs.groups[STOPPED] = endpoints.map(own_job).collect();
        jobs
    }

    /// The endpoints that running jobs say they serve: the number of the job, cluster, framework and
    /// first model.
    pub(super) fn said_to_run(&self) -> impl Iterator<Item = (usize, [&str; 3])> {
        self.groups[RUNNING].iter().enumerate().filter_map(|(index, job)| {
            let runs = text(job, MODEL_STATUS)? == "running";
            let model = models(job).next()?;
            runs.then_some((index, [text(job, CLUSTER)?, text(job, FRAMEWORK)?, model]))
        })
    }

    /// Notes that the job of this number has lost its nodes.
    pub(super) fn disconnect(&mut self, index: usize) {
        if let Some(job) = self.groups[RUNNING].get_mut(index) {
            job.insert(MODEL_STATUS.to_owned(), "disconnected".into());
        }
    }

    /// The jobs as `caller` may see them: no model that is not open to them, and no job without one
    /// that is.
    pub(super) fn shown_to(&self, caller: &Caller, snapshot: &Snapshot) -> Value {
        let mut shown = Map::new();
        for (name, jobs) in GROUPS.iter().zip(&self.groups) {
            let jobs: Vec<Value> =
                jobs.iter().filter_map(|job| visible(job, caller, snapshot)).collect();
            shown.insert((*name).to_owned(), jobs.into());
        }
        shown.insert("cluster_status".to_owned(), self.cluster_status.clone().into());
        shown.into()
    }
}

fn job(models: &str, framework: &str, cluster: &str) -> Job {
    [(MODELS, models), (FRAMEWORK, framework), (CLUSTER, cluster)]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.into()))
        .collect()
}

fn own_job(served: &Served) -> Job {
    let endpoint = &served.endpoint;
    job(&endpoint.model, &endpoint.framework, &endpoint.cluster)
}

fn text<'a>(job: &'a Job, key: &str) -> Option<&'a str> {
    job.get(key)?.as_str()
}

fn models(job: &Job) -> impl Iterator<Item = &str> {
    let models = text(job, MODELS).unwrap_or_default();
    models.split(',').map(str::trim).filter(|model| !model.is_empty())
}

fn visible(job: &Job, caller: &Caller, snapshot: &Snapshot) -> Option<Value> {
    let (cluster, framework) = (text(job, CLUSTER)?, text(job, FRAMEWORK)?);
    let open: Vec<&str> = models(job)
        .filter(|model| {
            snapshot.endpoint(cluster, framework, model).is_some_and(|served| {
                served.endpoint.enabled && caller.may_ask_for(model) && served.permits(caller)
            })
        })
        .collect();
    if open.is_empty() {
        return None;
    }
    let mut shown = job.clone();
    shown.insert(MODELS.to_owned(), open.join(",").into());
    Some(shown.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::CatalogData;

    fn snapshot() -> Snapshot {
        let endpoint = |model: &str, groups: Value| {
            let echo = json!({
                "cluster": "sophia", "framework": "vllm", "model": model, "adapter": "echo",
                "access": { "groups": groups },
            });
            serde_json::from_value(echo).unwrap()
        };
        let cluster = json!({
            "name": "sophia", "adapter": "globus-compute", "frameworks": ["vllm"], "routes": [],
        });
        let data = CatalogData {
            clusters: vec![serde_json::from_value(cluster).unwrap()],
            endpoints: vec![
                endpoint("open", json!([])),
                endpoint("other", json!([])),
                endpoint("closed", json!(["insiders"])),
            ],
            ..CatalogData::default()
        };
        Snapshot::build(data, &|_| Err("no secrets here".to_owned()))
    }

    fn caller(groups: &[&str], models: &[&str]) -> Caller {
        let owned = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect();
        Caller {
            user: "ada@anl.gov".into(),
            name: "Ada".into(),
            groups: owned(groups),
            models: owned(models),
            key_id: None,
            login: None,
        }
    }

    fn qstat() -> Value {
        json!({
            "running": [
                { "Models": "open, closed", "Framework": "vllm", "Cluster": "sophia",
                  "Model Status": "running", "Job ID": "1.pbs" },
                { "Models": "closed", "Framework": "vllm", "Cluster": "sophia",
                  "Model Status": "starting", "Job ID": "2.pbs" },
                { "Models": "N/A", "Framework": "N/A", "Cluster": "N/A" },
                "nonsense",
            ],
            "queued": null,
            "private-batch-running": [
                { "Models": "other", "Framework": "vllm", "Cluster": "sophia", "Batch ID": "7" },
            ],
            "cluster_status": { "free_nodes": 3 },
        })
    }

    #[test]
    fn callers_see_the_jobs_of_models_that_are_open_to_them() {
        let (jobs, snapshot) = (Jobs::read(qstat()).unwrap(), snapshot());
        let seen = jobs.shown_to(&caller(&[], &[]), &snapshot);
        assert_eq!(
            seen,
            json!({
                "running": [{
                    "Models": "open", "Framework": "vllm", "Cluster": "sophia",
                    "Model Status": "running", "Job ID": "1.pbs",
                }],
                "queued": [], "stopped": [], "others": [],
                "private_batch_running": [{
                    "Models": "other", "Framework": "vllm", "Cluster": "sophia", "Batch ID": "7",
                }],
                "private_batch_queued": [],
                "cluster_status": { "free_nodes": 3 },
            })
        );
        let insider = jobs.shown_to(&caller(&["insiders"], &[]), &snapshot);
        assert_eq!(insider["running"][0]["Models"], "open,closed");
        assert_eq!(insider["running"].as_array().unwrap().len(), 2);
        let confined = jobs.shown_to(&caller(&["insiders"], &["other"]), &snapshot);
        assert_eq!(confined["running"], json!([]));
        assert_eq!(confined["private_batch_running"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn a_running_job_without_nodes_is_disconnected_and_a_starting_one_still_starts() {
        let mut jobs = Jobs::read(qstat()).unwrap();
        let said: Vec<_> = jobs.said_to_run().map(|(index, place)| (index, place[2])).collect();
        assert_eq!(said, [(0, "open")]);
        jobs.disconnect(0);
        let seen = jobs.shown_to(&caller(&["insiders"], &[]), &snapshot());
        let status = |index: usize| seen["running"][index]["Model Status"].clone();
        assert_eq!((status(0), status(1)), ("disconnected".into(), "starting".into()));
    }

    #[test]
    fn what_is_no_object_is_no_list_of_jobs() {
        assert_eq!(Jobs::read(json!("qstat: command not found")), None);
        assert_eq!(Jobs::read(json!({ "running": 3 })), Some(Jobs::default()));
    }
}
