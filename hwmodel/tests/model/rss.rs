//! Receive-side scaling of the whole card, the model's and the RTL's, with the vectors that Microsoft
//! published for the Toeplitz hash ("Verifying the RSS Hash Calculation").

use crate::{
    driver::{Bench, MEMORY, US},
    frames::{padded, sum},
};
use hwmodel::{Device, ModelConfig, ModelNic, Nic, NicConfig, model::feature};
use std::net::SocketAddr;

const PAIRS: u16 = 4;
const KEY: [u8; 40] = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0,
    0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c,
    0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
];
/// Destination, source, hash of the addresses, hash with the TCP ports.
#[rustfmt::skip]
const VECTORS: [(&str, &str, u32, u32); 8] = [
    ("161.142.100.80:1766", "66.9.149.187:2794", 0x323e_8fc2, 0x51cc_c178),
    ("65.69.140.83:4739", "199.92.111.2:14230", 0xd718_262a, 0xc626_b0ea),
    ("12.22.207.184:38024", "24.19.198.95:12898", 0xd2d0_a5de, 0x5c2b_394a),
    ("209.142.163.6:2217", "38.27.205.30:48228", 0x8298_9176, 0xafc7_327f),
    ("202.188.127.2:1303", "153.39.163.191:44251", 0x5d18_09c5, 0x10e8_28a2),
    ("[3ffe:2501:200:3::1]:1766", "[3ffe:2501:200:1fff::7]:2794", 0x2cc1_8cd5, 0x4020_7d3d),
    ("[ff02::1]:4739", "[3ffe:501:8::260:97ff:fe40:efab]:14230", 0x0f0c_461c, 0xdde5_1bbf),
    ("[fe80::200:f8ff:fe21:67cf]:38024", "[3ffe:1900:4545:3:200:f8ff:fe21:67cf]:44251",
     0x4b61_e985, 0x02d1_feef),
];
/// VIRTIO_NET_RSS_HASH_TYPE_* (5.1.6.4.3.1): addresses of IPv4 and IPv6; the same and TCP.
const IP: u32 = 1 << 0 | 1 << 3;
const TCP: u32 = IP | 1 << 1 | 1 << 4;

/// A TCP segment without payload.
fn segment(source: &str, destination: &str) -> Vec<u8> {
    let ends: [SocketAddr; 2] = [source, destination].map(|end| end.parse().unwrap());
    let mut addresses = Vec::new();
    let mut tcp = Vec::new();
    for end in ends {
        match end {
            SocketAddr::V4(v4) => addresses.extend(v4.ip().octets()),
            SocketAddr::V6(v6) => addresses.extend(v6.ip().octets()),
        }
        tcp.extend(end.port().to_be_bytes());
    }
    tcp.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
    let csum = !sum(&[&addresses, &[0, 6, 0, 20], &tcp]);
    tcp[16..18].copy_from_slice(&csum.to_be_bytes());
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    if ends[0].is_ipv6() {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, 6, 64]);
    } else {
        let mut ip = [
            &[0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0],
            &addresses[..],
        ]
        .concat();
        let csum = !sum(&[&ip]);
        ip[10..12].copy_from_slice(&csum.to_be_bytes());
        frame.extend([8, 0]);
        frame.extend(&ip[..12]);
    }
    frame.extend(addresses);
    frame.extend(tcp);
    padded(frame)
}

/// VIRTIO_NET_CTRL_MQ_RSS_CONFIG (5.1.6.5.7).
fn config(types: u32, table: &[u16]) -> Vec<u8> {
    let mut command = vec![4, 1];
    command.extend(types.to_le_bytes());
    command.extend((table.len() as u16 - 1).to_le_bytes());
    let words = [&[0], table, &[PAIRS]].concat();
    command.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    command.push(KEY.len() as u8);
    command.extend(KEY);
    command
}

fn check<D: Device>(mut bench: Bench<D>, report: bool) {
    let hash_report = if report { feature::HASH_REPORT } else { 0 };
    bench.bring_up(feature::RSS | feature::CTRL_VQ | hash_report, 64);
    for pair in 0..PAIRS {
        bench.fill(2 * pair, 60, 2048);
    }
    // Two bits of the masked hash choose among four pairs: after four tables all seven are known.
    for shift in [0, 2, 4, 5] {
        let table: Vec<u16> = (0..128).map(|entry| (entry >> shift) & 3).collect();
        for (types, with_ports) in [(IP, false), (TCP, true)] {
            assert_eq!(bench.command(&config(types, &table)), 0);
            for (destination, source, addresses, ports) in VECTORS {
                let hash = if with_ports { ports } else { addresses };
                let frame = segment(source, destination);
                bench.wire(&frame);
                bench.run(3 * US);
                let expected = ((hash as u16 % 128) >> shift) & 3;
                // VIRTIO_NET_HASH_REPORT_*: the number of the type's bit, and one more.
                let ipv6 = u8::from(frame[12..14] == [0x86, 0xdd]);
                let kind = 1 + u8::from(with_ports) + 3 * ipv6;
                let [a, b, c, d] = hash.to_le_bytes();
                for pair in 0..PAIRS {
                    let received = bench.receive(2 * pair);
                    if let Some(received) = received.as_ref().filter(|_| report) {
                        // 5.1.6: hash_value, hash_report, padding.
                        assert_eq!(received.hdr[12..], [a, b, c, d, kind, 0, 0, 0]);
                    }
                    let received = received.map(|received| received.frame);
                    let wanted = (pair == expected).then(|| frame.clone());
                    assert_eq!(received, wanted, "{source} > {destination}, pair {pair}");
                }
            }
        }
    }
}

fn model() -> Bench<ModelNic> {
    Bench::new(ModelConfig {
        queue_pairs: PAIRS,
        ..ModelConfig::default()
    })
}

fn rtl() -> Bench<Nic> {
    let config = NicConfig {
        queue_pairs: PAIRS,
        memory: MEMORY,
        ..NicConfig::default()
    };
    Bench::with(Nic::new(config).unwrap(), PAIRS)
}

// shows (RTL): 5.1.6.5.7.3-2
// shows (model): 5.1.6.5.7.3-2
#[test]
fn published_vectors_choose_the_queue() {
    check(model(), false);
    check(rtl(), false);
}

// shows (RTL): 5.1.6.4.4-1
// shows (model): 5.1.6.4.4-1
#[test]
fn published_vectors_are_in_the_header() {
    check(model(), true);
    check(rtl(), true);
}
