//! Devices that commands make or change: `ip link add`, `ip link set`, `ip addr` with all its words.

use crate::common::{Host, MAC, PEER, SEC};
use crate::verify;
use etherparse::{PacketBuilder, VlanId};
use stack::{DropReason, Stack, StackConfig};

/// Commands, and what they print.
fn run(stack: &mut Stack, lines: &[&str]) -> String {
    let run = |line: &&str| stack.ip(line).unwrap_or_else(|e| panic!("{line}: {e}"));
    lines.iter().map(run).collect()
}

/// An echo request from the VLAN `id`.
fn ping(id: u16, to: [u8; 4]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(PEER, MAC)
        .single_vlan(VlanId::try_new(id).unwrap())
        .ipv4([10, 5, 0, 2], to, 64)
        .icmpv4_echo_request(7, 1);
    let mut bytes = Vec::new();
    builder.write(&mut bytes, b"vlan").unwrap();
    bytes
}

#[test]
fn a_vlan_device_has_the_frames_with_its_tag() {
    let mut host = Host::new(StackConfig::default());
    let name = host.stack.device_name(host.dev).unwrap().to_owned();
    run(
        &mut host.stack,
        &[
            &format!("link add link {name} name v5 type vlan id 5"),
            "addr add 10.5.0.1/24 dev v5",
            "neigh add 10.5.0.2 lladdr 2:0:0:0:0:99 dev v5",
        ],
    );
    // Made, but down.
    host.receive([ping(5, [10, 5, 0, 1])]);
    assert_eq!(host.stack.drop_count(DropReason::NotSpecified), 1);
    run(
        &mut host.stack,
        &[
            "link set v5 up",
            "neigh replace 10.5.0.2 lladdr 2:0:0:0:0:99 dev v5",
        ],
    );
    host.sent();
    host.receive([ping(5, [10, 5, 0, 1])]);
    let mut sent = host.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0][12..16], [0x81, 0, 0, 5]);
    sent[0].drain(12..16);
    assert_eq!(verify(&sent[0]), b"vlan");
    assert_eq!(sent[0][..6], [2, 0, 0, 0, 0, 0x99]);
    let v5 = host.stack.device_by_name("v5").unwrap();
    let stats = host.stack.link_stats(v5).unwrap();
    assert_eq!((stats.rx_packets, stats.tx_packets > 0), (1, true));
    // Nobody is in VLAN 6.
    host.receive([ping(6, [10, 5, 0, 1])]);
    assert_eq!(host.stack.drop_count(DropReason::OtherHost), 1);
    assert_eq!(host.sent().len(), 0);
    // It goes down with the device below, and its network with it.
    run(&mut host.stack, &[&format!("link set {name} down")]);
    assert!(!host.stack.is_up(v5));
    assert!(!run(&mut host.stack, &["route show"]).contains("v5"));
    host.assert_balanced();
    for line in [
        &format!("link add link {name} name v6 type vlan id 5") as &str,
        "link add v6 type vlan id 6",
        &format!("link add link {name} name v6 type vlan id 4095"),
        &format!("link add link {name} name v5 type vlan id 7"),
    ] {
        assert!(host.stack.ip(line).is_err(), "{line}");
    }
}

#[test]
fn a_dummy_swallows_what_is_sent_to_it() {
    let mut host = Host::new(StackConfig {
        ip_forward: true,
        ..StackConfig::default()
    });
    run(
        &mut host.stack,
        &[
            "link add d0 mtu 1000 type dummy",
            "addr add 10.6.0.1/24 dev d0",
            "link set d0 up",
        ],
    );
    let builder = PacketBuilder::ethernet2(PEER, MAC).ipv4([192, 0, 2, 10], [10, 6, 0, 9], 64);
    let mut frame = Vec::new();
    builder
        .udp(4000, 9)
        .write(&mut frame, b"into the void")
        .unwrap();
    // nft_meta_get_eval_kind(): hardware has no kind, and matches none.
    let rules = "table ip t { chain f { type filter hook forward priority 0; \
                 meta oifkind \"dummy\" counter; meta oifkind != \"vlan\" counter; meta iifkind != \"dummy\" counter; } }";
    host.stack.nft(rules).unwrap();
    host.receive([frame]);
    host.assert_balanced();
    assert_eq!(host.sent().len(), 0);
    assert_eq!(host.stack.stats().drops().count(), 0);
    let counted = host.stack.nft("list ruleset").unwrap();
    let packets: Vec<&str> = counted
        .lines()
        .filter_map(|line| line.split_once("packets ")?.1.split(' ').next())
        .collect();
    assert_eq!(packets, ["1", "1", "0"], "{counted}");
    let d0 = host.stack.device_by_name("d0").unwrap();
    assert!(host.stack.link_stats(d0).unwrap().tx_packets >= 1);
    let shown = run(&mut host.stack, &["link show d0"]);
    assert!(
        shown.contains("d0: <BROADCAST,NOARP,UP,LOWER_UP> mtu 1000 qdisc noqueue state UNKNOWN "),
        "{shown}"
    );
}

