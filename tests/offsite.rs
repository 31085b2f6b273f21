//! Off-site copies: uploaded, verified, resumed, kept and brought back, with a real S3 server and
//! with a directory.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]

#[path = "offsite/places.rs"]
mod places;
mod support;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Stdio,
    sync::LazyLock,
    time::{Duration, Instant},
};

use serde_json::Value;
use support::{
    backups::{Estate, Said, flip_a_byte},
    object_store::{Network, ObjectStore},
};

/// One server for all stories; each has its own prefix. It ends with its standard input.
static STORE: LazyLock<ObjectStore> = LazyLock::new(ObjectStore::start);

const MIB: u64 = 1 << 20;
/// What a place is known again by.
const MARKER: &str = "figw-offsite.json";

/// An estate whose copies go here.
fn estate_with(url: &str, more: &str) -> Estate {
    let estate = Estate::sqlite();
    copies_go_to(&estate, url, more);
    estate
}

fn copies_go_to(estate: &Estate, url: &str, more: &str) {
    estate.configure(&format!("  offsite_url: \"{url}\"\n{more}"));
}

/// figw with no settings of AWS but these.
fn figw(estate: &Estate, arguments: &[&str], variables: &[(&str, &str)]) -> Said {
    let mut command = estate.command(arguments);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("AWS_")) {
            command.env_remove(name);
        }
    }
    command.env("NO_PROXY", "*").envs(variables.iter().copied());
    command.output().expect("figw runs").into()
}

fn run(estate: &Estate, arguments: &[&str]) -> Value {
    let said = figw(estate, &[&["--output", "json"][..], arguments].concat(), &[]);
    assert_eq!(said.status, Some(0), "figw {arguments:?}: {said:?}");
    said.json()
}

fn back_up(estate: &Estate) -> String {
    run(estate, &["backup"])["id"].as_str().expect("an id").to_owned()
}

fn fails(estate: &Estate, status: i32, arguments: &[&str]) -> String {
    let mut said = figw(estate, arguments, &[]);
    // The keys stand in the configuration here, and figw says so of each backup of it.
    let lines = said.stderr.lines().filter(|line| !line.starts_with("warning: this backup holds"));
    said.stderr = lines.collect::<Vec<_>>().join("\n");
    said.refused(status)
}

/// Of each backup in the list: where it is, and its state.
fn listed(estate: &Estate) -> BTreeMap<String, (String, String)> {
    let list = run(estate, &["backup", "list"]);
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let one = |backup: &Value| {
        let places: Vec<_> = backup["where"].as_array().expect("places").iter().map(text).collect();
        (text(&backup["id"]), (places.join("+"), text(&backup["state"])))
    };
    list["backups"].as_array().expect("backups").iter().map(one).collect()
}

fn good(place: &str) -> (String, String) {
    (place.to_owned(), "good".to_owned())
}

/// Makes the database larger by incompressible content.
fn add_ballast(estate: &Estate, mib: u64) {
    estate.execute("CREATE TABLE IF NOT EXISTS ballast (content BLOB)");
    for _ in 0..mib {
        estate.execute("INSERT INTO ballast VALUES (randomblob(1048576))");
    }
}

#[test]
fn a_backup_is_copied_listed_in_both_places_and_brought_back_when_the_directory_is_lost() {
    let estate = estate_with(&STORE.url("lost/daily", STORE.address()), "");
    let first = back_up(&estate);
    let second = back_up(&estate);
    assert_eq!(
        listed(&estate),
        BTreeMap::from([
            (first.clone(), good("local+offsite")),
            (second.clone(), good("local+offsite"))
        ])
    );
    let copied = STORE.objects(&format!("lost/daily/{second}"));
    let local: BTreeMap<String, u64> = fs::read_dir(estate.backups().join(&second))
        .unwrap()
        .map(|file| file.unwrap())
        .map(|file| (file.file_name().into_string().unwrap(), file.metadata().unwrap().len()))
        .collect();
    assert_eq!(copied, local, "every file, and no other");

    let hashes = sums_of(&estate.backups().join(&first));
    fs::remove_dir_all(estate.backups()).unwrap();
    assert_eq!(
        listed(&estate),
        BTreeMap::from([(first.clone(), good("offsite")), (second.clone(), good("offsite"))])
    );
    let verified = run(&estate, &["backup", "verify", &first]);
    assert_eq!(verified["backups"][0]["id"], *first);
    assert_eq!(verified["backups"][0]["depth"], "content");
    assert_eq!(sums_of(&estate.backups().join(&first)), hashes, "the same bytes");
    let verified = run(&estate, &["backup", "verify", "latest"]);
    assert_eq!(verified["backups"][0]["id"], *second, "the newest is off-site alone");
    assert_eq!(listed(&estate)[&second], good("local+offsite"));
    let missing = fails(&estate, 1, &["backup", "verify", "20200101T000000Z-0000"]);
    assert!(missing.contains("there is no backup 20200101T000000Z-0000"), "{missing}");
}

