//! What `kubectl get` prints: columns and cells of each kind (`pkg/printers/internalversion/printers.go`).

mod cells;

#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use crate::clock;
use crate::resources::Resource;

/// A column: its name, and whether it is shown with `-o wide` alone.
type Column = (&'static str, bool);

/// `columnDefinitions`.
pub(crate) fn columns(resource: &Resource) -> Value {
    if resource.custom && !resource.columns.is_empty() {
        return custom_columns(resource);
    }
    let definition = |(name, wide): Column| {
        let format = if name == "Name" { "name" } else { "" };
        json!({"name": name, "type": "string", "format": format, "description": name, "priority": i32::from(wide)})
    };
    columns_of(resource).map(definition).collect()
}

fn custom_columns(resource: &Resource) -> Value {
    let mut definitions = vec![
        json!({"name": "Name", "type": "string", "format": "name", "description": "Name", "priority": 0}),
    ];
    definitions.extend(resource.columns.iter().map(|column| {
        let format = column["format"].as_str().unwrap_or_default();
        let said = column["description"].as_str().unwrap_or_default();
        let priority = column["priority"].as_i64().unwrap_or_default();
        json!({"name": column["name"], "type": column["type"], "format": format, "description": said, "priority": priority})
    }));
    definitions.into()
}

/// The columns of a kind, `+` before those that `-o wide` alone shows.
fn columns_of(resource: &Resource) -> impl Iterator<Item = Column> {
    let columns = match resource.kind.as_str() {
        _ if resource.custom => "Name|Age",
        "Ingress" => "Name|Class|Hosts|Address|Ports|Age",
        "IngressClass" => "Name|Controller|Parameters|Age",
        "Service" => "Name|Type|Cluster-IP|External-IP|Port(s)|Age|+Selector",
        "Pod" => "Name|Ready|Status|Restarts|Age|+IP|+Node|+Nominated Node|+Readiness Gates",
        "Node" => "Name|Status|Roles|Age|Version|+Internal-IP|+External-IP",
        "Event" => "Last Seen|Type|Reason|Object|Message|+Name",
        "Lease" => "Name|Holder|Age",
        "Namespace" => "Name|Status|Age",
        "EndpointSlice" => "Name|AddressType|Ports|Endpoints|Age",
        "Endpoints" => "Name|Endpoints|Age",
        "ConfigMap" => "Name|Data|Age",
        "Secret" => "Name|Type|Data|Age",
        "Deployment" => "Name|Ready|Up-to-date|Available|Age",
        "DaemonSet" => "Name|Desired|Current|Ready|Up-to-date|Available|Node Selector|Age",
        "NetworkPolicy" => "Name|Pod-Selector|Age",
        _ => "Name|Age",
    };
    columns.split('|').map(|column| match column.strip_prefix('+') {
        Some(wide) => (wide, true),
        None => (column, false),
    })
}

/// The cells of an object, in the order of its columns.
pub(crate) fn cells(resource: &Resource, value: &Value) -> Value {
    if resource.custom && !resource.columns.is_empty() {
        let mut cells = vec![value["metadata"]["name"].clone()];
        cells.extend(resource.columns.iter().map(|column| custom_cell(column, value)));
        return cells.into();
    }
    columns_of(resource)
        .map(|(column, _)| Value::from(cells::cell(&resource.kind, column, value)))
        .collect()
}

/// A cell by a simple path: `.spec.priority`.
fn custom_cell(column: &Value, value: &Value) -> Value {
    let path = column["jsonPath"].as_str().unwrap_or_default();
    let found = path
        .split('.')
        .filter(|step| !step.is_empty())
        .fold(value, |value, step| &value[step]);
    match column["type"].as_str() {
        Some("date") => found.as_str().map_or(Value::Null, |time| age(time).into()),
        _ => found.clone(),
    }
}

/// How long ago a time is, as `duration.HumanDuration` tells it.
fn age(time: &str) -> String {
    let (Some(then), Some(now)) = (clock::parse(time), clock::parse(&clock::now())) else {
        return "<unknown>".into();
    };
    human(now.saturating_sub(then))
}

fn human(seconds: u64) -> String {
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    let with_rest = |whole: u64, unit: &str, rest: u64, below: &str| match rest {
        0 => format!("{whole}{unit}"),
        rest => format!("{whole}{unit}{rest}{below}"),
    };
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => with_rest(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => with_rest(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => with_rest(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => with_rest(years, "y", days % 365, "d"),
        _ => format!("{years}y"),
    }
}
