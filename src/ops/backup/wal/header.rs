//! What a WAL segment says about itself in its first bytes: PostgreSQL's `XLogLongPageHeaderData`,
//! in the byte order of the machine.

use std::{fs::File, io, io::Read};

use super::name::WalName;

/// Bytes of the header.
const LENGTH: usize = 40;
/// In its flags: it is a long header.
const IS_LONG: u16 = 0x0002;

/// What a segment says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Identifier that the server's cluster was initialised with.
    pub(super) system_identifier: u64,
    /// Bytes of every segment.
    pub(super) segment_size: u64,
}

impl Header {
    /// Reads the beginning of the file. None when it is not a segment of this name.
    pub(super) fn read(file: &mut File, name: &WalName) -> io::Result<Option<Self>> {
        let mut bytes = Vec::with_capacity(LENGTH);
        file.take(LENGTH as u64).read_to_end(&mut bytes)?;
        Ok(Self::parse(&bytes, name))
    }

    fn parse(bytes: &[u8], name: &WalName) -> Option<Self> {
        let flags = u16::from_ne_bytes(field(bytes, 2)?);
        let address = u64::from_ne_bytes(field(bytes, 8)?);
        let system_identifier = u64::from_ne_bytes(field(bytes, 24)?);
        let segment_size = u64::from(u32::from_ne_bytes(field(bytes, 32)?));
        let makes_sense = flags & IS_LONG != 0
            && segment_size.is_power_of_two()
            && name.address(segment_size) == Some(address);
        makes_sense.then_some(Self { system_identifier, segment_size })
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(address: u64) -> Vec<u8> {
        let mut bytes = vec![0; LENGTH];
        bytes[..2].copy_from_slice(&0xD110_u16.to_ne_bytes());
        bytes[2..4].copy_from_slice(&IS_LONG.to_ne_bytes());
        bytes[8..16].copy_from_slice(&address.to_ne_bytes());
        bytes[24..32].copy_from_slice(&7_000_000_000_000_000_001_u64.to_ne_bytes());
        bytes[32..36].copy_from_slice(&(16_u32 << 20).to_ne_bytes());
        bytes
    }

    #[test]
    fn only_a_segment_of_the_same_name_tells_its_cluster() {
        let name: WalName = "000000010000000000000002".parse().unwrap();
        let of = |address| Header::parse(&header(address), &name);
        assert_eq!(of(0x200_0000).unwrap().system_identifier, 7_000_000_000_000_000_001);
        assert_eq!(of(0x300_0000), None);
        assert_eq!(Header::parse(b"short", &name), None);
    }
}
