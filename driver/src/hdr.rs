//! `struct virtio_net_hdr` (virtio 5.1.6).

/// Bytes of the header; `num_buffers` is always there with VIRTIO_F_VERSION_1.
pub const HDR_BYTES: usize = 12;

/// VIRTIO_NET_HDR_F_NEEDS_CSUM: bit of `flags`.
pub const F_NEEDS_CSUM: u8 = 1;
/// VIRTIO_NET_HDR_F_DATA_VALID: bit of `flags`.
pub const F_DATA_VALID: u8 = 2;

/// VIRTIO_NET_HDR_GSO_NONE: value of `gso_type`.
pub const GSO_NONE: u8 = 0;
/// VIRTIO_NET_HDR_GSO_TCPV4: value of `gso_type`.
pub const GSO_TCPV4: u8 = 1;
/// VIRTIO_NET_HDR_GSO_TCPV6: value of `gso_type`.
pub const GSO_TCPV6: u8 = 4;
/// VIRTIO_NET_HDR_GSO_UDP_L4: value of `gso_type`.
pub const GSO_UDP_L4: u8 = 5;
/// VIRTIO_NET_HDR_GSO_ECN: bit of `gso_type`, with the TCP types.
pub const GSO_ECN: u8 = 0x80;

/// The header's fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VirtioNetHdr {
    /// F_* bits.
    pub flags: u8,
    /// Kind of segmentation.
    pub gso_type: u8,
    /// Bytes of all headers, Ethernet's included: what each segment begins with. 0 without segmentation.
    pub hdr_len: u16,
    /// Bytes of payload in a segment. 0 without segmentation.
    pub gso_size: u16,
    /// First byte to sum, bytes from the Ethernet header.
    pub csum_start: u16,
    /// Where the checksum is stored, bytes from `csum_start`.
    pub csum_offset: u16,
    /// Receive: buffers that the frame occupies.
    pub num_buffers: u16,
}

impl VirtioNetHdr {
    /// Reads a header.
    #[inline]
    pub fn decode(bytes: &[u8; HDR_BYTES]) -> Self {
        let le16 = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        Self {
            flags: bytes[0],
            gso_type: bytes[1],
            hdr_len: le16(2),
            gso_size: le16(4),
            csum_start: le16(6),
            csum_offset: le16(8),
            num_buffers: le16(10),
        }
    }

    /// The bytes of the header.
    #[inline]
    pub fn encode(self) -> [u8; HDR_BYTES] {
        let [h0, h1] = self.hdr_len.to_le_bytes();
        let [g0, g1] = self.gso_size.to_le_bytes();
        let [s0, s1] = self.csum_start.to_le_bytes();
        let [o0, o1] = self.csum_offset.to_le_bytes();
        let [n0, n1] = self.num_buffers.to_le_bytes();
        let (flags, kind) = (self.flags, self.gso_type);
        [flags, kind, h0, h1, g0, g1, s0, s1, o0, o1, n0, n1]
    }

    /// Whether the checksum lies within a frame of `len` bytes.
    #[inline]
    pub fn csum_fits(self, len: usize) -> bool {
        usize::from(self.csum_start) + usize::from(self.csum_offset) + 2 <= len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_the_specifications() {
        let bytes = [1, 4, 0x42, 0, 0xb4, 5, 0x22, 0x01, 0x10, 0x00, 0x01, 0x00];
        let hdr = VirtioNetHdr {
            flags: F_NEEDS_CSUM,
            gso_type: GSO_TCPV6,
            hdr_len: 66,
            gso_size: 1460,
            csum_start: 0x122,
            csum_offset: 16,
            num_buffers: 1,
        };
        assert_eq!(VirtioNetHdr::decode(&bytes), hdr);
        assert_eq!(hdr.encode(), bytes);
        assert!(hdr.csum_fits(0x122 + 18));
        assert!(!hdr.csum_fits(0x122 + 17));
    }
}
