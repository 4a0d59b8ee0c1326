//! Names of the virtio features that can be switched off.

use driver::Feature;

/// Features that the user may switch off: name as in the specification, without its prefix.
const OPTIONAL: &[(&str, Feature)] = &[
    ("CSUM", Feature::CSUM),
    ("GUEST_CSUM", Feature::GUEST_CSUM),
    ("MTU", Feature::MTU),
    ("MAC", Feature::MAC),
    ("STATUS", Feature::STATUS),
    ("SPEED_DUPLEX", Feature::SPEED_DUPLEX),
    ("EVENT_IDX", Feature::EVENT_IDX),
    ("IN_ORDER", Feature::IN_ORDER),
    ("RING_RESET", Feature::RING_RESET),
];

/// Text of `--help` for the option.
pub const LONG_HELP: &str = "\
virtio features that the NIC does not offer, with commas between them:
  CSUM          checksums of sent packets are filled in by the NIC
  GUEST_CSUM    checksums of received packets are verified by the NIC
  EVENT_IDX     interrupts and doorbells can be asked for at a descriptor
  IN_ORDER      buffers are used in the order in which they were made available
  RING_RESET    a single queue can be reset
  MAC, MTU, STATUS, SPEED_DUPLEX   fields of the device configuration";

/// Reads one feature's name, in either case, with or without `VIRTIO_NET_F_`, `VIRTIO_F_`.
///
/// # Errors
/// A sentence with the names that are known.
pub fn parse(name: &str) -> Result<Feature, String> {
    let upper = name.trim().to_ascii_uppercase();
    let short = upper
        .strip_prefix("VIRTIO_NET_F_")
        .or_else(|| upper.strip_prefix("VIRTIO_F_"))
        .unwrap_or(&upper);
    OPTIONAL
        .iter()
        .find(|(known, _)| *known == short)
        .map(|(_, feature)| *feature)
        .ok_or_else(|| {
            let names: Vec<_> = OPTIONAL.iter().map(|(name, _)| *name).collect();
            format!(
                "no such feature, or one that is always needed; known: {}",
                names.join(", ")
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_every_spelling() {
        for name in ["csum", "CSUM", "VIRTIO_NET_F_CSUM", " csum "] {
            assert_eq!(parse(name), Ok(Feature::CSUM), "{name}");
        }
        assert_eq!(parse("VIRTIO_F_IN_ORDER"), Ok(Feature::IN_ORDER));
        for name in ["", "RING_PACKED", "nonsense"] {
            assert!(parse(name).is_err(), "{name}");
        }
    }
}
