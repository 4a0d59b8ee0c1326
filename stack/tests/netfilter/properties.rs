//! What must hold for any packets.

use crate::router::{Router, checksums_ok, ports};
use etherparse::PacketBuilder;
use proptest::prelude::*;
use stack::netfilter::nat::{NatRange, NatRequest};
use stack::{Family, Hook};
use std::net::IpAddr;

/// Source and destination of a frame: addresses, ports (ICMP: the id twice).
#[derive(Clone, Debug, PartialEq)]
struct Ends {
    src: (IpAddr, u16),
    dst: (IpAddr, u16),
}

impl Ends {
    fn of(frame: &[u8]) -> Self {
        let v6 = frame[12..14] == [0x86, 0xdd];
        let address = |at: usize| -> IpAddr {
            if v6 {
                <[u8; 16]>::try_from(&frame[at..at + 16]).unwrap().into()
            } else {
                <[u8; 4]>::try_from(&frame[at..at + 4]).unwrap().into()
            }
        };
        let (s, d) = if v6 { (22, 38) } else { (26, 30) };
        let (sport, dport) = match if v6 { frame[20] } else { frame[23] } {
            1 | 58 => {
                let at = if v6 { 58 } else { 38 };
                let id = u16::from_be_bytes([frame[at], frame[at + 1]]);
                (id, id)
            }
            _ => ports(frame),
        };
        Ends {
            src: (address(s), sport),
            dst: (address(d), dport),
        }
    }

    fn reversed(&self) -> Self {
        Ends {
            src: self.dst,
            dst: self.src,
        }
    }

    /// A frame from the side of network `net`.
    fn frame(&self, net: u8, kind: Kind, answer: bool, payload: &[u8]) -> Vec<u8> {
        let eth = PacketBuilder::ethernet2([2, 0, 0, 0, net, 2], [2, 0, 0, 0, net, 1]);
        let ip = match (self.src.0, self.dst.0) {
            (IpAddr::V4(s), IpAddr::V4(d)) => eth.ipv4(s.octets(), d.octets(), 64),
            (IpAddr::V6(s), IpAddr::V6(d)) => eth.ipv6(s.octets(), d.octets(), 64),
            _ => unreachable!("one family"),
        };
        let mut frame = Vec::new();
        let v4 = self.src.0.is_ipv4();
        match kind {
            Kind::Udp => ip.udp(self.src.1, self.dst.1).write(&mut frame, payload),
            Kind::Tcp if answer => ip
                .tcp(self.src.1, self.dst.1, 9000, 500)
                .syn()
                .ack(1001)
                .write(&mut frame, b""),
            Kind::Tcp => ip
                .tcp(self.src.1, self.dst.1, 1000, 500)
                .syn()
                .write(&mut frame, b""),
            Kind::Ping if v4 && answer => ip
                .icmpv4_echo_reply(self.src.1, 1)
                .write(&mut frame, payload),
            Kind::Ping if v4 => ip
                .icmpv4_echo_request(self.src.1, 1)
                .write(&mut frame, payload),
            Kind::Ping if answer => ip
                .icmpv6_echo_reply(self.src.1, 1)
                .write(&mut frame, payload),
            Kind::Ping => ip
                .icmpv6_echo_request(self.src.1, 1)
                .write(&mut frame, payload),
        }
        .unwrap();
        frame
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Udp,
    Tcp,
    Ping,
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Udp), Just(Kind::Tcp), Just(Kind::Ping)]
}

