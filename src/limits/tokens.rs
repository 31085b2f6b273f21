//! Tokens per minute of one endpoint, and of each user at it.

use std::sync::Arc;

use dashmap::DashMap;

use super::{
    Makes,
    limit::{Exceeded, Limit, Spent},
    meters::Kind,
    standing::Standing,
};

/// What an endpoint allows; 0 is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TokenLimits {
    /// Tokens per minute of all users together.
    pub model: u64,
    /// Tokens per minute of each user.
    pub user: u64,
}

/// Whose tokens are used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Those of all users of the endpoint.
    Model,
    /// Those of the user.
    User,
}

/// The limits of one endpoint. They outlive changes of the catalogue.
#[derive(Debug)]
pub struct EndpointLimits {
    slug: Arc<str>,
    model: Arc<Limit>,
    users: DashMap<Arc<str>, Arc<Limit>>,
    makes: Makes,
}

/// Tokens that a request has reserved. Dropping it gives all of them back.
#[derive(Debug)]
pub struct Reservation {
    parts: [Option<(Arc<Limit>, Spent)>; 2],
}

impl EndpointLimits {
    pub(super) fn new(slug: &str, makes: Makes) -> Arc<Self> {
        let model = makes.limit(Kind::ModelTokens, format!("limits:m:{slug}"));
        Arc::new(Self { slug: slug.into(), model, users: DashMap::new(), makes })
    }

    /// Reserves `tokens` for a request of `user`; `None` where there is no limit.
    ///
    /// # Errors
    /// When a limit does not allow it, and which one.
    pub async fn reserve(
        &self,
        user: &Arc<str>,
        limits: TokenLimits,
        tokens: u64,
    ) -> Result<Option<Reservation>, (Whose, Exceeded)> {
        if limits == TokenLimits::default() {
            return Ok(None);
        }
        // What has been reserved of the first is given back when there is too little of the second.
        let mut reservation = Reservation { parts: [None, None] };
        if limits.user > 0 {
            let limit = self.of(user);
            let spent = limit.spend(tokens, limits.user).await.map_err(|e| (Whose::User, e))?;
            reservation.parts[0] = Some((limit, spent));
        }
        if limits.model > 0 {
            let spent = self.model.spend(tokens, limits.model).await;
            let spent = spent.map_err(|exceeded| (Whose::Model, exceeded))?;
            reservation.parts[1] = Some((Arc::clone(&self.model), spent));
        }
        Ok(Some(reservation))
    }

    fn of(&self, user: &Arc<str>) -> Arc<Limit> {
        if let Some(limit) = self.users.get(&**user) {
            return Arc::clone(&limit);
        }
        let make = || {
            // The slug's length keeps apart what would otherwise read the same.
            let key = format!("limits:u:{}:{}:{user}", self.slug.len(), self.slug);
            self.makes.limit(Kind::UserTokens, key)
        };
        Arc::clone(&self.users.entry(Arc::clone(user)).or_insert_with(make))
    }

    pub(super) fn forget_idle(&self) {
        self.users.retain(|_, limit| !super::is_forgettable(limit));
    }

    pub(super) fn is_idle(&self) -> bool {
        self.users.is_empty() && super::is_forgettable(&self.model)
    }

    pub(super) fn each(&self, mut see: impl FnMut(&Arc<Limit>)) {
        see(&self.model);
        self.users.iter().for_each(|limit| see(&limit));
    }
}

impl Reservation {
    /// How far the tighter limit is used up.
    #[must_use]
    pub fn standing(&self) -> Option<Standing> {
        let standings = self.parts.iter().flatten().map(|(_, spent)| spent.standing);
        standings.reduce(Standing::tighter)
    }

    /// Puts what was used in the place of what was reserved.
    pub fn settle(mut self, used: u64) {
        self.settle_with(used);
    }

    /// Leaves what was reserved spent: nobody will ever know what was used.
    pub fn keep(mut self) {
        self.parts = [None, None];
    }

    fn settle_with(&mut self, used: u64) {
        for part in &mut self.parts {
            if let Some((limit, spent)) = part.take() {
                limit.settle(&spent, used);
            }
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.settle_with(0);
    }
}
