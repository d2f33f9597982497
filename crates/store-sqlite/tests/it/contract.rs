use std::sync::Arc;

use sso_core::ports::Store;
use tempfile::TempDir;

use crate::support::serving;

fn empty() -> (Arc<dyn Store>, TempDir) {
    let (store, folder) = serving();
    (store, folder)
}

sso_testkit::store_contract!(crate::contract::empty);
