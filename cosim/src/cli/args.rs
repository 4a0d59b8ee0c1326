//! What can be typed, and what `--help` says about it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::addr::{IfAddr, Mac, interface_name};
use crate::features;
use crate::host::HostConfig;
use crate::serve::WireKind;

/// Runs real traffic through the Verilog NIC, its driver and the kernel path, cycle by cycle.
#[derive(Debug, Parser)]
#[command(
    name = "cosim",
    version,
    after_help = "Start with:\n  cosim replay cosim/data/mixed.pcap --out out.pcap --trace trace.txt\n  \
                  cosim trace cosim/data/mixed.pcap --packet 5\n\
                  `cosim help replay` explains every option with examples."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Feed a capture to the NIC's wire and collect what comes back
    #[command(after_help = REPLAY_EXAMPLES)]
    Replay(ReplayArgs),
    /// Show one frame's journey, from its first byte on the wire to the socket, and that of the reply
    #[command(after_help = TRACE_EXAMPLES)]
    Trace(TraceArgs),
    /// Join the NIC's wire to a Linux TAP device and answer this machine's own kernel (needs root)
    #[command(after_help = TAP_EXAMPLES)]
    Tap(TapArgs),
    /// Be a PCI device of a virtual machine: a stock kernel drives the NIC (vfio-user)
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(ServeArgs),
    /// Run recordings of a real kernel again and compare what happens, packet by packet
    #[command(after_help = ORACLE_EXAMPLES)]
    Oracle(OracleArgs),
}

const REPLAY_EXAMPLES: &str = "Examples:
  Answer the pings of a capture, keep the answers and every packet's journey:
    cosim replay cosim/data/mixed.pcap --out out.pcap --trace trace.txt
  Check the answers:
    tshark -r out.pcap -o ip.check_checksum:TRUE -o eth.check_fcs:TRUE
  Another host than the default, echo on two UDP ports:
    cosim replay IN.pcap --addr 10.0.0.2/24 --mac 02:00:00:00:00:0c --udp-echo 7 --udp-echo 5201
  What does checksum offload buy? Compare the summaries:
    cosim replay IN.pcap --fast
    cosim replay IN.pcap --fast --features-off CSUM,GUEST_CSUM
  And segmentation, coalescing, or everything that the card has?
    cosim replay IN.pcap --fast --features-on HOST_TSO4,HOST_TSO6
    cosim replay IN.pcap --fast --features-on all --queue-pairs 8
  The same host with the fast model in the place of the Verilog:
    cosim replay IN.pcap --device model
  Look at the pins (large files; use a short capture):
    cosim replay IN.pcap --waves nic.fst && gtkwave nic.fst

Capture times are kept in simulated time; the idle time between frames costs nothing.
Frames whose source is --mac were sent by the captured host itself: they are counted, not fed.";

const TRACE_EXAMPLES: &str = "Example:
  cosim trace cosim/data/mixed.pcap --packet 5

The frames before N are replayed too, because they may be what N depends on (ARP, fragments).
Columns: time since N's first byte and since the line above, both in simulated nanoseconds; where;
stage; details.";

const TAP_EXAMPLES: &str = "Example, as root, in two terminals:
  cosim tap --tap wp0 --addr 10.9.0.2/24 --addr fd00:9::2/64
  ip address add 10.9.0.1/24 dev wp0 && ip link set wp0 up && ping 10.9.0.2

Simulated time follows the wall clock while nothing happens, and lags behind it while the simulation
is busy. Ctrl-C ends it with a summary.";

/// What stands behind the driver as the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum DeviceKind {
    /// The Verilog, cycle by cycle
    Rtl,
    /// The behavioural model: much faster, times are those of a simple machine
    Model,
}

const SERVE_EXAMPLES: &str = "Example, as root, in two terminals (QEMU 10.1 or newer):
  cosim serve --vfio-user nic.sock --wire tap:wp0
  qemu-system-x86_64 -m 256 -object memory-backend-memfd,id=mem,size=256M,share=on \\
    -numa node,memdev=mem \\
    -device '{\"driver\":\"vfio-user-pci\",\"socket\":{\"type\":\"unix\",\"path\":\"nic.sock\"}}' ...

The guest's memory must be shared, as in the example: the NIC maps it, nothing is copied.
`ip link set wp0 down` pulls the cable. `make guest` does all of it, with tests.

--control SOCKET takes one line per connection, for example `echo stats | nc -U -N SOCKET`:
  stats                          all counters so far, as JSON
  link down, link up             pull the cable, plug it in
  memory revoke, memory restore  take the guest's memory away from the NIC, give it back";

