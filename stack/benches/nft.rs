//! Time of a base chain per packet: 0, 10, 100 and 1000 rules that do not match, and the same 1000 ports as one set beside one port as one
//! rule. The packet is a datagram at FORWARD; nothing but the ruleset is measured.

use criterion::{Criterion, criterion_group, criterion_main};
use stack::nft::{Nft, NftCtx, NftVerdict, NoHost};
use stack::{Family, Hook, HookState, IfIndex, SkBuff};
use std::hint::black_box;

fn packet() -> SkBuff {
    let mut bytes = Vec::new();
    etherparse::PacketBuilder::ipv4([10, 0, 1, 2], [10, 0, 2, 2], 64)
        .udp(40000, 53)
        .write(&mut bytes, &[0x5a; 18])
        .expect("built");
    let mut skb = SkBuff::from_vec(bytes);
    skb.protocol = 0x0800;
    skb
}

fn ruleset(rules: &str) -> Nft {
    let mut nft = Nft::new(1);
    let text =
        format!("table ip t {{\nchain c {{\ntype filter hook forward priority 0\n{rules}\n}}\n}}");
    nft.apply(&text, 0).expect("ruleset");
    nft
}

fn linear(n: usize) -> String {
    (0..n)
        .map(|i| format!("ip saddr 10.0.1.2 udp dport {} drop\n", 1000 + i))
        .collect()
}

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("nft");
    let ports: Vec<_> = (0..1000).map(|i| (1000 + i).to_string()).collect();
    let ranges: Vec<_> = (0..1000)
        .map(|i| format!("{}-{}", 1000 + 3 * i, 1001 + 3 * i))
        .collect();
    let rulesets = [
        ("rules/0", String::new()),
        ("rules/10", linear(10)),
        ("rules/100", linear(100)),
        ("rules/1000", linear(1000)),
        ("one rule", "udp dport 1000 drop\n".to_owned()),
        (
            "set of 1000",
            format!("udp dport {{ {} }} drop\n", ports.join(", ")),
        ),
        (
            "intervals 1000",
            format!("udp dport {{ {} }} drop\n", ranges.join(", ")),
        ),
    ];
    for (name, rules) in rulesets {
        let mut nft = ruleset(&rules);
        let chain = nft.base_chains()[0].id;
        let mut skb = packet();
        let state = HookState {
            hook: Hook::Forward,
            family: Family::Ipv4,
            iif: Some(IfIndex(2)),
            oif: Some(IfIndex(3)),
            now: 0,
        };
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut ctx = NftCtx {
                    skb: black_box(&mut skb),
                    state: &state,
                    host: &mut NoHost,
                };
                assert_eq!(nft.do_chain(chain, &mut ctx), NftVerdict::Accept);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
