//! The kernel's side, in a network namespace of its own.

use crate::{CONFIGURED, masked};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// The namespace of the kernel's side, which goes with this.
struct Netns(String);

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).output();
    }
}

/// What the kernel's sockets see; `Err`: what is missing for that here.
pub fn run(lines: &[String]) -> Result<Vec<String>, String> {
    let ip = |words: &[&str]| {
        let output = Command::new("ip").args(words).output();
        let output = output.map_err(|e| format!("no iproute2: {e}"))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(format!(
                "{words:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            )),
        }
    };
    let netns = Netns(format!("wirepath-sockets-{}", std::process::id()));
    ip(&["netns", "add", &netns.0])?;
    let within = |line: &str| {
        let mut words = vec!["netns", "exec", &netns.0];
        words.extend(line.split_whitespace());
        ip(&words)
    };
    within("ip link add eth_c address 02:00:00:00:00:0b type veth peer name to_c")?;
    within("python3 -c pass")?;
    within("nft list ruleset")?;
    let devices = [
        // Nothing is to be sent that nobody asked for.
        "sysctl -qw net.ipv6.conf.to_c.disable_ipv6=1 net.ipv6.auto_flowlabels=0",
        "sysctl -qw net.ipv6.conf.eth_c.addr_gen_mode=1",
        "ip link set eth_c multicast off",
        "ip link set to_c up",
        "ip link set eth_c up",
    ];
    let addresses = CONFIGURED.map(|line| format!("ip {line}"));
    for line in devices
        .iter()
        .copied()
        .chain(addresses.iter().map(String::as_str))
    {
        within(line).unwrap();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sockets/observe.py");
    let mut child = Command::new("ip")
        .args(["netns", "exec", &netns.0, "python3"])
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it ran before");
    let mut stdin = child.stdin.take().expect("piped");
    let text = lines.join("\n");
    std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let text = String::from_utf8(output.stdout).expect("text");
    Ok(text.lines().map(masked).collect())
}
