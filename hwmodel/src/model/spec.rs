//! Numbers of the virtio specification 1.2 that the model refers to.

/// Feature bits (5.1.3, 6), as masks.
pub mod feature {
    /// The device completes checksums of transmitted packets.
    pub const CSUM: u64 = 1 << 0;
    /// The driver takes packets with partial or verified checksum.
    pub const GUEST_CSUM: u64 = 1 << 1;
    /// `mtu` of the configuration is valid.
    pub const MTU: u64 = 1 << 3;
    /// `mac` of the configuration is valid.
    pub const MAC: u64 = 1 << 5;
    /// The driver takes coalesced TCP over IPv4.
    pub const GUEST_TSO4: u64 = 1 << 7;
    /// The driver takes coalesced TCP over IPv6.
    pub const GUEST_TSO6: u64 = 1 << 8;
    /// The device segments TCP over IPv4.
    pub const HOST_TSO4: u64 = 1 << 11;
    /// The device segments TCP over IPv6.
    pub const HOST_TSO6: u64 = 1 << 12;
    /// The device segments TCP with congestion notification.
    pub const HOST_ECN: u64 = 1 << 13;
    /// A received frame may lie in several buffers.
    pub const MRG_RXBUF: u64 = 1 << 15;
    /// `status` of the configuration is valid.
    pub const STATUS: u64 = 1 << 16;
    /// There is a control queue.
    pub const CTRL_VQ: u64 = 1 << 17;
    /// Receive modes and the address table.
    pub const CTRL_RX: u64 = 1 << 18;
    /// The VLAN filter.
    pub const CTRL_VLAN: u64 = 1 << 19;
    /// Several queue pairs with automatic steering.
    pub const MQ: u64 = 1 << 22;
    /// The driver may set the address.
    pub const CTRL_MAC_ADDR: u64 = 1 << 23;
    /// Descriptors in tables of their own.
    pub const RING_INDIRECT_DESC: u64 = 1 << 28;
    /// Notifications at a chosen descriptor.
    pub const RING_EVENT_IDX: u64 = 1 << 29;
    /// Not a legacy device.
    pub const VERSION_1: u64 = 1 << 32;
    /// Addresses are bus addresses.
    pub const ACCESS_PLATFORM: u64 = 1 << 33;
    /// Packed virtqueues.
    pub const RING_PACKED: u64 = 1 << 34;
    /// Buffers are used in the order in which they were made available.
    pub const IN_ORDER: u64 = 1 << 35;
    /// A single queue can be reset.
    pub const RING_RESET: u64 = 1 << 40;
    /// Moderation of notifications.
    pub const NOTF_COAL: u64 = 1 << 53;
    /// The device segments UDP.
    pub const HOST_USO: u64 = 1 << 56;
    /// The header carries the packet's hash.
    pub const HASH_REPORT: u64 = 1 << 57;
    /// Receive-side scaling.
    pub const RSS: u64 = 1 << 60;
    /// `speed` and `duplex` of the configuration are valid.
    pub const SPEED_DUPLEX: u64 = 1 << 63;

    /// What a driver must accept: there is no split ring and no legacy interface.
    pub const REQUIRED: u64 = VERSION_1 | RING_PACKED;

    /// Features, and those of which at least one is needed as well (5.1.3.1). HASH_REPORT needs the
    /// queue that configures it (5.1.4.1).
    pub const REQUIREMENTS: [(u64, u64); 13] = [
        (GUEST_TSO4, GUEST_CSUM),
        (GUEST_TSO6, GUEST_CSUM),
        (HOST_TSO4, CSUM),
        (HOST_TSO6, CSUM),
        (HOST_USO, CSUM),
        (HOST_ECN, HOST_TSO4 | HOST_TSO6),
        (CTRL_RX, CTRL_VQ),
        (CTRL_VLAN, CTRL_VQ),
        (CTRL_MAC_ADDR, CTRL_VQ),
        (MQ, CTRL_VQ),
        (RSS, CTRL_VQ),
        (HASH_REPORT, CTRL_VQ),
        (NOTF_COAL, CTRL_VQ),
    ];

    /// The features of `set` whose requirements `set` does not hold.
    #[must_use]
    pub fn unmet(set: u64) -> u64 {
        let missing = |&(of, any): &(u64, u64)| set & of != 0 && set & any == 0;
        REQUIREMENTS
            .iter()
            .filter(|r| missing(r))
            .fold(0, |all, (of, _)| all | of)
    }
}

/// Bits of device_status (2.1).
pub mod status {
    /// The driver knows how to drive the device.
    pub const DRIVER_OK: u8 = 4;
    /// Negotiation is over.
    pub const FEATURES_OK: u8 = 8;
    /// The device has met an error that it cannot recover from.
    pub const DEVICE_NEEDS_RESET: u8 = 64;
    /// What the driver may set besides FEATURES_OK: ACKNOWLEDGE, DRIVER, DRIVER_OK, FAILED.
    pub const BY_DRIVER: u8 = 0b1000_0111;
}

/// Flags of a packed descriptor (2.8.13).
pub mod desc {
    /// The chain goes on.
    pub const NEXT: u16 = 1;
    /// The device writes the buffer; in a used descriptor: it has written.
    pub const WRITE: u16 = 2;
    /// The buffer is a table of descriptors.
    pub const INDIRECT: u16 = 4;
    /// Compared with the wrap counter (2.8.1).
    pub const AVAIL: u16 = 1 << 7;
    /// Compared with the wrap counter (2.8.1).
    pub const USED: u16 = 1 << 15;
}

/// Values of desc_event_flags (2.8.14).
pub mod event {
    /// Notify at every descriptor.
    pub const ENABLE: u16 = 0;
    /// Do not notify.
    pub const DISABLE: u16 = 1;
    /// Notify at one descriptor; only with RING_EVENT_IDX.
    pub const DESC: u16 = 2;
}

/// A vector number that stands for "no vector" (4.1.5.1.2).
pub const NO_VECTOR: u16 = 0xffff;
/// VIRTIO_NET_S_LINK_UP (5.1.4).
pub const S_LINK_UP: u16 = 1;
/// `speed` of the configuration, Mbit/s.
pub const SPEED_MBPS: u32 = 10_000;
/// `duplex` of the configuration: full.
pub const DUPLEX_FULL: u8 = 1;
