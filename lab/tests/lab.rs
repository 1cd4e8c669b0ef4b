//! The lab itself, without Headgate in it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::IpAddr,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use headgate_lab::{
    Impairment, Injector, Lab, LabOptions, PodSpec, Remote, address,
    client::{Curl, nc_tcp, nc_udp},
    pod::Pattern,
    privileged, wait_until,
};

fn lab() -> Lab {
    Lab::build(LabOptions::new(env!("CARGO_BIN_EXE_headgate-lab"), &["pod"])).expect("a lab")
}

fn url(ip: IpAddr, rest: &str) -> String {
    match ip {
        IpAddr::V4(v4) => format!("http://{v4}:8080{rest}"),
        IpAddr::V6(v6) => format!("http://[{v6}]:8080{rest}"),
    }
}

#[test]
fn pods_answer_the_gateway_and_not_the_clients() {
    if !privileged() {
        return;
    }
    let lab = lab();
    let pod = lab.start_pod(&PodSpec::new("alpha", 1)).unwrap();
    let &[v4, v6] = pod.addresses() else {
        panic!("{pod:?} has not two addresses")
    };
    for ip in [v4, v6] {
        let seen = Curl::new(&lab.gateway)
            .get(&url(ip, "/x?y=1"))
            .unwrap()
            .seen()
            .unwrap();
        assert_eq!((seen.pod.as_str(), seen.path.as_str()), ("alpha", "/x?y=1"));
        assert_eq!(nc_tcp(&lab.gateway, ip, 9000, "hello").unwrap(), "alpha\nhello");
        assert_eq!(nc_udp(&lab.gateway, ip, 9000, "hello").unwrap(), "alpha hello");
    }
    let refused = Curl::new(&lab.clients)
        .args(&["--max-time", "1"])
        .get(&url(v4, "/"));
    assert!(
        refused.is_err(),
        "nothing forwards between clients and pods but Headgate"
    );
}

/// A mount namespace is made and left behind a grace period of the kernel: on a busy machine a curl that had its answer took
/// more than ten seconds to end.
#[test]
fn commands_enter_no_other_namespace_than_that_of_the_network() {
    if !privileged() {
        return;
    }
    let lab = lab();
    let inside = |kind: &str| {
        let link = format!("/proc/self/ns/{kind}");
        let said = lab
            .pods
            .run("readlink", &[&link], Duration::from_secs(5))
            .unwrap();
        (said.stdout.trim().to_owned(), std::fs::read_link(link).unwrap())
    };
    let ((mounts, ours), (network, other)) = (inside("mnt"), inside("net"));
    assert_eq!(Path::new(&mounts), ours);
    assert_ne!(Path::new(&network), other);
}

#[test]
fn transfers_have_the_checksums_that_both_ends_compute() {
    if !privileged() {
        return;
    }
    let lab = lab();
    let pod = lab.start_pod(&PodSpec::new("alpha", 1)).unwrap();
    let ip = pod.addresses()[0];
    let sum = Curl::new(&lab.gateway)
        .sha256(&url(ip, "/chunked/1000000?seed=7"))
        .unwrap();
    assert_eq!(sum, Pattern::new(1_000_000, 7).sha256());

    let file = lab.directory().join("upload");
    let bytes: Vec<u8> = Pattern::new(300_000, 8).flatten().collect();
    std::fs::write(&file, bytes).unwrap();
    let from = format!("@{}", file.display());
    let answer = Curl::new(&lab.gateway)
        .args(&["--data-binary", &from])
        .get(&url(ip, "/upload"))
        .unwrap();
    assert!(
        answer.body.contains(&Pattern::new(300_000, 8).sha256()),
        "{answer:?}"
    );
    assert!(answer.body.contains("\"bytes\":300000"), "{answer:?}");
}

