//! The README's tour through a system that `cargo xtask stack up` has started: what people do by
//! hand, done by a test. `cargo xtask test --tour` starts it, runs this, and takes it down.

#![expect(clippy::print_stdout, reason = "figures for who goes on the tour")]

use std::{
    net::SocketAddr,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::{Value, json};
use sso_testkit::{
    browser::Browser,
    http::Http,
    persona::{self, Persona, auth},
};
use tokio::time::sleep;

/// For what a busy machine does within a second.
const LONG: Duration = Duration::from_mins(1);
/// Longest start of everything, in seconds, when what it needs is installed.
const UP: f64 = 90.0;
/// Clients that use the system while its leader dies.
const CLIENTS: usize = 4;
/// A password as the README's lines have it is for development mode only.
const PASSWORD: &str = "correct horse battery";

/// The system that is up.
struct Stack {
    status: Value,
}

impl Stack {
    fn command(words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sso-stack"));
        command.args(words);
        command
    }

    fn say(words: &[&str]) -> Result<String> {
        let output = Self::command(words).output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{words:?}: {said}");
        Ok(String::from_utf8(output.stdout)?)
    }

    fn look() -> Result<Self> {
        let said = Self::say(&["status", "--json"])?;
        let status = serde_json::from_str(&said).context(said)?;
        Ok(Self { status })
    }

    fn address(&self, of: &str) -> Result<SocketAddr> {
        let text = self.status[of].as_str();
        Ok(text.with_context(|| format!("no {of}"))?.parse()?)
    }

    fn http(&self, of: &str) -> Result<Http> {
        Ok(Http::new(self.address(of)?))
    }
}

/// curl, as the README has it; status and body.
fn curl(words: &[&str], url: &str) -> Result<(u16, Value)> {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--max-time", "30", "-w", "\n%{http_code}"])
        .args(words)
        .arg(url);
    let output = curl.stderr(Stdio::inherit()).output()?;
    let said = String::from_utf8(output.stdout)?;
    let (body, status) = said.rsplit_once('\n').context("no status")?;
    let body = serde_json::from_str(body).with_context(|| said.clone())?;
    Ok((status.parse()?, body))
}

/// Asks until there is something to see.
async fn until<T>(what: &str, look: impl AsyncFn() -> Result<Option<T>>) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        ensure!(started.elapsed() < LONG, "not within {LONG:?}: {what}");
        sleep(Duration::from_millis(100)).await;
    }
}

