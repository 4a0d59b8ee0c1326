//! Feature bits (virtio 2.2, 5.1.3, 6) and their negotiation.

use std::fmt;
use std::ops::{BitAnd, BitOr, Not};

use crate::error::Error;

/// A set of virtio feature bits.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Feature(u64);

macro_rules! features {
    ($($(#[$doc:meta])* $name:ident = $bit:literal;)*) => {
        impl Feature {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*
        }
        const NAMES: &[(&str, u64)] = &[$((stringify!($name), 1 << $bit)),*];
    };
}

features! {
    /// VIRTIO_NET_F_CSUM (5.1.3): the device completes checksums of transmitted packets.
    CSUM = 0;
    /// VIRTIO_NET_F_GUEST_CSUM (5.1.3): the driver takes packets with partial or verified checksum.
    GUEST_CSUM = 1;
    /// VIRTIO_NET_F_MTU (5.1.3): `mtu` of the device configuration is valid.
    MTU = 3;
    /// VIRTIO_NET_F_MAC (5.1.3): `mac` of the device configuration is valid.
    MAC = 5;
    /// VIRTIO_NET_F_GUEST_TSO4 (5.1.3): the driver takes TCP over IPv4 that the device coalesced.
    GUEST_TSO4 = 7;
    /// VIRTIO_NET_F_GUEST_TSO6 (5.1.3): the driver takes TCP over IPv6 that the device coalesced.
    GUEST_TSO6 = 8;
    /// VIRTIO_NET_F_HOST_TSO4 (5.1.3): the device segments TCP over IPv4.
    HOST_TSO4 = 11;
    /// VIRTIO_NET_F_HOST_TSO6 (5.1.3): the device segments TCP over IPv6.
    HOST_TSO6 = 12;
    /// VIRTIO_NET_F_HOST_ECN (5.1.3): the device segments TCP with CWR, for the first segment only.
    HOST_ECN = 13;
    /// VIRTIO_NET_F_MRG_RXBUF (5.1.3): a received packet may lie in several buffers.
    MRG_RXBUF = 15;
    /// VIRTIO_NET_F_STATUS (5.1.3): `status` of the device configuration is valid.
    STATUS = 16;
    /// VIRTIO_NET_F_CTRL_VQ (5.1.3): there is a control queue.
    CTRL_VQ = 17;
    /// VIRTIO_NET_F_CTRL_RX (5.1.3): receive modes and MAC table over the control queue.
    CTRL_RX = 18;
    /// VIRTIO_NET_F_CTRL_VLAN (5.1.3): VLAN filter over the control queue.
    CTRL_VLAN = 19;
    /// VIRTIO_NET_F_MQ (5.1.3): several queue pairs, the receive queue chosen by the device.
    MQ = 22;
    /// VIRTIO_NET_F_CTRL_MAC_ADDR (5.1.3): the MAC address can be set over the control queue.
    CTRL_MAC_ADDR = 23;
    /// VIRTIO_F_EVENT_IDX (6): notifications can be asked for at a descriptor.
    EVENT_IDX = 29;
    /// VIRTIO_F_VERSION_1 (6): not a legacy device.
    VERSION_1 = 32;
    /// VIRTIO_F_ACCESS_PLATFORM (6): addresses are bus addresses.
    ACCESS_PLATFORM = 33;
    /// VIRTIO_F_RING_PACKED (6): packed virtqueue layout.
    RING_PACKED = 34;
    /// VIRTIO_F_IN_ORDER (6): buffers are used in the order in which they were made available.
    IN_ORDER = 35;
    /// VIRTIO_F_RING_RESET (6): a single queue can be reset.
    RING_RESET = 40;
    /// VIRTIO_NET_F_NOTF_COAL (5.1.3): interrupt moderation over the control queue.
    NOTF_COAL = 53;
    /// VIRTIO_NET_F_HOST_USO (5.1.3): the device segments UDP.
    HOST_USO = 56;
    /// VIRTIO_NET_F_RSS (5.1.3): the receive queue is chosen by Toeplitz hash and a table of the driver.
    RSS = 60;
    /// VIRTIO_NET_F_SPEED_DUPLEX (5.1.3): `speed` and `duplex` are valid.
    SPEED_DUPLEX = 63;
}

impl Feature {
    /// No feature.
    pub const NONE: Self = Self(0);

    /// One queue pair, one frame to a buffer: what every virtio network device of version 1 is fast with.
    pub const BASIC: Self = Self(
        Self::CSUM.0
            | Self::GUEST_CSUM.0
            | Self::MTU.0
            | Self::MAC.0
            | Self::STATUS.0
            | Self::EVENT_IDX.0
            | Self::VERSION_1.0
            | Self::ACCESS_PLATFORM.0
            | Self::RING_PACKED.0
            | Self::IN_ORDER.0
            | Self::RING_RESET.0
            | Self::SPEED_DUPLEX.0,
    );

    /// Everything that this driver knows how to use.
    pub const SUPPORTED: Self = Self(
        Self::BASIC.0
            | Self::GUEST_TSO.0
            | Self::HOST_GSO.0
            | Self::MRG_RXBUF.0
            | Self::CTRL_VQ.0
            | Self::CONTROLLED.0,
    );

    /// The device hands over packets that it coalesced.
    pub const GUEST_TSO: Self = Self(Self::GUEST_TSO4.0 | Self::GUEST_TSO6.0);

    /// The device segments what the driver hands over.
    pub const HOST_GSO: Self =
        Self(Self::HOST_TSO4.0 | Self::HOST_TSO6.0 | Self::HOST_ECN.0 | Self::HOST_USO.0);

    /// What is configured over the control queue.
    pub const CONTROLLED: Self = Self(
        Self::CTRL_RX.0
            | Self::CTRL_VLAN.0
            | Self::CTRL_MAC_ADDR.0
            | Self::MQ.0
            | Self::RSS.0
            | Self::NOTF_COAL.0,
    );

    /// What the driver cannot work without: there is no split ring here.
    pub const REQUIRED: Self = Self(Self::VERSION_1.0 | Self::RING_PACKED.0);

    /// The set with the given bits; bit n is feature bit n.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits; bit n is feature bit n.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// True when every bit of `other` is in the set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The set without the bits of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What the driver accepts from `offered` when `mask` is what its user allows
    /// (virtio 3.1.1 step 4: never a bit that was not offered).
    ///
    /// # Errors
    /// [`Error::MissingFeature`] when a required bit is not offered, [`Error::Options`] when
    /// `mask` forbids one.
    pub fn negotiate(offered: Self, mask: Self) -> Result<Self, Error> {
        if !mask.contains(Self::REQUIRED) {
            return Err(Error::Options {
                option: "features",
                reason: "VERSION_1 and RING_PACKED cannot be switched off",
            });
        }
        if !offered.contains(Self::REQUIRED) {
            return Err(Error::MissingFeature {
                missing: Self::REQUIRED.without(offered),
            });
        }
        Ok((offered & mask & Self::SUPPORTED).consistent())
    }

    /// The set without features whose requirements are not in it (virtio 5.1.3.1), and without
    /// coalesced packets where they would need buffers of 64 KiB each.
    #[must_use]
    fn consistent(self) -> Self {
        let mut set = self;
        if !set.contains(Self::CSUM) {
            set = set.without(Self::HOST_GSO);
        }
        if set & (Self::HOST_TSO4 | Self::HOST_TSO6) == Self::NONE {
            set = set.without(Self::HOST_ECN);
        }
        if !set.contains(Self::GUEST_CSUM | Self::MRG_RXBUF) {
            set = set.without(Self::GUEST_TSO);
        }
        if !set.contains(Self::CTRL_VQ) {
            set = set.without(Self::CONTROLLED);
        }
        set
    }
}

impl BitOr for Feature {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Feature {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Not for Feature {
    type Output = Self;
    fn not(self) -> Self {
        Self(!self.0)
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        let mut separator = "";
        for &(name, bit) in NAMES {
            if rest & bit != 0 {
                write!(f, "{separator}{name}")?;
                separator = "|";
                rest &= !bit;
            }
        }
        if rest != 0 || self.0 == 0 {
            write!(f, "{separator}{rest:#x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Feature({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_only_what_is_offered_allowed_and_known() {
        let offered =
            Feature::REQUIRED | Feature::CSUM | Feature::MAC | Feature::from_bits(1 << 28);
        let got = Feature::negotiate(offered, !Feature::CSUM).unwrap();
        assert_eq!(got, Feature::REQUIRED | Feature::MAC);
    }

    #[test]
    fn what_needs_a_missing_feature_is_not_accepted() {
        let without = |off: Feature| Feature::negotiate(Feature::SUPPORTED, !off).unwrap();
        let all = Feature::SUPPORTED;
        for (off, gone) in [
            (Feature::NONE, Feature::NONE),
            (Feature::CSUM, Feature::HOST_GSO),
            (Feature::HOST_TSO4, Feature::NONE),
            (Feature::HOST_TSO4 | Feature::HOST_TSO6, Feature::HOST_ECN),
            (Feature::GUEST_CSUM, Feature::GUEST_TSO),
            (Feature::MRG_RXBUF, Feature::GUEST_TSO),
            (Feature::CTRL_VQ, Feature::CONTROLLED),
        ] {
            assert_eq!(without(off), all.without(off).without(gone), "{off}");
        }
    }

    #[test]
    fn required_bits_are_required() {
        let offered = Feature::SUPPORTED.without(Feature::RING_PACKED);
        assert!(matches!(
            Feature::negotiate(offered, Feature::SUPPORTED),
            Err(Error::MissingFeature {
                missing: Feature::RING_PACKED
            })
        ));
        assert!(matches!(
            Feature::negotiate(Feature::SUPPORTED, !Feature::VERSION_1),
            Err(Error::Options {
                option: "features",
                ..
            })
        ));
    }

    #[test]
    fn names_are_printed() {
        let set = Feature::CSUM | Feature::RING_PACKED | Feature::from_bits(1 << 61);
        assert_eq!(set.to_string(), "CSUM|RING_PACKED|0x2000000000000000");
        assert_eq!(Feature::NONE.to_string(), "0x0");
    }
}
