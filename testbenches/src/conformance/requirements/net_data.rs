//! Chapters 5.1.3 to 5.1.6.4: the network device's features, configuration and frames.

use super::{Requirement, must, text};

pub(super) const NET_DATA: &[Requirement] = &[
    text(
        "5.1.2-1",
        "the control queue's index is 2 * max_virtqueue_pairs with MQ or RSS, 2 without",
    ),
    text(
        "5.1.3.1-1",
        "a network feature needs those that the list names: the offer keeps to it, and a driver's set that does not is refused",
    ),
    must(
        "5.1.4.1-1",
        "max_virtqueue_pairs is between 1 and 0x8000 when MQ is offered",
    ),
    must(
        "5.1.4.1-2",
        "mtu is between 68 and 65535 when MTU is offered",
    ),
    must("5.1.4.1-3", "mtu does not change"),
    must(
        "5.1.4.1-4",
        "with MTU, no longer frame than mtu and an Ethernet header comes with gso_type NONE",
    ),
    must(
        "5.1.4.1-5",
        "with MTU, frames to be sent of up to mtu and an Ethernet header go out whole",
    ),
    must(
        "5.1.4.1-6",
        "rss_max_key_size is at least 40 when RSS or HASH_REPORT is offered",
    ),
    must(
        "5.1.4.1-7",
        "rss_max_indirection_table_length is at least 128 when RSS is offered",
    ),
    must("5.1.4.1-8", "with SPEED_DUPLEX, speed is in Mbit/s"),
    must(
        "5.1.4.1-9",
        "with SPEED_DUPLEX, duplex tells full (1, as in 5.1.4 and Linux; the normative list has the two swapped), half or unknown",
    ),
    text(
        "5.1.6.2-1",
        "with NEEDS_CSUM, the ones' complement sum from csum_start to the end goes to csum_offset behind it",
    ),
    text(
        "5.1.6.2-2",
        "a TCPV4, TCPV6 or UDP_L4 super-frame goes out as packets of at most gso_size bytes of payload",
    ),
    text(
        "5.1.6.2-3",
        "with HOST_ECN, ECN in gso_type keeps CWR on the first segment only",
    ),
    must(
        "5.1.6.2.2-1",
        "bits of flags that are not known are ignored",
    ),
    must(
        "5.1.6.2.2-2",
        "without NEEDS_CSUM, csum_start and csum_offset are not used",
    ),
    must("5.1.6.2.2-3", "hdr_len is not relied on"),
    must(
        "5.1.6.2.2-4",
        "without NEEDS_CSUM, the packet's checksum is not relied on",
    ),
    must(
        "5.1.6.3.2-1",
        "num_buffers is the number of buffers that hold the frame",
    ),
    must("5.1.6.3.2-2", "without MRG_RXBUF a frame is in one buffer"),
    must("5.1.6.4.1-1", "without MRG_RXBUF, num_buffers is 1"),
    must(
        "5.1.6.4.1-2",
        "with MRG_RXBUF, num_buffers counts the buffers over which header and frame are spread",
    ),
    must(
        "5.1.6.4.1-3",
        "of the buffers of a frame all but the last are full",
    ),
    must(
        "5.1.6.4.1-4",
        "the buffers of a frame are seen as used together",
    ),
    must("5.1.6.4.1-5", "without GUEST_CSUM, flags is 0"),
    must("5.1.6.4.1-6", "without GUEST_TSO4, gso_type is not TCPV4"),
    must("5.1.6.4.1-7", "without GUEST_UFO, gso_type is not UDP"),
    must("5.1.6.4.1-8", "without GUEST_TSO6, gso_type is not TCPV6"),
    must(
        "5.1.6.4.1-9",
        "without GUEST_USO4 and GUEST_USO6, gso_type is not UDP_L4",
    ),
    must(
        "5.1.6.4.1-10",
        "with GUEST_ECN, coalesced frames that carry ECN have that bit in gso_type",
    )
    .but("not offered: GUEST_ECN is not in the profile"),
    must(
        "5.1.6.4.1-11",
        "with NEEDS_CSUM, the packet's checksums were verified before",
    ),
    must(
        "5.1.6.4.1-12",
        "with NEEDS_CSUM, the checksum field holds the pseudo header's sum",
    ),
    must(
        "5.1.6.4.1-13",
        "with NEEDS_CSUM, csum_start and csum_offset lead to a fully checksummed packet",
    ),
    must(
        "5.1.6.4.1-14",
        "without any GUEST_TSO, UFO or USO, gso_type is NONE",
    ),
    must(
        "5.1.6.4.1-15",
        "gso_type other than NONE comes with NEEDS_CSUM and gso_size",
    ),
    must(
        "5.1.6.4.1-16",
        "with RSC_EXT, coalesced frames carry RSC_INFO",
    )
    .but("not offered: RSC_EXT is not in the profile"),
    must("5.1.6.4.1-17", "without RSC_EXT, RSC_INFO is not set"),
    must(
        "5.1.6.4.1-18",
        "DATA_VALID is set only on packets whose checksum was verified",
    ),
    must(
        "5.1.6.4.3-1",
        "with HASH_REPORT, commands that configure the hash are supported: RSS_CONFIG with RSS, HASH_CONFIG otherwise",
    ),
    text(
        "5.1.6.4.3.2-1",
        "IPv4: addresses and ports, or addresses, as the enabled types and the packet say",
    ),
    text("5.1.6.4.3.3-1", "IPv6 without extension headers: likewise"),
    text(
        "5.1.6.4.3.4-1",
        "IPv6 with extension headers: the home address and the type 2 routing header's stand in",
    ),
    text(
        "5.1.6.4.4-1",
        "with HASH_REPORT, hash_value and hash_report tell the hash and its type, or NONE",
    ),
];
