//! Random TCP and UDP frames with right checksums, built by `etherparse`.

use crate::inet;
use etherparse::{
    DoubleVlanHeader, IpFragOffset, IpHeaders, IpNumber, Ipv4Header, Ipv6Extensions, Ipv6FlowLabel,
    Ipv6FragmentHeader, Ipv6Header, Ipv6RawExtHeader, Ipv6RoutingExtensions, PacketBuilder,
    PacketBuilderStep, SingleVlanHeader, TcpHeader, VlanHeader, VlanId,
};
use rand::{Rng, RngExt};

/// What a frame is to look like. `Default` is a plain UDP/IPv4 frame without payload.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    /// VLAN tags, 0..=2.
    pub tags: u8,
    /// IPv6 instead of IPv4.
    pub ipv6: bool,
    /// TCP instead of UDP.
    pub tcp: bool,
    /// 32-bit words of IPv4 options, 0..=10.
    pub ip_options: u8,
    /// 32-bit words of TCP options, 0..=10.
    pub tcp_options: u8,
    /// IPv6 extension headers: one bit each for hop-by-hop, destination options, routing, and
    /// destination options behind routing (only together with it).
    pub extensions: u8,
    /// A fragment: IPv4 more-fragments or offset, IPv6 fragment header.
    pub fragment: bool,
    /// Transport payload in bytes.
    pub payload: usize,
    /// The payload is all zeros, which no sum sees, instead of random.
    pub zeros: bool,
}

impl Shape {
    /// Any shape without fragmentation, payload up to `payload` bytes, short ones as often as long.
    pub fn random(rng: &mut impl Rng, payload: usize) -> Self {
        let most = if rng.random() {
            payload
        } else {
            payload.min(64)
        };
        Self {
            tags: rng.random_range(0..=2),
            ipv6: rng.random(),
            tcp: rng.random(),
            ip_options: if rng.random() {
                rng.random_range(0..=10)
            } else {
                0
            },
            tcp_options: if rng.random() {
                rng.random_range(0..=10)
            } else {
                0
            },
            extensions: if rng.random() {
                rng.random_range(0..16)
            } else {
                0
            },
            fragment: false,
            payload: rng.random_range(0..=most),
            zeros: false,
        }
    }
}

/// A frame without FCS and where its parts are.
#[derive(Debug, Clone)]
pub struct Frame {
    /// From the destination address to the end of the packet.
    pub bytes: Vec<u8>,
    /// Offset of the IP header.
    pub l3: usize,
    /// Offset of the transport header.
    pub l4: usize,
    /// Offset of the transport checksum from `l4`: 6 or 16.
    pub csum_offset: usize,
}

/// Builds a frame of this shape with random addresses, ports and contents.
///
/// # Panics
/// When `shape` is out of its ranges or beyond 64 KiB.
pub fn build(shape: &Shape, rng: &mut impl Rng) -> Frame {
    let mut payload = vec![0; shape.payload];
    if !shape.zeros {
        rng.fill_bytes(&mut payload);
    }

    let builder = network(shape, rng);
    let mut bytes = Vec::with_capacity(shape.payload + 200);
    let transport = if shape.tcp {
        let mut tcp = TcpHeader::new(rng.random(), rng.random(), rng.random(), rng.random());
        let mut options = vec![0; 4 * usize::from(shape.tcp_options)];
        rng.fill_bytes(&mut options);
        tcp.set_options_raw(&options)
            .expect("at most 40 bytes of options");
        let length = tcp.header_len();
        builder
            .tcp_header(tcp)
            .write(&mut bytes, &payload)
            .expect("a legal shape");
        length
    } else {
        builder
            .udp(rng.random(), rng.random())
            .write(&mut bytes, &payload)
            .expect("a legal shape");
        8
    };
    mix_tpids(&mut bytes, shape, rng);
    Frame {
        l3: 14 + 4 * usize::from(shape.tags),
        l4: bytes.len() - shape.payload - transport,
        csum_offset: if shape.tcp { 16 } else { 6 },
        bytes,
    }
}

