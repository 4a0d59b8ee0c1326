//! This machine's end of the cable: a TAP device in a network namespace of its own.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::common::{installed, text};

/// The TAP device.
pub const TAP: &str = "wp0";
/// Addresses of this end.
pub const HOST: (&str, &str) = ("10.9.0.1", "fd00:9::1");
/// Addresses of the guest.
pub const GUEST: (&str, &str) = ("10.9.0.2", "fd00:9::2");

/// Why there can be no such network here; `None` when there can.
pub fn obstacle() -> Option<String> {
    if !installed("ip") {
        return Some("ip is not installed (package iproute2)".into());
    }
    if !Path::new("/dev/net/tun").exists() {
        return Some("there is no /dev/net/tun".into());
    }
    let name = format!("wirepath-{}-probe", std::process::id());
    let netns = |action| {
        let done = Command::new("ip").args(["netns", action, &name]).output();
        done.is_ok_and(|output| output.status.success())
    };
    if netns("add") && netns("del") {
        None
    } else {
        Some("network namespaces are not allowed here (is this root?)".into())
    }
}

/// A namespace with the TAP device, which goes away with this value.
pub struct Network(String);

impl Network {
    /// Makes it, with addresses, up.
    pub fn new() -> Result<Self, String> {
        let name = format!("wirepath-{}-guest", std::process::id());
        let network = Self(name.clone());
        run(Command::new("ip").args(["netns", "add", &name]))?;
        let (v4, v6) = (format!("{}/24", HOST.0), format!("{}/64", HOST.1));
        for args in [
            &["tuntap", "add", TAP, "mode", "tap"][..],
            &["address", "add", &v4, "dev", TAP],
            &["address", "add", &v6, "dev", TAP, "nodad"],
            &["link", "set", TAP, "up"],
        ] {
            network.run("ip", args)?;
        }
        Ok(network)
    }

    /// A command inside.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0]).arg(program);
        command
    }

    /// Runs a command inside, which must succeed; what it printed.
    pub fn run(&self, program: &str, args: &[&str]) -> Result<String, String> {
        run(self.command(program).args(args))
    }

    /// Sends `count` pings of `size` bytes every `interval` seconds, none of which may be lost; the
    /// times.
    pub fn ping(&self, to: &str, count: u32, interval: &str, size: u32) -> Result<String, String> {
        let (count, size) = (count.to_string(), size.to_string());
        let args = ["-n", "-q", "-W", "5", "-i", interval, "-s", &size];
        let output = self
            .command("ping")
            .args(args)
            .args(["-c", &count, to])
            .output();
        let out = output.map(|o| text(&o.stdout)).map_err(|e| e.to_string())?;
        let none_lost = format!("{count} received, 0% packet loss");
        match out.contains(&none_lost) {
            true => Ok(out.lines().last().unwrap_or_default().to_string()),
            false => Err(format!("ping {to} with {size} bytes: {out}")),
        }
    }

    /// Pings that go on until the value is dropped, answered or not.
    pub fn traffic(&self, to: &str) -> Result<Background, String> {
        let mut command = self.command("ping");
        command.args(["-n", "-q", "-i", "0.005", to]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        child.map(Background).map_err(|e| format!("ping: {e}"))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

/// A program that ends with this value.
pub struct Background(pub Child);

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a command, which must succeed; what it printed.
pub fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    match output.status.success() {
        true => Ok(out),
        false => Err(format!("{command:?}: {}, {out}{err}", output.status)),
    }
}
