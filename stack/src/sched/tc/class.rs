//! `tc class` (`tc_ctl_tclass()`, net/sched/sch_api.c).

use super::{ClassConfig, Flags, Refusal, Verb, options};
use crate::command::{CommandError, Words};
use crate::sched::handle::Handle;
use crate::sched::qdisc::{Cx, Qdisc};
use crate::skb::IfIndex;
use crate::stack::Stack;

impl Stack {
    pub(super) fn tc_class(
        &mut self,
        words: &mut Words<'_>,
        flags: Flags,
    ) -> Result<String, CommandError> {
        let verb = Verb::read(words)?;
        let (mut dev, mut parent, mut classid) = (None, None, None);
        while let Some(word) = words.peek() {
            match word.text {
                "dev" => {
                    words.next();
                    dev = Some(self.tc_device(words)?);
                }
                "root" => {
                    words.next();
                    parent = Some(Handle::ROOT);
                }
                "parent" => {
                    words.next();
                    parent = Some(words.parse("a class or qdisc")?);
                }
                "classid" => {
                    words.next();
                    classid = Some(words.parse("a class")?);
                }
                _ => break,
            }
        }
        let Some(dev) = dev else {
            return Err(words.end_error("\"dev\" is required"));
        };
        if verb == Verb::Show {
            words.finish()?;
            return Ok(self.list_classes(dev, parent, flags));
        }
        let Some(classid) = classid else {
            return Err(words.end_error("\"classid\" is required"));
        };
        let word = words.peek();
        let end = words.end_error("");
        let refused = |refusal: Refusal| match word {
            Some(word) => refusal.at(word),
            None => CommandError {
                problem: refusal.to_string(),
                ..end
            },
        };
        if verb == Verb::Delete {
            while words.next().is_some() {}
            let delete = |qdisc: &mut Qdisc, cx: &mut Cx<'_>| {
                if qdisc.filters_to(classid) {
                    return Err(Refusal::ClassInUse(classid));
                }
                qdisc.ops.delete_class(&mut qdisc.sch, cx, classid)
            };
            self.at_qdisc(dev, classid, delete).map_err(refused)?;
            return Ok(String::new());
        }
        let kind = words.expect("a kind of qdisc")?;
        if kind.text != "htb" {
            return Err(kind.error("unknown kind of class: htb"));
        }
        let config = ClassConfig {
            classid,
            parent: parent
                .filter(|p| *p != Handle::ROOT)
                .unwrap_or(classid.class(0)),
            only_new: verb == Verb::Add,
            only_existing: verb == Verb::Change,
            options: options::htb_class(words)?,
        };
        if config.parent.major() != classid.major() {
            return Err(Refusal::WrongQdisc(classid).at(kind));
        }
        let change = |qdisc: &mut Qdisc, cx: &mut Cx<'_>| {
            qdisc.ops.change_class(&mut qdisc.sch, cx, &config)
        };
        self.at_qdisc(dev, classid, change).map_err(refused)?;
        Ok(String::new())
    }

    /// Does something at the qdisc that a class belongs to.
    fn at_qdisc(
        &mut self,
        dev: IfIndex,
        class: Handle,
        act: impl FnOnce(&mut Qdisc, &mut Cx<'_>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let now = self.sched_now();
        let handle = class.class(0);
        if handle == Handle::NONE {
            return Err(Refusal::NoQdisc);
        }
        let device = self.device_mut(dev).ok_or(Refusal::NoQdisc)?;
        let result = device.qdisc.with_root(now, &mut Vec::new(), |root, cx| {
            root.act_below(handle, |qdisc| act(qdisc, cx))
        });
        self.free_queued(dev);
        self.qdisc_run(dev);
        result.flatten().unwrap_or(Err(Refusal::NoQdisc))
    }
}
