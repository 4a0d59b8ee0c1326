//! The NIC as a PCI device of a virtual machine, over vfio-user: a stock kernel drives the RTL.
//!
//! The client (QEMU) reaches configuration space and BAR0 of the RTL, gives its memory as files that
//! are mapped here, and gets each MSI-X message of the RTL as an eventfd. The clock runs as fast as it
//! can while there is work; when the chip is quiescent the process sleeps in poll(2), and simulated
//! time catches up with the wall clock when it wakes up.

mod client;
mod control;
mod function;
mod irqs;
mod negotiation;
mod report;
mod statistics;
mod wire;

pub use report::Report;
pub use wire::WireKind;

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hwmodel::{CYCLE_PS, GuestDevice};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::error::Error;
use crate::features::names;
use crate::signals::signals;
use crate::trace::Ps;
use client::Clients;
use control::{Command, Control};
use function::{Function, failed};
use negotiation::Event;
use wire::Wire;

/// How long the clock runs before requests and the wire are looked at, even if nothing comes out.
const SLICE: Ps = 1000 * CYCLE_PS;

/// What to serve, and where.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    /// vfio-user socket.
    pub socket: PathBuf,
    /// Socket for commands, if any.
    pub control: Option<PathBuf>,
    /// The other end of the cable.
    pub wire: WireKind,
}

/// A running service.
pub struct Service<D: GuestDevice> {
    function: Function<D>,
    clients: Clients,
    control: Option<Control>,
    wire: Wire,
    /// Readable when the process is asked to end.
    signals: OwnedFd,
    link: bool,
    started: Instant,
    /// Simulated time at the start.
    epoch: Ps,
    /// Wall time in which the clock ran.
    busy: Duration,
}

impl<D: GuestDevice> Service<D> {
    /// Listens, with the card that `card` makes; its argument is whether there is a link. All memory
    /// is the client's, so the card needs none of its own.
    ///
    /// # Errors
    /// [`Error::Socket`], those of the wire, and what `card` returns.
    pub fn start(
        config: &ServeConfig,
        card: impl FnOnce(bool) -> Result<D, Error>,
    ) -> Result<Self, Error> {
        let signals = signals().map_err(|e| Error::machine("signals cannot be caught", e))?;
        let wire = Wire::open(&config.wire)?;
        let link = wire.link();
        let mut nic = card(link)?;
        let vectors = nic.vectors();
        let control = config.control.as_deref().map(Control::listen).transpose()?;
        Ok(Self {
            epoch: nic.now(),
            function: Function::new(nic),
            clients: Clients::listen(&config.socket, vectors)?,
            control,
            wire,
            signals,
            link,
            started: Instant::now(),
            busy: Duration::ZERO,
        })
    }

    /// Serves until SIGINT or SIGTERM; `news` gets a line whenever something happens that a person
    /// wants to know.
    ///
    /// # Errors
    /// [`Error::Machine`] when the NIC fails, and those of the wire.
    pub fn run(mut self, mut news: impl FnMut(&str)) -> Result<Report, Error> {
        loop {
            let woken = Instant::now();
            self.answer_requests()?;
            self.follow_link(&mut news);
            self.report_events(&mut news);
            let quiescent = self.run_clock()?;
            self.busy += woken.elapsed();
            if !self.wait(quiescent)? {
                break;
            }
            if quiescent {
                self.catch_up()?;
            }
        }
        let report = self.report()?;
        self.wire.finish()?;
        Ok(report)
    }

    fn answer_requests(&mut self) -> Result<(), Error> {
        while let Some(request) = self.clients.request()? {
            if let Some(reply) = self.function.handle(request)? {
                self.clients.reply(reply);
            }
        }
        Ok(())
    }

    /// Runs the clock for a while. True: nothing is left to do.
    fn run_clock(&mut self) -> Result<bool, Error> {
        let wall = self.started.elapsed();
        let function = &mut self.function;
        self.wire.receive(&mut function.nic, wall)?;
        let until = function.nic.now() + SLICE;
        while !function.nic.quiescent() && function.nic.now() < until {
            function.nic.run_until(until).map_err(failed)?;
            while let Some(message) = function.nic.take_msix() {
                function
                    .irqs
                    .deliver(&message)
                    .map_err(|e| Error::machine("an interrupt cannot be delivered", e))?;
            }
            while let Some(frame) = function.nic.take_wire() {
                self.wire.send(&mut function.nic, frame, wall)?;
            }
        }
        Ok(function.nic.quiescent())
    }

