//! The command line from outside.

mod common;

use std::io::pipe;
use std::process::Command;

use common::{cosim, cosim_ok, mixed_pcap, text};

/// What the program says when it fails.
fn failure(args: &[&str]) -> String {
    let output = cosim(args);
    assert!(!output.status.success(), "cosim {args:?} succeeded");
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
    text(&output.stderr)
}

#[test]
fn help_has_examples() {
    for command in ["replay", "trace", "tap"] {
        let help = cosim_ok(&[command, "--help"]);
        assert!(
            help.contains("Example") && help.contains("--addr"),
            "{help}"
        );
    }
    let help = cosim_ok(&["--help"]);
    assert!(
        help.starts_with("Runs real traffic through the Verilog NIC"),
        "{help}"
    );
    assert!(
        help.contains("cosim trace cosim/data/mixed.pcap --packet 5"),
        "{help}"
    );
}

#[test]
fn failures_say_what_where_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| -> String {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_string()
    };
    let text_file = file("notes.txt", b"this is not a capture, it is a text");
    let ng = file(
        "a.pcapng",
        &[0x0a, 0x0d, 0x0d, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0],
    );
    let mut cut = std::fs::read(mixed_pcap()).unwrap();
    cut.truncate(1000);
    let cut = file("cut.pcap", &cut);
    let mixed = mixed_pcap();
    let mixed = mixed.to_str().unwrap();

    for (args, expected) in [
        (
            &["replay", "/nonexistent/in.pcap"][..],
            "cannot open /nonexistent/in.pcap",
        ),
        (&["replay", &text_file], "not a pcap file"),
        (&["replay", &ng], "editcap -F pcap"),
        (&["replay", &cut], "the file ends inside frame"),
        (&["trace", mixed, "--packet", "9999"], "has 537 frames"),
        (&["trace", mixed, "--packet", "0"], "has 537 frames"),
        (
            &["trace", mixed, "--packet", "4"],
            "the captured host sent it itself",
        ),
        (
            &["replay", mixed, "--udp-echo", "7", "--udp-echo", "7"],
            "--udp-echo 7",
        ),
        (
            &["replay", mixed, "--out", "/nonexistent/out.pcap"],
            "cannot create /nonexistent/out.pcap",
        ),
        (
            &["replay", mixed, "--trace", "/nonexistent/trace.txt"],
            "cannot create /nonexistent/trace.txt",
        ),
        (
            &["replay", mixed, "--summary", "/nonexistent/summary.json"],
            "cannot create /nonexistent/summary.json",
        ),
    ] {
        let message = failure(args);
        assert!(message.contains(expected), "cosim {args:?}: {message}");
        assert!(!message.contains("panicked"), "{message}");
    }
}

/// A pcap of the same frame of another host twice, the second `seconds` behind the first.
fn two_frames(seconds: u32) -> Vec<u8> {
    let mixed = std::fs::read(mixed_pcap()).unwrap();
    let (header, records) = mixed.split_at(24);
    let field = |at: usize| u32::from_le_bytes(records[at..at + 4].try_into().unwrap());
    assert_eq!(header[0], 0xd4, "the capture is little-endian");
    let mut record = records[..16 + field(8) as usize].to_vec();
    record[16 + 6..16 + 12].copy_from_slice(&[2, 0, 0, 0, 0, 0x77]);
    let later = (field(0) + seconds).to_le_bytes();
    [header, &record, &later, &record[4..]].concat()
}

