//! What the card segments and coalesces, against what the kernel path does in software: the host forwards
//! streams from one network to another over one card, so that each packet is merged on its way in and
//! cut on its way out. What leaves must be what came, but for the router's work.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::{installed, skip, text};
use cosim::capture::CaptureWriter;
use cosim::host::{Host, HostConfig};
use driver::{Feature, QueueStats, Stats};
use hwmodel::Device;
use stack::NetFeatures;
use stack::checksum::{add, checksum, fold, pseudo_header_v4, pseudo_header_v6, sum};

const CARD: [u8; 6] = [0x02, 0, 0, 0, 0, 0x0b];
const SENDER: [u8; 6] = [0x02, 0, 0, 0, 0, 0x0a];
const RECEIVER: [u8; 6] = [0x02, 0, 0, 0, 0, 0x0c];

/// Segments of each stream.
const SEGMENTS: usize = 48;

/// A stream: one frame per segment.
struct Stream {
    ipv6: bool,
    tcp: bool,
    /// Payload of all segments but the last.
    mss: usize,
    /// The first segment has CWR.
    cwr: bool,
}

const STREAMS: [Stream; 6] = [
    tcp(false, 1448, false),
    tcp(true, 1428, false),
    tcp(false, 536, true),
    tcp(true, 1000, true),
    udp(false, 1200),
    udp(true, 777),
];

const fn tcp(ipv6: bool, mss: usize, cwr: bool) -> Stream {
    Stream {
        ipv6,
        tcp: true,
        mss,
        cwr,
    }
}

const fn udp(ipv6: bool, mss: usize) -> Stream {
    Stream {
        ipv6,
        tcp: false,
        mss,
        cwr: false,
    }
}

