"""Stand-in for `mesos-executor` and `mesos-default-executor`: a standalone script.

The package the harness takes Mesos from has no executor binaries, so this is an own
implementation on the v1 executor HTTP API (JSON): it subscribes to its agent, runs the command
of each task as a child process in a session of its own, and reports status updates the way the
command executor does: TASK_STARTING, TASK_RUNNING, then TASK_FINISHED, TASK_FAILED or
TASK_KILLED.

Kept from the original: one task per command executor; the kill grace period of three seconds;
TASK_KILLING for frameworks with that capability; retained and resent unacknowledged updates;
reconnection to a restarted agent for checkpointing frameworks; COMMAND, HTTP and TCP health
checks; the maximum completion time; in a task group, a task that ends badly (or is killed) ends
the others.

Left out: images, nested containers (a group's tasks are plain child processes, each in a folder
of its own), general checks, users, capabilities, terminals.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import pathlib
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

TERMINAL = {"TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_LOST", "TASK_ERROR"}
UNITS = {
    "ns": 1e-9, "us": 1e-6, "ms": 1e-3, "secs": 1, "mins": 60,
    "hrs": 3600, "days": 86400, "weeks": 604800,
}  # fmt: skip
KILL_GRACE_NS = 3_000_000_000  # the command executor's
HEALTH_REASON = "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED"


def seconds(text: str) -> float:
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    return float(number) * UNITS[text[len(number) :]]


def log(*words: object) -> None:
    print(time.strftime("%H:%M:%S"), *words, file=sys.stderr, flush=True)


def describe(returncode: int) -> str:
    if returncode < 0:
        return f"Command terminated with signal {signal.strsignal(-returncode)}"
    return f"Command exited with status {returncode}"


def environment_of(command: Json) -> dict[str, str]:
    variables = command.get("environment", {}).get("variables", [])
    own = {v["name"]: v.get("value", "") for v in variables if v.get("type", "VALUE") == "VALUE"}
    return dict(os.environ) | own


def arguments_of(command: Json) -> tuple[list[str], str]:
    """The arguments, and the program."""
    if command.get("shell", True):
        return ["sh", "-c", command["value"]], "/bin/sh"
    return command.get("arguments") or [command["value"]], command["value"]


def is_healthy(check: Json, directory: pathlib.Path) -> bool:
    timeout = check.get("timeout_seconds", 20.0) or None
    try:
        if "command" in check:
            arguments, program = arguments_of(check["command"])
            done = subprocess.run(
                arguments,
                executable=program,
                cwd=directory,
                env=environment_of(check["command"]),
                stdin=subprocess.DEVNULL,
                timeout=timeout,
                check=False,
            )
            return done.returncode == 0
        if "http" in check:
            target = check["http"]
            place = f"127.0.0.1:{target['port']}{target.get('path', '/')}"
            url = f"{target.get('scheme', 'http')}://{place}"
            with urllib.request.urlopen(url, timeout=timeout) as response:
                return bool(200 <= response.status < 400)
        with socket.create_connection(("127.0.0.1", check["tcp"]["port"]), timeout=timeout):
            return True
    except (OSError, subprocess.SubprocessError):
        return False


class Task:
    def __init__(self, info: Json, directory: pathlib.Path) -> None:
        self.info = info
        self.id: str = info["task_id"]["value"]
        self.directory = directory
        self.process: subprocess.Popen[bytes] | None = None
        self.acknowledged = False
        self.done = False
        self.reported = False  # its end: not yet, for a moment after it is done
        self.killed = False
        self.unhealthy = False
        self.timed_out = False
        self.deadline = float("inf")  # of the kill that is under way

    def start(self) -> subprocess.Popen[bytes]:
        environment = environment_of(self.info["command"])
        resources = self.info.get("resources", [])
        role = resources[0].get("allocation_info", {}).get("role") if resources else None
        if role:
            environment["MESOS_ALLOCATION_ROLE"] = role
        arguments, program = arguments_of(self.info["command"])
        self.process = subprocess.Popen(
            arguments,
            executable=program,
            cwd=self.directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        return self.process

    def is_over(self) -> bool:
        return self.done or self.killed

    def signal(self, number: int) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)


class Executor:
    def __init__(self) -> None:
        env = os.environ
        self.host, port = env["MESOS_AGENT_ENDPOINT"].rsplit(":", 1)
        self.port = int(port)
        self.path = f"/{env['MESOS_SLAVE_PID'].split('@')[0]}/api/v1/executor"
        self.framework_id = {"value": env["MESOS_FRAMEWORK_ID"]}
        self.executor_id = {"value": env["MESOS_EXECUTOR_ID"]}
        self.checkpoint = env.get("MESOS_CHECKPOINT") == "1"
        self.recovery = seconds(env.get("MESOS_RECOVERY_TIMEOUT", "15mins"))
        self.backoff = min(1.0, seconds(env.get("MESOS_SUBSCRIPTION_BACKOFF_MAX", "1secs")))
        self.shutdown_grace = seconds(env.get("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", "5secs"))
        self.token = env.pop("MESOS_EXECUTOR_AUTHENTICATION_TOKEN", None)
        self.sandbox = pathlib.Path(env.get("MESOS_SANDBOX") or pathlib.Path.cwd())
        self.lock = threading.RLock()
        self.tasks: dict[str, Task] = {}
        self.unacknowledged: dict[str, Json] = {}
        self.killing_state = False
        self.outbox: queue.Queue[Json] = queue.Queue()
        threading.Thread(target=self._send_loop, daemon=True).start()

    # -- transport ------------------------------------------------------------------------

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        return headers | ({"Authorization": f"Bearer {self.token}"} if self.token else {})

    def _call(self, kind: str, **fields: object) -> Json:
        ids = {"framework_id": self.framework_id, "executor_id": self.executor_id}
        return {"type": kind, **ids, **fields}

    def _send_loop(self) -> None:
        while True:
            call = self.outbox.get()
            try:
                connection = http.client.HTTPConnection(self.host, self.port, timeout=10)
                connection.request("POST", self.path, json.dumps(call), self._headers())
                response = connection.getresponse()
                body = response.read()
                if response.status != 202:
                    log("call", call["type"], "was answered", response.status, body)
                connection.close()
            except OSError as error:  # the next SUBSCRIBE carries what was not acknowledged
                log("call", call["type"], "failed:", error)

    def run(self) -> None:
        lost_at: float | None = None
        while True:
            try:
                for event in self._subscribe():
                    lost_at = None
                    self._received(event)
            except (OSError, http.client.HTTPException, ValueError) as error:
                log("subscription:", error)
            if not self.checkpoint and lost_at is None:
                log("disconnected from the agent; not checkpointing, so shutting down")
                break
            lost_at = lost_at or time.perf_counter()
            if time.perf_counter() - lost_at > self.recovery:
                log("the agent did not come back within", self.recovery, "s")
                break
            time.sleep(self.backoff)
        self._stop()

    def _subscribe(self) -> Iterator[Json]:
        with self.lock:
            open_tasks = [t.info for t in self.tasks.values() if not t.acknowledged]
            subscribe = {
                "unacknowledged_tasks": open_tasks,
                "unacknowledged_updates": list(self.unacknowledged.values()),
            }
        call = self._call("SUBSCRIBE", subscribe=subscribe)
        connection = http.client.HTTPConnection(self.host, self.port, timeout=10)
        connection.request("POST", self.path, json.dumps(call), self._headers())
        connection.sock.settimeout(None)
        response = connection.getresponse()
        if response.status != 200:
            raise ValueError(f"{response.status} {response.read()!r}")
        while True:  # RecordIO: a decimal length, a newline, that many bytes
            size = b""
            while not size.endswith(b"\n"):
                byte = response.read(1)
                if not byte:
                    return
                size += byte
            data = b""
            while len(data) < int(size):
                chunk = response.read(int(size) - len(data))
                if not chunk:
                    return
                data += chunk
            yield json.loads(data)

    # -- events ---------------------------------------------------------------------------

    def _received(self, event: Json) -> None:
        if event["type"] != "HEARTBEAT":
            log("event", event["type"])
        match event["type"]:
            case "SUBSCRIBED":
                capabilities = event["subscribed"]["framework_info"].get("capabilities", [])
                self.killing_state = {"type": "TASK_KILLING_STATE"} in capabilities
            case "LAUNCH":
                self._launch([event["launch"]["task"]], in_own_folders=False)
            case "LAUNCH_GROUP":
                tasks = event["launch_group"]["task_group"]["tasks"]
                self._launch(tasks, in_own_folders=True)
            case "KILL":
                task = self.tasks.get(event["kill"]["task_id"]["value"])
                if task is not None:
                    self._kill(task, event["kill"].get("kill_policy", {}))
            case "ACKNOWLEDGED":
                self._acknowledged(event["acknowledged"])
            case "SHUTDOWN":
                threading.Thread(target=self._stop).start()
            case "ERROR":
                log(event["error"].get("message"))

    def _acknowledged(self, ack: Json) -> None:
        with self.lock:
            update = self.unacknowledged.pop(ack["uuid"], None)
            self.tasks[ack["task_id"]["value"]].acknowledged = True
            states = {u["status"]["state"] for u in self.unacknowledged.values()}
            all_reported = all(t.reported for t in self.tasks.values())
        if update is not None and all_reported and not states & TERMINAL:
            log("done")
            os._exit(0)

    def _update(self, task: Task, state: str, **fields: object) -> None:
        random_id = uuid.UUID(bytes=os.urandom(16), version=4)  # the agent checks the version
        identifier = base64.b64encode(random_id.bytes).decode()
        status = {
            "task_id": {"value": task.id},
            "state": state,
            "source": "SOURCE_EXECUTOR",
            "executor_id": self.executor_id,
            "uuid": identifier,
            "timestamp": time.time_ns() / 1e9,
            **{name: value for name, value in fields.items() if value is not None},
        }
        with self.lock:
            self.unacknowledged[identifier] = {"status": status}
            task.reported = task.reported or state in TERMINAL
        log("update", task.id, state, fields.get("message", ""))
        self.outbox.put(self._call("UPDATE", update={"status": status}))

    # -- tasks ----------------------------------------------------------------------------

    def _launch(self, infos: list[Json], *, in_own_folders: bool) -> None:
        tasks = []
        for info in infos:
            directory = self.sandbox
            if in_own_folders:
                directory = self.sandbox / "tasks" / info["task_id"]["value"]
                directory.mkdir(parents=True, exist_ok=True)
            task = Task(info, directory)
            with self.lock:
                self.tasks[task.id] = task
            tasks.append(task)
            self._update(task, "TASK_STARTING")
        for task in tasks:
            self._start(task, tasks)

    def _start(self, task: Task, group: list[Task]) -> None:
        try:
            process = task.start()
        except (OSError, KeyError) as error:  # the original fails in the forked helper
            log("Failed to execute command:", error)
            task.done = True
            self._update(task, "TASK_RUNNING")
            self._update(task, "TASK_FAILED", message=describe(1))
            return
        self._update(task, "TASK_RUNNING")
        threading.Thread(target=self._watch, args=(task, process, group), daemon=True).start()
        if "health_check" in task.info:
            threading.Thread(target=self._health, args=(task,), daemon=True).start()
        limit = task.info.get("max_completion_time", {}).get("nanoseconds", 0)
        if limit:
            threading.Timer(limit / 1e9, self._time_out, args=(task,)).start()

    def _watch(self, task: Task, process: subprocess.Popen[bytes], group: list[Task]) -> None:
        returncode = process.wait()
        task.done = True
        state, reason = "TASK_FINISHED" if returncode == 0 else "TASK_FAILED", None
        if task.timed_out:
            state, reason = "TASK_FAILED", "REASON_MAX_COMPLETION_TIME_REACHED"
        elif task.killed:
            state = "TASK_KILLED"
        healthy = False if task.unhealthy else None
        self._update(task, state, message=describe(returncode), reason=reason, healthy=healthy)
        if returncode != 0:
            for other in group:
                if not other.done:
                    self._kill(other, {})

    def _time_out(self, task: Task) -> None:
        if not task.done:
            task.timed_out = True
            self._kill(task, {}, 0.0)

    def _kill(self, task: Task, policy: Json, grace: float | None = None) -> None:
        if task.done or task.process is None:
            return
        if grace is None:
            chosen = policy if "grace_period" in policy else task.info.get("kill_policy", {})
            grace = chosen.get("grace_period", {}).get("nanoseconds", KILL_GRACE_NS) / 1e9
        deadline = time.perf_counter() + grace
        if task.killed and deadline >= task.deadline:
            return
        task.deadline = deadline
        if not task.killed:
            task.killed = True
            if self.killing_state and not task.timed_out:
                self._update(task, "TASK_KILLING")
            task.signal(signal.SIGTERM)
        threading.Timer(
            max(grace, 0.05), lambda: None if task.done else task.signal(signal.SIGKILL)
        ).start()

    def _health(self, task: Task) -> None:
        check = task.info["health_check"]
        started = time.perf_counter()
        time.sleep(check.get("delay_seconds", 15.0))
        failures = 0
        reported: bool | None = None
        while not task.is_over():
            healthy = is_healthy(check, task.directory)
            if task.is_over():
                return
            in_grace = time.perf_counter() - started <= check.get("grace_period_seconds", 10.0)
            if healthy:
                failures = 0
                if reported is not True:
                    reported = True
                    self._update(task, "TASK_RUNNING", healthy=True, reason=HEALTH_REASON)
            elif reported is not None or not in_grace:
                failures += 1
                reported = False
                self._update(task, "TASK_RUNNING", healthy=False, reason=HEALTH_REASON)
                if failures >= check.get("consecutive_failures", 3):
                    task.unhealthy = True
                    self._kill(task, {})
                    return
            time.sleep(check.get("interval_seconds", 10.0))

    def _stop(self) -> None:
        grace = max(0.0, self.shutdown_grace - 2.0)
        for task in list(self.tasks.values()):
            self._kill(task, {}, grace)
        end = time.perf_counter() + self.shutdown_grace
        while time.perf_counter() < end and not all(t.done for t in self.tasks.values()):
            time.sleep(0.05)
        for task in self.tasks.values():
            task.signal(signal.SIGKILL)
        time.sleep(0.5)  # for the last updates
        os._exit(0)


if __name__ == "__main__":
    Executor().run()
