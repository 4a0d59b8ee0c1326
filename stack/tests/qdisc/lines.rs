//! `tc` lines: what a kernel and its tc print for the same ones, what is refused, and that nothing panics.

use crate::router::Router;
use proptest::prelude::*;

fn run(lines: &[&str]) -> Router {
    let mut router = Router::new();
    for line in lines {
        router.prepare(line);
    }
    router
}

/// As Linux 6.18 with iproute2 6.1 printed them, but for `refcnt`: its veth has two queues.
#[test]
fn lists_are_the_kernels() {
    let mut router = run(&[
        "tc qdisc add dev eth_s root handle 1: htb default 20",
        "tc class add dev eth_s parent 1: classid 1:1 htb rate 2mbit burst 2k cburst 2k",
        "tc class add dev eth_s parent 1:1 classid 1:10 htb rate 1500kbit ceil 2mbit",
        "tc class add dev eth_s parent 1:1 classid 1:20 htb rate 500kbit ceil 2mbit prio 3",
        "tc qdisc add dev eth_s parent 1:10 handle 10: tbf rate 100kbit burst 10kb latency 50ms",
        "tc qdisc add dev eth_s parent 1:20 handle 20: pfifo limit 5",
        "tc filter add dev eth_s parent 1: protocol ip prio 1 u32 match ip dport 9 0xffff flowid 1:10",
        "tc filter add dev eth_s parent 1: protocol ip prio 1 u32 match ip src 10.0.0.0/8 match ip tos 0x10 0xff flowid 1:20",
        "tc filter add dev eth_s parent 1: protocol ipv6 u32 match ip6 dport 9 0xffff flowid 1:10",
        "tc qdisc add dev eth_c clsact",
        "tc filter add dev eth_c ingress u32 match u32 0 0 action mirred egress redirect dev eth_s",
        "tc filter add dev eth_c ingress u32 match tcp dst 80 0xffff match u8 1 0xff at 9 \
         action mirred egress mirror dev eth_s action mirred egress redirect dev eth_s",
        "tc filter add dev eth_c egress protocol ip u32 match u32 20 20 at 4 match ip6 priority 3 0xff flowid 1:3",
    ]);
    let mut text = String::new();
    for line in [
        "tc -s qdisc show dev eth_s",
        "tc -s class show dev eth_s",
        "tc class show dev eth_s",
        "tc filter show dev eth_s parent 1:",
        "tc -s filter show dev eth_s",
        "tc -s qdisc show dev eth_c",
        "tc -s filter show dev eth_c ingress",
        "tc filter show dev eth_c egress",
        "tc qdisc show",
        "tc -d qdisc show dev eth_s",
    ] {
        text += &format!("$ {line}\n{}", router.stack.tc(line).unwrap());
    }
    insta::assert_snapshot!(text);
}

#[test]
fn an_ifb_is_a_link() {
    let mut router = run(&["ip link add name ifb0 type ifb"]);
    let list = router.stack.ip("ip link show dev ifb0").unwrap();
    // As the kernel's, but for the default qdisc.
    let first = "4: ifb0: <BROADCAST,NOARP,UP,LOWER_UP> mtu 1500 qdisc fq_codel state UNKNOWN mode DEFAULT group default qlen 32\n";
    assert!(list.starts_with(first), "{list}");
    router.prepare("tc qdisc add dev ifb0 root pfifo");
    assert_eq!(
        router.stack.tc("qdisc show dev ifb0").unwrap(),
        "qdisc pfifo 8001: root refcnt 2 limit 32p\n"
    );
    for (line, problem) in [
        (
            "ip link add ifb0 type ifb",
            r#"1:13: "ifb0": there is a device ifb0 already"#,
        ),
        (
            "ip link add x type bond",
            r#"1:20: "bond": unknown device type: ifb, dummy, vlan, veth"#,
        ),
        ("ip link add x", "1:14: end of line: \"type\" is missing"),
        (
            "ip link add a/b type ifb",
            r#"1:13: "a/b": not a name for a device"#,
        ),
    ] {
        assert_eq!(router.stack.ip(line).unwrap_err().to_string(), problem);
    }
}

