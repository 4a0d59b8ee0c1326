//! Chapter 2.8: packed virtqueues. Most of it is description, which the driver's code relies on.

use super::{Requirement, must, text};

pub(super) const PACKED: &[Requirement] = &[
    text(
        "2.8.1-1",
        "a used descriptor has AVAIL and USED both equal to the device's wrap counter, which turns at the ring's end",
    ),
    text(
        "2.8.4-1",
        "a used descriptor of a buffer that was written says how many bytes were written",
    ),
    text(
        "2.8.6-1",
        "one used descriptor stands for a whole chain, with the id of the chain's last descriptor; the device skips the others",
    ),
    text(
        "2.8.7-1",
        "an indirect table takes one place of the ring; in its descriptors only WRITE counts",
    ),
    text(
        "2.8.8-1",
        "with IN_ORDER one used descriptor may stand for a batch, with the id of the batch's last buffer",
    ),
    text(
        "2.8.9-1",
        "of several buffers of one request the first is marked used after the others",
    ),
    text(
        "2.8.10-1",
        "RING_EVENT_FLAGS_DISABLE in the driver's area suppresses used buffer notifications, ENABLE asks for them",
    ),
    text(
        "2.8.10-2",
        "RING_EVENT_FLAGS_DESC asks for one when the named descriptor, with its wrap counter, is used",
    ),
    text(
        "2.8.10-3",
        "the device's area says at which descriptor, or whether at all, it wants to be told; no doorbell is lost by it",
    ),
    must(
        "2.8.12-1",
        "processing of descriptors starts in the order of the ring",
    ),
    must(
        "2.8.12-2",
        "writing of used descriptors starts in the order in which the buffers complete",
    ),
    must("2.8.15-1", "device-readable buffers are never written"),
    must(
        "2.8.15-2",
        "a descriptor is not used before its AVAIL bit is seen to change",
    ),
    must(
        "2.8.15-3",
        "a descriptor is not touched after its USED bit was changed",
    ),
    must(
        "2.8.18-1",
        "descriptors of a chain are used in the order in which they were made available",
    ),
];