const ORACLE_EXAMPLES: &str = "Example:
  cosim oracle cosim/data/oracle
  cosim oracle cosim/data/oracle/06_dnat

A recording is a directory with meta.json, in_*.pcap, out_*.pcap, lo.pcap and transcript.txt; base.nft beside
it replaces the one that comes with the project. Each prints PASS, or what differs; the exit status says
whether all passed.";

/// Options of the simulated host, the same for every command.
#[derive(Debug, Clone, Args)]
pub struct HostArgs {
    /// What stands behind the driver as the card
    #[arg(long, value_enum, default_value = "rtl")]
    pub device: DeviceKind,
    /// Ethernet address of the NIC
    #[arg(long, default_value = "02:00:00:00:00:0b", value_name = "MAC")]
    pub mac: Mac,
    /// UDP port that echoes what it gets; may be given several times
    #[arg(long, default_value = "7", value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub udp_echo: Vec<u16>,
    /// Longest IP packet in bytes
    #[arg(long, default_value_t = 1500, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(1280..=9200))]
    pub mtu: u16,
    /// virtio features that the NIC offers besides the basic ones, with commas between them, or `all`
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = features::parse_on, long_help = features::ON_LONG_HELP)]
    pub features_on: Vec<driver::Feature>,
    /// virtio features that the NIC does not offer, with commas between them
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = features::parse, long_help = features::LONG_HELP)]
    pub features_off: Vec<driver::Feature>,
    /// Receive and transmit queue pairs of the NIC; more than one is for --features-on MQ
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=8))]
    pub queue_pairs: u16,
    /// Seed of what the kernel path draws at random (IPv6 fragment ids, how many ICMP errors more than
    /// its limit it may send, hashes); the card and its bus draw nothing. The same seed gives the same run
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Evaluate every clock cycle, also those in which nothing can happen (slow; same results)
    #[arg(long)]
    pub no_idle_skip: bool,
}

impl HostArgs {
    /// The host that the options describe, without addresses.
    pub fn config(&self) -> HostConfig {
        HostConfig {
            mac: self.mac,
            udp_echo: self.udp_echo.clone(),
            mtu: self.mtu,
            features_on: features::union(&self.features_on),
            features_off: features::union(&self.features_off),
            queue_pairs: self.queue_pairs,
            seed: self.seed,
            idle_skip: !self.no_idle_skip,
            ..HostConfig::default()
        }
    }
}

/// The host's addresses; the defaults are those of the capture that comes with the project.
#[derive(Debug, Clone, Args)]
pub struct CaptureArgs {
    /// Capture to feed: classic pcap, Ethernet, whole frames
    #[arg(value_name = "IN.pcap")]
    pub input: PathBuf,
    /// The host's address with prefix length, IPv4 or IPv6; may be given several times
    #[arg(long, value_name = "ADDR/LEN", default_values = ["192.0.2.20/24", "2001:db8::20/64"])]
    pub addr: Vec<IfAddr>,
    /// Feed the frames back to back instead of at their capture times
    #[arg(long)]
    pub fast: bool,
    /// The rest of the host.
    #[command(flatten)]
    pub host: HostArgs,
}

/// Arguments of `cosim replay`.
#[derive(Debug, Clone, Args)]
pub struct ReplayArgs {
    /// Capture and host.
    #[command(flatten)]
    pub capture: CaptureArgs,
    /// Write the frames that left the NIC: pcap with nanosecond times and FCS
    #[arg(long, value_name = "OUT.pcap")]
    pub out: Option<PathBuf>,
    /// Write every packet's journey as text
    #[arg(long, value_name = "OUT.txt")]
    pub trace: Option<PathBuf>,
    /// Write the summary as JSON
    #[arg(long, value_name = "OUT.json")]
    pub summary: Option<PathBuf>,
    /// Write the NIC's signals (FST, for GTKWave or Surfer); about 500 bytes a cycle and much slower
    #[arg(long, value_name = "OUT.fst")]
    pub waves: Option<PathBuf>,
}

/// Arguments of `cosim trace`.
#[derive(Debug, Clone, Args)]
pub struct TraceArgs {
    /// Capture and host.
    #[command(flatten)]
    pub capture: CaptureArgs,
    /// Number of the frame in the capture, from 1, as tshark shows it
    #[arg(long, short = 'n', value_name = "N")]
    pub packet: usize,
}

