"""`concord up`: a whole cluster of real processes on this machine, for development and for trying it out.

The first start decides what the cluster consists of (`layout`); every later start brings the same cluster back with its
data. While it runs it is the processes' supervisor: one that dies is started again.
"""

import argparse
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from concord.cli import layout as layouts
from concord.cli.arguments import Commands, number_up_to
from concord.cli.console import BOLD, DIM, CliError, Progress, complain, paint, table
from concord.cli.files import DirectoryLock
from concord.cli.gateways import TOKEN_VARIABLE
from concord.cli.layout import HOST, LIMIT_GROUPS, LIMIT_NODES, LIMIT_REPLICAS, Layout, Wanted
from concord.cli.probe import error_message, get
from concord.cli.processes import Death, Process, Program, Supervisor, last_line
from concord.cli.status import DEFAULT_DATA_DIR, Status, fetch, numbers

DESCRIPTION = """Run a whole cluster of real processes on this machine. The first start decides how many nodes, groups and
replicas there are; later starts bring the same cluster back with its data. Ctrl-C stops it."""
DEFAULT_PORT = 4000
LIMIT_GATEWAYS = 8
LIMIT_PORT = 65535
NODE_PORT_OFFSET = 101  # nodes of the cluster on port 4000 are looked for from 4101 on
READY_TIMEOUT_S = 120.0
PROBE_EVERY_S = 0.1
PROBE_TIMEOUT_S = 1.0
IDLE_WAIT_S = 60.0
START_ATTEMPTS = 3


