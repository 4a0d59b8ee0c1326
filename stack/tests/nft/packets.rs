//! Packets, and a host that answers what rules ask.

use etherparse::PacketBuilder;
use stack::nft::expr::{CtDir, CtKey};
use stack::nft::{Nft, NftCtx, NftEvent, NftHost, NftNat, NftVerdict};
use stack::{Family, Hook, HookState, IfIndex, Ps, SkBuff};
use std::collections::BTreeMap;

/// A host whose answers a test sets.
#[derive(Default)]
pub struct TestHost {
    /// `ct` values.
    pub ct: BTreeMap<CtKey, u128>,
    /// What was asked of NAT.
    pub nat: Vec<NftNat>,
    /// Lines of the trace.
    pub trace: Vec<String>,
    pub notracked: bool,
    pub tracing: bool,
    pub random: u32,
    /// Who sends the packets.
    pub owner: Option<(u32, u32)>,
}

impl NftHost for TestHost {
    fn ct_get(&mut self, _skb: &SkBuff, key: CtKey, _dir: Option<CtDir>) -> Option<u128> {
        self.ct.get(&key).copied()
    }
    fn ct_set(&mut self, _skb: &mut SkBuff, key: CtKey, _dir: Option<CtDir>, value: u128) {
        self.ct.insert(key, value);
    }
    fn notrack(&mut self, _skb: &mut SkBuff) {
        self.notracked = true;
    }
    fn nat(&mut self, _skb: &mut SkBuff, _state: &HookState, nat: &NftNat) -> bool {
        self.nat.push(*nat);
        true
    }
    fn device_name(&self, dev: IfIndex) -> Option<&str> {
        ["lo", "eth_c", "eth_s"].get(dev.0 as usize - 1).copied()
    }
    fn random(&mut self) -> u32 {
        self.random = self
            .random
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        self.random
    }
    fn socket_owner(&self, _skb: &SkBuff) -> Option<(u32, u32)> {
        self.owner
    }
    fn tracing(&self) -> bool {
        self.tracing
    }
    fn trace(&mut self, _skb: &SkBuff, event: &NftEvent<'_>) {
        self.trace.push(event.to_string());
    }
}

/// UDP from 10.0.1.2:40000 to 10.0.2.2:`dport`, received on eth_c, data at the IP header.
pub fn udp(dport: u16) -> SkBuff {
    let mut bytes = Vec::new();
    PacketBuilder::ipv4([10, 0, 1, 2], [10, 0, 2, 2], 64)
        .udp(40000, dport)
        .write(&mut bytes, b"hi")
        .unwrap();
    skb(bytes, 0x0800)
}

/// A TCP segment with the SYN flag from 10.0.1.2:40001, likewise.
pub fn tcp_syn(dport: u16) -> SkBuff {
    let mut bytes = Vec::new();
    PacketBuilder::ipv4([10, 0, 1, 2], [10, 0, 2, 2], 64)
        .tcp(40001, dport, 1000, 65535)
        .syn()
        .options(&[etherparse::TcpOptionElement::MaximumSegmentSize(1460)])
        .unwrap()
        .write(&mut bytes, b"")
        .unwrap();
    skb(bytes, 0x0800)
}

/// UDP over IPv6 from fd00::2 to fd00:1::2.
pub fn udp6(dport: u16) -> SkBuff {
    let source = "fd00::2".parse::<std::net::Ipv6Addr>().unwrap().octets();
    let destination = "fd00:1::2".parse::<std::net::Ipv6Addr>().unwrap().octets();
    let mut bytes = Vec::new();
    PacketBuilder::ipv6(source, destination, 64)
        .udp(40000, dport)
        .write(&mut bytes, b"hi")
        .unwrap();
    skb(bytes, 0x86dd)
}

pub fn skb(bytes: Vec<u8>, protocol: u16) -> SkBuff {
    let mut frame = vec![2, 0, 0, 0, 1, 1, 2, 0, 0, 0, 1, 2];
    frame.extend(protocol.to_be_bytes());
    frame.extend(bytes);
    let mut skb = SkBuff::from_vec(frame);
    skb.reset_mac_header();
    skb.pull(14).unwrap();
    skb.reset_network_header();
    skb.protocol = protocol;
    skb.dev = IfIndex(2);
    skb.iif = IfIndex(2);
    skb
}

pub fn state(hook: Hook, family: Family, now: Ps) -> HookState {
    HookState {
        hook,
        family,
        iif: Some(IfIndex(2)),
        oif: (hook == Hook::Forward || hook == Hook::PostRouting).then_some(IfIndex(3)),
        now,
    }
}

/// A ruleset with one table `t` of `family` and a forward chain with `rules`, and whatever `more` declares in the table.
pub fn forward(family: &str, more: &str, rules: &str) -> Nft {
    let mut nft = Nft::new(1);
    nft.set_devices(["lo", "eth_c", "eth_s"].map(str::to_owned).to_vec());
    let text = format!(
        "table {family} t {{\n{more}\nchain c {{\ntype filter hook forward priority 0\n{rules}\n}}\n}}"
    );
    nft.apply(&text, 0)
        .unwrap_or_else(|e| panic!("{e}\n{text}"));
    nft
}

/// Runs the first base chain over a packet at forward.
pub fn run_with(nft: &mut Nft, skb: &mut SkBuff, host: &mut TestHost, now: Ps) -> NftVerdict {
    let chain = nft.base_chains()[0].id;
    let family = if skb.protocol == 0x86dd {
        Family::Ipv6
    } else {
        Family::Ipv4
    };
    let state = state(Hook::Forward, family, now);
    let mut ctx = NftCtx {
        skb,
        state: &state,
        host,
    };
    nft.do_chain(chain, &mut ctx)
}

pub fn run(nft: &mut Nft, skb: &mut SkBuff) -> NftVerdict {
    run_with(nft, skb, &mut TestHost::default(), 0)
}

/// Whether `rule`, followed by drop, drops the packet.
pub fn matches(family: &str, rule: &str, mut skb: SkBuff) -> bool {
    let mut nft = forward(family, "", &format!("{rule} drop"));
    run(&mut nft, &mut skb) == NftVerdict::Drop
}
