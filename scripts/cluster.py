"""A real API server, for scripts/check-apiserver and check-issuers: etcd, kube-apiserver, and what their clients need to know.

There is no kubelet, no scheduler and no controller: whoever wants Pods, Nodes and EndpointSlices writes them. Requests are
known by the server's audit log.
"""

import http.client
import json
import os
import pathlib
import secrets
import ssl
import subprocess
import threading
import time
import urllib.parse

PATIENCE = 60
PORT = 6443
ETCD = 2379
ADMIN = secrets.token_hex(16)
AUDIT = {
    "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "metadata": {"name": "all"},
    "omitStages": ["RequestReceived"], "rules": [{"level": "Metadata"}],
}
KINDS = {"PATCH": "application/merge-patch+json"}


def wait_for(what: str, condition, patience: float = PATIENCE):
    """What the condition gives, once it gives something."""
    end = time.monotonic() + patience
    while not (found := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"in vain: {what}")
        time.sleep(0.1)
    return found


def run(*command, **options) -> str:
    done = subprocess.run([str(part) for part in command], text=True, capture_output=True, **options)
    if done.returncode != 0:
        raise OSError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout


class Process:
    """A program, and the file that it logs to."""

    def __init__(self, log: pathlib.Path, command: list, environment: dict | None = None):
        self.log = log
        with log.open("a") as out:
            self.process = subprocess.Popen([str(part) for part in command], stdout=out, stderr=out, env=environment)

    def signal(self, number: int):
        self.process.send_signal(number)

    def lives(self) -> bool:
        return self.process.poll() is None

    def kill(self):
        """Ends it at once."""
        self.process.kill()
        self.process.wait()

    def end(self, patience: float = 40):
        """In order, and at last not."""
        if self.lives():
            self.process.terminate()
            try:
                self.process.wait(patience)
            except subprocess.TimeoutExpired:
                self.kill()


