//! Protocol headers and their fields, as nft names them.

use super::datatype::DataType;
use DataType as T;

/// What a payload offset counts from (`NFT_PAYLOAD_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Base {
    /// The Ethernet header.
    Link,
    /// The network header.
    Network,
    /// The transport header.
    Transport,
    /// What follows the transport header.
    Inner,
}

impl Base {
    /// nft's word in raw payload expressions.
    pub fn name(self) -> &'static str {
        match self {
            Base::Link => "ll",
            Base::Network => "nh",
            Base::Transport => "th",
            Base::Inner => "ih",
        }
    }
}

/// A header that rules can look into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // the names are nft's
pub enum Proto {
    Ether,
    Vlan,
    Arp,
    Ip,
    Icmp,
    Igmp,
    Ip6,
    Icmpv6,
    Ah,
    Esp,
    Comp,
    Udp,
    Udplite,
    Tcp,
    Dccp,
    Sctp,
    /// Transport header with ports, whatever protocol.
    Th,
}

/// One field of a header.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// nft's word; two words for `saddr ip` of ARP.
    pub name: &'static str,
    /// First bit, counted from the start of the header, most significant bit of a byte first.
    pub offset: u16,
    /// What it holds; also says how many bits it has.
    pub dtype: DataType,
}

const fn f(name: &'static str, offset: u16, dtype: DataType) -> Field {
    Field {
        name,
        offset,
        dtype,
    }
}

const N4: DataType = T::Integer(4);
const N8: DataType = T::Integer(8);
const N16: DataType = T::Integer(16);
const N32: DataType = T::Integer(32);

static ETHER: [Field; 3] = [
    f("daddr", 0, T::EtherAddr),
    f("saddr", 48, T::EtherAddr),
    f("type", 96, T::EtherType),
];
// Offsets of the tag from the start of the Ethernet header: the tag follows the addresses and the tag protocol.
static VLAN: [Field; 5] = [
    f("id", 14 * 8 + 4, T::Integer(12)),
    f("cfi", 14 * 8 + 3, T::Integer(1)),
    f("dei", 14 * 8 + 3, T::Integer(1)),
    f("pcp", 14 * 8, T::Integer(3)),
    f("type", 16 * 8, T::EtherType),
];
static ARP: [Field; 9] = [
    f("htype", 0, N16),
    f("ptype", 16, T::EtherType),
    f("hlen", 32, N8),
    f("plen", 40, N8),
    f("operation", 48, T::ArpOp),
    f("saddr ether", 64, T::EtherAddr),
    f("saddr ip", 112, T::Ipv4Addr),
    f("daddr ether", 144, T::EtherAddr),
    f("daddr ip", 192, T::Ipv4Addr),
];
static IP: [Field; 12] = [
    f("version", 0, N4),
    f("hdrlength", 4, N4),
    f("dscp", 8, T::Dscp),
    f("ecn", 14, T::Ecn),
    f("length", 16, N16),
    f("id", 32, N16),
    f("frag-off", 48, N16),
    f("ttl", 64, N8),
    f("protocol", 72, T::InetProto),
    f("checksum", 80, N16),
    f("saddr", 96, T::Ipv4Addr),
    f("daddr", 128, T::Ipv4Addr),
];
static ICMP: [Field; 7] = [
    f("type", 0, T::IcmpType),
    f("code", 8, T::IcmpCode),
    f("checksum", 16, N16),
    f("id", 32, N16),
    f("sequence", 48, N16),
    f("mtu", 48, N16),
    f("gateway", 32, N32),
];
static IGMP: [Field; 4] = [
    f("type", 0, T::IgmpType),
    f("mrt", 8, N8),
    f("checksum", 16, N16),
    f("group", 32, N32),
];
static IP6: [Field; 9] = [
    f("version", 0, N4),
    f("dscp", 4, T::Dscp),
    f("ecn", 10, T::Ecn),
    f("flowlabel", 12, T::Integer(20)),
    f("length", 32, N16),
    f("nexthdr", 48, T::InetProto),
    f("hoplimit", 56, N8),
    f("saddr", 64, T::Ipv6Addr),
    f("daddr", 192, T::Ipv6Addr),
];
static ICMPV6: [Field; 7] = [
    f("type", 0, T::Icmpv6Type),
    f("code", 8, T::Icmpv6Code),
    f("checksum", 16, N16),
    f("mtu", 32, N32),
    f("id", 32, N16),
    f("sequence", 48, N16),
    f("max-delay", 32, N16),
];
static AH: [Field; 5] = [
    f("nexthdr", 0, T::InetProto),
    f("hdrlength", 8, N8),
    f("reserved", 16, N16),
    f("spi", 32, N32),
    f("sequence", 64, N32),
];
static ESP: [Field; 2] = [f("spi", 0, N32), f("sequence", 32, N32)];
static COMP: [Field; 3] = [
    f("nexthdr", 0, T::InetProto),
    f("flags", 8, N8),
    f("cpi", 16, N16),
];
static UDP: [Field; 4] = [
    f("sport", 0, T::InetService),
    f("dport", 16, T::InetService),
    f("length", 32, N16),
    f("checksum", 48, N16),
];
static UDPLITE: [Field; 4] = [
    f("sport", 0, T::InetService),
    f("dport", 16, T::InetService),
    f("csumcov", 32, N16),
    f("checksum", 48, N16),
];
static TCP: [Field; 10] = [
    f("sport", 0, T::InetService),
    f("dport", 16, T::InetService),
    f("sequence", 32, N32),
    f("ackseq", 64, N32),
    f("doff", 96, N4),
    f("reserved", 100, N4),
    f("flags", 104, T::TcpFlag),
    f("window", 112, N16),
    f("checksum", 128, N16),
    f("urgptr", 144, N16),
];
static PORTS: [Field; 2] = [
    f("sport", 0, T::InetService),
    f("dport", 16, T::InetService),
];
static DCCP: [Field; 3] = [
    f("sport", 0, T::InetService),
    f("dport", 16, T::InetService),
    f("type", 67, T::DccpType),
];
static SCTP: [Field; 4] = [
    f("sport", 0, T::InetService),
    f("dport", 16, T::InetService),
    f("vtag", 32, N32),
    f("checksum", 64, N32),
];

