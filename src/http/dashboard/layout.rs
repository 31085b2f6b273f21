//! What all pages have in common.

use maud::{DOCTYPE, Markup, html};

use super::{ROOT, assets::PATHS, figure, pages::Page, problem::Problem, view::View};

/// A page's place in the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Overview,
    Series,
    Models,
    Users,
    Log,
    Batches,
    Health,
}

impl Tab {
    const ALL: [Self; 7] = [
        Self::Overview,
        Self::Series,
        Self::Models,
        Self::Users,
        Self::Log,
        Self::Batches,
        Self::Health,
    ];

    /// Its label, and its path below [`ROOT`].
    const fn place(self) -> (&'static str, &'static str) {
        match self {
            Self::Overview => ("Overview", ""),
            Self::Series => ("Time series", "series"),
            Self::Models => ("Models", "models"),
            Self::Users => ("Users", "users"),
            Self::Log => ("Log", "log"),
            Self::Batches => ("Batches", "batches"),
            Self::Health => ("Health", "health"),
        }
    }

    /// Where it is.
    pub(super) fn path(self) -> String {
        format!("{ROOT}{}", self.place().1)
    }
}

fn document(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (title) " · figw" }
                link rel="icon" type="image/svg+xml" href={ (ROOT) (PATHS.icon) };
                link rel="stylesheet" href={ (ROOT) (PATHS.style) };
                script src={ (ROOT) (PATHS.script) } defer {}
            }
            body { (body) }
        }
    }
}

/// A page of somebody who is logged in.
pub(super) fn page(view: &View<'_>, page: &Page) -> Markup {
    let shown = Tab::ALL.into_iter().filter(|tab| view.is_admin || *tab != Tab::Users);
    document(
        &page.title,
        &html! {
            a.skip href="#content" { "Skip to the content" }
            header.top {
                a.brand href=(ROOT) { "figw" }
                nav aria-label="Pages" {
                    ul {
                        @for tab in shown {
                            li {
                                a href=(tab.path())
                                    aria-current=[(tab == page.tab).then_some("page")] {
                                    (tab.place().0)
                                }
                            }
                        }
                    }
                }
                div.who {
                    span.user title=(view.caller.user) { (view.caller.user) }
                    span.role { @if view.is_admin { "sees everything" } @else { "own usage" } }
                    @if let Some(token) = &view.form_token {
                        form method="post" action={ (ROOT) "logout" } {
                            input type="hidden" name="token" value=(token);
                            button type="submit" { "Log out" }
                        }
                    }
                }
            }
            main #content tabindex="-1" { h1 { (page.title) } (page.body) }
            footer {
                p {
                    "All times are UTC. Instance " (view.app.readiness.instance) ", figw "
                    (env!("CARGO_PKG_VERSION")) ", " (figure::time(view.now)) "."
                }
            }
        },
    )
}

/// A page for people who are not, or not yet, logged in.
pub(super) fn bare(title: &str, body: &Markup) -> Markup {
    document(
        title,
        &html! {
            main #content.bare { p.brand { "figw" } (body) }
        },
    )
}

/// Why there is no page.
pub(super) fn problem(problem: &Problem) -> Markup {
    let body = html! {
        h1 { (problem.title()) }
        p role="alert" { (problem.message()) }
        p { a.button href=(ROOT) { "To the overview" } }
    };
    bare(problem.title(), &body)
}
