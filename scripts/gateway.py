"""Headgate in front of a real API server, for scripts/check-apiserver and check-issuers: the pod's planes, and what
controllers and the kubelet would have made for them.
"""

import http.server
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading

from cluster import PORT, Cluster, Process, run, wait_for

ROOT = pathlib.Path(__file__).resolve().parent.parent
CREDENTIALS = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")
# Of nodes, which serve, inside and outside; and of pods.
NODES = {"one": ("192.0.2.1", "198.51.100.1"), "two": ("192.0.2.2", "198.51.100.2")}
# Of the API server inside the cluster.
SERVICE = "10.96.0.1"
PODS = ["192.0.2.11", "192.0.2.12"]
ACCOUNT = "system:serviceaccount:headgate:headgate"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/headgate/leases/headgate-leader"
INGRESSES = "/apis/networking.k8s.io/v1/namespaces/web/ingresses"
SERVICES = "/api/v1/namespaces/web/services"
CERTIFICATE = "/api/v1/namespaces/headgate/secrets/headgate-admission"
# What kubectl says that is no fault of ours: namespaces are there before; examples are for all versions of the API, and
# show what some have no longer, or not yet.
EXPECTED = [
    "last-applied-configuration", "spec.externalIPs is deprecated",
    'unknown field "unhealthyPodEvictionPolicy"', 'unknown field "loadBalancerClass"', "may not contain more than 1 protocol when type is 'LoadBalancer'",
]