impl Stream {
    /// Segment `n` of stream number `flow`, as it comes (`out` false), and as it leaves: other addresses
    /// on the link, one hop less to live.
    fn frame(&self, flow: usize, n: usize, out: bool) -> Vec<u8> {
        let last = n + 1 == SEGMENTS;
        let len = self.mss - if last { 123 } else { 0 };
        let payload: Vec<u8> = (0..len).map(|i| (i * 7 + n * 31 + flow) as u8).collect();
        let port = (1000 + flow) as u16;
        let mut transport = port.to_be_bytes().to_vec();
        transport.extend(5000u16.to_be_bytes());
        let check = if self.tcp {
            let seq = 0xffff_0000u32.wrapping_add((n * self.mss) as u32);
            transport.extend(seq.to_be_bytes());
            transport.extend(77u32.to_be_bytes());
            let cwr = if self.cwr && n == 0 { 0x80 } else { 0 };
            let flags = 0x10 | cwr | if last { 0x08 } else { 0 };
            transport.extend([8 << 4, flags, 1, 0, 0, 0, 0, 0]);
            // RFC 7323 timestamps behind two NOPs.
            transport.extend([1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
            16
        } else {
            transport.extend(((8 + len) as u16).to_be_bytes());
            transport.extend([0, 0]);
            6
        };
        transport.extend(payload);
        let mut frame = if out { RECEIVER } else { CARD }.to_vec();
        frame.extend(if out { CARD } else { SENDER });
        let ttl = if out { 63 } else { 64 };
        let protocol = if self.tcp { 6 } else { 17 };
        let total = transport.len();
        let pseudo = if self.ipv6 {
            let (from, to) = ("2001:db8:1::10", "2001:db8:2::9");
            let (from, to): (std::net::Ipv6Addr, std::net::Ipv6Addr) =
                (from.parse().unwrap(), to.parse().unwrap());
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend((total as u16).to_be_bytes());
            frame.extend([protocol, ttl]);
            frame.extend(from.octets());
            frame.extend(to.octets());
            pseudo_header_v6(from, to, protocol, total as u32)
        } else {
            let (from, to): (std::net::Ipv4Addr, std::net::Ipv4Addr) =
                ([192, 0, 2, 10].into(), [198, 51, 100, 9].into());
            frame.extend([0x08, 0x00]);
            let mut ip = vec![0x45, 0];
            ip.extend((20 + total as u16).to_be_bytes());
            ip.extend((500 * flow as u16 + n as u16).to_be_bytes());
            ip.extend([0x40, 0, ttl, protocol, 0, 0]);
            ip.extend(from.octets());
            ip.extend(to.octets());
            let sum = checksum(&ip).to_be_bytes();
            ip[10..12].copy_from_slice(&sum);
            frame.extend(ip);
            pseudo_header_v4(from, to, protocol, total as u16)
        };
        let sum = !fold(add(pseudo, sum(&transport)));
        transport[check..check + 2].copy_from_slice(&sum.to_be_bytes());
        frame.extend(transport);
        frame
    }
}

/// A router between two networks on one card; UDP is merged, too.
fn router(features_on: Feature) -> HostConfig {
    HostConfig {
        mac: cosim::addr::Mac(CARD),
        addrs: [
            "192.0.2.1/24",
            "198.51.100.1/24",
            "2001:db8:1::1/64",
            "2001:db8:2::1/64",
        ]
        .map(|a| a.parse().unwrap())
        .to_vec(),
        udp_echo: vec![],
        features_on,
        ..HostConfig::default()
    }
}

/// Frames of each stream that left, in order, by source port; the driver's counters, and each pair's.
type Forwarded = (BTreeMap<u16, Vec<Vec<u8>>>, Stats, Vec<QueueStats>);

fn forward<D: Device + 'static>(mut host: Host<D>, pcap: Option<&Path>) -> Forwarded {
    let dev = host.ifindex();
    let stack = host.stack();
    for line in [
        "net.ipv4.ip_forward=1",
        "net.ipv6.conf.all.forwarding=1",
        "net.ipv4.conf.all.send_redirects=0",
        "net.ipv4.conf.eth0.send_redirects=0",
    ] {
        stack.sysctl(line).unwrap();
    }
    for to in ["198.51.100.9", "2001:db8:2::9"] {
        let line = format!("neigh add {to} lladdr 02:00:00:00:00:0c dev eth0 nud permanent");
        stack.ip(&line).unwrap();
    }
    // A sender behind another router is not redirected (`ndisc_send_redirect()`), for which IPv6 has no sysctl.
    stack
        .ip("route add 2001:db8:1::10 via 2001:db8:1::2 dev eth0")
        .unwrap();
    let features = NetFeatures {
        gro_udp_fwd: true,
        ..stack.features(dev).unwrap()
    };
    stack.set_features(dev, features).unwrap();

    let start = host.now();
    let mut number = 0;
    for (flow, stream) in STREAMS.iter().enumerate() {
        for n in 0..SEGMENTS {
            number += 1;
            host.wire_in(number, start, stream.frame(flow, n, false));
        }
    }
    host.finish().unwrap_or_else(|e| panic!("{}", e.report()));
    let mut writer = pcap.map(|path| CaptureWriter::create(path).unwrap());
    let mut streams: BTreeMap<u16, Vec<Vec<u8>>> = BTreeMap::new();
    while let Some(frame) = host.take_wire() {
        assert!(frame.fcs_ok);
        if let Some(writer) = &mut writer {
            let time = Duration::from_nanos(frame.at / 1000);
            writer.write(time, &frame.bytes).unwrap();
        }
        // What the host itself has to say, e.g. in neighbour discovery, is not of a stream.
        if frame.bytes[..6] == RECEIVER {
            let at = if frame.bytes[12] == 0x86 { 54 } else { 34 };
            let port = u16::from_be_bytes([frame.bytes[at], frame.bytes[at + 1]]);
            streams.entry(port).or_default().push(frame.bytes);
        }
    }
    if let Some(writer) = writer {
        writer.finish().unwrap();
    }
    let stats = host.driver_stats();
    let pairs = (0..8).map(|pair| host.queue_stats(pair)).collect();
    let summary = host.summary(start).unwrap();
    assert_eq!(
        summary.drops.values().sum::<u64>(),
        0,
        "{:?}",
        summary.drops
    );
    assert_eq!(
        summary.tx_drops.values().sum::<u64>(),
        0,
        "{:?}",
        summary.tx_drops
    );
    (streams, stats, pairs)
}

/// All that left is what a router makes of what came, however it went through the host.
fn check(what: &str, (streams, stats, _): &Forwarded) {
    println!(
        "{what}: {} packets given to the card, {} of them to be cut; {} from the card, {} of them coalesced, {} in \
         several buffers",
        stats.tx_packets, stats.tx_gso, stats.rx_packets, stats.rx_gso, stats.rx_merged
    );
    assert_eq!(streams.len(), STREAMS.len());
    for (flow, stream) in STREAMS.iter().enumerate() {
        let got = &streams[&((1000 + flow) as u16)];
        assert_eq!(got.len(), SEGMENTS, "{what}, stream {flow}");
        for (n, frame) in got.iter().enumerate() {
            let expected = stream.frame(flow, n, true);
            let differs = frame.iter().zip(&expected).position(|(a, b)| a != b);
            assert!(
                *frame == expected,
                "{what}, stream {flow}, segment {n}: {} bytes, expected {}, first difference {differs:?}",
                frame.len(),
                expected.len()
            );
        }
    }
}

const MERGE: Feature = Feature::from_bits(
    Feature::GUEST_TSO.bits() | Feature::MRG_RXBUF.bits() | Feature::HOST_GSO.bits(),
);

#[test]
fn the_card_cuts_as_software_does() {
    let dir = tempfile::tempdir().unwrap();
    let pcap = dir.path().join("out.pcap");
    let all = (STREAMS.len() * SEGMENTS) as u64;
    let rtl = |on, pcap| {
        let host = Host::new(&router(on)).unwrap();
        assert!(host.negotiated().contains(on));
        forward(host, pcap)
    };

    let software = rtl(Feature::NONE, None);
    check("RTL, nothing", &software);
    assert_eq!((software.1.tx_packets, software.1.tx_gso), (all, 0));

    let tso = rtl(Feature::HOST_GSO, Some(&pcap));
    check("RTL, segmentation", &tso);
    assert!(tso.1.tx_gso > 0 && tso.1.tx_packets < all * 2 / 3);
    tshark_finds_no_fault(&pcap, all);

    let both = rtl(MERGE, None);
    check("RTL, both", &both);
    assert!(both.1.rx_gso > 0 && both.1.rx_merged > 0 && both.1.rx_packets < all * 2 / 3);
    assert!(both.1.tx_gso > 0);

    let model = Host::with_model(&router(MERGE)).unwrap();
    let model = forward(model, None);
    check("model, both", &model);
    assert!(model.1.rx_gso > 0 && model.1.tx_gso > 0);
}

/// Everything that the card has, with four queue pairs: each stream keeps to one of them in both directions.
#[test]
fn streams_spread_over_queue_pairs() {
    for off in [Feature::NONE, Feature::RSS, Feature::GUEST_TSO] {
        let config = HostConfig {
            queue_pairs: 4,
            features_off: off,
            ..router(Feature::SUPPORTED)
        };
        let want = Feature::SUPPORTED.without(off);
        let rtl = Host::new(&config).unwrap();
        assert_eq!(rtl.negotiated(), want);
        let model = Host::with_model(&config).unwrap();
        assert_eq!(model.negotiated(), want);
        for (what, got) in [("RTL", forward(rtl, None)), ("model", forward(model, None))] {
            let what = format!("{what} without {off}");
            check(&what, &got);
            let (_, stats, pairs) = &got;
            println!("{what}: {pairs:?}");
            let used =
                |count: fn(&QueueStats) -> u64| pairs.iter().filter(|p| count(p) > 0).count();
            assert!(used(|p| p.rx_packets) >= 2, "{what}");
            assert!(pairs[4..].iter().all(|p| *p == QueueStats::default()));
            // What is forwarded leaves through the pair that it came from (`skb_tx_hash()`).
            assert_eq!(used(|p| p.rx_packets), used(|p| p.tx_packets), "{what}");
            let sum: u64 = pairs.iter().map(|p| p.rx_packets).sum();
            assert_eq!(sum, stats.rx_packets);
            // Receive modes (2) and the pairs.
            assert_eq!((stats.ctrl_commands, stats.ctrl_refused), (3, 0));
        }
    }
}

/// What the host sends itself leaves through the queue that its flow's hash chooses, and with 64 flows
/// on eight pairs all of them have work.
#[test]
fn answers_spread_over_queue_pairs() {
    let config = HostConfig {
        queue_pairs: 8,
        udp_echo: vec![5000],
        ..router(Feature::SUPPORTED)
    };
    let answers = |pairs: Vec<QueueStats>, ports: Vec<u16>| {
        println!("{pairs:?}");
        assert_eq!(ports, (1000..1064).collect::<Vec<_>>());
        assert!(pairs.iter().all(|p| p.rx_packets > 0 && p.tx_packets > 0));
    };
    fn run<D: Device + 'static>(mut host: Host<D>) -> (Vec<QueueStats>, Vec<u16>) {
        let line = "neigh add 192.0.2.10 lladdr 02:00:00:00:00:0a dev eth0 nud permanent";
        host.stack().ip(line).unwrap();
        let start = host.now();
        for flow in 0..64 {
            let mut frame = udp(false, 200).frame(flow, 0, false);
            frame[30..34].copy_from_slice(&[192, 0, 2, 1]);
            // Another address: the IPv4 checksum anew, and none for UDP (RFC 768).
            frame[24..26].fill(0);
            let sum = checksum(&frame[14..34]).to_be_bytes();
            frame[24..26].copy_from_slice(&sum);
            frame[40..42].fill(0);
            host.wire_in(flow as u64 + 1, start, frame);
        }
        host.finish().unwrap_or_else(|e| panic!("{}", e.report()));
        let mut ports = Vec::new();
        while let Some(frame) = host.take_wire() {
            if frame.bytes[..6] == SENDER {
                ports.push(u16::from_be_bytes([frame.bytes[36], frame.bytes[37]]));
            }
        }
        ports.sort_unstable();
        ((0..8).map(|pair| host.queue_stats(pair)).collect(), ports)
    }
    let (pairs, ports) = run(Host::new(&config).unwrap());
    answers(pairs, ports);
    let (pairs, ports) = run(Host::with_model(&config).unwrap());
    answers(pairs, ports);
}

