//! `tc`: lines as people type them, in and out.

mod action;
mod class;
mod filter;
mod list;
mod options;
mod qdisc;
pub(crate) mod show;
mod u32_match;
pub(crate) mod units;

use super::act::ActionKind;
use super::cls::FilterIds;
use super::cls::bpf::SharedProgram;
use super::default::DefaultQdisc;
use super::fq_codel::FqCodelConfig;
use super::handle::Handle;
use super::htb::{HtbClassConfig, HtbConfig};
use super::netem::NetemConfig;
use super::prio::PrioConfig;
use super::qdisc::Ns;
use super::tbf::TbfConfig;
use crate::command::{CommandError, Word, Words};
use crate::skb::IfIndex;
use crate::stack::Stack;
use std::collections::BTreeMap;
use thiserror::Error;

pub(crate) use u32_match::U32Keys;

/// A kind of qdisc with the options that were given.
#[derive(Clone, Debug)]
pub(crate) enum QdiscConfig {
    Noqueue,
    Pfifo {
        /// Packets.
        limit: Option<u32>,
    },
    Bfifo {
        /// Bytes.
        limit: Option<u32>,
    },
    PfifoFast,
    FqCodel(FqCodelConfig),
    Htb(HtbConfig),
    Tbf(TbfConfig),
    Prio(PrioConfig),
    Netem(NetemConfig),
}

/// `tc class add|change|replace`.
#[derive(Clone, Debug)]
pub(crate) struct ClassConfig {
    pub classid: Handle,
    /// Class or qdisc above it.
    pub parent: Handle,
    /// `add`.
    pub only_new: bool,
    /// `change`.
    pub only_existing: bool,
    pub options: HtbClassConfig,
}

/// `tc filter add`.
pub(crate) struct FilterConfig {
    /// 0: as the kernel chooses.
    pub prio: u16,
    /// EtherType.
    pub protocol: u16,
    pub kind: FilterKind,
    /// Of a `u32` filter: its table (0: whichever it is) and its number there.
    pub node: Option<(u32, u32)>,
    pub classid: Option<Handle>,
    pub actions: Vec<ActionConfig>,
}

/// What packets a filter is for.
pub(crate) enum FilterKind {
    U32(U32Keys),
    Matchall,
    /// Mark and mask; `None`: the mark is the class.
    Fw(Option<(u32, u32)>),
    Bpf {
        name: String,
        program: SharedProgram,
        direct_action: bool,
    },
}

impl FilterKind {
    /// tc's word for it.
    pub fn name(&self) -> &'static str {
        match self {
            FilterKind::U32(_) => "u32",
            FilterKind::Matchall => "matchall",
            FilterKind::Fw(_) => "fw",
            FilterKind::Bpf { .. } => "bpf",
        }
    }
}

/// An action of a filter.
#[derive(Clone, Debug)]
pub(crate) struct ActionConfig {
    pub kind: ActionKind,
    /// 0: the next one.
    pub index: u32,
}

/// How a list is printed.
#[derive(Clone, Copy)]
pub(crate) struct Show<'a> {
    /// `-s`.
    pub stats: bool,
    /// `-d`.
    pub details: bool,
    pub now: Ns,
    /// Names of devices, the first one that of device 1.
    pub names: &'a [String],
}

impl Show<'_> {
    /// A device's name.
    pub fn device(&self, dev: IfIndex) -> &str {
        let index = (dev.0 as usize).checked_sub(1);
        index
            .and_then(|i| self.names.get(i))
            .map_or("?", String::as_str)
    }
}

