//! Histories that cannot be, each beside one that can.

use super::*;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn terms(durability: Durability) -> Terms {
    Terms {
        lease: MS(10_000),
        grace: MS(30_000),
        durability,
        failovers: Vec::new(),
    }
}

/// A history of calls by one client; the time passes by 10 between them, and each takes 5.
#[derive(Default)]
struct Told {
    calls: Vec<Call>,
    at: u64,
    serial: u64,
}

impl Told {
    fn call(&mut self, instance: usize, action: Action, outcome: Outcome) -> &mut Self {
        self.at += 10;
        self.calls.push(Call {
            client: 0,
            instance,
            start: MS(self.at),
            end: MS(self.at + 5),
            action,
            outcome,
        });
        self
    }

    fn later(&mut self, by: u64) -> &mut Self {
        self.at += by;
        self
    }

    fn grant(&mut self, session: &str, generation: u64) -> Outcome {
        self.serial += 1;
        done(
            Some(Grant {
                session: session.to_owned(),
                generation,
                refresh: format!("{session} {generation}"),
                access: self.serial,
            }),
            None,
        )
    }

    /// alice with the password "one" and the session "s", whose access token is number 1.
    fn alice() -> Self {
        let mut told = Self::default();
        let grant = told.grant("s", 1);
        told.call(0, register("one"), grant);
        told
    }

    fn verdict(&self, durability: Durability) -> Verdict {
        let history = History::default();
        for call in &self.calls {
            history.push(call.clone());
        }
        history.judge(&terms(durability))
    }

    /// The complaints when nothing may be lost.
    fn complaints(&self) -> Vec<Complaint> {
        let found = self.verdict(Durability::Synchronous).contradictions;
        found.into_iter().map(|one| one.complaint).collect()
    }

    /// How much counts as lost when it may be, and what is a contradiction even then.
    fn lost(&self) -> (usize, Vec<Complaint>) {
        let verdict = self.verdict(Durability::Asynchronous);
        let found = verdict.contradictions.into_iter();
        (verdict.lost.len(), found.map(|one| one.complaint).collect())
    }
}

fn done(grant: Option<Grant>, reach: Option<Reach>) -> Outcome {
    Outcome::Done { grant, reach }
}

fn ok() -> Outcome {
    done(None, None)
}

fn ended(reach: Reach) -> Outcome {
    done(None, Some(reach))
}

fn refused(why: Why) -> Outcome {
    Outcome::Refused(why)
}

fn register(password: &str) -> Action {
    Action::Register {
        user: "alice".to_owned(),
        password: password.to_owned(),
    }
}

fn login(password: &str) -> Action {
    Action::Login {
        user: "alice".to_owned(),
        password: password.to_owned(),
    }
}

fn change(from: &str, to: &str) -> Action {
    Action::ChangePassword {
        user: "alice".to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
    }
}

fn validate() -> Action {
    Action::Validate {
        session: "s".to_owned(),
        access: 1,
    }
}

fn refresh(generation: u64) -> Action {
    Action::Refresh {
        session: "s".to_owned(),
        generation,
    }
}

fn logout() -> Action {
    Action::Logout {
        session: "s".to_owned(),
    }
}

fn everywhere() -> Action {
    Action::LogoutEverywhere {
        user: "alice".to_owned(),
    }
}

fn disable(disabled: bool) -> Action {
    Action::SetDisabled {
        user: "alice".to_owned(),
        disabled,
    }
}

fn set_admin(admin: bool) -> Action {
    Action::SetAdmin {
        user: "alice".to_owned(),
        admin,
    }
}

fn is_admin() -> Action {
    Action::IsAdmin {
        user: "alice".to_owned(),
    }
}

#[test]
fn a_life_without_faults_is_not_complained_about() {
    let mut told = Told::alice();
    told.call(1, validate(), ok());
    let (second, third) = (told.grant("t", 1), told.grant("u", 1));
    told.call(1, login("one"), second)
        .call(1, login("wrong"), refused(Why::Credentials))
        .call(0, change("one", "two"), third)
        .call(0, validate(), refused(Why::Token))
        .call(0, login("one"), refused(Why::Credentials))
        .call(1, login("two"), ok())
        .call(1, register("other"), refused(Why::Exists))
        .call(0, logout(), ok());
    assert_eq!(told.complaints(), []);
    assert_eq!(told.lost(), (0, vec![]));
}

