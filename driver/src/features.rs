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
    /// VIRTIO_NET_F_STATUS (5.1.3): `status` of the device configuration is valid.
    STATUS = 16;
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
    /// VIRTIO_NET_F_SPEED_DUPLEX (5.1.3): `speed` and `duplex` are valid.
    SPEED_DUPLEX = 63;
}

impl Feature {
    /// No feature.
    pub const NONE: Self = Self(0);

    /// Everything that this driver knows how to use.
    pub const SUPPORTED: Self = Self(
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
        Ok(offered & mask & Self::SUPPORTED)
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
            Feature::REQUIRED | Feature::CSUM | Feature::MAC | Feature::from_bits(1 << 22);
        let got = Feature::negotiate(offered, !Feature::CSUM).unwrap();
        assert_eq!(got, Feature::REQUIRED | Feature::MAC);
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
        let set = Feature::CSUM | Feature::RING_PACKED | Feature::from_bits(1 << 60);
        assert_eq!(set.to_string(), "CSUM|RING_PACKED|0x1000000000000000");
        assert_eq!(Feature::NONE.to_string(), "0x0");
    }
}