/// As iproute2 6.1 printed it on a 6.18 kernel, but for the device's number, address and peer.
#[test]
fn settings_of_a_device_are_listed() {
    let mut host = Host::new(StackConfig::default());
    let shown = run(
        &mut host.stack,
        &[
            "link add d0 type dummy",
            "link set d0 up alias 'x y' group 7 promisc on allmulticast on multicast off txqueuelen 55 address 2:0:0:0:0:9 mtu 700",
            "link show d0",
        ],
    );
    let (_, shown) = shown.split_once(": ").unwrap();
    assert_eq!(
        shown,
        "d0: <BROADCAST,NOARP,ALLMULTI,PROMISC,UP,LOWER_UP> mtu 700 qdisc noqueue state UNKNOWN mode DEFAULT group 7 qlen 55\n    \
         link/ether 02:00:00:00:00:09 brd ff:ff:ff:ff:ff:ff\n    alias x y\n"
    );
    assert!(host.stack.ip("link set d0 mtu 9001").is_err());
    assert!(host.stack.ip("link set d0 address 1:0:0:0:0:9").is_err());
    assert!(host.stack.ip("link set d0 colour red").is_err());
}

/// As iproute2 6.1 printed it on a 6.18 kernel.
#[test]
fn addresses_have_peers_labels_metrics_and_lives() {
    let mut host = Host::new(StackConfig {
        ipv6: false,
        ..StackConfig::default()
    });
    let stack = &mut host.stack;
    let shown = run(
        stack,
        &[
            "link add d0 type dummy",
            "link set d0 up",
            "addr add 10.0.0.1 peer 10.0.0.2/30 dev d0 label d0:1 valid_lft 100 preferred_lft 50",
            "addr add 10.1.0.1/24 metric 7 dev d0",
            "addr add 10.1.0.1/24 peer 10.1.0.3 dev d0",
            "-4 addr show d0",
        ],
    );
    let (_, listed) = shown.split_once("qlen 1000\n").unwrap();
    assert_eq!(
        listed,
        "    inet 10.0.0.1 peer 10.0.0.2/30 scope global dynamic d0:1\n       valid_lft 100sec preferred_lft 50sec\n    \
         inet 10.1.0.1/24 metric 7 scope global d0\n       valid_lft forever preferred_lft forever\n    \
         inet 10.1.0.1 peer 10.1.0.3/32 scope global d0\n       valid_lft forever preferred_lft forever\n"
    );
    let main = "10.0.0.0/30 proto kernel scope link src 10.0.0.1 \n\
                10.1.0.0/24 proto kernel scope link src 10.1.0.1 metric 7 \n\
                10.1.0.3 proto kernel scope link src 10.1.0.1 \n";
    assert_eq!(run(stack, &["route show dev d0"]), main);
    let local = run(stack, &["route show table local dev d0"]);
    assert_eq!(
        local,
        "local 10.0.0.1 proto kernel scope host src 10.0.0.1 \n\
         broadcast 10.0.0.3 proto kernel scope link src 10.0.0.1 \n\
         local 10.1.0.1 proto kernel scope host src 10.1.0.1 \n\
         broadcast 10.1.0.255 proto kernel scope link src 10.1.0.1 \n"
    );
    for line in [
        "addr add 10.0.3.1/24 dev d0 label e0:1",
        "addr add 10.0.3.1/24 dev d0 valid_lft 5 preferred_lft 6",
        "addr add 10.0.3.1/24 dev d0 valid_lft 0",
    ] {
        assert!(stack.ip(line).is_err(), "{line}");
    }
    stack.run_timers(99 * SEC);
    assert!(run(stack, &["addr show d0"]).contains("global deprecated dynamic d0:1\n"));
    stack.run_timers(101 * SEC);
    let shown = run(stack, &["addr show d0", "route show table all dev d0"]);
    assert!(!shown.contains("10.0.0."), "{shown}");
}