/// A name that no run before had: the stack may be up for longer than this test.
fn unique(name: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let id = std::process::id();
    format!("{name}-{id}-{}", NEXT.fetch_add(1, Relaxed))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the whole system: cargo xtask test --tour"]
async fn what_the_readme_shows_works_on_the_whole_system() -> Result<()> {
    let stack = Stack::look()?;
    let took = stack.status["started_in_seconds"].as_f64();
    let took = took.context("no time")?;
    println!("the stack was ready in {took:.1} s");
    ensure!(took <= UP, "{took} s");
    by_curl(&stack).await?;
    by_grpc(&stack).await?;
    by_browser(&stack).await?;
    a_dashboard(&stack).await?;
    a_failover_under_load(&stack).await
}

/// A registration becomes a trace, a mail and points.
async fn by_curl(stack: &Stack) -> Result<()> {
    let http = stack.address("http")?;
    let email = format!("{}@example.com", unique("test"));
    let who = json!({ "email": email, "password": PASSWORD }).to_string();
    let json = "content-type: application/json";
    // HAProxy is trusted: what it hands on is one tree with what came before.
    let trace = format!("{:032x}", u128::from(std::process::id()) + (1 << 64));
    let parent = format!("traceparent: 00-{trace}-00f067aa0ba902b7-01");
    let words = ["-H", json, "-H", &parent, "-d", &who];
    let (status, body) = curl(&words, &format!("http://{http}/auth/registration"))?;
    ensure!(status == 201, "{body}");
    let (status, body) = curl(
        &["-H", json, "-d", &who],
        &format!("http://{http}/auth/login"),
    )?;
    ensure!(status == 200, "{body}");
    let access = body["access_token"]
        .as_str()
        .context("no token")?
        .to_owned();
    let id = body["user_id"].as_str().context("no id")?.to_owned();
    let bearer = format!("authorization: Bearer {access}");
    let (status, body) = curl(&["-H", &bearer], &format!("http://{http}/auth/info"))?;
    ensure!(status == 200 && body["email"] == *email, "{body}");

    let mail = until("the welcome mail", async || {
        let status = Stack::look()?.status;
        let mails = status["mails"].as_array().cloned().unwrap_or_default();
        Ok(mails.into_iter().find(|mail| mail["to"][0] == *email))
    })
    .await?;
    println!("a mail: {mail}");

    let loyalty = stack.address("loyalty")?;
    let account = format!("http://{loyalty}/loyalty/{id}");
    let balance = until("the welcome points", async || {
        let (status, body) = curl(&["-H", &bearer], &account)?;
        Ok((status == 200).then_some(body))
    })
    .await?;
    ensure!(balance["balance"] == 100, "{balance}");

    let traces = stack.http("traces")?;
    let spans = until("the trace of the registration", async || {
        let reply = traces.get(&format!("/api/traces/{trace}"), None).await?;
        let spans = reply.json();
        let names: Vec<_> = spans.as_array().into_iter().flatten().collect();
        let has = |name: &str| names.iter().any(|span| span["name"] == name);
        Ok((has("POST /auth/registration") && has("send registration")).then_some(spans))
    })
    .await?;
    println!("a trace of {} spans", spans.as_array().map_or(0, Vec::len));

    let token = json!({ "token": access }).to_string();
    let (status, body) = curl(
        &["-H", json, "-d", &token],
        &format!("http://{http}/auth/logout"),
    )?;
    ensure!(status == 200, "{body}");
    let (status, body) = curl(&["-H", &bearer], &format!("http://{http}/auth/info"))?;
    ensure!(status == 401 && body["code"] == "token_revoked", "{body}");
    Ok(())
}

/// The seed's rpcs, through the balancer.
async fn by_grpc(stack: &Stack) -> Result<()> {
    let mut client = persona::connect(stack.address("grpc")?).await?;
    let email = format!("{}@example.com", unique("grpc"));
    let registered = client
        .register(auth::RegisterRequest {
            email: email.clone(),
            password: PASSWORD.to_owned(),
        })
        .await?;
    let login = auth::LoginRequest {
        email,
        password: PASSWORD.to_owned(),
    };
    let tokens = client.login(login).await?.into_inner();
    let validate = auth::ValidateRequest {
        token: tokens.access_token.clone(),
    };
    let valid = client.validate(validate.clone()).await?.into_inner();
    ensure!(valid.success && valid.user_id == registered.into_inner().user_id);
    let logout = auth::LogoutRequest {
        token: tokens.access_token,
    };
    client.logout(logout).await?;
    let refused = client.validate(validate).await;
    ensure!(refused.is_err_and(|status| status.code() == tonic::Code::Unauthenticated));
    Ok(())
}

/// Swagger's pages of both ports and of loyalty.
async fn by_browser(stack: &Stack) -> Result<()> {
    let browser = Browser::start().await?;
    let who = json!({ "email": format!("{}@example.com", unique("page")), "password": PASSWORD });
    let who = who.to_string();
    let http = stack.address("http")?;
    browser.swagger(http, "/swagger/index.html").await?;
    let answer = browser.try_out("/auth/registration", &who).await?;
    ensure!(answer.contains("201"), "{answer}");
    let grpc = stack.address("grpc")?;
    browser.swagger(grpc, "/sw/").await?;
    let answer = browser.try_out("/sso/login", &who).await?;
    ensure!(answer.contains("accessToken"), "{answer}");
    let loyalty = stack.address("loyalty")?;
    browser.swagger(loyalty, "/swagger/index.html").await
}

/// The first query of our dashboards that is about logins.
fn query_of_logins() -> Result<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/grafana/dashboards");
    for file in std::fs::read_dir(folder)? {
        let board: Value = serde_json::from_str(&std::fs::read_to_string(file?.path())?)?;
        let panels = board["panels"].as_array().context("no panels")?;
        let mut queries = panels
            .iter()
            .flat_map(|panel| panel["targets"].as_array().into_iter().flatten())
            .filter_map(|target| target["expr"].as_str());
        if let Some(query) = queries.find(|query| query.contains("rate(sso_logins_total")) {
            return Ok(query.replace("$__rate_interval", "1m"));
        }
    }
    anyhow::bail!("no panel shows logins")
}

