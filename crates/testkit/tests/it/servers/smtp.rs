//! The mail server, asked by another implementation of SMTP: Python's.

use std::{
    process::{Command, Output},
    time::{Duration, Instant},
};

use sso_testkit::{
    pki::{Authority, Issued, Wanted},
    servers::{SmtpSink, smtp::Options},
};
use time::OffsetDateTime;

/// Sends a mail to each recipient on its own; prints the code of each answer.
const CLIENT: &str = r#"
import smtplib, ssl, sys
port, security, root, user, *recipients = sys.argv[1:]
context = ssl.create_default_context(cafile=root) if root else None
if security == "tls":
    client = smtplib.SMTP_SSL("127.0.0.1", int(port), timeout=10, context=context)
else:
    client = smtplib.SMTP("127.0.0.1", int(port), timeout=10)
if security == "starttls":
    client.starttls(context=context)
if user:
    client.login(user, "secret")
for recipient in recipients:
    text = "Subject: Hello,\r\n you\r\nTo: %s\r\n\r\nfirst\r\n.dot\r\n" % recipient
    try:
        client.sendmail("sso@example.test", [recipient], text)
        print(250)
    except smtplib.SMTPRecipientsRefused as refused:
        print(refused.recipients[recipient][0])
    except smtplib.SMTPServerDisconnected:
        print("dropped")
    except smtplib.SMTPResponseException as refused:
        print(refused.smtp_code)
"#;

async fn send(sink: &SmtpSink, arguments: [&str; 3], recipients: &[&str]) -> Output {
    let mut python = Command::new("/usr/bin/python3");
    python
        .args(["-c", CLIENT, &sink.address().port().to_string()])
        .args(arguments)
        .args(recipients);
    tokio::task::spawn_blocking(move || python.output())
        .await
        .unwrap()
        .unwrap()
}

fn answers(output: &Output) -> Vec<&str> {
    assert!(output.status.success(), "{output:?}");
    str::from_utf8(&output.stdout).unwrap().lines().collect()
}

fn certified() -> (tempfile::NamedTempFile, Issued) {
    let authority = Authority::new().unwrap();
    #[expect(
        clippy::disallowed_methods,
        reason = "Python goes by the machine's clock"
    )]
    let now = OffsetDateTime::now_utc();
    let issued = authority.issue(&Wanted::of(&["127.0.0.1"], now)).unwrap();
    let root = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(root.path(), authority.root()).unwrap();
    (root, issued)
}

#[tokio::test]
async fn mails_are_kept_or_refused_by_recipient() {
    let sink = Options::new()
        .slow(Duration::from_millis(300))
        .start()
        .unwrap();
    let started = Instant::now();
    let recipients = [
        "anna@example.test",
        "tempfail@example.test",
        "unknown@example.test",
        "full@example.test",
        "slow@example.test",
        "dropped@example.test",
    ];
    let output = send(&sink, ["", "", ""], &recipients).await;
    let expected = ["250", "451", "550", "552", "250", "dropped"];
    assert_eq!(answers(&output), expected);
    assert!(started.elapsed() >= Duration::from_millis(300));
    let mails = sink.wait_for(2).await.unwrap();
    assert_eq!(mails.len(), 2);
    assert_eq!(mails[0].from, "sso@example.test");
    assert_eq!(mails[0].to, ["anna@example.test"]);
    assert_eq!(mails[0].header("subject"), "Hello, you");
    assert!(mails[0].text.ends_with("\r\n\r\nfirst\r\n.dot\r\n"));
    assert!(!mails[0].secure);
}

#[tokio::test]
async fn the_next_mails_fail_after_their_text_if_a_test_says_so() {
    let sink = SmtpSink::start().unwrap();
    sink.fail_next(2);
    let output = send(&sink, ["", "", ""], &["a@b.test", "a@b.test", "a@b.test"]).await;
    assert_eq!(answers(&output), ["451", "451", "250"]);
    assert_eq!(sink.mails().len(), 1);
}

#[tokio::test]
async fn mail_is_taken_by_tls_only_where_tls_is_offered() {
    let (root, issued) = certified();
    let root = root.path().to_str().unwrap();
    let sink = Options::new().starttls(&issued).unwrap().start().unwrap();
    let output = send(&sink, ["", "", ""], &["a@b.test"]).await;
    assert_eq!(answers(&output), ["530"]);
    let output = send(&sink, ["starttls", root, ""], &["a@b.test"]).await;
    assert_eq!(answers(&output), ["250"]);
    assert!(sink.mails()[0].secure);

    let sink = Options::new().tls(&issued).unwrap().start().unwrap();
    let output = send(&sink, ["tls", root, ""], &["a@b.test"]).await;
    assert_eq!(answers(&output), ["250"]);
}

#[tokio::test]
async fn mail_is_taken_only_from_who_knows_the_password() {
    let account = |password| Options::new().account("sso", password).start().unwrap();
    let sink = account("secret");
    assert_eq!(
        answers(&send(&sink, ["", "", ""], &["a@b.test"]).await),
        ["530"]
    );
    let output = send(&sink, ["", "", "sso"], &["a@b.test"]).await;
    assert_eq!(answers(&output), ["250"]);
    assert_eq!(sink.mails()[0].user.as_deref(), Some("sso"));
    let output = send(&account("other"), ["", "", "sso"], &["a@b.test"]).await;
    assert!(!output.status.success());
}
