//! The panels. To add one is to add it to a list; every query must find data in the tests that scrape
//! a running installation (`crates/server/tests/it/dashboards`): those whose texts say "only" in the
//! test of the whole, the others in that of an embedded server too.

mod events;
mod logins;
mod overview;
mod revocation;
mod services;
mod store;

use super::Dashboard;

pub(super) const ALL: &[Dashboard] = &[
    Dashboard {
        uid: "sso-overview",
        title: "sso: overview",
        panels: overview::PANELS,
    },
    Dashboard {
        uid: "sso-logins",
        title: "sso: logins and hashing",
        panels: logins::PANELS,
    },
    Dashboard {
        uid: "sso-store",
        title: "sso: database and replicas",
        panels: store::PANELS,
    },
    Dashboard {
        uid: "sso-revocation",
        title: "sso: revocation and keys",
        panels: revocation::PANELS,
    },
    Dashboard {
        uid: "sso-events",
        title: "sso: events",
        panels: events::PANELS,
    },
    Dashboard {
        uid: "sso-services",
        title: "sso: welcome and loyalty",
        panels: services::PANELS,
    },
];
