//! A registration is one mail.

use std::net::SocketAddr;

use anyhow::Result;
use sso_testkit::{
    patience::eventually,
    pki::{Authority, Issued, Wanted},
    servers::smtp,
};
use time::Duration;

use crate::support::{User, World, database, now};

#[tokio::test]
async fn a_registration_is_one_mail_also_when_the_topic_is_read_again_from_its_start() -> Result<()>
{
    let mut world = World::new().await?;
    let users: Vec<_> = (0..20)
        .map(|n| User::new(n, &format!("user{n}@example.com")))
        .collect();
    for user in &users {
        world.register(user).await?;
    }
    let mut running = world.welcome.start().await?;
    let mails = world.mails(20).await?;
    for user in &users {
        let of: Vec<_> = mails
            .iter()
            .filter(|mail| mail.to == [user.email.as_str()])
            .collect();
        assert_eq!(of.len(), 1, "{}", user.email);
        assert_eq!(of[0].header("message-id"), user.message_id());
        assert_eq!(of[0].from, "noreply@example.org");
        assert!(
            of[0]
                .header("content-type")
                .starts_with("multipart/alternative")
        );
    }
    eventually("all are counted", async || {
        Ok(running
            .metric("welcome_mails_total{outcome=\"sent\"}")
            .await?
            >= 20)
    })
    .await?;
    assert!(running.stop().await?.success());
    assert!(
        world
            .welcome
            .log()?
            .contains("\"trace_id\":\"0af7651916cd43dd8448eb211c80319c\"")
    );

    // Another group begins at the start of the topic, with the same memory.
    world.welcome.set("kafka.group", "welcome-again");
    let running = world.welcome.start().await?;
    eventually("all are known", async || {
        Ok(running
            .metric("welcome_mails_total{outcome=\"known\"}")
            .await?
            >= 20)
    })
    .await?;
    world.mails(20).await?;
    Ok(())
}

#[tokio::test]
async fn a_registration_that_is_too_old_to_be_remembered_gets_no_mail() -> Result<()> {
    let world = World::new().await?;
    let (old, new) = (
        User::new(1, "old@example.com"),
        User::new(2, "new@example.com"),
    );
    let year = time::OffsetDateTime::UNIX_EPOCH + Duration::days(365);
    world.register_at(&old, year).await?;
    world.register(&new).await?;
    let running = world.welcome.start().await?;
    let mails = world.mails(1).await?;
    assert_eq!(mails[0].to, ["new@example.com"]);
    eventually("the old one is counted", async || {
        Ok(running
            .metric("welcome_mails_total{outcome=\"too_old\"}")
            .await?
            == 1)
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn who_is_forgotten_before_his_registration_comes_gets_no_mail() -> Result<()> {
    for in_postgres in [false, true] {
        let mut world = World::new().await?;
        if in_postgres {
            world.welcome.set("database.url", database().await?);
        }
        let alice = User::new(1, "alice@example.com");
        let said = world.welcome.run_ok(&["forget", &alice.id.to_string()])?;
        assert_eq!(said.trim(), "forgotten whose they were: 0 mails");
        world.register(&alice).await?;
        world.register(&User::new(2, "bob@example.com")).await?;
        let running = world.welcome.start().await?;
        eventually("hers is done", async || {
            let forgotten = "welcome_mails_total{outcome=\"forgotten\"}";
            Ok(running.metric(forgotten).await? == 1)
        })
        .await?;
        let mails = world.mails(1).await?;
        assert_eq!(mails[0].to, ["bob@example.com"]);
    }
    Ok(())
}

#[tokio::test]
async fn names_cannot_forge_headers_and_the_operators_templates_and_language_are_used() -> Result<()>
{
    let mut world = World::new().await?;
    let dir = world.welcome.folder().join("templates");
    std::fs::create_dir(&dir)?;
    std::fs::write(
        dir.join("welcome.html"),
        "<p>Operator says hi to {{ name }}</p>",
    )?;
    world
        .welcome
        .set("templates.dir", dir.display())
        .set("mail.locale", "ru");
    let mut eve = User::new(1, "eve@example.com");
    eve.name = "Eve\u{85}Bcc: all".to_owned();
    let mut mallory = User::new(2, "mallory@example.com");
    mallory.name = "Mallory\t<script>".to_owned();
    let mut bob = User::new(3, "bob@example.com");
    bob.name = "your prize waits: https://evil.example/x".to_owned();
    for user in [&eve, &mallory, &bob] {
        world.register(user).await?;
    }
    let _running = world.welcome.start().await?;
    let mails = world.mails(3).await?;
    for mail in &mails {
        assert_eq!(mail.to.len(), 1);
        assert_eq!(mail.header("bcc"), "");
        assert_eq!(mail.header("content-language"), "ru");
    }
    let html = |user: &User| {
        let mail = mails.iter().find(|mail| mail.to == [user.email.as_str()]);
        let html = mail.and_then(|mail| mail.text.split("text/html").nth(1));
        html.unwrap_or_default().to_owned()
    };
    // Theirs may be more than a name.
    for user in [&eve, &bob] {
        let html = html(user);
        assert!(html.contains("<p>Operator says hi to </p>"), "{html}");
    }
    let html = html(&mallory);
    assert!(
        html.contains("hi to Mallory &lt;script&gt;</p>") && !html.contains("<script>"),
        "{html}"
    );
    Ok(())
}

async fn mails_wait_for_trust(
    secured: fn(smtp::Options, &Issued) -> Result<smtp::Options>,
    url: fn(SocketAddr) -> String,
) -> Result<()> {
    let authority = Authority::new()?;
    let server = authority.issue(&Wanted::of(&["127.0.0.1"], now()))?;
    let sink = secured(smtp::Options::new(), &server)?
        .account("welcome", "the secret of the mail server")
        .start()?;
    let mut world = World::with_mail_server(sink).await?;
    let secret = world.welcome.folder().join("secret");
    std::fs::write(&secret, "the secret of the mail server\n")?;
    world
        .welcome
        .set("smtp.url", url(world.smtp.address()))
        .set("smtp.username", "welcome")
        .set("smtp.password_file", secret.display());
    world.register(&User::new(1, "alice@example.com")).await?;
    let mut running = world.welcome.start().await?;
    eventually("the server is not trusted", async || {
        Ok(running
            .metric("welcome_smtp_failures_total{reason=\"unreachable\"}")
            .await?
            >= 2)
    })
    .await?;
    assert!(world.smtp.mails().is_empty());
    assert!(running.stop().await?.success());

    let roots = world.welcome.folder().join("roots.pem");
    std::fs::write(&roots, authority.root())?;
    world.welcome.set("smtp.tls_ca", roots.display());
    let _running = world.welcome.start().await?;
    let mail = world.mails(1).await?.remove(0);
    assert!(mail.secure);
    assert_eq!(mail.user.as_deref(), Some("welcome"));
    assert!(
        !world
            .welcome
            .log()?
            .contains("the secret of the mail server")
    );
    Ok(())
}

#[tokio::test]
async fn mails_go_by_starttls_with_the_account_and_wait_while_the_server_cannot_be_trusted()
-> Result<()> {
    let url = |address: SocketAddr| format!("smtp://{address}?tls=required");
    mails_wait_for_trust(smtp::Options::starttls, url).await
}

#[tokio::test]
async fn mails_go_by_smtps_with_the_account_and_wait_while_the_server_cannot_be_trusted()
-> Result<()> {
    let url = |address: SocketAddr| format!("smtps://{address}");
    mails_wait_for_trust(smtp::Options::tls, url).await
}