const ALL: [(&str, Proto); 17] = [
    ("ether", Proto::Ether),
    ("vlan", Proto::Vlan),
    ("arp", Proto::Arp),
    ("ip", Proto::Ip),
    ("icmp", Proto::Icmp),
    ("igmp", Proto::Igmp),
    ("ip6", Proto::Ip6),
    ("icmpv6", Proto::Icmpv6),
    ("ah", Proto::Ah),
    ("esp", Proto::Esp),
    ("comp", Proto::Comp),
    ("udp", Proto::Udp),
    ("udplite", Proto::Udplite),
    ("tcp", Proto::Tcp),
    ("dccp", Proto::Dccp),
    ("sctp", Proto::Sctp),
    ("th", Proto::Th),
];

impl Proto {
    /// The header that nft calls `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(ALL.iter().find(|(n, _)| *n == name)?.1)
    }

    /// nft's word.
    pub fn name(self) -> &'static str {
        ALL.iter().find(|(_, p)| *p == self).map_or("", |(n, _)| n)
    }

    /// Its fields.
    pub fn fields(self) -> &'static [Field] {
        match self {
            Proto::Ether => &ETHER,
            Proto::Vlan => &VLAN,
            Proto::Arp => &ARP,
            Proto::Ip => &IP,
            Proto::Icmp => &ICMP,
            Proto::Igmp => &IGMP,
            Proto::Ip6 => &IP6,
            Proto::Icmpv6 => &ICMPV6,
            Proto::Ah => &AH,
            Proto::Esp => &ESP,
            Proto::Comp => &COMP,
            Proto::Udp => &UDP,
            Proto::Udplite => &UDPLITE,
            Proto::Tcp => &TCP,
            Proto::Th => &PORTS,
            Proto::Dccp => &DCCP,
            Proto::Sctp => &SCTP,
        }
    }

    /// The field called `name`.
    pub fn field(self, name: &str) -> Option<&'static Field> {
        self.fields().iter().find(|f| f.name == name)
    }

    /// What its offsets count from.
    pub fn base(self) -> Base {
        match self {
            Proto::Ether | Proto::Vlan => Base::Link,
            Proto::Arp | Proto::Ip | Proto::Ip6 => Base::Network,
            _ => Base::Transport,
        }
    }

    /// The IP protocol number that says that this header follows; `None` for other layers and for [`Proto::Th`].
    pub fn l4proto(self) -> Option<u8> {
        Some(match self {
            Proto::Icmp => 1,
            Proto::Igmp => 2,
            Proto::Tcp => 6,
            Proto::Udp => 17,
            Proto::Dccp => 33,
            Proto::Esp => 50,
            Proto::Ah => 51,
            Proto::Icmpv6 => 58,
            Proto::Comp => 108,
            Proto::Sctp => 132,
            Proto::Udplite => 136,
            _ => return None,
        })
    }

    /// The EtherType that says that this header follows; network layer only.
    pub fn ethertype(self) -> Option<u16> {
        Some(match self {
            Proto::Ip => 0x0800,
            Proto::Ip6 => 0x86dd,
            Proto::Arp => 0x0806,
            _ => return None,
        })
    }
}
