//! What a text asks for: one [`Cmd`] after the other, all together one transaction.

use super::error::Pos;
use super::expr::Elem;
use super::model::{BaseChain, ObjectSpec, SetSpec, TableFamily};
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
    Objects(Option<TableFamily>, ObjKind),
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
        /// The policy was written, and not only taken by default.
        policy_given: bool,
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
    AddObject {
        object: Named,
        create: bool,
        spec: ObjectSpec,
        comment: Option<String>,
    },
    DeleteTable {
        table: TableName,
        handle: Option<u64>,
        must_exist: bool,
    },
    DeleteChain {
        chain: Named,
        must_exist: bool,
    },
    DeleteRule {
        chain: Named,
        handle: u64,
    },
    DeleteSet {
        set: Named,
        must_exist: bool,
    },
    DeleteObject {
        kind: ObjKind,
        object: Named,
        must_exist: bool,
    },
    Flush(Scope),
    Reset(Scope),
    List {
        scope: Scope,
        handles: bool,
    },
}

/// A command and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cmd {
    pub pos: Pos,
    pub action: Action,
}
