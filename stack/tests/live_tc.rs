//! `tc` lines as people type them (the examples of tc(8), tc-htb(8), tc-tbf(8), tc-u32(8), tc-mirred(8) among them): iproute2 and the kernel of this
//! machine, in a network namespace of its own, and the stack must take and refuse the same ones, and list the same.
//!
//! Needs root and iproute2. Kinds that this kernel was built without are not asked for: `qdisc/lines.rs` has their lists.

mod common;
mod peers;

use common::Wire;
use peers::skip;
use stack::{Stack, StackConfig};
use std::process::Command;

/// Scripts: each starts from devices with nothing configured. A line is run by both; a line that starts with `!` must be refused by both.
const SCRIPTS: &str = include_str!("data/tc/lines.txt");

/// What is listed after each script.
const LISTS: [&str; 8] = [
    "-s qdisc show dev eth_s",
    "-d qdisc show dev eth_s",
    "class show dev eth_s",
    "-s -d class show dev eth_s",
    "filter show dev eth_s",
    "-s filter show dev eth_s parent 1:",
    "-s filter show dev eth_c ingress",
    "-d filter show dev eth_c egress",
];

/// What the kernel's side needs.
const NEEDS: [&str; 3] = ["netns", "tc", "ifb"];

/// The kernel's side; the namespace goes with it.
struct Kernel {
    netns: String,
}

impl Kernel {
    fn new() -> Result<Self, String> {
        let netns = format!("wirepath-tc-{}", std::process::id());
        let kernel = Self { netns };
        let n = kernel.netns.as_str();
        for line in [
            format!("netns add {n}"),
            // So that nothing is counted that nobody sent.
            format!("netns exec {n} sysctl -qw net.ipv6.conf.default.disable_ipv6=1"),
            format!("-n {n} link add eth_c numtxqueues 1 type veth peer name eth_s numtxqueues 1"),
            format!("-n {n} link set eth_c up"),
            format!("-n {n} link set eth_s up"),
            format!("-n {n} link add ifb0 numtxqueues 1 type ifb"),
        ] {
            let output = Command::new("ip")
                .args(line.split(' '))
                .output()
                .map_err(|e| format!("no ip: {e}"))?;
            if !output.status.success() {
                return Err(String::from_utf8_lossy(&output.stderr).into_owned());
            }
        }
        Ok(kernel)
    }

    fn tc(&self, line: &str) -> Result<String, String> {
        let output = Command::new("tc")
            .args(["-n", &self.netns])
            .args(line.split_whitespace())
            .output()
            .expect("iproute2 has tc");
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        // It may not have come to be.
        let _ = Command::new("ip")
            .args(["netns", "del", &self.netns])
            .output();
    }
}

fn stack() -> Stack {
    let mut stack = Stack::new(StackConfig::default());
    for (net, name) in [(1, "eth_c"), (2, "eth_s")] {
        stack.add_device(name, Box::new(Wire::new([2, 0, 0, 0, net, 1])));
    }
    stack.ip("link add ifb0 type ifb").expect("a new device");
    // veth devices have no queue until they are told.
    stack
        .sysctl("-q net.core.default_qdisc=noqueue")
        .expect("a kind");
    for dev in ["eth_c", "eth_s"] {
        let line = format!("qdisc add dev {dev} root pfifo");
        stack.tc(&line).expect("the first");
        stack
            .tc(&format!("qdisc del dev {dev} root"))
            .expect("it is there");
    }
    stack
}

/// Without what depends on the moment and on what was there before: ages, and handles that were made up.
fn timeless(list: &str) -> String {
    let line = |line: &str| {
        let mut line = line.to_owned();
        for word in ["installed ", "used "] {
            if let Some(at) = line.find(word) {
                let rest = line[at + word.len()..].trim_start_matches(|c: char| c.is_ascii_digit());
                line = format!("{}{word}N{rest}", &line[..at]);
            }
        }
        // Handles that were made up (qdisc_alloc_handle(): 8000 to fffe): the kernel counts on from namespace to namespace.
        let made_up =
            |major: &str| (0x8000..0xffff).contains(&u16::from_str_radix(major, 16).unwrap_or(0));
        let words = line.split(' ').map(|word| match word.split_once(':') {
            Some((major, minor)) if made_up(major) => format!("AUTO:{minor}"),
            _ => word.to_owned(),
        });
        words.collect::<Vec<_>>().join(" ").trim_end().to_owned()
    };
    list.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn lines_mean_the_same() {
    let (mut taken, mut refused, mut different) = (0, 0, Vec::new());
    for script in SCRIPTS.split("\n\n") {
        let kernel = match Kernel::new() {
            Ok(kernel) => kernel,
            Err(why) => return skip(&NEEDS, &format!("no network namespace: {why}")),
        };
        let mut stack = stack();
        for line in script.lines().filter(|l| !l.starts_with('#')) {
            let (line, must_fail) = match line.strip_prefix("! ") {
                Some(line) => (line, true),
                None => (line, false),
            };
            let (theirs, ours) = (kernel.tc(line), stack.tc(line));
            if let Err(e) = &theirs
                && !must_fail
            {
                different.push(format!("{line}\n  the kernel refuses it: {e}"));
            }
            match (&theirs, &ours) {
                (Ok(_), Ok(_)) => taken += 1,
                (Err(_), Err(_)) => refused += 1,
                (_, Err(e)) => different.push(format!("{line}\n  refused here only: {e}")),
                (Err(e), Ok(_)) => different.push(format!("{line}\n  taken here only: {e}")),
            }
        }
        for list in LISTS {
            let (theirs, ours) = (kernel.tc(list), stack.tc(list));
            let theirs = timeless(&theirs.unwrap_or_default());
            let ours = timeless(&ours.unwrap_or_default());
            if theirs != ours {
                different.push(format!(
                    "{script}\n$ tc {list}\n-- kernel\n{theirs}\n-- here\n{ours}\n"
                ));
            }
        }
    }
    println!("{taken} lines taken by both, {refused} refused by both");
    assert!(
        different.is_empty(),
        "{} differences\n{}",
        different.len(),
        different.join("\n")
    );
}
