//! `auth.Auth`: each method parses, calls one use case, converts.

use prost_types::Timestamp;
use sso_core::{
    Failure, Sso,
    ports::store::Reach,
    usecases::{
        is_admin, login, logout, refresh,
        register::{self, register_only},
        validate::validate,
    },
};
use tonic::{Request, Response, Status, async_trait};

use crate::{
    call::Call,
    proto::{
        IsAdminRequest, IsAdminResponse, LoginRequest, LoginResponse, LogoutRequest,
        LogoutResponse, RefreshRequest, RefreshResponse, RegisterRequest, RegisterResponse,
        ValidateRequest, ValidateResponse, auth_server::Auth,
    },
};

/// The service.
pub(crate) struct AuthService(pub Sso);

type Answer<T> = Result<Response<T>, Status>;

#[async_trait]
impl Auth for AuthService {
    async fn register(&self, request: Request<RegisterRequest>) -> Answer<RegisterResponse> {
        let (call, message) = Call::open(request);
        call.end(register(&self.0, &call, &message).await)
    }

    async fn login(&self, request: Request<LoginRequest>) -> Answer<LoginResponse> {
        let (call, message) = Call::open(request);
        call.end(login(&self.0, &call, &message).await)
    }

    async fn refresh(&self, request: Request<RefreshRequest>) -> Answer<RefreshResponse> {
        let (call, message) = Call::open(request);
        call.end(refresh(&self.0, &call, &message).await)
    }

    async fn is_admin(&self, request: Request<IsAdminRequest>) -> Answer<IsAdminResponse> {
        let (call, message) = Call::open(request);
        call.end(is_admin(&self.0, &call, &message).await)
    }

    async fn logout(&self, request: Request<LogoutRequest>) -> Answer<LogoutResponse> {
        let (call, message) = Call::open(request);
        let reach = call.end(logout(&self.0, &call, &message).await)?;
        let message = LogoutResponse { success: true };
        Ok(Call::revoked(message, reach.into_inner()))
    }

    async fn validate(&self, request: Request<ValidateRequest>) -> Answer<ValidateResponse> {
        let (call, message) = Call::open(request);
        call.end(check(&self.0, &call, &message).await)
    }
}

async fn register(
    sso: &Sso,
    call: &Call,
    message: &RegisterRequest,
) -> Result<RegisterResponse, Failure> {
    let input = register::Input {
        email: Some(&message.email),
        password: Some(&message.password),
        ..Default::default()
    };
    let request = register::Register::parse(sso, &input, call.fields())?;
    let user = register_only(sso, &call.caller(), request).await?;
    Ok(RegisterResponse {
        user_id: user.to_string(),
    })
}

async fn login(sso: &Sso, call: &Call, message: &LoginRequest) -> Result<LoginResponse, Failure> {
    let input = login::Input {
        email: Some(&message.email),
        password: Some(&message.password),
    };
    let request = login::Login::parse(&input, call.fields())?;
    let signed_in = login::login(sso, &call.caller(), request).await?;
    Ok(LoginResponse {
        access_token: signed_in.access_token,
        refresh_token: signed_in.refresh_token,
    })
}

async fn refresh(
    sso: &Sso,
    call: &Call,
    message: &RefreshRequest,
) -> Result<RefreshResponse, Failure> {
    let token = Some(message.refresh_token.as_str());
    let request = refresh::Refresh::parse("refresh_token", token, call.fields())?;
    let signed_in = refresh::refresh(sso, &call.caller(), &request).await?;
    Ok(RefreshResponse {
        access_token: signed_in.access_token,
        refresh_token: signed_in.refresh_token,
    })
}

async fn is_admin(
    sso: &Sso,
    call: &Call,
    message: &IsAdminRequest,
) -> Result<IsAdminResponse, Failure> {
    let user = is_admin::parse(Some(&message.user_id), call.fields())?;
    Ok(IsAdminResponse {
        is_admin: is_admin::is_admin(sso, user).await?,
    })
}

async fn logout(sso: &Sso, call: &Call, message: &LogoutRequest) -> Result<Reach, Failure> {
    let request = logout::Logout::parse(Some(&message.token), false, call.fields())?;
    Ok(logout::logout(sso, &call.caller(), &request).await?)
}

async fn check(
    sso: &Sso,
    call: &Call,
    message: &ValidateRequest,
) -> Result<ValidateResponse, Failure> {
    let mut fields = call.fields();
    let token = fields.required("token", Some(&message.token), Ok);
    let claims = validate(sso, fields.finish(token)?).await?;
    Ok(ValidateResponse {
        success: true,
        user_id: claims.user.to_string(),
        session_id: claims.session.to_string(),
        expires_at: Some(Timestamp {
            seconds: claims.expires_at.unix_timestamp(),
            nanos: 0,
        }),
        is_admin: claims.is_admin,
        version: claims.version.get(),
    })
}
