//! A real kernel pings the Verilog NIC through a TAP device, each test in a network namespace of its own.

mod common;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{installed, skip, text};

const TAP: &str = "wp0";
/// What a test here needs.
const NEEDS: [&str; 4] = ["netns", "tun", "ping", "nc"];

/// Bytes of a ping's payload, and how many pings: around the shortest frame (18 bytes make 60 of IPv4), around the longest datagram without
/// fragments (1472 of IPv4, 1452 of IPv6), and between.
const SIZES: [(usize, u64); 14] = [
    (0, 100),
    (1, 10),
    (17, 10),
    (18, 10),
    (19, 10),
    (56, 100),
    (63, 10),
    (511, 10),
    (1024, 10),
    (1451, 10),
    (1452, 10),
    (1453, 10),
    (1471, 10),
    (1472, 100),
];

/// Why the test cannot run here; `None` when it can.
fn obstacle() -> Option<String> {
    let uid = Command::new("id").arg("-u").output().ok()?;
    if text(&uid.stdout).trim() != "0" {
        return Some("this is not root".into());
    }
    if !std::path::Path::new("/dev/net/tun").exists() {
        return Some("there is no /dev/net/tun".into());
    }
    for program in ["ip", "ping", "nc"] {
        if !installed(program) {
            return Some(format!("{program} is not installed"));
        }
    }
    let netns = Command::new("ip").args(["netns", "list"]).output().ok()?;
    (!netns.status.success()).then(|| "network namespaces are not allowed here".into())
}

/// A network namespace that goes away with the test.
struct Namespace(String);

impl Namespace {
    /// `test` tells the namespaces of one process apart.
    fn new(test: &str) -> Option<Self> {
        let name = format!("wirepath-{}-{test}", std::process::id());
        let made = Command::new("ip")
            .args(["netns", "add", &name])
            .status()
            .ok()?
            .success();
        made.then_some(Self(name))
    }

    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0, program]).args(args);
        command
    }

    fn run(&self, program: &str, args: &[&str]) -> String {
        let output = self.command(program, args).output().unwrap();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(
            output.status.success(),
            "{program} {args:?}: {}\n{out}{err}",
            output.status
        );
        out
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

/// The program, ended with SIGTERM.
struct Cosim(Child);

impl Cosim {
    /// Ends it and returns what it printed.
    fn finish(mut self) -> String {
        let ended = Command::new("kill")
            .args(["-TERM", &self.0.id().to_string()])
            .status()
            .unwrap();
        assert!(ended.success());
        let mut out = String::new();
        self.0
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut out)
            .unwrap();
        let status = self.0.wait().unwrap();
        assert!(status.success(), "cosim tap: {status}\n{out}");
        out
    }
}

impl Drop for Cosim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(namespace: &Namespace) -> Cosim {
    let args = [
        "tap",
        "--tap",
        TAP,
        "--addr",
        "10.9.0.2/24",
        "--addr",
        "fd00:9::2/64",
        "--udp-echo",
        "7",
    ];
    let mut child = namespace
        .command(env!("CARGO_BIN_EXE_cosim"), &args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = child.stdout.as_mut().unwrap();
    // `ip netns exec` becomes the program, so this is its own output. It is unbuffered here because
    // nothing may be lost that `finish` wants to read: byte by byte up to the last line of the greeting.
    let mut reader = BufReader::with_capacity(1, stdout);
    let mut line = String::new();
    while !line.contains("Ctrl-C ends it.") {
        line.clear();
        if reader.read_line(&mut line).unwrap() == 0 {
            let mut message = String::new();
            let _ = child.stderr.unwrap().read_to_string(&mut message);
            panic!("cosim tap ended early\n{message}");
        }
    }
    Cosim(child)
}

/// A namespace with the TAP device, or `None` where that is not possible.
fn namespace(test: &str) -> Option<Namespace> {
    if let Some(reason) = obstacle() {
        skip(&NEEDS, &reason);
        return None;
    }
    let Some(namespace) = Namespace::new(test) else {
        skip(&NEEDS, "a network namespace cannot be made here");
        return None;
    };
    namespace.run("ip", &["tuntap", "add", TAP, "mode", "tap"]);
    Some(namespace)
}

#[test]
fn a_deleted_device_ends_the_program() {
    let Some(namespace) = namespace("deleted") else {
        return;
    };
    let mut cosim = start(&namespace);
    // A device that is down is none that is gone.
    namespace.run("ip", &["link", "set", TAP, "up"]);
    namespace.run("ip", &["link", "set", TAP, "down"]);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(cosim.0.try_wait().unwrap(), None);

    namespace.run("ip", &["link", "delete", TAP]);
    let deleted = Instant::now();
    let status = loop {
        if let Some(status) = cosim.0.try_wait().unwrap() {
            break status;
        }
        assert!(
            deleted.elapsed() < Duration::from_secs(10),
            "cosim tap goes on without its device"
        );
        std::thread::sleep(Duration::from_millis(20));
    };
    let mut message = String::new();
    let mut stderr = cosim.0.stderr.take().unwrap();
    stderr.read_to_string(&mut message).unwrap();
    assert_eq!(status.code(), Some(1), "{message}");
    assert!(message.contains("TAP device wp0"), "{message}");
    assert!(message.contains("deleted"), "{message}");
}

#[test]
fn a_real_kernel_gets_its_answers() {
    let Some(namespace) = namespace("answers") else {
        return;
    };
    namespace.run("ip", &["address", "add", "10.9.0.1/24", "dev", TAP]);
    namespace.run(
        "ip",
        &["address", "add", "fd00:9::1/64", "dev", TAP, "nodad"],
    );
    let cosim = start(&namespace);
    namespace.run("ip", &["link", "set", TAP, "up"]);

    let mut pings = 0;
    for address in ["10.9.0.2", "fd00:9::2"] {
        for (size, count) in SIZES {
            let (size, count) = (size.to_string(), count.to_string());
            let out = namespace.run(
                "ping",
                &[
                    "-n", "-q", "-c", &count, "-i", "0.002", "-W", "5", "-s", &size, address,
                ],
            );
            println!(
                "{address} {size} bytes: {}",
                out.lines().rev().nth(1).unwrap_or_default()
            );
            let all = format!("{count} received, 0% packet loss");
            assert!(out.contains(&all), "{out}");
        }
        pings += SIZES.iter().map(|(_, count)| count).sum::<u64>();
    }
    for address in ["10.9.0.2", "fd00:9::2"] {
        let script = format!("printf 'through the NIC' | nc -u -w 1 {address} 7");
        assert_eq!(namespace.run("sh", &["-c", &script]), "through the NIC");
    }

    let summary = cosim.finish();
    println!("{summary}");
    assert!(!summary.contains("UNACCOUNTED"), "{summary}");
    let frames_in: u64 = summary
        .lines()
        .find_map(|line| line.strip_prefix("frames in"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap();
    assert!(frames_in >= pings + 2, "{summary}");
}
