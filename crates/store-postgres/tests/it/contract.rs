sso_testkit::store_contract!(crate::support::store);
