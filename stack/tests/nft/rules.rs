//! What rules do with packets.

use crate::packets::{TestHost, forward, matches, run, run_with, tcp_syn, udp, udp6};
use stack::Ps;
use stack::nft::expr::CtKey;
use stack::nft::{NftVerdict, RejectKind};

#[test]
fn fields_match() {
    for rule in [
        "udp dport 53",
        "udp dport != 54",
        "udp dport 50-60",
        "udp dport { 52, 53 }",
        "udp dport { 1-9, 53, 100-200 }",
        "udp dport > 52",
        "udp sport 40000 udp dport 53",
        "ip saddr 10.0.1.2",
        "ip saddr 10.0.0.0/8",
        "ip saddr & 255.255.0.0 == 10.0.0.0",
        "ip saddr != 10.0.2.0/24",
        "ip saddr { 10.0.1.0/24, 192.168.0.0-192.168.0.9 }",
        "ip saddr . udp dport { 10.0.1.2 . 53 }",
        "ip saddr . udp dport { 10.0.1.0/24 . 50-60, 1.1.1.1 . 1 }",
        "ip saddr . udp dport != { 10.0.1.2 . 54 }",
        "ip ttl 64 ip protocol udp ip version 4 ip hdrlength 5",
        "ip length 30 meta length 30",
        "ip dscp cs0 ip ecn not-ect",
        "ip frag-off & 0x3fff == 0",
        "meta l4proto udp th dport 53",
        "meta l4proto { tcp, udp }",
        "@th,16,16 53 @nh,72,8 17",
        "iifname eth_c oifname \"eth_s\" iif eth_c",
        "iifname \"eth*\"",
        "iifname { \"eth*\", \"lo\" }",
        "meta protocol ip",
        "ether saddr 02:00:00:00:01:02",
        "meta mark 0 meta mark & 0xff != 1",
        "ip saddr vmap { 10.0.1.2 : continue }",
    ] {
        assert!(matches("ip", rule, udp(53)), "{rule}");
    }
    for rule in [
        "udp dport 54",
        "tcp dport 53",
        "udp dport { 1-9, 100-200 }",
        "ip saddr . udp dport { 10.0.1.2 . 54, 10.0.1.3 . 53 }",
        "ip saddr 10.0.2.0/24",
        "iifname \"ethx*\"",
        "icmp type echo-request",
        "ip saddr vmap { 10.0.1.3 : continue }",
    ] {
        assert!(!matches("ip", rule, udp(53)), "{rule}");
    }
}

#[test]
fn flags_match() {
    for rule in [
        "tcp flags syn",
        "tcp flags syn,ack",
        "tcp flags == syn",
        "tcp flags & (fin|syn|rst|ack) == syn",
        "tcp flags syn / syn,ack",
        "tcp flags ! ack,fin",
        "tcp flags != ack",
        "tcp option maxseg size 1460",
        "tcp option maxseg exists",
        "tcp option timestamp missing",
    ] {
        assert!(matches("ip", rule, tcp_syn(80)), "{rule}");
    }
    for rule in [
        "tcp flags ack",
        "tcp flags ! syn",
        "tcp flags syn,ack / syn,ack",
    ] {
        assert!(!matches("ip", rule, tcp_syn(80)), "{rule}");
    }
}

#[test]
fn inet_tables_see_both_families() {
    assert!(matches("inet", "udp dport 53", udp(53)));
    assert!(matches("inet", "udp dport 53", udp6(53)));
    assert!(matches("inet", "meta nfproto ipv6 udp dport 53", udp6(53)));
    assert!(matches("inet", "ip6 saddr fd00::/64", udp6(53)));
    // The bytes are there, but not of an IPv6 packet.
    assert!(!matches("inet", "ip6 saddr != ::1", udp(53)));
    assert!(!matches("inet", "ip saddr != 1.1.1.1", udp6(53)));
}

