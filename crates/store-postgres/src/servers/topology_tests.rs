use super::*;

const MAX_LAG: Duration = Duration::from_secs(2);
const UNHEARD: Duration = Duration::from_secs(3);

fn topology() -> Topology {
    Topology::new(MAX_LAG, UNHEARD)
}

fn primary(run: &str, timeline: u32) -> Identity {
    Identity {
        system: 1,
        role: Role::Primary { timeline },
        follows: None,
        run: run.into(),
    }
}

fn replica(run: &str) -> Identity {
    following(run, 1)
}

fn following(run: &str, timeline: u32) -> Identity {
    Identity {
        role: Role::Replica,
        follows: Some(timeline),
        ..primary(run, 0)
    }
}

fn current(topology: &Topology) -> Option<String> {
    let primary = topology.primary.borrow();
    primary.as_ref().map(|primary| primary.run.to_string())
}

#[test]
fn the_primary_is_the_one_on_the_highest_timeline_whoever_speaks_last() {
    let (topology, now) = (topology(), Instant::now());
    topology.observe(0, &primary("old", 1), now);
    topology.observe(1, &primary("new", 2), now);
    topology.observe(0, &primary("old", 1), now);
    assert_eq!(current(&topology).as_deref(), Some("new"));
    assert_eq!(topology.timeline(), 2);
    assert_eq!(topology.usage("old", now), Use::Never);
}

#[test]
fn a_deposed_primary_is_not_used_although_nobody_else_is_there() {
    let (topology, now) = (topology(), Instant::now());
    topology.observe(0, &primary("old", 1), now);
    topology.observe(1, &primary("new", 2), now);
    topology.lost("new");
    topology.observe(0, &primary("old", 1), now);
    assert_eq!(current(&topology), None);
}

#[test]
fn a_second_primary_on_the_same_timeline_is_used_only_when_the_first_is_not_heard() {
    let (topology, now) = (topology(), Instant::now());
    topology.observe(0, &primary("one", 1), now);
    topology.observe(1, &primary("two", 1), now);
    assert_eq!(current(&topology).as_deref(), Some("one"));
    topology.observe(1, &primary("two", 1), now + UNHEARD);
    assert_eq!(current(&topology).as_deref(), Some("two"));
}

/// A run of the server at this port.
fn run(port: u16, started: u32) -> String {
    format!("127.0.0.1 {port} {started}")
}

fn given_up(topology: &Topology) -> Option<GivenUp> {
    topology.given_up().borrow().clone()
}

#[test]
fn a_timeline_is_given_up_when_its_primary_follows_an_earlier_one() {
    let (topology, now) = (topology(), Instant::now());
    topology.observe(0, &primary(&run(1, 1), 38), now);
    topology.observe(1, &primary(&run(2, 1), 39), now);
    topology.observe(0, &primary(&run(1, 1), 38), now);
    // Whoever else follows whatever: a standby that is behind, the same run a moment ago.
    topology.observe(2, &following(&run(3, 7), 38), now);
    topology.observe(1, &following(&run(2, 1), 38), now);
    topology.observe(1, &following(&run(2, 2), 39), now);
    let foreign = Identity {
        system: 2,
        ..following(&run(2, 2), 38)
    };
    topology.observe(1, &foreign, now);
    // One that gives the same address for itself, while the primary is there.
    topology.observe(1, &following(&run(2, 2), 38), now);
    topology.observe(1, &following(&run(2, 2), 38), now + UNHEARD);
    assert_eq!(given_up(&topology), None);
    // Also when all have forgotten it.
    topology.lost(&run(2, 1));
    let later = now + FORGOTTEN * 2;
    topology.observe(1, &following(&run(2, 2), 38), later);
    assert_eq!(given_up(&topology), None, "it may be another one");
    topology.observe(1, &following(&run(2, 2), 38), later + UNHEARD);
    let known = given_up(&topology).unwrap();
    assert_eq!((known.timeline, known.follows), (39, 38));
    assert_eq!(known.server, "127.0.0.1:2");
    assert_eq!(current(&topology), None);
}

#[test]
fn a_timeline_on_which_another_is_the_primary_by_now_was_not_given_up() {
    let (topology, now) = (topology(), Instant::now());
    topology.observe(0, &primary(&run(1, 1), 1), now);
    topology.observe(1, &primary(&run(2, 1), 2), now);
    topology.observe(0, &following(&run(1, 2), 1), now);
    assert_eq!(given_up(&topology), None);
    topology.lost(&run(2, 1));
    topology.observe(1, &following(&run(2, 2), 2), now);
    topology.observe(1, &following(&run(2, 2), 2), now + UNHEARD);
    topology.observe(0, &following(&run(1, 2), 1), now + UNHEARD);
    assert_eq!(given_up(&topology), None);
    topology.observe(0, &primary(&run(1, 3), 3), now + UNHEARD);
    topology.observe(1, &following(&run(2, 2), 2), now + UNHEARD * 2);
    assert_eq!(given_up(&topology), None);
}

