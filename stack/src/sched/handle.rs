//! [`Handle`]: the number of a qdisc or class, `MAJOR:MINOR` in hexadecimal.

use std::fmt;
use std::str::FromStr;

/// Number of a qdisc (`1:`), a class (`1:10`) or one of the fixed places where a qdisc is attached (`TC_H_*`). The upper 16 bits are the
/// qdisc's number, the lower 16 the class in it, 0 for the qdisc itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(pub u32);

impl Handle {
    /// `TC_H_UNSPEC`: none.
    pub const NONE: Handle = Handle(0);
    /// `TC_H_ROOT`: where a device's outermost qdisc is attached.
    pub const ROOT: Handle = Handle(0xffff_ffff);
    /// `TC_H_CLSACT` (= `TC_H_INGRESS`): where `ingress` and `clsact` are attached.
    pub const CLSACT: Handle = Handle(0xffff_fff1);
    /// `TC_H_MIN_INGRESS` of clsact: parent of the filters of received packets.
    pub const MIN_INGRESS: Handle = Handle(0xffff_fff2);
    /// `TC_H_MIN_EGRESS` of clsact: parent of the filters of packets to be sent.
    pub const MIN_EGRESS: Handle = Handle(0xffff_fff3);

    /// `TC_H_MAKE()`.
    pub const fn new(major: u16, minor: u16) -> Self {
        Handle((major as u32) << 16 | minor as u32)
    }

    /// The qdisc's number.
    pub const fn major(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// The class in the qdisc; 0 for the qdisc itself.
    pub const fn minor(self) -> u16 {
        self.0 as u16
    }

    /// Class `minor` of the qdisc that this handle belongs to.
    pub const fn class(self, minor: u16) -> Self {
        Handle::new(self.major(), minor)
    }
}

/// As tc prints it: `1:`, `1:a`, `:3` without a qdisc, `root`, `none`.
impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.major(), self.minor()) {
            _ if *self == Handle::ROOT => f.write_str("root"),
            (0, 0) => f.write_str("none"),
            (0, minor) => write!(f, ":{minor:x}"),
            (major, 0) => write!(f, "{major:x}:"),
            (major, minor) => write!(f, "{major:x}:{minor:x}"),
        }
    }
}

/// `get_tc_classid()`: `1:10`, `1:`, `:10`, `root`, `none`, or a hexadecimal number for the lower half alone.
impl FromStr for Handle {
    type Err = InvalidHandle;

    fn from_str(text: &str) -> Result<Self, InvalidHandle> {
        let part = |text: &str| match text {
            "" => Some(0),
            // from_str_radix() takes a sign, a handle has none.
            _ if text.starts_with('+') => None,
            _ => u16::from_str_radix(text, 16).ok(),
        };
        let handle = match text {
            "root" => Some(Handle::ROOT),
            "none" => Some(Handle::NONE),
            "" => None,
            _ => match text.split_once(':') {
                Some((major, minor)) => part(major)
                    .zip(part(minor))
                    .map(|(major, minor)| Handle::new(major, minor)),
                None => part(text).map(|minor| Handle::new(0, minor)),
            },
        };
        handle.ok_or(InvalidHandle)
    }
}

/// The text is not a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a handle (MAJOR:MINOR in hexadecimal)")]
pub struct InvalidHandle;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_read_and_written_as_tc_does() {
        for text in ["1:", "1:10", "ffff:", "ffff:fff1", "root", "none", ":3"] {
            assert_eq!(text.parse::<Handle>().unwrap().to_string(), text);
        }
        assert_eq!("1:10".parse(), Ok(Handle(0x0001_0010)));
        assert_eq!("20".parse(), Ok(Handle(0x20)));
        for text in ["", "1:10000", "x:", "1:2:3", "+1:", "-1:"] {
            assert!(text.parse::<Handle>().is_err(), "{text}");
        }
    }
}
