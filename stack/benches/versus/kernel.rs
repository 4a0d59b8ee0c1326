//! The kernel of this machine as the same router, in a network namespace of its own that ends with this process.

use super::bpf::{Array, Program, insn};
use crate::source::{BATCH, MAC, PEER};
use object::{Object, ObjectSection};
use std::io::{self, Write};
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, Stdio};

/// Frames of one measurement.
pub const FRAMES: u32 = 4096;

/// r1 = context, r2 = data, r3 = data_end; exits with XDP_PASS when the frame is shorter than `len`.
fn prologue(len: i32) -> Vec<u64> {
    vec![
        insn(0x61, 2, 1, 0, 0),
        insn(0x61, 3, 1, 4, 0),
        insn(0xbf, 4, 2, 0, 0),
        insn(0x07, 4, 0, 0, len),
        insn(0xbd, 4, 3, 2, 0),
        insn(0xb7, 0, 0, 0, 2),
        insn(0x95, 0, 0, 0, 0),
    ]
}

/// Which ports the frames have that the kernel receives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ports {
    /// Always the same.
    Fixed,
    /// Drawn for each frame: each is a connection of its own.
    Random,
}

/// Writes the headers of `frame` into the buffer, which the kernel uses again as it was left (headers rewritten, TTL counted down), and
/// passes it: what DMA does for a real device.
fn writer(frame: &[u8], ports: Ports) -> Vec<u64> {
    const HEADERS: usize = 42;
    let mut insns = prologue(HEADERS as i32);
    insns.push(insn(0xbf, 6, 2, 0, 0));
    for at in (0..HEADERS).step_by(2) {
        let half = u16::from_le_bytes([frame[at], frame[at + 1]]);
        insns.push(insn(0x6a, 6, 0, at as i16, half.into()));
    }
    if ports == Ports::Random {
        // bpf_get_prandom_u32(): source and destination port.
        insns.push(insn(0x85, 0, 0, 0, 7));
        insns.push(insn(0x6b, 6, 0, 34, 0));
        insns.push(insn(0x77, 0, 0, 0, 16));
        insns.push(insn(0x6b, 6, 0, 36, 0));
    }
    insns.push(insn(0xb7, 0, 0, 0, 2));
    insns.push(insn(0x95, 0, 0, 0, 0));
    insns
}

/// Looks a random address of `map` up with `bpf_fib_lookup()` and returns its verdict, or does everything but that and returns 0.
fn fib(map: &Array, ifindex: u32, lookup: bool) -> Vec<u64> {
    let fd = map.0.as_raw_fd();
    let mut insns = vec![insn(0xbf, 6, 1, 0, 0)];
    // struct bpf_fib_lookup, 64 bytes, at r10 - 64; the key at r10 - 72.
    insns.extend((0..8).map(|i| insn(0x7a, 10, 0, -64 + 8 * i, 0)));
    insns.extend([
        insn(0x72, 10, 0, -64, libc::AF_INET),
        insn(0x62, 10, 0, -56, ifindex as i32),
        insn(0x85, 0, 0, 0, 7),
        insn(0x57, 0, 0, 0, 0xffff),
        insn(0x63, 10, 0, -72, 0),
        insn(0x18, 1, 1, 0, fd),
        0,
        insn(0xbf, 2, 10, 0, 0),
        insn(0x07, 2, 0, 0, -72),
        insn(0x85, 0, 0, 0, 1),
        insn(0x55, 0, 0, 2, 0),
        insn(0xb7, 0, 0, 0, 99),
        insn(0x95, 0, 0, 0, 0),
        insn(0x61, 1, 0, 0, 0),
        insn(0x63, 10, 1, -64 + 32, 0),
        insn(0xb7, 0, 0, 0, 0),
    ]);
    if lookup {
        insns.extend([
            insn(0xbf, 1, 6, 0, 0),
            insn(0xbf, 2, 10, 0, 0),
            insn(0x07, 2, 0, 0, -64),
            insn(0xb7, 3, 0, 0, 64),
            // BPF_FIB_LOOKUP_DIRECT | BPF_FIB_LOOKUP_SKIP_NEIGH: table main, and no neighbour.
            insn(0xb7, 4, 0, 0, 1 | 4),
            insn(0x85, 0, 0, 0, 69),
        ]);
    }
    insns.push(insn(0x95, 0, 0, 0, 0));
    insns
}

/// Runs a command with `input`; an error names what it said.
fn run(command: &str, args: &[&str], input: &str) -> io::Result<()> {
    let mut child = Command::new(command)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| io::Error::other(format!("{command}: {e}")))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "{command} {}: {}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        ))),
    }
}

fn mac(mac: [u8; 6]) -> String {
    mac.map(|b| format!("{b:02x}")).join(":")
}

fn if_index(name: &std::ffi::CStr) -> u32 {
    // SAFETY: the name ends with a 0.
    unsafe { libc::if_nametoindex(name.as_ptr()) }
}

/// The kernel in the place of [`Router`](crate::source::Router).
pub struct Kernel {
    eth0: u32,
    eth1: u32,
    _attached: OwnedFd,
}

