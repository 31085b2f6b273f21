use serde_yaml::Value;

use super::*;

fn plan(scheduler: Scheduler) -> Plan {
    Plan {
        scheduler,
        display_name: None,
        allowed_functions: Vec::new(),
        queue: None,
        account: None,
        qos: None,
        select_options: None,
        cpus_per_node: None,
        gpus_per_node: None,
        scheduler_options: Vec::new(),
        nodes_per_block: 1,
        min_blocks: 0,
        init_blocks: 0,
        max_blocks: 1,
        walltime: Duration::from_hours(1),
        idle_timeout: Duration::from_mins(10),
        workers_per_node: 64,
        interface: None,
        worker_init: String::new(),
    }
}

fn read(plan: &Plan) -> Value {
    serde_yaml::from_str(&plan.render().unwrap()).unwrap()
}

#[test]
fn a_plan_for_pbs_reads_back_as_it_was_meant() {
    let function = Uuid::from_u128(7);
    let config = read(&Plan {
        display_name: Some("Sophia: \"models\" # 1".to_owned()),
        allowed_functions: vec![function],
        queue: Some("by-gpu".to_owned()),
        account: Some("argonne_tpc".to_owned()),
        select_options: Some("ngpus=8".to_owned()),
        cpus_per_node: Some(64),
        scheduler_options: vec!["-l filesystems=home:eagle".to_owned(), "-j oe".to_owned()],
        max_blocks: 3,
        init_blocks: 1,
        walltime: Duration::from_hours(100),
        interface: Some("bond0".to_owned()),
        worker_init: "module load conda\nexport X='a: b'\n".to_owned(),
        ..plan(Scheduler::Pbs)
    });
    assert_eq!(config["display_name"], "Sophia: \"models\" # 1");
    assert_eq!(config["allowed_functions"][0], function.to_string());
    let engine = &config["engine"];
    assert_eq!(engine["type"], "GlobusComputeEngine");
    assert_eq!(engine["address"]["ifname"], "bond0");
    assert_eq!(engine["job_status_kwargs"]["max_idletime"], 600.0);
    let provider = &engine["provider"];
    assert_eq!(provider["type"], "PBSProProvider");
    assert_eq!(provider["queue"], "by-gpu");
    assert_eq!(provider["select_options"], "ngpus=8");
    assert_eq!(provider["scheduler_options"], "#PBS -l filesystems=home:eagle\n#PBS -j oe");
    assert_eq!(provider["walltime"], "100:00:00");
    assert_eq!(provider["worker_init"], "module load conda\nexport X='a: b'");
    assert_eq!((&provider["min_blocks"], &provider["max_blocks"]), (&0.into(), &3.into()));
}

#[test]
fn nothing_is_a_number_for_readers_of_yaml_1_1() {
    let text = Plan { walltime: Duration::from_hours(24), ..plan(Scheduler::Pbs) }.render();
    assert!(text.unwrap().contains("\n    walltime: '24:00:00'\n"));
    for account in ["1:30", "1_000", "on", "No"] {
        let bad = Plan { account: Some(account.to_owned()), ..plan(Scheduler::Pbs) };
        assert!(bad.render().unwrap_err().contains("not read as a number"), "{account}");
    }
    let bad = Plan { display_name: Some("12:30:45".to_owned()), ..plan(Scheduler::Pbs) };
    assert!(bad.render().unwrap_err().contains("not read as a number"));
}

#[test]
fn slurm_has_partitions_and_local_has_neither_account_nor_walltime() {
    let slurm = read(&Plan {
        queue: Some("gpu".to_owned()),
        qos: Some("high".to_owned()),
        gpus_per_node: Some(4),
        scheduler_options: vec!["--mem=0".to_owned()],
        ..plan(Scheduler::Slurm)
    });
    let provider = &slurm["engine"]["provider"];
    assert_eq!(provider["type"], "SlurmProvider");
    assert_eq!((&provider["partition"], &provider["queue"]), (&"gpu".into(), &Value::Null));
    assert_eq!(provider["scheduler_options"], "#SBATCH --mem=0");
    let local = read(&plan(Scheduler::Local));
    let provider = local["engine"]["provider"].as_mapping().unwrap();
    assert_eq!(provider["type"], "LocalProvider");
    assert!(!provider.contains_key("walltime") && !provider.contains_key("account"));
}

#[test]
fn what_would_break_out_of_a_job_script_is_refused() {
    let text = |text: &str| Some(text.to_owned());
    let pbs = plan(Scheduler::Pbs);
    for (bad, expected) in [
        (Plan { queue: text("a\nrm -rf /"), ..pbs.clone() }, "the queue or partition is `a\\n"),
        (Plan { account: text("a b"), ..pbs.clone() }, "the account is `a b`"),
        (Plan { select_options: text("x=$(id)"), ..pbs.clone() }, "the select options is"),
        (
            Plan { scheduler_options: vec!["-l x\nid".to_owned()], ..pbs.clone() },
            "scheduler option `-l x\\nid` is not one line",
        ),
        (Plan { scheduler_options: vec!["id".to_owned()], ..pbs.clone() }, "begins with `-`"),
        (Plan { worker_init: "a\0b".to_owned(), ..pbs.clone() }, "control characters"),
        (Plan { qos: text("high"), ..pbs.clone() }, "a quality of service is for Slurm"),
        (Plan { account: text("a"), ..plan(Scheduler::Local) }, "an account is for PBS"),
        (Plan { init_blocks: 2, ..pbs.clone() }, "they are 0, 2, 1"),
        (Plan { max_blocks: 0, ..pbs.clone() }, "max at least 1"),
        (Plan { nodes_per_block: 0, ..pbs.clone() }, "nodes per block must be at least 1"),
        (Plan { walltime: Duration::ZERO, ..pbs }, "the walltime must be at least a second"),
    ] {
        let error = bad.render().unwrap_err();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}
