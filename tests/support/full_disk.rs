//! A small file system of the test's own, which can be filled to the last byte.

use std::{
    fs,
    io::{ErrorKind, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// A file system in memory; it ends with this value.
pub struct SmallDisk {
    directory: TempDir,
}

impl SmallDisk {
    /// An empty one of so many MiB, which everybody may write to.
    pub fn of_mib(size: u32) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let disk = Self { directory };
        let size = format!("size={size}m,mode=777");
        disk.as_root(&["mount", "-t", "tmpfs", "-o", &size, "tmpfs"]);
        fs::set_permissions(disk.path(), fs::Permissions::from_mode(0o777)).expect("permissions");
        disk
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Leaves no byte free.
    pub fn fill(&self) {
        let mut filler = fs::File::create(self.filler()).expect("a file that fills the disk");
        for size in [1 << 16, 1] {
            loop {
                match filler.write_all(&vec![0; size]) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("the disk cannot be filled: {error}"),
                }
            }
        }
    }

    /// Makes room again.
    pub fn empty(&self) {
        fs::remove_file(self.filler()).expect("the file that filled the disk");
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Only root may mount; who tests without being root may use sudo, as `scripts/test` does.
    fn as_root(&self, arguments: &[&str]) {
        let id = Command::new("id").arg("-u").output().expect("id runs");
        let mut command = if id.stdout.trim_ascii() == b"0" {
            Command::new(arguments[0])
        } else {
            let mut sudo = Command::new("sudo");
            sudo.args(["-n", arguments[0]]);
            sudo
        };
        let output = command.args(&arguments[1..]).arg(self.path()).output().expect("mount runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Whoever still has a file there keeps it until they end.
        self.as_root(&["umount", "--lazy"]);
    }
}
