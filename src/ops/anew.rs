//! Files under names that anybody can guess: whatever is there goes, and a link is never followed; and
//! the directory for state.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

/// Creates a file for its owner alone, in place of the file or link that has its name.
pub(super) fn create_anew(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Fails should a link appear here meanwhile.
    File::options().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// Creates the directory for state, and those above it, closed to others.
pub(super) fn create_state_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o750).create(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    #[test]
    fn a_link_is_replaced_and_what_it_leads_to_stays() {
        let directory = tempfile::tempdir().unwrap();
        let (precious, path) = (directory.path().join("precious"), directory.path().join("new"));
        fs::write(&precious, "kept").unwrap();
        symlink(&precious, &path).unwrap();
        let file = create_anew(&path).unwrap();
        assert_eq!(fs::read_to_string(&precious).unwrap(), "kept");
        let found = fs::symlink_metadata(&path).unwrap();
        assert!(found.is_file() && found.ino() == file.metadata().unwrap().ino());
        assert_eq!(found.mode() & 0o777, 0o600);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(create_anew(&path).is_err(), "a directory is nobody's leftover");
    }
}