fn sums_of(backup: &Path) -> (String, String) {
    let read = |name: &str| fs::read_to_string(backup.join(name)).unwrap();
    (read("SHA256SUMS"), read("manifest.json"))
}

#[test]
fn an_upload_that_was_cut_goes_on_where_it_stopped() {
    let network = Network::before(STORE.address());
    let estate = Estate::sqlite();
    let file = estate.path("large-file");
    fs::write(&file, noise(12 * MIB)).unwrap();
    let more = format!("  compression: none\n  config_paths: [{}]\n", file.display());
    copies_go_to(&estate, &STORE.url("cut", network.address()), &more);
    add_ballast(&estate, 20);

    // The database passes, and the connection breaks in the middle of the configuration.
    network.break_after(26 << 20);
    let message = fails(&estate, 1, &["backup"]);
    let id = estate.listed_locally();
    assert!(
        message.contains(&format!("backup {id} is good in {}", estate.backups().display()))
            && message.contains("its off-site copy is not: cannot ")
            && message.ends_with("the next run goes on where this one stopped"),
        "{message}"
    );
    let there = STORE.objects(&format!("cut/{id}"));
    assert_eq!(there.keys().collect::<Vec<_>>(), ["database.sqlite"], "half an object is none");
    assert!(network.carried() >= 26 << 20);
    assert_eq!(STORE.unfinished("cut/").len(), 1, "nobody could take it back");

    network.heal();
    let said = figw(&estate, &["backup", "list"], &[]);
    assert!(said.stdout.contains("good; off-site: its upload has not finished"), "{said:?}");
    let synced = run(&estate, &["backup", "sync"]);
    assert_eq!(synced["uploaded"], serde_json::json!([id]));
    assert!(STORE.unfinished("cut/").is_empty(), "the next run does");
    let carried = network.carried();
    assert!((12 * MIB..13 * MIB).contains(&carried), "only what was missing: {carried} bytes");
    assert_eq!(listed(&estate)[&id], good("local+offsite"));
    assert_eq!(run(&estate, &["backup", "sync"])["uploaded"], serde_json::json!([]));
    fs::remove_dir_all(estate.backups()).unwrap();
    run(&estate, &["backup", "verify", &id]);
}

/// Bytes that nothing compresses.
fn noise(bytes: u64) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..bytes / 8).flat_map(|_| next()).collect()
}

/// The objects of copies under a prefix, without the place's own marker.
fn copies(prefix: &str) -> BTreeMap<String, u64> {
    let mut objects = STORE.objects(prefix);
    objects.remove(MARKER);
    objects
}

trait Listed {
    /// The one backup that is here, whatever is elsewhere.
    fn listed_locally(&self) -> String;
}

impl Listed for Estate {
    fn listed_locally(&self) -> String {
        let list = run(self, &["backup", "list", "--local"]);
        assert_eq!(list["backups"].as_array().map(Vec::len), Some(1), "{list}");
        assert_eq!(list["backups"][0]["state"], "good");
        assert_eq!(list["backups"][0]["where"], serde_json::json!(["local"]));
        list["backups"][0]["id"].as_str().expect("an id").to_owned()
    }
}

