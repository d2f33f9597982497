//! The networks from which users have signed in.

use std::{net::IpAddr, sync::Arc, time::Duration};

use sso_core::{
    Network,
    ports::{
        Store,
        store::{MAX_NETWORKS, User},
    },
    values::Email,
};

use super::given::{Given, NOW};

async fn sign_in(store: &Arc<dyn Store>, user: &User, from: Option<IpAddr>, after: u64) {
    let mut new = Given::new().new_session(user.id, NOW + Duration::from_secs(after));
    // Sessions of a rule need ids of their own.
    new.id = sso_core::values::SessionId::from_uuid(uuid::Uuid::from_u64_pair(after, 7));
    new.address = from;
    commit!(store, tx => tx.open_session(&new, user.version)).unwrap();
}

async fn knows(store: &Arc<dyn Store>, email: &str, from: IpAddr) -> bool {
    let email = Email::parse(email).unwrap();
    let network = Network::of(Some(from));
    store.knows_network(&email, network).await.unwrap()
}

fn nth(n: u64) -> IpAddr {
    let [.., high, low] = n.to_be_bytes();
    [198, high, low, 1].into()
}

/// Its whole network, that of no other user, and in every spelling of his address.
pub async fn a_session_makes_its_network_known_to_its_user(store: Arc<dyn Store>) {
    let given = Given::new();
    let alice = given.user(&store, "alice@example.com").await;
    given.user(&store, "bob@example.com").await;
    let from: IpAddr = [192, 0, 2, 7].into();
    assert!(!knows(&store, "alice@example.com", from).await);
    sign_in(&store, &alice, Some(from), 1).await;
    sign_in(&store, &alice, Some(from), 2).await;
    assert!(knows(&store, "ALICE@example.com", [192, 0, 2, 200].into()).await);
    assert!(!knows(&store, "alice@example.com", [192, 0, 3, 7].into()).await);
    assert!(!knows(&store, "bob@example.com", from).await);
    assert!(!knows(&store, "nobody@example.com", from).await);
}

/// A session that nobody knows the address of says nothing.
pub async fn an_unknown_address_makes_no_network_known(store: Arc<dyn Store>) {
    let alice = Given::new().user(&store, "alice@example.com").await;
    sign_in(&store, &alice, None, 1).await;
    let email = Email::parse("alice@example.com").unwrap();
    let unknown = store.knows_network(&email, Network::UNKNOWN).await;
    assert!(!unknown.unwrap());
}

/// And what is known already takes nobody's place.
pub async fn the_network_not_used_for_longest_is_forgotten_for_one_too_many(store: Arc<dyn Store>) {
    let alice = Given::new().user(&store, "alice@example.com").await;
    let most = u64::from(MAX_NETWORKS);
    for n in 1..=most {
        sign_in(&store, &alice, Some(nth(n)), n).await;
    }
    sign_in(&store, &alice, Some(nth(2)), most + 1).await;
    assert!(knows(&store, "alice@example.com", nth(1)).await);
    sign_in(&store, &alice, Some(nth(most + 1)), most + 2).await;
    assert!(!knows(&store, "alice@example.com", nth(1)).await);
    for n in 2..=most + 1 {
        assert!(knows(&store, "alice@example.com", nth(n)).await, "{n}");
    }
}

/// Home stays known to who travels.
pub async fn a_network_in_use_is_not_forgotten_for_its_age(store: Arc<dyn Store>) {
    let alice = Given::new().user(&store, "alice@example.com").await;
    let most = u64::from(MAX_NETWORKS);
    for n in 1..=most {
        sign_in(&store, &alice, Some(nth(n)), n).await;
    }
    let days_later = 3 * 86_400;
    sign_in(&store, &alice, Some(nth(1)), days_later).await;
    sign_in(&store, &alice, Some(nth(most + 1)), days_later + 1).await;
    assert!(knows(&store, "alice@example.com", nth(1)).await);
    assert!(!knows(&store, "alice@example.com", nth(2)).await);
}
