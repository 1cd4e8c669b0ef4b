//! What flags of ingress-nginx bring, as somebody with kubectl and curl sees it.

use headgate_apiserver::{Entry, Settings};
use serde_json::json;

use crate::bed::{Bed, ingress};

/// What is wrong, or of no use, each in its own way.
fn objects() -> [String; 6] {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "shop", "name": "tcp"},
                     "data": {"9000": "shop/nothing:80", "9001": "shop/web:80:PROXY"}});
    let elsewhere = ingress("elsewhere", "elsewhere.example.com", "elsewhere");
    let external = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "shop", "name": "elsewhere"},
                          "spec": {"type": "ExternalName", "externalName": "www.example.com"}});
    let class = json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "nginx"},
                       "spec": {"controller": "k8s.io/ingress-nginx"}});
    let mut theirs = ingress("theirs", "theirs.example.com", "web");
    theirs["spec"]["ingressClassName"] = json!("nginx");
    theirs["metadata"]["annotations"] = json!({"nginx.ingress.kubernetes.io/ssl-redirect": "false"});
    let balancer = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "shop", "name": "balancer"},
                          "spec": {"type": "LoadBalancer", "loadBalancerClass": "headgate.dev/load-balancer",
                                   "ports": [{"port": 5432}]}});
    [map, elsewhere, external, class, theirs, balancer].map(|object| object.to_string())
}

#[test]
fn kubectl_sees_what_becomes_of_maps_classes_and_services() {
    let flags = [
        "--default-backend-service=shop/web",
        "--tcp-services-configmap=shop/tcp",
    ];
    let bed = Bed::with(Settings::default(), &flags);
    bed.kubectl(&["apply", "-f", "-"], &bed.manifests());
    bed.kubectl(&["apply", "-f", "-"], &objects().join("\n"));

    let describes = |kind: &str, name: &str, text: &str| {
        bed.until(text, || {
            bed.kubectl(&["describe", kind, "-n", "shop", name], "")
                .contains(text)
        });
    };
    describes(
        "configmap",
        "tcp",
        "Service shop/nothing does not exist; the entry is left out",
    );
    describes(
        "configmap",
        "tcp",
        "the PROXY protocol is not supported; the entry is left out",
    );
    describes(
        "ingress",
        "elsewhere",
        "is an ExternalName, which is not supported",
    );
    describes(
        "ingressclass",
        "nginx",
        "--controller-class=k8s.io/ingress-nginx does",
    );
    bed.until_answered("elsewhere.example.com", "/", 503);

    // What no rule matches, as long as there is somebody.
    bed.until_answered("nobody.example.com", "/", 200);
    bed.kubectl(&["delete", "endpointslice", "-n", "shop", "web-x"], "");
    bed.until_answered("nobody.example.com", "/", 404);
    describes(
        "service",
        "web",
        "--default-backend-service: has no endpoint that is ready",
    );

    // The kernel's sockets balance nobody, and nobody is told that they do.
    let services = bed.kubectl(&["get", "service", "-n", "shop", "balancer"], "");
    assert!(services.contains("<pending>"), "{services}");
    // Of ConfigMaps one is followed, by its name.
    let followed =
        |entry: &Entry| entry.resource == "configmaps" && ["list", "watch"].contains(&&*entry.verb);
    let all = bed.server.journal().count(followed);
    let named = bed.server.journal().count(|entry| {
        followed(entry) && entry.path.contains("/shop/") && entry.query.contains("metadata.name%3Dtcp")
    });
    assert!(all > 0 && all == named, "{named} of {all}");
    bed.stop();
}
