"""A Printmill worker in Python: gets pictures to inspect as they come, looks into them, and answers.

Operators see it in `printmill workers list`, drain it, and cancel what it works on. It needs nothing but the address of a node and a worker's key.
"""

import argparse
import os
import signal
import struct
import sys
import threading
import urllib.request

import grpc
from google.protobuf import json_format, struct_pb2

sys.path.insert(0, os.environ.get("PRINTMILL_STUBS", os.path.join(os.path.dirname(__file__), "generated")))
from printmill.v1 import work_pb2, work_pb2_grpc  # noqa: E402

HEARTBEAT_SECONDS = 3
REFUSED = (
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.INVALID_ARGUMENT,
)
FILE_BYTES_MAX = 64 * 1024 * 1024
PNG = b"\x89PNG\r\n\x1a\n"


class NotAPicture(Exception):
    """The file cannot be printed, whoever looks into it."""


def inspect(content: bytes) -> dict:
    """What a picture's own header says of it."""
    if content.startswith(PNG) and len(content) >= 33:
        width, height = struct.unpack(">II", content[16:24])
        return picture("image/png", width, height, b"iCCP" in content[:4096])
    if content.startswith(b"\xff\xd8"):
        return inspect_jpeg(content)
    raise NotAPicture("the file is no picture that can be printed")


def inspect_jpeg(content: bytes) -> dict:
    at, has_profile = 2, False
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker, length = content[at + 1], struct.unpack(">H", content[at + 2 : at + 4])[0]
        has_profile |= marker == 0xE2 and content[at + 4 : at + 15] == b"ICC_PROFILE"
        # The frames of all processes (ITU-T T.81, table B.1), but not tables, DHT, JPG and DAC.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", content[at + 5 : at + 9])
            return picture("image/jpeg", width, height, has_profile)
        at += 2 + length
    raise NotAPicture("the JPEG has no frame")


def picture(media_type: str, width: int, height: int, has_profile: bool) -> dict:
    return {
        "media_type": media_type,
        "width": width,
        "height": height,
        "orientation": 1,
        "has_icc_profile": has_profile,
    }


class Control(threading.Thread):
    """Announces the worker, and does what it is told, until it leaves."""

    def __init__(self, work, lane, name):
        super().__init__(daemon=True)
        self.work, self.lane, self.name_shown = work, lane, name
        self.worker_id, self.revision, self.refusal = "", 0, None
        self.announced, self.leaving = threading.Event(), threading.Event()
        self.heartbeats = {}

    def run(self):
        while not self.leaving.is_set():
            lanes = [work_pb2.OfferedLane(lane=self.lane, concurrency=1)]
            request = work_pb2.ControlWorkRequest(
                worker_id=self.worker_id,
                name=self.name_shown,
                lanes=lanes,
                ticket_ids=list(self.heartbeats),
            )
            try:
                for command in self.work.ControlWork(request):
                    self.hear(command)
            except grpc.RpcError as error:
                if error.code() in REFUSED:
                    self.refusal = error.details()
                    self.announced.set()
                    return
                if error.code() == grpc.StatusCode.NOT_FOUND:
                    self.worker_id = ""  # Its record is gone: it is announced anew.
            self.leaving.wait(1)

    def hear(self, command):
        self.worker_id = command.worker_id
        self.announced.set()
        what = command.WhichOneof("command")
        if what == "orders":
            # The node leases nothing against these; what is held is finished in any case.
            self.revision = command.orders.revision
            print("draining" if command.orders.draining else "serving", flush=True)
            self.report()
        elif what == "cancel":
            heartbeat = self.heartbeats.get(command.cancel.ticket_id)
            if heartbeat:
                heartbeat.unwanted.set()
        elif what == "report":
            self.report()

    def report(self, leaving=False):
        request = work_pb2.ReportWorkRequest(
            worker_id=self.worker_id,
            revision=self.revision,
            ticket_ids=list(self.heartbeats),
            leaving=leaving,
        )
        try:
            self.work.ReportWork(request, timeout=10)
        except grpc.RpcError:
            pass  # It is asked again.


