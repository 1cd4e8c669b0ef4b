"""cert-manager, its ACME server and external-dns beside Headgate, for scripts/check-issuers; and what a kubelet does for
the pods that cert-manager makes.
"""

import base64
import json
import pathlib
import re
import threading

from cluster import PORT, Process, run, wait_for
from gateway import SERVICE, Bed, curl

# Of the node with the gateway, and of the pods of challenges.
LINK = ("203.0.113.1", "203.0.113.2")
SOLVERS = "192.0.2.{}"
DIRECTORY = "https://localhost:14000/dir"
SOLVER = {"acme.cert-manager.io/http01-solver": "true"}
CHANGE = re.compile(r"(CREATE|UPDATE \(new\)|DELETE): (\S+) (\d+) IN (\w+) +(\S+)")


def node(name: str, address: str):
    """A network namespace with one interface, by which all comes and goes."""
    run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    run("ip", "address", "add", f"{SERVICE}/32", "dev", "lo")
    cable(name, LINK[0], LINK[1])
    run("ip", "-n", name, "address", "add", f"{address}/32", "dev", "eth0")
    run("ip", "route", "add", address, "via", LINK[1])
    # What is forwarded without its checksum is no packet as it would come from outside.
    run("ethtool", "-K", name, "tx", "off")


def cable(name: str, here: str, there: str):
    """To a network namespace of that name, for which all else is here."""
    run("ip", "netns", "add", name)
    run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
    run("ip", "address", "add", f"{here}/32", "peer", there, "dev", name)
    run("ip", "link", "set", name, "up")
    inside = ["ip", "-n", name]
    run(*inside, "link", "set", "lo", "up")
    run(*inside, "address", "add", f"{there}/32", "peer", here, "dev", "eth0")
    run(*inside, "link", "set", "eth0", "up")
    run(*inside, "route", "add", "default", "via", here)


def name_hosts(files: pathlib.Path, hosts: dict[str, str]):
    """For all programs here: there is no other resolver."""
    lines = ["127.0.0.1 localhost", *(f"{address} {host}" for host, address in hosts.items())]
    (files / "hosts").write_text("\n".join(lines) + "\n")
    run("mount", "--bind", files / "hosts", "/etc/hosts")


class Solvers:
    """The kubelet and the controller of EndpointSlices, as far as solvers are concerned: each pod has a network namespace in
    which the program of its image runs with the arguments of its container.
    """

    def __init__(self, bed: Bed):
        self.bed, self.begun, self.running, self.slices = bed, 0, {}, {}
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.go, daemon=True)
        self.thread.start()

    def go(self):
        while not self.over.wait(0.2):
            try:
                self.look()
            except (OSError, ValueError) as error:
                self.bed.complain(f"a solver's pod: {error}")

    def look(self):
        pods = {pod["metadata"]["uid"]: pod for pod in self.listed("pods")}
        for uid in pods.keys() - self.running.keys():
            self.running[uid] = self.start(pods[uid])
        for uid in self.running.keys() - pods.keys():
            self.stop(*self.running.pop(uid))
        services = {service["metadata"]["name"]: service for service in self.listed("services")}
        for name, service in services.items():
            self.fill(name, service["spec"]["selector"], pods)
        for name in self.slices.keys() - services.keys():
            self.bed.cluster.must("DELETE", f"/apis/discovery.k8s.io/v1/namespaces/web/endpointslices/{name}-x")
            del self.slices[name]

    def listed(self, kind: str) -> list[dict]:
        status, answer = self.bed.cluster.ask("GET", f"/api/v1/namespaces/web/{kind}?labelSelector={'%3D'.join(*SOLVER.items())}")
        if status != 200:
            raise ValueError(f"cannot list {kind}: {status}")
        return answer["items"]

    def start(self, pod: dict) -> tuple[str, Process]:
        self.begun += 1
        address, name = SOLVERS.format(100 + self.begun), f"solver{self.begun}"
        cable(name, LINK[0], address)
        command = ["ip", "netns", "exec", name, self.bed.options.acmesolver, *pod["spec"]["containers"][0]["args"]]
        process = Process(self.bed.files / f"{name}.log", command)
        ready = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": [{"type": "Ready", "status": "True"}]}
        self.bed.cluster.ask("PATCH", f"/api/v1/namespaces/web/pods/{pod['metadata']['name']}/status", {"status": ready})
        return address, process

    def stop(self, address: str, process: Process):
        process.end()
        run("ip", "netns", "delete", process.log.stem)

    def fill(self, service: str, selector: dict, pods: dict):
        chosen = [uid for uid, pod in pods.items() if selector.items() <= pod["metadata"]["labels"].items()]
        addresses = [self.running[uid][0] for uid in chosen]
        if self.slices.get(service) != addresses:
            self.bed.slice("web", service, addresses, 8089, "http")
            self.slices[service] = addresses

    def end(self):
        self.over.set()
        self.thread.join()
        for address, process in self.running.values():
            self.stop(address, process)


