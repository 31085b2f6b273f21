//! `figw wal push` and `figw wal fetch`: the archive of PostgreSQL's write-ahead log gives back what
//! it took, or says that it cannot.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should say where"
)]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    thread::sleep,
    time::{Duration, Instant},
};

use support::{
    backup_site::BackupSite,
    backups::{age_key, eventually},
    postgres::{Postgres, psql},
};

const SEGMENT: &str = "000000010000000000000002";
/// A segment of PostgreSQL's usual size.
const LENGTH: usize = 16 << 20;

/// A segment as PostgreSQL writes it: the long header of its first page, then anything.
fn segment(cluster: u64, seed: u8) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        (0_u8..=255).map(|n| n.wrapping_mul(31) ^ seed).cycle().take(LENGTH).collect();
    bytes[..2].copy_from_slice(&0xD110_u16.to_ne_bytes());
    bytes[2..4].copy_from_slice(&0x0002_u16.to_ne_bytes());
    bytes[8..16].copy_from_slice(&(2 * LENGTH as u64).to_ne_bytes());
    bytes[24..32].copy_from_slice(&cluster.to_ne_bytes());
    bytes[32..36].copy_from_slice(&u32::try_from(LENGTH).unwrap().to_ne_bytes());
    bytes
}

/// A site with this segment in a file.
fn site_with_segment(lines: &[&str]) -> (BackupSite, PathBuf) {
    let site = BackupSite::new(lines);
    let path = site.path("segment");
    fs::write(&path, segment(1, 0)).unwrap();
    (site, path)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The one file of the archive with this segment.
fn stored(site: &BackupSite) -> PathBuf {
    let directory = site.backups().join("wal/0000000100000000");
    let mut files = fs::read_dir(directory).unwrap();
    let file = files.next().unwrap().unwrap().path();
    assert!(files.next().is_none(), "one file of a name");
    file
}

#[test]
fn what_was_pushed_is_fetched_and_pushing_it_again_is_done_already() {
    let (site, path) = site_with_segment(&[]);
    assert_eq!(
        site.run(&["wal", "push", text(&path), SEGMENT]),
        "",
        "nothing for PostgreSQL's log"
    );
    let file = stored(&site);
    let before = file.metadata().unwrap().modified().unwrap();
    assert_eq!(file.extension().unwrap(), "zst");

    site.run(&["wal", "push", text(&path), SEGMENT]);
    assert_eq!(stored(&site).metadata().unwrap().modified().unwrap(), before);

    // As PostgreSQL asks: a path relative to its data directory.
    fs::create_dir(site.path("pg_wal")).unwrap();
    site.run(&["wal", "fetch", SEGMENT, "pg_wal/RECOVERYXLOG"]);
    assert!(fs::read(site.path("pg_wal/RECOVERYXLOG")).unwrap() == segment(1, 0));

    // Another content under the same name names both, and changes nothing.
    fs::write(&path, segment(1, 1)).unwrap();
    let said = site.fail(1, &["wal", "push", text(&path), SEGMENT]);
    assert!(said.contains(text(&path)) && said.contains(text(&file)), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert_eq!(stored(&site), file);
}

#[test]
fn every_kind_of_file_has_its_place() {
    let site = BackupSite::new(&["compression: none"]);
    let small = site.path("small");
    let names = [
        "00000001000000A300000002.00000028.backup",
        "00000001000000A300000003.partial",
        "00000002.history",
    ];
    for name in names {
        fs::write(&small, name).unwrap();
        site.run(&["wal", "push", text(&small), name]);
        site.run(&["wal", "fetch", name, "out"]);
        assert_eq!(fs::read_to_string(site.path("out")).unwrap(), name);
    }
    assert_eq!(site.archived(), names);
    for name in ["../00000002.history", "00000002.HISTORY", "000000010000000000000002x"] {
        site.fail(2, &["wal", "push", text(&small), name]);
        site.fail(200, &["wal", "fetch", "--recovery", name, "out"]);
    }
}

#[test]
fn recovery_stops_at_everything_but_a_file_that_nobody_has() {
    let (site, path) = site_with_segment(&[]);
    let fetch = |status, flag: &[&str]| {
        let out = site.path("out");
        let arguments = [&["wal", "fetch"][..], flag, &[SEGMENT, text(&out)]].concat();
        let said = site.fail(status, &arguments);
        assert!(!out.exists(), "nothing appears");
        assert_eq!(said.lines().count(), 1, "{said}");
        said
    };
    // Without any archive, its disk may be away.
    assert!(fetch(200, &["--recovery"]).contains("is its disk mounted"));
    fetch(1, &[]);

    fs::write(site.path("history"), "1\t0/5000000\tno recovery target\n").unwrap();
    site.run(&["wal", "push", "history", "00000002.history"]);
    assert!(!fetch(1, &["--recovery"]).contains("error"), "PostgreSQL asks all the time");

    site.run(&["wal", "push", text(&path), SEGMENT]);
    let file = stored(&site);
    let whole = fs::read(&file).unwrap();
    for at in [0, whole.len() / 2, whole.len() - 1] {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        fs::write(&file, flipped).unwrap();
        assert!(fetch(200, &["--recovery"]).contains("is damaged"));
        fetch(1, &[]);
    }
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    fetch(200, &["--recovery"]);

    // Nor must a wrong command end it.
    for wrong in [&[SEGMENT][..], &[SEGMENT, "out", "--nonsense"], &[SEGMENT, "out", "more"]] {
        site.fail(200, &[&["wal", "fetch", "--recovery"][..], wrong].concat());
        site.fail(2, &[&["wal", "fetch"][..], wrong].concat());
    }
    site.run(&["wal", "fetch", "--recovery", "--help"]);

    // A configuration that cannot be read must not end recovery either.
    fs::write(site.config(), "backup: [").unwrap();
    site.fail(200, &["wal", "fetch", "--recovery", SEGMENT, "out"]);
}

#[test]
fn an_encrypted_archive_is_written_without_and_read_with_its_key() {
    let (site, path) = site_with_segment(&[]);
    let (secret, public) = age_key(site.directory(), "key");
    let (wrong, _) = age_key(site.directory(), "wrong-key");
    site.configure(&[&format!("encrypt_to: [{public}]")]);
    site.run(&["wal", "push", text(&path), SEGMENT]);
    site.run(&["wal", "push", text(&path), SEGMENT]);
    assert!(text(&stored(&site)).ends_with(".zst.age"));

    let fetch = ["wal", "fetch", "--recovery", SEGMENT, "out"];
    assert!(site.fail(200, &fetch).contains("--identity FILE"));
    let said = site.fail(200, &[&fetch[..], &["--identity", text(&wrong)]].concat());
    assert!(said.contains("right secret key"), "{said}");
    assert!(!site.path("out").exists());
    site.run(&[&fetch[..], &["--identity", text(&secret)]].concat());
    assert!(fs::read(site.path("out")).unwrap() == segment(1, 0));
}

#[test]
fn wal_that_does_not_belong_here_is_refused() {
    let (site, path) = site_with_segment(&[]);
    site.run(&["wal", "push", text(&path), SEGMENT]);
    let push = ["wal", "push", "other", "000000010000000000000003"];
    let of_cluster = |cluster| {
        let mut other = segment(cluster, 3);
        other[8..16].copy_from_slice(&(3 * LENGTH as u64).to_ne_bytes());
        other
    };
    fs::write(site.path("other"), of_cluster(2)).unwrap();
    let said = site.fail(1, &push);
    assert!(said.contains("of the PostgreSQL cluster 2") && said.contains("cluster 1;"), "{said}");

    fs::write(site.path("other"), &of_cluster(1)[..LENGTH / 2]).unwrap();
    assert!(site.fail(1, &push).contains("it is not whole"));

    fs::write(site.path("other"), of_cluster(1)).unwrap();
    site.run(&push);
    assert_eq!(site.archived(), [SEGMENT, "000000010000000000000003"]);
}

#[test]
fn what_is_lost_here_is_fetched_from_off_site() {
    let (site, path) = site_with_segment(&[]);
    let place = format!("offsite_url: \"file://{}\"", site.path("elsewhere").display());
    site.configure(&[&place]);
    site.run(&["wal", "push", text(&path), SEGMENT]);
    site.run(&["backup", "sync"]);
    let fetch = ["wal", "fetch", "--recovery", SEGMENT, "out"];

    fs::remove_dir_all(site.backups()).unwrap();
    site.run(&fetch);
    assert!(fs::read(site.path("out")).unwrap() == segment(1, 0));
    site.fail(1, &["wal", "fetch", "--recovery", "00000002.history", "out"]);

    fs::rename(site.path("elsewhere"), site.path("not-mounted")).unwrap();
    assert!(site.fail(200, &fetch).contains("is its disk mounted"));
}

#[test]
fn an_archive_inside_the_data_directory_is_refused() {
    let (site, path) = site_with_segment(&[]);
    fs::write(site.config(), "backup:\n  directory: backups\n").unwrap();
    fs::write(site.path("PG_VERSION"), "15\n").unwrap();
    assert!(site.fail(2, &["wal", "push", text(&path), SEGMENT]).contains("absolute"));
}

#[test]
fn pushes_take_turns() {
    let (site, path) = site_with_segment(&[]);
    let wal = site.backups().join("wal");
    fs::create_dir(&wal).unwrap();
    let lock = fs::File::create(wal.join(".lock")).unwrap();
    lock.lock().unwrap();
    let push = ["wal", "push", text(&path), SEGMENT, "--lock-wait"];
    site.fail(75, &[&push[..], &["0s"]].concat());
    let waiting = site.command(&[&push[..], &["20s"]].concat()).spawn();
    sleep(Duration::from_millis(300));
    drop(lock);
    assert!(waiting.unwrap().wait().unwrap().success());
}

#[test]
fn a_killed_push_leaves_nothing_that_looks_whole() {
    let (site, path) = site_with_segment(&[]);
    let push = ["wal", "push", text(&path), SEGMENT];
    // What it is written under first may be a link, and is not followed.
    let precious = site.path("precious");
    fs::write(&precious, "kept").unwrap();
    fs::create_dir(site.backups().join("wal")).unwrap();
    std::os::unix::fs::symlink(&precious, site.backups().join("wal/.new")).unwrap();
    site.run(&push);
    fs::remove_file(stored(&site)).unwrap();
    assert_eq!(fs::read_to_string(&precious).unwrap(), "kept");
    let mut takes = Duration::MAX;
    for _ in 0..3 {
        let since = Instant::now();
        site.run(&push);
        takes = takes.min(since.elapsed());
        fs::remove_file(stored(&site)).unwrap();
    }
    let (mut missing, mut whole) = (0, 0);
    for n in 0..50_u32 {
        let mut pushing = site.command(&push).stderr(Stdio::null()).spawn().unwrap();
        // Moments spread over the whole run, in no order.
        sleep(takes * (n * 37 % 50) / 45);
        pushing.kill().unwrap();
        pushing.wait().unwrap();
        let out = site.path("out");
        match site.command(&["wal", "fetch", "--recovery", SEGMENT, "out"]).output().unwrap() {
            output if output.status.code() == Some(1) => missing += 1,
            output => {
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                assert!(fs::read(&out).unwrap() == segment(1, 0));
                fs::remove_file(stored(&site)).unwrap();
                whole += 1;
            }
        }
    }
    assert!(missing > 5, "only {missing} of 50 were killed in time");
    println!("killed early: {missing}, too late: {whole}");
    site.run(&push);
    let rest: Vec<_> = fs::read_dir(site.backups().join("wal")).unwrap().collect();
    assert_eq!(rest.len(), 3, "lock, identifier, directory: {rest:?}");
}

/// PostgreSQL keeps a segment until `archive_command` has succeeded.
#[test]
fn postgresql_tries_again_after_a_killed_push() {
    let site = BackupSite::new(&[]);
    let script = site.path("archive");
    let text = format!(
        "#!/bin/sh\n\
         # Kills the first two tries for each segment, long before they can be whole.\n\
         echo >> \"$0.$2.tries\"\n\
         tries=$(wc -l < \"$0.$2.tries\")\n\
         {} &\n\
         if [ \"$tries\" -le 2 ]; then sleep 0.00$((tries * 4)); kill -9 $!; fi\n\
         wait $! || exit 1\n",
        site.archive_command().replace("%p", "\"$1\"").replace("%f", "\"$2\""),
    );
    fs::write(&script, text).unwrap();
    let command = format!("sh {} %p %f", script.display());
    let settings = [("archive_mode", "on"), ("archive_command", command.as_str())];
    let postgres = Postgres::start_new_with(&settings);
    let url = postgres.url("postgres");
    psql(&url, "CREATE TABLE t (n int); INSERT INTO t VALUES (1)");
    let segment = psql(&url, "SELECT pg_walfile_name(pg_switch_wal())");
    eventually(Duration::from_secs(30), || site.archived().contains(&segment));
    let tries = fs::read(site.path(&format!("archive.{segment}.tries"))).unwrap().len();
    assert_eq!(tries, 3, "{}", postgres.log());
    site.run(&["wal", "fetch", &segment, "out"]);
    let original = postgres.data().join("pg_wal").join(&segment);
    assert!(fs::read(site.path("out")).unwrap() == fs::read(original).unwrap());
}