impl Kernel {
    /// Moves this process into a new network namespace and makes the router there: eth0 is one end of a veth pair, eth1 an ifb, which frees
    /// what it is given.
    pub fn new() -> io::Result<Self> {
        // SAFETY: changes the namespace of this thread only; there are no others.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            let error = io::Error::last_os_error();
            return Err(io::Error::other(format!("no network namespace: {error}")));
        }
        let (own, peer) = (mac(MAC), mac(PEER));
        let lines = format!(
            "link set lo up
             link add eth0 address {own} type veth peer name far
             link add eth1 address {own} type ifb
             link set eth0 up
             link set far up
             link set eth1 up
             addr add 192.0.2.20/24 dev eth0
             addr add 198.51.100.1/24 dev eth1
             neigh add 192.0.2.10 lladdr {peer} dev eth0 nud permanent
             neigh add 198.51.100.30 lladdr {peer} dev eth1 nud permanent\n"
        );
        run("ip", &["-batch", "-"], &lines)?;
        run(
            "tc",
            &["qdisc", "replace", "dev", "eth1", "root", "noqueue"],
            "",
        )?;
        for name in [
            "ip_forward=1",
            "conf/all/rp_filter=0",
            "conf/eth0/rp_filter=0",
        ] {
            let (path, value) = name.split_once('=').unwrap_or((name, "1"));
            std::fs::write(format!("/proc/sys/net/ipv4/{path}"), value)?;
        }
        let pass = Program::load(&[insn(0xb7, 0, 0, 0, 2), insn(0x95, 0, 0, 0, 0)])
            .map_err(|e| io::Error::other(format!("no XDP program: {e}")))?;
        // A veth has receive queues for XDP frames only with a program.
        let attached = pass.attach(if_index(c"eth0"))?;
        let kernel = Self {
            eth0: if_index(c"eth0"),
            eth1: if_index(c"eth1"),
            _attached: attached,
        };
        kernel.frames(
            &crate::source::udp_frame(crate::source::FAR, 9, 18),
            Ports::Fixed,
        )?;
        Ok(kernel)
    }

    /// Another ruleset; none for an empty text.
    pub fn rules(&self, text: &str) -> io::Result<()> {
        run("nft", &["-f", "-"], &format!("flush ruleset\n{text}"))
    }

    /// Mean time per frame in ns, of [`FRAMES`] that eth0 receives.
    pub fn frames(&self, frame: &[u8], ports: Ports) -> io::Result<f64> {
        let program = Program::load(&writer(frame, ports))?;
        let ns = program.receive(frame, self.eth0, FRAMES, BATCH as u32)?;
        Ok(ns.into())
    }

    /// Packets that eth1 was given.
    pub fn forwarded(&self) -> io::Result<u64> {
        // What an ifb frees it counts as received and dropped.
        let devices = std::fs::read_to_string("/proc/thread-self/net/dev")?;
        let line = devices.lines().find_map(|l| l.trim().strip_prefix("eth1:"));
        let counters = line.unwrap_or_default().split_whitespace();
        Ok(counters
            .filter_map(|n| n.parse::<u64>().ok())
            .nth(3)
            .unwrap_or(0))
    }

    /// Forgets all connections.
    pub fn flush_connections(&self) -> io::Result<()> {
        run("conntrack", &["-F"], "")
    }

    /// A socket on UDP port 9 with room for [`FRAMES`].
    pub fn socket(&self) -> io::Result<UdpSocket> {
        let socket = UdpSocket::bind("0.0.0.0:9")?;
        let room: libc::c_int = 256 << 20;
        // SAFETY: the option is an int.
        let set = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_RCVBUFFORCE,
                std::ptr::from_ref(&room).cast(),
                size_of_val(&room) as u32,
            )
        };
        if set != 0 {
            return Err(io::Error::last_os_error());
        }
        socket.set_nonblocking(true)?;
        Ok(socket)
    }

    /// The program of section `xdp` of an object without maps, over `frame`: mean time in ns, and the verdict.
    pub fn xdp(&self, elf: &[u8], frame: &[u8]) -> io::Result<(f64, u32)> {
        let file = object::File::parse(elf).map_err(io::Error::other)?;
        let section = file.section_by_name("xdp").ok_or(io::ErrorKind::NotFound)?;
        let bytes = section.data().map_err(io::Error::other)?;
        let insns: Vec<u64> = bytes
            .chunks_exact(8)
            .map(|b| u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]))
            .collect();
        let (ns, verdict) = Program::load(&insns)?.run(frame, 100_000)?;
        Ok((ns.into(), verdict))
    }

    /// Adds routes out of eth1 to table main.
    pub fn add_routes(&self, prefixes: &[(u32, u8)]) -> io::Result<()> {
        let line = |&(key, len): &(u32, u8)| {
            let address = std::net::Ipv4Addr::from_bits(key);
            format!("route replace {address}/{len} dev eth1\n")
        };
        let lines: String = prefixes.iter().map(line).collect();
        run("ip", &["-batch", "-"], &lines)
    }

    /// `bpf_fib_lookup()` of random ones of 65,536 addresses: time in ns, that of the program around it taken off.
    pub fn fib_lookup(&self, keys: &[u32]) -> io::Result<f64> {
        let big: Vec<u32> = keys.iter().map(|k| k.to_be()).collect();
        let map = Array::new(&big)?;
        let frame = [0; 64];
        let with = Program::load(&fib(&map, self.eth1, true))?;
        let without = Program::load(&fib(&map, self.eth1, false))?;
        let mut times = Vec::new();
        for _ in 0..15 {
            let (ns, verdict) = with.run(&frame, 20_000)?;
            if verdict != 0 {
                return Err(io::Error::other(format!("bpf_fib_lookup: {verdict}")));
            }
            times.push(f64::from(ns) - f64::from(without.run(&frame, 20_000)?.0));
        }
        Ok(super::median(&mut times))
    }
}
