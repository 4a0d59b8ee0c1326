//! `struct virtio_net_hdr` (virtio 5.1.6), as a device reads and writes it.

/// Bytes without VIRTIO_NET_F_HASH_REPORT.
pub const LEN: usize = 12;
/// Bytes with VIRTIO_NET_F_HASH_REPORT.
pub const LEN_HASH: usize = 20;

/// VIRTIO_NET_HDR_F_NEEDS_CSUM: bit of `flags`.
pub const F_NEEDS_CSUM: u8 = 1;
/// VIRTIO_NET_HDR_F_DATA_VALID: bit of `flags`.
pub const F_DATA_VALID: u8 = 2;

/// Values of `gso_type` (VIRTIO_NET_HDR_GSO_*).
pub mod gso {
    /// One frame.
    pub const NONE: u8 = 0;
    /// TCP over IPv4.
    pub const TCPV4: u8 = 1;
    /// TCP over IPv6.
    pub const TCPV6: u8 = 4;
    /// UDP, each segment with a UDP header.
    pub const UDP_L4: u8 = 5;
    /// With a TCP type: the packet has congestion notification.
    pub const ECN: u8 = 0x80;
}

/// Fields of the header; lengths and offsets in bytes, offsets from the Ethernet header.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NetHdr {
    /// `F_*` bits.
    pub flags: u8,
    /// One of [`gso`].
    pub gso_type: u8,
    /// Bytes of all headers; a hint only.
    pub hdr_len: u16,
    /// Payload of a segment.
    pub gso_size: u16,
    /// First byte to sum.
    pub csum_start: u16,
    /// Where the checksum is stored, from `csum_start`.
    pub csum_offset: u16,
    /// Receive: buffers that the frame takes.
    pub num_buffers: u16,
    /// Receive with HASH_REPORT: the hash.
    pub hash_value: u32,
    /// Receive with HASH_REPORT: what was hashed (5.1.6.4.4), 0 for nothing.
    pub hash_report: u16,
}

impl NetHdr {
    /// Reads what a transmitted frame's header says; `num_buffers` and the hash mean nothing there.
    #[must_use]
    pub fn decode(bytes: &[u8; LEN]) -> Self {
        let le16 = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        Self {
            flags: bytes[0],
            gso_type: bytes[1],
            hdr_len: le16(2),
            gso_size: le16(4),
            csum_start: le16(6),
            csum_offset: le16(8),
            ..Self::default()
        }
    }

    /// All 20 bytes; without HASH_REPORT the first [`LEN`] count.
    #[must_use]
    pub fn encode(&self) -> [u8; LEN_HASH] {
        let mut bytes = [0; LEN_HASH];
        bytes[0] = self.flags;
        bytes[1] = self.gso_type;
        let words = [
            self.hdr_len,
            self.gso_size,
            self.csum_start,
            self.csum_offset,
            self.num_buffers,
        ];
        for (at, word) in (2..).step_by(2).zip(words) {
            bytes[at..at + 2].copy_from_slice(&word.to_le_bytes());
        }
        bytes[12..16].copy_from_slice(&self.hash_value.to_le_bytes());
        bytes[16..18].copy_from_slice(&self.hash_report.to_le_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_the_specifications() {
        let hdr = NetHdr {
            flags: F_NEEDS_CSUM,
            gso_type: gso::TCPV4,
            hdr_len: 0x0036,
            gso_size: 0x05b4,
            csum_start: 0x0022,
            csum_offset: 0x0010,
            num_buffers: 0x0203,
            hash_value: 0x1122_3344,
            hash_report: 2,
        };
        let bytes = hdr.encode();
        assert_eq!(
            bytes,
            [
                1, 1, 0x36, 0, 0xb4, 5, 0x22, 0, 0x10, 0, 3, 2, 0x44, 0x33, 0x22, 0x11, 2, 0, 0, 0
            ]
        );
        let mut first = [0; LEN];
        first.copy_from_slice(&bytes[..LEN]);
        let read = NetHdr::decode(&first);
        assert_eq!(
            (read.gso_size, read.csum_start, read.csum_offset),
            (1460, 34, 16)
        );
        assert_eq!((read.num_buffers, read.hash_value), (0, 0));
    }
}
