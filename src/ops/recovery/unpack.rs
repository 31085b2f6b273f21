//! A base backup's archive as files. Who made it is not known for sure, and root unpacks it.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

use tar::{Archive, EntryType};

/// Unpacks files and directories. Returns the first entry that is neither or lies elsewhere, at
/// which it stops: whoever writes to a link writes to what it leads to.
pub(super) fn unpack(
    reader: impl Read,
    directory: &Path,
    with_owners: bool,
) -> io::Result<Option<PathBuf>> {
    let mut archive = Archive::new(reader);
    // Modes come back without bits such as set-user-ID, which PostgreSQL's files never have.
    archive.set_preserve_permissions(false);
    archive.set_preserve_ownerships(with_owners);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        let is_plain = matches!(kind, EntryType::Regular | EntryType::Directory);
        if !is_plain || !entry.unpack_in(directory)? {
            return Ok(Some(entry.path()?.into_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::MetadataExt};

    use tar::{Builder, Header};

    use super::*;

    /// An archive with a file, and then one entry of this kind.
    fn archive(kind: EntryType, name: &str, leads_to: &str) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        let mut header = Header::new_gnu();
        header.set_size(2);
        header.set_mode(0o4755);
        builder.append_data(&mut header, "PG_VERSION", &b"15"[..]).unwrap();
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_mode(0o600);
        // As it is, and not as the builder would allow it.
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_link_name(leads_to).unwrap();
        header.set_cksum();
        builder.append(&header, io::empty()).unwrap();
        builder.into_inner().unwrap()
    }

    #[test]
    fn only_files_and_directories_in_their_place_are_unpacked() {
        let outside = tempfile::tempdir().unwrap();
        let precious = outside.path().join("precious");
        fs::write(&precious, "kept").unwrap();
        let to = precious.to_str().unwrap();
        for (kind, name) in [
            (EntryType::Symlink, "postgresql.auto.conf"),
            (EntryType::Link, "backup_manifest"),
            (EntryType::Fifo, "recovery.signal"),
            (EntryType::Char, "base"),
            (EntryType::Regular, "../precious"),
        ] {
            let directory = tempfile::tempdir_in(outside.path()).unwrap();
            let refused = unpack(&archive(kind, name, to)[..], directory.path(), false).unwrap();
            assert_eq!(refused.as_deref(), Some(Path::new(name)), "{kind:?}");
            assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "{kind:?}");
            assert_eq!(fs::read_to_string(&precious).unwrap(), "kept");
        }
        let directory = tempfile::tempdir().unwrap();
        let good = archive(EntryType::Directory, "base/", "ignored");
        assert_eq!(unpack(&good[..], directory.path(), false).unwrap(), None);
        assert!(directory.path().join("base").is_dir());
        let mode = fs::metadata(directory.path().join("PG_VERSION")).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o755, "without set-user-ID");
    }
}
