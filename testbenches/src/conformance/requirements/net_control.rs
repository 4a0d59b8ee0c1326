//! Chapter 5.1.6.5: the network device's control virtqueue.

use super::{Requirement, must, text};

pub(super) const NET_CONTROL: &[Requirement] = &[
    text(
        "5.1.6.5-1",
        "ack is VIRTIO_NET_OK for what was carried out and VIRTIO_NET_ERR for what was not",
    ),
    must(
        "5.1.6.5.1.1-1",
        "with CTRL_RX, promiscuous mode can be switched",
    ),
    must(
        "5.1.6.5.1.1-2",
        "with CTRL_RX, all-multicast can be switched",
    ),
    must(
        "5.1.6.5.1.1-3",
        "with CTRL_RX_EXTRA, the further modes are supported",
    )
    .but("not offered: CTRL_RX_EXTRA is not in the profile"),
    must(
        "5.1.6.5.2.1-1",
        "after a reset the MAC filtering table is empty",
    ),
    must(
        "5.1.6.5.2.1-2",
        "MAC_TABLE_SET has taken effect when it is used",
    ),
    must(
        "5.1.6.5.2.1-3",
        "mac of the configuration is the new one when MAC_ADDR_SET is used",
    ),
    must(
        "5.1.6.5.3.1-1",
        "without CTRL_VLAN, all VLAN-tagged frames are accepted",
    ),
    must(
        "5.1.6.5.3.1-2",
        "with CTRL_VLAN, tagged frames whose VLAN is in the table are accepted",
    ),
    must(
        "5.1.6.5.4.2-1",
        "with GUEST_ANNOUNCE, its acknowledgement clears the bit of status",
    )
    .but("not offered: GUEST_ANNOUNCE is not in the profile"),
    must(
        "5.1.6.5.6-1",
        "with several pairs set by VQ_PAIRS_SET, flows are steered, each to one queue; that it is the one that sent it is a SHOULD, which the model does",
    ),
    must(
        "5.1.6.5.6.2-1",
        "after a reset frames come to receiveq1 only",
    ),
    must(
        "5.1.6.5.6.2-2",
        "no frame comes to a queue beyond virtqueue_pairs once VQ_PAIRS_SET is used",
    ),
    must(
        "5.1.6.5.6.2-3",
        "when all receive queues are being reset, frames are dropped",
    ),
    must(
        "5.1.6.5.6.4-1",
        "with HASH_REPORT and automatic steering, HASH_CONFIG is supported",
    ),
    must(
        "5.1.6.5.7.3-1",
        "RSS: a packet without a hash goes to unclassified_queue",
    ),
    must(
        "5.1.6.5.7.3-2",
        "RSS: the masked hash chooses the queue from the indirection table",
    ),
    must(
        "5.1.6.5.7.3-3",
        "RSS: a packet for a queue that is being reset is dropped",
    ),
    text(
        "5.1.6.5.9.1-1",
        "a queue notifies when max_packets are done or max_usecs have passed since the first",
    ),
    text(
        "5.1.6.5.9.1-2",
        "with 0 for either, it notifies for every packet",
    ),
    text(
        "5.1.6.5.9.4-1",
        "packets that wait when the limits change are told if the new ones are met",
    ),
    must(
        "5.1.6.5.9.6-1",
        "after a reset all coalescing parameters are 0",
    ),
    must(
        "5.1.6.5.9.6-2",
        "a queue that is enabled again has the parameters that were set for its kind (stated by later versions)",
    ),
];
