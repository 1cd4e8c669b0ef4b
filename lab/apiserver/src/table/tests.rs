use serde_json::json;

use super::{cells, columns, human};
use crate::profile::Age;
use crate::resources::built_in;

#[test]
fn durations_are_told_as_kubectl_tells_them() {
    let known = [
        (5, "5s"),
        (119, "119s"),
        (120, "2m"),
        (185, "3m5s"),
        (3600, "60m"),
        (11_000, "3h3m"),
        (90_000, "25h"),
        (180_000, "2d2h"),
        (864_000, "10d"),
        (70_000_000, "2y80d"),
    ];
    for (seconds, text) in known {
        assert_eq!(human(seconds), text);
    }
}

#[test]
fn an_ingress_shows_class_hosts_and_address() {
    let ingress = json!({
        "metadata": {"name": "web"}, "spec": {"ingressClassName": "headgate", "rules": [{"host": "a.test"}], "tls": [{}]},
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"hostname": "gate.test"}]}},
    });
    for resource in built_in(Age::default()) {
        let cells = cells(&resource, &ingress);
        let definitions = columns(&resource);
        assert_eq!(
            cells.as_array().map(Vec::len),
            definitions.as_array().map(Vec::len),
            "{}",
            resource.kind
        );
        if resource.kind == "Ingress" {
            assert_eq!(
                cells,
                json!([
                    "web",
                    "headgate",
                    "a.test",
                    "192.0.2.1,gate.test",
                    "80, 443",
                    "<unknown>"
                ])
            );
        }
    }
}
