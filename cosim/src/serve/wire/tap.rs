//! A TAP device whose state is the state of the link: `ip link set NAME down` pulls the cable.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

use crate::error::Error;
use crate::tap::TapPort;

/// RTNLGRP_LINK as a bit: news of interfaces (rtnetlink(7)).
const RTMGRP_LINK: u32 = 1;

/// The device, and news of it.
pub struct TapWire {
    port: TapPort,
    /// Readable when the state of some interface changed.
    news: OwnedFd,
    up: bool,
}

impl TapWire {
    /// Joins TAP device `name`, which is made when it is not there.
    pub fn join(name: &str) -> Result<Self, Error> {
        let port = TapPort::join(name)?;
        let news = link_news().map_err(|e| port.error("watch", e))?;
        let up = port.is_running()?;
        Ok(Self { port, news, up })
    }

    /// The interface is up and running.
    pub fn up(&self) -> bool {
        self.up
    }

    /// The device, whose frames only count while it is up, and the news.
    pub fn fds(&self) -> [(BorrowedFd<'_>, PollFlags); 2] {
        // poll(2) may call a TAP that is down readable, although it refuses to be read.
        let frames = match self.up && !self.port.down {
            true => PollFlags::IN,
            false => PollFlags::empty(),
        };
        [(self.port.fd(), frames), (self.news.as_fd(), PollFlags::IN)]
    }

    /// Looks at what poll(2) reported.
    pub fn polled(&mut self, events: &[PollFlags]) -> Result<(), Error> {
        if let [device, news] = events {
            self.port.check(*device)?;
            if !news.is_empty() {
                let mut message = [0; 4096];
                // What the news is does not matter, nor that some were lost (ENOBUFS).
                while recv(&self.news, &mut message[..], RecvFlags::DONTWAIT).is_ok() {}
                self.port.down = false;
                self.up = self.port.is_running()?;
            }
        }
        Ok(())
    }

    /// The next frame from the kernel.
    pub fn receive(&mut self) -> Result<Option<Vec<u8>>, Error> {
        if !self.up {
            return Ok(None);
        }
        self.port.receive()
    }

    /// A frame for the kernel.
    pub fn send(&mut self, frame: &[u8]) -> Result<(), Error> {
        self.port.send(frame)
    }

    /// Frames that the kernel did not take.
    pub fn not_taken(&self) -> u64 {
        self.port.not_taken
    }
}

fn link_news() -> std::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    // Protocol 0 is NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, RTMGRP_LINK))?;
    Ok(socket)
}
