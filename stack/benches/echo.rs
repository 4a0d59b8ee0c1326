//! Time per packet of the receive path to this host: an echo request becomes a reply in the driver's hands; a datagram reaches its socket and
//! is read; and is sent back. No simulated hardware: a device is two queues.

#[allow(dead_code)]
mod source;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use source::{BATCH, MAC, Options, PEER, Router, udp_frame};
use stack::NetFeatures;
use std::hint::black_box;

/// The router's own address.
const OWN: [u8; 4] = [192, 0, 2, 20];

fn echo_request(payload: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    etherparse::PacketBuilder::ethernet2(PEER, MAC)
        .ipv4([192, 0, 2, 10], OWN, 64)
        .icmpv4_echo_request(1, 2)
        .write(&mut frame, &vec![0x5a; payload])
        .expect("built");
    frame
}

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("local");
    group.throughput(Throughput::Elements(BATCH as u64));
    let options = Options {
        features: NetFeatures {
            hw_csum: true,
            rx_csum: true,
            ..NetFeatures::default()
        },
        ..Options::default()
    };
    for len in [60, 1514] {
        let payload = len - 42;
        let mut host = Router::new(vec![echo_request(payload)], options);
        group.bench_function(format!("icmp_echo/{len}"), |b| b.iter(|| host.batch()));
        assert_eq!(host.stack.stats().dropped, 0);
        for (name, answer) in [("udp_deliver", false), ("udp_echo", true)] {
            let mut host = Router::new(vec![udp_frame(OWN, 9, payload)], options);
            let any = "0.0.0.0".parse().expect("address");
            let socket = host.stack.udp_bind(any, 9).expect("socket");
            group.bench_function(format!("{name}/{len}"), |b| {
                b.iter(|| {
                    host.batch();
                    while let Some(datagram) = host.stack.udp_recv_from(socket) {
                        if !answer {
                            black_box(datagram.payload());
                            continue;
                        }
                        host.stack
                            .udp_send_to(socket, datagram.src, datagram.payload(), 0)
                            .expect("sent");
                    }
                });
            });
            assert_eq!(host.stack.stats().dropped, 0);
        }
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
