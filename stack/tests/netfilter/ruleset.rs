//! A ruleset at work: what its chains see, and what its statements do.

use crate::router::{CLIENT, Router, SERVER, checksums_ok, ports, tcp, udp};
use stack::hook::Hook;
use stack::nft::NftEvent;
use stack::{SkBuff, Stage, Tracer};
use std::cell::RefCell;
use std::rc::Rc;

/// The base chains that packets came to and the rules that they matched.
#[derive(Default)]
struct Walk(Vec<String>);

impl Tracer for Walk {
    fn event(&mut self, _: &SkBuff, _: Stage) {}

    fn nft(&mut self, _: &SkBuff, event: &NftEvent<'_>) {
        let place = event.place();
        match event {
            NftEvent::Packet(_) => self.0.push(format!("{}/{}", place.table, place.chain)),
            NftEvent::Rule {
                comment: Some(text),
                ..
            } => self.0.push(format!("  {text}")),
            _ => {}
        }
    }
}

const RULES: &str = r#"
table ip raw {
    chain PRE { type filter hook prerouting priority -300; meta nftrace set 1; udp dport 7 notrack; }
    chain OUT { type filter hook output priority -300; meta nftrace set 1;
        ct state related counter comment "related"; }
}
table ip nat {
    chain PRE { type nat hook prerouting priority -100; udp dport 8080 dnat to 10.0.2.2:9; }
    chain POST { type nat hook postrouting priority 100; oifname "s" masquerade; }
}
table ip filter {
    chain FWD { type filter hook forward priority 0;
        ct state new counter comment "new"
        ct state established counter comment "established"
        ct state invalid counter comment "invalid"
        ct state untracked counter comment "untracked"
        ct status dnat ct protocol udp ct original proto-dst 8080 counter comment "was 8080"
        tcp dport 81 reject with tcp reset
        udp dport 81 reject
    }
}
"#;

fn router() -> (Router, Rc<RefCell<Walk>>) {
    let mut r = Router::new();
    r.stack.nft(RULES).unwrap();
    let walk = Rc::new(RefCell::new(Walk::default()));
    r.stack.set_tracer(Box::new(Rc::clone(&walk)));
    (r, walk)
}

fn seen(walk: &Rc<RefCell<Walk>>) -> Vec<String> {
    std::mem::take(&mut walk.borrow_mut().0)
}

#[test]
fn nat_chains_see_the_first_packet_only_and_replies_come_back() {
    let (mut r, walk) = router();
    let sent = udp((CLIENT, 40000), ([10, 0, 1, 1], 8080), b"hi");
    let out = r.client_sends(sent.clone());
    assert_eq!(ports(&out[0]), (40000, 9));
    let first = [
        "raw/PRE",
        "nat/PRE",
        "filter/FWD",
        "  new",
        "  was 8080",
        "nat/POST",
    ];
    assert_eq!(seen(&walk), first);
    let back = r.server_sends(udp((SERVER, 9), ([10, 0, 2, 1], 40000), b"Rhi"));
    assert_eq!(ports(&back[0]), (8080, 40000));
    assert!(checksums_ok(&back[0]));
    // `ct original proto-dst` says the same in both directions.
    assert_eq!(
        seen(&walk),
        ["raw/PRE", "filter/FWD", "  established", "  was 8080"]
    );
    r.client_sends(sent);
    assert_eq!(
        seen(&walk),
        ["raw/PRE", "filter/FWD", "  established", "  was 8080"]
    );
}

#[test]
fn rejected_and_untracked() {
    let (mut r, walk) = router();
    assert!(
        r.client_sends(udp((CLIENT, 1), (SERVER, 81), b"x"))
            .is_empty()
    );
    assert_eq!(
        seen(&walk),
        [
            "raw/PRE",
            "nat/PRE",
            "filter/FWD",
            "  new",
            "raw/OUT",
            "  related"
        ]
    );
    // A reset passes the nat chain that its connection has not passed yet.
    r.client_sends(tcp((CLIENT, 1), (SERVER, 81), "S", (1, 0), b""));
    assert_eq!(
        seen(&walk),
        [
            "raw/PRE",
            "nat/PRE",
            "filter/FWD",
            "  new",
            "raw/OUT",
            "  related",
            "nat/POST"
        ]
    );
    assert_eq!(r.c_wire.borrow_mut().tx.len(), 2);
    assert_eq!(r.client_sends(udp((CLIENT, 1), (SERVER, 7), b"x")).len(), 1);
    assert_eq!(seen(&walk), ["raw/PRE", "filter/FWD", "  untracked"]);
    assert_eq!(r.stack.conntrack().count(), 0);
}

#[test]
fn tracking_is_there_while_a_rule_needs_it() {
    let mut stack = stack::Stack::new(stack::StackConfig::default());
    let entries = |stack: &stack::Stack| stack.nf_hooks(Hook::PreRouting).count();
    stack
        .nft("table inet t { chain c { type filter hook prerouting priority 0; } }")
        .unwrap();
    assert_eq!(entries(&stack), 1);
    stack.nft("add rule inet t c ct mark 7 accept").unwrap();
    // Defragmentation and tracking, for each family.
    assert_eq!(entries(&stack), 5);
    stack.nft("flush chain inet t c").unwrap();
    assert_eq!(entries(&stack), 1);
    stack.nft("delete table inet t").unwrap();
    assert_eq!(entries(&stack), 0);
}

#[test]
fn marks_and_zones_of_connections() {
    let mut r = Router::new();
    r.stack
        .nft(
            "table ip t {
                chain raw { type filter hook prerouting priority -300; iifname \"c\" ct zone set 5; }
                chain pre { type filter hook prerouting priority 0; ct mark set 0x2a; }
            }",
        )
        .unwrap();
    r.client_sends(udp((CLIENT, 1), (SERVER, 2), b"x"));
    assert_eq!(
        r.list(),
        "udp      17 30 src=10.0.1.2 dst=10.0.2.2 sport=1 dport=2 [UNREPLIED] src=10.0.2.2 dst=10.0.1.2 sport=2 dport=1 mark=42 zone=5 use=1\n"
    );
    // Without the zone it is another connection.
    r.server_sends(udp((SERVER, 2), (CLIENT, 1), b"x"));
    assert_eq!(r.list().lines().count(), 2);
}
