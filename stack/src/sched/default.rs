//! `net.core.default_qdisc`: what devices have whose queue nobody configured (`qdisc_set_default()`).

use super::tc::QdiscConfig;
use crate::stack::Stack;

/// The sysctl's name.
pub(crate) const DEFAULT_QDISC: &str = "net.core.default_qdisc";

/// The kinds that can be made without options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DefaultQdisc {
    /// RFC 8290; what distributions set.
    #[default]
    FqCodel,
    PfifoFast,
    Pfifo,
    Bfifo,
    Noqueue,
}

impl DefaultQdisc {
    const ALL: [Self; 5] = [
        Self::FqCodel,
        Self::PfifoFast,
        Self::Pfifo,
        Self::Bfifo,
        Self::Noqueue,
    ];

    /// The qdisc with its default options.
    pub fn config(self) -> QdiscConfig {
        match self {
            Self::FqCodel => QdiscConfig::FqCodel(Default::default()),
            Self::PfifoFast => QdiscConfig::PfifoFast,
            Self::Pfifo => QdiscConfig::Pfifo { limit: None },
            Self::Bfifo => QdiscConfig::Bfifo { limit: None },
            Self::Noqueue => QdiscConfig::Noqueue,
        }
    }
}

impl Stack {
    /// tc's word for it.
    pub(crate) fn default_qdisc(&self) -> &'static str {
        self.tc.default_qdisc.config().kind()
    }

    /// For devices that come, and those whose root is deleted; the others keep what they have.
    pub(crate) fn set_default_qdisc(&mut self, kind: &str) -> Result<(), String> {
        let all = DefaultQdisc::ALL;
        let found = all.into_iter().find(|q| q.config().kind() == kind);
        self.tc.default_qdisc = found.ok_or_else(|| {
            let kinds = all.map(|q| q.config().kind()).join(", ");
            format!("{kind:?} is no qdisc that needs no options ({kinds})")
        })?;
        Ok(())
    }
}
