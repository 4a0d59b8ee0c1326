//! Statistics, as `ethtool -S` shows them.

macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters of one device since probe; a reset does not clear them.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Stats {
            /// All counters with their names, in the order of the struct.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name)),*].into_iter()
            }
        }
    };
}

stats! {
    /// Frames handed to the stack.
    rx_packets,
    /// Bytes of these frames, Ethernet header included, FCS not.
    rx_bytes,
    /// Frames whose checksum the device had verified (VIRTIO_NET_HDR_F_DATA_VALID).
    rx_csum_valid,
    /// Frames with a partial checksum (VIRTIO_NET_HDR_F_NEEDS_CSUM): the sender is local, or the device
    /// coalesced them.
    rx_csum_partial,
    /// Frames that lie in several buffers (VIRTIO_NET_F_MRG_RXBUF).
    rx_merged,
    /// Large frames that the device coalesced (VIRTIO_NET_F_GUEST_TSO4, 6).
    rx_gso,
    /// Dropped: checksum position beyond the end of the frame.
    rx_csum_errors,
    /// Dropped: no room for a virtio_net_hdr and an Ethernet header in what the device wrote, or not all
    /// of its buffers are there.
    rx_length_errors,
    /// Dropped: a GSO type that was not negotiated, or that does not go with the frame.
    rx_gso_errors,
    /// num_buffers was 0, or not 1 though VIRTIO_NET_F_MRG_RXBUF is not negotiated, or named more buffers
    /// than were used.
    rx_num_buffers_errors,
    /// A refill ended early because the receive pool was empty.
    rx_refill_failed,
    /// Doorbells of the receive queue.
    rx_kicks,
    /// Refills after which the device wanted no doorbell.
    rx_kicks_suppressed,
    /// Frames given to the device, a large one that it segments as one.
    tx_packets,
    /// Bytes of these frames, Ethernet header included, padding and FCS not.
    tx_bytes,
    /// Frames whose buffer the device has returned.
    tx_completed,
    /// Frames whose checksum is left to the device.
    tx_csum_offload,
    /// Frames whose checksum the driver completed, because the device cannot.
    tx_csum_software,
    /// Frames that were copied, because the device cannot reach the buffer they were in.
    tx_bounce,
    /// Frames with a header of its own descriptor, because there was no headroom.
    tx_header_desc,
    /// Frames in several pieces, each with a descriptor of its own.
    tx_sg,
    /// Of `tx_packets`, large ones that the device segments.
    tx_gso,
    /// Frames that came back to the stack because the ring was full.
    tx_busy,
    /// The queue became full and was stopped.
    tx_stopped,
    /// The queue had room again and was woken.
    tx_woken,
    /// Dropped: no buffer for the copy.
    tx_no_buffer,
    /// Dropped: shorter than an Ethernet header, or it or a segment of it longer than the MTU allows.
    tx_length_errors,
    /// Dropped: checksum position beyond the end of the frame.
    tx_csum_errors,
    /// Dropped: needs a segmentation that was not negotiated, or is not what it says to be.
    tx_gso_errors,
    /// Dropped: the device was waiting for its reset.
    tx_dead,
    /// Doorbells of the transmit queue.
    tx_kicks,
    /// Flushes after which the device wanted no doorbell.
    tx_kicks_suppressed,
    /// Commands over the control queue.
    ctrl_commands,
    /// Commands that the device answered with VIRTIO_NET_ERR.
    ctrl_refused,
    /// Calls of `handle_irq`.
    interrupts,
    /// Interrupts for which there was nothing to do.
    interrupts_spurious,
    /// Configuration change interrupts.
    config_changes,
    /// Configuration changes that could not be read.
    config_errors,
    /// NAPI polls.
    polls,
    /// Polls that used their budget up.
    polls_exhausted,
    /// Work that arrived while interrupts were being enabled: polled again.
    complete_races,
    /// The device used a buffer id that it did not have; the queue is broken.
    bad_used_id,
    /// Used length beyond what was offered; the frame is dropped.
    bad_used_len,
    /// Failed register accesses during operation.
    register_errors,
    /// Recoveries of the whole device.
    resets,
    /// Resets of a single queue.
    queue_resets,
    /// Receive buffers taken back by a reset.
    reset_rx_buffers,
    /// Frames lost because a reset took them back before they were sent.
    reset_tx_packets,
}