/// As 6.18: rules and chains that say a name follow the name, addresses and routes follow the device.
#[test]
fn a_device_gets_another_name() {
    let mut host = Host::new(StackConfig::default());
    let stack = &mut host.stack;
    run(
        stack,
        &[
            "link add d1 type dummy",
            "addr add 10.0.1.1/24 dev eth0",
            "addr add 10.0.1.5/24 dev eth0 label eth0:x",
            "rule add iif eth0 lookup 77",
        ],
    );
    let rules = "add table netdev n; add chain netdev n c { type filter hook ingress device eth0 priority 0; }; \
                 add rule netdev n c counter drop; add table ip t; add chain ip t c; \
                 add rule ip t c iif eth0 counter; add rule ip t c iifname eth0 counter";
    stack.nft(rules).unwrap();
    assert_eq!(run(stack, &["link set eth0 name eth9"]), "");
    let say = |stack: &mut Stack, line: &str| stack.ip(line).unwrap_err().to_string();
    assert!(say(stack, "link set d1 name eth9").contains("File exists"));
    for wrong in ["a/b", "a:b", ".", "0123456789abcdef"] {
        assert!(say(stack, &format!("link set d1 name {wrong}")).contains("not a name"));
    }
    assert!(run(stack, &["rule"]).contains("from all iif eth0 [detached] lookup 77"));
    let list = run(stack, &["addr show dev eth9"]);
    assert!(list.contains("scope global secondary eth9:x\n"), "{list}");
    assert!(
        list.contains("inet 10.0.1.1/24 scope global eth9\n"),
        "{list}"
    );
    let list = stack.nft("list ruleset").unwrap();
    assert!(
        list.contains("device \"eth0\"") && list.contains("iif \"eth9\""),
        "{list}"
    );
    assert!(list.contains("iifname \"eth0\""), "{list}");
    // The chain has no device any more.
    let ping = || crate::ping4(b"name");
    host.receive([ping()]);
    assert_eq!(host.sent().len(), 1);
    run(&mut host.stack, &["link set eth9 name eth0"]);
    assert!(!run(&mut host.stack, &["rule"]).contains("detached"));
    host.receive([ping()]);
    assert_eq!(host.sent().len(), 0);
}

/// Lines that 6.18 and its tools take.
#[test]
fn caches_and_neighbours_are_flushed() {
    let mut host = Host::new(StackConfig::default());
    let stack = &mut host.stack;
    run(
        stack,
        &[
            "route flush cache",
            "-6 route flush cache",
            "neigh add 192.0.2.30 lladdr 2:0:0:0:0:30 dev eth0 nud stale",
            "neigh add 192.0.2.40 lladdr 2:0:0:0:0:40 dev eth0 nud stale",
            "neigh add 10.9.9.9 lladdr 2:0:0:0:0:50 dev eth0 nud stale",
            "neigh flush to 10.0.0.0/8",
        ],
    );
    assert_eq!(run(stack, &["neigh show to 10.0.0.0/8"]), "");
    assert_eq!(
        run(stack, &["neigh show 192.0.2.32/27 nud stale"])
            .lines()
            .count(),
        1
    );
    run(stack, &["neigh flush all"]);
    assert_eq!(run(stack, &["neigh show all nud stale"]), "");
    // What is permanent stays.
    assert!(run(stack, &["-4 neigh show all"]).contains("192.0.2.10"));
}

#[test]
fn an_address_is_deprecated_at_once() {
    let mut host = Host::new(StackConfig::default());
    let stack = &mut host.stack;
    run(
        stack,
        &["addr change 192.0.2.20/24 dev eth0 preferred_lft 0"],
    );
    let list = run(stack, &["-4 addr show dev eth0"]);
    let expected = "scope global deprecated eth0\n       valid_lft forever preferred_lft forever\n";
    assert!(list.contains(expected), "{list}");
    run(
        stack,
        &["addr add 192.0.2.9/24 dev eth0 preferred_lft 0 valid_lft 100"],
    );
    let list = run(stack, &["-4 addr show dev eth0"]);
    let expected = "scope global secondary deprecated dynamic eth0\n       valid_lft 100sec preferred_lft 0sec\n";
    assert!(list.contains(expected), "{list}");
    run(stack, &["addr change 192.0.2.9/24 dev eth0"]);
    let list = run(stack, &["-4 addr show dev eth0"]);
    let expected = "scope global secondary eth0\n       valid_lft forever preferred_lft forever\n";
    assert!(list.contains(expected), "{list}");
    for (line, says) in [
        (
            "addr add 192.0.2.8/24 dev eth0 valid_lft 0",
            "valid_lft is zero",
        ),
        (
            "addr add 192.0.2.8/24 dev eth0 preferred_lft 200 valid_lft 100",
            "preferred_lft is greater than valid_lft",
        ),
    ] {
        let error = stack.ip(line).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
