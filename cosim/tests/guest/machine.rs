//! A virtual machine whose network card is the RTL, and the programs around it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::console::Console;
use crate::network::{Background, GUEST, Network, TAP, run};

/// Most that a boot may take under emulation.
const BOOT: Duration = Duration::from_secs(180);
/// Most that a command in the guest may take, without data to transfer.
const COMMAND: Duration = Duration::from_secs(120);
/// Most that a megabyte may take.
const MEGABYTE: Duration = Duration::from_secs(6);

/// Megabytes that go each way: `WIREPATH_GUEST_MB`, or 10.
pub fn megabytes() -> usize {
    let said = std::env::var("WIREPATH_GUEST_MB").ok();
    said.and_then(|mb| mb.parse().ok()).unwrap_or(10)
}
/// Kernel command line. The console is where commands go; a panic is an end.
const APPEND: &str = "console=ttyS0 quiet net.ifnames=0 panic=0";
/// An IOMMU that tells QEMU, and so the card, of every mapping that the guest makes.
const IOMMU: [&str; 2] = ["-device", "intel-iommu,caching-mode=on"];
/// The guest uses it, and unmaps a buffer as soon as it is done with it.
const APPEND_IOMMU: &str = "intel_iommu=on iommu.strict=1";

/// What is special about a machine.
pub struct Setup {
    /// A few words for the table; nothing when nothing is.
    pub name: &'static str,
    /// Further options of `cosim serve`.
    pub serve: &'static [&'static str],
    /// The guest has an IOMMU.
    pub iommu: bool,
    /// CPUs of the guest, and queue pairs that it is to use.
    pub pairs: u16,
}

/// A kernel image, and where its modules are, if it has any.
pub struct Kernel {
    pub image: PathBuf,
    pub modules: Option<PathBuf>,
}

/// `cosim serve`, QEMU beside it, and the network that they are on.
pub struct Machine {
    console: Console,
    release: String,
    qemu: Background,
    serve: Background,
    /// The guest directory's busybox, for this end.
    pub busybox: PathBuf,
    dir: TempDir,
    pub network: Network,
    pub setup: &'static Setup,
}

impl Machine {
    /// Starts everything and waits for the guest; its interface is up and has addresses.
    pub fn boot(guest: &Path, kernel: &Kernel, setup: &'static Setup) -> Result<Self, String> {
        let io = |what: &'static str| move |e: std::io::Error| format!("{what}: {e}");
        let dir = tempfile::tempdir().map_err(io("temporary directory"))?;
        let guest = guest.canonicalize().map_err(io("guest directory"))?;
        let busybox = guest.join("busybox");
        let initrd = dir.path().join("initrd.gz");
        let no_modules = dir.path().join("none");
        std::fs::create_dir(&no_modules).map_err(io("temporary directory"))?;
        let modules = kernel.modules.as_ref().unwrap_or(&no_modules);
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/guest/initramfs");
        run(Command::new(script).arg(&busybox).arg(modules).arg(&initrd))?;

        let network = Network::new()?;
        let serve = serve(&network, dir.path(), setup.serve)?;
        let stderr = File::create(dir.path().join("qemu.log")).map_err(io("qemu.log"))?;
        let socket = dir.path().join("nic.sock");
        let mut qemu = Command::new(guest.join("qemu/run"))
            .args(["-machine", "q35,accel=tcg", "-cpu", "max", "-m", "256"])
            .args(["-nographic", "-nodefaults", "-serial", "stdio"])
            .args(["-object", "memory-backend-memfd,id=mem,size=256M,share=on"])
            .args(["-numa", "node,memdev=mem"])
            .args(["-smp", &setup.pairs.to_string()])
            .args(if setup.iommu { &IOMMU[..] } else { &[] })
            .arg("-device")
            .arg(format!(
                r#"{{"driver":"vfio-user-pci","socket":{{"type":"unix","path":"{}"}}}}"#,
                socket.display()
            ))
            .arg("-kernel")
            .arg(&kernel.image)
            .arg("-initrd")
            .arg(&initrd)
            .arg("-append")
            .arg(match setup.iommu {
                true => format!("{APPEND} {APPEND_IOMMU}"),
                false => APPEND.into(),
            })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .map_err(io("QEMU"))?;
        let (Some(input), Some(output)) = (qemu.stdin.take(), qemu.stdout.take()) else {
            return Err("QEMU has no console".into());
        };
        let mut machine = Self {
            console: Console::new(input, output),
            release: String::new(),
            qemu: Background(qemu),
            serve,
            busybox,
            dir,
            network,
            setup,
        };
        let up = machine.ready().and_then(|()| machine.interface_up());
        up.map_err(|e| format!("{e}\n{}", machine.log()))?;
        Ok(machine)
    }

    /// Kernel release.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// Waits until the guest takes commands.
    pub fn ready(&mut self) -> Result<(), String> {
        self.release = self.console.until("@ready ", BOOT)?.1;
        Ok(())
    }

    /// Gives the guest's interface its addresses, and waits for an answer to a ping.
    pub fn interface_up(&mut self) -> Result<(), String> {
        let (v4, v6) = GUEST;
        self.run(&format!(
            "ip address add {v4}/24 dev eth0 && ip address add {v6}/64 dev eth0 && ip link set eth0 up"
        ))?;
        self.reachable()
    }