def acme(bed: Bed) -> Process:
    """Pebble; what it finds of a challenge counts, each time anew."""
    at = bed.files
    config = {
        "listenAddress": "127.0.0.1:14000", "managementListenAddress": "127.0.0.1:15000", "httpPort": 80, "tlsPort": 443,
        "certificate": str(at / "server.crt"), "privateKey": str(at / "server.key"),
    }
    (at / "pebble.json").write_text(json.dumps({"pebble": config}))
    environment = {"PEBBLE_AUTHZREUSE": "0"}
    process = Process(at / "pebble.log", [bed.options.pebble, "-config", at / "pebble.json"], environment)
    wait_for("the ACME server answers", lambda: curl(DIRECTORY)[0] == "200")
    (at / "root.crt").write_text(curl("https://localhost:15000/roots/0")[1])
    return process


def cert_manager(bed: Bed) -> Process:
    """The controller alone, as in a cluster of which it may do everything; its CustomResourceDefinitions without the chart's words."""
    for file in bed.options.crds:
        text = re.sub(r"""(['"])\{\{.*?\}\}\1""", "cert-manager", file.read_text())
        bed.apply(file.name, text, "--server-side")
    bed.namespace("cert-manager")
    wait_for("its kinds are served", lambda: bed.cluster.ask("GET", "/apis/acme.cert-manager.io/v1/challenges")[0] == 200)
    return Process(bed.files / "cert-manager.log", [
        bed.options.cert_manager, "--kubeconfig", bed.files / "kubeconfig", "--cluster-resource-namespace=cert-manager",
        "--leader-elect=false", "--v=2",
    ])


def issuer(bed: Bed, name: str, solver: dict):
    authority = base64.b64encode((bed.files / "ca.crt").read_bytes()).decode()
    spec = {"acme": {
        "server": DIRECTORY, "caBundle": authority, "email": "somebody@example.com", "privateKeySecretRef": {"name": f"{name}-account"},
        "solvers": [{"http01": {"ingress": solver}}],
    }}
    issuers = "/apis/cert-manager.io/v1/clusterissuers"
    bed.cluster.must("POST", issuers, {"apiVersion": "cert-manager.io/v1", "kind": "ClusterIssuer", "metadata": {"name": name}, "spec": spec})
    wait_for(f"the issuer {name} is ready", lambda: holds(bed.cluster.get(f"{issuers}/{name}"), "Ready"))


def holds(thing: dict, condition: str) -> bool:
    conditions = thing.get("status", {}).get("conditions", [])
    return any(entry["type"] == condition and entry["status"] == "True" for entry in conditions)


class Records:
    """external-dns with a zone in its memory, of which its log tells each change."""

    def __init__(self, bed: Bed):
        self.process = Process(bed.files / "external-dns.log", [
            bed.options.external_dns, "--kubeconfig", bed.files / "kubeconfig", "--server", f"https://127.0.0.1:{PORT}",
            "--source=ingress", "--source=service", "--provider=inmemory", "--inmemory-zone=example.com", "--registry=noop",
            "--policy=sync", "--interval=1s",
        ])

    def now(self) -> dict[str, tuple]:
        """Of each name the kind, the time to live and the targets."""
        records = {}
        for change, name, life, kind, targets in CHANGE.findall(self.process.log.read_text()):
            if change == "DELETE":
                records.pop((name, kind), None)
            else:
                records[name, kind] = (int(life), *sorted(targets.split(";")))
        return {name: (kind, *rest) for (name, kind), rest in records.items()}
