//! What became of frames, as a kernel recorded it: the reasons of what it dropped, and what it sent. `data/reasons/record.py` made the recordings
//! and says what their lines mean; it also runs a part of them again on the kernel of this machine.
//!
//! The second test needs root, iproute2, nft, Python 3 and the right to trace; it skips without.

#[path = "../common/mod.rs"]
mod common;
mod ours;
#[path = "../peers/mod.rs"]
mod peers;

use peers::skip;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// IPv4, ARP and the link layer.
const IPV4: &str = include_str!("../data/reasons/ipv4.txt");
/// IPv6.
const IPV6: &str = include_str!("../data/reasons/ipv6.txt");
/// The kernel of the recordings.
const RECORDED: &str = "6.18.";
/// Every so many cases one is run on this machine's kernel too.
const SAMPLED: usize = 24;

/// A case of a recording: its name, the lines of what comes in, and those of what happened.
struct Case<'a> {
    name: &'a str,
    frames: Vec<&'a str>,
    result: Vec<&'a str>,
}

fn cases(text: &str) -> Vec<Case<'_>> {
    let mut cases: Vec<Case<'_>> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with(';')) {
        if let Some(name) = line.strip_prefix("# ") {
            let (frames, result) = (Vec::new(), Vec::new());
            cases.push(Case {
                name,
                frames,
                result,
            });
            continue;
        }
        let case = cases.last_mut().expect("a name comes first");
        match line.starts_with("in ") {
            true => case.frames.push(line),
            false => case.result.push(line),
        }
    }
    cases
}

/// Both recordings.
fn all() -> Vec<Case<'static>> {
    let mut all = cases(IPV4);
    all.extend(cases(IPV6));
    all
}

#[test]
fn every_frame_ends_as_in_the_kernel() {
    let (mut different, mut drops, mut sent) = (String::new(), 0, 0);
    let all = all();
    for case in &all {
        let ours = ours::run(&case.frames);
        drops += case.result.iter().filter(|l| l.starts_with("drop")).count();
        sent += case.result.iter().filter(|l| l.starts_with("out")).count();
        if ours != case.result {
            different += &format!(
                "# {}\n{}\n  the kernel:\n{}\n  here:\n{}\n",
                case.name,
                case.frames.join("\n"),
                case.result.join("\n"),
                ours.join("\n")
            );
        }
    }
    println!("{} cases, {drops} drops, {sent} frames sent", all.len());
    let cases = different.lines().filter(|l| l.starts_with('#')).count();
    assert!(different.is_empty(), "{different}{cases} are different");
    assert!(all.len() > 600 && drops > 400 && sent > 280);
}

#[test]
fn the_recordings_are_what_this_kernel_does() {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    if !kernel.starts_with(RECORDED) {
        // Reasons are new, and change.
        return println!("skipped: this is Linux {kernel}");
    }
    let all = all();
    let sample = || all.iter().step_by(SAMPLED);
    let input: Vec<String> = sample()
        .map(|case| format!("# {}\n{}\n", case.name, case.frames.join("\n")))
        .collect();
    // A busy machine may put off the softirq: what is not seen in time is looked for again.
    let mut live = String::new();
    for _ in 0..3 {
        live = match record(&input.concat()) {
            Ok(live) => live,
            Err(why) => return skip(&["netns", "ifb", "nft", "python3", "bpf"], &why),
        };
        let same = |(here, there): (&Case<'_>, &Case<'_>)| here.result == there.result;
        if sample().zip(&cases(&live)).all(same) {
            break;
        }
    }
    let live = cases(&live);
    assert_eq!(live.len(), sample().count());
    for (recorded, live) in sample().zip(&live) {
        assert_eq!(
            live.result, recorded.result,
            "left: now, right: recorded, # {}",
            recorded.name
        );
    }
    println!("{} cases", live.len());
}

/// What this machine's kernel does with cases; `Err`: what is missing for that.
fn record(input: &str) -> Result<String, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/reasons/record.py");
    let mut child = Command::new("python3")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("no python3: {e}"))?;
    let mut stdin = child.stdin.take().expect("piped");
    // It reads all before it begins; if it ends early, its complaint says why.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!(
            "record.py: {}",
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}
