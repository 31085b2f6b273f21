//! From statements to locks.

use std::collections::{BTreeMap, BTreeSet};

use sqlparser::{
    ast::{
        AlterTable, AlterTableOperation, CreateTable, FromTable, LockTableMode, ObjectName,
        ObjectType, RenameTableNameKind, SetExpr, Statement, TableConstraint, TableFactor,
        TableObject, TableWithJoins,
    },
    dialect::{PostgreSqlDialect, SQLiteDialect},
    parser::Parser,
};

use super::{Dialect, Lock, Mode, Subject, alter};

/// Reads migrations in their order.
pub(super) struct Reader {
    dialect: Dialect,
    /// Tables that nobody uses yet.
    new: BTreeSet<String>,
    /// The table of each index.
    indexes: BTreeMap<String, String>,
    /// The tables that each table refers to.
    references: BTreeMap<String, BTreeSet<String>>,
    /// Locks of the migration that is being read.
    locks: BTreeMap<Subject, (Mode, bool)>,
}

impl Reader {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            new: BTreeSet::new(),
            indexes: BTreeMap::new(),
            references: BTreeMap::new(),
            locks: BTreeMap::new(),
        }
    }

    /// What has been read up to now is in use.
    pub(super) fn forget_what_is_new(&mut self) {
        self.new.clear();
    }

    /// The locks of one migration.
    pub(super) fn read(&mut self, sql: &str) -> Vec<Lock> {
        let parsed = match self.dialect {
            Dialect::Postgres => Parser::parse_sql(&PostgreSqlDialect {}, sql),
            Dialect::Sqlite => Parser::parse_sql(&SQLiteDialect {}, sql),
        };
        self.locks.clear();
        match &parsed {
            Ok(statements) if self.dialect == Dialect::Sqlite => {
                let rewrites = statements.iter().any(copies_rows);
                self.add(Subject::WholeFile, Mode::Writer, rewrites);
            }
            Ok(statements) => statements.iter().for_each(|one| self.statement(one)),
            Err(_) if self.dialect == Dialect::Sqlite => {
                self.add(Subject::WholeFile, Mode::Writer, true);
            }
            Err(_) => self.unknown(),
        }
        let locks = std::mem::take(&mut self.locks).into_iter();
        locks.map(|(subject, (mode, rewrites))| Lock::new(subject, mode, rewrites)).collect()
    }

    fn add(&mut self, subject: Subject, mode: Mode, rewrites: bool) {
        let held = self.locks.entry(subject).or_insert((mode, false));
        *held = (held.0.max(mode), held.1 || rewrites);
    }

    fn lock(&mut self, table: &str, mode: Mode, rewrites: bool) {
        if !self.new.contains(table) {
            self.add(Subject::Table(table.to_owned()), mode, rewrites);
        }
    }

    fn unknown(&mut self) {
        self.add(Subject::Unknown, Mode::AccessExclusive, true);
    }

    fn statement(&mut self, statement: &Statement) {
        match statement {
            Statement::CreateTable(table) => self.create_table(table),
            Statement::AlterTable(table) => self.alter_table(table),
            Statement::CreateIndex(index) => {
                let table = name(&index.table_name);
                let mode =
                    if index.concurrently { Mode::ShareUpdateExclusive } else { Mode::Share };
                self.lock(&table, mode, false);
                if let Some(index) = &index.name {
                    self.indexes.insert(name(index), table);
                }
            }
            Statement::Drop { object_type, names, .. } => {
                for dropped in names {
                    self.drop(*object_type, dropped);
                }
            }
            Statement::CreateTrigger(trigger) => {
                self.lock(&name(&trigger.table_name), Mode::ShareRowExclusive, false);
            }
            Statement::DropTrigger(trigger) => match &trigger.table_name {
                Some(table) => self.lock(&name(table), Mode::AccessExclusive, false),
                None => self.unknown(),
            },
            Statement::CreatePolicy(policy) => {
                self.lock(&name(&policy.table_name), Mode::AccessExclusive, false);
            }
            Statement::DropPolicy(policy) => {
                self.lock(&name(&policy.table_name), Mode::AccessExclusive, false);
            }
            // None of these keeps anybody from the rows of a table.
            Statement::CreateView(_)
            | Statement::CreateFunction(_)
            | Statement::CreateSchema { .. }
            | Statement::CreateSequence { .. }
            | Statement::CreateType { .. }
            | Statement::CreateDomain(_)
            | Statement::CreateExtension(_)
            | Statement::AlterIndex { .. }
            | Statement::Comment { .. }
            | Statement::Grant(_)
            | Statement::Revoke(_)
            | Statement::Analyze(_)
            | Statement::Set(_) => {}
            other => self.rows(other),
        }
    }

    /// Statements that work on rows.
    fn rows(&mut self, statement: &Statement) {
        let changed = |factor: &TableFactor| match factor {
            TableFactor::Table { name: table, .. } => Some(name(table)),
            _ => None,
        };
        let in_from = |tables: &[TableWithJoins]| match tables {
            [TableWithJoins { relation, .. }] => changed(relation),
            _ => None,
        };
        // The table, and whether every row of it is changed.
        let change = match statement {
            Statement::Query(query) if query.with.is_none() => {
                match &*query.body {
                    SetExpr::Select(_) | SetExpr::Values(_) => {}
                    _ => self.unknown(),
                }
                return;
            }
            Statement::Insert(insert) => match &insert.table {
                TableObject::TableName(table) => Some((name(table), false)),
                _ => None,
            },
            Statement::Update(update) => {
                changed(&update.table.relation).map(|table| (table, update.selection.is_none()))
            }
            Statement::Delete(delete) => {
                let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) =
                    &delete.from;
                in_from(from).map(|table| (table, delete.selection.is_none()))
            }
            Statement::Merge(merge) => changed(&merge.table).map(|table| (table, false)),
            Statement::Truncate(truncate) => {
                for table in &truncate.table_names {
                    self.lock(&name(&table.name), Mode::AccessExclusive, false);
                }
                return;
            }
            Statement::Lock(lock) => {
                let mode = lock.lock_mode.as_ref().map_or(Mode::AccessExclusive, mode);
                for table in &lock.tables {
                    self.lock(&name(&table.name), mode, false);
                }
                return;
            }
            _ => None,
        };
        match change {
            Some((table, all)) => self.lock(&table, Mode::RowExclusive, all),
            None => self.unknown(),
        }
    }

    fn create_table(&mut self, table: &CreateTable) {
        let created = name(&table.name);
        let in_columns = table.columns.iter().filter_map(alter::referred);
        let in_constraints = table.constraints.iter().filter_map(|constraint| match constraint {
            TableConstraint::ForeignKey(key) => Some(&key.foreign_table),
            _ => None,
        });
        let referred: Vec<_> = in_columns.chain(in_constraints).map(name).collect();
        for other in referred {
            self.refer(&created, other);
        }
        for parent in table.inherits.iter().flatten() {
            self.lock(&name(parent), Mode::ShareUpdateExclusive, false);
        }
        if let Some(parent) = &table.partition_of {
            self.lock(&name(parent), Mode::AccessExclusive, false);
        }
        self.new.insert(created);
    }

    /// A foreign key puts triggers on the table that it refers to.
    fn refer(&mut self, from: &str, to: String) {
        if from != to {
            self.lock(&to, Mode::ShareRowExclusive, false);
            self.references.entry(from.to_owned()).or_default().insert(to);
        }
    }

    fn alter_table(&mut self, altered: &AlterTable) {
        let table = name(&altered.name);
        for operation in &altered.operations {
            let effect = alter::effect(operation);
            self.lock(&table, effect.mode, effect.rewrites);
            if let Some(other) = effect.refers_to {
                self.refer(&table, name(other));
            }
            if let AlterTableOperation::RenameTable {
                table_name: RenameTableNameKind::To(to) | RenameTableNameKind::As(to),
            } = operation
                && self.new.contains(&table)
            {
                self.new.insert(name(to));
            }
        }
    }

    fn drop(&mut self, object: ObjectType, dropped: &ObjectName) {
        let dropped = name(dropped);
        match object {
            ObjectType::Table => {
                self.lock(&dropped, Mode::AccessExclusive, false);
                // Its foreign keys' triggers go, too.
                for other in self.references.remove(&dropped).unwrap_or_default() {
                    if !self.new.contains(&dropped) {
                        self.lock(&other, Mode::AccessExclusive, false);
                    }
                }
            }
            ObjectType::Index => match self.indexes.remove(&dropped) {
                Some(table) => self.lock(&table, Mode::AccessExclusive, false),
                None => self.unknown(),
            },
            ObjectType::View | ObjectType::MaterializedView | ObjectType::Sequence => {}
            _ => self.unknown(),
        }
    }
}

