//! Pages of the audit log by filters in words, for who is far away.

use time::OffsetDateTime;

use super::AuditError;
use crate::{
    caller::Caller,
    failure::{FieldError, Fields},
    ports::store::{Actor, AuditAction, AuditPage, AuditRecord, AuditResult, Freshness},
    sso::Sso,
    usecases::{
        Named,
        paging::{self, Ask, Page},
    },
    values::{Email, UserId},
};

/// Which records, as it was asked. What is empty restricts nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter<'a> {
    /// The id of the user to whom it was done; he need not be there any more.
    pub user_id: &'a str,
    /// His address, instead of his id.
    pub email: &'a str,
    /// Who did it: see [`By::parse`].
    pub actor: &'a str,
    /// The name of an [`AuditAction`].
    pub action: &'a str,
    /// The name of an [`AuditResult`].
    pub result: &'a str,
    /// Not before this.
    pub since: Option<OffsetDateTime>,
    /// Before this.
    pub until: Option<OffsetDateTime>,
}

/// The id of a user, which need not be anybody's any more; an address must be somebody's.
pub async fn user_id(sso: &Sso, caller: &Caller, user: &Named) -> Result<UserId, AuditError> {
    caller.may_read_audit()?;
    match user {
        Named::Id(id) => Ok(*id),
        Named::Email(email) => {
            let found = sso.store.user_by_email(email, Freshness::Primary).await?;
            Ok(found.ok_or(AuditError::NoSuchUser)?.id)
        }
    }
}

/// Who did it.
#[derive(Debug, Clone)]
pub enum By {
    /// A user.
    User(Named),
    /// Anybody else.
    Other(Actor),
}

impl By {
    /// Parses `anonymous`, `operator`, `system`, `service:NAME`, or a user's id or address.
    pub fn parse(text: &str) -> Option<Self> {
        Some(Self::Other(match text {
            "anonymous" => Actor::Anonymous,
            "operator" => Actor::Operator,
            "system" => Actor::System,
            text => match text.strip_prefix("service:") {
                Some(name) if name.contains(char::is_control) => return None,
                Some(name) => Actor::Service(name.to_owned()),
                None => return Named::parse(text).map(Self::User),
            },
        }))
    }

    /// As the log has it.
    pub async fn actor(&self, sso: &Sso, caller: &Caller) -> Result<Actor, AuditError> {
        Ok(match self {
            Self::User(user) => Actor::User(user_id(sso, caller, user).await?),
            Self::Other(actor) => actor.clone(),
        })
    }
}

/// A filter whose fields are good.
struct Parsed {
    user: Option<Named>,
    actor: Option<By>,
    action: Option<AuditAction>,
    result: Option<AuditResult>,
}

impl Parsed {
    fn of(filter: &Filter<'_>, fields: &mut Fields) -> Self {
        let user_id = fields.optional("user_id", Some(filter.user_id), |text| {
            UserId::parse(text)
                .map_err(|_| FieldError::new("user_id", "invalid_id", "user_id must be a UUID"))
        });
        let email = fields.optional("email", Some(filter.email), Email::parse);
        if !filter.user_id.is_empty() && !filter.email.is_empty() {
            let why = "give user_id or email, not both";
            fields.bad(FieldError::new("user_id", "invalid_request", why));
        }
        let actor = fields.optional("actor", Some(filter.actor), |text| {
            let why = "actor must be anonymous, operator, system, service:NAME, or a user's id or \
                       e-mail address";
            By::parse(text).ok_or_else(|| FieldError::new("actor", "invalid_actor", why))
        });
        let action = fields.optional("action", Some(filter.action), |text| {
            let why = "there is no such action";
            let mut known = AuditAction::ALL.into_iter();
            known
                .find(|action| action.as_str() == text)
                .ok_or_else(|| FieldError::new("action", "invalid_action", why))
        });
        let result = fields.optional("result", Some(filter.result), |text| {
            let why = "result must be success or refused";
            let mut known = AuditResult::ALL.into_iter();
            known
                .find(|result| result.as_str() == text)
                .ok_or_else(|| FieldError::new("result", "invalid_result", why))
        });
        Self {
            user: user_id.map(Named::Id).or(email.map(Named::Email)),
            actor,
            action,
            result,
        }
    }
}

/// The list that a cursor belongs to: each filter as it was asked for. Only the last can hold any
/// text, so that no two lists have one name.
fn query(filter: &Filter<'_>) -> String {
    let time = |time: Option<OffsetDateTime>| time.map(OffsetDateTime::unix_timestamp_nanos);
    format!(
        "audit {} {} {} {} {:?} {:?} {}",
        filter.user_id,
        filter.email,
        filter.action,
        filter.result,
        time(filter.since),
        time(filter.until),
        filter.actor,
    )
}

/// A page of the log by cursor, newest first. Every bad field is named.
pub async fn page(
    sso: &Sso,
    caller: &Caller,
    filter: &Filter<'_>,
    ask: Ask<'_>,
    mut fields: Fields,
) -> Result<Page<AuditRecord>, AuditError> {
    caller.may_read_audit()?;
    let parsed = Parsed::of(filter, &mut fields);
    let query = query(filter);
    let read = |place: &[u8]| place.try_into().ok().map(i64::from_be_bytes);
    let (before, size) = paging::parse(sso, &query, ask, read, fields)?;
    let user = match &parsed.user {
        Some(user) => Some(user_id(sso, caller, user).await?),
        None => None,
    };
    let actor = match &parsed.actor {
        Some(by) => Some(by.actor(sso, caller).await?),
        None => None,
    };
    let page = AuditPage {
        user,
        actor,
        action: parsed.action.map(|action| action.as_str().to_owned()),
        result: parsed.result,
        since: filter.since,
        until: filter.until,
        before,
        // One more tells whether there is a next page.
        limit: size + 1,
    };
    let records = sso.store.audit(&page).await?;
    Ok(paging::cut(sso, &query, records, size, |record| {
        record.sequence.to_be_bytes().to_vec()
    }))
}
