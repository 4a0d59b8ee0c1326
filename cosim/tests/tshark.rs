//! What leaves the NIC, judged by tshark.

mod common;

use std::collections::BTreeMap;
use std::process::Command;

use common::{cosim_ok, installed, mixed_pcap, skip, text};

/// tshark's word for a good checksum, and for one that is not there.
const GOOD: &str = "1";
const UNVERIFIED: &str = "2";

#[test]
fn tshark_finds_no_fault() {
    if !installed("tshark") {
        skip(&["tshark"], "tshark is not installed");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.pcap");
    let out = out.to_str().unwrap();
    let input = mixed_pcap();
    cosim_ok(&[
        "replay",
        input.to_str().unwrap(),
        "--udp-echo",
        "7",
        "--udp-echo",
        "5201",
        "--out",
        out,
    ]);

    let fields = [
        "eth.fcs.status",
        "ip.checksum.status",
        "icmp.checksum.status",
        "icmpv6.checksum.status",
        "udp.checksum.status",
    ];
    let mut command = Command::new("tshark");
    command.args([
        "-r",
        out,
        "-T",
        "fields",
        "-E",
        "separator=,",
        "-E",
        "occurrence=f",
    ]);
    for preference in ["eth.check_fcs", "ip.check_checksum", "udp.check_checksum"] {
        command.args(["-o", &format!("{preference}:TRUE")]);
    }
    for field in fields.iter().chain(&["_ws.malformed"]) {
        command.args(["-e", field]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));

    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for (n, line) in text(&output.stdout).lines().enumerate() {
        let values: Vec<_> = line.split(',').collect();
        assert_eq!(
            values.last(),
            Some(&""),
            "frame {}: malformed: {line}",
            n + 1
        );
        for (field, value) in fields.iter().zip(values) {
            // ICMP in the first of several fragments, and UDP there, cannot be judged by itself.
            assert!(
                ["", GOOD, UNVERIFIED].contains(&value),
                "frame {}: {field} {value}: {line}",
                n + 1
            );
            *seen.entry(field).or_default() += u32::from(value == GOOD);
        }
    }
    println!("good: {seen:?}");
    for field in fields {
        assert!(seen[field] > 0, "no {field} was judged good");
    }
}