/// SQLite: whether rows are copied or changed in large numbers.
fn copies_rows(statement: &Statement) -> bool {
    match statement {
        Statement::AlterTable(table) => table
            .operations
            .iter()
            .any(|operation| matches!(operation, AlterTableOperation::DropColumn { .. })),
        Statement::Insert(insert) => {
            insert.source.as_ref().is_some_and(|query| !matches!(&*query.body, SetExpr::Values(_)))
        }
        Statement::CreateTable(table) => table.query.is_some(),
        Statement::Update(update) => update.selection.is_none(),
        _ => false,
    }
}

const fn mode(mode: &LockTableMode) -> Mode {
    match mode {
        LockTableMode::AccessShare | LockTableMode::RowShare | LockTableMode::RowExclusive => {
            Mode::RowExclusive
        }
        LockTableMode::ShareUpdateExclusive => Mode::ShareUpdateExclusive,
        LockTableMode::Share => Mode::Share,
        LockTableMode::ShareRowExclusive => Mode::ShareRowExclusive,
        LockTableMode::Exclusive => Mode::Exclusive,
        LockTableMode::AccessExclusive => Mode::AccessExclusive,
    }
}

/// A name as SQL has it, in one form only: in lower case unless it is quoted, and without the
/// schema that everything is in.
fn name(name: &ObjectName) -> String {
    let parts = name.0.iter().map(|part| match part.as_ident() {
        Some(ident) if ident.quote_style.is_none() => ident.value.to_lowercase(),
        _ => part.to_string(),
    });
    let parts: Vec<_> = parts.collect();
    match &parts[..] {
        [schema, table] if schema == "public" => table.clone(),
        parts => parts.join("."),
    }
}