/// Lengths and checksums of all `frames`, judged by tshark.
fn tshark_finds_no_fault(pcap: &Path, frames: u64) {
    if !installed("tshark") {
        return skip(&["tshark"], "tshark is not installed");
    }
    let mut command = Command::new("tshark");
    command.arg("-r").arg(pcap).args(["-Y", "tcp || udp"]);
    for check in ["ip", "tcp", "udp"] {
        command.args(["-o", &format!("{check}.check_checksum:TRUE")]);
    }
    // What the payload may look like is not of interest.
    command.args(["-d", "tcp.port==5000,data", "-d", "udp.port==5000,data"]);
    command.args(["-o", "eth.check_fcs:TRUE", "-T", "fields"]);
    for field in [
        "eth.fcs.status",
        "ip.checksum.status",
        "tcp.checksum.status",
        "udp.checksum.status",
        "_ws.malformed",
        "tcp.analysis.out_of_order",
        "tcp.analysis.lost_segment",
        "tcp.analysis.retransmission",
    ] {
        command.args(["-e", field]);
    }
    let output = command.args(["-E", "separator=,"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines = text(&output.stdout);
    let judged = lines.lines().inspect(|line| {
        let good = ["1,1,1,,", "1,,1,,", "1,1,,1,", "1,,,1,"];
        let fine = good
            .iter()
            .any(|good| line.strip_prefix(good) == Some(",,,"));
        assert!(fine, "{line}");
    });
    assert_eq!(judged.count() as u64, frames);
}