#[test]
fn clients_reach_the_gateways_own_addresses_from_each_of_theirs() {
    if !privileged() {
        return;
    }
    let lab = lab();
    for n in [0, address::CLIENTS - 1] {
        let (v4, v6) = address::client(n);
        for (from, to) in [(v4, address::GATEWAY_V4.into()), (v6, address::GATEWAY_V6.into())] {
            let to: IpAddr = to;
            let port = std::thread::scope(|_| {
                lab.gateway
                    .enter(|| std::net::TcpListener::bind((to, 0)).unwrap())
                    .unwrap()
            });
            let target = port.local_addr().unwrap();
            let accepted = std::thread::scope(|scope| {
                let accept = scope.spawn(|| port.accept().unwrap().1);
                let url = format!("http://{target}/");
                // Nothing answers HTTP there: the connection is what counts.
                let _ = Curl::new(&lab.clients)
                    .from(from)
                    .args(&["--max-time", "1", &url])
                    .run()
                    .unwrap();
                accept.join().unwrap()
            });
            assert_eq!(accepted.ip(), from);
        }
    }
}

#[test]
fn dropping_a_lab_leaves_nothing() {
    if !privileged() {
        return;
    }
    let lab = lab();
    let pod = lab.start_pod(&PodSpec::new("alpha", 1)).unwrap();
    let (path, directory) = (lab.gateway.path(), lab.directory().to_owned());
    assert!(path.exists() && directory.exists());
    drop(pod);
    drop(lab);
    assert!(!path.exists() && !directory.exists());
}

#[test]
fn a_killed_lab_is_removed_by_its_watchdog() {
    if !privileged() {
        return;
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_headgate-lab"))
        .args(["up", "--pods", "2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let names: Vec<String> = output
        .lines()
        .map_while(Result::ok)
        .take_while(|line| !line.starts_with("Enter"))
        .filter_map(|line| {
            line.strip_prefix("ip netns exec ")?
                .split(' ')
                .next()
                .map(str::to_owned)
        })
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
    let there = || {
        names
            .iter()
            .any(|name| Path::new("/run/netns").join(name).exists())
    };
    assert!(there());
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until(
        "the watchdog has removed the namespaces",
        Duration::from_secs(10),
        || !there(),
    )
    .unwrap();
}

#[test]
fn a_remote_client_loses_what_its_line_is_told_to_lose() {
    if !privileged() {
        return;
    }
    let lab = lab();
    let bad = Impairment {
        loss: 0.05,
        reorder: 0.05,
        duplicate: 0.02,
        ..Impairment::NONE
    };
    let remote = lab.add_remote(bad).unwrap();
    let listener = lab
        .gateway
        .enter(|| std::net::TcpListener::bind((address::GATEWAY_V4, 0)).unwrap())
        .unwrap();
    let target = listener.local_addr().unwrap();
    let sent: Vec<u8> = Pattern::new(3_000_000, 1).flatten().collect();
    let received = std::thread::scope(|scope| {
        let server = scope.spawn(|| {
            let (mut stream, peer) = listener.accept().unwrap();
            assert_eq!(peer.ip(), Remote::ADDRESSES.0);
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            all
        });
        let mut client = remote
            .namespace
            .enter(|| std::net::TcpStream::connect(target))
            .unwrap()
            .unwrap();
        client.write_all(&sent).unwrap();
        drop(client);
        server.join().unwrap()
    });
    assert!(received == sent, "{} bytes of {}", received.len(), sent.len());
    let [out, _] = remote.counts();
    assert!(
        out.lost > out.arrived / 40 && out.reordered > out.arrived / 40,
        "{out:?}"
    );
}

#[test]
fn injected_frames_reach_the_other_end() {
    if !privileged() {
        return;
    }
    let lab = lab();
    let mut injector = Injector::open(&lab.clients, "c0").unwrap();
    let frame = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 1], &[0x88, 0xb5], &[0; 46]].concat();
    let received = || {
        let text = lab.gateway.run_ok("cat", &["/proc/net/dev"]).unwrap();
        // Bytes and packets stand first.
        let (_, counts) = text.split_once("g0:").unwrap();
        counts.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let before = received();
    injector
        .send(std::iter::repeat_n(frame.as_slice(), 5000))
        .unwrap();
    wait_until("all frames have arrived", Duration::from_secs(5), || {
        received() >= before + 5000
    })
    .unwrap();
}
