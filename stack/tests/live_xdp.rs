//! The same objects and the same frames in the kernel of this machine (`BPF_PROG_TEST_RUN`) and here: verdicts and frames must agree, and the
//! kernel's verifier refuses what is stopped here.
//!
//! Needs root, a C compiler and libbpf 1.x; skips without. Nothing is attached to any device.

mod common;
mod peers;

use common::{Host, LEAVES_ITS_MEMORY, MAC, PEER};
use etherparse::PacketBuilder;
use peers::skip;
use stack::xdp::{TcBpf, XdpStats};
use stack::{CsumState, SkBuff, StackConfig, TcProgram};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn data(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/bpf");
    dir.join(name)
}

/// The loader (test_run.c), compiled; or why there is none.
fn loader(test: &str) -> Result<PathBuf, String> {
    let id = Command::new("id").arg("-u").output();
    if id.map_or(true, |id| id.stdout != b"0\n") {
        return Err("not root: programs cannot be loaded".into());
    }
    let loader = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("test_run_{test}"));
    let compiled = Command::new("cc")
        .args(["-O1", "-o"])
        .arg(&loader)
        .arg(data("test_run.c"))
        .arg("-lbpf")
        .output()
        .map_err(|e| format!("no C compiler: {e}"))?;
    match compiled.status.success() {
        true => Ok(loader),
        false => Err("the loader does not compile: libbpf 1.x (libbpf-dev) is missing".into()),
    }
}

/// A verdict, and the frame after the run.
type Outcome = (i32, Vec<u8>);

/// What the kernel says to frames: verdict and bytes of each; `None` when it refuses the program.
fn kernel(
    loader: &Path,
    object: &str,
    section: &str,
    kind: &str,
    frames: &[Vec<u8>],
) -> Result<Option<Vec<Outcome>>, String> {
    let mut child = Command::new(loader)
        .arg(data(object))
        .args([section, kind])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the loader runs");
    let mut lines = String::new();
    for frame in frames {
        for byte in frame {
            let _ = write!(lines, "{byte:02x}");
        }
        lines.push('\n');
    }
    // A program that is refused reads nothing.
    let _ = child
        .stdin
        .take()
        .expect("piped")
        .write_all(lines.as_bytes());
    let output = child.wait_with_output().expect("it ends");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8(output.stdout).expect("text");
    if text == "refused\n" {
        return Ok(None);
    }
    let results = text.lines().map(|line| {
        let (verdict, hex) = line.split_once(' ').expect("two words");
        let bytes = (0..hex.len() / 2)
            .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hexadecimal"))
            .collect();
        (verdict.parse().expect("a number"), bytes)
    });
    Ok(Some(results.collect()))
}

fn udp(sport: u16, dport: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2(PEER, MAC)
        .ipv4([192, 0, 2, 10], [192, 0, 2, 20], 64)
        .udp(sport, dport)
        .write(&mut bytes, payload)
        .expect("a Vec takes everything");
    bytes
}

/// The verdict by what was counted since.
fn verdict(before: XdpStats, after: XdpStats) -> &'static str {
    let counted = [
        ("pass", after.pass - before.pass),
        ("drop", after.drop - before.drop),
        ("tx", after.tx - before.tx),
        ("redirect", after.redirect - before.redirect),
        ("aborted", after.aborted - before.aborted),
        ("fault", after.faults - before.faults),
    ];
    let mut one = counted.iter().filter(|(_, n)| *n > 0);
    let verdict = one.next().expect("a verdict").0;
    assert!(one.next().is_none(), "{counted:?}");
    verdict
}

/// Verdicts of the kernel by name; what is none aborts.
fn name(verdict: i32) -> &'static str {
    match verdict {
        1 => "drop",
        2 => "pass",
        3 => "tx",
        4 => "redirect",
        _ => "aborted",
    }
}

/// Frames for the programs of maps.c: what each destination port has them do, in an order that fills and empties the maps; short and long ones.
fn tries() -> Vec<Vec<u8>> {
    let mut frames: Vec<Vec<u8>> = (0..=14)
        // 9 is decided by chance.
        .filter(|port| *port != 9)
        .map(|port| udp(1, port, b"0123456789abcdef"))
        .collect();
    for (sport, dport) in [
        (1, 1),
        (2, 1),
        (3, 1),
        (1, 2),
        (1, 2),
        (3, 1),
        (7, 3),
        (8, 3),
    ] {
        frames.push(udp(sport, dport, b"x"));
    }
    frames.extend([1000, 1000, 7, 6, 11].map(|port| udp(1, port, &[0x5a; 1000])));
    frames.push([&MAC[..], &PEER, &[8, 0], &[0x45; 20]].concat());
    frames.push([&MAC[..], &PEER, &[0x86, 0xdd], &[0x60; 60]].concat());
    frames
}

