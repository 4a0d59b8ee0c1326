//! Why the kernel dropped packets: its tracepoint `skb:kfree_skb`, of what this thread made it do.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::fs::OFlags;

/// Where tracefs is, in a mount namespace of our own.
const TRACING: &str = "sys/kernel/tracing";
/// The tracepoint.
const EVENT: &str = "events/skb/kfree_skb/enable";

/// What frees no packet of its own: the parts of one that was put together, after the whole.
const NO_PACKET: &str = "skb_release_data";

/// Of what a socket still had when it ended, which is some time after it was closed.
const LATER: &str = "QUEUE_PURGE";

/// A packet's end: the reason without `SKB_DROP_REASON_`, and the kernel's function.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dropped {
    /// `NO_SOCKET`
    pub reason: String,
    /// `__udp4_lib_rcv`
    pub function: String,
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} @ {}", self.reason, self.function)
    }
}

/// An instance of the kernel's tracing, which goes with this.
pub struct Tracing {
    /// Has tracefs mounted where nobody else sees it.
    holder: Child,
    instance: PathBuf,
    pipe: File,
    rest: String,
}

impl Tracing {
    /// Begins to trace. `name`: of the instance.
    pub fn new(name: &str) -> io::Result<Self> {
        let script = format!("mount -t tracefs nodev /{TRACING} && echo ready && exec cat");
        let mut holder = Command::new("unshare")
            .args(["-m", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut said = String::new();
        if let Some(output) = holder.stdout.as_mut() {
            BufReader::new(output).read_line(&mut said)?;
        }
        let root = PathBuf::from(format!("/proc/{}/root/{TRACING}", holder.id()));
        let instance = root.join("instances").join(name);
        let begun = fs::create_dir(&instance).and_then(|()| {
            let set = |file: &str, value: &str| fs::write(instance.join(file), value);
            // What programs send is sent by threads of their own.
            set("options/event-fork", "1")?;
            set(
                "set_event_pid",
                &rustix::thread::gettid().as_raw_pid().to_string(),
            )?;
            set(EVENT, "1")?;
            OpenOptions::new()
                .read(true)
                .custom_flags(OFlags::NONBLOCK.bits() as i32)
                .open(instance.join("trace_pipe"))
        });
        match begun {
            Ok(pipe) => Ok(Self {
                holder,
                instance,
                pipe,
                rest: String::new(),
            }),
            Err(e) => {
                let _ = fs::remove_dir(&instance);
                let _ = holder.kill();
                let _ = holder.wait();
                Err(e)
            }
        }
    }

    /// What was dropped since this was asked.
    pub fn dropped(&mut self) -> io::Result<Vec<Dropped>> {
        let mut bytes = vec![0; 1 << 16];
        loop {
            match self.pipe.read(&mut bytes) {
                Ok(0) => break,
                Ok(len) => self.rest += &String::from_utf8_lossy(&bytes[..len]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        let text = std::mem::take(&mut self.rest);
        Ok(text.lines().filter_map(event).collect())
    }
}

/// `… kfree_skb: skbaddr=… protocol=2048 location=ip_forward+0x2c0/0x730 reason: IP_INHDR`
fn event(line: &str) -> Option<Dropped> {
    let (_, fields) = line.split_once(" kfree_skb: ")?;
    let (_, place) = fields.split_once("location=")?;
    let (function, reason) = place.split_once(" reason: ")?;
    let reason = reason.trim();
    let function = function.split(['+', '.']).next()?;
    if function == NO_PACKET || reason == LATER {
        return None;
    }
    Some(Dropped {
        reason: reason.to_owned(),
        function: function.to_owned(),
    })
}

impl Drop for Tracing {
    fn drop(&mut self) {
        let _ = fs::write(self.instance.join(EVENT), "0");
        // An instance that is read cannot be removed.
        if let Ok(null) = File::open("/dev/null") {
            self.pipe = null;
        }
        let _ = fs::remove_dir(&self.instance);
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