/// Arguments of `cosim tap`.
#[derive(Debug, Clone, Args)]
pub struct TapArgs {
    /// TAP interface to join; it is made when it is not there
    #[arg(long, value_name = "NAME", default_value = "wp0", value_parser = interface_name)]
    pub tap: String,
    /// The simulated host's address with prefix length; may be given several times
    #[arg(long, value_name = "ADDR/LEN", required = true)]
    pub addr: Vec<IfAddr>,
    /// The rest of the host.
    #[command(flatten)]
    pub host: HostArgs,
    /// Write the summary as JSON at the end
    #[arg(long, value_name = "OUT.json")]
    pub summary: Option<PathBuf>,
}

/// Arguments of `cosim serve`.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Socket at which a virtual machine finds the NIC
    #[arg(long, value_name = "SOCKET")]
    pub vfio_user: PathBuf,
    /// The other end of the cable: tap:NAME, pcap:IN,OUT or loopback
    #[arg(long, value_name = "WIRE")]
    pub wire: WireKind,
    /// What the guest gets as its card
    #[arg(long, value_enum, default_value = "rtl")]
    pub device: DeviceKind,
    /// Socket for commands
    #[arg(long, value_name = "SOCKET")]
    pub control: Option<PathBuf>,
    /// Ethernet address of the NIC
    #[arg(long, default_value = "02:00:00:00:00:0b", value_name = "MAC")]
    pub mac: Mac,
    /// Longest IP packet in bytes
    #[arg(long, default_value_t = 1500, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(68..=9202))]
    pub mtu: u16,
    /// virtio features that the NIC does not offer, with commas between them
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = features::parse, long_help = features::LONG_HELP)]
    pub features_off: Vec<driver::Feature>,
    /// Receive and transmit queue pairs of the NIC
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=8))]
    pub queue_pairs: u16,
    /// Write the NIC's signals (FST, for GTKWave or Surfer); about 500 bytes a cycle and much slower
    #[arg(long, value_name = "OUT.fst")]
    pub waves: Option<PathBuf>,
    /// Write the summary as JSON at the end
    #[arg(long, value_name = "OUT.json")]
    pub summary: Option<PathBuf>,
}

/// Arguments of `cosim oracle`.
#[derive(Debug, Clone, Args)]
pub struct OracleArgs {
    /// Recording, or directory of recordings
    #[arg(value_name = "DIR", required = true)]
    pub recordings: Vec<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn several_values() {
        let cli = Cli::try_parse_from([
            "cosim",
            "replay",
            "in.pcap",
            "--addr",
            "10.0.0.2/24",
            "--addr",
            "fd00::2/64",
            "--udp-echo",
            "7",
            "--udp-echo",
            "5201",
            "--features-off",
            "CSUM,in_order",
            "--features-on",
            "all",
            "--queue-pairs",
            "8",
            "--device",
            "model",
        ])
        .unwrap();
        let Command::Replay(args) = cli.command else {
            panic!("not replay")
        };
        assert_eq!(args.capture.addr.len(), 2);
        assert_eq!(args.capture.host.udp_echo, [7, 5201]);
        assert_eq!(args.capture.host.device, DeviceKind::Model);
        assert_eq!(
            args.capture.host.features_off,
            [driver::Feature::CSUM, driver::Feature::IN_ORDER]
        );
        let config = args.capture.host.config();
        assert_eq!(config.queue_pairs, 8);
        assert!(config.features_on.contains(driver::Feature::HOST_GSO));
    }

    #[test]
    fn values_that_do_not_fit_are_refused() {
        for bad in [
            &["replay", "in.pcap", "--addr", "10.0.0.2"][..],
            &["replay", "in.pcap", "--mac", "01:00:5e:00:00:01"],
            &["replay", "in.pcap", "--features-off", "VERSION_1"],
            &["replay", "in.pcap", "--features-on", "TSO"],
            &["replay", "in.pcap", "--features-off", "all"],
            &["replay", "in.pcap", "--queue-pairs", "9"],
            &["replay", "in.pcap", "--queue-pairs", "0"],
            &["replay", "in.pcap", "--mtu", "100"],
            &["replay", "in.pcap", "--device", "fpga"],
            &["replay", "in.pcap", "--udp-echo", "0"],
            &["tap"],
            &[
                "tap",
                "--addr",
                "10.9.0.2/24",
                "--tap",
                "a-name-that-is-too-long",
            ],
        ] {
            let line = std::iter::once("cosim").chain(bad.iter().copied());
            assert!(Cli::try_parse_from(line).is_err(), "{bad:?}");
        }
    }
}