class Gateway:
    """Both planes of a pod, with the flags and variables of the manifest, on a node of its own: an address of this one, or
    a network namespace, where packets come by its interface and the API server is where its Service says.
    """

    def __init__(self, bed, name: str, apart: bool = False):
        self.bed, self.name, self.address = bed, name, NODES[name][0]
        self.inside = ["ip", "netns", "exec", name] if apart else []
        self.pod = f"headgate-{name}"
        self.run_dir = bed.files / f"run-{name}"
        self.run_dir.mkdir(exist_ok=True)
        containers = {thing["name"]: thing for thing in bed.workload["spec"]["template"]["spec"]["containers"]}
        self.dataplane = self.start("dataplane", containers)
        self.controlplane = self.start("controlplane", containers)

    def start(self, plane: str, containers: dict | None = None, *more: str) -> Process:
        containers = containers or {thing["name"]: thing for thing in self.bed.workload["spec"]["template"]["spec"]["containers"]}
        arguments = [self.flag(text) for text in containers[plane]["args"]]
        if plane == "controlplane":
            arguments += ["--election-ttl=4s", *more]
        known = {"status.hostIP": self.address, "metadata.name": self.pod, "metadata.namespace": "headgate"}
        environment = {"PATH": os.environ["PATH"], "KUBERNETES_SERVICE_HOST": SERVICE if self.inside else "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(PORT)}
        for variable in containers[plane]["env"]:
            reference = variable.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
            environment[variable["name"]] = known[reference] if reference else variable["value"]
        return Process(self.bed.files / f"{plane}-{self.name}.log", [*self.inside, self.bed.program, *arguments], environment)

    def flag(self, text: str) -> str:
        text = text.replace("$(HOST_IP)", self.address)
        text = text.replace("--validating-webhook=:", f"--validating-webhook={self.address}:")
        if text == "--port=default-route" and not self.inside:
            return "--port=kernel"
        return f"--run-dir={self.run_dir}" if text.startswith("--run-dir=") else text

    def ready(self) -> bool:
        for process in (self.dataplane, self.controlplane):
            if not process.lives():
                raise OSError(f"has ended: see {process.log}")
        return curl(f"http://{self.address}:9711/readyz")[0] == "200"

    def serves(self, host: str, status: str, path: str = "/"):
        def asked() -> bool:
            return curl("--resolve", f"{host}:80:{self.address}", f"http://{host}{path}")[0] == status

        wait_for(f"{host}{path} is answered {status} by {self.name}", asked, 120)

    def generation(self) -> int:
        return json.loads(run(self.bed.program, "status", "--json", "--run-dir", self.run_dir))["generation"]

    def end(self):
        for process in (self.dataplane, self.controlplane):
            if process.lives():
                process.signal(signal.SIGTERM)
        for process in (self.dataplane, self.controlplane):
            process.end()


def curl(*arguments) -> tuple[str, str]:
    """The status, 000 for none, and the text of an answer."""
    command = ["curl", "-sk", "-m", "5", "-w", "\n%{http_code}", *arguments]
    text, _, status = subprocess.run(command, capture_output=True, text=True).stdout.rpartition("\n")
    return status, text


class Bed:
    """The cluster, what stands in for its controllers, and what is wrong so far."""

    def __init__(self, options, files: pathlib.Path):
        self.options, self.files, self.program, self.wrong = options, files, options.program, []
        self.cluster = Cluster(options.apiserver, options.etcd, files)
        self.version = self.cluster.version
        self.helm = helm()
        self.workload = None

    def complain(self, text: str):
        self.wrong.append(text)
        print(f"{pathlib.Path(sys.argv[0]).name}: {text}", file=sys.stderr)

    def expect(self, what: str, holds: bool):
        if not holds:
            self.complain(what)

    def render(self, *values) -> str:
        """The chart's objects, in the order in which helm installs them."""
        command = [self.helm, "template", "headgate", ROOT / "deploy/chart/headgate", "--namespace", "headgate", *values]
        return run(*command)

    def apply(self, what: str, text: str, *flags):
        """By kubectl, of which each word on standard error is a complaint."""
        done = self.cluster.kubectl("apply", *flags, "-f", "-", input=text)
        for line in done.stderr.splitlines():
            if any(known in line for known in EXPECTED):
                continue
            self.complain(f"kubectl apply {' '.join(flags)} of {what}: {line}")

    def put(self, path: str, thing: dict):
        """Makes an object, or puts it in the place of the one that is there."""
        if self.cluster.ask("POST", path, thing)[0] == 409:
            self.cluster.must("PATCH", f"{path}/{thing['metadata']['name']}", thing)
        elif not self.cluster.ask("GET", f"{path}/{thing['metadata']['name']}")[0] == 200:
            self.cluster.must("POST", path, thing)

    def namespace(self, name: str, **labels):
        """With the account that a controller makes."""
        self.put("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
        self.put(f"/api/v1/namespaces/{name}/serviceaccounts", {"metadata": {"name": "default"}, "automountServiceAccountToken": False})

    def slice(self, namespace: str, service: str, addresses: list[str], port: int, name: str):
        """As the controller makes them, in the version that the server has."""
        v1 = self.version >= (1, 21)
        endpoints = [{"addresses": [address], "conditions": {"ready": True}} for address in addresses]
        root = f"/apis/discovery.k8s.io/{'v1' if v1 else 'v1beta1'}/namespaces/{namespace}/endpointslices"
        self.put(root, {
            "metadata": {"name": f"{service}-x", "labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4", "endpoints": endpoints, "ports": [{"name": name, "port": port, "protocol": "TCP"}],
        })

    def settle(self):
        """What controllers and the kubelet would have made."""
        cluster = self.cluster
        for name, addresses in NODES.items():
            kinds = zip(("InternalIP", "ExternalIP"), addresses)
            cluster.must("POST", "/api/v1/nodes", {"metadata": {"name": name}})
            listed = [{"type": kind, "address": address} for kind, address in kinds]
            cluster.must("PATCH", f"/api/v1/nodes/{name}/status", {"status": {"addresses": listed}})
            pod = {"metadata": {"name": f"headgate-{name}", "labels": self.workload["spec"]["template"]["metadata"]["labels"]},
                   "spec": {"nodeName": name, "hostNetwork": True, "serviceAccountName": "headgate", "automountServiceAccountToken": False,
                            "terminationGracePeriodSeconds": 35, "containers": [{"name": "both", "image": "headgate"}]}}
            cluster.must("POST", "/api/v1/namespaces/headgate/pods", pod)
            ready = {"status": {"phase": "Running", "hostIP": addresses[0], "podIP": addresses[0], "conditions": [{"type": "Ready", "status": "True"}]}}
            cluster.must("PATCH", f"/api/v1/namespaces/headgate/pods/headgate-{name}/status", ready)
        if self.helm:
            self.slice("headgate", "headgate-admission", [NODES["one"][0]], 9712, "admission")
            cluster.ask("POST", "/api/v1/namespaces/headgate/endpoints", {
                "metadata": {"name": "headgate-admission"},
                "subsets": [{"addresses": [{"ip": NODES["one"][0]}], "ports": [{"name": "admission", "port": 9712}]}]})
        self.namespace("web")
        cluster.must("POST", SERVICES, {"metadata": {"name": "web"}, "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]}})
        self.slice("web", "web", PODS, 8080, "http")
        cluster.must("POST", INGRESSES, self.ingress("web", "web.example.com"))
        CREDENTIALS.mkdir(parents=True, exist_ok=True)
        (CREDENTIALS / "ca.crt").write_text((self.files / "ca.crt").read_text())
        (CREDENTIALS / "namespace").write_text("headgate")
        self.write_token("token-1")

    def ingress(self, name: str, host: str, service: str = "web", **spec) -> dict:
        backend = {"service": {"name": service, "port": {"number": 80}}}
        rule = {"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
        return {"metadata": {"name": name}, "spec": {"ingressClassName": "headgate", "rules": [rule], **spec}}

    def write_token(self, name: str):
        """As the kubelet does it: the file is another one at once."""
        text = self.cluster.token("headgate", "headgate", name)
        (CREDENTIALS / "next").write_text(text)
        (CREDENTIALS / "next").rename(CREDENTIALS / "token")

    def asked(self, since: int = 0, **wanted) -> list[dict]:
        """What the control planes asked."""
        mine = [entry for entry in self.cluster.journal()[since:] if entry["user"] == ACCOUNT]
        return [entry for entry in mine if all(entry[key] == value for key, value in wanted.items())]

    def mark(self) -> int:
        return len(self.cluster.journal())

    def addresses(self, path: str) -> list[str]:
        found = self.cluster.get(path).get("status", {}).get("loadBalancer", {}).get("ingress", [])
        return sorted(element.get("ip", element.get("hostname")) for element in found)

    def holder(self) -> str:
        return self.cluster.get(LEASE).get("spec", {}).get("holderIdentity", "")

    def until_described(self, kind: str, name: str, text: str):
        def described() -> bool:
            return text in self.cluster.kubectl("describe", kind, "-n", "web", name).stdout

        wait_for(f"kubectl describe {kind} {name} says: {text}", described)


def helm() -> pathlib.Path | None:
    found = os.environ.get("HEADGATE_CHART_TOOLS", "")
    return pathlib.Path(found) / "bin/helm" if found else None


def pods() -> list[http.server.ThreadingHTTPServer]:
    """What Ingresses lead to."""
    class Answer(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "6")
            self.end_headers()
            self.wfile.write(b"hello\n")

        def log_message(self, *_):
            pass

    servers = [http.server.ThreadingHTTPServer((address, 8080), Answer) for address in PODS]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    return servers


def entered() -> bool:
    return "HEADGATE_INSIDE" in os.environ


def enter(addresses: list[str], **variables):
    """Goes on in namespaces of its own, out of which nothing leads, with these addresses."""
    if not entered():
        environment = {**os.environ, "HEADGATE_INSIDE": "yes", **variables}
        os.execvpe("unshare", ["unshare", "--net", "--mount", sys.executable, *sys.argv], environment)
    run("ip", "link", "set", "lo", "up")
    for address in addresses:
        run("ip", "address", "add", f"{address}/32", "dev", "lo")
    # Where the kubelet puts credentials; nobody else sees it.
    run("mount", "-t", "tmpfs", "run", "/run")


def do(options, check) -> int:
    with tempfile.TemporaryDirectory() as directory:
        files = options.keep or pathlib.Path(directory)
        files.mkdir(exist_ok=True)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        bed = Bed(options, files)
        try:
            check(bed)
        finally:
            bed.cluster.end()
    if not bed.wrong:
        print(f"{pathlib.Path(sys.argv[0]).name}: all is as it should be")
    return 1 if bed.wrong else 0
