//! TCP and UDP Services, balanced packet by packet.

use std::time::Duration;

use headgate_lab::{
    Shop,
    client::{nc_tcp, nc_udp},
};

use crate::support::{Bed, names, tally};

const ECHOES: [&str; 3] = ["echo-1", "echo-2", "echo-3"];

#[test]
fn tcp_connections_spread_over_the_pods_and_stay_with_one() {
    let Some(bed) = Bed::make() else { return };
    let text = "a line\n".repeat(2000);
    for address in [Shop::ECHO.0, Shop::ECHO.1] {
        let tally = tally(24, || {
            let answer = nc_tcp(&bed.lab.clients, address, 7, &text).unwrap();
            let (pod, echoed) = answer.split_once('\n').unwrap();
            assert_eq!(echoed, text);
            pod.to_owned()
        });
        assert_eq!(names(&tally), ECHOES, "{tally:?}");
    }
}

#[test]
fn udp_datagrams_are_answered_from_the_address_that_was_asked() {
    let Some(bed) = Bed::make() else { return };
    for address in [Shop::ECHO.0, Shop::ECHO.1] {
        // nc connects its socket: an answer from any other address would not reach it.
        let tally = tally(24, || {
            let answer = nc_udp(&bed.lab.clients, address, 7, "hello").unwrap();
            answer.strip_suffix(" hello").unwrap().to_owned()
        });
        assert_eq!(names(&tally), ECHOES, "{tally:?}");
    }
}

#[test]
fn addresses_on_the_clients_link_are_found_by_arp_and_ndp() {
    let Some(bed) = Bed::make() else { return };
    for address in [Shop::ECHO_ON_LINK.0, Shop::ECHO_ON_LINK.1] {
        assert!(
            nc_tcp(&bed.lab.clients, address, 7, "x")
                .unwrap()
                .starts_with("echo-")
        );
        assert!(
            nc_udp(&bed.lab.clients, address, 7, "x")
                .unwrap()
                .starts_with("echo-")
        );
    }
}

#[test]
fn virtual_addresses_answer_pings() {
    let Some(bed) = Bed::make() else { return };
    for address in [
        Shop::ECHO.0,
        Shop::ECHO.1,
        Shop::INGRESS.0,
        Shop::ECHO_ON_LINK.0,
        Shop::ECHO_ON_LINK.1,
    ] {
        let address = address.to_string();
        let pinged = bed.lab.clients.run(
            "ping",
            &["-c", "3", "-i", "0.2", "-W", "2", &address],
            Duration::from_secs(10),
        );
        let pinged = pinged.unwrap();
        assert!(
            pinged.stdout.contains(" 0% packet loss"),
            "{address}: {}",
            pinged.stdout
        );
    }
}

#[test]
fn udp_of_every_length_that_fits_is_echoed() {
    let Some(bed) = Bed::make() else { return };
    for (from, to) in [("0.0.0.0:0", Shop::ECHO.0), ("[::]:0", Shop::ECHO.1)] {
        let socket = bed
            .lab
            .clients
            .enter(|| std::net::UdpSocket::bind(from).unwrap())
            .unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        socket.connect((to, 7)).unwrap();
        let mut answer = [0; 2048];
        // 1440 and the greeting just fit into a packet of 1500 bytes with IPv6.
        for length in (0..=1440).step_by(37).chain([1, 2, 1440]) {
            let sent: Vec<u8> = (0..length).map(|n| n as u8).collect();
            socket.send(&sent).unwrap();
            let received = socket
                .recv(&mut answer)
                .unwrap_or_else(|e| panic!("{length} bytes to {to}: {e}"));
            assert_eq!(
                &answer[received - length..received],
                &sent[..],
                "{length} bytes to {to}"
            );
        }
    }
}

/// Ports of the ingress address by `--tcp-services-configmap`, its like, and `--load-balancer-class`; and what no rule matches by
/// `--default-backend-service`.
#[test]
fn flags_give_services_ports_of_the_ingress_address_and_what_no_rule_matches() {
    const MAPS: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {namespace: edge, name: tcp}\n\
        data: {'9007': 'shop/echo:tcp', '80': 'shop/echo:7'}\n---\n\
        apiVersion: v1\nkind: ConfigMap\nmetadata: {namespace: edge, name: udp}\ndata: {'9008': 'shop/echo:7'}\n---\n\
        apiVersion: v1\nkind: Service\nmetadata: {namespace: shop, name: balanced}\n\
        spec: {type: LoadBalancer, loadBalancerClass: headgate.dev/load-balancer, selector: {app: echo}, \
        ports: [{port: 9010, targetPort: 9000}]}\n";
    let flags = [
        "--tcp-services-configmap=edge/tcp",
        "--udp-services-configmap=edge/udp",
        "--default-backend-service=shop/blog",
    ];
    let write = |shop: &Shop| shop.write("maps.yaml", MAPS).unwrap();
    let Some(bed) = Bed::make_with(write, &flags) else {
        return;
    };
    for address in [Shop::INGRESS.0, Shop::INGRESS.1] {
        // By the ConfigMap, and by the class of a load balancer.
        for port in [9007, 9010] {
            let tally = tally(24, || {
                let answer = nc_tcp(&bed.lab.clients, address, port, "hello").unwrap();
                answer.lines().next().unwrap().to_owned()
            });
            assert_eq!(names(&tally), ECHOES, "{port}: {tally:?}");
        }
        let answer = nc_udp(&bed.lab.clients, address, 9008, "hello").unwrap();
        assert!(
            answer.starts_with("echo-") && answer.ends_with(" hello"),
            "{answer}"
        );
        for url in ["http://nobody.example.com/any", "http://shop.example.com/archive"] {
            let answer = bed.curl_to(address).get(url).unwrap();
            // The Service behind the rule that matches has nobody, which is 503 with or without a default backend.
            match url.ends_with("/archive") {
                true => assert_eq!(answer.status, 503),
                false => assert_eq!(answer.seen().unwrap().pod, "blog-1"),
            }
        }
    }
    let log = bed.gateway.log();
    assert!(
        log.contains("data[80]: TCP") && log.contains("belongs to an ingress listener"),
        "{log}"
    );
}
