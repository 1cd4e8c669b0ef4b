#!/usr/bin/python3
"""A server and a client of gRPC, by Debian's grpcio, without any message format: messages are bytes.

    peer.py serve ADDRESS NAME               until it is killed; says "ready" when it listens
    peer.py call ADDRESS AUTHORITY [CA_FILE]  makes all kinds of calls, and exits with 0 where each went as it should
    peer.py unavailable ADDRESS AUTHORITY     as `call`, of a service without pods
"""

import concurrent.futures
import sys
import threading
import time

import grpc

NAME = "echo.Echo"


def serve(address, name):
    cancelled = threading.Event()

    def upper(request, context):
        context.set_trailing_metadata([("served-by", name)])
        return request.upper()

    def count(request, context):
        for number in range(int(request)):
            yield str(number).encode()

    def total(requests, context):
        return str(sum(len(request) for request in requests)).encode()

    def chat(requests, context):
        for request in requests:
            yield request.upper()

    def fail(request, context):
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today, ü")

    def hang(request, context):
        context.add_callback(cancelled.set)
        cancelled.wait(30)
        return b""

    def be_late(request, context):
        threading.Event().wait(5)
        return b""

    def was_cancelled(request, context):
        return b"yes" if cancelled.wait(10) else b"no"

    methods = {
        "Upper": grpc.unary_unary_rpc_method_handler(upper),
        "Count": grpc.unary_stream_rpc_method_handler(count),
        "Total": grpc.stream_unary_rpc_method_handler(total),
        "Chat": grpc.stream_stream_rpc_method_handler(chat),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "Hang": grpc.unary_unary_rpc_method_handler(hang),
        "BeLate": grpc.unary_unary_rpc_method_handler(be_late),
        "WasCancelled": grpc.unary_unary_rpc_method_handler(was_cancelled),
    }
    workers = concurrent.futures.ThreadPoolExecutor(max_workers=120)
    server = grpc.server(workers, options=[("grpc.max_receive_message_length", 16 << 20)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(NAME, methods),))
    if not server.add_insecure_port(address):
        sys.exit(f"cannot listen at {address}")
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


def channel_to(address, authority, ca_file):
    options = [("grpc.default_authority", authority), ("grpc.max_receive_message_length", 16 << 20)]
    if ca_file is None:
        return grpc.insecure_channel(address, options)
    options.append(("grpc.ssl_target_name_override", authority))
    with open(ca_file, "rb") as file:
        return grpc.secure_channel(address, grpc.ssl_channel_credentials(file.read()), options)


def failure(call, *arguments, **options):
    """With which error a call ends."""
    try:
        call(*arguments, **options)
    except grpc.RpcError as error:
        return error
    sys.exit("a call that should fail did not")


def check(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: {got!r} in place of {wanted!r}")


def call(address, authority, ca_file=None):
    channel = channel_to(address, authority, ca_file)
    upper = channel.unary_unary(f"/{NAME}/Upper")

    # Unary calls, a hundred at a time.
    calls = [(number, upper.future(b"call %d" % number)) for number in range(1_000)]
    served = set()
    for number, future in calls:
        check("unary", future.result(timeout=20), b"CALL %d" % number)
        served.update(value for key, value in future.trailing_metadata() if key == "served-by")
    print("served by", *sorted(served))

    count = channel.unary_stream(f"/{NAME}/Count")
    check("server streaming", list(count(b"500")), [str(number).encode() for number in range(500)])
    total = channel.stream_unary(f"/{NAME}/Total")
    check("client streaming", total(iter([b"x" * 1_000] * 500)), b"500000")

    # Both ways, each message after the answer to the one before.
    chat = channel.stream_stream(f"/{NAME}/Chat")
    answered = threading.Semaphore(1)

    def words():
        for number in range(100):
            answered.acquire()
            yield b"word %d" % number

    heard = []
    for answer in chat(words()):
        heard.append(answer)
        answered.release()
    check("both ways", heard, [b"WORD %d" % number for number in range(100)])

    large = b"large" * 1_000_000
    check("5 MB each way", upper(large, timeout=30), large.upper())

    error = failure(channel.unary_unary(f"/{NAME}/Fail"), b"")
    check("a status", (error.code(), error.details()), (grpc.StatusCode.FAILED_PRECONDITION, "not today, ü"))
    error = failure(channel.unary_unary(f"/{NAME}/Nothing"), b"")
    check("no such method", error.code(), grpc.StatusCode.UNIMPLEMENTED)

    # The pod that is asked whether it was cancelled may be another one: all are cancelled.
    hang = channel.unary_unary(f"/{NAME}/Hang")
    hanging = [hang.future(b"") for _ in range(8)]
    time.sleep(1)
    for future in hanging:
        future.cancel()
    check("cancelled", channel.unary_unary(f"/{NAME}/WasCancelled")(b"", timeout=20), b"yes")
    error = failure(channel.unary_unary(f"/{NAME}/BeLate"), b"", timeout=0.1)
    check("a deadline", error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)


def unavailable(address, authority):
    channel = channel_to(address, authority, None)
    error = failure(channel.unary_unary(f"/{NAME}/Upper"), b"", timeout=10)
    check("no pod", error.code(), grpc.StatusCode.UNAVAILABLE)
    if "no ready endpoint" not in error.details():
        sys.exit(f"no pod: {error.details()}")
    channel = channel_to(address, "nobody.example.com", None)
    error = failure(channel.unary_unary(f"/{NAME}/Upper"), b"", timeout=10)
    check("no route", error.code(), grpc.StatusCode.UNIMPLEMENTED)


{"serve": serve, "call": call, "unavailable": unavailable}[sys.argv[1]](*sys.argv[2:])
