//! One request, with all that is known of it.

use maud::{Markup, html};
use serde_json::json;
use uuid::Uuid;

use super::{
    super::{figure, layout::Tab, problem::Problem, view::View},
    Page,
    log::{row_json, status},
};
use crate::domain::{
    UsageRow,
    figures::{Excerpt, StoredText},
};

/// Characters of a prompt and of an answer that are shown: bodies may have many million.
const MOST_TEXT: u32 = 100_000;

pub(super) async fn page(view: &View<'_>, id: Uuid) -> Result<Page, Problem> {
    let own = (!view.is_admin).then(|| view.caller.user.to_string());
    let found = view.ask(view.reader().logged(id, own.as_deref())).await?;
    // Whose it is has just been checked: the text is its user's, and those who see everything's.
    let row = found.ok_or(Problem::NotFound)?;
    let text = if view.may_read_text(&row) {
        view.ask(view.reader().stored_text(row.id, MOST_TEXT)).await?
    } else {
        None
    };
    let body = html! {
        (columns(&row))
        (stored(text.as_ref()))
        p { a.button.quiet href=(Tab::Log.path()) { "To the log" } }
    };
    let mut described = row_json(&row);
    if let Some(text) = &text {
        described["prompt"] = text.prompt.text.clone().into();
        described["prompt_bytes"] = text.prompt.bytes.into();
        described["answer"] = text.answer.as_ref().map(|answer| &*answer.text).into();
        described["answer_bytes"] = text.answer.as_ref().map(|answer| answer.bytes).into();
    }
    Ok(Page {
        name: "request",
        tab: Tab::Log,
        title: "Request".to_owned(),
        body,
        json: json!({ "request": described }),
        table: None,
    })
}

fn columns(row: &UsageRow) -> Markup {
    let yes_or_no = |yes| if yes { "yes" } else { "no" };
    let tokens = |number| {
        let about = if row.tokens.estimated { "about " } else { "" };
        format!("{about}{}", figure::whole(number))
    };
    let facts: [(&str, Markup); 20] = [
        ("Time (UTC)", figure::time(row.started_at)),
        ("Status", status(row.status)),
        ("Error", html! { (row.error.as_deref().unwrap_or("none")) }),
        ("User", html! { (row.user) }),
        ("API key", html! { (row.key_id.map_or_else(|| "none".into(), |id| id.to_string())) }),
        ("Model", html! { (row.model) }),
        ("Cluster", html! { (row.cluster) }),
        ("Framework", html! { (row.framework) }),
        ("Endpoint", html! { (row.endpoint) }),
        ("Route", html! { (row.route.as_str()) }),
        ("Streamed", html! { (yes_or_no(row.streamed)) }),
        (
            "Back end's status",
            html! { (row.backend_status.map_or_else(|| "none".into(), |s| s.to_string())) },
        ),
        ("Tokens in", html! { (tokens(row.tokens.prompt)) }),
        ("Tokens out", html! { (tokens(row.tokens.completion)) }),
        ("First byte after", html! { (figure::optional_duration(row.first_byte_us)) }),
        ("Ended after", html! { (figure::duration(row.duration_us)) }),
        ("Request's size", html! { (figure::bytes(row.request_bytes)) }),
        ("Answer's size", html! { (figure::bytes(row.response_bytes)) }),
        ("Request id", html! { code { (row.request_id) } }),
        ("Id", html! { code { (row.id) } }),
    ];
    html! {
        dl.facts {
            @for (name, value) in facts { div { dt { (name) } dd { (value) } } }
        }
    }
}

fn stored(text: Option<&StoredText>) -> Markup {
    html! {
        @match text {
            None => p.hint { "Nothing of the request's or the answer's text is stored." },
            Some(text) => {
                (block("prompt", "Prompt", &text.prompt))
                @if let Some(answer) = &text.answer { (block("answer", "Answer", answer)) }
            }
        }
    }
}

fn block(id: &str, title: &str, excerpt: &Excerpt) -> Markup {
    html! {
        section {
            h2 #(id) { (title) }
            @if excerpt.is_cut() {
                p.hint {
                    "The beginning, of " (figure::bytes(excerpt.bytes)) ". The whole is in the table "
                    code { "prompts" } "."
                }
            }
            pre.text tabindex="0" role="region" aria-labelledby=(id) { (excerpt.text) }
        }
    }
}
