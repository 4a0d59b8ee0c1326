//! Why a packet was lost: Linux's `SKB_DROP_REASON_*` (include/net/dropreason-core.h).

use std::fmt;

macro_rules! drop_reasons {
    ($( $(#[$doc:meta])* $variant:ident = $name:literal, )+) => {
        /// Why a packet ended without reaching anybody. Names and meanings are Linux's `SKB_DROP_REASON_*`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum DropReason {
            $( $(#[$doc])* $variant, )+
        }

        impl DropReason {
            /// Every reason, in order of declaration.
            pub const ALL: &[DropReason] = &[ $( DropReason::$variant, )+ ];

            /// The kernel's name without `SKB_DROP_REASON_`, e.g. `IP_CSUM`.
            pub const fn name(self) -> &'static str {
                match self { $( DropReason::$variant => $name, )+ }
            }
        }
    };
}

drop_reasons! {
    /// No more specific reason exists; Linux says so for blackhole routes, malformed ARP, and packets to forward that were broadcast.
    NotSpecified = "NOT_SPECIFIED",
    /// No socket is bound to the destination.
    NoSocket = "NO_SOCKET",
    /// Shorter than its own length fields say.
    PktTooSmall = "PKT_TOO_SMALL",
    /// TCP checksum wrong.
    TcpCsum = "TCP_CSUM",
    /// UDP checksum wrong.
    UdpCsum = "UDP_CSUM",
    /// To an IPv4 address of one host, in a frame to many (`drop_unicast_in_l2_multicast`).
    UnicastInL2Multicast = "UNICAST_IN_L2_MULTICAST",
    /// `disable_ipv6` of the receiving device.
    Ipv6Disabled = "IPV6DISABLED",
    /// A hook function said drop.
    NetfilterDrop = "NETFILTER_DROP",
    /// Unicast frame for another MAC address, or for a VLAN that does not exist here.
    OtherHost = "OTHERHOST",
    /// IPv4 header checksum wrong.
    IpCsum = "IP_CSUM",
    /// Something in the IP header is wrong (version, header length, TTL ran out).
    IpInHdr = "IP_INHDR",
    /// The way back to the source does not go through the receiving device (strict) or anywhere (loose).
    IpRpFilter = "IP_RPFILTER",
    /// No route for a packet to be sent.
    IpOutNoRoutes = "IP_OUTNOROUTES",
    /// No route for a packet that was received.
    IpInNoRoutes = "IP_INNOROUTES",
    /// Not for this host, and forwarding is off.
    IpInAddrErrors = "IP_INADDRERRORS",
    /// Destination not valid as one, e.g. 0.0.0.0/8 or a group that was not joined.
    IpInvalidDest = "IP_INVALID_DEST",
    /// Source not valid as one, e.g. a group or the limited broadcast address.
    IpInvalidSource = "IP_INVALID_SOURCE",
    /// Source is one of this host's own addresses.
    IpLocalSource = "IP_LOCAL_SOURCE",
    /// A loopback address on the wire.
    IpLocalNet = "IP_LOCALNET",
    /// Nobody handles the IP protocol.
    IpNoProto = "IP_NOPROTO",
    /// ICMP or ICMPv6 checksum wrong.
    IcmpCsum = "ICMP_CSUM",
    /// The message must not be sent this way, e.g. an echo request to a broadcast address.
    InvalidProto = "INVALID_PROTO",
    /// The checksum that a socket asked to be verified is wrong.
    SkbCsum = "SKB_CSUM",
    /// The socket's receive buffer is full.
    SocketRcvBuff = "SOCKET_RCVBUFF",
    /// A packet socket's receive buffer is full.
    PacketSockError = "PACKET_SOCK_ERROR",
    /// Nobody handles the EtherType, ICMP type or IPv6 option.
    UnhandledProto = "UNHANDLED_PROTO",
    /// Larger than the way out allows, and fragmenting is forbidden.
    PktTooBig = "PKT_TOO_BIG",
    /// A fragment that is there already.
    DupFrag = "DUP_FRAG",
    /// So many fragments of other datagrams came in between that these may belong to another one with the same identification.
    FragTooFar = "FRAG_TOO_FAR",
    /// The other fragments did not come in time.
    FragReasmTimeout = "FRAG_REASM_TIMEOUT",
    /// The neighbour did not answer.
    NeighFailed = "NEIGH_FAILED",
    /// Too many packets wait for the neighbour's answer.
    NeighQueueFull = "NEIGH_QUEUEFULL",
    /// The neighbour table is full.
    NeighCreateFail = "NEIGH_CREATEFAIL",
    /// The queue in front of the driver is full, or its qdisc dropped for another reason.
    QdiscDrop = "QDISC_DROP",
    /// A qdisc's limit was passed (`fq_codel`: packets or memory), and this packet had to go for it.
    QdiscOverlimit = "QDISC_OVERLIMIT",
    /// A qdisc that manages its queue (CoDel) signals congestion.
    QdiscCongested = "QDISC_CONGESTED",
    /// The loopback backlog is full.
    CpuBacklog = "CPU_BACKLOG",
    /// A tc ingress hook said drop.
    TcIngress = "TC_INGRESS",
    /// A tc egress hook said drop.
    TcEgress = "TC_EGRESS",
    /// No link-layer header could be put in front.
    DevHdr = "DEV_HDR",
    /// The device is down or gone.
    DevReady = "DEV_READY",
    /// A packet that stands for several could not be taken apart.
    SkbGsoSeg = "SKB_GSO_SEG",
    /// No buffer.
    NoMem = "NOMEM",
    /// A header is cut off.
    HdrTrunc = "HDR_TRUNC",
    /// An IPv6 extension header is malformed.
    Ipv6BadExtHdr = "IPV6_BAD_EXTHDR",
    /// Neighbour discovery in a fragment (RFC 6980).
    Ipv6NdiscFrag = "IPV6_NDISC_FRAG",
    /// Neighbour discovery that came through a router (hop limit not 255).
    Ipv6NdiscHopLimit = "IPV6_NDISC_HOP_LIMIT",
    /// Neighbour discovery with a code other than 0.
    Ipv6NdiscBadCode = "IPV6_NDISC_BAD_CODE",
    /// Neighbour discovery with malformed options.
    Ipv6NdiscBadOptions = "IPV6_NDISC_BAD_OPTIONS",
    /// Neighbour solicitation for somebody else's address.
    Ipv6NdiscNsOtherHost = "IPV6_NDISC_NS_OTHERHOST",
    /// Control bits that mean nothing in the connection's state.
    TcpFlags = "TCP_FLAGS",
    /// A reset was received, or one that does not fit the connection.
    TcpReset = "TCP_RESET",
    /// A SYN inside of a connection.
    TcpInvalidSyn = "TCP_INVALID_SYN",
    /// Beyond the window.
    TcpInvalidSequence = "TCP_INVALID_SEQUENCE",
    /// Everything in it was received before.
    TcpOldSequence = "TCP_OLD_SEQUENCE",
    /// The answer to a SYN acknowledges something else.
    TcpInvalidAckSequence = "TCP_INVALID_ACK_SEQUENCE",
    /// It acknowledges what was never sent.
    TcpAckUnsentData = "TCP_ACK_UNSENT_DATA",
    /// Its timestamp is older than the last one (RFC 7323 5).
    TcpRfc7323Paws = "TCP_RFC7323_PAWS",
    /// Its data were received before.
    TcpOldData = "TCP_OLD_DATA",
    /// Data for a window that is closed.
    TcpOverwindow = "TCP_OVERWINDOW",
    /// Data out of order, for which there is no room.
    TcpOfoDrop = "TCP_OFO_DROP",
    /// Data for a connection that was closed on this side.
    TcpAbortOnData = "TCP_ABORT_ON_DATA",
    /// Too many connections wait to be accepted.
    TcpListenOverflow = "TCP_LISTEN_OVERFLOW",
}

impl DropReason {
    /// Number of reasons.
    pub const COUNT: usize = Self::ALL.len();
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lists_each_reason_at_its_number() {
        for (i, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, i, "{reason}");
        }
    }
}
