//! The API references as tables, one file per route.

mod chat;
mod completions;
mod embeddings;
mod messages;
mod responses;
mod responses_items;
mod shared;

use super::schema::Object;
use crate::domain::Route;

/// What a body of a route must satisfy.
pub(super) fn schema(route: Route) -> &'static Object {
    match route {
        Route::ChatCompletions => &chat::BODY,
        Route::Completions => &completions::BODY,
        Route::Embeddings => &embeddings::BODY,
        Route::Responses => &responses::BODY,
        Route::Messages => &messages::BODY,
    }
}
