//! A progress bar for people; nothing at all when standard error is not a terminal.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Progress of a replay, in frames of the capture.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar for `frames` frames on standard error; hidden when that is no terminal.
    pub fn new(frames: u64) -> Self {
        let target = if std::io::stderr().is_terminal() {
            ProgressDrawTarget::stderr_with_hz(10)
        } else {
            ProgressDrawTarget::hidden()
        };
        let style = ProgressStyle::with_template(
            "{bar:40} {pos}/{len} frames  {elapsed} elapsed, {eta} left  {msg}",
        )
        .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(Some(frames), target).with_style(style);
        Self { bar }
    }

    /// `frames` frames of the capture are done with, at `simulated_s` seconds of simulated time.
    pub fn set(&self, frames: u64, simulated_s: f64) {
        if !self.bar.is_hidden() {
            self.bar.set_position(frames);
            self.bar
                .set_message(format!("simulated {simulated_s:.6} s"));
        }
    }

    /// Takes the bar away.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}