    /// Waits for an answer to a ping.
    pub fn reachable(&self) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match self
                .network
                .run("ping", &["-n", "-c", "1", "-W", "1", GUEST.0])
            {
                Ok(_) => return Ok(()),
                Err(e) if Instant::now() > deadline => return Err(e),
                Err(_) => {}
            }
        }
    }

    /// Runs a shell command in the guest; what it printed.
    pub fn run(&mut self, command: &str) -> Result<String, String> {
        let data = MEGABYTE.saturating_mul(u32::try_from(megabytes()).unwrap_or(u32::MAX));
        self.console.run(command, COMMAND.saturating_add(data))
    }

    /// Gives the guest a command that does not come back.
    pub fn send(&mut self, command: &str) -> Result<(), String> {
        self.console.send(command)
    }

    /// Waits until `command` prints `expected`.
    pub fn wait_for(&mut self, command: &str, expected: &str) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let output = self.run(command)?;
            if output.trim() == expected {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("`{command}` says {output:?}, not {expected}"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Says a line to the control socket; the answer.
    pub fn control(&self, line: &str) -> Result<String, String> {
        let ask = || {
            let mut stream = UnixStream::connect(self.dir.path().join("control.sock"))?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            writeln!(stream, "{line}")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).map(|_| answer)
        };
        let answer = ask().map_err(|e: std::io::Error| format!("control socket: {e}"))?;
        match answer.trim() {
            "" => Err("the control socket did not answer".into()),
            error if error.starts_with("error") => Err(error.into()),
            answer => Ok(answer.into()),
        }
    }

    /// All counters of the card.
    pub fn stats(&self) -> Result<Value, String> {
        serde_json::from_str(&self.control("stats")?).map_err(|e| e.to_string())
    }

    /// One of them; one of the card's own is `/nic/NAME`.
    pub fn stat(&self, name: &str) -> Result<u64, String> {
        let pointer = if name.starts_with('/') {
            name.to_string()
        } else {
            format!("/{name}")
        };
        let stats = self.stats()?;
        let count = stats.pointer(&pointer).and_then(Value::as_u64);
        count.ok_or(format!("no counter {name}"))
    }

    /// CPU time of `cosim serve` so far, in ticks of 10 ms (proc(5)).
    pub fn cpu_ticks(&self) -> Result<u64, String> {
        let path = format!("/proc/{}/stat", self.serve.0.id());
        let stat = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
        let behind_name = stat.rsplit_once(')').map(|(_, rest)| rest);
        let fields: Vec<u64> = behind_name
            .unwrap_or_default()
            .split_whitespace()
            .filter_map(|f| f.parse().ok())
            .collect();
        // The state is no number: utime and stime, fields 14 and 15, are numbers 11 and 12 here.
        match fields.get(10..12) {
            Some([user, system]) => Ok(user + system),
            _ => Err("/proc has no times".into()),
        }
    }

    /// Switches the guest off and ends `cosim serve` with SIGINT; the times of its summary.
    pub fn end(mut self) -> Result<String, String> {
        self.send("poweroff -f")?;
        let status = self.qemu.0.wait().map_err(|e| e.to_string())?;
        if !status.success() {
            return Err(format!("QEMU: {status}"));
        }
        let pid = self.serve.0.id().to_string();
        run(Command::new("kill").args(["-INT", &pid]))?;
        let status = self.serve.0.wait().map_err(|e| e.to_string())?;
        let log = self.read("serve.log");
        if !status.success() {
            return Err(format!("cosim serve: {status}\n{log}"));
        }
        for line in [
            "frames in",
            "frames out",
            "doorbells",
            "interrupts",
            "DMA",
            "cycles",
            "simulated time",
            "wall time",
        ] {
            if !log.lines().any(|l| l.starts_with(line)) {
                return Err(format!("no line `{line}` in the summary\n{log}"));
            }
        }
        for socket in ["nic.sock", "control.sock"] {
            if self.dir.path().join(socket).exists() {
                return Err(format!("{socket} is left behind"));
            }
        }
        let times = log.lines().find(|l| l.starts_with("wall time"));
        Ok(times
            .unwrap_or_default()
            .split_whitespace()
            .skip(2)
            .collect::<Vec<_>>()
            .join(" "))
    }

    /// What everybody said last.
    pub fn log(&self) -> String {
        let (serve, qemu) = (self.read("serve.log"), self.read("qemu.log"));
        let console = self.console.tail();
        format!("--- console\n{console}\n--- cosim serve\n{serve}\n--- QEMU\n{qemu}")
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }
}

/// Starts `cosim serve` and waits for its socket.
fn serve(network: &Network, dir: &Path, options: &[&str]) -> Result<Background, String> {
    let log = File::create(dir.join("serve.log")).map_err(|e| e.to_string())?;
    let errors = log.try_clone().map_err(|e| e.to_string())?;
    let socket = dir.join("nic.sock");
    // `ip netns exec` becomes the program, so the child is the program itself.
    let child = network
        .command(env!("CARGO_BIN_EXE_cosim"))
        .arg("serve")
        .arg("--vfio-user")
        .arg(&socket)
        .arg("--control")
        .arg(dir.join("control.sock"))
        .args(["--wire", &format!("tap:{TAP}")])
        .args(options)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .map_err(|e| format!("cosim serve: {e}"))?;
    let mut serve = Background(child);
    while !socket.exists() {
        if let Ok(Some(status)) = serve.0.try_wait() {
            let log = std::fs::read_to_string(dir.join("serve.log")).unwrap_or_default();
            return Err(format!("cosim serve: {status}\n{log}"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(serve)
}
