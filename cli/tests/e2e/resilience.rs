//! Either plane dies; traffic goes on, or comes back.

use std::{net::IpAddr, time::Duration};

use headgate_lab::{Shop, client::nc_tcp, kill_and_wait, wait_until};

use crate::support::Bed;

const SOON: Duration = Duration::from_secs(10);

#[test]
fn the_control_plane_dies_and_no_connection_notices() {
    for bed in Bed::on_each() {
        let (dataplane, controlplane) = bed.gateway.planes().unwrap();
        std::thread::scope(|scope| {
            let transfer = scope.spawn(|| {
                bed.curl()
                    .args(&["--limit-rate", "8M"])
                    .sha256("http://shop.example.com/bytes/16000000?seed=4")
            });
            kill_and_wait(controlplane).unwrap();
            assert_eq!(
                bed.curl().get("https://blog.example.com/").unwrap().status,
                200,
                "with no control plane"
            );
            let back = || bed.gateway.planes().is_ok_and(|(_, now)| now != controlplane);
            wait_until("the control plane is back", SOON, back).unwrap();
            let sum = transfer.join().unwrap().unwrap();
            assert_eq!(sum, headgate_lab::pod::Pattern::new(16_000_000, 4).sha256());
        });
        assert_eq!(
            bed.gateway.planes().unwrap().0,
            dataplane,
            "the dataplane is the same process"
        );
        wait_until("it is connected", SOON, || {
            bed.gateway
                .status()
                .is_ok_and(|status| status["control"]["connected"] == true)
        })
        .unwrap();
    }
}

#[test]
fn the_dataplane_dies_and_comes_back_with_the_whole_state() {
    for bed in Bed::on_each() {
        let (dataplane, controlplane) = bed.gateway.planes().unwrap();
        kill_and_wait(dataplane).unwrap();
        let ingress: IpAddr = Shop::INGRESS.0;
        let served = || {
            bed.curl_to(ingress)
                .args(&["--max-time", "1"])
                .get("http://shop.example.com/")
                .is_ok_and(|a| a.status == 200)
        };
        wait_until("requests are answered again", SOON, served).unwrap();
        if !bed.on_sockets() {
            wait_until("connections are balanced again", SOON, || {
                nc_tcp(&bed.lab.clients, Shop::ECHO.1, 7, "x").is_ok_and(|answer| answer.starts_with("echo-"))
            })
            .unwrap();
        }
        assert_eq!(
            bed.gateway.planes().unwrap().1,
            controlplane,
            "the control plane is the same process"
        );
    }
}

#[test]
fn both_planes_die_again_and_again_under_load() {
    for bed in Bed::on_each() {
        let url = format!("http://{}/", Shop::INGRESS.0);
        std::thread::scope(|scope| {
            let load = scope.spawn(|| {
                let arguments = [
                    "-c",
                    "20",
                    "-t",
                    "1",
                    "-d",
                    "8s",
                    "--timeout",
                    "2s",
                    "-H",
                    "Host: shop.example.com",
                    &url,
                ];
                bed.lab
                    .clients
                    .run("wrk", &arguments, Duration::from_secs(30))
                    .unwrap()
            });
            wait_until("the load runs", SOON, || bed.sum_of_workers("/l7/clients") >= 20).unwrap();
            for _ in 0..2 {
                for pick in [|planes: (u32, u32)| planes.0, |planes: (u32, u32)| planes.1] {
                    wait_until("both planes run", SOON, || bed.gateway.planes().is_ok()).unwrap();
                    kill_and_wait(pick(bed.gateway.planes().unwrap())).unwrap();
                }
            }
            let report = load.join().unwrap();
            assert!(report.success(), "{report:?}");
        });
        wait_until("requests are answered again", SOON, || {
            bed.curl()
                .args(&["--max-time", "1"])
                .get("http://shop.example.com/")
                .is_ok_and(|a| a.status == 200)
        })
        .unwrap();
    }
}