#[test]
fn chains_are_called_and_return() {
    let more = "chain a {\n udp dport 1 return\n udp dport 2 accept\n goto b\n}\nchain b {\n udp dport 3 drop\n}";
    let mut nft = forward("ip", more, "jump a\nudp dport 1 drop\nudp dport 4 reject");
    let verdict = |nft: &mut _, port| run(nft, &mut udp(port));
    assert_eq!(verdict(&mut nft, 1), NftVerdict::Drop);
    assert_eq!(verdict(&mut nft, 2), NftVerdict::Accept);
    assert_eq!(verdict(&mut nft, 3), NftVerdict::Drop);
    assert_eq!(
        verdict(&mut nft, 4),
        NftVerdict::Reject(RejectKind::Icmp(3))
    );
    assert_eq!(verdict(&mut nft, 5), NftVerdict::Accept);
}

#[test]
fn counters_limits_and_quotas_remember() {
    let rules = "counter\nudp dport 9 limit rate 1/second burst 2 packets counter accept\nudp dport 8 quota over 60 bytes drop\nudp dport 9 drop";
    let mut nft = forward("ip", "", rules);
    let nine: Vec<_> = (0..4).map(|_| run(&mut nft, &mut udp(9))).collect();
    use NftVerdict::{Accept, Drop};
    assert_eq!(nine, [Accept, Accept, Drop, Drop]);
    let eight: Vec<_> = (0..3).map(|_| run(&mut nft, &mut udp(8))).collect();
    assert_eq!(eight, [Accept, Accept, Drop]);
    let list = nft.list(0, false);
    assert!(list.contains("\t\tcounter packets 7 bytes 210\n"), "{list}");
    assert!(
        list.contains("burst 2 packets counter packets 2 bytes 60 accept\n"),
        "{list}"
    );
    assert!(
        list.contains("quota over 60 bytes used 60 bytes drop\n"),
        "{list}"
    );
}

#[test]
fn marks_and_maps() {
    let rules = "meta mark set udp dport map { 1 : 0x10, 2-5 : 0x20 }\nmeta mark set meta mark | 0x3 ct mark set meta mark";
    let mut nft = forward("ip", "", rules);
    let mut host = TestHost::default();
    let mut skb = udp(4);
    run_with(&mut nft, &mut skb, &mut host, 0);
    assert_eq!((skb.mark, host.ct.get(&CtKey::Mark)), (0x23, Some(&0x23)));
}

#[test]
fn sets_grow_and_elements_end() {
    let more = "set seen {\n type ipv4_addr . inet_service\n flags dynamic,timeout\n timeout 10s\n size 2\n}";
    let rules = "ip saddr . udp dport @seen drop\nadd @seen { ip saddr . udp dport } accept";
    let mut nft = forward("ip", more, rules);
    let mut at = |port, now| run_with(&mut nft, &mut udp(port), &mut TestHost::default(), now);
    let second = 1_000_000_000_000;
    assert_eq!(at(1, 0), NftVerdict::Accept);
    assert_eq!(at(1, second), NftVerdict::Drop);
    // `add` did not start the time again.
    assert_eq!(at(1, 10 * second), NftVerdict::Accept);
    let list = nft.list(12 * second, false);
    assert!(
        list.contains("elements = { 10.0.1.2 . 1 expires 8s }"),
        "{list}"
    );
}

#[test]
fn headers_are_rewritten_and_checksums_follow() {
    use etherparse::{Ipv4HeaderSlice, TcpSlice, UdpSlice};
    let rules = "ip daddr set 192.0.2.9 ip ttl set 7 ip dscp set ef\nudp dport set 999\ntcp dport set 8080 tcp option maxseg size set 1200";
    let mut nft = forward("ip", "", rules);
    for mut skb in [udp(53), tcp_syn(80)] {
        run(&mut nft, &mut skb);
        let bytes = skb.data();
        let ip = Ipv4HeaderSlice::from_slice(bytes).unwrap();
        let header = ip.to_header();
        assert_eq!(header.calc_header_checksum(), header.header_checksum);
        assert_eq!(
            (header.time_to_live, header.destination, header.dscp.value()),
            (7, [192, 0, 2, 9], 46)
        );
        let payload = &bytes[20..];
        if header.protocol.0 == 17 {
            let udp = UdpSlice::from_slice(payload).unwrap();
            let header = udp.to_header();
            assert_eq!(udp.destination_port(), 999);
            let sum = header
                .calc_checksum_ipv4_raw(ip.source(), ip.destination(), udp.payload())
                .unwrap();
            assert_eq!(header.checksum, sum);
        } else {
            let tcp = TcpSlice::from_slice(payload).unwrap();
            assert_eq!(tcp.destination_port(), 8080);
            assert_eq!(tcp.options(), [2, 4, 0x04, 0xb0]);
            let sum = tcp
                .calc_checksum_ipv4(ip.source(), ip.destination())
                .unwrap();
            assert_eq!(tcp.checksum(), sum);
        }
    }
}