def add_parser(commands: Commands) -> None:
    """Register the command."""
    parser = commands.add_parser("up", help="run a whole cluster on this machine", description=DESCRIPTION)
    whole = number_up_to
    parser.add_argument(
        "--nodes", type=whole(LIMIT_NODES), metavar="N", help=f"node processes ({layouts.DEFAULT_NODES})"
    )
    parser.add_argument(
        "--groups", type=whole(LIMIT_GROUPS), metavar="N", help=f"Raft groups ({layouts.DEFAULT_GROUPS})"
    )
    parser.add_argument(
        "--replicas", type=whole(LIMIT_REPLICAS), metavar="N", help=f"of each group ({layouts.DEFAULT_REPLICAS})"
    )
    parser.add_argument(
        "--gateways", type=whole(LIMIT_GATEWAYS), default=1, metavar="N", help="gateway processes (%(default)s)"
    )
    parser.add_argument(
        "--port",
        type=whole(LIMIT_PORT),
        default=DEFAULT_PORT,
        metavar="N",
        help="of the first gateway; others follow (%(default)s)",
    )
    parser.add_argument(
        "--data-dir", default=DEFAULT_DATA_DIR, metavar="DIR", help="where the data and logs are (%(default)s)"
    )
    parser.add_argument(
        "--durability",
        choices=["fsync", "os", "memory"],
        default="fsync",
        help="what an answer to a write waits for: the disks, the operating systems, or memory alone (%(default)s)",
    )
    parser.add_argument("--auth", action="store_true", help="ask for tokens; this time only, say it at each start")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Start the cluster and keep it running until SIGINT or SIGTERM; then stop it and return 0."""
    data_dir = Path(options.data_dir).absolute()
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CliError(f"{data_dir}: {error.strerror}", "choose another --data-dir") from error
    lock = DirectoryLock(data_dir)
    try:
        gateway_ports = range(options.port, options.port + options.gateways)
        layout = _settle(data_dir, Wanted(options.nodes, options.groups, options.replicas), gateway_ports)
        url = f"http://{HOST}:{options.port}"
        programs = _programs(layout, data_dir, options.durability, gateway_ports, auth=options.auth)
        supervisor = Supervisor(programs, data_dir, url)
        return _Cluster(supervisor, layout, url, options.durability, data_dir, auth=options.auth).run()
    finally:
        lock.release()


class _Cluster:
    """The running cluster: waits until it is ready, says so, and watches it until told to stop."""

    def __init__(
        self, supervisor: Supervisor, layout: Layout, url: str, durability: str, data_dir: Path, *, auth: bool
    ) -> None:
        self._supervisor = supervisor
        self._layout = layout
        self._url = url
        self._durability = durability
        self._data_dir = data_dir
        self._auth = auth
        self._progress = Progress(sys.stderr)

    def run(self) -> int:
        with _signals() as (stopping, wait):
            try:
                self._supervisor.start()
                if self._become_ready(stopping, wait):
                    sys.stdout.write(self._announcement())
                    sys.stdout.flush()
                while not stopping():
                    wait(self._supervisor.next_restart_s(IDLE_WAIT_S))
                    for death in self._supervisor.poll():
                        complain(
                            f"{death.name} {death.reason}; starting it again in {death.delay_s:.1f} s, see {death.log}"
                        )
            finally:
                self._stop()
        return 0

    def _become_ready(self, stopping: Callable[[], bool], wait: Callable[[float], None]) -> bool:
        """Wait for every gateway to say that it is ready; False when told to stop before."""
        begin = time.monotonic()
        names = " ".join(process.name for process in self._supervisor.processes)
        missing = "no gateway answers"
        while not stopping():
            waited_s = time.monotonic() - begin
            self._progress.show(f"starting {names} … {waited_s:.1f} s, {missing}")
            for death in self._supervisor.poll():
                self._check_start(death)
            missing = self._missing()
            if not missing:
                self._progress.clear()
                return True
            if waited_s > READY_TIMEOUT_S:
                raise CliError(f"after {READY_TIMEOUT_S:.0f} s {missing}", f"see {self._data_dir / 'logs'}")
            wait(PROBE_EVERY_S)
        return False

    def _check_start(self, death: Death) -> None:
        if death.count >= START_ATTEMPTS:
            raise CliError(f"{death.name} does not start: {last_line(death.log)}", f"see {death.log}")

    def _missing(self) -> str:
        """Why one of the gateways is not ready, "" when all are."""
        gateways = (process for process in self._supervisor.processes if process.role == "gateway")
        return next(filter(None, map(_why_not_ready, gateways)), "")

    def _announcement(self) -> str:
        status = self._status()
        rows = [
            [
                process.name,
                process.role,
                str(process.pid or "-"),
                process.address,
                process.zone or "-",
                numbers(status.led_by(process.name)) if status and process.role == "node" else "-",
            ]
            for process in self._supervisor.processes
        ]
        what = (
            f"{len(self._layout.nodes)} nodes, {self._layout.groups} groups of {self._layout.replicas} replicas, "
            f"durability {self._durability}"
        )
        return (
            f"{paint(f'Concord is ready at {self._url}', BOLD, sys.stdout)} ({what})\n\n"
            f"{table(['NAME', 'ROLE', 'PID', 'ADDRESS', 'ZONE', 'LEADS GROUPS'], rows, sys.stdout)}\n"
            f"Try\n{self._first_steps()}\n"
            f"{paint(f'Logs are in {self._data_dir}/logs. Ctrl-C stops it; the data stays.', DIM, sys.stdout)}\n"
        )

    def _first_steps(self) -> str:
        header, first = "", ""
        if self._auth:
            nodes = ",".join(node.address for node in self._layout.nodes)
            bootstrap = f"concord token bootstrap --cluster {self._layout.cluster} --nodes {nodes}"
            first = f"  export CONCORD_TOKEN=$({bootstrap})  # once, and keep it\n"
            header = ' -H "X-API-Key: $CONCORD_TOKEN"'
        key = f"{self._url}/api/v1/kv/hello"
        put = f"curl -X PUT {key} -H 'Content-Type: application/json'{header} -d '{{\"value\": \"world\"}}'"
        return f"{first}  {put}\n  curl {key}{header}\n"

    def _status(self) -> Status | None:
        """Who leads what; None when the gateway cannot say, which must not end a cluster that is ready."""
        try:
            return fetch(self._url, PROBE_TIMEOUT_S, os.environ.get(TOKEN_VARIABLE, "") if self._auth else "")
        except CliError:
            return None

    def _stop(self) -> None:
        """Stop the processes; a second signal meanwhile kills them."""
        self._progress.show("stopping …")
        try:
            killed = self._supervisor.stop()
        except KeyboardInterrupt:
            self._supervisor.kill()
            killed = []
        self._progress.clear()
        for name in killed:
            complain(f"{name} did not stop in time and was killed")


def _why_not_ready(gateway: Process) -> str:
    try:
        answer = get(f"http://{gateway.address}", "/readyz", PROBE_TIMEOUT_S)
    except CliError:
        return f"{gateway.name} does not answer"
    return "" if answer.status == 200 else f"{gateway.name}: {error_message(answer.body)}"


def _settle(data_dir: Path, wanted: Wanted, gateway_ports: range) -> Layout:
    """The cluster to start: the one that is there, or a new one."""
    if gateway_ports[-1] > LIMIT_PORT:
        raise CliError(f"there is no port {gateway_ports[-1]}", "choose a lower --port", exit_code=2)
    for port in gateway_ports:
        if not _is_free(port):
            raise CliError(f"port {port} is in use", "choose another with --port")
    layout = layouts.load(data_dir)
    if layout is None:
        layout = layouts.decide(wanted, gateway_ports[0] + NODE_PORT_OFFSET, _is_free)
        layouts.save(data_dir, layout)
        return layout
    layouts.check_unchanged(layout, wanted, data_dir)
    for node in layout.nodes:
        if not _is_free(node.port):
            raise CliError(f"port {node.port}, which is {node.id}'s, is in use", "stop the program that uses it")
    return layout


def _programs(layout: Layout, data_dir: Path, durability: str, gateway_ports: range, *, auth: bool) -> list[Program]:
    nodes = [
        Program(
            node.id,
            "node",
            layouts.node_arguments(layout, node, data_dir, durability),
            node.address,
            [node.port],
            node.zone,
        )
        for node in layout.nodes
    ]
    gateways = [
        Program(f"gateway{i}", "gateway", layouts.gateway_arguments(layout, port, auth=auth), f"{HOST}:{port}", [port])
        for i, port in enumerate(gateway_ports, start=1)
    ]
    return [*nodes, *gateways]


def _is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback interface."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


@contextmanager
def _signals() -> Iterator[tuple[Callable[[], bool], Callable[[float], None]]]:
    """Turn signals into a flag and a wait that they end.

    SIGINT, SIGTERM and SIGHUP set the flag; a second one is a KeyboardInterrupt. A child's end (SIGCHLD) only ends the
    wait. Both go through a wakeup socket, so that none is lost between a check and the wait.
    """
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    told = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal told
        if told:
            raise KeyboardInterrupt
        told = True

    def wait(timeout_s: float) -> None:
        if select.select([reader], [], [], timeout_s)[0]:
            reader.recv(4096)

    handlers = {signal.SIGINT: stop, signal.SIGTERM: stop, signal.SIGHUP: stop, signal.SIGCHLD: lambda *_: None}
    previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    previous_fd = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    try:
        yield (lambda: told), wait
    finally:
        signal.set_wakeup_fd(previous_fd)
        for number, handler in previous.items():
            signal.signal(number, handler)
        reader.close()
        writer.close()
