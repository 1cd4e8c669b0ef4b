# Two commands do all the set-up themselves on a machine with cargo (https://rustup.rs):
#
#   make demo    build a release and watch it work, in network namespaces of its own
#   make test    everything that can be tested, some half an hour on two cores
#
# Both install the packages they need with apt, and use sudo for what needs root.

comma := ,
# Programs that need root are run by this.
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
SUDO_KEEP := $(if $(SUDO),$(SUDO) -E,)
# Test programs are built as the user and started by sudo.
CARGO := cargo$(if $(SUDO), --config 'target."cfg(unix)".runner = ["sudo"$(comma) "-E"]')

.PHONY: all demo bench test test-quick fmt lint house deny chart unit instructions e2e privileges check-xdp check-portable unit-portable doc sweep setup install clean image image-check

all:
	cargo build --release

demo: setup
	cargo build --release -p headgate
	$(SUDO_KEEP) target/release/headgate demo

test: setup fmt lint house deny chart check-xdp doc unit instructions e2e privileges image-check

# Without namespaces, packages or the eBPF toolchain: what an editor's save is worth.
test-quick: fmt lint house
	cargo test --workspace --lib --bins --test accepted --test decisions --test policy --test policy_tools --test tour --test unprivileged

setup:
	scripts/setup

fmt:
	cargo fmt --all --check
	scripts/fill-docs --check

lint:
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --workspace --test e2e --locked -- -D warnings

# What CONTRIBUTING.md says of sizes, circles, names, clones, and of who may use what.
house:
	scripts/tests/house.py --quiet
	scripts/house --check

deny:
	scripts/check-deny

# What deploy/ has for clusters and for nodes without one, where helm and systemd are to be had.
chart:
	scripts/check-chart
	scripts/check-units

# Rebuilds the eBPF programs and compares them with the committed objects, where their toolchain is to be had.
check-xdp:
	scripts/check-xdp

# Types alone, for systems that are not Linux. Minutes from nothing: no part of `make test`.
check-portable:
	scripts/check-portable

# What stands in for Linux' own means elsewhere, run here.
unit-portable:
	$(CARGO) test --workspace --locked --features headgate/portable --lib --test processes --test unprivileged

doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

# Everything but the end-to-end tests. Those of the lab, xsk and dataplane make namespaces, hence root. Tests are built
# with --workspace everywhere: of one crate alone, dependencies have other features and would be built once more.
unit:
	$(CARGO) test --workspace --locked

# Fixed scenarios take no more instructions than bench/instructions.toml says; valgrind counts them in a release build.
instructions:
	scripts/check-instructions

# One at a time; a debug build, whose assertions and overflow checks are worth more here than speed.
e2e:
	$(CARGO) test --workspace --locked --test e2e

# Both planes with the users, capabilities and roles of the manifests, and no others, against a stand-in API server.
privileges:
	$(CARGO) test --workspace --locked --no-run
	$(SUDO_KEEP) scripts/check-privileges

# An OCI archive, target/headgate-image.tar, without base image, engine or network.
image:
	cargo build --release --locked -p headgate
	scripts/image

# The image's processes in containers, where runc or crun is to be had; the program is the newest build that there is.
image-check:
	$(SUDO_KEEP) scripts/check-image

# Every figure of bench/README.md, in one run of some ten minutes; wants a machine with nothing else to do.
bench:
	scripts/setup haproxy nftables
	-scripts/setup libdpdk-dev # a peer; where it is not to be had, the bench says so
	cargo build --release --locked -p headgate -p headgate-bench
	cargo build --release --locked -p headgate-dataplane --examples
	target/release/examples/pipeline_ns
	target/release/examples/tables_ns
	target/release/examples/tcp_ns
	target/release/examples/l7_change
	$(SUDO_KEEP) target/release/headgate-bench policy
	$(SUDO_KEEP) target/release/headgate-bench l4
	$(SUDO_KEEP) target/release/headgate-bench http
	$(SUDO_KEEP) target/release/headgate-bench handshakes

# Removes what killed demos and tests left behind.
sweep:
	cargo build --release -p headgate
	$(SUDO) target/release/headgate lab sweep

install:
	cargo install --path cli --locked

clean:
	cargo clean