#[test]
fn an_acknowledged_user_or_password_that_is_refused_is_lost() {
    let mut told = Told::alice();
    told.call(1, login("one"), refused(Why::Credentials));
    told.call(1, login("one"), refused(Why::Credentials));
    assert_eq!(told.complaints(), [Complaint::Refused; 2]);
    assert_eq!(told.lost(), (1, vec![]));

    let mut told = Told::alice();
    told.call(0, change("one", "two"), ended(Reach::Pending))
        .call(1, login("two"), refused(Why::Credentials));
    assert_eq!(told.complaints(), [Complaint::Refused]);
    assert_eq!(told.lost(), (1, vec![]));
}

#[test]
fn an_old_password_comes_back_only_where_its_end_was_lost_and_never_after_everywhere() {
    let mut told = Told::alice();
    told.call(0, change("one", "two"), ended(Reach::Pending))
        .call(1, login("one"), ok());
    assert_eq!(told.complaints(), [Complaint::OldPassword]);
    assert_eq!(told.lost(), (1, vec![]));

    let mut told = Told::alice();
    told.call(0, change("one", "two"), ended(Reach::Everywhere))
        .call(1, login("one"), ok());
    assert_eq!(told.lost(), (0, vec![Complaint::OldPassword]));
}

#[test]
fn an_unknown_outcome_may_be_either_and_stays_what_it_was_seen_to_be() {
    for outcome in [Outcome::Unknown, Outcome::Unavailable] {
        let mut told = Told::alice();
        told.call(0, change("one", "two"), outcome.clone())
            .call(1, login("one"), ok())
            .call(1, login("two"), refused(Why::Credentials));
        assert_eq!(told.complaints(), []);
        // It is done now, and stays.
        told.call(1, login("two"), ok());
        assert_eq!(told.complaints(), []);
        told.call(1, login("one"), ok())
            .call(1, login("two"), refused(Why::Credentials));
        assert_eq!(
            told.complaints(),
            [Complaint::OldPassword, Complaint::Refused]
        );
    }
    let mut told = Told::default();
    told.call(0, register("one"), Outcome::Unknown)
        .call(0, login("one"), refused(Why::Credentials))
        .call(0, register("one"), refused(Why::Exists));
    assert_eq!(told.complaints(), []);
}

#[test]
fn what_happens_at_once_may_have_happened_in_any_order() {
    let mut told = Told::alice();
    told.call(0, change("one", "two"), ended(Reach::Everywhere));
    for (password, outcome) in [("one", ok()), ("two", refused(Why::Credentials))] {
        let mut during = told.calls.last().unwrap().clone();
        (during.action, during.outcome) = (login(password), outcome);
        told.calls.push(during);
    }
    let mut during = told.calls.last().unwrap().clone();
    (during.action, during.outcome) = (validate(), ok());
    told.calls.push(during);
    assert_eq!(told.complaints(), []);
}

#[test]
fn an_address_is_free_once() {
    let mut told = Told::default();
    told.call(0, register("one"), refused(Why::Exists));
    assert_eq!(told.complaints(), [Complaint::Exists]);
    let mut told = Told::alice();
    let grant = told.grant("t", 1);
    told.call(1, register("other"), grant);
    assert_eq!(told.complaints(), [Complaint::Twice]);
    assert_eq!(told.lost(), (1, vec![]));
}

#[test]
fn a_token_is_accepted_nowhere_after_everywhere() {
    for end in [logout(), everywhere(), disable(true), change("one", "two")] {
        let mut told = Told::alice();
        told.call(0, end, ended(Reach::Everywhere))
            .call(1, validate(), ok());
        assert_eq!(told.complaints(), [Complaint::AfterEverywhere]);
        assert_eq!(told.lost(), (0, vec![Complaint::AfterEverywhere]));
    }
}

