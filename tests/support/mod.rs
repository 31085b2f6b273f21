//! What the tests stand on: a back end with faults, and the real program around it.

#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    missing_docs,
    reason = "each test uses a part of it"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::missing_panics_doc,
    clippy::missing_errors_doc,
    clippy::must_use_candidate,
    reason = "a broken test support must end the test loudly"
)]

pub mod archiving;
pub mod backup_site;
pub mod backups;
pub mod certificates;
pub mod checklist;
pub mod client;
pub mod cluster_stream;
pub mod fake;
pub mod federation;
pub mod fleet;
pub mod forwarder;
pub mod full_disk;
pub mod gateway;
pub mod generated;
pub mod globus;
pub mod globus_auth;
pub mod globus_web;
pub mod load;
pub mod login_server;
pub mod nginx;
pub mod object_store;
pub mod observed;
pub mod outage;
pub mod person;
pub mod played;
pub mod ports;
pub mod postgres;
pub mod python;
pub mod rabbitmq;
pub mod redis;
pub mod replication;
pub mod requests;
pub mod rows;
pub mod samples;
pub mod sharing;
pub mod site;
pub mod small_server;
pub mod stand;
pub mod status_page;
pub mod transfer;
pub mod visitor;