/// The kinds that the kernel at hand has not, as tc's sources print them.
#[test]
fn lists_of_other_kinds() {
    let mut router = run(&[]);
    let mut text = String::new();
    for options in [
        "fq_codel",
        "fq_codel limit 1000 flows 64 quantum 300 target 10ms interval 200ms ce_threshold 1ms memory_limit 4mb drop_batch 8 noecn",
        "prio bands 4 priomap 3 2 2 2 1 2 0 0 1 1 1 1 1 1 1 1",
        "netem delay 100ms 10ms 25% distribution normal loss 0.3% 25% duplicate 1% corrupt 0.1% reorder 25% 50% gap 5 rate 1mbit limit 50",
        "tbf rate 1mbit burst 10000 limit 100000 peakrate 2mbit mtu 1600",
        "bfifo",
        "pfifo limit 7",
        "pfifo_fast",
        "noqueue",
    ] {
        // The first one is the default.
        let _ = router.stack.tc("qdisc del dev eth_s root");
        router
            .stack
            .tc(&format!("qdisc add dev eth_s root {options}"))
            .unwrap();
        text += &router.stack.tc("tc -s qdisc show dev eth_s").unwrap();
    }
    router.prepare("tc qdisc add dev eth_c ingress");
    for filter in [
        "protocol ip prio 1 handle 6/0xff fw classid 1:10 action police rate 1mbit burst 20k conform-exceed drop/pass",
        "prio 2 matchall action skbedit mark 7 priority 1:10 action gact drop",
        "prio 3 matchall classid 1:3",
    ] {
        router
            .stack
            .tc(&format!("filter add dev eth_c ingress {filter}"))
            .unwrap();
    }
    text += &router.stack.tc("tc filter show dev eth_c ingress").unwrap();
    text += &router
        .stack
        .tc("tc -s filter show dev eth_c parent ffff:")
        .unwrap();
    insta::assert_snapshot!(text);
}

