//! The running kernel as a router: a network namespace with two TAP devices, whose other ends are here.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use super::case::{DEVICES, Own, topology};
use super::drops::{Dropped, Tracing};
use super::programs::Theirs;

/// Longest frame that is read.
const MAX_FRAME: usize = 66_000;
/// How long a new router reports what it listens to.
const SETTLED: Duration = Duration::from_millis(150);
/// What ends an answer of the shell.
const MARK: &str = "--- done";

/// Settings that make a kernel's answers depend on the case only: no redirects, no rate limits, nothing that is sent unasked, and fragments
/// that wait as long as it takes.
const QUIET: [&str; 24] = [
    "net.ipv4.ping_group_range=0 0",
    "net.ipv4.tcp_no_metrics_save=1",
    "net.ipv6.conf.default.addr_gen_mode=1",
    "net.ipv6.conf.default.accept_dad=0",
    "net.ipv6.conf.default.accept_ra=0",
    "net.ipv6.conf.default.router_solicitations=0",
    "net.ipv6.conf.default.mldv2_unsolicited_report_interval=1",
    "net.ipv6.conf.all.forwarding=1",
    "net.ipv6.icmp.ratelimit=0",
    "net.ipv6.auto_flowlabels=0",
    "net.ipv6.ip6frag_time=100000",
    "net.netfilter.nf_conntrack_frag6_timeout=100000",
    "net.ipv4.ipfrag_time=100000",
    "net.ipv4.conf.all.send_redirects=0",
    "net.ipv4.conf.default.send_redirects=0",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    "net.ipv4.icmp_ratemask=0",
    "net.ipv4.icmp_msgs_per_sec=1000000000",
    "net.ipv4.icmp_msgs_burst=1000000",
    "net.ipv4.ip_forward=1",
    "net.netfilter.nf_conntrack_tcp_loose=1",
    "net.netfilter.nf_conntrack_acct=0",
    "net.netfilter.nf_conntrack_timestamp=0",
];

/// The key of the hash that chooses among the ways of a route; this stack has the same one.
pub const HASH_SEED: &str = "net.ipv4.fib_multipath_hash_seed=12345";

/// The namespace, its devices and a shell in it. All go away with it.
pub struct Kernel {
    namespace: String,
    shell: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    taps: Vec<SyncDevice>,
    /// Sockets of the case that runs.
    pub programs: Theirs,
    /// It takes [`HASH_SEED`], as kernels since 6.11 do: others draw a key.
    pub seeded: bool,
    tracing: Option<Tracing>,
}

