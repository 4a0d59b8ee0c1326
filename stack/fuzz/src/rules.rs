//! [`nft_text`] and [`nft_json`]: rulesets.

use etherparse::PacketBuilder;
use stack::nft::{Nft, NftCtx, NftVerdict, NoHost};
use stack::{Family, Hook, HookState, IfIndex, SkBuff};
use std::sync::OnceLock;

/// Longest text that finds something new in a tolerable time, in bytes.
const LONGEST: usize = 8192;

/// A text as `nft -f` takes it.
pub fn nft_text(data: &[u8]) {
    accepted(data, |nft, text| nft.apply(text, 0));
}

/// A text as `nft -j -f` takes it.
pub fn nft_json(data: &[u8]) {
    accepted(data, |nft, text| nft.apply_json(text, 0));
}

fn ruleset() -> Nft {
    let mut nft = Nft::new(1);
    nft.set_devices(["lo", "eth_c", "eth_s"].map(str::to_owned).to_vec());
    nft
}

fn accepted(data: &[u8], apply: fn(&mut Nft, &str) -> Result<String, stack::nft::NftError>) {
    let Some(text) = std::str::from_utf8(data)
        .ok()
        .filter(|t| t.len() <= LONGEST)
    else {
        return;
    };
    let mut nft = ruleset();
    if let Err(e) = apply(&mut nft, text) {
        let lines = text.split('\n').count();
        assert!(
            (1..=lines + 1).contains(&e.line) && e.column >= 1,
            "{e}: no such place"
        );
        return;
    }
    let listed = nft.list(0, false);
    let read = |text: &str| {
        let mut again = ruleset();
        if let Err(e) = again.apply(text, 0) {
            panic!("{e}: a list that is not read:\n{text}");
        }
        again.list(0, false)
    };
    // Once more: nft too lists equal elements as `{ 2 }` and takes that for `2`, and moves matches that it could not put together.
    let second = read(&listed);
    assert_eq!(second.lines().count(), listed.lines().count());
    assert_eq!(read(&second), second, "a list is not read as itself");
    pass_packets(&mut nft);
    // Whatever packets changed is listed.
    nft.list(1, false);
    nft.list(u64::MAX, true);
}

/// Every base chain sees some ordinary packets, and some that end too soon.
fn pass_packets(nft: &mut Nft) {
    static PACKETS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let packets = PACKETS.get_or_init(packets);
    for chain in nft.base_chains() {
        for (n, packet) in packets.iter().enumerate() {
            let family = match packet.first().map(|b| b >> 4) {
                Some(6) => Family::Ipv6,
                _ => Family::Ipv4,
            };
            let state = HookState {
                hook: Hook::PreRouting,
                family,
                iif: Some(IfIndex(2)),
                oif: None,
                now: n as u64,
            };
            let mut skb = SkBuff::from_vec(packet.clone());
            let mut ctx = NftCtx {
                skb: &mut skb,
                state: &state,
                host: &mut NoHost,
            };
            let verdict = nft.do_chain(chain.id, &mut ctx);
            // A packet that is refused or dropped is its hook's to end.
            if verdict == NftVerdict::Accept {
                assert_eq!(skb.len(), packet.len());
            }
        }
    }
}

fn packets() -> Vec<Vec<u8>> {
    let (a, b) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let (c, d) = ([0xfd; 16], [0xfe; 16]);
    let mut packets = vec![Vec::new(), vec![0x45; 20], vec![0x60; 40]];
    let mut add = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut packet = Vec::new();
        write(&mut packet);
        packets.push(packet);
    };
    let v4 = || PacketBuilder::ipv4(a, b, 64);
    let v6 = || PacketBuilder::ipv6(c, d, 64);
    let writes = "a Vec takes everything";
    add(&|out| v4().udp(1, 22).write(out, b"payload").expect(writes));
    add(&|out| v6().udp(1, 22).write(out, b"payload").expect(writes));
    add(&|out| v4().tcp(1, 80, 3, 4).syn().write(out, b"").expect(writes));
    add(&|out| v6().tcp(1, 80, 3, 4).write(out, b"GET").expect(writes));
    let ping = || v4().icmpv4_echo_request(1, 2);
    add(&|out| ping().write(out, b"x").expect(writes));
    let ping = || v6().icmpv6_echo_request(1, 2);
    add(&|out| ping().write(out, b"x").expect(writes));
    packets
}
