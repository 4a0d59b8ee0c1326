//! Functional coverage: what the random stimulus has really done, in named bins.
//!
//! A sample has one value of each dimension. Bins are the values, the pairs of values of different
//! dimensions, and the triples of [`CROSSES`]; pairs that cannot be are left out by a rule with a reason, and
//! triples that hold one. A report names each bin that was never hit. (The cross of all ten dimensions has
//! 900,000 bins, as many as a long run has frames: it would tell of the number of frames only.)

use std::{collections::BTreeMap, fmt::Write as _};

/// What a sample is described by: a name, and the names of its values.
pub type Dimension = (&'static str, &'static [&'static str]);

/// The dimensions of a frame's way through the card, in the order of a sample's values.
pub const DIMENSIONS: [Dimension; 10] = [
    ("direction", &["receive", "transmit"]),
    (
        "length",
        &["64", "65-127", "128-511", "512-1518", "1519-9018", "9019-"],
    ),
    ("vlan", &["none", "one", "two"]),
    ("l3", &["other", "ipv4", "ipv4+options", "ipv6", "ipv6+ext"]),
    ("l4", &["other", "tcp", "udp"]),
    ("fragment", &["no", "yes"]),
    (
        "offload",
        &["none", "csum", "tso4", "tso6", "uso", "hash", "coalesced"],
    ),
    (
        "split",
        &[
            "one",
            "two",
            "several",
            "indirect",
            "merged",
            "merged+split",
        ],
    ),
    ("pressure", &["none", "some", "heavy", "flood"]),
    (
        "reset",
        &[
            "none",
            "after device",
            "after function",
            "after rx queue",
            "after tx queue",
        ],
    ),
];

/// One value of each of [`DIMENSIONS`].
pub type Sample = [u8; DIMENSIONS.len()];

/// Places of the dimensions in a sample.
pub mod dim {
    /// From the wire to the host, or from the host to the wire.
    pub const DIRECTION: usize = 0;
    /// Class of the length, bytes with FCS.
    pub const LENGTH: usize = 1;
    /// Number of VLAN tags.
    pub const VLAN: usize = 2;
    /// Network protocol.
    pub const L3: usize = 3;
    /// Transport protocol.
    pub const L4: usize = 4;
    /// Whether it is a fragment of an IP packet.
    pub const FRAGMENT: usize = 5;
    /// What the card did for the host.
    pub const OFFLOAD: usize = 6;
    /// How the buffers were made of descriptors.
    pub const SPLIT: usize = 7;
    /// What held the card up.
    pub const PRESSURE: usize = 8;
    /// Which reset came before.
    pub const RESET: usize = 9;
}

/// Dimensions whose values meet in one block of the card, so that triples count: what is parsed and what is done
/// with it, and what is done while buffers are split, the bus is slow, or a reset came before.
const CROSSES: [[usize; 3]; 5] = [
    [dim::VLAN, dim::L3, dim::OFFLOAD],
    [dim::L3, dim::L4, dim::OFFLOAD],
    [dim::LENGTH, dim::OFFLOAD, dim::SPLIT],
    [dim::OFFLOAD, dim::SPLIT, dim::PRESSURE],
    [dim::OFFLOAD, dim::PRESSURE, dim::RESET],
];

/// A value by the names of its dimension and itself.
type Name = (&'static str, &'static str);

/// A frame that is cut is sent; buffers are merged and the wire is flooded where frames are received.
const SENT: &str = "cut on the way out, and of received frames";

/// Pairs that cannot be, and why.
const IMPOSSIBLE: &[(Name, Name, &str)] = &[
    (
        ("direction", "receive"),
        ("offload", "tso4"),
        "cut on the way out",
    ),
    (
        ("direction", "receive"),
        ("offload", "tso6"),
        "cut on the way out",
    ),
    (
        ("direction", "receive"),
        ("offload", "uso"),
        "cut on the way out",
    ),
    (
        ("direction", "transmit"),
        ("offload", "hash"),
        "of received frames",
    ),
    (
        ("direction", "transmit"),
        ("offload", "coalesced"),
        "of received frames",
    ),
    (
        ("direction", "transmit"),
        ("split", "merged"),
        "of received frames",
    ),
    (
        ("direction", "transmit"),
        ("split", "merged+split"),
        "of received frames",
    ),
    (
        ("direction", "transmit"),
        ("pressure", "flood"),
        "of the wire",
    ),
    (("l3", "other"), ("l4", "tcp"), "no packet"),
    (("l3", "other"), ("l4", "udp"), "no packet"),
    (("l3", "other"), ("fragment", "yes"), "no packet"),
    (("l3", "other"), ("offload", "tso4"), "no packet"),
    (("l3", "other"), ("offload", "tso6"), "no packet"),
    (("l3", "other"), ("offload", "uso"), "no packet"),
    (("l3", "other"), ("offload", "coalesced"), "no packet"),
    (("l3", "other"), ("offload", "hash"), "no packet"),
    (
        ("l3", "ipv6"),
        ("fragment", "yes"),
        "a fragment has an extension header",
    ),
    (("l3", "ipv6"), ("offload", "tso4"), "of IPv4"),
    (("l3", "ipv6+ext"), ("offload", "tso4"), "of IPv4"),
    (("l3", "ipv4"), ("offload", "tso6"), "of IPv6"),
    (("l3", "ipv4+options"), ("offload", "tso6"), "of IPv6"),
    (
        ("l3", "ipv4+options"),
        ("offload", "coalesced"),
        "options are not coalesced",
    ),
    (
        ("l3", "ipv6+ext"),
        ("offload", "coalesced"),
        "extensions are not coalesced",
    ),
    (("l4", "other"), ("offload", "tso4"), "of TCP"),
    (("l4", "other"), ("offload", "tso6"), "of TCP"),
    (("l4", "other"), ("offload", "uso"), "of UDP"),
    (("l4", "other"), ("offload", "coalesced"), "of TCP"),
    (("l4", "udp"), ("offload", "tso4"), "of TCP"),
    (("l4", "udp"), ("offload", "tso6"), "of TCP"),
    (("l4", "udp"), ("offload", "coalesced"), "of TCP"),
    (("l4", "tcp"), ("offload", "uso"), "of UDP"),
    (
        ("fragment", "yes"),
        ("l4", "tcp"),
        "transport headers of fragments are not looked at",
    ),
    (
        ("fragment", "yes"),
        ("l4", "udp"),
        "transport headers of fragments are not looked at",
    ),
    (("fragment", "yes"), ("offload", "tso4"), "dropped"),
    (("fragment", "yes"), ("offload", "tso6"), "dropped"),
    (("fragment", "yes"), ("offload", "uso"), "dropped"),
    (
        ("fragment", "yes"),
        ("offload", "coalesced"),
        "fragments are not coalesced",
    ),
    (
        ("length", "64"),
        ("offload", "coalesced"),
        "two segments with payload are longer",
    ),
    (
        ("length", "64"),
        ("offload", "tso6"),
        "headers of IPv6 and TCP are longer",
    ),
    (("offload", "tso4"), ("split", "merged"), SENT),
    (("offload", "tso4"), ("split", "merged+split"), SENT),
    (("offload", "tso4"), ("pressure", "flood"), SENT),
    (("offload", "tso6"), ("split", "merged"), SENT),
    (("offload", "tso6"), ("split", "merged+split"), SENT),
    (("offload", "tso6"), ("pressure", "flood"), SENT),
    (("offload", "uso"), ("split", "merged"), SENT),
    (("offload", "uso"), ("split", "merged+split"), SENT),
    (("offload", "uso"), ("pressure", "flood"), SENT),
    (
        ("length", "64"),
        ("l3", "ipv6+ext"),
        "headers and UDP are longer",
    ),
];

/// Dimension and value by their places.
type Value = (usize, u8);

/// Counts by sample.
#[derive(Debug, Clone, Default)]
pub struct Coverage {
    samples: BTreeMap<Sample, u64>,
    /// Values that nothing of the device under test can give, because it does not offer the feature.
    absent: Vec<Value>,
}

fn value(dimension: usize, name: &str) -> Option<u8> {
    let index = DIMENSIONS[dimension].1.iter().position(|v| *v == name)?;
    u8::try_from(index).ok()
}

/// A value by the names of its dimension and itself.
fn named((dimension, name): (&str, &str)) -> Option<Value> {
    let index = DIMENSIONS.iter().position(|d| d.0 == dimension)?;
    Some((index, value(index, name)?))
}

impl Coverage {
    /// Counts a sample.
    pub fn hit(&mut self, sample: Sample) {
        *self.samples.entry(sample).or_default() += 1;
    }

    /// Leaves a value out: the device does not offer what it needs.
    pub fn absent(&mut self, dimension: &str, name: &str) {
        if let Some(value) = named((dimension, name))
            && !self.absent.contains(&value)
        {
            self.absent.push(value);
        }
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (sample, n) in &other.samples {
            *self.samples.entry(*sample).or_default() += n;
        }
        for value in &other.absent {
            if !self.absent.contains(value) {
                self.absent.push(*value);
            }
        }
    }

    /// Samples counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.samples.values().sum()
    }

    fn possible(&self, a: Value, b: Value) -> bool {
        let ruled_out = IMPOSSIBLE.iter().any(|(x, y, _)| {
            let (x, y) = (named(*x), named(*y));
            (x, y) == (Some(a), Some(b)) || (x, y) == (Some(b), Some(a))
        });
        !ruled_out && !self.absent.contains(&a) && !self.absent.contains(&b)
    }

    /// All bins with their counts, by name: single values, then pairs, then triples.
    #[must_use]
    pub fn bins(&self) -> Vec<(String, u64)> {
        let values: Vec<Value> = (0..DIMENSIONS.len())
            .flat_map(|d| (0..DIMENSIONS[d].1.len() as u8).map(move |v| (d, v)))
            .collect();
        let mut singles: BTreeMap<Value, u64> = BTreeMap::new();
        let mut pairs: BTreeMap<(Value, Value), u64> = BTreeMap::new();
        for (sample, n) in &self.samples {
            for (a, value) in sample.iter().enumerate() {
                *singles.entry((a, *value)).or_default() += n;
                for (b, other) in sample.iter().enumerate().skip(a + 1) {
                    *pairs.entry(((a, *value), (b, *other))).or_default() += n;
                }
            }
        }
        let name = |(d, v): Value| {
            let (dimension, values) = DIMENSIONS[d];
            format!("{dimension}={}", values[usize::from(v)])
        };
        let mut bins = Vec::new();
        for &a in values.iter().filter(|a| !self.absent.contains(a)) {
            bins.push((name(a), singles.get(&a).copied().unwrap_or(0)));
        }
        for &a in &values {
            for &b in values.iter().filter(|b| b.0 > a.0) {
                if self.possible(a, b) {
                    let n = pairs.get(&(a, b)).copied().unwrap_or(0);
                    bins.push((format!("{} x {}", name(a), name(b)), n));
                }
            }
        }
        for cross in CROSSES {
            let mut triples: BTreeMap<[u8; 3], u64> = BTreeMap::new();
            for (sample, n) in &self.samples {
                *triples.entry(cross.map(|d| sample[d])).or_default() += n;
            }
            let of = |place: usize| values.iter().filter(move |v| v.0 == cross[place]);
            for (&a, &b, &c) in
                of(0).flat_map(|a| of(1).flat_map(move |b| of(2).map(move |c| (a, b, c))))
            {
                if self.possible(a, b) && self.possible(a, c) && self.possible(b, c) {
                    let n = triples.get(&[a.1, b.1, c.1]).copied().unwrap_or(0);
                    bins.push((format!("{} x {} x {}", name(a), name(b), name(c)), n));
                }
            }
        }
        bins
    }

    /// For people: how many bins there are, how many were hit, and the names of those that were not.
    #[must_use]
    pub fn report(&self) -> String {
        let bins = self.bins();
        let missed: Vec<&str> = bins
            .iter()
            .filter(|(_, n)| *n == 0)
            .map(|(name, _)| name.as_str())
            .collect();
        let mut text = format!(
            "functional coverage: {} of {} bins hit by {} frames, {} different ones\n",
            bins.len() - missed.len(),
            bins.len(),
            self.total(),
            self.samples.len(),
        );
        for (dimension, values) in self.absent.iter().map(|&(d, v)| {
            let (name, values) = DIMENSIONS[d];
            (name, values[usize::from(v)])
        }) {
            let _ = writeln!(text, "  not offered, left out: {dimension}={values}");
        }
        for (name, n) in bins.iter().filter(|(name, _)| !name.contains(" x ")) {
            let _ = writeln!(text, "  {name:<28} {n:>10}");
        }
        if missed.is_empty() {
            text.push_str("  never hit: none\n");
        }
        for name in missed {
            let _ = writeln!(text, "  never hit: {name}");
        }
        text
    }
}

/// Class of a frame of `len` bytes without FCS; the classes' names count it.
#[must_use]
pub fn length_class(len: usize) -> u8 {
    match len + 4 {
        0..=64 => 0,
        65..=127 => 1,
        128..=511 => 2,
        512..=1518 => 3,
        1519..=9018 => 4,
        _ => 5,
    }
}

/// Values of VLAN, L3, L4 and FRAGMENT of an Ethernet frame, by its headers alone.
#[must_use]
pub fn classify(frame: &[u8]) -> [u8; 4] {
    let word = |at: usize| {
        let bytes = frame.get(at..at + 2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    };
    let mut at = 12;
    let mut tags = 0;
    while tags < 2 && matches!(word(at), Some(0x8100 | 0x88a8)) {
        at += 4;
        tags += 1;
    }
    let l3 = at + 2;
    let byte = |at: usize| frame.get(at).copied();
    let l4 = |protocol: Option<u8>| match protocol {
        Some(6) => 1,
        Some(17) => 2,
        _ => 0,
    };
    match (word(at), byte(l3).map(|b| b >> 4)) {
        (Some(0x0800), Some(4)) => {
            let options = byte(l3).is_some_and(|b| b & 15 > 5);
            let fragment = word(l3 + 6).is_some_and(|w| w & 0x3fff != 0);
            let transport = if fragment { 0 } else { l4(byte(l3 + 9)) };
            [
                tags,
                if options { 2 } else { 1 },
                transport,
                fragment.into(),
            ]
        }
        (Some(0x86dd), Some(6)) => {
            let (mut next, mut place) = (byte(l3 + 6), l3 + 40);
            let (mut extensions, mut fragment) = (false, false);
            for _ in 0..8 {
                match next {
                    Some(0 | 43 | 60) => {
                        extensions = true;
                        let units = byte(place + 1).unwrap_or(0);
                        (next, place) = (byte(place), place + 8 + 8 * usize::from(units));
                    }
                    Some(44) => {
                        (extensions, fragment) = (true, true);
                        (next, place) = (byte(place), place + 8);
                    }
                    _ => break,
                }
            }
            let transport = if fragment { 0 } else { l4(next) };
            [
                tags,
                if extensions { 4 } else { 3 },
                transport,
                fragment.into(),
            ]
        }
        _ => [tags, 0, 0, 0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_name_what_exists() {
        for (a, b, _) in IMPOSSIBLE {
            assert!(named(*a).is_some() && named(*b).is_some(), "{a:?} {b:?}");
        }
        assert_eq!(named(("split", "merged")), Some((dim::SPLIT, 4)));
        assert_eq!(DIMENSIONS[dim::RESET].0, "reset");
    }

    #[test]
    fn what_was_not_hit_is_named() {
        let mut coverage = Coverage::default();
        coverage.absent("offload", "uso");
        coverage.hit([0; DIMENSIONS.len()]);
        let bins = coverage.bins();
        let count = |name: &str| bins.iter().find(|b| b.0 == name).map(|b| b.1);
        assert_eq!(count("direction=receive x length=64"), Some(1));
        assert_eq!(count("direction=transmit x length=64"), Some(0));
        assert_eq!(
            count("direction=receive x offload=tso4"),
            None,
            "impossible"
        );
        assert_eq!(count("direction=transmit x offload=uso"), None, "absent");
        assert_eq!(count("vlan=none x l3=other x offload=none"), Some(1));
        assert_eq!(count("vlan=none x l3=ipv4 x offload=none"), Some(0));
        assert_eq!(count("vlan=none x l3=other x offload=tso4"), None);
        let report = coverage.report();
        assert!(report.contains("never hit: direction=transmit x length=64\n"));
        assert!(!report.contains("never hit: direction=receive x length=64\n"));
    }
}
