//! What `ALTER TABLE` does to a table in PostgreSQL.

use sqlparser::ast::{
    AlterColumnOperation, AlterTableOperation, ColumnDef, ColumnOption, Expr, ObjectName,
    TableConstraint,
};

use super::Mode;

/// What one operation does.
pub(super) struct Effect<'a> {
    pub(super) mode: Mode,
    pub(super) rewrites: bool,
    /// Another table that it refers to from now on.
    pub(super) refers_to: Option<&'a ObjectName>,
}

pub(super) fn effect(operation: &AlterTableOperation) -> Effect<'_> {
    use AlterTableOperation as Op;
    let only = |mode| Effect { mode, rewrites: false, refers_to: None };
    match operation {
        Op::AddColumn { column_def, .. } => Effect {
            mode: Mode::AccessExclusive,
            rewrites: is_computed_for_each_row(column_def),
            refers_to: referred(column_def),
        },
        Op::AddConstraint { constraint: TableConstraint::ForeignKey(key), .. } => {
            Effect { refers_to: Some(&key.foreign_table), ..only(Mode::ShareRowExclusive) }
        }
        Op::AlterColumn { op: AlterColumnOperation::SetDataType { .. }, .. }
        | Op::SetLogged
        | Op::SetUnlogged => Effect { rewrites: true, ..only(Mode::AccessExclusive) },
        Op::ValidateConstraint { .. } | Op::SetOptionsParens { .. } | Op::ResetOptions { .. } => {
            only(Mode::ShareUpdateExclusive)
        }
        Op::EnableTrigger { .. }
        | Op::EnableAlwaysTrigger { .. }
        | Op::EnableReplicaTrigger { .. }
        | Op::DisableTrigger { .. } => only(Mode::ShareRowExclusive),
        _ => only(Mode::AccessExclusive),
    }
}

/// The table that the column refers to.
pub(super) fn referred(column: &ColumnDef) -> Option<&ObjectName> {
    column.options.iter().find_map(|option| match &option.option {
        ColumnOption::ForeignKey(key) => Some(&key.foreign_table),
        _ => None,
    })
}

/// Whether each row gets a value of its own, for which every row is written anew. A default that
/// is the same for all rows is kept once, beside the table.
fn is_computed_for_each_row(column: &ColumnDef) -> bool {
    column.data_type.to_string().to_lowercase().contains("serial")
        || column.options.iter().any(|option| match &option.option {
            ColumnOption::Default(value) => !is_same_for_all_rows(value),
            ColumnOption::Generated { .. } | ColumnOption::Identity(_) => true,
            _ => false,
        })
}

/// Whether PostgreSQL evaluates the default once: it does unless a function is volatile.
fn is_same_for_all_rows(value: &Expr) -> bool {
    const STABLE: [&str; 11] = [
        "now",
        "current_timestamp",
        "current_date",
        "current_time",
        "localtimestamp",
        "localtime",
        "statement_timestamp",
        "transaction_timestamp",
        "current_user",
        "session_user",
        "current_database",
    ];
    match value {
        Expr::Value(_) | Expr::TypedString(_) | Expr::Interval(_) => true,
        Expr::Nested(inner)
        | Expr::UnaryOp { expr: inner, .. }
        | Expr::Cast { expr: inner, .. } => is_same_for_all_rows(inner),
        Expr::BinaryOp { left, right, .. } => {
            is_same_for_all_rows(left) && is_same_for_all_rows(right)
        }
        Expr::Array(array) => array.elem.iter().all(is_same_for_all_rows),
        Expr::Function(function) => {
            STABLE.contains(&function.name.to_string().to_lowercase().as_str())
        }
        _ => false,
    }
}
