//! Everybody's usage, for operators.

use maud::{Markup, html};
use serde_json::json;

use super::{
    super::{figure, layout::Tab, problem::Problem, range::Range, respond::Format, view::View},
    Page, parts,
};
use crate::domain::figures::{UserList, UserOrder, UserPage};

/// Users on one page.
const PER_PAGE: u32 = 50;

/// Users in one file for programs.
const PER_FILE: u32 = 10_000;

const LAST_PAGE: u32 = 100_000;

/// What can be sorted by: the word, the heading, and whether large comes first at first.
const ORDERS: [(&str, &str, UserOrder, bool); 5] = [
    ("name", "User", UserOrder::Name, false),
    ("requests", "Requests", UserOrder::Requests, true),
    ("errors", "Succeeded", UserOrder::Errors, true),
    ("in", "Tokens in", UserOrder::PromptTokens, true),
    ("out", "Tokens out", UserOrder::CompletionTokens, true),
];

pub(super) async fn page(view: &View<'_>) -> Result<Page, Problem> {
    if !view.is_admin {
        return Err(Problem::Forbidden);
    }
    let range = Range::read(&view.params, "30d", view.now)?;
    let extent = range.extent(None);
    let words: Vec<_> = ORDERS.iter().map(|(word, _, order, _)| (*word, *order)).collect();
    let order = parts::chosen(&view.params, "sort", &words)?.unwrap_or(UserOrder::Requests);
    let usual = ORDERS.iter().any(|(_, _, of, descending)| *of == order && *descending);
    let descending = parts::chosen(&view.params, "dir", &[("asc", false), ("desc", true)])?;
    let number = view.params.get("page").map_or(Ok(1), |page| {
        page.parse::<u32>().ok().filter(|page| (1..=LAST_PAGE).contains(page)).ok_or_else(|| {
            Problem::invalid("page", &format!("must be a number from 1 to {LAST_PAGE}"))
        })
    })?;
    let is_file = view.format != Format::Html;
    let limit = if is_file { PER_FILE } else { PER_PAGE };
    let list = UserList {
        search: view.params.text("search").unwrap_or_default(),
        order,
        descending: descending.unwrap_or(usual),
        offset: (number - 1) * limit,
        limit,
    };
    let found = view.ask(view.reader().usage_by_user(&extent.scope, &list)).await?;
    let body = html! {
        (parts::range_choice(view, &range, Tab::Users))
        (parts::extent_note(&extent))
        (search(view, &list))
        (users(view, &list, &found))
        (pager(view, number, &found))
        (parts::downloads(view, "/dashboard/users", true))
    };
    let described: Vec<_> = found
        .users
        .iter()
        .map(|share| parts::named_json("user", &share.name, &share.counters))
        .collect();
    let rows = found.users.iter().map(|share| (share.name.clone(), &share.counters));
    Ok(Page {
        name: "users",
        tab: Tab::Users,
        title: "Users".to_owned(),
        body,
        json: json!({
            "range": parts::extent_json(&extent),
            "total": found.total,
            "page": number,
            "users": described,
        }),
        table: Some(parts::sums_table("user", rows)),
    })
}

fn search(view: &View<'_>, list: &UserList) -> Markup {
    html! {
        form.filters method="get" action=(Tab::Users.path()) role="search" {
            @for kept in ["range", "from", "until", "sort", "dir"] {
                @if let Some(value) = view.params.get(kept) {
                    input type="hidden" name=(kept) value=(value);
                }
            }
            div.field {
                label for="search" { "Name contains" }
                input #search type="search" name="search" value=(list.search) autocomplete="off"
                    spellcheck="false";
            }
            button type="submit" { "Search" }
        }
    }
}

fn users(view: &View<'_>, list: &UserList, found: &UserPage) -> Markup {
    let log = Tab::Log.path();
    html! {
        @if found.users.is_empty() {
            p.empty { "No users in this range." }
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Users" {
                table {
                    thead { tr {
                        @for order in ORDERS { (heading(view, list, order)) }
                        th.number scope="col" { "Mean time" }
                    } }
                    tbody {
                        @for user in &found.users {
                            tr {
                                th scope="row" {
                                    @let query = super::super::params::Params::default()
                                        .with(&[("user", &user.name)]);
                                    a href={ (log) (query) } { (user.name) }
                                }
                                (parts::sums_cells(&user.counters, None))
                            }
                        }
                    }
                }
            }
        }
    }
}

fn heading(
    view: &View<'_>,
    list: &UserList,
    (word, label, order, descends): (&str, &str, UserOrder, bool),
) -> Markup {
    let is_current = list.order == order;
    let descending = if is_current { !list.descending } else { descends };
    let direction = if descending { "desc" } else { "asc" };
    let query = view.params.with(&[("sort", word), ("dir", direction), ("page", "")]);
    let sorted = if list.descending { "descending" } else { "ascending" };
    html! {
        th.number[order != UserOrder::Name] scope="col" aria-sort=[is_current.then_some(sorted)] {
            a.sort href={ (Tab::Users.path()) (query) } {
                (label)
                @if is_current {
                    span aria-hidden="true" { @if list.descending { " ↓" } @else { " ↑" } }
                }
            }
        }
    }
}

fn pager(view: &View<'_>, number: u32, found: &UserPage) -> Markup {
    let pages = found.total.div_ceil(PER_PAGE.into()).max(1);
    let to = |page: u32| {
        format!("{}{}", Tab::Users.path(), view.params.with(&[("page", &page.to_string())]))
    };
    html! {
        nav.pager aria-label="Parts of the list" {
            span { (figure::whole(found.total)) " users, page " (number) " of " (pages) }
            @if number > 1 { a.button.quiet href=(to(number - 1)) rel="prev" { "Previous" } }
            @if u64::from(number) < pages { a.button.quiet href=(to(number + 1)) rel="next" { "Next" } }
        }
    }
}