impl Kernel {
    /// Makes the namespace.
    pub fn new() -> io::Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let id = format!(
            "{}-{}",
            std::process::id(),
            MADE.fetch_add(1, Ordering::Relaxed)
        );
        let namespace = format!("wpdiff-{id}");
        run("ip", &["netns", "add", &namespace])?;
        let mut shell = Command::new("ip")
            .args(["netns", "exec", &namespace, "sh"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let missing = || io::Error::other("the shell has no pipes");
        let input = shell.stdin.take().ok_or_else(missing)?;
        let output = BufReader::new(shell.stdout.take().ok_or_else(missing)?);
        let mut kernel = Self {
            namespace,
            shell,
            input,
            output,
            taps: Vec::new(),
            programs: Theirs::default(),
            seeded: false,
            tracing: None,
        };
        for setting in QUIET {
            kernel.must(&format!("sysctl -qw '{setting}'"))?;
        }
        (kernel.seeded, _) = kernel.shell(&format!("sysctl -qw {HASH_SEED}"))?;
        kernel.must("ip link set lo up")?;
        for (n, (device, mac)) in DEVICES.into_iter().enumerate() {
            // Made here and moved there: this end stays here.
            let name = format!("w{n}-{id}");
            let tap = DeviceBuilder::new()
                .name(&name)
                .layer(Layer::L2)
                .enable(false)
                .build_sync()?;
            tap.set_nonblocking(true)?;
            run("ip", &["link", "set", &name, "netns", &kernel.namespace])?;
            kernel.taps.push(tap);
            kernel.must(&format!("ip link set {name} name {device} address {mac}"))?;
            kernel.must(&format!("ip link set {device} up"))?;
        }
        // One process for all of them.
        let lines: Vec<String> = topology()
            .iter()
            .map(|line| line.trim_start_matches("ip ").to_owned())
            .collect();
        match kernel.feed("ip -batch -", &lines.join("\n"))? {
            (true, _) => {}
            (false, text) => return Err(io::Error::other(text)),
        }
        // Without it only what leaves and what counters say is compared.
        kernel.tracing = Tracing::new(&kernel.namespace).ok();
        // Multicast groups are reported now, once and for all.
        std::thread::sleep(SETTLED);
        Ok(kernel)
    }

    /// Runs a command line; what it printed on both channels, and whether it succeeded.
    pub fn shell(&mut self, line: &str) -> io::Result<(bool, String)> {
        writeln!(
            self.input,
            "{{ {line}\n}} 2>&1; s=$?; echo; echo \"{MARK} $s\""
        )?;
        self.input.flush()?;
        let mut text = String::new();
        loop {
            let mut answer = String::new();
            if self.output.read_line(&mut answer)? == 0 {
                return Err(io::Error::other("the shell ended"));
            }
            if let Some(status) = answer.strip_prefix(MARK) {
                // One line end is ours.
                text.truncate(text.len().saturating_sub(1));
                return Ok((status.trim() == "0", text));
            }
            text += &answer;
        }
    }

    fn must(&mut self, line: &str) -> io::Result<String> {
        match self.shell(line)? {
            (true, text) => Ok(text),
            (false, text) => Err(io::Error::other(format!("{line}: {text}"))),
        }
    }

    /// Feeds `text` to a program that reads its standard input.
    pub fn feed(&mut self, program: &str, text: &str) -> io::Result<(bool, String)> {
        self.shell(&format!("{program} <<'EOT'\n{text}\nEOT"))
    }

    /// Sends a frame into a device; the kernel is done with it when this returns. What left meanwhile: device and frame, in order per device.
    pub fn packet(&mut self, device: usize, frame: &[u8]) -> io::Result<Vec<(usize, Vec<u8>)>> {
        self.taps[device].send(frame)?;
        self.left()
    }

    /// What a program of the router sends; the error that it gets.
    pub fn own(&mut self, own: &Own) -> Result<(), i32> {
        self.programs.send(&self.namespace, own)
    }

    /// What was dropped since this was asked, and why; `None` when the kernel cannot be traced.
    pub fn dropped(&mut self) -> io::Result<Option<Vec<Dropped>>> {
        self.tracing.as_mut().map(Tracing::dropped).transpose()
    }

    /// What left since this was asked.
    pub fn left(&mut self) -> io::Result<Vec<(usize, Vec<u8>)>> {
        let mut left = Vec::new();
        let mut buffer = vec![0; MAX_FRAME];
        for (n, tap) in self.taps.iter().enumerate() {
            loop {
                match tap.recv(&mut buffer) {
                    Ok(len) if unasked(&buffer[..len]) => {}
                    Ok(len) => left.push((n, buffer[..len].to_vec())),
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(left)
    }
}

/// Whether nobody asked for the frame: reports of multicast groups (MLDv2).
fn unasked(frame: &[u8]) -> bool {
    frame.starts_with(&[0x33, 0x33, 0, 0, 0, 0x16])
}

impl Drop for Kernel {
    fn drop(&mut self) {
        self.taps.clear();
        let _ = self.shell.kill();
        let _ = self.shell.wait();
        let _ = run("ip", &["netns", "del", &self.namespace]);
    }
}

fn run(program: &str, arguments: &[&str]) -> io::Result<()> {
    let output = Command::new(program).args(arguments).output()?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(io::Error::other(format!("{program} {arguments:?}: {text}")))
}
