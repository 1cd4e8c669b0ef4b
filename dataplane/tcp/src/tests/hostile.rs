//! Peers that mean ill, and memory that runs short.

use super::*;

/// A server that sends as much as it can to whoever connects, and echoes to whoever says so.
fn serve(server: &Stack) {
    let accept = server.clone();
    tokio::task::spawn_local(async move {
        loop {
            let mut stream = accept.accept().await;
            tokio::task::spawn_local(async move {
                let Ok(ask) = stream.read_u8().await else { return };
                let length = if ask == b'm' { 10 << 20 } else { 100 << 10 };
                for _ in 0..length >> 10 {
                    if stream.write_all(&[ask; 1 << 10]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
}

#[test]
fn a_peer_that_answers_and_never_reads_is_ended() {
    run(async {
        let config = StackConfig {
            stall_timeout: Duration::from_secs(120),
            ..config()
        };
        let (client, server, network) = pair_with(&config, Channel::perfect(), 21);
        tokio::task::spawn_local(network.run());
        let (stream, mut accepted) = connected(&client, &server).await;
        let start = tokio::time::Instant::now();
        let error = accepted.write_all(&vec![1; 1 << 20]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let took = start.elapsed().as_secs();
        assert!((120..250).contains(&took), "{took} s");
        drop((stream, accepted));
        quiet(&[&client, &server]).await;
    });
}

#[test]
fn a_slow_reader_is_not_ended() {
    run(async {
        let config = StackConfig {
            stall_timeout: Duration::from_secs(120),
            ..config()
        };
        let (client, server, network) = pair_with(&config, Channel::perfect(), 22);
        tokio::task::spawn_local(network.run());
        let (mut stream, mut accepted) = connected(&client, &server).await;
        let writer = tokio::task::spawn_local(async move { accepted.write_all(&vec![1; 1 << 20]).await });
        let mut buffer = vec![0; 40_000];
        let mut got = 0;
        while got < 1 << 20 {
            tokio::time::sleep(Duration::from_secs(60)).await;
            let most = buffer.len().min((1 << 20) - got);
            stream.read_exact(&mut buffer[..most]).await.unwrap();
            got += most;
        }
        writer.await.unwrap().unwrap();
        drop(stream);
        quiet(&[&client, &server]).await;
    });
}

/// They ask for megabytes and never read: memory stays within its budget, and an honest client is served meanwhile.
#[test]
fn those_who_never_read_do_not_keep_others_from_reading() {
    run(async {
        let client = Stack::new(StackConfig {
            memory: 256 << 20,
            ..config()
        });
        let server = Stack::new(StackConfig {
            memory: 4 << 20,
            ..config()
        });
        server.listen([SocketAddr::new(ip(SERVER), 80)]);
        let mut network = Network::new(Channel::perfect(), 23);
        network.join(client.clone(), [ip(CLIENT)]);
        network.join(server.clone(), [ip(SERVER)]);
        tokio::task::spawn_local(network.run());
        serve(&server);
        let remote = "198.51.100.10:80".parse().unwrap();
        let mut greedy = Vec::new();
        for _ in 0..500 {
            let mut stream = client.connect(remote).unwrap().await.unwrap();
            // Not all are left alone by the server.
            let _ = stream.write_u8(b'm').await;
            greedy.push(stream);
        }
        for round in 0..10 {
            let start = tokio::time::Instant::now();
            let mut honest = client.connect(remote).unwrap().await.unwrap();
            honest.write_u8(b'h').await.unwrap();
            let mut got = Vec::new();
            honest.read_to_end(&mut got).await.unwrap();
            assert_eq!(got.len(), 100 << 10);
            assert!(
                start.elapsed() < Duration::from_secs(15),
                "round {round}: {:?}",
                start.elapsed()
            );
            assert!(server.status().now[TcpGauge::Buffered] <= 4 << 20);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        drop(greedy);
        quiet(&[&client, &server]).await;
    });
}

#[test]
fn a_writer_that_found_no_memory_goes_on_when_a_reader_gives_some_back() {
    run(async {
        let config = StackConfig {
            memory: 256 << 10,
            ..config()
        };
        let (client, server, network) = pair_with(&config, Channel::perfect(), 24);
        tokio::task::spawn_local(network.run());
        let remote = "198.51.100.10:80".parse().unwrap();
        // Unread data takes all the server's memory.
        let mut pairs = Vec::new();
        for _ in 0..8 {
            let mut stream = client.connect(remote).unwrap().await.unwrap();
            let accepted = server.accept().await;
            let _ = tokio::time::timeout(Duration::from_secs(1), stream.write_all(&vec![1; 60 << 10])).await;
            pairs.push((stream, accepted));
        }
        let mut reader = client.connect(remote).unwrap().await.unwrap();
        let mut writer = server.accept().await;
        let written = tokio::task::spawn_local(async move {
            writer.write_all(&vec![2; 100 << 10]).await.unwrap();
        });
        let read = tokio::task::spawn_local(async move {
            let mut got = Vec::new();
            reader.read_to_end(&mut got).await.unwrap();
            assert_eq!(got.len(), 100 << 10);
        });
        drop(pairs);
        tokio::time::timeout(Duration::from_secs(20), async {
            written.await.unwrap();
            read.await.unwrap();
        })
        .await
        .expect("the writer goes on");
        quiet(&[&client, &server]).await;
    });
}

#[test]
fn timers_of_a_busy_connection_do_not_pile_up() {
    run(async {
        let (client, server, network) = pair(Channel::perfect(), 25);
        tokio::task::spawn_local(network.run());
        let (mut stream, mut accepted) = connected(&client, &server).await;
        for _ in 0..3_000 {
            stream.write_u8(1).await.unwrap();
            accepted.read_u8().await.unwrap();
            tokio::time::sleep(Duration::from_millis(13)).await;
        }
        for stack in [&client, &server] {
            let timers = stack.shared.inner.borrow().timers();
            assert!(timers <= 1_100, "{timers} timers of one connection");
        }
        drop((stream, accepted));
        quiet(&[&client, &server]).await;
    });
}

#[test]
fn two_resets_are_one() {
    run(async {
        let (client, server, network) = pair(Channel::perfect(), 26);
        tokio::task::spawn_local(network.run());
        let (mut stream, accepted) = connected(&client, &server).await;
        let resets = [accepted.reset(), accepted.reset()];
        resets.into_iter().for_each(|reset| reset.now());
        assert_eq!(
            stream.read_u8().await.unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
        drop((stream, accepted));
        quiet(&[&client, &server]).await;
    });
}

#[test]
fn twenty_thousand_connections_leave_nothing() {
    run(async {
        let (client, server, network) = pair_with(
            &StackConfig {
                source_ports: 20_000..=59_999,
                ..config()
            },
            Channel::perfect(),
            27,
        );
        tokio::task::spawn_local(network.run());
        let remote = "198.51.100.10:80".parse().unwrap();
        let accept = server.clone();
        tokio::task::spawn_local(async move {
            loop {
                drop(accept.accept().await);
            }
        });
        for round in 0..20 {
            let mut streams = Vec::new();
            for _ in 0..1_000 {
                streams.push(client.connect(remote).unwrap());
            }
            for connecting in streams {
                let mut stream = connecting.await.unwrap();
                let mut none = Vec::new();
                if round % 2 == 0 {
                    stream.read_to_end(&mut none).await.unwrap();
                }
            }
        }
        quiet(&[&client, &server]).await;
        assert_eq!(server.status().counters[TcpCount::Accepted], 20_000);
    });
}
