//! `sso top`: one instance on a terminal, from its metrics.

mod figures;
mod format;
mod page;
mod screen;
mod view;

use std::{
    fmt,
    io::{self, IsTerminal},
    net::SocketAddr,
    time::{Duration, Instant},
};

use clap::Args;
use sso_core::ports::Clock as _;
use sso_web::{probe::loopback, proxies::TrustedProxies};

use self::{
    page::{Interval, Page},
    view::View,
};
use super::{healthcheck::Door, output};
use crate::{
    config::{Config, Loaded},
    exit::{Exit, Failed},
    system::SystemClock,
};

pub(super) const HELP: &str = "\
Rates and percentiles are those of the last interval. Metrics are read from admin.listen of this\n\
configuration, else from http.listen where http.expose_metrics is on.\n\n\
Keys: q quits; up, down, page up and page down move.\n\n\
Examples:\n  \
  sso top\n  \
  sso top --once --interval 10s > frame.txt\n  \
  sso top --address 10.0.0.7:9464";

/// Longest page of metrics that is read.
const MAX_PAGE: u64 = 16 * 1024 * 1024;
/// The width of a frame that goes nowhere with a width.
const WIDTH: u16 = 120;

#[derive(Debug, Args)]
pub(super) struct TopArgs {
    /// Print one frame as text and end.
    #[arg(long)]
    once: bool,

    /// The time that a frame is about, from 100ms to 1h.
    #[arg(long, default_value = "1s", value_parser = interval)]
    interval: Duration,

    /// How long to wait for the metrics, e.g. 2s.
    #[arg(long, default_value = "2s", value_parser = humantime::parse_duration)]
    timeout: Duration,

    /// The admin listener of another instance.
    #[arg(long, value_name = "ADDRESS:PORT")]
    address: Option<SocketAddr>,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let bounds = Duration::from_millis(100)..=Duration::from_hours(1);
    if bounds.contains(&interval) {
        Ok(interval)
    } else {
        Err("take 100ms to 1h".to_owned())
    }
}

/// Shows frames until it is quitted, or prints one.
pub(super) fn run(loaded: &Loaded, args: &TopArgs) -> Result<Exit, Failed> {
    let source = Source::new(&loaded.config, args)?;
    if !args.once && !io::stdout().is_terminal() {
        return Err(Failed::new(
            Exit::Usage,
            "standard output is no terminal: print one frame with --once",
        ));
    }
    let first = source.scrape().map_err(|error| source.away(&error))?;
    if args.once {
        once(&source, &first, args.interval)
    } else {
        screen::show(&source, first, args.interval)
            .map_err(|error| Failed::from_error(Exit::Failure, &error))
    }
}

fn once(source: &Source, first: &Scraped, interval: Duration) -> Result<Exit, Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|error| Failed::from_error(Exit::Failure, &error))?;
    let until = SystemClock.monotonic() + interval;
    runtime.block_on(SystemClock.sleep_until(until));
    let second = source.scrape().map_err(|error| source.away(&error))?;
    let view = source.view(first.until(&second));
    let size = ratatui::crossterm::terminal::size().ok();
    let size = size.filter(|_| io::stdout().is_terminal());
    let width = size.map_or(WIDTH, |(width, _)| width);
    output::print_document(&view.text(width));
    Ok(Exit::Success)
}

/// Where pages come from.
#[derive(Debug)]
struct Source {
    door: Door,
    timeout: Duration,
}

/// A page and when it was there.
#[derive(Debug)]
struct Scraped {
    page: Page,
    at: Instant,
}

impl Scraped {
    fn until<'a>(&'a self, next: &'a Self) -> Interval<'a> {
        let seconds = next.at.saturating_duration_since(self.at).as_secs_f64();
        Interval {
            before: &self.page,
            now: &next.page,
            seconds: seconds.max(0.001),
        }
    }
}

impl Source {
    /// By the configuration, unless another address is said.
    fn new(config: &Config, args: &TopArgs) -> Result<Self, Failed> {
        let door = if let Some(address) = args.address.or(config.admin.listen.address()) {
            Door {
                address: loopback(address),
                tls: config.admin.tls_cert.is_some(),
                proxies: TrustedProxies::default(),
            }
        } else if config.http.expose_metrics {
            Door::of_http(&config.http, loopback(config.http.listen))
        } else {
            return Err(Failed::new(
                Exit::Configuration,
                "this configuration shows metrics nowhere: set admin.listen, or http.expose_metrics",
            ));
        };
        Ok(Self {
            door,
            timeout: args.timeout,
        })
    }

    fn scrape(&self) -> Result<Scraped, Away> {
        let answer = self.door.get("/metrics", self.timeout, MAX_PAGE);
        let answer = answer.map_err(Away::Silent)?;
        let at = Instant::now();
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .unwrap_or((answer.as_str(), ""));
        let status = head.split(' ').nth(1).unwrap_or("no status");
        if status != "200" {
            return Err(Away::Refused(status.to_owned()));
        }
        let page = Page::parse(body);
        if page.is_foreign() {
            return Err(Away::Foreign);
        }
        Ok(Scraped { page, at })
    }

    fn away(&self, why: &Away) -> Failed {
        let scheme = if self.door.tls { "https" } else { "http" };
        let sentence = format!(
            "no metrics at {scheme}://{}/metrics: {why}; is the server of this configuration \
             running?",
            self.door.address
        );
        Failed::new(Exit::Unavailable, sentence)
    }

    fn view(&self, interval: Interval<'_>) -> View {
        let version = interval.now.values("sso_build_info", "version").join(", ");
        let now = SystemClock.now().unix_timestamp_nanos();
        let started = interval.now.value("process_start_time_seconds", &[]);
        #[expect(clippy::cast_precision_loss, reason = "a time for a person")]
        let up = started.map(|started| now as f64 / 1e9 - started);
        let (trust, well) = figures::trust(interval);
        View {
            title: format!(
                "sso {version} at {}, over {:.2} s",
                self.door.address, interval.seconds
            ),
            state: format!("{trust}; up {}", format::seconds(up)),
            well,
            left: figures::traffic(interval),
            right: figures::insides(interval),
        }
    }
}

/// Why there is no page.
#[derive(Debug)]
enum Away {
    Silent(io::Error),
    Refused(String),
    Foreign,
}

impl fmt::Display for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(error) => write!(f, "{error}"),
            Self::Refused(status) => write!(f, "the answer is {status}"),
            Self::Foreign => f.write_str("the page is of another program"),
        }
    }
}
