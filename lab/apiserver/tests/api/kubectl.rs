//! Both ages of kubectl: Debian's, and whatever else is installed.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use headgate_apiserver::{Age, ApiServer, Authorization, Settings, User, cluster_network_policies};
use serde_json::{Value, json};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
const OBJECTS: &str = "
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  ingressClassName: headgate
  rules: [{host: a.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
";

/// One kubectl, as one user of one server.
struct Kubectl {
    program: PathBuf,
    home: tempfile::TempDir,
}

impl Kubectl {
    fn new(program: &Path, kubeconfig: &str) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        std::fs::write(home.path().join("config"), kubeconfig).expect("written");
        Kubectl {
            program: program.to_owned(),
            home,
        }
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments.split(' ')).env("HOME", self.home.path());
        command
            .env("KUBECONFIG", self.home.path().join("config"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn output(&self, arguments: &str, input: &str) -> Output {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .expect("kubectl starts");
        child
            .stdin
            .take()
            .expect("a pipe")
            .write_all(input.as_bytes())
            .expect("kubectl reads");
        child.wait_with_output().expect("kubectl ends")
    }

    /// What it prints when it succeeds.
    fn run(&self, arguments: &str) -> String {
        self.feed(arguments, "")
    }

    fn feed(&self, arguments: &str, input: &str) -> String {
        let output = self.output(arguments, input);
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(
            output.status.success(),
            "{} {arguments}: {out}{err}",
            self.program.display()
        );
        out.into_owned()
    }

    /// What it complains of when it fails.
    fn fail(&self, arguments: &str, input: &str) -> String {
        let output = self.output(arguments, input);
        assert!(
            !output.status.success(),
            "{} {arguments} succeeded",
            self.program.display()
        );
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

/// All kubectls of this machine: the one of the path, and Debian's where `scripts/setup` put it beside another.
fn programs() -> Vec<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let of_path = std::env::split_paths(&paths)
        .map(|folder| folder.join("kubectl"))
        .find(|file| file.exists());
    let unpacked = PathBuf::from(ROOT).join("target/kubernetes-client");
    let beside = Some(unpacked.join("usr/bin/kubectl")).filter(|file| file.exists());
    let found: Vec<PathBuf> = of_path.into_iter().chain(beside).collect();
    if found.is_empty() {
        let needed = std::env::var_os("CI").is_some() && !unpacked.join("unavailable").exists();
        assert!(!needed, "there is no kubectl: run scripts/setup");
        let said = "skipped: there is no kubectl on this machine, and scripts/setup found none to install\n";
        let _ = std::io::stderr().write_all(said.as_bytes());
    }
    found
}

/// Each kubectl with servers of two ages.
fn each(settings: &Settings, test: impl Fn(&ApiServer, &Kubectl)) {
    for program in programs() {
        for age in [Age(20), Age(34)] {
            let server = ApiServer::start(Settings {
                age,
                ..settings.clone()
            })
            .expect("a server");
            test(&server, &Kubectl::new(&program, &server.kubeconfig()));
        }
    }
}

#[test]
fn apply_makes_changes_and_leaves_alone() {
    each(&Settings::default(), |server, kubectl| {
        assert_eq!(
            kubectl.feed("apply -f -", OBJECTS),
            "service/web created\ningress.networking.k8s.io/web created\n"
        );
        assert_eq!(
            kubectl.feed("apply -f -", OBJECTS),
            "service/web unchanged\ningress.networking.k8s.io/web unchanged\n"
        );
        let changed = OBJECTS
            .replace("targetPort: 8080", "targetPort: 9090")
            .replace("a.test", "b.test");
        assert_eq!(
            kubectl.feed("apply -f -", &changed),
            "service/web configured\ningress.networking.k8s.io/web configured\n"
        );
        let service = server.store().get("svc", "default", "web").expect("stored");
        assert_eq!(
            service["spec"]["ports"],
            json!([{"port": 80, "protocol": "TCP", "targetPort": 9090}])
        );
        kubectl.feed("apply --dry-run=server -f -", OBJECTS);
        kubectl.feed(
            "apply --server-side --force-conflicts --field-manager=other -f -",
            OBJECTS,
        );
        let ingress = server.store().get("ing", "default", "web").expect("stored");
        assert_eq!(ingress["spec"]["rules"][0]["host"], "a.test");
        let refused = kubectl.fail("apply --server-side --field-manager=third -f -", &changed);
        assert!(refused.contains("conflict with \"other\""), "{refused}");
        kubectl.feed("delete -f -", OBJECTS);
        assert!(server.store().list("ing", "").is_empty());
    });
}

#[test]
fn get_shows_the_address_and_describe_the_event() {
    each(&Settings::default(), |server, kubectl| {
        kubectl.feed("apply -f -", OBJECTS);
        let mut ingress = server.store().get("ing", "default", "web").expect("stored");
        ingress["status"] = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}});
        server.store().apply(&ingress).expect("stored");
        server.store().apply(&event(&ingress)).expect("stored");
        let shown = kubectl.run("get ingress web");
        let row: Vec<&str> = shown.lines().nth(1).expect("a row").split_whitespace().collect();
        assert_eq!(row[..5], ["web", "headgate", "a.test", "192.0.2.1", "80"]);
        assert!(
            kubectl
                .run("get services,ingresses -A -o wide")
                .contains("app=web")
        );
        let described = kubectl.run("describe ingress web");
        assert!(
            described.contains("192.0.2.1") && described.contains("the host is somebody else's"),
            "{described}"
        );
        assert!(kubectl.run("get events").contains("ingress/web"));
        assert_eq!(
            kubectl.run("get ing web -o jsonpath={.status.loadBalancer.ingress[0].ip}"),
            "192.0.2.1"
        );
        assert!(
            kubectl
                .fail("get ingress none", "")
                .contains("ingresses.networking.k8s.io \"none\" not found")
        );
    });
}

fn event(ingress: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "web.1"}, "type": "Warning", "reason": "Shadowed",
        "message": "the host is somebody else's", "source": {"component": "headgate"}, "count": 1,
        "firstTimestamp": "2024-01-01T00:00:00Z", "lastTimestamp": "2024-01-01T00:00:00Z",
        "involvedObject": {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "namespace": "default", "name": "web",
            "uid": ingress["metadata"]["uid"]},
    })
}

