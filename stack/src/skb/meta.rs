//! The small types that an [`SkBuff`](super::SkBuff) carries besides its bytes.

use std::fmt;

/// Number of a network device in its stack, from 1 on (1 is `lo`); 0 means none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IfIndex(pub u32);

impl IfIndex {
    /// No device.
    pub const NONE: IfIndex = IfIndex(0);
    /// The loopback device.
    pub const LO: IfIndex = IfIndex(1);

    /// `None` for [`IfIndex::NONE`].
    pub fn some(self) -> Option<IfIndex> {
        (self != Self::NONE).then_some(self)
    }
}

impl fmt::Display for IfIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Number of a packet in its stack, in order of appearance, from 1 on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketId(pub u64);

impl PacketId {
    /// Not numbered (yet).
    pub const NONE: PacketId = PacketId(0);
}

impl fmt::Display for PacketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `PACKET_*`: to whom the Ethernet destination address says the frame is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PktType {
    /// To this host.
    #[default]
    Host,
    /// To everybody on the link.
    Broadcast,
    /// To a group.
    Multicast,
    /// To somebody else.
    OtherHost,
    /// Made by this host.
    Outgoing,
}

/// What is known of the transport checksum (`CHECKSUM_*`, `ip_summed`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CsumState {
    /// Nothing: software verifies (receive), or the packet is complete (transmit).
    #[default]
    None,
    /// The device verified it; [`SkBuff::csum_level`](super::SkBuff::csum_level) says how many more, further in.
    Unnecessary,
    /// A one's-complement sum, not inverted, not folded below 32 bits, of everything from the network header (what a driver hands over)
    /// or from the start of data (above the Ethernet layer) to the end of the packet. Who pulls headers after that takes them out of the
    /// sum ([`skb_pull_rcsum`](super::SkBuff::skb_pull_rcsum)), but for an IPv4 header, whose sum is 0.
    Complete(u32),
    /// The checksum field holds the pseudo-header sum only. Transmit: to be summed from `start` to the end and stored, inverted, at
    /// `start + offset`. Receive: the sender is on this machine and left it out; it counts as verified.
    Partial {
        /// First byte to sum, in bytes from the Ethernet header.
        start: u16,
        /// Where the 16-bit result goes, in bytes from `start`.
        offset: u16,
    },
}

/// Whether connection tracking summed the packet up (`csum_complete_sw`), and whether the sum still holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SoftSum {
    /// It did not, or a device had done it before.
    #[default]
    None,
    /// It did, and the checksum was right.
    Right,
    /// A rule changed the IPv6 header since, which no checksum covers: UDP believes the sum, and takes the packet for damaged.
    Stale,
}

/// Kind of segmentation (`SKB_GSO_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GsoType {
    /// One ordinary packet.
    #[default]
    None,
    /// TCP over IPv4.
    TcpV4,
    /// TCP over IPv6.
    TcpV6,
    /// UDP datagrams of one size (USO).
    UdpL4,
}

/// How one large packet stands for several on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gso {
    /// Kind of segmentation.
    pub kind: GsoType,
    /// Payload bytes per segment, headers not; 0 with [`GsoType::None`].
    pub size: u16,
    /// Number of segments; 0 with [`GsoType::None`].
    pub segs: u16,
    /// `SKB_GSO_TCP_ECN`: TCP's CWR flag is set, for the first segment only.
    pub ecn: bool,
    /// `SKB_GSO_TCP_ACCECN`: TCP's CWR flag is set for all segments (RFC 9768 counts with it).
    pub accecn: bool,
    /// `SKB_GSO_TCP_FIXEDID`: all segments have the same IPv4 identification.
    pub fixed_id: bool,
}

impl Gso {
    /// One packet on the wire.
    pub const NONE: Self = Self {
        kind: GsoType::None,
        size: 0,
        segs: 0,
        ecn: false,
        accecn: false,
        fixed_id: false,
    };
}

/// A VLAN tag (802.1Q).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vlan {
    /// Tag protocol, 0x8100 or 0x88a8, host byte order.
    pub proto: u16,
    /// Priority (3 bits), drop eligible (1 bit), VLAN id (12 bits), host byte order.
    pub tci: u16,
}

impl Vlan {
    /// The VLAN id, 0 to 4095; 0 is a priority tag only.
    pub fn id(self) -> u16 {
        self.tci & 0x0fff
    }
}