#[test]
fn a_harmed_copy_is_noticed_never_trusted_and_replaced_from_here() {
    let estate = estate_with(&STORE.url("harm", STORE.address()), "");
    let id = back_up(&estate);
    let part = format!("harm/{id}/database.sqlite.zst");

    // Shorter: the list tells.
    STORE.harm("truncate", &part);
    let said = figw(&estate, &["backup", "list"], &[]);
    assert!(said.stdout.contains("good; off-site: database.sqlite.zst is "), "{said:?}");
    assert_eq!(listed(&estate)[&id], good("local"));
    assert_eq!(run(&estate, &["backup", "sync"])["uploaded"], serde_json::json!([id]));
    assert_eq!(listed(&estate)[&id], good("local+offsite"));

    // As long, but with another byte: whoever brings it notices.
    STORE.harm("flip", &part);
    let kept = estate.path("kept");
    fs::rename(estate.backups(), &kept).unwrap();
    let message = fails(&estate, 1, &["backup", "verify", &id]);
    assert!(message.contains("database.sqlite.zst") && message.contains("is damaged"), "{message}");
    assert!(!estate.backups().join(&id).exists(), "nothing half appears here");
    let (place, state) = &listed(&estate)[&id];
    assert_eq!((place.as_str(), state.as_str()), ("offsite", "broken"), "everybody knows now");
    let message = fails(&estate, 1, &["backup", "verify", "latest"]);
    assert!(message.contains("there are no backups"), "{message}");

    // Where the backup is still good, the copy is made good again: that file alone.
    fs::remove_dir_all(estate.backups()).unwrap();
    fs::rename(&kept, estate.backups()).unwrap();
    assert_eq!(run(&estate, &["backup", "sync"])["uploaded"], serde_json::json!([id]));
    fs::remove_dir_all(estate.backups()).unwrap();
    run(&estate, &["backup", "verify", &id]);

    // A broken backup is not uploaded over the good copy, and the copy replaces it.
    flip_a_byte(&estate.backups().join(&id).join("database.sqlite.zst"));
    let bad = figw(&estate, &["backup", "verify", &id], &[]);
    assert_eq!(bad.status, Some(1), "{bad:?}");
    assert_eq!(run(&estate, &["backup", "sync"])["uploaded"], serde_json::json!([]));
}

#[test]
fn what_went_bad_here_since_it_was_made_is_not_uploaded() {
    let estate = Estate::sqlite();
    let id = back_up(&estate);
    copies_go_to(&estate, &STORE.url("rot", STORE.address()), "");
    flip_a_byte(&estate.backups().join(&id).join("database.sqlite.zst"));
    let message = fails(&estate, 1, &["backup", "sync"]);
    assert!(message.contains("database.sqlite.zst is damaged"), "{message}");
    assert!(copies("rot").is_empty());
    assert_eq!(listed(&estate)[&id].1, "broken");
    assert_eq!(run(&estate, &["backup", "sync"])["uploaded"], serde_json::json!([]));
}

#[test]
fn every_refusal_is_one_line_that_says_what_to_do_and_keeps_the_secret() {
    let at = STORE.address();
    let secret = "TopSecretTopSecret";
    let wrong =
        |query: &str| format!("s3://copies/refused?endpoint=http://{at}&retry_for=200ms{query}");
    let estate = Estate::sqlite();
    let id = back_up(&estate);
    let nobody = { std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap() };
    for (status, url, expected) in [
        (
            1,
            STORE.url("x", at).replace("//copies/", "//nowhere/"),
            "there is no such bucket; create it, or correct backup.offsite_url",
        ),
        (1, STORE.url("x", nobody), "refused"),
        (1, STORE.url("x", nobody), "check the endpoint"),
        (
            1,
            wrong(&format!("&access_key_id=AKIANOBODY&secret_access_key={secret}")),
            "refuses this access key (InvalidAccessKeyId); check the access key",
        ),
        (
            1,
            wrong(&format!(
                "&access_key_id={}&secret_access_key={secret}",
                STORE.text("access_key_id")
            )),
            "refuses this access key (SignatureDoesNotMatch)",
        ),
        (2, wrong(""), "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        (2, wrong(&format!("&acess_key_id={secret}")), "it knows no `acess_key_id`, only endpoint"),
        (2, format!("s3://key:{secret}@copies/x"), "do not belong before the bucket"),
        (2, format!("s3://?secret_access_key={secret}"), "s3://bucket/prefix"),
        (2, format!("file://{}", estate.backups().display()), "is backup.directory itself"),
    ] {
        copies_go_to(&estate, &url, "");
        let message = fails(&estate, status, &["backup", "sync"]);
        assert!(message.contains(expected), "{url}: {message}");
        assert!(!message.contains(secret), "{message}");
        let said = figw(&estate, &["--output", "json", "backup", "list"], &[]);
        if status == 1 {
            // The list is about what is here, then; the reason is a warning.
            assert_eq!(said.status, Some(0), "{said:?}");
            assert_eq!(said.json()["backups"][0]["id"], *id);
            assert!(said.stderr.contains("off-site copies are left out: "), "{said:?}");
            assert_eq!(said.stderr.trim_end().lines().count(), 1, "{said:?}");
            assert!(!said.stderr.contains(secret), "{said:?}");
            let said = figw(&estate, &["backup", "list", "--local"], &[]);
            assert_eq!((said.status, said.stderr.as_str()), (Some(0), ""));
        }
    }
    // A URL that makes no sense fails before anything is made.
    copies_go_to(&estate, &wrong("&bucket=x"), "");
    fails(&estate, 2, &["backup"]);
    estate.listed_locally();
}

#[test]
fn the_environment_says_what_the_url_does_not() {
    let estate = estate_with("s3://copies/environment", "");
    let url = STORE.text("url").to_owned();
    for name in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"] {
        let said = figw(
            &estate,
            &["backup"],
            &[
                (name, &url),
                ("AWS_ACCESS_KEY_ID", STORE.text("access_key_id")),
                ("AWS_SECRET_ACCESS_KEY", STORE.text("secret_access_key")),
                ("AWS_REGION", "us-east-1"),
            ],
        );
        assert_eq!(said.status, Some(0), "{said:?}");
        assert!(said.stdout.contains("\nuploaded off-site: "), "{said:?}");
    }
    assert_eq!(copies("environment").len(), 8);
}

