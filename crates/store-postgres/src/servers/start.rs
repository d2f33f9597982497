//! The first look at the servers: what is wrong with the configuration is said before anything is
//! served.

use std::{sync::Arc, time::Instant};

use super::{
    Identity, OpenError, Role, address::Address, errors::ConnectError, identity::ServerTime,
    topology::Topology,
};

/// What an address said when it was asked first.
pub(super) struct Said {
    at: usize,
    address: Arc<Address>,
    answer: Result<Identity, ConnectError>,
    time: Option<ServerTime>,
}

/// Asks all at once.
pub(super) async fn ask(addresses: &[Arc<Address>]) -> Vec<Said> {
    let asked = addresses
        .iter()
        .enumerate()
        .map(|(at, address)| async move {
            let made = address.connect().await;
            Said {
                at,
                address: Arc::clone(address),
                time: made.as_ref().ok().map(|made| made.time),
                answer: made.map(|made| made.identity),
            }
        });
    futures_util::future::join_all(asked).await
}

/// Refuses what cannot work; otherwise makes what was said known.
pub(super) fn judge(said: &[Said], topology: &Topology) -> Result<(), OpenError> {
    misconfigured(said)?;
    let primary = primary(said)?;
    // With several hosts in the URL, or after a failover, roles move between all that are named.
    let mut of_url = said.iter().filter(|one| !one.address.replica);
    let url_is_primary = match (of_url.next(), of_url.next()) {
        (Some(only), None) => only.answer.as_ref().is_ok_and(|who| who.run == primary.run),
        _ => false,
    };
    for one in said {
        let (name, Ok(who)) = (&one.address.name, &one.answer) else {
            continue;
        };
        if who.system != primary.system {
            return Err(OpenError::Settings(format!(
                "{} ({name}) is a server of another cluster than database.url: its system \
                 identifier is {}, not {}",
                one.key(),
                who.system,
                primary.system
            )));
        }
        let what = if who.run == primary.run {
            "the primary itself"
        } else if who.role == primary.role {
            "a primary"
        } else {
            continue;
        };
        if one.address.replica && url_is_primary {
            return Err(OpenError::Settings(format!(
                "database.replicas ({name}) is {what}, not a replica: name replicas there, or \
                 leave it empty"
            )));
        }
    }
    topology.settle(primary.system);
    for one in said {
        if let Ok(who) = &one.answer {
            topology.observe(one.at, who, Instant::now());
            if let Some(time) = one.time {
                topology.tells(&who.run, time);
            }
        }
    }
    Ok(())
}

/// A password, a CA, a database that is not there: of any address.
fn misconfigured(said: &[Said]) -> Result<(), OpenError> {
    for one in said {
        let problem = one.answer.as_ref().err();
        if let Some(problem) = problem.and_then(ConnectError::misconfigured) {
            return Err(OpenError::Settings(format!(
                "{} ({}): {problem}",
                one.key(),
                one.address.name
            )));
        }
    }
    Ok(())
}

fn primary(said: &[Said]) -> Result<&Identity, OpenError> {
    let timeline = |who: &Identity| match who.role {
        Role::Primary { timeline } => Some(timeline),
        Role::Replica => None,
    };
    let answers = || said.iter().filter_map(|one| one.answer.as_ref().ok());
    let of_url = |one: &&Said| !one.address.replica;
    // The system is that of `database.url`, whoever else accepts writes.
    let system = said
        .iter()
        .filter(of_url)
        .find_map(|one| one.answer.as_ref().ok());
    let highest = answers()
        .filter(|who| system.is_none_or(|known| known.system == who.system))
        .filter(|who| timeline(who).is_some())
        .rev()
        // The last of the highest: the first that was named.
        .max_by_key(|who| timeline(who));
    if let Some(who) = highest {
        return Ok(who);
    }
    let answered: Vec<_> = said
        .iter()
        .filter(of_url)
        .filter(|one| one.answer.is_ok())
        .collect();
    let names: Vec<_> = answered
        .iter()
        .map(|one| one.address.name.as_str())
        .collect();
    match answered.as_slice() {
        [] => Err(OpenError::Unreachable(format!(
            "database.url: no server can be reached: {}",
            said.iter()
                .filter(of_url)
                .filter_map(|one| Some(format!(
                    "{}: {}",
                    one.address.name,
                    one.answer.as_ref().err()?
                )))
                .collect::<Vec<_>>()
                .join("; ")
        ))),
        [_] if said.iter().filter(of_url).count() == 1 => Err(OpenError::Settings(format!(
            "database.url ({}) is a replica, not a primary: it is in recovery and accepts no \
             writes",
            names.join(", ")
        ))),
        _ => Err(OpenError::Unreachable(format!(
            "database.url: there is no primary now, all that answer are replicas: {}",
            names.join(", ")
        ))),
    }
}

impl Said {
    fn key(&self) -> &'static str {
        if self.address.replica {
            "database.replicas"
        } else {
            "database.url"
        }
    }
}

#[cfg(test)]
#[path = "start_tests.rs"]
mod tests;
