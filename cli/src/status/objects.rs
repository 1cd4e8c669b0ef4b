//! What is counted of each Service, route and upstream, as a person reads it: the busiest first.

use std::cmp::Reverse;
use std::fmt::{self, Write};

use headgate_dataplane::telemetry::{HttpRouteStatus, ServiceStatus, Status, UpstreamStatus};
use headgate_net::record::{Class, RouteCount, ServiceCount, UpstreamCount, UpstreamGauge};

/// Lines of each table among other things.
const SHORT: usize = 10;

/// Which objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Objects {
    Services,
    Routes,
    Upstreams,
}

impl Objects {
    /// Its name in commands.
    const fn name(self) -> &'static str {
        match self {
            Self::Services => "services",
            Self::Routes => "routes",
            Self::Upstreams => "upstreams",
        }
    }

    /// All of them in one table.
    pub(super) fn all(self, status: &Status) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text, status, usize::MAX);
        text
    }

    /// The busiest of them, after an empty line; nothing where there is none.
    pub(super) fn short(self, out: &mut String, status: &Status) -> fmt::Result {
        let mut text = String::new();
        self.write(&mut text, status, SHORT)?;
        if !text.is_empty() {
            write!(out, "\n{text}")?;
        }
        Ok(())
    }

    fn write(self, out: &mut String, status: &Status, most: usize) -> fmt::Result {
        match self {
            Self::Services => {
                let mut all: Vec<_> = status.services.iter().collect();
                all.sort_by_key(|service| Reverse(service.counts[ServiceCount::PacketsIn]));
                self.table(out, "SERVICES", SERVICES, &all, most, |one| service(one))
            }
            Self::Routes => {
                let mut all: Vec<_> = status.http_routes.iter().collect();
                all.sort_by_key(|route| Reverse(route.answered()));
                self.table(out, "ROUTES", ROUTES, &all, most, |one| route(one))
            }
            Self::Upstreams => {
                let mut all: Vec<_> = status.upstreams.iter().collect();
                all.sort_by_key(|upstream| Reverse(upstream.counts[UpstreamCount::Requests]));
                self.table(out, "UPSTREAMS", UPSTREAMS, &all, most, |one| upstream(one))
            }
        }
    }

    fn table<T>(
        self,
        out: &mut String,
        title: &str,
        head: &str,
        all: &[T],
        most: usize,
        line: impl Fn(&T) -> String,
    ) -> fmt::Result {
        if all.is_empty() {
            return Ok(());
        }
        writeln!(out, "{title}\n  {head}")?;
        for one in all.iter().take(most) {
            writeln!(out, "  {}", line(one))?;
        }
        match all.len().saturating_sub(most) {
            0 => Ok(()),
            more => writeln!(out, "  and {more} more: headgate status {}", self.name()),
        }
    }
}

const SERVICES: &str =
    "     flows  packets in       bytes  packets out      bytes  refused  service, address and backends";

fn service(service: &ServiceStatus) -> String {
    let count = |id| service.counts[id];
    let refused = count(ServiceCount::WithoutBackend) + count(ServiceCount::Denied);
    let backends = match service.backends {
        1 => "1 backend".to_owned(),
        many => format!("{many} backends"),
    };
    format!(
        "{:>10} {:>11} {:>11} {:>12} {:>10} {:>8}  {}  {} {}  {backends}",
        count(ServiceCount::Flows),
        count(ServiceCount::PacketsIn),
        bytes(count(ServiceCount::BytesIn)),
        count(ServiceCount::PacketsOut),
        bytes(count(ServiceCount::BytesOut)),
        refused,
        service.name,
        service.protocol,
        service.address,
    )
}

const ROUTES: &str =
    "  requests       4xx       5xx   mean time    received        sent  Ingress, host and path";

fn route(route: &HttpRouteStatus) -> String {
    let host = if route.host.is_empty() { "*" } else { &route.host };
    let conditions = match route.conditions.as_str() {
        "" => String::new(),
        some => format!(" {some}"),
    };
    format!(
        "{:>10} {:>9} {:>9} {:>11} {:>11} {:>11}  {}  {host}{} ({}){conditions}",
        route.answered(),
        route.requests[Class::ClientError],
        route.requests[Class::ServerError],
        mean(route.total_microseconds, route.answered()),
        bytes(route.counts[RouteCount::RequestBytes]),
        bytes(route.counts[RouteCount::ResponseBytes]),
        route.ingress,
        route.path,
        route.path_type,
    )
}