#[test]
fn get_watches() {
    each(&Settings::default(), |server, kubectl| {
        kubectl.feed("apply -f -", OBJECTS);
        let mut watching = Running(
            kubectl
                .command("get ingress -w --no-headers")
                .spawn()
                .expect("kubectl starts"),
        );
        let mut lines = BufReader::new(watching.0.stdout.take().expect("a pipe")).lines();
        let mut next = || lines.next().expect("a line").expect("text");
        assert!(next().contains("a.test"));
        let mut ingress = server.store().get("ing", "default", "web").expect("stored");
        ingress["spec"]["rules"][0]["host"] = "b.test".into();
        server.store().apply(&ingress).expect("stored");
        assert!(next().contains("b.test"));
    });
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn small_objects_are_made_changed_and_deleted() {
    each(&Settings::default(), |server, kubectl| {
        kubectl.run("create namespace shop");
        kubectl.run("-n shop create secret generic s --from-literal=a=b");
        kubectl.run("-n shop create configmap c --from-literal=a=b");
        kubectl.run("-n shop label configmap c x=y");
        kubectl.run("-n shop annotate configmap c x=y");
        kubectl.run("-n shop patch configmap c -p {\"data\":{\"a\":\"c\"}}");
        let stored = server.store().get("cm", "shop", "c").expect("stored");
        assert_eq!(
            (&stored["data"]["a"], &stored["metadata"]["labels"]["x"]),
            (&json!("c"), &json!("y"))
        );
        assert_eq!(
            server.store().get("secrets", "shop", "s").expect("stored")["data"]["a"],
            "Yg=="
        );
        assert!(
            kubectl
                .run("api-resources --namespaced=false")
                .contains("ingressclasses")
        );
        kubectl.run("delete namespace shop");
        assert!(server.store().list("cm", "shop").is_empty());
    });
}

#[test]
fn the_examples_are_applied() {
    each(&Settings::default(), |server, kubectl| {
        server.store().apply(&cluster_network_policies()).expect("stored");
        let applied = kubectl.run(&format!("apply -f {ROOT}/examples"));
        assert!(
            applied.contains("namespace/shop created")
                && applied.contains("clusternetworkpolicy.policy.networking.k8s.io/")
                && applied.contains("ingress.networking.k8s.io/")
        );
        // All is found as it was left, but where a manifest has a status: that is not kubectl's to write.
        let again = kubectl.run(&format!("apply -f {ROOT}/examples"));
        let with_status = |line: &str| line.starts_with("pod/") || line.starts_with("service/");
        assert!(
            again
                .lines()
                .all(|line| line.ends_with("unchanged") || with_status(line)),
            "{again}"
        );
        assert!(!again.contains("created"), "{again}");
        assert!(kubectl.run("get cnp").contains("PRIORITY"));
    });
}

#[test]
fn who_may_what_is_told_and_held() {
    let settings = Settings {
        authorization: Authorization::Rbac,
        ..Settings::default()
    };
    each(&settings, |server, admin| {
        admin.feed(
            "apply -f -",
            "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reader}
rules: [{apiGroups: [networking.k8s.io], resources: [ingresses], verbs: [get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reader}
subjects: [{kind: User, name: jane, apiGroup: rbac.authorization.k8s.io}]
",
        );
        let kubeconfig = server
            .kubeconfig_with_certificate(&User::new("jane"))
            .expect("a certificate");
        let jane = Kubectl::new(&admin.program, &kubeconfig);
        assert_eq!(jane.run("auth can-i list ingresses"), "yes\n");
        assert_eq!(jane.output("auth can-i list secrets", "").stdout, b"no\n");
        jane.run("get ingresses -A");
        let refused = jane.fail("get secrets -A", "");
        assert!(refused.contains("secrets is forbidden: User \"jane\" cannot list resource \"secrets\" in API group \"\" at the cluster scope"), "{refused}");
    });
}

#[test]
fn mistakes_are_told() {
    each(&Settings::default(), |_, kubectl| {
        let refused = kubectl.fail("apply -f -", &OBJECTS.replace("pathType: Prefix, ", ""));
        assert!(refused.contains("pathType must be specified"), "{refused}");
        let refused = kubectl.fail("apply -f -", &OBJECTS.replace("port: 80, ", "port: http, "));
        assert!(refused.contains("cannot be handled as a Service"), "{refused}");
    });
}