#[test]
fn a_server_of_another_cluster_is_never_the_primary() {
    let (topology, now) = (topology(), Instant::now());
    topology.observe(0, &primary("ours", 1), now);
    let foreign = Identity {
        system: 2,
        ..primary("foreign", 9)
    };
    topology.observe(1, &foreign, now);
    assert_eq!(current(&topology).as_deref(), Some("ours"));
    assert_eq!(topology.timeline(), 1);
    assert_eq!(topology.usage("foreign", now), Use::Never);
}

#[test]
fn a_promoted_replica_is_the_primary_and_a_replica_no_more() {
    let (topology, now) = (topology(), Instant::now());
    topology.observe(0, &primary("a", 1), now);
    topology.observe(1, &replica("b"), now);
    topology.shows("b", Some(now));
    assert_eq!(topology.usage("b", now), Use::Replica);
    topology.lost("a");
    topology.observe(1, &primary("b", 2), now);
    assert_eq!(topology.usage("b", now), Use::Primary);
    assert_eq!(topology.readable(now), Vec::<usize>::new());
}

#[test]
fn a_replica_is_left_alone_while_its_newest_beat_is_too_old_and_taken_back_later() {
    let (topology, now) = (topology(), Instant::now());
    topology.observe(1, &replica("r"), now);
    assert_eq!(topology.usage("r", now), Use::Later, "nothing is known yet");
    topology.shows("r", Some(now));
    assert_eq!(topology.readable(now), [1]);
    let later = now + MAX_LAG + Duration::from_millis(1);
    topology.observe(1, &replica("r"), later);
    assert_eq!(topology.usage("r", later), Use::Later, "it stands still");
    assert_eq!(topology.readable(later), Vec::<usize>::new());
    assert!(topology.furthest(1, later).unwrap() > MAX_LAG);
    topology.shows("r", Some(later));
    assert_eq!(topology.usage("r", later), Use::Replica);
}

#[test]
fn a_replica_that_is_not_heard_is_not_read() {
    let (topology, now) = (topology(), Instant::now());
    topology.observe(1, &replica("r"), now);
    topology.shows("r", Some(now + UNHEARD));
    assert_eq!(topology.usage("r", now + UNHEARD), Use::Later);
}

#[test]
fn what_is_remembered_is_bounded() {
    let (topology, now) = (topology(), Instant::now());
    for run in 0..1_000 {
        topology.observe(0, &replica(&run.to_string()), now);
    }
    assert!(lock(&topology.state).runs.len() <= MAX_RUNS);
    topology.observe(0, &replica("late"), now + FORGOTTEN);
    assert_eq!(lock(&topology.state).runs.len(), 1);
}

#[test]
fn the_state_of_a_replicas_address_is_that_of_the_best_server_there() {
    let (topology, now) = (topology(), Instant::now());
    assert_eq!(topology.replica(1, now), ReplicaState::Away);
    topology.observe(1, &replica("r"), now);
    assert_eq!(topology.replica(1, now), ReplicaState::Behind(None));
    topology.shows("r", Some(now));
    assert_eq!(topology.replica(1, now), ReplicaState::Read(Duration::ZERO));
    let late = MAX_LAG + Duration::from_millis(1);
    topology.observe(1, &replica("r"), now + late);
    assert_eq!(
        topology.replica(1, now + late),
        ReplicaState::Behind(Some(late))
    );
    topology.observe(1, &primary("r", 2), now + late);
    assert_eq!(topology.replica(1, now + late), ReplicaState::Primary);
    assert_eq!(
        topology.replica(1, now + late + UNHEARD),
        ReplicaState::Away
    );
    topology.observe(2, &primary("zombie", 1), now + late);
    assert_eq!(topology.replica(2, now + late), ReplicaState::Away);
}

#[test]
fn the_time_is_that_of_the_primary() {
    let (topology, now) = (topology(), Instant::now());
    let said = |seconds, within| ServerTime::of(Duration::from_secs(seconds), now, within);
    topology.observe(0, &primary("p", 1), now);
    topology.observe(1, &replica("r"), now);
    topology.tells("r", said(5, Duration::ZERO));
    assert_eq!(topology.time(now), None);
    topology.tells("p", said(7, Duration::ZERO));
    // Not to be compared by: it was on its way for too long.
    topology.tells("p", said(9, Duration::from_secs(1)));
    let later = now + Duration::from_secs(3);
    assert_eq!(topology.time(later), Some(Duration::from_secs(10)));
}
