//! What the specification demands of the device: the device-side requirements of virtio 1.2 that the
//! profile touches.
//!
//! The sections are those of version 1.2; a requirement's id is its section and a running number in
//! the order of the text. The words are ours. Rows of kind [`Kind::Text`] stand for behaviour that the
//! specification describes without the word MUST and that a driver relies on all the same. A few
//! sentences became normative in the text after 1.2 only (5.1.6.5.3.1, 5.1.6.5.9.6-2); they are here,
//! because a driver of today may count on them.
//!
//! Left out because nothing of the profile touches them: legacy interfaces and transitional devices,
//! split virtqueues (but for 2.7.4.1, which holds for both formats), shared memory, vendor data,
//! admin queues, and the network features that are not offered (CTRL_GUEST_OFFLOADS, GUEST_ANNOUNCE,
//! CTRL_RX_EXTRA, GUEST_ECN, UFO, GUEST_USO, RSC_EXT, STANDBY, GUEST_HDRLEN). Of those only what the
//! device must not do without them is here.

mod basic;
mod net_control;
mod net_data;
mod packed;
mod pci;

/// How strong a requirement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The text says MUST or MUST NOT.
    Must,
    /// The text describes it.
    Text,
}

/// One thing that the device has to do, or has to leave.
#[derive(Debug, Clone, Copy)]
pub struct Requirement {
    /// Section and running number: `2.1.2-1`.
    pub id: &'static str,
    /// In short, in our own words.
    pub text: &'static str,
    /// MUST or description.
    pub kind: Kind,
    /// Why no test shows it. `no test yet: …` is a debt; anything else says why there is nothing to test.
    pub reason: Option<&'static str>,
}

const fn must(id: &'static str, text: &'static str) -> Requirement {
    Requirement {
        id,
        text,
        kind: Kind::Must,
        reason: None,
    }
}

const fn text(id: &'static str, text: &'static str) -> Requirement {
    Requirement {
        kind: Kind::Text,
        ..must(id, text)
    }
}

impl Requirement {
    /// No test shows it, for this reason.
    const fn but(self, reason: &'static str) -> Self {
        Self {
            reason: Some(reason),
            ..self
        }
    }

    /// The section, without the running number.
    pub fn section(&self) -> &'static str {
        self.id
            .rsplit_once('-')
            .map_or(self.id, |(section, _)| section)
    }
}

/// Requirements of one chapter of the specification.
#[derive(Debug, Clone, Copy)]
pub struct Chapter {
    /// Section and name.
    pub title: &'static str,
    /// In the order of the text.
    pub requirements: &'static [Requirement],
}

/// All of them, in the order of the text.
pub const CHAPTERS: &[Chapter] = &[
    Chapter {
        title: "2.1 to 2.7: status, features, reset, configuration space, virtqueues",
        requirements: basic::FACILITIES,
    },
    Chapter {
        title: "2.8: packed virtqueues",
        requirements: packed::PACKED,
    },
    Chapter {
        title: "4.1: virtio over PCI",
        requirements: pci::PCI,
    },
    Chapter {
        title: "5.1.3 to 5.1.6.4: network device, configuration and frames",
        requirements: net_data::NET_DATA,
    },
    Chapter {
        title: "5.1.6.5: network device, control virtqueue",
        requirements: net_control::NET_CONTROL,
    },
    Chapter {
        title: "6: reserved feature bits",
        requirements: basic::RESERVED,
    },
];