#[test]
fn pending_is_obeyed_at_once_where_it_was_answered_and_elsewhere_after_the_bound() {
    let mut told = Told::alice();
    told.call(0, everywhere(), ended(Reach::Pending))
        .call(1, validate(), ok());
    assert_eq!(told.complaints(), []);
    told.call(0, validate(), ok());
    assert_eq!(told.complaints(), [Complaint::AfterOwn]);
    told.later(11_900).call(1, validate(), ok());
    assert_eq!(told.complaints(), [Complaint::AfterOwn]);
    told.later(100).call(1, validate(), ok());
    assert_eq!(
        told.complaints(),
        [Complaint::AfterOwn, Complaint::AfterBound]
    );
    assert_eq!(told.lost(), (1, vec![Complaint::AfterOwn]));
}

#[test]
fn a_session_that_was_ended_is_not_refreshed() {
    let mut told = Told::alice();
    let grant = told.grant("s", 2);
    told.call(0, logout(), ended(Reach::Pending))
        .call(1, refresh(1), grant.clone());
    assert_eq!(told.complaints(), [Complaint::AfterEnd]);
    assert_eq!(told.lost(), (1, vec![]));
    let mut told = Told::alice();
    told.call(0, logout(), ended(Reach::Everywhere))
        .call(1, refresh(1), grant);
    assert_eq!(told.lost(), (0, vec![Complaint::AfterEverywhere]));
}

#[test]
fn a_token_that_nothing_may_have_ended_is_accepted() {
    let mut told = Told::alice();
    told.call(1, validate(), refused(Why::Token))
        .call(1, refresh(1), refused(Why::Token))
        .call(1, validate(), Outcome::Unavailable);
    assert_eq!(told.complaints(), [Complaint::Refused; 2]);
    assert_eq!(told.lost(), (1, vec![]));
    for end in [logout(), everywhere()] {
        let mut told = Told::alice();
        told.call(0, end, Outcome::Unknown)
            .call(1, validate(), refused(Why::Token));
        assert_eq!(told.complaints(), []);
    }
    // What was ended before has nothing to do with it.
    let mut told = Told::alice();
    told.call(0, everywhere(), ended(Reach::Everywhere));
    let grant = told.grant("t", 1);
    told.call(0, login("one"), grant);
    let later = Action::Validate {
        session: "t".to_owned(),
        access: 2,
    };
    told.call(1, later, refused(Why::Token));
    assert_eq!(told.complaints(), [Complaint::Refused]);
    let mut told = Told::alice();
    told.call(0, logout(), refused(Why::Token));
    assert_eq!(told.complaints(), [Complaint::Refused]);
}

#[test]
fn a_password_change_does_not_end_the_session_that_it_opens() {
    let mut told = Told::alice();
    let grant = told.grant("t", 1);
    told.call(0, change("one", "two"), grant);
    let new = Action::Validate {
        session: "t".to_owned(),
        access: 2,
    };
    told.call(1, new.clone(), ok());
    assert_eq!(told.complaints(), []);
    told.call(1, new, refused(Why::Token));
    assert_eq!(told.complaints(), [Complaint::Refused]);
}

#[test]
fn a_refresh_token_has_one_successor_for_the_grace() {
    let mut told = Told::alice();
    let (first, second) = (told.grant("s", 2), told.grant("s", 2));
    told.call(0, refresh(1), first.clone());
    told.call(1, refresh(1), second.clone());
    assert_eq!(told.complaints(), []);
    told.later(30_000).call(1, refresh(1), second);
    assert_eq!(told.complaints(), [Complaint::AfterGrace]);

    let mut told = Told::alice();
    let mut other = told.grant("s", 2);
    if let Outcome::Done {
        grant: Some(grant), ..
    } = &mut other
    {
        grant.refresh.push_str(", another");
    }
    told.call(0, refresh(1), first).call(1, refresh(1), other);
    assert_eq!(told.complaints(), [Complaint::Successors; 2]);
    assert_eq!(told.lost(), (1, vec![]));
}