/// Builds a frame of this shape up to the IP header, behind which `segment` stands for the transport
/// packet. Its first 16 bits are changed so that the sum with the pseudo-header is right.
///
/// # Panics
/// As [`build`].
pub fn build_segment(shape: &Shape, protocol: u8, segment: &[u8], rng: &mut impl Rng) -> Vec<u8> {
    let mut bytes = vec![];
    let builder = network(shape, rng);
    builder
        .write(&mut bytes, IpNumber(protocol), segment)
        .expect("a legal shape");
    mix_tpids(&mut bytes, shape, rng);
    let l3 = 14 + 4 * usize::from(shape.tags);
    let addresses = if shape.ipv6 {
        l3 + 8..l3 + 40
    } else {
        l3 + 12..l3 + 20
    };
    let l4 = bytes.len() - segment.len();
    if segment.len() >= 2 {
        let pseudo = inet::add(inet::sum(&bytes[addresses]), &[0, protocol]);
        let pseudo = inet::add(pseudo, &(segment.len() as u32).to_be_bytes());
        let word = !inet::add(pseudo, &bytes[l4 + 2..]);
        bytes[l4..l4 + 2].copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

/// Everything below the transport header.
fn network(shape: &Shape, rng: &mut impl Rng) -> PacketBuilderStep<IpHeaders> {
    let builder = PacketBuilder::ethernet2(rng.random(), rng.random());
    match shape.tags {
        0 => builder.ip(ip_headers(shape, rng)),
        1 => builder
            .vlan(VlanHeader::Single(tag(rng)))
            .ip(ip_headers(shape, rng)),
        _ => {
            let double = DoubleVlanHeader {
                outer: tag(rng),
                inner: tag(rng),
            };
            builder
                .vlan(VlanHeader::Double(double))
                .ip(ip_headers(shape, rng))
        }
    }
}

/// Both TPIDs occur at both places.
fn mix_tpids(bytes: &mut [u8], shape: &Shape, rng: &mut impl Rng) {
    for index in 0..usize::from(shape.tags) {
        let tpid: u16 = if rng.random() { 0x8100 } else { 0x88a8 };
        bytes[12 + 4 * index..14 + 4 * index].copy_from_slice(&tpid.to_be_bytes());
    }
}

fn tag(rng: &mut impl Rng) -> SingleVlanHeader {
    SingleVlanHeader {
        vlan_id: VlanId::try_new(rng.random_range(0..4096)).expect("12 bits"),
        ..Default::default()
    }
}

fn ip_headers(shape: &Shape, rng: &mut impl Rng) -> IpHeaders {
    if shape.ipv6 {
        let header = Ipv6Header {
            flow_label: Ipv6FlowLabel::try_new(rng.random_range(0..1 << 20)).expect("20 bits"),
            hop_limit: rng.random(),
            source: rng.random(),
            destination: rng.random(),
            ..Default::default()
        };
        return IpHeaders::Ipv6(header, ipv6_extensions(shape, rng));
    }
    let mut options = vec![0; 4 * usize::from(shape.ip_options)];
    rng.fill_bytes(&mut options);
    let mut header = Ipv4Header::new(0, rng.random(), IpNumber::UDP, rng.random(), rng.random())
        .expect("an empty payload fits");
    header.identification = rng.random();
    header.dont_fragment = rng.random();
    header.options = options
        .as_slice()
        .try_into()
        .expect("at most 40 bytes of options");
    if shape.fragment {
        header.more_fragments = rng.random();
        let least = u16::from(!header.more_fragments);
        header.fragment_offset =
            IpFragOffset::try_new(rng.random_range(least..1 << 13)).expect("13 bits");
    }
    IpHeaders::Ipv4(header, Default::default())
}

fn ipv6_extensions(shape: &Shape, rng: &mut impl Rng) -> Ipv6Extensions {
    let mut extension = |routing: bool| {
        let units = if rng.random_ratio(1, 16) {
            255
        } else {
            rng.random_range(0..4)
        };
        let mut payload = vec![0; 6 + 8 * units];
        rng.fill_bytes(&mut payload);
        if routing {
            payload[1] = 0; // Segments Left
        }
        Ipv6RawExtHeader::new_raw(IpNumber::UDP, &payload).expect("8-byte units")
    };
    let on = |bit: u8| shape.extensions >> bit & 1 == 1;
    Ipv6Extensions {
        hop_by_hop_options: on(0).then(|| extension(false)),
        destination_options: on(1).then(|| extension(false)),
        routing: on(2).then(|| Ipv6RoutingExtensions {
            routing: extension(true),
            final_destination_options: on(3).then(|| extension(false)),
        }),
        fragment: shape.fragment.then(|| {
            Ipv6FragmentHeader::new(IpNumber::UDP, IpFragOffset::ZERO, false, 0x1234_5678)
        }),
        auth: None,
    }
}