#[test]
fn nat_statements_say_what_they_want() {
    let mut nft = stack::nft::Nft::new(1);
    let text = "table ip t {\n chain c {\n type nat hook prerouting priority -100\n udp dport 8080 dnat to 10.0.2.2:9\n udp dport 1 redirect to :5-6 random\n udp dport 2 dnat to udp dport map { 2 : 1.1.1.1 }\n }\n}";
    nft.apply(text, 0).unwrap();
    let mut host = TestHost::default();
    for port in [8080, 1, 2, 3] {
        run_with(&mut nft, &mut udp(port), &mut host, 0);
    }
    let address = "10.0.2.2".parse().unwrap();
    assert_eq!(host.nat.len(), 3);
    assert_eq!(
        (host.nat[0].addr, host.nat[0].port),
        (Some((address, address)), Some((9, 9)))
    );
    assert_eq!(
        (host.nat[1].addr, host.nat[1].port, host.nat[1].random),
        (None, Some((5, 6)), true)
    );
    let address = "1.1.1.1".parse().unwrap();
    assert_eq!(
        (host.nat[2].addr, host.nat[2].port),
        (Some((address, address)), None)
    );
}

#[test]
fn numbers_are_generated() {
    let mut nft = forward(
        "ip",
        "",
        "numgen inc mod 3 vmap { 0 : accept, 1 : drop, 2 : accept }",
    );
    let verdicts: Vec<_> = (0..6)
        .map(|_| run(&mut nft, &mut udp(1)) == NftVerdict::Drop)
        .collect();
    assert_eq!(verdicts, [false, true, false, false, true, false]);
}

#[test]
fn traced_packets_are_reported_rule_by_rule() {
    let more = "chain a {\n counter comment \"here\"\n}";
    let rules = "udp dport 5 meta nftrace set 1\njump a\nudp dport 6 drop\nudp dport 5 accept";
    let mut nft = forward("ip", more, rules);
    let mut host = TestHost {
        tracing: true,
        ..TestHost::default()
    };
    run_with(&mut nft, &mut udp(6), &mut host, 0);
    assert!(host.trace.is_empty());
    run_with(&mut nft, &mut udp(5), &mut host, 0);
    assert_eq!(
        host.trace,
        [
            "ip t c packet",
            "ip t c rule udp dport 5 meta nftrace set 1 (verdict continue)",
            "ip t c rule jump a (verdict jump a)",
            "ip t a rule counter packets 0 bytes 0 comment \"here\" (verdict continue)",
            "ip t c rule udp dport 5 accept (verdict accept)",
        ]
    );
}

/// Hours and days as typed in a shell, which takes their quotes away; 1970 began with a Thursday.
#[test]
fn hours_and_days_match() {
    const HOUR: Ps = 3600 * 1_000_000_000_000;
    let holds = |rule: &str, now: Ps| {
        let mut nft = forward("ip", "", &format!("{rule} drop"));
        let mut host = TestHost::default();
        run_with(&mut nft, &mut udp(53), &mut host, now) == NftVerdict::Drop
    };
    for (rule, hour, expected) in [
        ("meta hour 10:00-11:30", 11, true),
        ("meta hour 10:00-11:30", 12, false),
        ("meta hour != 10:00-11:30", 12, true),
        ("meta hour >= 10:00", 9, false),
        // Over midnight, as nft turns it round.
        ("meta hour 22:00-06:00", 23, true),
        ("meta hour 22:00-06:00", 3, true),
        ("meta hour 22:00-06:00", 12, false),
        ("meta hour { 1:00-2:00, 5:00-6:00 }", 5, true),
        ("meta day Thursday", 5, true),
        ("meta day Thursday", 29, false),
        ("meta day { Friday, 6 }", 29, true),
        ("meta time \"1970-01-02 05:00:00\"", 29, true),
        ("meta time < \"1970-01-02 05:00:00\"", 29, false),
    ] {
        assert_eq!(holds(rule, hour * HOUR), expected, "{rule} at {hour}");
    }
}
