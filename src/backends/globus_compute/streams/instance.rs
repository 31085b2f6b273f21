//! Which process holds a stream: its task id says so.

use std::fmt;

use uuid::{Builder, Uuid};

/// Bytes of a task id that name its process.
const LENGTH: usize = 6;

/// Names a process that holds streams. It stands at the beginning of their task ids, so that whoever
/// gets a post knows whose it is, and nobody keeps a table. It is no secret: the token is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Instance([u8; LENGTH]);

impl Instance {
    /// Bytes in a message.
    pub(super) const LENGTH: usize = LENGTH;

    /// A new one, unlike any other.
    pub(super) fn new() -> Self {
        Self::at_the_beginning_of(Uuid::new_v4())
    }

    /// The process whose stream this may be. Other ids than those of [`Self::new_task`] are nobody's.
    pub(super) fn of(task: Uuid) -> Option<Self> {
        (task.get_version_num() == 8).then(|| Self::at_the_beginning_of(task))
    }

    fn at_the_beginning_of(id: Uuid) -> Self {
        let mut bytes = [0; LENGTH];
        bytes.copy_from_slice(&id.as_bytes()[..LENGTH]);
        Self(bytes)
    }

    /// A new task id of this process: a UUID of version 8, whose form is its maker's own.
    pub(super) fn new_task(self) -> Uuid {
        let mut bytes = Uuid::new_v4().into_bytes();
        bytes[..LENGTH].copy_from_slice(&self.0);
        Builder::from_custom_bytes(bytes).into_uuid()
    }

    pub(super) const fn bytes(self) -> [u8; LENGTH] {
        self.0
    }

    pub(super) const fn from_bytes(bytes: [u8; LENGTH]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_names_its_process_and_other_ids_name_none() {
        let (one, two) = (Instance::new(), Instance::new());
        assert_ne!(one, two);
        let (first, second) = (one.new_task(), one.new_task());
        assert_ne!(first, second);
        assert_eq!((Instance::of(first), Instance::of(second)), (Some(one), Some(one)));
        assert_eq!(Instance::of(Uuid::new_v4()), None);
        assert_eq!(Instance::from_bytes(one.bytes()), one);
        assert!(first.to_string().replace('-', "").starts_with(&one.to_string()));
    }
}
