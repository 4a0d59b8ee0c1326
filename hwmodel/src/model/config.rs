use super::spec::feature;
use crate::{Error, Ps};

/// Queue pairs at most (design of the register map: doorbells and vectors).
pub const MAX_QUEUE_PAIRS: u16 = 8;

/// Everything that the model can do; [`ModelConfig::features`] chooses from it.
pub const SUPPORTED: u64 = feature::VERSION_1
    | feature::RING_PACKED
    | feature::ACCESS_PLATFORM
    | feature::RING_INDIRECT_DESC
    | feature::RING_EVENT_IDX
    | feature::IN_ORDER
    | feature::RING_RESET
    | feature::CSUM
    | feature::GUEST_CSUM
    | feature::HOST_TSO4
    | feature::HOST_TSO6
    | feature::HOST_ECN
    | feature::HOST_USO
    | feature::GUEST_TSO4
    | feature::GUEST_TSO6
    | feature::MRG_RXBUF
    | feature::MAC
    | feature::MTU
    | feature::STATUS
    | feature::SPEED_DUPLEX
    | feature::CTRL_VQ
    | feature::CTRL_RX
    | feature::CTRL_MAC_ADDR
    | feature::CTRL_VLAN
    | feature::MQ
    | feature::RSS
    | feature::HASH_REPORT
    | feature::NOTF_COAL;

/// Options of the model, and its timing. Times are picoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelConfig {
    /// Permanent address, first octet on the wire first.
    pub mac: [u8; 6],
    /// Bytes, 68..=9202. Frames may have 18 bytes more: Ethernet header and one VLAN tag.
    pub mtu: u16,
    /// Virtio feature bits that may be offered; what the model lacks, and what needs a feature that
    /// is not among them, is not offered anyway.
    pub features: u64,
    /// Receive and transmit queue pairs, 1..=8.
    pub queue_pairs: u16,
    /// Descriptors that queue_size reads after reset, 1..=32768.
    pub max_queue_size: u16,
    /// The link is up at power-on.
    pub link_up: bool,
    /// From a doorbell, or a descriptor, to the data that the device reads because of it.
    pub dma_read_latency: Ps,
    /// From the end of a frame, or a decision to interrupt, until the host can see it.
    pub dma_write_latency: Ps,
    /// Round trip of a register read.
    pub mmio_read_latency: Ps,
    /// One way of a posted register write.
    pub mmio_write_latency: Ps,
    /// How long coalescing holds a received segment back at most.
    pub coalesce_timeout: Ps,
    /// Bytes of host memory.
    pub memory: usize,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            mac: [0x02, 0, 0, 0, 0, 0x01],
            mtu: 1500,
            features: u64::MAX,
            queue_pairs: 1,
            max_queue_size: 1024,
            link_up: true,
            dma_read_latency: 500_000,
            dma_write_latency: 200_000,
            mmio_read_latency: 800_000,
            mmio_write_latency: 250_000,
            coalesce_timeout: 20_000_000,
            memory: 64 << 20,
        }
    }
}

impl ModelConfig {
    /// # Errors
    /// [`Error::Config`].
    pub(super) fn check(&self) -> Result<(), Error> {
        let wrong = |name, value: u64, range| Err(Error::Config { name, value, range });
        if !(68..=9202).contains(&self.mtu) {
            return wrong("mtu", self.mtu.into(), "68..=9202 bytes");
        }
        if self.mac[0] & 1 != 0 {
            let name = "first octet of the MAC address";
            return wrong(name, self.mac[0].into(), "the unicast addresses");
        }
        if !(1..=MAX_QUEUE_PAIRS).contains(&self.queue_pairs) {
            return wrong("queue_pairs", self.queue_pairs.into(), "1..=8");
        }
        if !(1..=32768).contains(&self.max_queue_size) {
            let value = self.max_queue_size.into();
            return wrong("max_queue_size", value, "1..=32768 descriptors");
        }
        Ok(())
    }

    /// The features that are offered: those asked for that the model has and whose requirements are
    /// offered as well (5.1.3.1).
    #[must_use]
    pub fn offered(&self) -> u64 {
        let mut offered = self.features & SUPPORTED;
        if self.queue_pairs == 1 {
            // One pair has nothing to choose; a hash can still be reported.
            offered &= !feature::MQ;
        }
        loop {
            let unmet = feature::unmet(offered);
            if unmet == 0 {
                return offered;
            }
            offered &= !unmet;
        }
    }

    /// Virtqueues: pairs, and the control queue if there is one.
    pub(super) fn queues(&self) -> u16 {
        2 * self.queue_pairs + u16::from(self.offered() & feature::CTRL_VQ != 0)
    }

    /// Longest frame on the wire, bytes without FCS, with a VLAN tag; 4 less without one.
    pub(super) fn max_frame(&self) -> usize {
        usize::from(self.mtu) + 18
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // shows (model): 2.2.2-1, 5.1.3.1-1
    #[test]
    fn what_needs_a_missing_feature_is_not_offered() {
        let offer = |off: u64| {
            let features = !off;
            let queue_pairs = 2;
            ModelConfig {
                features,
                queue_pairs,
                ..ModelConfig::default()
            }
            .offered()
        };
        assert_eq!(offer(0), SUPPORTED);
        let needs_csum = feature::HOST_TSO4 | feature::HOST_TSO6 | feature::HOST_USO;
        let gone = feature::CSUM | needs_csum | feature::HOST_ECN;
        assert_eq!(offer(feature::CSUM), SUPPORTED & !gone);
        let left = offer(feature::CTRL_VQ) & (feature::MQ | feature::RSS | feature::CTRL_RX);
        assert_eq!(left, 0);
    }

    // shows (model): 5.1.4.1-1, 5.1.4.1-2
    #[test]
    fn options_out_of_range_are_refused() {
        let good = ModelConfig::default();
        assert!(good.check().is_ok());
        let bad = [
            ModelConfig {
                mtu: 67,
                ..good.clone()
            },
            ModelConfig {
                mtu: 9203,
                ..good.clone()
            },
            ModelConfig {
                mac: [1; 6],
                ..good.clone()
            },
            ModelConfig {
                queue_pairs: 0,
                ..good.clone()
            },
            ModelConfig {
                queue_pairs: 9,
                ..good.clone()
            },
            ModelConfig {
                max_queue_size: 0,
                ..good.clone()
            },
            ModelConfig {
                max_queue_size: 32769,
                ..good
            },
        ];
        assert!(bad.iter().all(|config| config.check().is_err()));
    }
}