#[test]
fn the_store_has_a_policy_of_its_own() {
    let only = |last: u32| format!("{{last: {last}, hourly: 0, daily: 0, weekly: 0, monthly: 0}}");
    let more = format!("  keep: {}\n  offsite_keep: {}\n", only(1), only(2));
    let estate = estate_with(&STORE.url("policy", STORE.address()), &more);
    let ids: Vec<String> = (0..4).map(|_| back_up(&estate)).collect();
    assert_eq!(
        listed(&estate),
        BTreeMap::from([
            (ids[2].clone(), good("offsite")),
            (ids[3].clone(), good("local+offsite"))
        ])
    );
    assert_eq!(copies("policy").len(), 2 * 4, "nothing of the others stays");

    // Half an upload of another machine is left alone for two days; an old one goes.
    let today = format!("{}-aaaa", &ids[3][..16]);
    for id in [today.as_str(), "20200101T000000Z-bbbb"] {
        STORE.put(&format!("policy/{id}/database.sqlite.zst"), "half");
    }
    STORE.put("policy/not-a-backup/x", "somebody else's");
    let planned = run(&estate, &["backup", "sync", "--dry-run"]);
    assert_eq!(planned["removed"], serde_json::json!(["20200101T000000Z-bbbb"]));
    assert_eq!(copies("policy").len(), 8 + 3, "a dry run changes nothing");
    assert_eq!(run(&estate, &["backup", "sync"])["removed"], planned["removed"]);
    let left = copies("policy");
    assert!(left.contains_key(&format!("{today}/database.sqlite.zst")), "{left:?}");
    assert!(left.contains_key("not-a-backup/x") && left.len() == 8 + 2, "{left:?}");

    // The newest good copy stays, even when there is nothing here any more.
    fs::remove_dir_all(estate.backups()).unwrap();
    run(&estate, &["backup", "sync"]);
    assert_eq!(listed(&estate)[&ids[3]], good("offsite"));
}

#[test]
fn archived_wal_goes_with_the_copies() {
    let estate = estate_with(&STORE.url("wal", STORE.address()), "");
    let archive = estate.backups().join("wal/0000000100000000");
    fs::create_dir_all(&archive).unwrap();
    let name = format!("000000010000000000000002-{}.zst", "0".repeat(64));
    fs::write(archive.join(&name), "a segment").unwrap();
    fs::write(archive.join(".new"), "not a whole one").unwrap();
    fs::write(estate.backups().join("wal/system-identifier"), "7").unwrap();
    let synced = run(&estate, &["backup", "sync"]);
    assert_eq!(synced["wal_uploaded"], 2);
    let there = STORE.objects("wal/wal");
    assert_eq!(there.get(&format!("0000000100000000/{name}")), Some(&9));
    assert_eq!(there.len(), 2, "{there:?}");
    assert_eq!(run(&estate, &["backup", "sync"])["wal_uploaded"], 0);
}