fn port_range() -> impl Strategy<Value = Option<(u16, u16)>> {
    prop::option::of(
        (1u16.., 0u16..300).prop_map(|(first, len)| (first, first.saturating_add(len))),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever is translated to whatever: what goes out has right checksums, and its answer comes back as the answer to what came in.
    #[test]
    fn answers_find_back(
        v4: bool,
        kind in kind(),
        sport in 1u16..,
        dport in 1u16..,
        snat in prop::option::of((any::<bool>(), port_range(), any::<bool>())),
        dnat in prop::option::of(port_range()),
        others in 0u16..4,
        payload in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let parse = |v4_text: &str, v6_text: &str| -> IpAddr {
            if v4 { v4_text } else { v6_text }.parse().unwrap()
        };
        let (client, server) = (parse("10.0.1.2", "fd00:1::2"), parse("10.0.2.2", "fd00:2::2"));
        let own = parse("10.0.2.1", "fd00:2::1");
        let mut r = Router::new();
        let family = if v4 { Family::Ipv4 } else { Family::Ipv6 };
        // An ICMP query has one id, which is the source's.
        let ports_of = |ports| if matches!(kind, Kind::Ping) { None } else { ports };
        let mut dst = server;
        if let Some(ports) = dnat {
            dst = parse("10.0.1.1", "fd00:1::1");
            let to = NatRange { addrs: Some((server, server)), ports: ports_of(ports), ..NatRange::default() };
            r.stack.nf_nat_register(family, Hook::PreRouting, 0, "dnat", Box::new(move |_, _| Some(NatRequest::Dnat(to))));
        }
        if let Some((masquerade, ports, random)) = snat {
            let range = NatRange { addrs: Some((own, own)), ports, random, ..NatRange::default() };
            let request = if masquerade { NatRequest::Masquerade(range) } else { NatRequest::Snat(range) };
            r.stack.nf_nat_register(family, Hook::PostRouting, 0, "snat", Box::new(move |_, _| Some(request)));
        }
        let ping = matches!(kind, Kind::Ping);
        // Others may have the port already.
        for i in 0..others {
            let address = if v4 { format!("10.0.1.{}", 3 + i) } else { format!("fd00:1::{}", 3 + i) };
            let ends = Ends { src: (address.parse().unwrap(), sport), dst: (dst, if ping { sport } else { dport }) };
            r.client_sends(ends.frame(1, kind, false, &payload));
        }
        let sent = Ends { src: (client, sport), dst: (dst, if ping { sport } else { dport }) };
        let out = r.client_sends(sent.frame(1, kind, false, &payload));
        // A range of few ports can be used up.
        prop_assume!(!out.is_empty());
        prop_assert!(checksums_ok(&out[0]));
        let seen = Ends::of(&out[0]);
        prop_assert_eq!(seen.dst.0, server);
        if snat.is_some() {
            prop_assert_eq!(seen.src.0, own);
        }
        let back = r.server_sends(seen.reversed().frame(2, kind, true, &payload));
        prop_assert_eq!(back.len(), 1);
        prop_assert!(checksums_ok(&back[0]));
        prop_assert_eq!(Ends::of(&back[0]), sent.reversed());
        // The next packet of the flow looks as the first did.
        let again = r.client_sends(sent.frame(1, kind, false, &payload));
        prop_assert_eq!(Ends::of(&again[0]), seen);
    }

    /// Any bytes behind an IP EtherType, and any changes to good packets: nothing panics, and every packet ends once.
    #[test]
    fn any_bytes(
        frames in prop::collection::vec(
            (any::<bool>(), any::<bool>(), kind(), any::<u16>(), prop::collection::vec(any::<u8>(), 0..120),
             prop::collection::vec((0usize..120, any::<u8>()), 0..4)),
            1..30,
        ),
    ) {
        let mut r = Router::new();
        r.stack.nft(r#"
            table inet t {
                chain pre { type nat hook prerouting priority -100; ip daddr 10.0.1.1 dnat ip to 10.0.2.2; }
                chain post { type nat hook postrouting priority 100; masquerade; }
                chain fwd { type filter hook forward priority 0; ct state invalid counter; tcp dport 0-200 reject with tcp reset; udp dport 0-200 reject; }
                chain in { type filter hook input priority 0; udp dport 300-400 reject; udp dport 400-500 drop; }
                chain out { type filter hook output priority 0; udp dport 0-20000 reject; udp dport 20001-30000 drop; tcp dport 0-30000 reject with tcp reset; }
            }
        "#).unwrap();
        let own = [r.stack.udp_bind(IpAddr::from([0; 4]), 77).unwrap(), r.stack.udp_bind(IpAddr::from([0; 16]), 77).unwrap()];
        for (v4, random, kind, port, bytes, changes) in frames {
            if bytes.len() % 3 == 0 {
                // The router speaks itself: to a host that is there, to one that is not, to itself.
                let to = match (v4, bytes.len() % 4) {
                    (true, 0) => "10.0.1.2",
                    (true, 1) => "10.0.2.99",
                    (true, _) => "127.0.0.1",
                    (false, 0) => "fd00:1::2",
                    (false, 1) => "fd00:2::99",
                    (false, _) => "::1",
                };
                let to = std::net::SocketAddr::new(to.parse().unwrap(), port);
                // Whether a rule refused it is not the question.
                let _ = r.stack.udp_send_to(own[usize::from(!v4)], to, &bytes, r.now);
                let _ = r.stack.tcp_connect(0, to, r.now);
                while r.stack.net_rx_action(r.now) {}
            }
            let parse = |a: &str, b: &str| -> IpAddr { if v4 { a } else { b }.parse().unwrap() };
            let mut frame = if random {
                let kind = if v4 { [8, 0] } else { [0x86, 0xdd] };
                [&[2, 0, 0, 0, 1, 1, 2, 0, 0, 0, 1, 2][..], &kind, &bytes].concat()
            } else {
                let ends = Ends {
                    src: (parse("10.0.1.2", "fd00:1::2"), 1000),
                    dst: (parse("10.0.2.2", "fd00:2::2"), port),
                };
                ends.frame(1, kind, port % 2 == 0, &bytes)
            };
            for (at, value) in changes {
                if let Some(byte) = frame.get_mut(14 + at) {
                    *byte = value;
                }
            }
            r.client_sends(frame);
        }
        r.wait(1000);
        let s = r.stack.stats();
        prop_assert_eq!(s.received + s.built, s.consumed + s.dropped + s.stolen + s.transmitted + s.held, "{:?}", s);
        prop_assert_eq!(r.stack.conntrack().unlisted(), 0, "{}", r.list());
    }
}