    /// Lets simulated time follow the wall clock: nothing happens in it.
    fn catch_up(&mut self) -> Result<(), Error> {
        let wall = self.epoch + picoseconds(self.started.elapsed());
        if self.function.nic.now() < wall {
            self.function.nic.run_until(wall).map_err(failed)?;
        }
        Ok(())
    }

    /// Looks at all that may come from outside; sleeps until it does when the NIC is `quiescent`.
    /// False: the process is asked to end.
    fn wait(&mut self, quiescent: bool) -> Result<bool, Error> {
        let timeout = match quiescent {
            false => Some(Duration::ZERO),
            true => self
                .wire
                .next_due()
                .map(|due| due.saturating_sub(self.started.elapsed())),
        };
        let timeout = timeout.and_then(|t| Timespec::try_from(t).ok());
        let wire = self.wire.fds();
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.clients.fd(), PollFlags::IN),
        ];
        fds.extend(wire.iter().map(|(fd, f)| PollFd::from_borrowed_fd(*fd, *f)));
        let control = self.control.iter().flat_map(Control::fds);
        fds.extend(control.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(Error::machine("poll(2)", errno)),
        }
        let events: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
        let wires = wire.len();
        if !events[0].is_empty() {
            return Ok(false);
        }
        if !events[1].is_empty() {
            self.clients.heard();
        }
        self.wire.polled(&events[2..2 + wires])?;
        if events[2 + wires..].iter().any(|e| !e.is_empty())
            && let Some(mut control) = self.control.take()
        {
            control.serve(|command| self.command(command))?;
            self.control = Some(control);
        }
        Ok(true)
    }

    fn command(&mut self, command: Command) -> Result<String, Error> {
        // What a client wrote before comes first.
        self.answer_requests()?;
        match command {
            Command::Stats => return Ok(self.report()?.to_json()),
            Command::Link(up) => self.wire.set_plugged(up),
            Command::Revoke(revoke) => {
                if let Err(error) = self.function.set_revoked(revoke) {
                    return Ok(format!("error: {error}"));
                }
            }
        }
        Ok("ok".into())
    }

    /// Tells the NIC when the link changed.
    fn follow_link(&mut self, news: &mut impl FnMut(&str)) {
        let link = self.wire.link();
        if link != self.link {
            self.link = link;
            self.wire.changes += 1;
            self.function.nic.set_link(link);
            news(if link { "link up" } else { "link down" });
        }
    }

    fn report_events(&mut self, news: &mut impl FnMut(&str)) {
        for event in self.function.events.drain(..) {
            match event {
                Event::Ready(offered, acknowledged) => {
                    self.wire.driver_ready(self.started.elapsed());
                    news(&format!(
                        "driver ready\n  offered      {}\n  acknowledged {}",
                        names(offered.bits()),
                        names(acknowledged.bits())
                    ));
                }
                Event::NeedsReset => news("the driver sees DEVICE_NEEDS_RESET"),
                Event::Reset => news("driver reset the device"),
            }
        }
    }

    /// All that was counted so far.
    fn report(&mut self) -> Result<Report, Error> {
        let function = &mut self.function;
        let counters = function.nic.counters();
        let simulated = function.nic.now() - self.epoch;
        function.collect()?;
        let (offered, acknowledged) = (
            function.negotiation.offered(),
            function.negotiation.acknowledged(),
        );
        let mut report = Report {
            offered: names(offered.bits()),
            acknowledged: names(acknowledged.bits()),
            feature_bits: [offered.bits(), acknowledged.bits()],
            device_status: function.device_status()?,
            link: self.link,
            link_changes: self.wire.changes,
            frames_not_taken: self.wire.not_taken(),
            interrupts: function.irqs.delivered,
            interrupts_lost: function.irqs.lost,
            mapped_bytes: function.nic.iommu().mapped(),
            mappings_without_file: function.asked.without_file,
            resets: function.asked.resets,
            clients: function.asked.clients,
            requests_refused: function.asked.refused,
            nic: function.statistics.table(),
            ..Report::default()
        };
        report.pins(&counters);
        report.times(simulated, self.started.elapsed(), self.busy);
        Ok(report)
    }
}

fn picoseconds(duration: Duration) -> Ps {
    duration.as_nanos() as Ps * 1000
}