/// Why the kernel would not do what a line says; the texts are the kernel's where it has some.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum Refusal {
    #[error("{0} has no classes that can be configured")]
    NoClasses(&'static str),
    #[error("the qdisc there is of another kind ({0})")]
    OtherKind(&'static str),
    #[error("{0} cannot be changed")]
    NotChangeable(&'static str),
    #[error("{0} must be {1}")]
    OutOfRange(&'static str, &'static str),
    #[error("Filter with specified priority {0} has another protocol or kind")]
    PriorityTaken(u16),
    #[error("Specified filter handle not found")]
    NoFilter,
    #[error("Filter already exists")]
    FilterExists,
    #[error("No such class: {0}")]
    NoClass(Handle),
    #[error("Class {0} exists")]
    ClassExists(Handle),
    #[error("Class {0} is not one of that qdisc")]
    WrongQdisc(Handle),
    #[error("HTB class in use: {0}")]
    ClassInUse(Handle),
    #[error("htb: tree is too deep")]
    TooDeep,
    #[error("Exclusivity flag on, cannot modify")]
    Exclusive,
    #[error("Handle specified hash table address mismatch: {0:x}")]
    OtherTable(u32),
    #[error("NLM_F_REPLACE needed to override")]
    NeedsReplace,
    #[error("Failed to find specified qdisc")]
    NoQdisc,
    #[error("Parent Qdisc doesn't exists")]
    NoParent,
    #[error("Cannot delete qdisc with handle of zero")]
    DefaultQdisc,
    #[error("Invalid handle")]
    InvalidHandle,
    #[error("Qdisc {0} cannot have filters or classes there")]
    NotThere(&'static str),
    #[error("No handle is left")]
    NoHandles,
}

impl Refusal {
    /// As an error about `word`.
    fn at(self, word: Word<'_>) -> CommandError {
        word.error(self.to_string())
    }
}

/// What `tc` keeps besides the devices.
#[derive(Default)]
pub(crate) struct TcState {
    /// Last handle that was made up for a qdisc.
    auto_handle: u16,
    /// Qdiscs made so far.
    serial: u64,
    pub ids: FilterIds,
    /// Programs for `bpf` filters, by name.
    pub programs: BTreeMap<String, SharedProgram>,
    pub default_qdisc: DefaultQdisc,
}

/// What is to be done with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Add,
    Change,
    Replace,
    Delete,
    Show,
}

impl Verb {
    /// tc's words, which can be abbreviated; without one it is `show`.
    fn read(words: &mut Words<'_>) -> Result<Self, CommandError> {
        let Some(word) = words.next() else {
            return Ok(Verb::Show);
        };
        [
            ("add", Verb::Add),
            ("change", Verb::Change),
            ("replace", Verb::Replace),
            ("delete", Verb::Delete),
            ("list", Verb::Show),
            ("show", Verb::Show),
            ("ls", Verb::Show),
        ]
        .into_iter()
        .find(|(full, _)| word.abbreviates(full))
        .map(|(_, verb)| verb)
        .ok_or_else(|| word.error("unknown command: add, change, replace, del or show"))
    }
}

/// `-s` and `-d`.
#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    stats: bool,
    details: bool,
}

impl Stack {
    /// `tc [-s] [-d] qdisc|class|filter add|change|replace|del|show …`, with or without the leading word, as typed. Returns what tc
    /// prints. Errors name the word that is not understood, or that the kernel refuses.
    ///
    /// ```
    /// # let mut stack = stack::Stack::new(stack::StackConfig::default());
    /// stack.add_ifb("ifb0").unwrap();
    /// stack.tc("tc qdisc add dev ifb0 root tbf rate 1mbit burst 10kb latency 20ms").unwrap();
    /// let list = stack.tc("tc qdisc show dev ifb0").unwrap();
    /// assert_eq!(list, "qdisc tbf 8001: root refcnt 2 rate 1Mbit burst 10Kb lat 20ms \n");
    /// ```
    pub fn tc(&mut self, line: &str) -> Result<String, CommandError> {
        let mut words = Words::new(line)?;
        words.accept("tc");
        let mut flags = Flags::default();
        while let Some(word) = words.peek().filter(|word| word.text.starts_with('-')) {
            match word.text {
                "-s" | "-stats" | "-statistics" => flags.stats = true,
                "-d" | "-details" => flags.details = true,
                _ => return Err(word.error("unknown option")),
            }
            words.next();
        }
        let object = words.expect("qdisc, class or filter")?;
        if object.abbreviates("qdisc") {
            self.tc_qdisc(&mut words, flags)
        } else if object.abbreviates("class") {
            self.tc_class(&mut words, flags)
        } else if object.abbreviates("filter") {
            self.tc_filter(&mut words, flags)
        } else {
            Err(object.error("unknown object: qdisc, class or filter"))
        }
    }

    /// The device that a line names.
    fn tc_device(&self, words: &mut Words<'_>) -> Result<IfIndex, CommandError> {
        let word = words.expect("a device")?;
        self.devices
            .iter()
            .find(|device| device.name == word.text)
            .map(|device| device.index)
            .ok_or_else(|| word.error("no such device"))
    }

    fn device_names(&self) -> Vec<String> {
        self.devices
            .iter()
            .map(|device| device.name.clone())
            .collect()
    }
}
