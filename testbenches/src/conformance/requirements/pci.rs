//! Chapter 4.1: virtio over PCI.

use super::{Requirement, must};

pub(super) const PCI: &[Requirement] = &[
    must(
        "4.1.1-1",
        "the function's interface is that of the PCI Express specification",
    ),
    must("4.1.2.1-1", "the PCI vendor ID is 0x1af4"),
    must(
        "4.1.2.1-2",
        "the PCI device ID is 0x1040 plus the virtio device ID",
    ),
    must(
        "4.1.3.2-1",
        "both halves of a 64-bit field can be accessed on their own",
    ),
    must(
        "4.1.4.2-1",
        "cap_len covers what a capability has beyond struct virtio_pci_cap",
    ),
    must(
        "4.1.4.3.1-1",
        "the offset of the common configuration is a multiple of 4",
    ),
    must("4.1.4.3.1-2", "there is a common configuration capability"),
    must(
        "4.1.4.3.1-3",
        "device_feature shows the 32 offered bits that any device_feature_select chooses",
    ),
    must(
        "4.1.4.3.1-4",
        "driver_feature shows the valid bits that the driver wrote there",
    ),
    must(
        "4.1.4.3.1-5",
        "config_generation differs after the driver has read a configuration value that changed",
    ),
    must(
        "4.1.4.3.1-6",
        "writing 0 to device_status resets the device, and it reads 0 when that is done",
    ),
    must("4.1.4.3.1-7", "queue_enable is 0 after a reset"),
    must(
        "4.1.4.3.1-8",
        "queue_reset is 0 after a reset of the device",
    ),
    must(
        "4.1.4.3.1-9",
        "queue_reset is 0 after the queue was enabled",
    ),
    must("4.1.4.3.1-10", "writing 1 to queue_reset resets the queue"),
    must(
        "4.1.4.3.1-11",
        "queue_reset stays 1 as long as the queue's reset goes on",
    ),
    must(
        "4.1.4.3.1-12",
        "queue_reset and queue_enable are both 0 when it has completed",
    ),
    must(
        "4.1.4.3.1-13",
        "queue_size is 0 for a queue that does not exist",
    ),
    must(
        "4.1.4.3.1-14",
        "without RING_PACKED, queue_size is 0 or a power of 2",
    )
    .but("does not occur: without RING_PACKED the features are refused (2.2.2-2)"),
    must("4.1.4.4.1-1", "there is a notification capability"),
    must("4.1.4.4.1-2", "its offset is a multiple of 2"),
    must(
        "4.1.4.4.1-3",
        "notify_off_multiplier is 0 or an even power of 2",
    ),
    must(
        "4.1.4.4.1-4",
        "its length is at least 2, and enough for every queue in every configuration",
    ),
    must(
        "4.1.4.4.1-5",
        "its length is at least queue_notify_off * notify_off_multiplier + 2, for every queue",
    ),
    must("4.1.4.5.1-1", "there is an ISR capability"),
    must(
        "4.1.4.5.1-2",
        "the ISR's configuration bit is set before a configuration change notification",
    ),
    must(
        "4.1.4.5.1-3",
        "with MSI-X off, the ISR's queue bit is set before a used buffer notification",
    ),
    must(
        "4.1.4.5.1-4",
        "with MSI-X off, Interrupt Status of the PCI status register is the OR of the ISR's bits",
    )
    .but("not done: the function has no INTx interrupt; without MSI-X a driver polls the ISR"),
    must("4.1.4.5.1-5", "reading the ISR sets it to 0"),
    must(
        "4.1.4.6-1",
        "there is a device-specific configuration capability",
    ),
    must("4.1.4.6.1-1", "its offset is a multiple of 4"),
    must(
        "4.1.4.9.1-1",
        "there is a capability for access through configuration space",
    ),
    must(
        "4.1.4.9.1-2",
        "writing pci_cfg_data writes cap.length bytes at cap.offset of the BAR",
    ),
    must(
        "4.1.4.9.1-3",
        "reading pci_cfg_data reads cap.length bytes from there",
    ),
    must(
        "4.1.5.1.2.1-1",
        "Table Size of the MSI-X capability is the number of vectors",
    ),
    must(
        "4.1.5.1.2.1-2",
        "any event can be mapped to any vector of the table",
    ),
    must("4.1.5.1.2.1-3", "any event can be unmapped"),
    must(
        "4.1.5.1.2.1-4",
        "the vector fields read what is mapped, NO_VECTOR when nothing is",
    ),
    must("4.1.5.1.2.1-5", "all events are unmapped after a reset"),
    must("4.1.5.1.2.1-6", "a mapping that fails reads NO_VECTOR"),
    must(
        "4.1.5.3.1-1",
        "a queue that is mapped to NO_VECTOR sends no interrupt",
    ),
    must(
        "4.1.5.4.1-1",
        "with NO_VECTOR for configuration changes they send no interrupt",
    ),
];