class Heartbeat(threading.Thread):
    """Extends a lease beside the work, until it is stopped or the work is not wanted any more."""

    def __init__(self, work, control, lease):
        super().__init__(daemon=True)
        self.work, self.control, self.lease_token = work, control, lease.lease_token
        self.message, self.progress, self.reported = "begun", 0, False
        self.finished, self.unwanted = threading.Event(), threading.Event()

    def run(self):
        while not self.finished.wait(HEARTBEAT_SECONDS):
            request = work_pb2.ExtendWorkRequest(
                lease_token=self.lease_token, progress=self.progress, message=self.message
            )
            try:
                if self.work.ExtendWork(request, timeout=10).cancel:
                    self.unwanted.set()
            except grpc.RpcError as error:
                # FAILED_PRECONDITION is LEASE_LOST: it is another's now. All else may pass.
                if error.code() == grpc.StatusCode.FAILED_PRECONDITION:
                    self.unwanted.set()
                    return
            if not self.reported:  # Short work is not worth a report.
                self.reported = True
                self.control.report()


def work_on(work, control, lease, hold: float):
    heartbeat = Heartbeat(work, control, lease)
    control.heartbeats[lease.ticket_id] = heartbeat
    heartbeat.start()
    try:
        heartbeat.message = "fetching the file"
        with urllib.request.urlopen(lease.files[0].link.url, timeout=60) as answer:
            content = answer.read(FILE_BYTES_MAX)
        heartbeat.message, heartbeat.progress = "looking into it", 500
        heartbeat.unwanted.wait(hold)
        if heartbeat.unwanted.is_set():
            work.ReleaseWork(work_pb2.ReleaseWorkRequest(lease_token=lease.lease_token))
            say("stopped", lease)
            return
        try:
            result = {"picture": inspect(content)}
        except NotAPicture as error:
            advice = "upload a JPEG or PNG file"
            problem = {"code": "ASSET_NOT_AN_IMAGE", "message": str(error), "advice": advice}
            result = {"problem": problem}
        answer = json_format.ParseDict(result, struct_pb2.Struct())
        request = work_pb2.CompleteWorkRequest(lease_token=lease.lease_token, result=answer)
        work.CompleteWork(request, timeout=30)
        say("completed", lease)
    except (OSError, struct.error) as error:
        message = f"the file could not be looked into: {error}"[:500]
        work.FailWork(work_pb2.FailWorkRequest(lease_token=lease.lease_token, message=message))
        say("failed", lease)
    finally:
        heartbeat.finished.set()
        control.heartbeats.pop(lease.ticket_id, None)
        if heartbeat.reported:
            control.report()


def say(what: str, lease):
    print(what, lease.ticket_id, f"attempt={lease.attempt}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default="127.0.0.1:7070", help="host and port of a node")
    parser.add_argument("--lane", default="inspect")
    parser.add_argument("--name", default=f"python-{os.getpid()}", help="for people who look")
    parser.add_argument("--hold", type=float, default=0, help="take so many seconds longer")
    arguments = parser.parse_args()
    key = os.environ.get("PRINTMILL_KEY") or parser.error("set PRINTMILL_KEY to a worker's key")

    class Key(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
        def with_key(self, proceed, details, request):
            metadata = [*(details.metadata or ()), ("authorization", f"Bearer {key}")]
            return proceed(details._replace(metadata=metadata), request)

        intercept_unary_unary = intercept_unary_stream = with_key

    # Over the internet use grpc.secure_channel: the key must not be read on the way.
    options = [("grpc.keepalive_time_ms", 30_000)]
    channel = grpc.insecure_channel(arguments.server, options)
    work = work_pb2_grpc.WorkServiceStub(grpc.intercept_channel(channel, Key()))
    control = Control(work, arguments.lane, arguments.name)
    streams = []

    def leave(*_):
        control.leaving.set()
        for stream in streams:
            stream.cancel()

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, leave)
    control.start()
    while not control.leaving.is_set():
        if not control.announced.wait(1):
            continue
        if control.refusal:
            sys.exit(f"refused: {control.refusal}")
        request = work_pb2.StreamWorkRequest(
            lane=arguments.lane, concurrency=1, worker_id=control.worker_id
        )
        try:
            streams[:] = [work.StreamWork(request)]
            for answer in streams[0]:
                if not answer.HasField("lease"):
                    continue  # A sign of life.
                say("leased", answer.lease)
                try:
                    work_on(work, control, answer.lease, arguments.hold)
                except grpc.RpcError as error:
                    print(f"{answer.lease.ticket_id} was not settled: {error.details()}", flush=True)
                if control.leaving.is_set():
                    break
        except grpc.RpcError:
            control.leaving.wait(1)
    if control.worker_id:
        control.report(leaving=True)


if __name__ == "__main__":
    main()