/// What a panel of a dashboard asks Prometheus for has an answer.
async fn a_dashboard(stack: &Stack) -> Result<()> {
    let query = query_of_logins()?;
    let prometheus = stack.http("prometheus")?;
    let path: String = query
        .bytes()
        .fold("/api/v1/query?query=".to_owned(), |path, byte| {
            format!("{path}%{byte:02X}")
        });
    let seen = until("logins on the dashboard", async || {
        let reply = prometheus.get(&path, None).await?.json();
        let series = reply["data"]["result"].as_array().cloned();
        let mut found = series.into_iter().flatten();
        let number = |found: &Value| {
            found["value"][1]
                .as_str()
                .and_then(|n| n.parse::<f64>().ok())
        };
        Ok(found.find(|found| number(found).is_some_and(|number| number > 0.0)))
    })
    .await?;
    println!("{query}: {seen}");
    Ok(())
}

/// What clients were told while the leader died.
#[derive(Debug, Default)]
struct Told {
    stop: AtomicBool,
    acknowledged: AtomicUsize,
    unavailable: AtomicUsize,
    validated: AtomicUsize,
}

/// Nothing that was acknowledged is lost, and no valid token is called invalid.
async fn a_failover_under_load(stack: &Stack) -> Result<()> {
    let (http, grpc) = (stack.http("http")?, stack.address("grpc")?);
    let told = Arc::new(Told::default());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| tokio::spawn(client(http.clone(), grpc, told.clone())))
        .collect();
    let enough = async |more: usize| {
        let wanted = told.acknowledged.load(Relaxed) + more;
        until("registrations go on", async || {
            Ok((told.acknowledged.load(Relaxed) >= wanted).then_some(()))
        })
        .await
    };
    let failover = async {
        enough(20).await?;
        let fault = tokio::task::spawn_blocking(|| Stack::say(&["chaos", "kill-leader"]));
        let said = fault.await??;
        ensure!(said.contains("leads"), "{said}");
        println!("{}", said.trim());
        enough(20).await
    };
    let done = failover.await;
    told.stop.store(true, Relaxed);
    let mut people = Vec::new();
    for client in clients {
        people.extend(client.await??);
    }
    done?;
    println!(
        "{} registered, {} were told to come again, {} validated",
        people.len(),
        told.unavailable.load(Relaxed),
        told.validated.load(Relaxed)
    );
    until("everything is ready again", async || {
        let status = Stack::look()?.status;
        let ready = status["ready"].as_object().context("no programs")?;
        Ok(ready.values().all(|ready| *ready == true).then_some(()))
    })
    .await?;
    for person in &mut people {
        let reply = person.login().await?;
        ensure!(reply.status == 200, "{}: {reply:?}", person.email);
    }
    Ok(())
}

/// Registers and validates until it is told to stop; whom it has registered.
async fn client(http: Http, grpc: SocketAddr, told: Arc<Told>) -> Result<Vec<Persona>> {
    let mut service = persona::connect(grpc).await?;
    let mut people: Vec<Persona> = Vec::new();
    while !told.stop.load(Relaxed) {
        let name = unique("load");
        let body = json!({ "email": format!("{name}@example.com"), "password": format!("the secret of {name}") });
        let json = [("content-type", "application/json")];
        let sent = http.send(Method::POST, "/auth/registration", &json, body.to_string());
        match tokio::time::timeout(LONG, sent)
            .await
            .context("no answer")?
        {
            Ok(reply) if reply.status == 201 => {
                people.push(Persona::of(&http, &name, &reply)?);
                told.acknowledged.fetch_add(1, Relaxed);
            }
            // Nobody knows what became of it, or nothing did: he would come again.
            Ok(reply) if matches!(reply.status.as_u16(), 502..=504) => {
                told.unavailable.fetch_add(1, Relaxed);
                sleep(Duration::from_millis(200)).await;
            }
            Ok(reply) => anyhow::bail!("{name}: {reply:?}"),
            Err(_) => {
                told.unavailable.fetch_add(1, Relaxed);
            }
        }
        let Some(person) = people.last() else {
            continue;
        };
        let token = person.access.clone();
        match service.validate(auth::ValidateRequest { token }).await {
            Ok(_) => {
                told.validated.fetch_add(1, Relaxed);
            }
            Err(status) if status.code() == tonic::Code::Unauthenticated => {
                anyhow::bail!("a valid token was refused: {status}")
            }
            Err(_) => sleep(Duration::from_millis(200)).await,
        }
    }
    Ok(people)
}
