//! `ip` and `sysctl` lines as people type them: iproute2, procps and the kernel of this machine, in a network namespace of its own, and the
//! stack must take and refuse the same ones, and list the same.
//!
//! Needs root and iproute2.

mod common;
mod peers;

use common::Wire;
use peers::skip;
use stack::{Stack, StackConfig};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Scripts: each starts from devices with an address. A line is run by both; a line that starts with `!` must be refused by both.
const SCRIPTS: &str = include_str!("data/ip/lines.txt");

/// What is listed after each script.
const LISTS: [&str; 7] = [
    "ip -4 addr show dev eth_c",
    "ip -4 addr show dev eth_s",
    "ip -4 route show table all",
    "ip -4 rule",
    "ip -4 neigh show nud all",
    "ip neigh show proxy",
    "ip -4 -o route show",
];

/// What the kernel's side needs.
const NEEDS: [&str; 2] = ["netns", "ifb"];

/// Keys of a network namespace that are not here, and why.
const ABSENT: [&str; 8] = [
    // Modules of their own.
    "net.bridge.",
    "net.mptcp.",
    "net.unix.",
    "net.netfilter.nf_log.",
    // Drawn at random.
    "net.ipv4.tcp_fastopen_key",
    // Read-only views of tables that are not there.
    "net.ipv4.tcp_ehash_entries",
    "net.ipv4.udp_hash_entries",
    // A route's MTU says the same.
    "net.ipv6.conf.lo.mtu",
];

/// The kernel's side; the namespace goes with it.
struct Kernel {
    netns: String,
}

impl Kernel {
    fn new(name: &str) -> Result<Self, String> {
        let netns = format!("wirepath-{name}-{}", std::process::id());
        let added = Command::new("ip").args(["netns", "add", &netns]).output();
        if !added.as_ref().is_ok_and(|o| o.status.success()) {
            return Err(format!("{added:?}"));
        }
        let kernel = Self { netns };
        for line in [
            // So that nothing is sent that nobody asked for.
            "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1",
            "ip link set lo up",
            "ip link add eth_c type veth peer name to_c",
            "ip link add eth_s type veth peer name to_s",
            "ip link set to_c up",
            "ip link set to_s up",
            "ip link set eth_c up",
            "ip link set eth_s up",
            "ip addr add 10.0.1.1/24 dev eth_c",
            "ip addr add 10.0.2.1/24 dev eth_s",
        ] {
            kernel.run(line)?;
        }
        Ok(kernel)
    }

    fn exec(&self, words: &[&str]) -> Output {
        let exec = ["netns", "exec", &self.netns];
        let mut command = Command::new("ip");
        command.args(exec).args(words);
        command.output().expect("iproute2 is there")
    }

    fn run(&self, line: &str) -> Result<String, String> {
        let output = self.exec(&line.split_whitespace().collect::<Vec<_>>());
        // sysctl says what is wrong, and sometimes nothing else.
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.success() && !complaint.starts_with("sysctl:") {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(complaint),
        }
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        let gone = ["netns", "del", &self.netns];
        let _ = Command::new("ip").args(gone).output();
    }
}

fn stack() -> Stack {
    let mut stack = Stack::new(StackConfig {
        ipv6: false,
        ..StackConfig::default()
    });
    for (net, name) in [(1, "eth_c"), (2, "eth_s")] {
        stack.add_device(name, Box::new(Wire::new([2, 0, 0, 0, net, 1])));
        let line = format!("addr add 10.0.{net}.1/24 dev {name}");
        stack.ip(&line).expect("a new address");
    }
    stack
}

fn run(stack: &mut Stack, line: &str) -> Result<String, String> {
    let done = match line.split_once(' ') {
        Some(("ip", rest)) => stack.ip(rest),
        Some(("sysctl", rest)) => stack.sysctl(rest),
        _ => panic!("{line}: only ip and sysctl lines stand here"),
    };
    done.map_err(|e| e.to_string())
}

/// Without the devices' numbers, other ends and first lines, which only a veth pair has so, and without what a device is not told.
fn comparable(list: &str) -> String {
    let lines = list.lines().filter(|line| !line.contains(" mtu "));
    let mut lines: Vec<&str> = lines.map(str::trim_end).collect();
    // Neighbours are in a hash table with a random key.
    if lines.iter().any(|line| line.contains(" lladdr ")) {
        lines.sort_unstable();
    }
    lines.join("\n")
}

