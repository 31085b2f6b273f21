//! `figw backup`: what it makes, what it says, and what becomes of it when something goes wrong.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]

mod support;

use std::{
    fs,
    io::Read,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use support::{
    backups::{Estate, Said, age_key, eventually, flip_a_byte, stand_in},
    postgres::Postgres,
};

/// On both databases.
fn on_both(story: impl Fn(&Estate)) {
    story(&Estate::sqlite());
    let server = Postgres::start_new();
    story(&Estate::postgres(&server, "gateway"));
}

/// Files in the directory of backups, hidden ones too, other than the lock's.
fn files(estate: &Estate) -> Vec<String> {
    let entries = fs::read_dir(estate.backups()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name != ".lock").collect();
    names.sort();
    names
}

/// What stands in the archive of the configuration: names and texts.
fn configuration_in(archive: impl Read) -> Vec<(String, String)> {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        (entry.path().unwrap().display().to_string(), text)
    });
    entries.collect()
}

#[test]
fn a_backup_of_a_busy_database_holds_one_moment_of_it() {
    on_both(|estate| {
        estate.add_usage(20_000);
        let writing = estate.keep_writing();
        eventually(Duration::from_secs(20), || estate.usage_count() > 20_010);
        let before = estate.usage_count();
        let made = estate.json(&["backup"]);
        let after = estate.usage_count();
        eventually(Duration::from_secs(20), || estate.usage_count() > after);
        writing.stop();

        let id = made["id"].as_str().unwrap();
        let directory = estate.backups().join(id);
        let manifest = fs::read_to_string(directory.join("manifest.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        let table = if estate.is_sqlite() { "usage" } else { "public.usage" };
        let rows = manifest["database"]["tables"][table].as_u64().unwrap();
        assert!((before..=after).contains(&rows), "{rows} rows, {before} before and {after} after");
        assert_eq!(rows % 5, 0, "no transaction was cut in two");
        assert_eq!(manifest["database"]["schema"], "V6__roll_up_earlier_rows");
        assert_eq!(manifest["kind"], "complete");
        assert!(!manifest.to_string().contains("unused-secret"), "no password in the manifest");

        let sums = Command::new("sha256sum")
            .args(["--check", "--strict", "SHA256SUMS"])
            .current_dir(&directory)
            .output()
            .unwrap();
        assert!(sums.status.success(), "{sums:?}");
        for entry in fs::read_dir(&directory).unwrap() {
            let rights = entry.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(rights & 0o077, 0, "nobody else may read it");
        }
        assert_eq!(estate.listed(), [(id.to_owned(), "good".to_owned())]);
        let verified = estate.json(&["backup", "verify"]);
        assert_eq!(verified["ok"], true);
        assert_eq!(verified["backups"][0]["depth"], "content");
        assert_eq!(files(estate), [id]);
    });
}

#[test]
fn each_kind_holds_its_own_parts() {
    let estate = Estate::sqlite();
    for (kind, parts) in [
        ("database", vec!["database.sqlite.zst"]),
        ("config", vec!["configuration.tar.zst"]),
        ("complete", vec!["database.sqlite.zst", "configuration.tar.zst"]),
    ] {
        let made = estate.json(&["backup", "--kind", kind]);
        let listed = estate.json(&["backup", "list"]);
        let one = listed["backups"].as_array().unwrap().iter().find(|one| one["id"] == made["id"]);
        let names = one.unwrap()["manifest"]["parts"].as_array().unwrap().iter();
        let names: Vec<_> = names.map(|part| part["name"].as_str().unwrap()).collect();
        assert_eq!(names, parts);
    }
    estate.configure("  compression: none\n");
    let id = estate.back_up();
    let plain = estate.backups().join(id).join("database.sqlite");
    assert!(fs::read(plain).unwrap().starts_with(b"SQLite format 3\0"));
    assert_eq!(estate.json(&["backup", "verify"])["ok"], true);
}

#[test]
fn secrets_from_elsewhere_are_copied_only_into_encrypted_backups() {
    let estate = Estate::sqlite();
    let etc = estate.path("etc");
    fs::create_dir_all(etc.join("more")).unwrap();
    fs::write(etc.join("more/notes.txt"), "kept").unwrap();
    fs::write(etc.join("token"), "hush-file\n").unwrap();
    let (identity, public) = age_key(&estate.path(""), "key.txt");
    fs::copy(&identity, etc.join("key.txt")).unwrap();
    let settings = |extra: &str| {
        estate.configure(&format!(
            "  config_paths: [{0}]\n  identities: [{0}/key.txt]\n{extra}\
             staging: {{client_id: a, client_secret: {{file: {0}/token}}}}\n\
             globus_compute: {{client_id: a, client_secret: {{env: FIGW_TEST_SECRET}}}}\n",
            etc.display()
        ));
    };
    let back_up = || {
        let made = estate
            .command(&["--output", "json", "backup", "--kind", "config"])
            .env("FIGW_TEST_SECRET", "hush-env")
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let id: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
        let stderr = String::from_utf8(made.stderr).unwrap();
        (estate.backups().join(id["id"].as_str().unwrap()), stderr)
    };

    settings("");
    let (directory, warnings) = back_up();
    assert!(
        warnings.contains("etc/token: holds a secret, and backup.encrypt_to is not set"),
        "{warnings}"
    );
    assert!(warnings.contains("etc/key.txt: a secret key that opens backups"), "{warnings}");
    let sealed = fs::File::open(directory.join("configuration.tar.zst")).unwrap();
    let found = configuration_in(zstd::Decoder::new(sealed).unwrap());
    let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert!(
        names.contains(&"config/config.yaml") && names.contains(&"catalogue.yaml"),
        "{names:?}"
    );
    assert!(
        found.iter().any(|(name, text)| name.ends_with("etc/more/notes.txt") && text == "kept")
    );
    assert!(
        !names.iter().any(|name| name.contains("secret") || name.ends_with("token")),
        "{names:?}"
    );
    assert!(!found.iter().any(|(_, text)| text.contains("hush")), "no secret's value");

    settings(&format!("  encrypt_to: [{public}]\n"));
    let (directory, warnings) = back_up();
    assert!(!warnings.contains("etc/token"), "{warnings}");
    let sealed = fs::read(directory.join("configuration.tar.zst.age")).unwrap();
    assert!(sealed.starts_with(b"age-encryption.org/v1"));
    let key: age::x25519::Identity = fs::read_to_string(&identity).unwrap().trim().parse().unwrap();
    let opened = age::Decryptor::new(&sealed[..]).unwrap();
    let opened = opened.decrypt(std::iter::once(&key as &dyn age::Identity)).unwrap();
    let found = configuration_in(zstd::Decoder::new(opened).unwrap());
    let secrets = &found.iter().find(|(name, _)| name == "secrets.yaml").unwrap().1;
    assert!(secrets.contains("staging.client_secret: hush-file"), "{secrets}");
    assert!(secrets.contains("globus_compute.client_secret: hush-env"), "{secrets}");
    assert!(!found.iter().any(|(name, _)| name.ends_with("key.txt")), "never the key itself");
}

#[test]
fn two_runs_at_once_keep_apart() {
    let estate = Estate::sqlite();
    estate.run(&["backup"]);
    let lock = fs::File::options().write(true).open(estate.backups().join(".lock")).unwrap();
    lock.lock().unwrap();
    let refusal = estate.fails(75, &["backup"]);
    assert!(refusal.contains("--lock-wait"), "{refusal}");
    estate.fails(75, &["backup", "prune"]);
    estate.fails(75, &["backup", "verify"]);
    estate.fails(75, &["backup", "--lock-wait", "300ms"]);
    assert_eq!(estate.listed().len(), 1, "a list needs no lock");

    let waiting =
        estate.command(&["backup", "--lock-wait", "30s"]).stdout(Stdio::null()).spawn().unwrap();
    thread::sleep(Duration::from_millis(300));
    assert_eq!(estate.listed().len(), 1);
    drop(lock);
    assert!(waiting.wait_with_output().unwrap().status.success());
    assert_eq!(estate.listed().len(), 2);
}

#[test]
fn one_flipped_byte_in_any_part_is_found_and_remembered() {
    on_both(|estate| {
        estate.add_usage(2000);
        let good = estate.back_up();
        let parts = fs::read_dir(estate.backups().join(&good)).unwrap();
        let parts: Vec<_> =
            parts.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(parts.len(), 4);
        for part in parts {
            let id = estate.back_up();
            flip_a_byte(&estate.backups().join(&id).join(&part));
            let said = estate.figw(&["backup", "verify", &id]);
            assert_eq!(said.status, Some(1), "{part}: {said:?}");
            assert!(said.stdout.contains("BAD"), "{part}: {said:?}");
            let states = estate.listed();
            assert!(states.contains(&(id.clone(), "broken".to_owned())), "{part}: {states:?}");
            assert!(states.contains(&(good.clone(), "good".to_owned())));
        }
        let id = estate.back_up();
        fs::remove_file(estate.backups().join(&id).join("manifest.json")).unwrap();
        let said = estate.figw(&["backup", "verify", &id]);
        assert_eq!(said.status, Some(1));
        assert!(said.stdout.contains("manifest.json is missing"), "{said:?}");
    });
}

#[test]
fn a_wrong_key_says_nothing_about_the_backup() {
    let estate = Estate::sqlite();
    let (right, public) = age_key(&estate.path(""), "right.txt");
    let (wrong, _) = age_key(&estate.path(""), "wrong.txt");
    estate.configure(&format!("  encrypt_to: [{public}]\n"));
    let id = estate.back_up();
    assert_eq!(estate.json(&["backup", "verify"])["backups"][0]["depth"], "checksums");
    let said = estate.figw(&["backup", "verify", &id, "--identity", wrong.to_str().unwrap()]);
    assert_eq!(said.status, Some(1));
    assert!(
        said.stdout.contains("encrypted to other keys") && said.stdout.contains("--identity"),
        "{said:?}"
    );
    assert_eq!(estate.listed(), [(id.clone(), "good".to_owned())]);
    let with_right = ["backup", "verify", &id, "--identity", right.to_str().unwrap()];
    assert_eq!(estate.json(&with_right)["backups"][0]["depth"], "content");
    let nonsense = estate.path("config.yaml");
    let refusal = estate.fails(2, &["backup", "verify", "--identity", nonsense.to_str().unwrap()]);
    assert!(refusal.contains("age-keygen"), "{refusal}");
}

#[test]
fn what_can_be_wrong_with_the_tools_is_said_before_anything_is_written() {
    let server = Postgres::start_new();
    let estate = Estate::postgres(&server, "gateway");
    let good = estate.back_up();
    let tools = estate.path("tools");
    fs::create_dir(&tools).unwrap();
    let bin = format!("  postgres_bin: {}\n", tools.display());
    let only_the_good_one = || assert_eq!(files(&estate), [good.as_str()]);

    estate.configure(&bin);
    let said = estate.fails(1, &["backup"]);
    assert!(said.contains("pg_dump is not installed; install postgresql-client-15"), "{said}");
    only_the_good_one();

    stand_in(&tools, "pg_dump", "echo 'pg_dump (PostgreSQL) 12.4'");
    let said = estate.fails(1, &["backup"]);
    assert!(said.contains("pg_dump is of PostgreSQL 12, older than the server's 15"), "{said}");
    only_the_good_one();

    let version = r#"if [ "$1" = --version ]; then echo "$0 (PostgreSQL) 15.1"; exit; fi"#;
    stand_in(&tools, "pg_restore", version);
    stand_in(&tools, "pg_dump", version);
    let said = estate.fails(1, &["backup"]);
    assert!(said.contains("wrote nothing"), "an empty dump is no backup: {said}");
    only_the_good_one();

    stand_in(&tools, "pg_dump", &format!("{version}\nhead -c 70000 /dev/urandom"));
    let said = estate.fails(1, &["backup"]);
    assert!(said.contains("damaged"), "nonsense is no backup: {said}");
    only_the_good_one();

    stand_in(
        &tools,
        "pg_dump",
        &format!("{version}\necho data\necho 'pg_dump: error: gone' >&2\nexit 1"),
    );
    let said = estate.fails(1, &["backup"]);
    assert!(said.contains("pg_dump failed: gone"), "{said}");
    only_the_good_one();
}

#[test]
fn a_server_that_goes_away_in_the_middle_is_an_error_and_costs_no_other_backup() {
    let mut server = Postgres::start_new();
    let estate = Estate::postgres(&server, "gateway");
    estate.add_usage(30_000);
    let good = estate.back_up();
    // A dump that is under way waits here for a while.
    let tools = estate.path("tools");
    let real = Command::new("sh").args(["-c", "command -v pg_dump"]).output().unwrap();
    let real = String::from_utf8(real.stdout).unwrap();
    let slow = format!(
        r#"[ "$1" = --version ] || {{ touch {}/started; sleep 1; }}; exec {} "$@""#,
        tools.display(),
        real.trim()
    );
    stand_in(&tools, "pg_dump", &slow);
    stand_in(&tools, "pg_restore", r#"exec /usr/bin/env PATH=/usr/bin:/bin pg_restore "$@""#);
    estate.configure(&format!("  postgres_bin: {}\n", tools.display()));
    let running =
        estate.command(&["backup"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually(Duration::from_secs(20), || tools.join("started").exists());
    server.kill();
    let said = Said::from(running.wait_with_output().unwrap()).refused(1);
    assert!(said.contains("pg_dump failed") || said.contains("postgres://"), "{said}");
    assert_eq!(files(&estate), [good.as_str()]);
    let said = estate.fails(1, &["backup"]);
    assert!(said.contains("unavailable"), "{said}");
    server.start();
    estate.configure("");
    estate.run(&["backup"]);
    assert_eq!(estate.listed().len(), 2);
}

/// Runs a command where this directory is a file system of its own with so many KiB.
fn on_a_small_disk(directory: &Path, kib: u32, command: &Command) -> std::process::Output {
    let id = Command::new("id").arg("-u").output().unwrap();
    let namespace = if id.stdout.trim_ascii() == b"0" { "--mount" } else { "--map-root-user" };
    let script = r#"mount -t tmpfs -o size=$1k none "$2" && cp -a "$2.kept/." "$2" && shift 2 && { "$@"; s=$?; }; ls -A "$FIGW_TEST_DIR"; exit $s"#;
    Command::new("unshare")
        .args([namespace, "--mount", "--propagation=private", "sh", "-c", script, "sh"])
        .arg(kib.to_string())
        .arg(directory)
        .arg(command.get_program())
        .args(command.get_args())
        .env("FIGW_TEST_DIR", directory)
        .current_dir(command.get_current_dir().unwrap())
        .output()
        .unwrap()
}

#[test]
fn a_full_disk_ends_the_run_and_nothing_else() {
    let estate = Estate::sqlite();
    let good = estate.back_up();
    estate.add_usage(20_000);
    fs::rename(estate.backups(), estate.path("backups.kept")).unwrap();
    fs::create_dir(estate.backups()).unwrap();
    let output = on_a_small_disk(&estate.backups(), 1500, &estate.command(&["backup"]));
    let stderr = String::from_utf8(output.stderr).unwrap();
    let left = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("free some space there"), "{stderr}");
    assert_eq!(stderr.trim_end().lines().count(), 1, "{stderr}");
    let left: Vec<_> = left.lines().filter(|name| *name != ".lock").collect();
    assert_eq!(left, [good], "only the earlier backup is there");
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let estate = Estate::sqlite();
    // Not even root may create anything below a file.
    fs::write(estate.backups(), "").unwrap();
    let said = estate.fails(1, &["backup"]);
    assert!(said.contains("backups"), "{said}");
    estate.configure("  keep: {last: 0, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0}\n");
    let said = estate.figw(&["backup"]);
    assert_eq!(said.status, Some(2), "an empty policy is refused: {said:?}");
    estate.configure("  config_paths: [/nowhere/at/all]\n");
    let said = estate.fails(1, &["backup"]);
    assert!(said.contains("/nowhere/at/all"), "{said}");
}

#[test]
fn retention_follows_each_run_and_explains_itself() {
    let estate = Estate::sqlite();
    estate.configure("  keep: {last: 2, hourly: 0, daily: 0, weekly: 0, monthly: 0}\n");
    let ids: Vec<_> = (0..4).map(|_| estate.back_up()).collect();
    let mut kept = estate.listed().into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    kept.sort();
    let mut newest = ids[2..].to_vec();
    newest.sort();
    assert_eq!(kept, newest);

    estate.configure("  keep: {last: 1, hourly: 0, daily: 0, weekly: 0, monthly: 0}\n");
    let text = estate.run(&["backup", "prune", "--dry-run"]);
    assert!(text.contains("would remove") && text.contains("no rule keeps it"), "{text}");
    assert!(text.contains("newest, last 1"), "{text}");
    assert_eq!(estate.listed().len(), 2, "a dry run removes nothing");
    estate.run(&["backup", "prune"]);
    assert_eq!(estate.listed().len(), 1);
    let again = estate.json(&["backup", "prune"]);
    assert_eq!(again["backups"][0]["keep"], true, "nothing to remove is success");
}

/// `kill -9` at moments spread over a run.
fn kill_again_and_again(estate: &Estate, times: u32) {
    let since = Instant::now();
    estate.run(&["backup", "--kind", "database"]);
    let whole = since.elapsed();
    let mut killed = 0;
    for n in 0..times {
        let mut run = estate
            .command(&["backup", "--kind", "database"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // In an order that looks like chance, and covers the whole run.
        thread::sleep(whole.mul_f64(f64::from((n * 37) % times) / f64::from(times)));
        run.kill().unwrap();
        killed += u32::from(!run.wait().unwrap().success());
        for (id, state) in estate.listed() {
            assert_eq!(state, "good", "{id} after kill {n}");
        }
    }
    assert!(killed > times / 2, "only {killed} of {times} runs were still at work");
    let verified = estate.json(&["backup", "verify"]);
    assert_eq!(verified["ok"], true, "{verified}");
    let before = estate.listed().len();
    estate.run(&["backup", "--kind", "database"]);
    assert_eq!(estate.listed().len(), before + 1, "the next run succeeds");
    let hidden: Vec<_> = files(estate).into_iter().filter(|name| name.starts_with('.')).collect();
    assert!(hidden.is_empty(), "and has swept: {hidden:?}");
}

#[test]
fn a_run_that_is_killed_leaves_no_broken_backup_and_no_lock_on_sqlite() {
    let estate = Estate::sqlite();
    estate.configure("  keep: {last: 100}\n");
    estate.add_usage(20_000);
    kill_again_and_again(&estate, 50);
}

#[test]
fn a_run_that_is_killed_leaves_no_broken_backup_and_no_lock_on_postgresql() {
    let server = Postgres::start_new();
    let estate = Estate::postgres(&server, "gateway");
    estate.configure("  keep: {last: 100}\n");
    estate.add_usage(20_000);
    kill_again_and_again(&estate, 50);
}

/// Root's run by hand must not keep the service from its next one.
#[test]
fn what_is_made_belongs_to_the_owner_of_the_directory() {
    let estate = Estate::sqlite();
    fs::create_dir(estate.backups()).unwrap();
    // Only root can give it away; anybody else owns it already.
    let _ = std::os::unix::fs::chown(estate.backups(), Some(65_534), Some(65_534));
    let owner = fs::metadata(estate.backups()).unwrap().uid();
    let id = estate.back_up();
    estate.run(&["backup", "drill"]);
    for entry in everything_below(&estate.backups()) {
        assert_eq!(fs::metadata(&entry).unwrap().uid(), owner, "{}", entry.display());
    }
    assert!(estate.backups().join(id).is_dir());
}

fn everything_below(directory: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(everything_below(&path));
        }
        all.push(path);
    }
    all
}
