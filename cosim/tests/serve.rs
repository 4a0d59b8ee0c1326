//! `cosim serve` and a client that is no virtual machine.

mod common;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{cosim, mixed_pcap, text};
use cosim::capture::Capture;
use hwmodel::pci;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use serde_json::Value;
use tempfile::TempDir;
use vfio_bindings::bindings::vfio::{
    VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_DATA_EVENTFD, VFIO_PCI_BAR0_REGION_INDEX,
    VFIO_PCI_CONFIG_REGION_INDEX, VFIO_PCI_MSIX_IRQ_INDEX,
};
use vfio_user::Client;

const BAR0: u32 = VFIO_PCI_BAR0_REGION_INDEX;
const CONFIG: u32 = VFIO_PCI_CONFIG_REGION_INDEX;
const MSIX: u32 = VFIO_PCI_MSIX_IRQ_INDEX;

/// The program, with sockets in a directory of its own.
struct Serve {
    child: Child,
    dir: TempDir,
}

impl Serve {
    fn start(wire: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_cosim"))
            .args(["serve", "--wire", wire, "--vfio-user"])
            .arg(dir.path().join("nic.sock"))
            .arg("--control")
            .arg(dir.path().join("control.sock"))
            .arg("--summary")
            .arg(dir.path().join("summary.json"))
            .env("RUST_BACKTRACE", "0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Byte by byte, so that nothing is lost that finish() wants to read.
        let mut reader = BufReader::with_capacity(1, child.stdout.as_mut().unwrap());
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert!(line.contains("Ctrl-C ends it"), "{line}");
        Self { child, dir }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("nic.sock")
    }

    fn client(&self) -> Client {
        Client::new(&self.socket()).unwrap()
    }

    fn control(&self, line: &str) -> String {
        let mut stream = UnixStream::connect(self.dir.path().join("control.sock")).unwrap();
        writeln!(stream, "{line}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.trim().to_string()
    }

    fn stats(&self) -> Value {
        serde_json::from_str(&self.control("stats")).unwrap()
    }

    /// Waits until a counter has a value.
    fn wait_for(&self, pointer: &str, value: u64) {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let stats = self.stats();
            let now = stats.pointer(pointer).and_then(Value::as_u64);
            if now == Some(value) {
                return;
            }
            assert!(Instant::now() < deadline, "{pointer} is {now:?}: {stats}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it with SIGINT; what it printed, and its summary.
    fn finish(mut self) -> (String, Value) {
        let pid = self.child.id().to_string();
        let kill = Command::new("kill").args(["-INT", &pid]).status();
        assert!(kill.unwrap().success());
        let mut out = String::new();
        let mut stdout = self.child.stdout.take().unwrap();
        stdout.read_to_string(&mut out).unwrap();
        assert!(self.child.wait().unwrap().success(), "{out}");
        assert!(!self.socket().exists(), "the socket is left behind");
        let json = std::fs::read_to_string(self.dir.path().join("summary.json")).unwrap();
        (out, serde_json::from_str(&json).unwrap())
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(client: &mut Client, region: u32, offset: u32, width: usize) -> u32 {
    let mut bytes = [0; 4];
    client
        .region_read(region, offset.into(), &mut bytes[..width])
        .unwrap();
    u32::from_le_bytes(bytes)
}

fn write(client: &mut Client, region: u32, offset: u32, width: usize, value: u32) {
    let bytes = value.to_le_bytes();
    client
        .region_write(region, offset.into(), &bytes[..width])
        .unwrap();
}

/// Memory Space Enable and Bus Master Enable.
fn enable(client: &mut Client) {
    let command = pci::COMMAND_MEMORY | pci::COMMAND_MASTER;
    write(client, CONFIG, pci::COMMAND as u32, 2, command.into());
}

/// 3.1.1: up to FEATURES_OK with all that is offered, then DRIVER_OK. No queue is enabled.
fn negotiate(client: &mut Client) -> u64 {
    let mut offered = 0;
    for status in [0, 1, 3] {
        write(client, BAR0, 0x14, 1, status);
    }
    for half in 0..2 {
        write(client, BAR0, 0x00, 4, half);
        let features = read(client, BAR0, 0x04, 4);
        write(client, BAR0, 0x08, 4, half);
        write(client, BAR0, 0x0c, 4, features);
        offered |= u64::from(features) << (32 * half);
    }
    write(client, BAR0, 0x14, 1, 0x0b);
    assert_eq!(read(client, BAR0, 0x14, 1), 0x0b, "FEATURES_OK stays");
    write(client, BAR0, 0x14, 1, 0x0f);
    offered
}

/// Waits for an eventfd; how often it was signalled.
fn signalled(eventfd: &File) -> u64 {
    let timeout = Timespec {
        tv_sec: 10,
        tv_nsec: 0,
    };
    let mut fds = [PollFd::new(eventfd, PollFlags::IN)];
    assert_eq!(poll(&mut fds, Some(&timeout)), Ok(1), "no interrupt came");
    let mut count = [0; 8];
    (&*eventfd).read_exact(&mut count).unwrap();
    u64::from_ne_bytes(count)
}

#[test]
fn the_function_is_the_rtls() {
    let serve = Serve::start("loopback");
    let mut client = serve.client();
    assert_eq!(client.region(BAR0).unwrap().size, u64::from(pci::BAR0_LEN));
    assert_eq!(client.region(CONFIG).unwrap().size, 4096);
    assert_eq!(client.region(1).unwrap().size, 0);
    // Configuration, receiveq1, transmitq1, controlq.
    assert_eq!(client.get_irq_info(MSIX).unwrap().count, 4);

    // All of configuration space at once, as QEMU reads it.
    let mut config = vec![0; 4096];
    client.region_read(CONFIG, 0, &mut config).unwrap();
    assert_eq!(config[..4], [0xf4, 0x1a, 0x41, 0x10]);
    assert_eq!(config[0x100..], [0; 4096 - 0x100]);

    assert_eq!(read(&mut client, BAR0, pci::BAR_VENDOR, 4), u32::MAX);
    enable(&mut client);
    let mut magic = [0; 8];
    client
        .region_read(BAR0, pci::BAR_VENDOR.into(), &mut magic)
        .unwrap();
    assert_eq!(&magic[..4], b"WPTH");
    // An access that no bus can make at once is made in pieces.
    client
        .region_read(BAR0, u64::from(pci::BAR_VENDOR) + 1, &mut magic[..3])
        .unwrap();
    assert_eq!(&magic[..3], b"PTH");

    let offered = negotiate(&mut client);
    let stats = serve.stats();
    assert_eq!(stats["feature_bits"][0], offered);
    assert_eq!(stats["feature_bits"][1], offered);
    assert_eq!(stats["device_status"], 0x0f);

    client.reset().unwrap();
    assert_eq!(serve.stats()["device_status"], 0);
    enable(&mut client);
    negotiate(&mut client);
    // Initiate Function Level Reset.
    write(&mut client, CONFIG, pci::DEVICE_CONTROL as u32, 2, 0x8000);
    assert_eq!(serve.stats()["device_status"], 0);
    assert_eq!(read(&mut client, CONFIG, pci::COMMAND as u32, 2), 0);

    let (out, summary) = serve.finish();
    for line in [
        "driver ready",
        "frames in",
        "doorbells",
        "interrupts",
        "DMA",
        "wall time",
    ] {
        assert!(out.lines().any(|l| l.starts_with(line)), "{line}: {out}");
    }
    assert_eq!(summary["resets"], 2);
}

#[test]
fn a_message_of_the_rtl_is_the_clients_interrupt() {
    let serve = Serve::start("loopback");
    let mut client = serve.client();
    let eventfd = File::from(eventfd(0, EventfdFlags::CLOEXEC).unwrap());
    let flags = VFIO_IRQ_SET_ACTION_TRIGGER | VFIO_IRQ_SET_DATA_EVENTFD;
    // Before the registers answer, as well as after.
    client
        .set_irqs(MSIX, flags, 0, 1, &[eventfd.as_raw_fd()])
        .unwrap();
    enable(&mut client);
    write(&mut client, CONFIG, pci::MSIX_CONTROL as u32, 2, 0x8000);
    negotiate(&mut client);
    // config_msix_vector
    write(&mut client, BAR0, 0x10, 2, 0);
    for (line, status) in [("link down", 0), ("link up", 1)] {
        assert_eq!(serve.control(line), "ok");
        assert_eq!(signalled(&eventfd), 1);
        let status_field = pci::BAR_DEVICE_CFG + 6;
        assert_eq!(read(&mut client, BAR0, status_field, 2), status, "{line}");
    }
    // Without an eventfd the vector is masked: its message waits in the pending bits.
    client.set_irqs(MSIX, flags, 0, 1, &[]).unwrap();
    serve.control("link down");
    let deadline = Instant::now() + Duration::from_secs(10);
    while read(&mut client, BAR0, pci::BAR_MSIX_PBA, 4) != 1 {
        assert!(Instant::now() < deadline, "nothing is pending");
    }
    client
        .set_irqs(MSIX, flags, 0, 1, &[eventfd.as_raw_fd()])
        .unwrap();
    assert_eq!(signalled(&eventfd), 1);
    let (_, summary) = serve.finish();
    assert_eq!(summary["interrupts"], 3);
    assert_eq!(summary["interrupts_lost"], 0);
}

#[test]
fn memory_comes_and_goes() {
    let serve = Serve::start("loopback");
    let guest = tempfile::tempfile().unwrap();
    guest.set_len(1 << 20).unwrap();
    let mut client = serve.client();
    let fd = guest.as_raw_fd();
    client.dma_map(0, 0, 0xa_0000, fd).unwrap();
    client.dma_map(0xc_0000, 0x10_0000, 0x4_0000, fd).unwrap();
    assert_eq!(serve.stats()["mapped_bytes"], 0xe_0000);
    // Taken away behind the client's back, which maps and unmaps meanwhile.
    assert_eq!(serve.control("memory revoke"), "ok");
    assert_eq!(serve.stats()["mapped_bytes"], 0);
    client.dma_unmap(0, 0xa_0000).unwrap();
    client.dma_map(0, 0x100_0000, 0x1000, fd).unwrap();
    assert_eq!(serve.stats()["mapped_bytes"], 0);
    assert_eq!(serve.control("memory restore"), "ok");
    assert_eq!(serve.stats()["mapped_bytes"], 0x4_1000);
    // What a client leaves behind is void.
    drop(client);
    serve.wait_for("/clients", 1);
    assert_eq!(serve.stats()["mapped_bytes"], 0);
    let mut client = serve.client();
    assert_eq!(read(&mut client, CONFIG, 0, 4), 0x1041_1af4);
    let (_, summary) = serve.finish();
    assert_eq!(summary["requests_refused"], 0);
}

#[test]
fn a_capture_is_played_when_the_driver_is_ready() {
    let dir = tempfile::tempdir().unwrap();
    let (input, output) = (dir.path().join("in.pcap"), dir.path().join("out.pcap"));
    let frames = first_frames(&input, 20);
    let serve = Serve::start(&format!("pcap:{},{}", input.display(), output.display()));
    let mut client = serve.client();
    enable(&mut client);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(serve.stats()["frames_in"], 0);
    negotiate(&mut client);
    // No receive queue is enabled, so the NIC drops and counts what is for it; what is for others ends in the filter.
    serve.wait_for("/nic/rx_frames", frames);
    let dropped = |stats: &Value, why: &str| stats["nic"][why].as_u64().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let stats = serve.stats();
        let (disabled, filtered) = (
            dropped(&stats, "rx_disabled"),
            dropped(&stats, "rx_filtered"),
        );
        if disabled + filtered == frames {
            assert!(disabled > 0 && filtered > 0, "{stats}");
            break;
        }
        assert!(Instant::now() < deadline, "{stats}");
        std::thread::sleep(Duration::from_millis(10));
    }
    let (_, summary) = serve.finish();
    assert_eq!(summary["frames_in"], frames);
    assert!(Capture::open(&output).unwrap().frames.is_empty());
}

/// Writes the first frames of the capture that comes with the project, back to back.
fn first_frames(path: &Path, count: usize) -> u64 {
    let capture = Capture::open(&mixed_pcap()).unwrap();
    let mut writer = cosim::capture::CaptureWriter::create(path).unwrap();
    for frame in &capture.frames[..count] {
        writer.write(capture.frames[0].time, &frame.bytes).unwrap();
    }
    writer.finish().unwrap();
    count as u64
}

/// A message of the protocol: header, then `body`.
fn message(command: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1, 0];
    bytes.extend(command.to_le_bytes());
    bytes.extend((16 + body.len() as u32).to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(body);
    bytes
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

#[test]
fn nonsense_is_refused_and_the_next_client_served() {
    let serve = Serve::start("loopback");
    let all = u32::MAX;
    // Flags of a reply: it is one, and it tells of an error.
    const ERROR: u32 = 0x21;
    for (what, bytes, refused) in [
        ("no such command", message(99, &[]), true),
        (
            "read of no region",
            message(9, &words(&[0, 0, 200, 4])),
            true,
        ),
        (
            "read of an empty region",
            message(9, &words(&[0, 0, 1, 4])),
            true,
        ),
        (
            "read behind BAR0",
            message(9, &words(&[0xfffe, 0, 0, 4])),
            true,
        ),
        ("read far away", message(9, &words(&[all, all, 7, 4])), true),
        (
            "write behind BAR0",
            message(10, &words(&[0xfffe, 0, 0, 4, 7])),
            true,
        ),
        (
            "interrupt 7",
            message(8, &words(&[20, 0x24, 9, 0, 1])),
            true,
        ),
        (
            "vectors 2..5",
            message(8, &words(&[20, 0x24, 2, 2, 3])),
            true,
        ),
        (
            "vectors at the end",
            message(8, &words(&[20, 0x24, 2, all, all])),
            true,
        ),
        ("masking", message(8, &words(&[20, 0x9, 2, 0, 1])), true),
        (
            "unmap half a page",
            message(3, &words(&[24, 0, 8, 0, 16, 0])),
            false,
        ),
        (
            "version without end",
            message(1, &[0, 0, 1, 0, b'{']),
            false,
        ),
        (
            "version without JSON",
            message(1, &[0, 0, 1, 0, b'x', 0]),
            true,
        ),
        (
            "message of no length",
            vec![1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            false,
        ),
        ("half a header", vec![1, 0, 9], false),
    ] {
        let mut stream = UnixStream::connect(serve.socket()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        stream.write_all(&bytes).unwrap();
        if refused {
            let mut header = [0; 16];
            stream
                .read_exact(&mut header)
                .unwrap_or_else(|e| panic!("{what}: {e}"));
            let flags = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
            assert_eq!(flags, ERROR, "{what}");
        }
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        drop(stream);
        let mut client = serve.client();
        assert_eq!(read(&mut client, CONFIG, 0, 4), 0x1041_1af4, "after {what}");
    }
    serve.finish();
}

#[test]
fn what_cannot_be_served_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let taken = dir.path().join("taken");
    std::fs::write(&taken, "a file").unwrap();
    let taken = taken.to_str().unwrap();
    for (args, said) in [
        (
            ["--wire", "loopback", "--vfio-user", taken],
            "cannot listen at",
        ),
        (
            ["--wire", "pcap:/no/in,/no/out", "--vfio-user", "x"],
            "cannot open /no/in",
        ),
        (
            ["--wire", "nothing", "--vfio-user", "x"],
            "tap:NAME, pcap:IN,OUT or loopback",
        ),
    ] {
        let output = cosim(&[&["serve"][..], &args].concat());
        assert!(!output.status.success());
        let message = text(&output.stderr);
        assert!(message.contains(said), "{message}");
    }
    assert_eq!(std::fs::read_to_string(taken).unwrap(), "a file");
}

#[test]
fn a_socket_that_nobody_listens_at_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nic.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let mut child = Command::new(env!("CARGO_BIN_EXE_cosim"))
        .args(["serve", "--wire", "loopback", "--vfio-user"])
        .arg(&path)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    let client = loop {
        match Client::new(&path) {
            Ok(client) => break client,
            Err(e) => assert!(Instant::now() < deadline, "{e}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(client.region(BAR0).unwrap().size, u64::from(pci::BAR0_LEN));
    let _ = child.kill();
    let _ = child.wait();
}