class Cluster:
    """etcd and an API server; whoever has `ADMIN` may do everything."""

    def __init__(self, apiserver: pathlib.Path, etcd: pathlib.Path, files: pathlib.Path):
        self.program, self.files = apiserver, files
        self.version = self.ask_version()
        self.make_keys()
        (files / "audit.yaml").write_text(json.dumps(AUDIT))
        (files / "tokens.csv").write_text(f"{ADMIN},admin,admin,system:masters\n")
        (files / "kubeconfig").write_text(json.dumps(self.kubeconfig(ADMIN)))
        peers = f"http://127.0.0.1:{ETCD + 1}"
        self.etcd = Process(files / "etcd.log", [
            etcd, "--data-dir", files / "etcd", "--unsafe-no-fsync",
            "--listen-client-urls", f"http://127.0.0.1:{ETCD}", "--advertise-client-urls", f"http://127.0.0.1:{ETCD}",
            "--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", f"default={peers}",
        ])
        try:
            self.start()
        except BaseException:
            self.end()
            raise

    def make_keys(self):
        """An authority, the server's certificate, and the key that tokens are signed with."""
        at = self.files
        names = "subjectAltName=IP:127.0.0.1,IP:10.96.0.1,DNS:localhost,DNS:kubernetes.default.svc"
        (at / "names").write_text(names)
        key = ["openssl", "req", "-nodes", "-newkey", "rsa:2048"]
        run(*key, "-x509", "-days", "2", "-subj", "/CN=authority", "-keyout", at / "ca.key", "-out", at / "ca.crt")
        run(*key, "-subj", "/CN=kube-apiserver", "-keyout", at / "server.key", "-out", at / "server.csr")
        run("openssl", "x509", "-req", "-days", "2", "-in", at / "server.csr", "-CA", at / "ca.crt", "-CAkey", at / "ca.key",
            "-CAcreateserial", "-extfile", at / "names", "-out", at / "server.crt")
        run("openssl", "genrsa", "-out", at / "accounts.key", "2048")
        run("openssl", "rsa", "-in", at / "accounts.key", "-pubout", "-out", at / "accounts.pub")
        self.tls = ssl.create_default_context(cafile=at / "ca.crt")

    def kubeconfig(self, token: str) -> dict:
        cluster = {"server": f"https://127.0.0.1:{PORT}", "certificate-authority": str(self.files / "ca.crt")}
        return {
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{"name": "it", "cluster": cluster}], "users": [{"name": "it", "user": {"token": token}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        }

    def start(self):
        at = self.files
        self.server = Process(at / "apiserver.log", [
            self.program, "--etcd-servers", f"http://127.0.0.1:{ETCD}", "--bind-address", "0.0.0.0", "--secure-port", PORT,
            "--advertise-address", "192.0.2.1", "--endpoint-reconciler-type", "none", "--service-cluster-ip-range", self.ranges(),
            "--authorization-mode", "RBAC", "--token-auth-file", at / "tokens.csv", "--client-ca-file", at / "ca.crt",
            "--tls-cert-file", at / "server.crt", "--tls-private-key-file", at / "server.key",
            "--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", at / "accounts.pub",
            "--service-account-signing-key-file", at / "accounts.key", "--audit-policy-file", at / "audit.yaml",
            "--audit-log-path", at / "audit.log", "--audit-log-mode", "blocking",
            # Webhooks are called at the endpoints of their Services: nobody serves cluster addresses.
            "--enable-aggregator-routing",
        ])
        wait_for("the API server is ready", self.ready)

    def ready(self) -> bool:
        if not self.server.lives():
            raise OSError(f"the API server has ended: see {self.server.log}")
        return self.ask("GET", "/readyz")[0] == 200 and self.ask("GET", "/api/v1/namespaces/default")[0] == 200

    def ranges(self) -> str:
        """Of Services' addresses: of both families where that needs no feature gate."""
        return "10.96.0.0/24,fd00:96::/112" if self.version >= (1, 21) else "10.96.0.0/24"

    def ask_version(self) -> tuple[int, int]:
        _, text = run(self.program, "--version").split()
        major, minor, _ = text.removeprefix("v").split(".", 2)
        return int(major), int(minor)

    def ask(self, method: str, path: str, body=None) -> tuple[int, dict]:
        """The status, 0 for no answer, and what was answered."""
        connection = http.client.HTTPSConnection("127.0.0.1", PORT, timeout=20, context=self.tls)
        headers = {"Authorization": f"Bearer {ADMIN}", "Content-Type": KINDS.get(method, "application/json")}
        try:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            return 0, {}
        finally:
            connection.close()
        return answer.status, json.loads(text) if text.startswith(b"{") else {}

    def get(self, path: str) -> dict:
        return self.ask("GET", path)[1]

    def must(self, method: str, path: str, body=None) -> dict:
        status, answer = self.ask(method, path, body)
        if not 200 <= status < 300:
            raise ValueError(f"{method} {path}: {status} {answer.get('message')}")
        return answer

    def kubectl(self, *arguments, **options) -> subprocess.CompletedProcess:
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.files), "KUBECONFIG": str(self.files / "kubeconfig")}
        command = ["kubectl", *(str(argument) for argument in arguments)]
        return subprocess.run(command, env=environment, text=True, capture_output=True, timeout=120, **options)

    def token(self, namespace: str, account: str, bound_to: str) -> str:
        """A token of a service account that is good as long as this Secret is there."""
        secret = self.must("POST", f"/api/v1/namespaces/{namespace}/secrets", {"metadata": {"name": bound_to}})
        bound = {"apiVersion": "v1", "kind": "Secret", "name": bound_to, "uid": secret["metadata"]["uid"]}
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"boundObjectRef": bound}}
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        return self.must("POST", path, request)["status"]["token"]

    def keep_busy(self, token: str, over: threading.Event):
        """Asks for much with this token, again and again."""
        while not over.is_set():
            connection = http.client.HTTPSConnection("127.0.0.1", PORT, timeout=20, context=self.tls)
            try:
                while not over.is_set():
                    connection.request("GET", "/api/v1/services", headers={"Authorization": f"Bearer {token}"})
                    connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                time.sleep(0.01)
            finally:
                connection.close()

    def compact(self):
        """Has etcd forget all but the present."""
        def etcd(path: str, body: dict) -> dict:
            connection = http.client.HTTPConnection("127.0.0.1", ETCD, timeout=20)
            connection.request("POST", path, json.dumps(body))
            return json.loads(connection.getresponse().read())

        revision = etcd("/v3/kv/range", {"key": "Lw=="})["header"]["revision"]
        etcd("/v3/kv/compaction", {"revision": revision, "physical": True})

    def journal(self) -> list[dict]:
        """Requests that were answered, or begun to be, as the audit log has them."""
        entries = []
        for line in (self.files / "audit.log").read_text().splitlines():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue  # It is being written.
            url = urllib.parse.urlsplit(entry["requestURI"])
            entries.append({
                "user": entry.get("user", {}).get("username", ""), "agent": entry.get("userAgent", ""), "verb": entry["verb"],
                "path": url.path, "query": dict(urllib.parse.parse_qsl(url.query)), "stage": entry["stage"], "id": entry["auditID"],
                "status": entry.get("responseStatus", {}).get("code", 0), "at": entry["stageTimestamp"],
            })
        return entries

    def end(self):
        self.server.end()
        self.etcd.end()


class Load:
    """Somebody who asks for the same all the time, by a connection for each request and by one that is kept."""

    def __init__(self, address: str, host: str, tls: ssl.SSLContext | None = None, status: int = 200, pause: float = 0.005):
        self.address, self.host, self.tls, self.status, self.pause = address, host, tls, status, pause
        self.asked, self.kept, self.failed = 0, 0, []
        self.going = True
        self.threads = [threading.Thread(target=self.go, args=(kept,), daemon=True) for kept in (False, True)]
        for thread in self.threads:
            thread.start()

    def open(self, kept: bool) -> http.client.HTTPConnection:
        self.kept += kept
        if self.tls:
            return http.client.HTTPSConnection(self.address, timeout=5, context=self.tls)
        return http.client.HTTPConnection(self.address, 80, timeout=5)

    def go(self, kept: bool):
        connection = None
        while self.going:
            try:
                connection = connection or self.open(kept)
                connection.request("GET", "/", headers={"Host": self.host, "Connection": "keep-alive" if kept else "close"})
                answer = connection.getresponse()
                answer.read()
                if answer.status != self.status:
                    self.failed.append(f"status {answer.status}")
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(repr(error))
                connection = None
            if not kept and connection:
                connection.close()
                connection = None
            self.asked += 1
            time.sleep(self.pause)

    def end(self):
        self.going = False
        for thread in self.threads:
            thread.join()
