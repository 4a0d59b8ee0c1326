//! The same rulesets through the `nft` of this machine and through ours: the lists must be equal.
//!
//! `tests/data/nft/*.expected` are lists that nft 1.0.6 printed (`nft -s list ruleset`); where nft and network namespaces are to be had, they are
//! printed again.

use crate::peers;
use stack::nft::Nft;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

macro_rules! ruleset {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!("../data/nft/", $name, ".nft")),
            include_str!(concat!("../data/nft/", $name, ".expected")),
        )
    };
}

const RULESETS: [(&str, &str, &str); 9] = [
    ruleset!("base"),
    ruleset!("rules_ip"),
    ruleset!("rules_inet"),
    ruleset!("rules_netdev"),
    ruleset!("nat_ip"),
    ruleset!("nat_inet"),
    ruleset!("sets_ip"),
    ruleset!("objects_ip"),
    ruleset!("words_ip"),
];

/// Our list of `text`, without counters' values.
fn ours(text: &str) -> String {
    let mut nft = Nft::new(1);
    nft.set_devices(vec!["lo".to_owned()]);
    nft.apply(text, 0).unwrap_or_else(|e| panic!("{e}"));
    nft.list(0, true)
}

/// The first line in which two lists differ, with what is around it.
pub fn assert_same(name: &str, ours: &str, theirs: &str) {
    let pairs = ours.lines().zip(theirs.lines()).enumerate();
    let different: Vec<_> = pairs
        .filter(|(_, (a, b))| a != b)
        .map(|(i, (a, b))| format!("line {}:\n  ours {a}\n  nft  {b}", i + 1))
        .collect();
    assert!(different.is_empty(), "{name}:\n{}", different.join("\n"));
    assert_eq!(ours.lines().count(), theirs.lines().count(), "{name}");
}

#[test]
fn lists_are_those_of_nft() {
    for (name, text, expected) in RULESETS {
        assert_same(name, &ours(text), expected);
    }
}

#[test]
fn a_list_is_read_back_as_itself() {
    for (name, text, _) in RULESETS {
        let listed = ours(text);
        assert_same(name, &ours(&listed), &listed);
    }
}

/// A network namespace that goes with the value.
pub struct Namespace(String);

impl Namespace {
    fn new() -> Option<Self> {
        // Tests run side by side.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("nft{}-{n}", std::process::id());
        let made = Command::new("ip")
            .args(["netns", "add", &name])
            .output()
            .ok()?;
        made.status.success().then_some(Self(name))
    }

    /// Runs a program in the namespace; its output, or what it complained about.
    pub fn run(&self, command: &[&str], input: &str) -> Result<String, String> {
        use std::io::Write;
        let mut child = Command::new("ip")
            .args(["netns", "exec", &self.0])
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| e.to_string())?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin
                .write_all(input.as_bytes())
                .map_err(|e| e.to_string())?;
        }
        let out = child.wait_with_output().map_err(|e| e.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match out.status.success() {
            true => Ok(text(&out.stdout)),
            false => Err(text(&out.stderr)),
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Nothing can be done if it stays.
        let _ = Command::new("ip").args(["netns", "del", &self.0]).output();
    }
}

/// The kernel's nftables in a namespace; `None` (and why is printed) where there is none.
pub fn kernel() -> Option<Namespace> {
    let found = Namespace::new().filter(|ns| ns.run(&["nft", "list", "ruleset"], "").is_ok());
    if found.is_none() {
        peers::skip(
            &["netns", "nft"],
            "no nft, or no right to make network namespaces",
        );
    }
    found
}

#[test]
fn the_kernel_lists_the_same() {
    let Some(ns) = kernel() else { return };
    for (name, text, _) in RULESETS {
        // What we print is read by nft, too.
        for input in [text.to_owned(), ours(text)] {
            let input = format!("flush ruleset\n{input}");
            ns.run(&["nft", "-f", "-"], &input)
                .unwrap_or_else(|e| panic!("{name}: {e}\n{input}"));
            let listed = ns.run(&["nft", "-s", "list", "ruleset"], "").unwrap();
            assert_same(name, &ours(text), &listed);
        }
    }
}
