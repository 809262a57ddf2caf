"""Writes the result of a load test to the termination message of the master: a line of JSON with the summary, then
rows of CSV, compressed, with the rest. The kubelet cuts the message if the pod has many containers.

The operator puts this file before the master's locustfiles. It must not change or break a test: it listens, and
catches its own errors. Python 3.7 and Locust 2.12 or later.
"""
import atexit
import base64
import csv
import functools
import heapq
import io
import json
import logging
import os
import re
import sys
import time
import traceback
import zlib

import flask
import gevent
import locust
from locust import events
from locust.runners import MasterRunner

PATH = "/dev/termination-log"
LIMIT = 4096  # that the kubelet keeps; less with more than 3 containers: 12 KiB divided by their number
CLEAR = 1024  # of them for the summary
HEADER = 8192  # of an answer
INTERVAL = 2.0  # seconds between snapshots
SHARE = 0.01  # of the master's time
POINTS = 240  # of the history
ROWS = 120  # of endpoints, more than fit
LATE = 5.0  # seconds until workers have sent their last statistics, and until users count
SHORT = 30.0  # seconds with too few users until users count as missing
LARGEST = 1e9  # milliseconds, requests per second
STOP = 20.0  # seconds for the end of a load that a signal ends; the pod's grace period is 30 s
PAUSE = 10.0  # seconds between two samples of the workers' processor use; Locust takes it every 5 or 10 s
# The functions of Locust that end a load.
STOPPERS = {
    "locust.main.stop_and_optionally_quit": "run-time", "locust.web._stop_runners": "run-time",
    "locust.runners.shape_worker": "shape", "locust.web.stop": "web-ui", "locust.main.sig_term_handler": "signal",
    "locust.runners.heartbeat_worker": "workers-missing",
    "locust.runners.client_listener": "workers-quit", "locust.runners.handle_message": "workers-quit",
    "locust.main.main": "main",
}
PARTS = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
dump = functools.partial(json.dumps, separators=(",", ":"), allow_nan=False)  # ASCII


