//! `sso.v1.Users`: each method parses, calls one use case, converts.

use sso_core::{
    Failure, Sso,
    usecases::{
        Ask, Named,
        administer::{self, Change, Changed, Deleted},
        is_admin::{parse as user_id, parse_id},
        register,
    },
};
use tonic::{Request, Response, Status, async_trait};

use crate::{
    call::Call,
    convert::{session, user},
    proto::v1::{
        self, CreateUserRequest, CreateUserResponse, DeleteUserRequest, DeleteUserResponse,
        DisableUserRequest, DisableUserResponse, EnableUserRequest, EnableUserResponse,
        EndSessionsRequest, EndSessionsResponse, GetUserRequest, GetUserResponse,
        ListSessionsRequest, ListSessionsResponse, ListUsersRequest, ListUsersResponse,
        SetAdminRequest, SetAdminResponse, SetPasswordRequest, SetPasswordResponse,
        users_server::Users,
    },
};

/// The service.
pub(crate) struct UsersService(pub Sso);

type Answer<T> = Result<Response<T>, Status>;

#[async_trait]
impl Users for UsersService {
    async fn get(&self, request: Request<GetUserRequest>) -> Answer<GetUserResponse> {
        let (call, message) = Call::open(request);
        call.end(get(&self.0, &call, &message).await)
    }

    async fn list(&self, request: Request<ListUsersRequest>) -> Answer<ListUsersResponse> {
        let (call, message) = Call::open(request);
        call.end(list(&self.0, &call, &message).await)
    }

    async fn create(&self, request: Request<CreateUserRequest>) -> Answer<CreateUserResponse> {
        let (call, message) = Call::open(request);
        call.end(create(&self.0, &call, &message).await)
    }

    async fn set_admin(&self, request: Request<SetAdminRequest>) -> Answer<SetAdminResponse> {
        let (call, message) = Call::open(request);
        let to = if message.is_admin {
            Change::GrantAdmin
        } else {
            Change::TakeAdmin
        };
        let changed = change(&self.0, &call, &message.user_id, to).await;
        revoked(&call, changed, |user| SetAdminResponse { user })
    }

    async fn disable(&self, request: Request<DisableUserRequest>) -> Answer<DisableUserResponse> {
        let (call, message) = Call::open(request);
        let changed = change(&self.0, &call, &message.user_id, Change::Disable).await;
        revoked(&call, changed, |user| DisableUserResponse { user })
    }

    async fn enable(&self, request: Request<EnableUserRequest>) -> Answer<EnableUserResponse> {
        let (call, message) = Call::open(request);
        let changed = change(&self.0, &call, &message.user_id, Change::Enable).await;
        revoked(&call, changed, |user| EnableUserResponse { user })
    }

    async fn set_password(
        &self,
        request: Request<SetPasswordRequest>,
    ) -> Answer<SetPasswordResponse> {
        let (call, message) = Call::open(request);
        let changed = set_password(&self.0, &call, &message).await;
        revoked(&call, changed, |user| SetPasswordResponse { user })
    }

    async fn end_sessions(
        &self,
        request: Request<EndSessionsRequest>,
    ) -> Answer<EndSessionsResponse> {
        let (call, message) = Call::open(request);
        let changed = change(&self.0, &call, &message.user_id, Change::EndSessions).await;
        revoked(&call, changed, |user| EndSessionsResponse { user })
    }

    async fn delete(&self, request: Request<DeleteUserRequest>) -> Answer<DeleteUserResponse> {
        let (call, message) = Call::open(request);
        let deleted = delete(&self.0, &call, &message).await;
        let deleted = call.end(deleted)?.into_inner();
        let user_id = deleted.user.to_string();
        Ok(Call::revoked(DeleteUserResponse { user_id }, deleted.reach))
    }

    async fn list_sessions(
        &self,
        request: Request<ListSessionsRequest>,
    ) -> Answer<ListSessionsResponse> {
        let (call, message) = Call::open(request);
        call.end(list_sessions(&self.0, &call, &message).await)
    }
}

/// The answer of a change, with how far what it revoked has reached.
fn revoked<T>(
    call: &Call,
    changed: Result<Changed, Failure>,
    message: impl FnOnce(Option<v1::User>) -> T,
) -> Answer<T> {
    let changed = call.end(changed)?.into_inner();
    let message = message(Some(user(&changed.user)));
    Ok(Call::revoked(message, changed.reach))
}

async fn get(sso: &Sso, call: &Call, message: &GetUserRequest) -> Result<GetUserResponse, Failure> {
    let named = Named::of(&message.user_id, &message.email, call.fields())?;
    let found = administer::get(sso, &call.caller(), &named).await?;
    Ok(GetUserResponse {
        user: Some(user(&found)),
    })
}

async fn list(
    sso: &Sso,
    call: &Call,
    message: &ListUsersRequest,
) -> Result<ListUsersResponse, Failure> {
    let ask = Ask {
        limit: message.limit,
        cursor: &message.cursor,
    };
    let page = administer::page(sso, &call.caller(), ask, call.fields()).await?;
    Ok(ListUsersResponse {
        users: page.items.iter().map(user).collect(),
        next_cursor: page.next.unwrap_or_default(),
    })
}

async fn create(
    sso: &Sso,
    call: &Call,
    message: &CreateUserRequest,
) -> Result<CreateUserResponse, Failure> {
    let input = register::Input {
        email: Some(&message.email),
        password: Some(&message.password),
        name: Some(&message.name),
        birthday: Some(&message.birthday),
    };
    let request = register::Register::parse(sso, &input, call.fields())?;
    let created = register::create(sso, &call.caller(), request, message.is_admin).await?;
    Ok(CreateUserResponse {
        user: Some(user(&created)),
    })
}

async fn change(sso: &Sso, call: &Call, id: &str, to: Change) -> Result<Changed, Failure> {
    let id = user_id(Some(id), call.fields())?;
    Ok(administer::change(sso, &call.caller(), id, to).await?)
}

async fn delete(sso: &Sso, call: &Call, message: &DeleteUserRequest) -> Result<Deleted, Failure> {
    let id = user_id(Some(&message.user_id), call.fields())?;
    Ok(administer::delete(sso, &call.caller(), id).await?)
}

async fn set_password(
    sso: &Sso,
    call: &Call,
    message: &SetPasswordRequest,
) -> Result<Changed, Failure> {
    let mut fields = call.fields();
    let id = fields.required("user_id", Some(&message.user_id), parse_id);
    let password = Some(message.password.as_str());
    // Beside what is wrong with the id.
    fields.required("password", password, |text| {
        administer::check_password(sso, text)
    });
    let id = fields.finish(id)?;
    Ok(administer::set_password(sso, &call.caller(), id, password).await?)
}

async fn list_sessions(
    sso: &Sso,
    call: &Call,
    message: &ListSessionsRequest,
) -> Result<ListSessionsResponse, Failure> {
    let id = user_id(Some(&message.user_id), call.fields())?;
    let sessions = administer::sessions(sso, &call.caller(), id).await?;
    Ok(ListSessionsResponse {
        sessions: sessions.iter().map(session).collect(),
    })
}
