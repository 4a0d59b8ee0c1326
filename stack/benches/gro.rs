//! Time per received packet of a TCP stream with GRO, forwarded to a device with TSO, to one without (segmentation in software), and
//! without GRO at all. No simulated hardware: a device is two queues.

#[allow(dead_code)]
mod source;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use source::{BATCH, FAR, MAC, Options, PEER, Router};
use stack::NetFeatures;

/// A stream of full segments, as many as one poll takes.
fn stream() -> Vec<Vec<u8>> {
    (0..BATCH as u32)
        .map(|n| {
            let mut tcp = etherparse::TcpHeader::new(5000, 80, n * 1448, 500);
            tcp.ack = true;
            let mut ip =
                etherparse::Ipv4Header::new(0, 64, etherparse::IpNumber::TCP, [192, 0, 2, 10], FAR)
                    .expect("header");
            (ip.identification, ip.dont_fragment) = (n as u16, true);
            let mut frame = Vec::new();
            etherparse::PacketBuilder::ethernet2(PEER, MAC)
                .ip(etherparse::IpHeaders::Ipv4(ip, Default::default()))
                .tcp_header(tcp)
                .write(&mut frame, &[0x5a; 1448])
                .expect("written");
            frame
        })
        .collect()
}

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("gro");
    group.throughput(Throughput::Elements(BATCH as u64));
    let tso = NetFeatures {
        hw_csum: true,
        rx_csum: true,
        sg: true,
        tso4: true,
        gro: true,
        ..NetFeatures::default()
    };
    let gso = NetFeatures { tso4: false, ..tso };
    let off = NetFeatures { gro: false, ..tso };
    for (name, features) in [
        ("forward_tso", tso),
        ("forward_gso", gso),
        ("forward_off", off),
    ] {
        let options = Options {
            features,
            ..Options::default()
        };
        let mut router = Router::new(stream(), options);
        group.bench_function(name, |b| b.iter(|| router.batch()));
        router.check();
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
