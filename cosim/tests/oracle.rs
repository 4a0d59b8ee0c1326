//! Recordings of a real kernel, run again; and recordings that were tampered with, which must fail so that one sees why.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use cosim::oracle::{Recording, Report, find, replay};

fn recordings() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/oracle")
}

fn run(dir: &Path) -> Report {
    let recording = Recording::open(dir).unwrap();
    replay(&recording).unwrap()
}

#[test]
fn the_stack_does_what_the_kernel_did() {
    let all = find(&recordings()).unwrap();
    assert!(all.len() >= 60, "{all:?}");
    let mut failed = 0;
    for dir in all {
        let report = run(&dir);
        print!("{report}");
        failed += usize::from(!report.passed());
        assert!(report.compared.packets > 0);
    }
    assert_eq!(failed, 0, "recordings differ; see above");
}

/// The order of the hooks, for people to read: packets one under the other with the chains that each went through. It is what
/// the kernel reported of the same packets.
fn hook_order(name: &str) -> String {
    let dir = recordings().join(name);
    let here = run(&dir).walks;
    let meta: serde_json::Value =
        serde_json::from_slice(&fs::read(dir.join("meta.json")).unwrap()).unwrap();
    let kernel: Vec<Vec<&str>> = meta["packets"]
        .as_array()
        .unwrap()
        .iter()
        .map(chains)
        .collect();
    assert_eq!(here, kernel, "{name}");
    let packets: Vec<String> = here.iter().map(|chains| chains.join("\n")).collect();
    packets.join("\n\n")
}

/// The chains of one packet in `meta.json`.
fn chains(packet: &serde_json::Value) -> Vec<&str> {
    let visits = packet.as_array().unwrap().iter();
    visits
        .map(|visit| visit["chain"].as_str().unwrap())
        .collect()
}

#[test]
fn the_hooks_come_in_the_kernels_order() {
    insta::assert_snapshot!("ingress_local", hook_order("01_local_delivery_udp"));
    insta::assert_snapshot!("forward", hook_order("02_forward_udp"));
    insta::assert_snapshot!("egress", hook_order("03_local_out_udp"));
}

/// A copy of a recording in which `change` altered a file.
fn tampered(name: &str, file: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> String {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join(name);
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(recordings().join(name)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
    }
    let path = copy.join(file);
    fs::write(&path, change(fs::read(&path).unwrap())).unwrap();
    let report = run(&copy);
    assert!(!report.passed(), "{file} was changed");
    report.to_string()
}

/// Replaces the only occurrence of `from`, or the `nth` of several.
fn replaced(from: &'static str, to: &'static str, nth: usize) -> impl FnOnce(Vec<u8>) -> Vec<u8> {
    move |bytes| {
        let text = String::from_utf8(bytes).unwrap();
        let (at, _) = text.match_indices(from).nth(nth).unwrap();
        let (before, after) = (&text[..at], &text[at + from.len()..]);
        format!("{before}{to}{after}").into_bytes()
    }
}

#[test]
fn a_changed_address_in_a_walk_is_found() {
    // The first 10.0.2.2 is the destination behind the DNAT, at mangle/FORWARD.
    let change = replaced("\"daddr\": \"10.0.2.2\"", "\"daddr\": \"10.0.2.3\"", 0);
    insta::assert_snapshot!(tampered("06_dnat", "meta.json", change));
}

#[test]
fn a_changed_note_or_chain_or_rule_is_found() {
    let note = replaced("ct=NEW", "ct=ESTABLISHED", 0);
    insta::assert_snapshot!("note", tampered("06_dnat", "meta.json", note));
    let chain = replaced("security/FORWARD", "security/OUTPUT", 0);
    insta::assert_snapshot!("chain", tampered("06_dnat", "meta.json", chain));
    let rule = replaced("dnat to 10.0.2.2:9", "dnat to 10.0.2.2:10", 1);
    insta::assert_snapshot!("rule", tampered("06_dnat", "meta.json", rule));
}

#[test]
fn a_changed_byte_of_a_frame_is_found() {
    let change = |mut bytes: Vec<u8>| {
        // File header 24, record header 16, Ethernet 14, then the TTL at 8.
        bytes[24 + 16 + 14 + 8] -= 1;
        bytes
    };
    insta::assert_snapshot!(tampered("06_dnat", "out_eth_s.pcap", change));
}

#[test]
fn a_missing_frame_is_found() {
    // Only the file header is left.
    let change = |bytes: Vec<u8>| bytes[..24].to_vec();
    insta::assert_snapshot!(tampered("02_forward_udp", "out_eth_c.pcap", change));
}

#[test]
fn a_changed_connection_or_event_is_found() {
    let listed = replaced(
        "src=10.0.2.2 dst=10.0.2.1 sport=9",
        "src=10.0.2.2 dst=10.0.2.1 sport=7",
        0,
    );
    insta::assert_snapshot!(
        "listed",
        tampered("07_masquerade", "transcript.txt", listed)
    );
    let event = replaced(
        "[UPDATE] tcp      6 60 SYN_RECV",
        "[UPDATE] tcp      6 30 SYN_RECV",
        0,
    );
    insta::assert_snapshot!(
        "event",
        tampered("05_forward_tcp_lifecycle", "transcript.txt", event)
    );
}

#[test]
fn a_rule_that_came_on_top_and_is_left_out_is_missed() {
    let change = replaced("udp dport 8080 dnat", "udp dport 8081 dnat", 0);
    let report = tampered("06_dnat", "meta.json", change);
    assert!(
        report.contains("packet 1, nat/PREROUTING: rules"),
        "{report}"
    );
    assert!(
        report.contains("packet 1: walk, from nat/PREROUTING on"),
        "{report}"
    );
}

#[test]
fn the_command_line_tells_by_its_exit_status() {
    let good = recordings().join("01_local_delivery_udp");
    let out = common::cosim_ok(&["oracle", good.to_str().unwrap()]);
    assert!(out.starts_with("PASS 01_local_delivery_udp"), "{out}");
    assert!(out.ends_with("1 recordings, no difference\n"), "{out}");

    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("unknown");
    fs::create_dir(&copy).unwrap();
    for file in ["meta.json", "transcript.txt"] {
        let text = fs::read_to_string(recordings().join("06_dnat").join(file)).unwrap();
        let text = text.replace("nft add rule ip nat", "iptables -A");
        fs::write(copy.join(file), text).unwrap();
    }
    let output = common::cosim(&["oracle", copy.to_str().unwrap()]);
    assert!(!output.status.success());
    let (out, err) = (common::text(&output.stdout), common::text(&output.stderr));
    assert!(out.contains("`iptables` is not known here"), "{out}");
    assert!(err.contains("1 of 1 recordings differ"), "{err}");

    let nothing = common::cosim(&["oracle", dir.path().join("none").to_str().unwrap()]);
    assert!(!nothing.status.success());
}
