//! Chapters 2.1 to 2.7 and 6: what holds for every virtio device.

use super::{Requirement, must};

pub(super) const FACILITIES: &[Requirement] = &[
    must("2.1.2-1", "after a reset, device_status is 0"),
    must("2.1.2-2", "no buffer is consumed before DRIVER_OK"),
    must("2.1.2-3", "the driver is not notified before DRIVER_OK"),
    must(
        "2.1.2-4",
        "DEVICE_NEEDS_RESET while DRIVER_OK is set comes with a configuration change notification",
    ),
    must(
        "2.2.2-1",
        "no feature is offered without those that it requires",
    ),
    must(
        "2.2.2-2",
        "FEATURES_OK does not stick when the driver's set of features is not acceptable",
    ),
    must(
        "2.2.2-3",
        "nothing is offered that the device could not do if the driver took it",
    ),
    must("2.4.1-1", "receiving a reset sets device_status back to 0"),
    must(
        "2.4.1-2",
        "once device_status reads 0 there are no notifications and no accesses to queues until the driver starts anew",
    ),
    must(
        "2.5.2-1",
        "every configuration field whose feature is offered can be read before FEATURES_OK",
    ),
    must(
        "2.6.1.1.1-1",
        "a queue that was reset executes no further requests",
    ),
    must("2.6.1.1.1-2", "a queue that was reset does not notify"),
    must(
        "2.6.1.1.1-3",
        "a queue's reset brings all its state to the defaults, the places in its ring among it",
    ),
    must(
        "2.6.1.2.1-1",
        "what the driver changed of a queue before enabling it again is observed",
    ),
    must(
        "2.7.4.1-1",
        "nothing is assumed about how a buffer is split into descriptors",
    ),
];

pub(super) const RESERVED: &[Requirement] = &[
    must("6.2-1", "VERSION_1 is offered"),
    must(
        "6.2-2",
        "with IN_ORDER, buffers are used in the order in which they were made available",
    ),
    must(
        "6.2-3",
        "SR_IOV is not offered without the PCI capability for it",
    ),
];
