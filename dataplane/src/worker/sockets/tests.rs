use std::net::TcpStream;

use headgate_l7::Limits;
use headgate_net::record::{L7Record, Recorder};
use tokio::sync::mpsc;

use super::*;

/// As when the stop comes right after a change: the worker ends with listeners that it has never taken.
#[test]
fn nobody_listens_after_the_stop_at_what_was_never_taken() {
    let shared = Arc::new(Shared::new(1, mpsc::channel(1).0).unwrap());
    let inlet = Arc::<Inlet>::default();
    let listener = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        (listener.local_addr().unwrap(), listener)
    };
    let (early, waits) = listener();
    inlet.put(early, waits);
    shared.stop();
    let config = SocketWorkerConfig {
        id: WorkerId(0),
        core: None,
        http: HttpConfig {
            limits: Limits::default(),
            recorder: Recorder::off(),
            record: Arc::<L7Record>::default(),
        },
        established: EstablishedFlows::Cut,
        inlet: Arc::clone(&inlet),
        descriptors: DescriptorShare::of(64),
    };
    let worker = start_sockets(config, shared, Clock::start()).unwrap();
    worker.join().unwrap().unwrap();
    let (late, waits) = listener();
    inlet.put(late, waits);
    for address in [early, late] {
        assert!(TcpStream::connect(address).is_err(), "{address}");
    }
}
