//! Places for copies: known again, begun anew, and all that is left after a disaster.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    MARKER, STORE, back_up, copies_go_to, estate_with, fails, figw, good, listed, run,
    support::{
        archiving::{archiving, note_in_a_segment, notes, now},
        backup_site::BackupSite,
        backups::Estate,
        postgres::Postgres,
    },
};

#[test]
fn a_disk_that_is_not_mounted_is_not_begun_anew() {
    let estate = Estate::sqlite();
    let disk = estate.path("disk");
    let unmounted = estate.path("unmounted");
    copies_go_to(&estate, &format!("file://{}", disk.display()), "");
    let first = back_up(&estate);
    assert!(disk.join(MARKER).exists());
    fs::rename(&disk, &unmounted).unwrap();
    for mount_point in ["missing", "empty"] {
        let what = fails(&estate, 1, &["backup", "sync"]);
        assert!(what.contains(&format!("{} lacks {MARKER}", disk.display())), "{what}");
        assert!(what.contains("mount the right disk") && what.contains("--new-place"), "{what}");
        fails(&estate, 1, &["backup", "sync", "--dry-run"]);
        let said = figw(&estate, &["backup", "list"], &[]);
        assert!(said.stderr.contains("off-site copies are left out"), "{said:?}");
        assert!(fs::read_dir(&disk).map_or(0, Iterator::count) == 0, "{mount_point}");
        fs::create_dir_all(&disk).unwrap();
    }
    // A backup is made all the same, and whoever runs it learns of the disk.
    let message = fails(&estate, 1, &["backup"]);
    assert!(message.contains("is good in") && message.contains(MARKER), "{message}");

    // A second disk takes turns with the first once it was wanted.
    let all = run(&estate, &["backup", "sync", "--new-place"])["uploaded"].clone();
    assert_eq!(all.as_array().map(Vec::len), Some(2));
    let second_disk = estate.path("second-disk");
    fs::rename(&disk, &second_disk).unwrap();
    fs::rename(&unmounted, &disk).unwrap();
    let missing = run(&estate, &["backup", "sync"])["uploaded"].clone();
    assert_eq!(missing, serde_json::json!([all[1]]));
    assert_eq!(all[0], *first);
    fs::rename(&disk, &unmounted).unwrap();
    fs::rename(&second_disk, &disk).unwrap();
    assert_eq!(run(&estate, &["backup", "sync"])["uploaded"], serde_json::json!([]));

    // What somebody else has marked is another place.
    let other = fs::read_to_string(disk.join(MARKER)).unwrap();
    let id = serde_json::from_str::<Value>(&other).unwrap()["id"].as_str().unwrap().to_owned();
    let other = other.replace(&id, "5b9f8f4e-5a3c-4a55-9e2a-0a4f2b1c7d10");
    fs::write(disk.join(MARKER), other).unwrap();
    let message = fails(&estate, 1, &["backup", "sync"]);
    assert!(message.contains("is not the place that off-site copies went to before"), "{message}");
}

#[test]
fn a_place_that_holds_copies_already_is_marked_and_one_that_was_emptied_is_noticed() {
    let estate = estate_with(&STORE.url("adopted", STORE.address()), "");
    let id = back_up(&estate);
    // As an earlier release has left it.
    STORE.harm("delete", &format!("adopted/{MARKER}"));
    fs::remove_file(estate.backups().join("offsite.json")).unwrap();
    assert_eq!(listed(&estate)[&id], good("local+offsite"));
    assert_eq!(run(&estate, &["backup", "sync"])["uploaded"], serde_json::json!([]));
    assert!(STORE.objects("adopted").contains_key(MARKER));

    for key in STORE.objects("adopted").keys() {
        STORE.harm("delete", &format!("adopted/{key}"));
    }
    let message = fails(&estate, 1, &["backup", "sync"]);
    assert!(message.contains("s3://copies/adopted at ") && message.contains(MARKER), "{message}");
    assert!(STORE.objects("adopted").is_empty());
    run(&estate, &["backup", "sync", "--new-place"]);
    assert_eq!(listed(&estate)[&id], good("local+offsite"));
}

#[test]
fn a_server_is_brought_back_to_a_moment_from_the_store_alone() {
    let url = STORE.url("recovery", STORE.address());
    let mut site = BackupSite::new(&[&format!("offsite_url: \"{url}\"")]);
    let mut postgres = archiving(&mut site);
    site.run(&["backup", "base"]);
    note_in_a_segment(&site, &postgres, "1-before");
    let moment = now(&postgres);
    let segment = note_in_a_segment(&site, &postgres, "2-after");
    let original = fs::read(postgres.data().join("pg_wal").join(&segment)).unwrap();
    site.run(&["backup", "sync"]);
    postgres.crash();
    fs::remove_dir_all(site.backups()).unwrap();

    let fetch = |status, name: &str| {
        site.fail(status, &["wal", "fetch", "--recovery", name, "fetched"]);
    };
    fetch(0, &segment);
    assert!(fs::read(site.path("fetched")).unwrap() == original);
    fetch(1, "00000002.history");
    let into = site.path("recovered");
    let into = into.to_str().unwrap();
    site.run(&["restore", "latest", "--to-time", &moment, "--into", into]);
    let recovered = Postgres::start_existing(Path::new(into));
    assert_eq!(notes(&recovered), "1-before", "{}", recovered.log());

    // A prefix under which there never was any WAL must not end a recovery.
    drop(recovered);
    site.configure(&[&format!("offsite_url: \"{url}\"").replace("recovery?", "mistyped?")]);
    fs::remove_dir_all(site.backups()).unwrap();
    fetch(200, "00000002.history");
}
