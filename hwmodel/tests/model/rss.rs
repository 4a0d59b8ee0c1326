//! Receive-side scaling of the whole card, the model's and the RTL's, with the vectors that Microsoft
//! published for the Toeplitz hash ("Verifying the RSS Hash Calculation").

use crate::{
    driver::{Bench, MEMORY, US},
    frames::{padded, sum},
};
use hwmodel::{
    Device, ModelConfig, ModelNic, Nic, NicConfig,
    model::feature,
    rss_vectors::{KEY, VECTORS},
};
use std::net::SocketAddr;

const PAIRS: u16 = 4;
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
