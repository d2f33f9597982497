//! The audit log on the log of the program, for who collects that anyway.

use tracing::Level;

use crate::ports::store::{Actor, NewAudit};

/// The target of these events: `log.level = "info,sso_audit=debug"` switches them on, at run time
/// too.
const TARGET: &str = "sso_audit";

/// Records of a transaction, to be logged when it has committed: what was rolled back has not
/// happened. Without anybody who listens it stays empty.
#[derive(Debug, Default)]
pub struct Journal(Vec<NewAudit>);

impl Journal {
    /// Remembers records that the transaction writes.
    pub fn note(&mut self, records: &[NewAudit]) {
        if tracing::enabled!(target: TARGET, Level::DEBUG) {
            self.0.extend_from_slice(records);
        }
    }

    /// Logs them.
    pub fn committed(self) {
        self.0.iter().for_each(log);
    }

    /// Logs a record that is committed already.
    pub fn write(record: &NewAudit) {
        log(record);
    }
}

/// One event a record. It names people by their ids, as the record does.
fn log(record: &NewAudit) {
    let (actor, by) = match &record.actor {
        Actor::Anonymous => ("anonymous", None),
        Actor::User(id) => ("user", Some(id.to_string())),
        Actor::Operator => ("operator", None),
        Actor::Service(name) => ("service", Some(name.clone())),
        Actor::System => ("system", None),
    };
    tracing::debug!(
        target: TARGET,
        action = record.action.as_str(),
        result = record.result.as_str(),
        actor,
        by,
        user = record.user.map(display),
        session = record.session.map(display),
        address = record.address.map(display),
        agent = record.agent.as_ref().map(display),
        times = record.times,
        detail = record.detail.as_deref(),
        "audit"
    );
}
