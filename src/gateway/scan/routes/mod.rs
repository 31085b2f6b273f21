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

#[cfg(test)]
mod tests {
    use super::schema;
    use crate::domain::Route;
    use crate::gateway::scan::schema::{Object, Schema};

    /// Visits every table that can be reached from one.
    fn visit(object: &'static Object, seen: &mut Vec<*const Object>) {
        if seen.contains(&std::ptr::from_ref(object)) {
            return;
        }
        seen.push(object);
        let names: Vec<_> = object.fields.iter().map(|field| field.name).collect();
        for (position, name) in names.iter().enumerate() {
            assert!(!names[..position].contains(name), "'{name}' stands twice in {names:?}");
        }
        if let Some(tag) = object.tag {
            let needs = tag.variants.iter().flat_map(|variant| variant.needs);
            for name in needs.map(|need| need.field).chain([tag.field]) {
                assert!(names.contains(&name), "'{name}' is not among {names:?}");
            }
        }
        let fields = object.fields.iter().map(|field| &field.schema);
        fields.chain(object.map.map(|map| map.value)).for_each(|schema| visit_value(schema, seen));
    }

    fn visit_value(schema: &'static Schema, seen: &mut Vec<*const Object>) {
        if let Some(items) = schema.array {
            visit_value(&items.schema, seen);
        }
        if let Some(object) = schema.object {
            visit(object, seen);
        }
    }

    #[test]
    fn tables_name_only_fields_that_they_have() {
        let mut seen = Vec::new();
        for route in Route::ALL {
            visit(schema(route), &mut seen);
        }
        assert!(seen.len() > 50, "{} tables", seen.len());
    }
}
