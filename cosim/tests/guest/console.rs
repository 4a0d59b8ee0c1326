//! The guest's serial console: one command a line in, its output and its status out.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{ChildStdin, ChildStdout};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Console of a guest whose init is `cosim/guest/init`.
pub struct Console {
    input: ChildStdin,
    lines: Receiver<String>,
    /// All that came, for people.
    log: String,
}

impl Console {
    /// Reads in the background from now on.
    pub fn new(input: ChildStdin, output: ChildStdout) -> Self {
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(output);
            let mut line = vec![];
            while matches!(reader.by_ref().read_until(b'\n', &mut line), Ok(len) if len > 0) {
                let text = String::from_utf8_lossy(&line);
                let text = text.trim_matches(['\0', '\r', '\n']).to_string();
                line.clear();
                if sender.send(text).is_err() {
                    break;
                }
            }
        });
        Self {
            input,
            lines,
            log: String::new(),
        }
    }

    /// Runs a shell command in the guest; what it printed.
    pub fn run(&mut self, command: &str, timeout: Duration) -> Result<String, String> {
        assert!(!command.contains('\n'), "one line: {command}");
        self.send(command)?;
        let (output, status) = self.until("@done ", timeout)?;
        match status.as_str() {
            "0" => Ok(output),
            _ => Err(format!(
                "`{command}` in the guest: status {status}, {output}"
            )),
        }
    }

    /// Gives a command that does not come back.
    pub fn send(&mut self, command: &str) -> Result<(), String> {
        self.log += &format!("> {command}\n");
        writeln!(self.input, "{command}")
            .and_then(|()| self.input.flush())
            .map_err(|e| format!("the guest's console: {e}"))
    }

    /// Waits for a line with `marker`; the lines before it, and the rest of that line.
    pub fn until(&mut self, marker: &str, timeout: Duration) -> Result<(String, String), String> {
        let deadline = Instant::now() + timeout;
        let mut output = String::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = match self.lines.recv_timeout(left) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => {
                    return Err(format!("the guest did not say {marker}in {timeout:?}"));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(format!("QEMU ended before the guest said {marker}"));
                }
            };
            self.log += &line;
            self.log.push('\n');
            // What the firmware writes before stands on the same line.
            if let Some((_, rest)) = line.split_once(marker) {
                return Ok((output, rest.trim().to_string()));
            }
            if line.contains("Kernel panic") {
                return Err(line);
            }
            output += &line;
            output.push('\n');
        }
    }

    /// The newest lines.
    pub fn tail(&self) -> String {
        let skipped = self.log.lines().count().saturating_sub(40);
        let lines: Vec<_> = self.log.lines().skip(skipped).collect();
        lines.join("\n")
    }
}