#[test]
fn within_the_grace_the_last_refresh_token_but_one_is_not_refused() {
    let mut told = Told::alice();
    let second = told.grant("s", 2);
    told.call(0, refresh(1), second);
    told.call(1, refresh(1), refused(Why::Token));
    assert_eq!(told.complaints(), [Complaint::Refused]);
    // One before that is, without harm; after the grace it looks stolen, and ends the session.
    let mut told = Told::alice();
    let (second, third) = (told.grant("s", 2), told.grant("s", 3));
    told.call(0, refresh(1), second).call(0, refresh(2), third);
    told.call(1, refresh(1), refused(Why::Token))
        .call(1, validate(), ok());
    assert_eq!(told.complaints(), []);
    told.call(1, refresh(3), refused(Why::Token));
    assert_eq!(told.complaints(), [Complaint::Refused]);
    let mut told = Told::alice();
    let second = told.grant("s", 2);
    told.call(0, refresh(1), second);
    told.later(30_000)
        .call(1, refresh(1), refused(Why::Token))
        .call(1, validate(), refused(Why::Token))
        .call(1, refresh(2), refused(Why::Token));
    assert_eq!(told.complaints(), []);
}

#[test]
fn after_a_failover_the_grace_begins_anew() {
    let mut told = Told::alice();
    let (first, second) = (told.grant("s", 2), told.grant("s", 2));
    told.call(0, refresh(1), first);
    told.later(30_000).call(1, refresh(1), second);
    let history = History::default();
    for call in &told.calls {
        history.push(call.clone());
    }
    let mut terms = terms(Durability::Synchronous);
    terms.failovers.push(MS(20_000));
    assert_eq!(history.judge(&terms).contradictions, []);
}

#[test]
fn a_disabled_user_does_not_get_in_and_an_enabled_one_does() {
    let mut told = Told::alice();
    told.call(0, disable(true), ended(Reach::Everywhere))
        .call(1, login("one"), refused(Why::Disabled))
        .call(0, disable(false), ok())
        .call(1, login("one"), ok());
    assert_eq!(told.complaints(), []);
    told.call(1, login("one"), refused(Why::Disabled));
    assert_eq!(told.complaints(), [Complaint::Flag]);
    let mut told = Told::alice();
    told.call(0, disable(true), ended(Reach::Pending))
        .call(1, login("one"), ok());
    assert_eq!(told.complaints(), [Complaint::Flag]);
}

#[test]
fn an_admin_is_who_was_made_one() {
    let mut told = Told::alice();
    told.call(0, is_admin(), Outcome::Is(false))
        .call(0, set_admin(true), ok())
        .call(1, is_admin(), Outcome::Is(true))
        // The role is in the token: it is over, and the session goes on.
        .call(0, validate(), refused(Why::Token));
    assert_eq!(told.complaints(), []);
    told.call(1, refresh(1), refused(Why::Token));
    assert_eq!(told.complaints(), [Complaint::Refused]);
    let mut told = Told::alice();
    told.call(0, set_admin(true), ok())
        .call(0, set_admin(false), ended(Reach::Everywhere))
        .call(1, is_admin(), Outcome::Is(true));
    assert_eq!(told.complaints(), [Complaint::Flag]);
    assert_eq!(told.lost(), (0, vec![Complaint::Flag]));
}

#[test]
fn an_answer_outside_the_contract_is_shown() {
    let mut told = Told::alice();
    told.call(0, login("one"), refused(Why::Unexpected("500".to_owned())));
    assert_eq!(told.complaints(), [Complaint::Unexpected]);
    assert_eq!(told.lost(), (0, vec![Complaint::Unexpected]));
}

#[test]
fn the_longest_time_without_an_answer_is_told() {
    let mut told = Told::alice();
    told.call(0, login("one"), ok());
    told.later(990)
        .call(0, login("one"), Outcome::Unavailable)
        .call(0, login("one"), Outcome::Unknown)
        .call(0, login("one"), ok());
    let verdict = told.verdict(Durability::Synchronous);
    let logins = verdict.figures[&Kind::Login];
    assert_eq!(
        (logins.calls, logins.unavailable, logins.unknown),
        (4, 1, 1)
    );
    assert_eq!(logins.longest_gap, MS(1_020));
    assert_eq!(logins.slowest, MS(5));
}
