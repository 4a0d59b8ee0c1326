//! Which of several ways a flow takes (`fib_multipath_hash()`).

/// 31 bits that are the same for all packets of a flow, in both directions as the kernel's. `seed`: of this host. The kernel's own hash has
/// a random key too, so no particular value is right.
pub(crate) fn multipath_hash(seed: u64, a: u128, b: u128, ports: (u16, u16), protocol: u8) -> u32 {
    // __flow_hash_consistentify()
    let ((a, pa), (b, pb)) = match (a, ports.0) <= (b, ports.1) {
        true => ((a, ports.0), (b, ports.1)),
        false => ((b, ports.1), (a, ports.0)),
    };
    let transport = u64::from(pa) << 24 | u64::from(pb) << 8 | u64::from(protocol);
    let words = [
        a as u64,
        (a >> 64) as u64,
        b as u64,
        (b >> 64) as u64,
        transport,
    ];
    let mut hash = seed;
    for word in words {
        // splitmix64's finalizer.
        hash = (hash ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^= hash >> 31;
    }
    (hash >> 33) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_are_one_flow_and_flows_are_spread() {
        let there = multipath_hash(1, 10, 20, (1000, 53), 17);
        assert_eq!(multipath_hash(1, 20, 10, (53, 1000), 17), there);
        assert_ne!(multipath_hash(2, 10, 20, (1000, 53), 17), there);
        let low = (0..1000u16).filter(|&p| multipath_hash(1, 10, 20, (p, 53), 17) < 1 << 30);
        let low = low.count();
        assert!((430..570).contains(&low), "{low} of 1000 in the lower half");
    }
}