#[test]
fn times_beyond_the_simulated_clock_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("late.pcap");
    let path = path.to_str().unwrap();
    std::fs::write(path, two_frames(20_000_000)).unwrap();
    let message = failure(&["replay", path]);
    assert!(message.contains("frame 2 is 20000000 s"), "{message}");
    assert!(message.contains("--fast"), "{message}");
    cosim_ok(&["replay", path, "--fast"]);
    // What comes before the frame can still be looked at.
    cosim_ok(&["trace", path, "--packet", "1"]);

    std::fs::write(path, two_frames(17_000_000)).unwrap();
    let summary = cosim_ok(&["replay", path]);
    assert!(summary.contains(" 17000000."), "{summary}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("summary.json");
    let input = dir.path().join("in.pcap");
    std::fs::write(&input, two_frames(1)).unwrap();
    let input = input.to_str().unwrap();
    for args in [
        &["trace", input, "--packet", "1"][..],
        &["replay", input, "--summary", json.to_str().unwrap()],
    ] {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_cosim"))
            .args(args)
            .stdout(writer)
            .output()
            .unwrap();
        let message = text(&output.stderr);
        assert!(output.status.success(), "cosim {args:?}: {message}");
    }
    assert!(json.exists());
}

#[test]
fn trace_shows_the_whole_way_and_back() {
    let mixed = mixed_pcap();
    let journey = cosim_ok(&["trace", mixed.to_str().unwrap(), "--packet", "5"]);
    let mut from = 0;
    for stage in [
        "first byte",
        "last byte",
        "DMA write begins",
        "DMA write ends",
        "used descriptor",
        "MSI-X message",
        "interrupt",
        "napi_poll",
        "hook tc ingress",
        "hook netdev ingress",
        "hook prerouting",
        "route input",
        "hook input",
        "icmp_rcv",
        "send",
        "hook output",
        "hook postrouting",
        "neighbour",
        "hook tc egress",
        "qdisc",
        "xmit",
        "doorbell",
        "descriptor read",
        "DMA read begins",
        "DMA read ends",
        "first byte",
        "last byte",
    ] {
        let at = journey[from..].find(stage);
        from += at.unwrap_or_else(|| panic!("no `{stage}` behind offset {from} in\n{journey}"));
    }
}

/// The lines that README shows are those that the program prints.
#[test]
fn the_readme_shows_what_the_program_prints() {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let (_, section) = readme.split_once("## How to read a trace").unwrap();
    let shown: Vec<&str> = section
        .lines()
        .skip_while(|line| *line != "```")
        .skip(1)
        .take_while(|line| line.trim() != "…")
        .collect();
    assert!(shown.len() >= 8, "{shown:#?}");
    let mixed = mixed_pcap();
    let journey = cosim_ok(&["trace", mixed.to_str().unwrap(), "--packet", "5"]);
    let printed: Vec<&str> = journey.lines().take(shown.len()).collect();
    assert_eq!(shown, printed);
}

/// A frame with more bytes than the MTU allows, and such as are for the MAC itself, in the RTL and in the model.
#[test]
fn a_frame_that_the_nic_drops_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("long.pcap");
    let frame = |len: u32, ethertype: [u8; 2], opcode: u8| -> Vec<u8> {
        let mut record = [0, 0, len, len].map(u32::to_le_bytes).concat();
        record.extend([1, 0x80, 0xc2, 0, 0, 1, 2, 0, 0, 0, 0, 0x77]);
        record.extend(ethertype);
        record.extend([0, opcode]);
        record.resize(16 + len as usize, 0);
        record
    };
    let header = std::fs::read(mixed_pcap()).unwrap()[..24].to_vec();
    // IEEE 802.3 31A: opcode 1 is PAUSE, others are not for this MAC.
    let frames = [
        frame(1600, [8, 0], 0),
        frame(60, [0x88, 8], 1),
        frame(60, [0x88, 8], 2),
    ];
    std::fs::write(&path, [header, frames.concat()].concat()).unwrap();
    let path = path.to_str().unwrap();
    for device in ["rtl", "model"] {
        let journey = cosim_ok(&["trace", path, "--packet", "1", "--device", device]);
        assert!(
            journey.contains("did not reach the kernel path; counted in this run: nic: too long 1"),
            "{journey}"
        );
        let summary = cosim_ok(&["replay", path, "--device", device]);
        assert!(!summary.contains("UNACCOUNTED"), "{summary}");
        for reason in ["too long", "PAUSE, taken by the MAC", "MAC control"] {
            assert!(summary.contains(&format!("nic: {reason}")), "{summary}");
        }
    }
}