#[test]
fn lines_mean_the_same() {
    let (mut taken, mut refused, mut different) = (0, 0, Vec::new());
    for script in SCRIPTS.split("\n\n") {
        let kernel = match Kernel::new("ip") {
            Ok(kernel) => kernel,
            Err(why) => return skip(&NEEDS, &format!("no network namespace: {why}")),
        };
        let mut stack = stack();
        for line in script.lines().filter(|l| !l.starts_with('#')) {
            let (line, must_fail) = match line.strip_prefix("! ") {
                Some(line) => (line, true),
                None => (line, false),
            };
            let (theirs, ours) = (kernel.run(line), run(&mut stack, line));
            match (&theirs, &ours) {
                (Err(e), _) if !must_fail => {
                    different.push(format!("{line}\n  the kernel refuses it: {e}"));
                }
                (Ok(theirs), Ok(ours)) => {
                    taken += 1;
                    let (theirs, ours) = (comparable(theirs), comparable(ours));
                    if theirs != ours {
                        different.push(format!("{line}\n-- kernel\n{theirs}\n-- here\n{ours}"));
                    }
                }
                (Err(_), Err(_)) => refused += 1,
                (_, Err(e)) => different.push(format!("{line}\n  refused here only: {e}")),
                (Err(e), Ok(_)) => different.push(format!("{line}\n  taken here only: {e}")),
            }
        }
        for list in LISTS {
            let theirs = comparable(&kernel.run(list).unwrap_or_default());
            let ours = comparable(&run(&mut stack, list).unwrap_or_default());
            if theirs != ours {
                different.push(format!(
                    "{script}\n$ {list}\n-- kernel\n{theirs}\n-- here\n{ours}\n"
                ));
            }
        }
    }
    println!("{taken} lines taken by both, {refused} refused by both");
    let number = different.len();
    assert!(
        number == 0,
        "{number} differences\n{}",
        different.join("\n")
    );
}

/// Every file below `dir`, as a key.
fn keys(kernel: &Kernel) -> Vec<String> {
    let list = kernel.exec(&["find", "/proc/sys/net", "-type", "f", "-perm", "-400"]);
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    let mut keys: Vec<String> = list
        .lines()
        .filter_map(|path| path.strip_prefix("/proc/sys/"))
        // A device's name may have a dot, which is none of these.
        .map(|path| path.replace('/', "."))
        .filter(|key| !key.contains(".to_c.") && !key.contains(".to_s."))
        .collect();
    keys.sort_unstable();
    keys
}

#[test]
fn every_key_of_a_namespace_is_known_and_takes_the_same_numbers() {
    if !Path::new("/proc/sys/net").is_dir() || fs::metadata("/proc/sys/net").is_err() {
        return skip(&NEEDS, "there is no /proc/sys/net");
    }
    let kernel = match Kernel::new("sysctl") {
        Ok(kernel) => kernel,
        Err(why) => return skip(&NEEDS, &format!("no network namespace: {why}")),
    };
    let mut stack = stack();
    let (mut known, mut compared, mut different) = (0, 0, Vec::new());
    for key in keys(&kernel) {
        let absent = |prefix: &&str| key.starts_with(*prefix) || key.ends_with(".stable_secret");
        let mtu = key.starts_with("net.ipv6.conf.") && key.ends_with(".mtu");
        if ABSENT.iter().any(absent) || mtu {
            continue;
        }
        if let Err(e) = stack.sysctl(&format!("-n {key}")) {
            different.push(format!("{key}: {e}"));
            continue;
        }
        known += 1;
        // One device stands for all; the ranges do not depend on it.
        let others = [".eth_c.", ".eth_s.", ".all.", ".default."];
        // Thresholds bound each other, and so do these two; here they do not.
        let bound = key.ends_with("_thresh") || key == "net.ipv4.tcp_reordering";
        if bound || others.iter().any(|part| key.contains(part)) {
            continue;
        }
        for number in ["-1", "0", "1", "2", "255", "256", "0x10", "soon"] {
            let theirs = kernel.run(&format!("sysctl -w {key}={number}")).is_ok();
            match (theirs, stack.sysctl(&format!("-w {key}={number}"))) {
                (true, Ok(_)) | (false, Err(_)) => compared += 1,
                // What would have an effect that is not here is refused, and says so.
                (true, Err(e)) if e.to_string().contains("possible here") => {}
                (true, Err(e)) if e.to_string().contains("known here") => {}
                // Times that are over before they begin, and bits beyond all types.
                (true, Err(_)) if number == "-1" => {}
                (true, Err(e)) => different.push(format!("{key}={number} refused here: {e}")),
                // Read-only where a namespace shares the value with all others; here nobody does.
                (false, Ok(_)) if shared(&kernel, &key) => {}
                (false, Ok(_)) => different.push(format!("{key}={number} taken here")),
            }
        }
    }
    println!("{known} keys known, {compared} numbers compared");
    let number = different.len();
    assert!(
        number == 0,
        "{number} differences\n{}",
        different.join("\n")
    );
}

/// Whether the namespace may only read the key.
fn shared(kernel: &Kernel, key: &str) -> bool {
    let path = format!("/proc/sys/{}", key.replace('.', "/"));
    let mode = kernel.exec(&["stat", "-c", "%A", &path]);
    !String::from_utf8_lossy(&mode.stdout).contains('w')
}