#[test]
fn a_directory_elsewhere_does_as_well() {
    let elsewhere = tempfile::tempdir().unwrap();
    let copies = elsewhere.path().join("a mount/copies");
    let url = format!("file://{}", copies.display().to_string().replace(' ', "%20"));
    let estate = estate_with(&url, "");
    assert!(listed(&estate).is_empty(), "nothing is there, and nothing is created");
    assert!(!copies.exists());
    let id = back_up(&estate);
    assert_eq!(listed(&estate)[&id], good("local+offsite"));
    let mode = fs::metadata(&copies).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "others may not look into it");

    // A killed upload leaves a hidden file, which the next one removes.
    fs::remove_file(copies.join(&id).join("SHA256SUMS")).unwrap();
    fs::write(copies.join(&id).join("database.sqlite.zst#1"), "half").unwrap();
    run(&estate, &["backup", "sync"]);
    assert_eq!(fs::read_dir(copies.join(&id)).unwrap().count(), 4);

    // The copy replaces what has gone bad here, once it is asked for by somebody who needs it.
    fs::remove_dir_all(estate.backups()).unwrap();
    run(&estate, &["backup", "verify", &id]);

    flip_a_byte(&copies.join(&id).join("database.sqlite.zst"));
    fs::remove_dir_all(estate.backups()).unwrap();
    let message = fails(&estate, 1, &["backup", "verify", &id]);
    assert!(message.contains("is damaged"), "{message}");

    // A full or forbidden directory is no reason to lose the backup itself.
    let blocked = elsewhere.path().join("a file");
    fs::write(&blocked, "").unwrap();
    copies_go_to(
        &estate,
        &format!("file://{}/copies", blocked.display().to_string().replace(' ', "%20")),
        "",
    );
    let message = fails(&estate, 1, &["backup"]);
    assert!(message.contains("is good in") && message.contains("cannot create"), "{message}");
    estate.listed_locally();
}

#[test]
fn a_kill_at_any_moment_leaves_nothing_that_looks_whole_and_the_next_run_finishes() {
    let estate = Estate::sqlite();
    add_ballast(&estate, 12);
    let id = estate.back_up();
    copies_go_to(&estate, &STORE.url("killed", STORE.address()), "");
    for pause in [5, 40, 80, 120, 200, 300, 500] {
        let mut running = estate
            .command(&["backup", "sync"])
            .env("NO_PROXY", "*")
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(pause));
        running.kill().unwrap();
        running.wait().unwrap();
        let there = STORE.objects(&format!("killed/{id}"));
        let local = |name: &String| fs::metadata(estate.backups().join(&id).join(name));
        for (name, bytes) in &there {
            assert_eq!(local(name).unwrap().len(), *bytes, "an object is whole or not there");
        }
        assert!(!there.contains_key("SHA256SUMS") || there.len() == 4, "{there:?}");
    }
    run(&estate, &["backup", "sync"]);
    assert_eq!(listed(&estate)[&id], good("local+offsite"));
}

#[test]
fn a_large_backup_goes_there_and_back_in_little_memory() {
    let estate = estate_with(&STORE.url("large", STORE.address()), "  compression: none\n");
    add_ballast(&estate, 112);
    // A program that is larger, or not optimised, is no memory of the backup.
    let idle = peak_memory(&estate, &["backup", "list"]);
    let peak = peak_memory(&estate, &["backup"]) - idle;
    let id = estate.listed().into_iter().next().expect("a backup").0;
    let there = STORE.objects(&format!("large/{id}"));
    assert!(there["database.sqlite"] > 112 * MIB, "{there:?}");
    fs::remove_dir_all(estate.backups()).unwrap();
    let back = peak_memory(&estate, &["backup", "verify", &id]) - idle;
    eprintln!("peak memory: {peak} KiB to make and upload, {back} KiB to bring and verify");
    assert!(peak < 32 << 10, "{peak} KiB");
    assert!(back < 32 << 10, "{back} KiB");
}

/// Runs figw, which must succeed, and returns the most memory that it has had, in KiB.
fn peak_memory(estate: &Estate, arguments: &[&str]) -> u64 {
    let mut command = estate.command(arguments);
    let mut running = command.env("NO_PROXY", "*").stdout(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", running.id());
    let since = Instant::now();
    let mut peak = 0;
    let ended = loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        peak = peak.max(now.unwrap_or(0));
        if let Some(ended) = running.try_wait().unwrap() {
            break ended;
        }
        assert!(since.elapsed() < Duration::from_mins(2), "it takes too long");
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(ended.success(), "figw {arguments:?}: {ended}");
    assert!(peak > 0);
    peak
}
