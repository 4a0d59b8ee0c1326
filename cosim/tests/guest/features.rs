//! What card and kernel agree on.

use driver::Feature;

use crate::cases::{ETH, Outcome, VIRTIO};
use crate::machine::Machine;

/// What the card offers beside what every card has.
fn offers(pairs: u16) -> Feature {
    let optional = Feature::CSUM
        | Feature::GUEST_CSUM
        | Feature::HOST_TSO4
        | Feature::HOST_TSO6
        | Feature::HOST_ECN
        | Feature::HOST_USO
        | Feature::GUEST_TSO4
        | Feature::GUEST_TSO6
        | Feature::MRG_RXBUF
        | Feature::STATUS
        | Feature::MTU
        | Feature::SPEED_DUPLEX
        | Feature::EVENT_IDX
        | Feature::IN_ORDER
        | Feature::RING_RESET
        | Feature::CTRL_VQ
        | Feature::CTRL_RX
        | Feature::CTRL_VLAN
        | Feature::CTRL_MAC_ADDR
        | Feature::NOTF_COAL
        | Feature::RSS;
    if pairs > 1 {
        optional | Feature::MQ
    } else {
        optional
    }
}

/// What a kernel of this release takes of it.
fn known(release: &str) -> Result<Feature, String> {
    let digits = |part: &str| {
        part.split(|c: char| !c.is_ascii_digit())
            .next()
            .map(str::parse::<u32>)
    };
    let mut numbers = release.split('.').filter_map(digits);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        return Err(format!("a kernel of release {release}"));
    };
    let since = [
        // virtio_net segments UDP since 6.2.
        (Feature::HOST_USO, (6, 2)),
        // virtio_ring knows IN_ORDER since 7.0.
        (Feature::IN_ORDER, (7, 0)),
    ];
    let unknown = since
        .into_iter()
        .filter(|(_, since)| (major, minor) < *since)
        .fold(Feature::NONE, |all, (feature, _)| all | feature);
    Ok(!unknown)
}

// shows (guest): 4.1.1-1, 5.1.4.1-8, 5.1.4.1-9
pub fn binds(m: &mut Machine) -> Outcome {
    m.wait_for(
        &format!("basename $(readlink {VIRTIO}/driver)"),
        "virtio_net",
    )?;
    let stats = m.stats()?;
    let bits =
        |index: usize| Feature::from_bits(stats["feature_bits"][index].as_u64().unwrap_or(0));
    let (offered, acknowledged) = (bits(0), bits(1));

    // The kernel's own account, bit 0 first.
    let features = m.run(&format!("cat {VIRTIO}/features"))?;
    let bit = |(n, c): (usize, char)| u64::from(n < 64 && c == '1') << (n % 64);
    let kernels = features
        .trim()
        .chars()
        .enumerate()
        .map(bit)
        .fold(0, |a, b| a | b);
    if kernels != acknowledged.bits() {
        let kernels = Feature::from_bits(kernels);
        return Err(format!(
            "the kernel says {kernels}, the card {acknowledged}"
        ));
    }
    let always =
        Feature::VERSION_1 | Feature::RING_PACKED | Feature::ACCESS_PLATFORM | Feature::MAC;
    let bare = m.setup.serve.contains(&"--features-off");
    let expected = if bare {
        always
    } else {
        always | offers(m.setup.pairs)
    };
    if !offered.contains(expected) || bare && offered != expected {
        return Err(format!("offered: {offered}, not {expected}"));
    }
    let release = m.release().to_string();
    let known = known(&release)?;
    let missing = expected & known & !acknowledged;
    if missing != Feature::NONE {
        return Err(format!("acknowledged: {acknowledged}, and not {missing}"));
    }
    // Without SPEED_DUPLEX the driver does not know.
    let (speed, duplex) = if bare {
        ("-1", "unknown")
    } else {
        ("10000", "full")
    };
    let fields = [
        ("address", "02:00:00:00:00:0b"),
        ("mtu", "1500"),
        ("speed", speed),
        ("duplex", duplex),
        ("carrier", "1"),
    ];
    for (field, value) in fields {
        m.wait_for(&format!("cat {ETH}/{field}"), value)?;
    }
    let vectors = m.run("grep -c MSI.*virtio0 /proc/interrupts")?;
    let vectors = vectors.trim();
    if vectors != (1 + 2 * m.setup.pairs).to_string() {
        return Err(format!("{vectors} MSI-X vectors"));
    }
    Ok(format!(
        "packed ring, {vectors} MSI-X vectors, speed {speed}, duplex {duplex}"
    ))
}