def quiet(function):
    """Catches the errors of a function."""

    def quietly(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except Exception:  # pylint: disable=broad-except
            logging.getLogger("locust.reporter").debug("%s failed", function.__name__, exc_info=True)

    return quietly


def cut(value, size):
    """Cuts the middle out of texts in value longer than size."""
    if isinstance(value, dict):
        return {key: cut(inner, size) for key, inner in value.items()}
    if isinstance(value, list):
        return [cut(inner, size) for inner in value]
    if isinstance(value, str) and len(value) > size:
        return value[: size // 2 - 2] + "..." + value[1 - size // 2 :]
    return value


def text(value, size):
    return cut(" ".join(str(value or "").split()), size)


def plain(value, size):
    """Cuts a text as the operator does with those of the web API, on one line."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", " ", str(value or ""))[:size]


def without_user(url):
    """Removes user and password from a URL."""
    return text(re.sub(r"//[^/?#]*@", "//", str(url or "")), 1024)


@quiet
def number(value):
    """Clamps a measurement, such as a response time over a step of the clock. NaN is 0."""
    return min(max(0, value), LARGEST)


@quiet
def percentile(entry, part):
    value = entry.get_response_time_percentile(part) if entry.response_times else None
    return number(value) if value == value else None  # not NaN


def rounded(value):
    """Rounds milliseconds to microseconds."""
    value = number(value)
    return None if value is None else round(value, 3)


def cell(value, form):
    value = number(value)
    return "" if value is None else form % value


def ms(value):
    return cell(rounded(value), "%.12g")


def most(entries, key, count=50):
    return heapq.nlargest(count, entries.values(), key=key)


def spread(count):
    """Orders indexes so that each power of two of them is spread evenly."""
    step, order = 1 << max(0, count - 1).bit_length(), [0][:count]
    while step > 1:
        order += range(step // 2, count, step)
        step //= 2
    return order


def pack(rows, size):
    """Compresses as many rows as fit."""
    lines, packed = [], ""
    for row in rows:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(row)
        lines.append(line.getvalue())
    low, high = 0, len(lines)
    while low < high:
        middle = (low + high + 1) // 2
        more = base64.a85encode(zlib.compress("".join(lines[:middle]).encode("utf-8", "replace"), 9)).decode()
        if len(more) <= size:
            low, packed = middle, more
        else:
            high = middle - 1
    return packed


def stopped_by(frame):
    """Finds what ends the load: the nearest caller that is a stopper of Locust or is user code."""
    while frame:
        module = frame.f_globals.get("__name__") or ""
        function = module + "." + frame.f_code.co_name
        if function in STOPPERS:
            return STOPPERS[function]
        if module.split(".")[0] not in ("locust", "gevent", __name__):
            break
        frame = frame.f_back
    return "locustfile"  # also in its own greenlet: Locust's have a function in between


class Reporter(logging.Handler):
    """Observes the master. As a log handler it keeps warnings."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.runner = self.seen = self.written = self.limit = None
        self.start = self.end = 0
        self.ended = self.by_hand = self.broken = False
        self.lines = []
        self.missing, self.lost, self.cpu = None, 0, [0, ""]
        self.reset()

    def reset(self):
        """Resets the state of a load. Its missing users and workers stay."""
        self.ended_by = self.short = self.asked = None
        self.known, self.gone, self.peaks, self.sampled = set(), self.lost, {}, time.time()
        self.use, self.history, self.step, self.due = {}, [], INTERVAL, 0

    @quiet
    def init(self, environment, web_ui=None, **_):
        if not isinstance(environment.runner, MasterRunner):
            return
        self.runner = environment.runner
        atexit.register(self.exit)
        events.quitting.add_listener(self.quitting)  # runs before those of the locustfiles
        sys.excepthook = functools.partial(self.excepthook, sys.excepthook)
        gevent.spawn(self.watch)
        for logger in logging.getLogger(), logging.getLogger("locust"):
            # As the only handler it would disable Python's lastResort.
            if logger.handlers and not (logger.parent and logger.propagate):
                logger.addHandler(self)
        # Shown in the web UI, and sent to workers without a locustfile.
        files = environment.parsed_options.locustfile.split(",")
        if len(files) == 1 or environment.locustfile == os.path.basename(__file__):
            environment.locustfile = os.path.basename(files[0].strip())
        loaded = getattr(environment, "parsed_locustfiles", None) or []
        if __file__ in loaded:
            loaded.remove(__file__)
        if web_ui:
            # app.after_request() fails after the first request.
            web_ui.app.after_request_funcs.setdefault(None, []).append(self.after_request)

    def watch(self):
        due = 0
        while not self.ended:
            gevent.sleep(INTERVAL)
            self.look()
            began = time.perf_counter()
            if self.start and not self.ended and began >= due:
                self.write(False)
                now = time.perf_counter()
                due = now + (now - began) / SHARE

    @quiet
    def look(self, **_):
        if self.runner and self.runner.state in ("spawning", "running"):
            self.seen = self.runner.state, self.runner.user_count, self.runner.worker_count
            workers = list(self.runner.clients.values())
            self.count(workers)
            self.sample(workers)
            self.record(workers, time.time() - self.start)
            self.compare(workers, time.time())

    def count(self, workers):
        """Counts the lost workers of the load."""
        ids = {worker.id for worker in workers}
        self.known |= {worker.id for worker in workers if worker.state != "missing"}
        self.lost = self.gone + len(self.known - ids)

    def sample(self, workers):
        """Keeps the highest processor use of a worker in two samples."""
        if time.time() - self.sampled >= PAUSE:
            self.sampled = time.time()
            for worker in workers:
                peak = self.peaks.get(worker.id, 0)
                if min(peak, worker.cpu_usage) > self.cpu[0]:
                    self.cpu = [number(min(peak, worker.cpu_usage)), text(worker.id.rsplit("_", 1)[0], 64)]
                self.peaks[worker.id] = max(peak, worker.cpu_usage)

    @quiet
    def record(self, workers, age):
        """Keeps the peaks of the workers, and a point of the history."""
        for worker in workers:
            cpu, memory = self.use.get(worker.id, (0, 0))
            self.use[worker.id] = max(cpu, worker.cpu_usage), max(memory, getattr(worker, "memory_usage", 0) or 0)
        if not self.start or age < self.due:
            return
        total = self.runner.stats.total
        p50, p95 = (total.get_current_response_time_percentile(part) for part in (0.5, 0.95))
        self.history.append([round(age), self.runner.user_count, cell(total.current_rps, "%.4g"),
                             cell(total.current_fail_per_sec, "%.4g"), ms(p50), ms(p95)])
        if len(self.history) == 2 * POINTS:
            self.history, self.step = self.history[::2], 2 * self.step
        self.due = self.history[-1][0] + self.step - INTERVAL / 2

    def compare(self, workers, now):
        """Compares actual and expected users. Users that ended by themselves are not missing: their workers have
        started all of them."""
        runner = self.runner
        users, target, rate = runner.user_count, runner.target_user_count, runner.spawn_rate
        if self.asked != (target, rate):
            self.asked, self.since, self.base, self.short = (target, rate), now, users, None
        due = int(min(target, self.base + rate * max(0, now - self.since - LATE)))
        late = any(worker.state in ("spawning", "missing") for worker in workers)
        if runner.spawning_completed and sum(runner.target_user_classes_count.values()) < due:
            late = True  # as with a fixed_count below the target
        if users >= due or not late or runner.environment.shape_class:
            self.short = None
            return
        self.short = self.short or now
        if now - self.short >= SHORT and (not self.missing or due - users > self.missing[1] - self.missing[0]):
            self.missing = [users, due]

    @quiet
    def test_stopping(self, **_):
        if self.runner:
            self.ended_by = stopped_by(sys._getframe())
            if self.ended_by == "workers-quit" and self.runner.worker_count:
                self.ended_by = "workers-missing"  # Locust 2.12 stops although others run
            if self.ended_by == "run-time" and self.runner.environment.shape_class:
                self.ended_by = "shape-failed"  # a shape's own end comes earlier
            self.look()
            self.lost += len(self.runner.clients.missing)

    @quiet
    def test_start(self, **_):
        if self.runner:
            self.reset()
            self.count(self.runner.clients.values())  # a worker may quit before the first look
            self.start, self.end, self.seen = time.time(), 0, ("spawning", 0, self.runner.worker_count)
            self.write(False)  # over an earlier load's

    @quiet
    def test_stop(self, **_):
        self.end = time.time()

    @quiet
    def quitting(self, **_):
        """Ends a load that still runs, as on SIGTERM: Locust would wait only half a second for the last statistics."""
        if self.runner.state in ("spawning", "running"):
            with gevent.Timeout(STOP, False):
                self.runner.stop()

    @quiet
    def quit(self, exit_code=None, **_):
        """Runs after the summary, without a greenlet switch: the numbers are those printed."""
        self.ended = True
        if self.runner and (self.start or exit_code == 0):  # else the log's end is better
            self.write(True)

    @quiet
    def exit(self):
        """Without quit() before, an error ends the master, such as a report that cannot be saved."""
        if self.start and not self.ended:
            self.ended = self.broken = True
            complete = self.is_whole()
            self.end = self.end or time.time()
            self.write(complete)

    def is_whole(self):
        """The load has ended, and its workers have quit, or Locust has been stopped for long."""
        silent = self.runner.state == "stopped" and time.time() - self.end > LATE
        return bool(self.end) and (silent or not len(self.runner.greenlet))

    def after_request(self, response):
        self.answer(response)
        return response

    @quiet
    def answer(self, response):
        """Sees each response of the web UI."""
        path = flask.request.path
        if path.endswith("/stats/requests"):
            response.headers["X-Locust-Operator"] = dump({**(self.target() or {}), "exceptions": self.exceptions(2, 100)})
        elif path.endswith("/stats/requests/csv") and self.end and flask.request.headers.get("X-Locust-Operator"):
            response.headers["X-Locust-Report"] = self.message(True, HEADER, 0).replace("\n", "\t")
        elif path.endswith("/swarm") and self.runner.worker_count:
            started = response.get_json(silent=True) or {}
            if started.get("success") and (self.by_hand or self.runner.state not in ("spawning", "running")):
                # The options may have another run time.
                self.by_hand, self.limit = True, started.get("run_time")

    @quiet
    def target(self):
        """The target, from any source, and what the load lacks."""
        environment, users = self.runner.environment, self.runner.target_user_count
        limit = self.limit if self.by_hand else environment.parsed_options.run_time
        return {
            "target_users": users if isinstance(users, int) else None,
            "run_time": number(limit) if isinstance(limit, (int, float)) and limit < LARGEST else None,
            "shape": environment.shape_class is not None,
            "ended_by": self.ended_by, "lost": self.lost, "missing": self.missing, "cpu": self.cpu,
        }

    def exceptions(self, count, size):
        return [
            {"error": text(e["msg"] or e["traceback"], size), "count": e["count"]}
            for e in most(self.runner.exceptions, lambda e: e["count"])[:count]
        ]

    def excepthook(self, previous, *error):
        self.emit(logging.makeLogRecord({"levelname": "CRITICAL", "msg": "unhandled exception", "exc_info": error}))
        previous(*error)

    @quiet
    def emit(self, record):
        line = record.levelname + ": " + record.getMessage()
        if record.exc_info and record.exc_info[0]:
            line += ": " + traceback.format_exception_only(*record.exc_info[:2])[-1]
        self.lines = self.lines[-2:] + [text(line, 200)]

    def summary(self, complete):
        runner, total = self.runner, self.runner.stats.total
        state, users, workers = self.seen or (runner.state, runner.user_count, runner.worker_count)
        return {
            "locust.io/report": 2, "complete": complete, "state": state, "users": users, "workers": workers,
            "start": round(self.start, 3), "end": round(self.end, 3),
            "requests": total.num_requests, "failures": total.num_failures,
            "avg": rounded(total.avg_response_time), "rps": number(total.total_rps),
            "min": rounded(total.min_response_time), "max": rounded(total.max_response_time),
            **{key: percentile(total, part) for key, part in PARTS.items()},
            "custom_exit": self.broken or runner.environment.process_exit_code is not None,
            "version": text(locust.__version__, 32), "host": without_user(getattr(runner.environment, "host", ""))[:256],
            **(self.target() or {}),
        }

    def rows(self, endpoints):
        """Returns the rest of the report, the most important first, and how much there is of each kind."""
        runner, history = self.runner, self.history[:: 2 if len(self.history) > POINTS else 1]
        entries, errors = runner.stats.entries, runner.stats.errors
        ends = [
            ["e", plain(e.method, 20), plain(e.name, 132), e.num_requests, e.num_failures or "", ms(e.avg_response_time),
             ms(e.min_response_time), ms(e.max_response_time), *(ms(percentile(e, part)) for part in PARTS.values()),
             cell(e.avg_content_length, "%.0f")]
            for e in most(entries, lambda e: (e.num_failures, percentile(e, 0.95) or 0), endpoints)
        ]
        points = [["h", *history[index]] for index in spread(len(history))]
        users = [
            ["w", text(name.rsplit("_", 1)[0], 64), cell(cpu, "%.0f"), memory or ""]
            for name, (cpu, memory) in sorted(self.use.items(), key=lambda use: use[1][0], reverse=True)[:500]
        ]
        fails = [
            ["f", plain(e.method, 20), plain(e.name, 132), e.occurrences, plain(e.error, 260)]
            for e in most(errors, lambda e: e.occurrences)
        ]
        own = [["x", e["count"], e["error"]] for e in self.exceptions(50, 256)]
        ordered = own[:5] + fails[:5] + ends[:20] + points[:16] + users[:5] + ends[20:40] + points[16:32] + ends[40:60]
        ordered += points[32:64] + own[5:] + fails[5:] + points[64:128] + ends[60:] + points[128:] + users[5:]
        return ordered, [len(entries), len(errors), len(runner.exceptions), len(history), len(self.use)]

    def message(self, complete, limit, endpoints):
        rows, counts = self.rows(endpoints)
        clear = {**self.summary(complete), "n": counts, "rest": LIMIT, "crc": 1 << 31, "log": self.lines[:]}
        for size in 128, 64, 32, 0:
            if len(dump(clear)) >= CLEAR:
                clear = cut(clear, size) if size else {**clear, "log": [], "host": ""}
        packed = pack(rows, limit - len(dump(clear)) - 1)
        return dump({**clear, "rest": len(packed), "crc": zlib.crc32(packed.encode())}) + "\n" + packed

    @quiet
    def write(self, complete):
        """Does not switch greenlets: one writer at a time."""
        message = self.message(complete, LIMIT, ROWS)
        if message != self.written:
            with open(PATH, "w") as file:  # bind-mounted: cannot be replaced
                file.write(message)
            self.written = message


@quiet
def step_aside():
    """Removes this file from the command line, which Locust parses again after the locustfiles."""
    for i, arg in enumerate(sys.argv):
        if __file__ + "," in arg:
            sys.argv[i] = arg.replace(__file__ + ",", "", 1)
            if "," not in sys.argv[i]:
                find_single(sys.modules["locust.main"], sys.modules["locust.argument_parser"])


def find_single(main, parser):
    """Until 2.26 Locust searches parent folders for a single file, not for one of several."""
    if hasattr(parser, "find_locustfile"):
        load = main.load_locustfile
        main.load_locustfile = lambda path: load(parser.find_locustfile(path) or path)


step_aside()
REPORTER = Reporter()
events.init.add_listener(REPORTER.init)
events.test_start.add_listener(REPORTER.test_start)
events.test_stopping.add_listener(REPORTER.test_stopping)
events.test_stop.add_listener(REPORTER.test_stop)
events.quit.add_listener(REPORTER.quit)