#[test]
fn what_is_not_understood_is_named() {
    let mut router = run(&[
        "tc qdisc add dev eth_s root handle 1: htb",
        "tc class add dev eth_s parent 1: classid 1:1 htb rate 1mbit",
        "tc filter add dev eth_s parent 1: prio 7 u32 match u32 0 0 flowid 1:1",
        "tc qdisc add dev eth_c ingress",
    ]);
    let mut text = String::new();
    for line in [
        "",
        "tc frob",
        "tc qdisc frob",
        "tc qdisc add dev nowhere root pfifo",
        "tc qdisc add dev eth_s root htb",
        "tc qdisc add dev eth_s root handle 2: pfifo",
        "tc qdisc add dev eth_s root frob",
        "tc qdisc replace dev eth_s root tbf rate 1mbit burst 10k",
        "tc qdisc replace dev eth_s root tbf rate 1mbit burst 10k limit 10k latency 10ms",
        "tc qdisc replace dev eth_s root tbf rate fast",
        "tc qdisc replace dev eth_s root fq_codel target 5parsecs",
        "tc qdisc replace dev eth_s root fq_codel flows 0",
        "tc qdisc replace dev eth_s root netem delay 10ms distribution pareto",
        "tc qdisc replace dev eth_s root prio bands 2",
        "tc qdisc change dev eth_s root handle 1: pfifo",
        "tc qdisc add dev eth_s parent 1:7 pfifo",
        "tc qdisc add dev eth_s parent 7:1 pfifo",
        "tc qdisc del dev eth_s root handle 5:",
        "tc qdisc add dev eth_c clsact",
        "tc class add dev eth_s parent 1: classid 1:2 htb",
        "tc class add dev eth_s parent 1: classid 1:1 htb rate 1mbit",
        "tc class add dev eth_s parent 3: classid 3:1 htb rate 1mbit",
        "tc class change dev eth_s parent 1: classid 1:5 htb rate 1mbit",
        "tc class del dev eth_s classid 1:5",
        "tc class del dev eth_s classid 1:1",
        "tc filter add dev eth_s parent 5: u32 match u32 0 0",
        "tc filter add dev eth_s parent 1: u32 match ip frob 1",
        "tc filter add dev eth_s parent 1: u32 match u32 0 0 at 3",
        "tc filter add dev eth_s parent 1: u32 match ip src fe80::/10",
        "tc filter add dev eth_s parent 1: flower action drop",
        "tc filter add dev eth_s parent 1: prio 7 protocol ip u32 match u32 0 0",
        "tc filter add dev eth_s parent 1: matchall action frob",
        "tc filter add dev eth_s parent 1: matchall action mirred egress redirect dev nowhere",
        "tc filter add dev eth_s parent 1: bpf da obj missing.o",
        "tc filter add dev eth_c egress matchall action drop",
        "tc filter del dev eth_s parent 1: prio 9",
        "tc qdisc show dev eth_s and more",
    ] {
        let error = router.stack.tc(line).expect_err(line);
        text += &format!("{line}\n    {error}\n");
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_deleted_root_leaves_the_default_and_its_packets_are_counted() {
    let mut router = run(&["tc qdisc add dev eth_s root tbf rate 8kbit burst 2000 limit 100000"]);
    for n in 0..5 {
        router.arrive(n, 9, 958);
    }
    assert_eq!(router.departures.len(), 2);
    assert_eq!(router.stack.stats().held, 3);
    router.prepare("tc qdisc del dev eth_s root");
    assert_eq!(router.stack.stats().held, 0);
    router.assert_balanced();
    let list = router.stack.tc("tc qdisc show dev eth_s").unwrap();
    assert!(
        list.starts_with("qdisc fq_codel 0: root refcnt 2 "),
        "{list}"
    );
    assert!(router.stack.tc("tc qdisc del dev eth_s root").is_err());
}

/// Kinds of qdiscs, with limits that are reached.
const QDISCS: [&str; 10] = [
    "pfifo limit 4",
    "bfifo limit 3000",
    "pfifo_fast",
    "fq_codel limit 6 flows 4 memory_limit 10kb",
    "tbf rate 1mbit burst 3000 limit 5000",
    "tbf rate 1mbit burst 3000 limit 5000 peakrate 2mbit mtu 1600",
    "prio bands 3",
    "netem delay 3ms 2ms loss 10% duplicate 10% reorder 20% gap 3 corrupt 5% limit 8",
    "netem rate 1mbit limit 5",
    "htb default 10",
];

/// Words that mean something to tc, in lines that mostly do not.
fn words() -> impl Strategy<Value = String> {
    let known = prop::sample::select(
        "tc qdisc class filter add del change replace show dev eth_s eth_c lo root ingress clsact egress parent handle 1: 1:1 1:10 ffff: classid flowid \
         htb tbf pfifo bfifo fq_codel prio netem pfifo_fast noqueue rate ceil burst limit latency 1mbit 10k 20ms 5% quantum default bands priomap delay \
         loss u32 matchall fw bpf match ip ip6 src dst dport 10.0.0.0/8 ::/0 9 0xffff at nexthdr+2 action drop pass mirred police skbedit mark redirect \
         mirror protocol all 65536 -1 0 4294967295 99999999999999999999 é"
            .split_whitespace()
            .collect::<Vec<_>>(),
    );
    let any = prop_oneof![8 => known.prop_map(str::to_owned), 1 => "[ -~é]{0,6}"];
    prop::collection::vec(any, 0..16).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_line_panics(lines in prop::collection::vec(words(), 1..12)) {
        let mut router = Router::new();
        for (n, line) in lines.iter().enumerate() {
            let _ = router.stack.tc(line);
            let _ = router.stack.tc(&format!("tc qdisc add dev eth_s {line}"));
            let _ = router.stack.tc(&format!("tc filter add dev eth_s parent 1: {line}"));
            router.arrive((n as u64 + 1) * 1_000_000_000, 9, 100);
        }
        for list in ["qdisc show", "class show dev eth_s", "filter show dev eth_s", "filter show dev eth_c ingress"] {
            router.stack.tc(&format!("tc -s -d {list}")).unwrap();
        }
        router.assert_balanced();
    }

    /// Whatever the qdisc, packets in are packets out, dropped or waiting; and all that wait leave in the end.
    #[test]
    fn packets_in_are_packets_out(
        kind in prop::sample::select(QDISCS.to_vec()),
        steps in prop::collection::vec((0..3u64, 7..10u16, 0..1400usize, any::<bool>()), 1..60),
    ) {
        let mut router = Router::new();
        router.prepare(&format!("tc qdisc replace dev eth_s root handle 1: {kind}"));
        if kind.starts_with("htb") {
            router.prepare("tc class add dev eth_s parent 1: classid 1:10 htb rate 1mbit");
            router.prepare("tc qdisc add dev eth_s parent 1:10 fq_codel limit 5");
        }
        let (mut at, arrivals) = (0, steps.len());
        for (ms, port, len, room) in steps {
            at += ms * 1_000_000_000;
            router.wire_s.borrow_mut().tx_room = if room { 3 } else { 0 };
            router.stack.napi_schedule(router.eth_s);
            router.arrive(at, port, len);
            router.assert_balanced();
        }
        router.wire_s.borrow_mut().tx_room = usize::MAX;
        router.stack.napi_schedule(router.eth_s);
        router.work();
        router.run_until(at + 60_000_000_000_000);
        router.assert_balanced();
        let stats = router.stack.stats();
        prop_assert_eq!(stats.held, 0);
        let copies = stats.built as usize;
        prop_assert_eq!(router.departures.len() + stats.dropped as usize, arrivals + copies);
    }
}
