//! What the user of the driver may choose at probe.

use crate::features::Feature;

/// When the device announces transmitted buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TxCompletion {
    /// An interrupt when most of the outstanding buffers are used (`virtqueue_enable_cb_delayed()`).
    #[default]
    Interrupt,
    /// Only when the queue is stopped because it is full; else buffers are freed by the polls that
    /// reception causes. Fewer interrupts, but sent buffers may stay in the ring for long.
    WhenStopped,
}

/// The most queue pairs that this driver uses.
pub const MAX_QUEUE_PAIRS: u16 = 16;

/// Options of [`VirtioNet::probe`](crate::VirtioNet::probe). `Default` suits one NIC of one host.
#[derive(Clone, Debug)]
pub struct Options {
    /// Features that may be accepted; those the driver does not know are ignored.
    pub features: Feature,
    /// Upper limit of the queue pairs that are used with VIRTIO_NET_F_MQ or VIRTIO_NET_F_RSS, 1..=16: one
    /// for each CPU that is to take part.
    pub queue_pairs: u16,
    /// Upper limit of the receive queue's size in descriptors, 1..=32768; need not be a power of two.
    pub rx_queue_size: u16,
    /// Upper limit of the transmit queue's size in descriptors, 2..=32768; need not be a power of two.
    pub tx_queue_size: u16,
    /// Buffers of each receive queue's pool. 0: four times the receive queue's size, because the stack
    /// keeps received buffers in socket queues.
    pub rx_buffers: usize,
    /// Buffers of the transmit pool, which the stack builds its own packets in. 0: twice the
    /// transmit queues' size.
    pub tx_buffers: usize,
    /// MTU in bytes (IP packet, Ethernet header not included) without VIRTIO_NET_F_MTU: 68..=65535.
    pub mtu: u16,
    /// The largest MTU that is taken from a device with VIRTIO_NET_F_MTU, bytes: 68..=65535. It
    /// bounds the size of the receive buffers.
    pub max_mtu: u16,
    /// Address without VIRTIO_NET_F_MAC.
    pub fallback_mac: [u8; 6],
    /// When transmitted buffers are announced.
    pub tx_completion: TxCompletion,
    /// Reads of a register that has to change (reset, queue reset, generation) before the device is
    /// given up.
    pub poll_limit: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            features: Feature::SUPPORTED,
            queue_pairs: MAX_QUEUE_PAIRS,
            rx_queue_size: 256,
            tx_queue_size: 256,
            rx_buffers: 0,
            tx_buffers: 0,
            mtu: 1500,
            max_mtu: 9216,
            // Locally administered, unicast.
            fallback_mac: [0x02, 0x57, 0x50, 0, 0, 0x01],
            tx_completion: TxCompletion::Interrupt,
            poll_limit: 10_000,
        }
    }
}
