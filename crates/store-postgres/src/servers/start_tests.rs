use std::time::Duration;

use super::{super::Settings, *};

/// Addresses `a` and `b` of the URL, `c` and `d` of the replicas: who is named has answered.
fn said(hosts: &str, answers: &[(&str, i64, Role)]) -> Vec<Said> {
    let mut settings = Settings::new(format!("postgres://u@{hosts}/d").parse().unwrap());
    settings.replicas = vec!["postgres://u@c,d/d".parse().unwrap()];
    let all = Address::all(&settings).unwrap().into_iter().map(Arc::new);
    let answer = |name: &str| {
        let host = name.split(':').next().unwrap();
        let found = answers.iter().find(|(who, ..)| *who == host);
        let who = found.ok_or(ConnectError::Timeout)?;
        Ok(Identity {
            system: who.1,
            role: who.2,
            follows: None,
            run: host.into(),
        })
    };
    all.enumerate()
        .map(|(at, address)| Said {
            at,
            answer: answer(&address.name),
            time: None,
            address,
        })
        .collect()
}

fn judged(said: &[Said]) -> Result<String, OpenError> {
    let topology = Topology::new(Duration::from_secs(1), Duration::from_secs(1));
    judge(said, &topology)?;
    let primary = topology.watch().borrow().clone();
    Ok(primary.map_or_else(String::new, |primary| primary.run.to_string()))
}

const fn leads(timeline: u32) -> Role {
    Role::Primary { timeline }
}

#[test]
fn a_server_of_another_cluster_is_refused() {
    let said = said("a", &[("a", 1, leads(3)), ("c", 2, Role::Replica)]);
    assert_eq!(
        judged(&said).unwrap_err().to_string(),
        "database.replicas (c:5432) is a server of another cluster than database.url: its system \
         identifier is 2, not 1"
    );
}

#[test]
fn a_second_primary_on_the_same_timeline_is_refused_and_a_deposed_one_left_alone() {
    let copy = said("a", &[("a", 1, leads(3)), ("c", 1, leads(3))]);
    assert_eq!(
        judged(&copy).unwrap_err().to_string(),
        "database.replicas (c:5432) is a primary, not a replica: name replicas there, or leave it \
         empty"
    );
    let deposed = said("a", &[("a", 1, leads(3)), ("c", 1, leads(2))]);
    assert_eq!(judged(&deposed).unwrap(), "a");
    let moved = said("a", &[("a", 1, leads(2)), ("c", 1, leads(3))]);
    assert_eq!(judged(&moved).unwrap(), "c");
}

#[test]
fn replicas_that_are_away_are_no_reason_not_to_start() {
    let said = said("a,b", &[("b", 1, leads(1))]);
    assert_eq!(judged(&said).unwrap(), "b");
}

#[test]
fn several_hosts_that_are_all_replicas_may_have_a_primary_soon() {
    let said = said("a,b", &[("a", 1, Role::Replica), ("b", 1, Role::Replica)]);
    match judged(&said) {
        Err(OpenError::Unreachable(said)) => assert_eq!(
            said,
            "database.url: there is no primary now, all that answer are replicas: a:5432, b:5432"
        ),
        other => panic!("{other:?}"),
    }
}
