//! Who looks at a page, and what they may see in it.

use std::{future::Future, sync::Arc};

use jiff::Timestamp;
use tokio::time::timeout;

use super::{Dashboard, LONGEST_WAIT, params::Params, problem::Problem, respond::Format};
use crate::{
    domain::{Caller, UsageRow},
    http::App,
    store::{FiguresError, Reader},
};

/// A page that is being made.
pub(super) struct View<'a> {
    pub(super) app: &'a App,
    pub(super) dashboard: &'a Dashboard,
    pub(super) caller: Arc<Caller>,
    /// Whether they see everybody's.
    pub(super) is_admin: bool,
    /// For the forms on the page; none for programs, which see none.
    pub(super) form_token: Option<String>,
    pub(super) params: Params,
    /// As what the page is wanted.
    pub(super) format: Format,
    pub(super) now: Timestamp,
}

impl View<'_> {
    /// Whose requests the page is about; none for everybody's. Only who sees everything can choose.
    pub(super) fn whose(&self) -> Option<String> {
        if self.is_admin { self.params.text("user") } else { Some(self.caller.user.to_string()) }
    }

    /// Whether the text of this request, which is one that they see, may be read, too. A key that is
    /// confined to some models is one for a program: it reads what was asked with itself.
    pub(super) fn may_read_text(&self, row: &UsageRow) -> bool {
        self.is_admin || self.caller.models.is_empty() || row.key_id == self.caller.key_id
    }

    /// What is read from.
    pub(super) fn reader(&self) -> &Reader {
        &self.dashboard.reader
    }

    /// Puts a question to the database when it is its turn.
    pub(super) async fn ask<T>(
        &self,
        question: impl Future<Output = Result<T, FiguresError>>,
    ) -> Result<T, Problem> {
        let turn = timeout(LONGEST_WAIT, self.dashboard.turns.acquire()).await;
        let Ok(_turn) = turn else { return Err(Problem::Busy) };
        Ok(question.await?)
    }
}
