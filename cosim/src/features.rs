//! Names of the virtio features that can be switched on and off.

use driver::Feature;
use hwmodel::model::feature;

/// Features that the user may switch: name as in the specification, without its prefix.
const OPTIONAL: &[(&str, u64)] = &[
    ("CSUM", feature::CSUM),
    ("GUEST_CSUM", feature::GUEST_CSUM),
    ("HOST_TSO4", feature::HOST_TSO4),
    ("HOST_TSO6", feature::HOST_TSO6),
    ("HOST_ECN", feature::HOST_ECN),
    ("HOST_USO", feature::HOST_USO),
    ("GUEST_TSO4", feature::GUEST_TSO4),
    ("GUEST_TSO6", feature::GUEST_TSO6),
    ("MRG_RXBUF", feature::MRG_RXBUF),
    ("CTRL_VQ", feature::CTRL_VQ),
    ("CTRL_RX", feature::CTRL_RX),
    ("CTRL_VLAN", feature::CTRL_VLAN),
    ("CTRL_MAC_ADDR", feature::CTRL_MAC_ADDR),
    ("MQ", feature::MQ),
    ("RSS", feature::RSS),
    ("HASH_REPORT", feature::HASH_REPORT),
    ("NOTF_COAL", feature::NOTF_COAL),
    ("INDIRECT_DESC", feature::RING_INDIRECT_DESC),
    ("EVENT_IDX", feature::RING_EVENT_IDX),
    ("IN_ORDER", feature::IN_ORDER),
    ("RING_RESET", feature::RING_RESET),
    ("MTU", feature::MTU),
    ("MAC", feature::MAC),
    ("STATUS", feature::STATUS),
    ("SPEED_DUPLEX", feature::SPEED_DUPLEX),
];

/// Text of `--help` for what is offered besides [`Feature::BASIC`].
pub const ON_LONG_HELP: &str = "\
virtio features that the NIC offers besides the basic ones, with commas between them, or `all`; what needs one that \
is not offered is not offered either. The names are those of --features-off. Basic are CSUM, GUEST_CSUM, MAC, MTU, STATUS, \
SPEED_DUPLEX, EVENT_IDX, IN_ORDER and RING_RESET: a card with one queue pair and no others is simulated fastest.";

/// Text of `--help` for what is not offered.
pub const LONG_HELP: &str = "\
virtio features that the NIC does not offer, with commas between them; what needs one of them goes with it:
  CSUM             checksums of sent packets are filled in by the NIC
  GUEST_CSUM       checksums of received packets are verified by the NIC
  HOST_TSO4, HOST_TSO6, HOST_ECN, HOST_USO   the NIC segments what is sent
  GUEST_TSO4, GUEST_TSO6   the NIC coalesces what it receives
  MRG_RXBUF        a received frame may lie in several buffers
  CTRL_VQ          a control queue, for CTRL_RX, CTRL_VLAN, CTRL_MAC_ADDR, MQ, RSS, HASH_REPORT, NOTF_COAL
  INDIRECT_DESC    descriptors in tables of their own
  EVENT_IDX        interrupts and doorbells can be asked for at a descriptor
  IN_ORDER         buffers are used in the order in which they were made available
  RING_RESET       a single queue can be reset
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
        .map(|(_, bits)| Feature::from_bits(*bits))
        .ok_or_else(|| {
            let names: Vec<_> = OPTIONAL.iter().map(|(name, _)| *name).collect();
            format!(
                "no such feature, or one that is always needed; known: {}",
                names.join(", ")
            )
        })
}

/// As [`parse`], and `all` for every feature.
///
/// # Errors
/// As there.
pub fn parse_on(name: &str) -> Result<Feature, String> {
    if name.trim().eq_ignore_ascii_case("all") {
        let all = OPTIONAL.iter().fold(0, |all, (_, bits)| all | bits);
        return Ok(Feature::from_bits(all));
    }
    parse(name)
}

/// All features of a list.
pub fn union(features: &[Feature]) -> Feature {
    features.iter().fold(Feature::NONE, |all, f| all | *f)
}

/// Names of all features in `bits`, in the order of their bits; what is unknown, as a number.
pub fn names(bits: u64) -> String {
    let needed = [
        ("VERSION_1", feature::VERSION_1),
        ("ACCESS_PLATFORM", feature::ACCESS_PLATFORM),
        ("RING_PACKED", feature::RING_PACKED),
    ];
    let mut known: Vec<_> = OPTIONAL.iter().copied().chain(needed).collect();
    known.sort_by_key(|(_, bit)| *bit);
    let unknown = known.iter().fold(bits, |rest, (_, bit)| rest & !bit);
    let named = known.iter().filter(|(_, bit)| bits & bit != 0);
    let mut names: Vec<String> = named.map(|(name, _)| (*name).into()).collect();
    if unknown != 0 || bits == 0 {
        names.push(format!("{unknown:#x}"));
    }
    names.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that can be offered can be switched off, but for what every driver needs.
    #[test]
    fn every_optional_feature_has_a_name() {
        let all = OPTIONAL.iter().fold(0, |all, (_, bits)| all | bits);
        let needed = feature::REQUIRED | feature::ACCESS_PLATFORM;
        assert_eq!(all, hwmodel::model::SUPPORTED & !needed);
    }

    #[test]
    fn names_in_every_spelling() {
        for name in ["csum", "CSUM", "VIRTIO_NET_F_CSUM", " csum "] {
            assert_eq!(parse(name), Ok(Feature::CSUM), "{name}");
        }
        assert_eq!(parse("VIRTIO_F_IN_ORDER"), Ok(Feature::IN_ORDER));
        for name in ["", "RING_PACKED", "nonsense"] {
            assert!(parse(name).is_err() && parse_on(name).is_err(), "{name}");
        }
        assert!(parse("all").is_err());
        let all = parse_on("All").unwrap();
        assert!(OPTIONAL.iter().all(|(_, bits)| all.bits() & bits != 0));
    }

    #[test]
    fn bits_have_names() {
        assert_eq!(names(0), "0x0");
        let bits = feature::CSUM | feature::VERSION_1 | feature::MQ | 1 << 50;
        assert_eq!(names(bits), "CSUM MQ VERSION_1 0x4000000000000");
    }
}
