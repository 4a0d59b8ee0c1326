//! What a text asks for: one [`Cmd`] after the other, all together one transaction.

use super::expr::Elem;
use super::model::{BaseChain, ObjectSpec, Policy, SetSpec, TableFamily};
use super::stmt::{ObjKind, Stmt};

/// A table by family and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TableName {
    pub family: TableFamily,
    pub name: String,
}

/// A chain, set or object by its table and name, or by its handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub table: TableName,
    /// Empty when `handle` is given.
    pub name: String,
    pub handle: Option<u64>,
}

/// A rule to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuleSpec {
    pub stmts: Vec<Stmt>,
    pub comment: Option<String>,
}

/// Where a rule goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Behind all others.
    Last,
    /// In front of all others.
    First,
    /// Behind the rule with this handle.
    After(u64),
    /// In front of the rule with this handle.
    Before(u64),
    /// Behind the rule with this index.
    AfterIndex(u64),
    /// In front of the rule with this index.
    BeforeIndex(u64),
    /// Instead of the rule with this handle.
    Instead(u64),
}

/// What `list` shows and `flush` and `reset` act upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Ruleset(Option<TableFamily>),
    Tables(Option<TableFamily>),
    Table(TableName),
    Chains(Option<TableFamily>),
    Chain(Named),
    Sets(Option<TableFamily>),
    Set(Named),
    Meters(Option<TableFamily>),
    /// Tables without anything in them, where there is nothing of a kind.
    Nothing(Option<TableFamily>),
    Objects(Option<TableFamily>, ObjKind),
    /// Of one table.
    ObjectsOf(ObjKind, TableName),
    Object(ObjKind, Named),
}

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    AddTable {
        table: TableName,
        create: bool,
        comment: Option<String>,
        dormant: Option<bool>,
    },
    AddChain {
        chain: Named,
        create: bool,
        base: Option<BaseChain>,
        /// Where it was written.
        policy: Option<Policy>,
        comment: Option<String>,
    },
    RenameChain {
        chain: Named,
        to: String,
    },
    AddRule {
        chain: Named,
        place: Place,
        rule: RuleSpec,
    },
    AddSet {
        set: Named,
        create: bool,
        spec: Box<SetSpec>,
    },
    AddElements {
        set: Named,
        create: bool,
        elems: Vec<Elem>,
    },
    DeleteElements {
        set: Named,
        elems: Vec<Elem>,
    },
    GetElements {
        set: Named,
        elems: Vec<Elem>,
    },
    AddObject {
        object: Named,
        create: bool,
        spec: ObjectSpec,
        comment: Option<String>,
    },
    DeleteTable {
        table: TableName,
        handle: Option<u64>,
    },
    DeleteChain {
        chain: Named,
    },
    DeleteRule {
        chain: Named,
        handle: u64,
    },
    DeleteSet {
        set: Named,
    },
    DeleteObject {
        kind: ObjKind,
        object: Named,
    },
    Flush(Scope),
    Reset(Scope),
    List {
        scope: Scope,
        handles: bool,
    },
}

/// Where the words of a command stand, as numbers of tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Places {
    /// Its first word.
    pub start: usize,
    /// The table's name.
    pub table: usize,
    /// The name, or the handle, of the chain, set or object.
    pub name: usize,
    /// The handle or index of a rule.
    pub rule: usize,
    /// Each element.
    pub elems: Vec<usize>,
    /// Chains and objects that a rule or an element mentions.
    pub mentions: Vec<(String, usize)>,
}

/// The word of a command that is to blame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Start,
    Table,
    Name,
    Rule,
    /// The element with this number.
    Elem(usize),
    /// The chain or object of this name; the first word when none is mentioned.
    Mention(String),
}

impl Places {
    /// The token of a word.
    pub fn token(&self, word: &Word) -> usize {
        match word {
            Word::Start => self.start,
            Word::Table => self.table,
            Word::Name => self.name,
            Word::Rule => self.rule,
            Word::Elem(at) => self.elems.get(*at).copied().unwrap_or(self.name),
            Word::Mention(name) => {
                let mut mentions = self.mentions.iter();
                let found = mentions.find(|(mentioned, _)| mentioned == name);
                found.map_or(self.start, |(_, at)| *at)
            }
        }
    }
}

/// Why a command cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub word: Word,
    pub problem: String,
}

impl Refusal {
    pub fn new(word: Word, problem: impl Into<String>) -> Self {
        let problem = problem.into();
        Self { word, problem }
    }

    /// It is about the command as a whole.
    pub fn whole(problem: impl Into<String>) -> Self {
        Self::new(Word::Start, problem)
    }

    /// It is about something that is mentioned.
    pub fn mention(name: &str, problem: impl Into<String>) -> Self {
        Self::new(Word::Mention(name.to_owned()), problem)
    }
}

/// Most problems are about what the command names.
impl<T: Into<String>> From<T> for Refusal {
    fn from(problem: T) -> Self {
        Self::new(Word::Name, problem)
    }
}

/// A command and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cmd {
    pub places: Places,
    pub action: Action,
}