#[test]
fn verdicts_and_frames_are_the_kernels() {
    let loader = match loader("verdicts") {
        Ok(loader) => loader,
        Err(why) => return skip(&["bpf"], &why),
    };
    let bounds: Vec<Vec<u8>> = (0..60).map(|at| udp(1, 1, &[at, 1, 2, 3])).collect();
    let layering: Vec<Vec<u8>> = (5..12).map(|port| udp(port, port, b"x")).collect();
    for (object, section, frames) in [
        ("maps.o", "xdp", tries()),
        ("bounds.o", "xdp/inside", bounds),
        ("layering.o", "xdp", layering),
    ] {
        let theirs = match kernel(&loader, object, section, "xdp", &frames) {
            Ok(theirs) => theirs.expect("the verifier takes it"),
            Err(why) => {
                return skip(
                    &["bpf"],
                    &format!("the kernel does not run programs: {why}"),
                );
            }
        };
        assert_eq!(theirs.len(), frames.len());
        let mut host = Host::new(StackConfig::default());
        let elf = std::fs::read(data(object)).expect("an object file");
        host.stack
            .xdp_attach(host.dev, &elf, section)
            .expect("attached");
        let mut seen = std::collections::BTreeMap::new();
        for (n, (frame, (theirs, bytes))) in frames.iter().zip(theirs).enumerate() {
            let before = host.stack.xdp_stats(host.dev).expect("a program");
            host.sent();
            host.receive([frame.clone()]);
            let after = host.stack.xdp_stats(host.dev).expect("a program");
            let ours = verdict(before, after);
            assert_eq!(ours, name(theirs), "{object}: frame {n}");
            *seen.entry(ours).or_insert(0) += 1;
            if ours == "tx" {
                assert_eq!(host.sent(), [bytes], "{object}: frame {n}");
            }
        }
        println!("{object} {section}: {seen:?}");
        assert!(seen.len() >= 3, "{seen:?}");
    }
}

#[test]
fn tc_verdicts_and_frames_are_the_kernels() {
    let loader = match loader("tc") {
        Ok(loader) => loader,
        Err(why) => return skip(&["bpf"], &why),
    };
    let frames: Vec<Vec<u8>> = (7..12).map(|port| udp(port, port, b"x")).collect();
    let theirs = match kernel(&loader, "layering.o", "tc", "tc", &frames) {
        Ok(theirs) => theirs.expect("the verifier takes it"),
        Err(why) => {
            return skip(
                &["bpf"],
                &format!("the kernel does not run programs: {why}"),
            );
        }
    };
    let elf = std::fs::read(data("layering.o")).expect("an object file");
    let mut program = TcBpf::load(&elf, "tc", 0).expect("loaded");
    for (frame, theirs) in frames.iter().zip(theirs) {
        let mut skb = SkBuff::from_vec(frame.clone());
        skb.csum = CsumState::None;
        skb.reset_mac_header();
        skb.protocol = 0x0800;
        skb.pull(14).expect("a header");
        skb.reset_network_header();
        let ours = program.run(&mut skb, 0);
        assert_eq!((ours.code, skb.mac_bytes().to_vec()), theirs);
    }
}

#[test]
fn the_verifier_refuses_what_is_stopped_here() {
    let loader = match loader("verifier") {
        Ok(loader) => loader,
        Err(why) => return skip(&["bpf"], &why),
    };
    let sections = LEAVES_ITS_MEMORY.map(|section| ("bounds.o", section));
    let others = [("maps.o", "xdp/loop"), ("maps.o", "xdp/stray")];
    for (object, section) in sections.into_iter().chain(others) {
        match kernel(&loader, object, section, "xdp", &[]) {
            Ok(taken) => assert!(taken.is_none(), "{section}: the kernel takes it"),
            Err(why) => {
                return skip(
                    &["bpf"],
                    &format!("the kernel does not load programs: {why}"),
                );
            }
        }
    }
    println!("{} programs refused", LEAVES_ITS_MEMORY.len() + 2);
}