const UPSTREAMS: &str =
    "  requests     now  retries  no endpoint  no connection  bad or late   mean time  upstream";

fn upstream(upstream: &UpstreamStatus) -> String {
    let count = |id| upstream.counts[id];
    format!(
        "{:>10} {:>7} {:>8} {:>12} {:>14} {:>12} {:>11}  {}",
        count(UpstreamCount::Requests),
        upstream.now[UpstreamGauge::Active],
        count(UpstreamCount::Retries),
        count(UpstreamCount::WithoutEndpoint),
        count(UpstreamCount::ConnectFailed) + count(UpstreamCount::ConnectTimeouts),
        count(UpstreamCount::BadResponses) + count(UpstreamCount::ResponseTimeouts),
        mean(upstream.latency.total_us, upstream.latency.count()),
        upstream.name,
    )
}

/// `-` where nothing was measured.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn mean(microseconds: u64, count: u64) -> String {
    match count {
        0 => "-".to_owned(),
        count => format!("{:.3} ms", microseconds as f64 / count as f64 / 1e3),
    }
}

/// In units of 1,024, with three digits or so.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(super) fn bytes(count: u64) -> String {
    let mut units = ["KiB", "MiB", "GiB", "TiB"].into_iter();
    let (mut value, mut unit) = (count as f64, "B");
    while value >= 1_000.0
        && let Some(next) = units.next()
    {
        (value, unit) = (value / 1_024.0, next);
    }
    match unit {
        "B" => format!("{count} B"),
        unit => format!("{value:.1} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use headgate_net::record::Snapshot;

    use super::*;

    fn route(path: &str, requests: u64) -> HttpRouteStatus {
        HttpRouteStatus {
            ingress: "shop/web".into(),
            host: "shop.example".into(),
            path: path.into(),
            path_type: "Prefix".into(),
            requests: Snapshot::of(|class| if class == Class::Success { requests } else { 0 }),
            total_microseconds: 1_500 * requests,
            ..HttpRouteStatus::default()
        }
    }

    #[test]
    fn the_busiest_routes_come_first_and_the_rest_is_counted() {
        let status = Status {
            http_routes: (0..12).map(|n| route(&format!("/{n}"), n)).collect(),
            ..Status::default()
        };
        let mut short = String::new();
        Objects::Routes.short(&mut short, &status).unwrap();
        let lines: Vec<_> = short.lines().collect();
        assert!(
            lines[3].contains(" 11 ") && lines[3].ends_with("shop/web  shop.example/11 (Prefix)"),
            "{short}"
        );
        assert!(lines[3].contains(" 1.500 ms "), "{short}");
        assert_eq!(lines.last().unwrap().trim(), "and 2 more: headgate status routes");
        let all = Objects::Routes.all(&status);
        assert!(all.lines().count() == 14 && all.contains(" - "), "{all}");
    }

    #[test]
    fn nothing_is_said_of_what_is_not_there() {
        let mut text = String::new();
        for objects in [Objects::Services, Objects::Routes, Objects::Upstreams] {
            objects.short(&mut text, &Status::default()).unwrap();
        }
        assert_eq!(text, "");
    }

    #[test]
    fn upstreams_tell_what_went_wrong() {
        let mut status = Status::default();
        status.upstreams.push(UpstreamStatus {
            name: "shop/web:80".into(),
            counts: Snapshot::of(|id: UpstreamCount| id as u64 + 1),
            ..UpstreamStatus::default()
        });
        let all = Objects::Upstreams.all(&status);
        let line: Vec<_> = all.lines().nth(2).unwrap().split_whitespace().collect();
        // In the order of the table: 1 request, 2 without endpoint, 3 and 4 connects, 5 late, 6 bad, 7 retries.
        assert_eq!(line, ["1", "0", "7", "2", "7", "11", "-", "shop/web:80"]);
    }

    #[test]
    fn bytes_have_units() {
        let texts = [0, 999, 1_000, 1_024, 1_536 << 10, 3 << 40, 5_000 << 40].map(bytes);
        assert_eq!(
            texts,
            [
                "0 B",
                "999 B",
                "1.0 KiB",
                "1.0 KiB",
                "1.5 MiB",
                "3.0 TiB",
                "5000.0 TiB"
            ]
        );
    }
}
