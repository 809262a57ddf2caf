"""Tests of reporter.py without Locust. Usage: reporter_test.py PATH_OF_REPORTER"""
import ast
import base64
import contextlib
import csv
import importlib.util
import json
import logging
import os
import sys
import tempfile
import types
import unittest
import zlib

SOURCE = os.path.abspath(sys.argv.pop(1))
NAMES = "init", "test_start", "test_stopping", "test_stop", "quitting", "quit"


class Hook(list):
    add_listener = list.append

    def fire(self, **kwargs):
        for listener in self:
            listener(**kwargs)


class Entry:
    def __init__(self, name="/x", method="GET", requests=10, failures=0, avg=12.5, times=True):
        self.name, self.method, self.num_requests, self.num_failures = name, method, requests, failures
        self.avg_response_time, self.total_rps, self.response_times = avg, 1 / 3, {10: requests} if times else {}
        self.min_response_time, self.max_response_time, self.avg_content_length = 0.12345, 70 if times else None, 17.5
        self.current_rps, self.current_fail_per_sec = 12.3456, 0

    def get_response_time_percentile(self, part):
        return int(part * 1000)

    get_current_response_time_percentile = get_response_time_percentile


class Workers(dict):
    @property
    def missing(self):
        return [worker for worker in self.values() if worker.state == "missing"]

    def add(self, name, state="running", cpu=0):
        self[name] = types.SimpleNamespace(id=name, state=state, cpu_usage=cpu)
        return self[name]


class MasterRunner:
    state, user_count, target_user_count, worker_count = "ready", 0, 0, 2
    spawn_rate, spawning_completed = 0.0, False

    def __init__(self, environment):
        self.environment, self.exceptions, self.greenlet = environment, {}, ["listener"]
        self.clients, self.target_user_classes_count = Workers(), {}
        self.stats = types.SimpleNamespace(total=Entry("Aggregated", ""), entries={}, errors={})

    def stop(self):
        self.state = "stopped"


def load(argv=("locust",)):
    """Imports the reporter with stubs; returns the stubs."""
    stubs = types.SimpleNamespace(spawned=[], file=os.path.join(tempfile.mkdtemp(), "message"), argv=list(argv))
    events = types.SimpleNamespace(**{name: Hook() for name in NAMES})
    runners = types.ModuleType("locust.runners")
    runners.MasterRunner = MasterRunner
    locust, gevent, flask = (types.ModuleType(name) for name in ("locust", "gevent", "flask"))
    locust.__version__ = "2.47.0"
    locust.events, locust.runners, gevent.spawn = events, runners, stubs.spawned.append
    stubs.timeouts = []
    gevent.Timeout = lambda seconds, error: stubs.timeouts.append((seconds, error)) or contextlib.nullcontext()
    main, parser = types.ModuleType("locust.main"), types.ModuleType("locust.argument_parser")
    main.load_locustfile = lambda path: path
    parser.find_locustfile = lambda path: "/found/" + path
    flask.request = stubs.request = types.SimpleNamespace(path="", headers={})
    sys.modules.update({"flask": flask, "locust": locust, "locust.runners": runners, "gevent": gevent, "locust.main": main,
                        "locust.argument_parser": parser})
    sys.argv, argv = stubs.argv, sys.argv
    spec = importlib.util.spec_from_file_location("locust-reporter", SOURCE)
    stubs.module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(stubs.module)
    sys.argv = argv
    stubs.module.PATH = stubs.file
    stubs.events, stubs.main = events, main
    return stubs


def start(stubs, locustfile="/src/test.py"):
    options = types.SimpleNamespace(locustfile=locustfile, run_time=None)
    environment = types.SimpleNamespace(
        parsed_options=options, process_exit_code=None, shape_class=None, locustfile=os.path.basename(SOURCE),
        parsed_locustfiles=[SOURCE, locustfile])
    environment.runner = MasterRunner(environment)
    stubs.pages = {}
    web_ui = types.SimpleNamespace(app=types.SimpleNamespace(after_request_funcs=stubs.pages))
    stubs.events.init.fire(environment=environment, runner=environment.runner, web_ui=web_ui)
    return environment


class Response:
    """A response of Flask."""

    def __init__(self, json=None):
        self.json, self.headers = json, {}

    def get_json(self, silent):
        assert silent
        return self.json


ENDPOINT = "method name requests failures avg min max p50 p90 p95 p99 p999 size".split()
KINDS = {"e": "endpoints", "f": "errors", "x": "exceptions", "h": "history", "w": "use"}


def read(stubs, limit=4096):
    with open(stubs.file) as file:
        raw = file.read()
    assert len(raw.encode()) <= limit, len(raw)
    return parse(raw, "\n")


def parse(raw, separator):
    """Returns the summary, with the rows of the rest by kind."""
    assert raw.isascii() and raw.startswith('{"locust.io/report":2,"complete":'), raw
    clear, packed = raw.split(separator)
    assert len(clear) < 1024, len(clear)
    report = json.loads(clear)
    assert report["rest"] == len(packed)
    lines = zlib.decompress(base64.a85decode(packed)).decode() if packed else ""
    report.update({name: [] for name in KINDS.values()})
    for kind, *cells in csv.reader(lines.splitlines(True)):
        report[KINDS[kind]].append(dict(zip(ENDPOINT, cells)) if kind == "e" else cells)
    return report


class ReporterTest(unittest.TestCase):
    def setUp(self):
        self.addCleanup(setattr, sys, "excepthook", sys.excepthook)
        self.stubs = load()
        self.fire = {name: getattr(self.stubs.events, name).fire for name in NAMES}

    def written(self):
        return os.path.exists(self.stubs.file)

    def test_runs_on_old_pythons(self):
        with open(SOURCE) as file:
            ast.parse(file.read(), feature_version=(3, 7))

    def test_does_nothing_without_a_master(self):
        environment = types.SimpleNamespace(runner=object())
        self.fire["init"](environment=environment)
        for name in NAMES[1:]:
            self.fire[name](environment=environment, exit_code=0)
        self.assertFalse(self.written() or self.stubs.spawned)

    def test_final_report(self):
        environment = start(self.stubs)
        runner = environment.runner
        self.fire["test_start"](environment=environment)
        first = read(self.stubs)
        self.assertEqual((False, "spawning", 0, 2, 0), tuple(first[k] for k in ("complete", "state", "users", "workers", "end")))
        runner.state, runner.user_count = "running", 7
        self.fire["test_stopping"](environment=environment)
        runner.state, runner.user_count, runner.worker_count = "stopped", 0, 0
        self.fire["test_stop"](environment=environment)
        environment.process_exit_code, environment.host = 3, "http://me:secret@shop/?a=1"
        runner.stats.entries = {n: Entry("/%d" % n, failures=n % 4, avg=float("nan")) for n in range(9)}
        runner.stats.errors = {n: types.SimpleNamespace(method=None, name="/", error="no\n answer", occurrences=n) for n in range(7)}
        runner.exceptions = {1: {"count": 4, "msg": "", "traceback": "frames"}}
        self.fire["quit"](exit_code=3)
        last = read(self.stubs)
        self.assertEqual((True, "running", 7, 2), tuple(last[k] for k in ("complete", "state", "users", "workers")))
        self.assertEqual((10, 0, 12.5, 1 / 3, 500, 900, 950, 990, True),
                         tuple(last[k] for k in "requests failures avg rps p50 p90 p95 p99 custom_exit".split()))
        self.assertLessEqual(last["start"], last["end"])
        self.assertEqual(["/3", "/7"], [e["name"] for e in last["endpoints"][:2]])
        self.assertEqual("GET /3 10 3 0 0.123 70 500 900 950 990 999 18".split(), list(last["endpoints"][0].values()))
        self.assertEqual(list("6543210"), [e[2] for e in last["errors"]])
        self.assertEqual(["", "/", "6", "no  answer"], last["errors"][0])
        self.assertEqual([["4", "frames"]], last["exceptions"])
        self.assertEqual((0.123, 70, 999, "2.47.0", "http://shop/?a=1", [9, 7, 1, 1, 0]), tuple(last[k] for k in "min max p999 version host n".split()))
        self.assertEqual([["0", "7", "12.35", "0", "500", "950"]], last["history"])

    def test_without_load(self):
        start(self.stubs)
        self.fire["quit"](exit_code=1)
        self.stubs.module.REPORTER.exit()
        self.assertFalse(self.written(), "the end of the log is more useful")
        self.fire["quit"](exit_code=0)
        self.assertTrue(read(self.stubs)["complete"])

    def test_no_percentiles_without_requests(self):
        environment = start(self.stubs)
        environment.runner.stats.total = Entry(requests=0, times=False)
        self.fire["quit"](exit_code=0)
        self.assertEqual([None] * 4, [read(self.stubs)[key] for key in ("p50", "p90", "p95", "p99")])

    def test_odd_numbers(self):
        for measured, avg, p95 in (
                (-1.0, 0, 0), (float("nan"), 0, None), (float("inf"), 1e9, 1e9), (float("-inf"), 0, 0), (1e300, 1e9, 1e9), (7, 7, 7),
                (None, None, None), ("slow", None, None)):
            self.setUp()
            environment = start(self.stubs)
            stats = environment.runner.stats
            odd = Entry("/odd", avg=measured)
            odd.get_response_time_percentile = stats.total.get_response_time_percentile = lambda part: measured
            stats.total.avg_response_time = stats.total.total_rps = measured
            stats.entries = {1: odd, 2: Entry("/fine")}
            self.fire["quit"](exit_code=0)
            last = read(self.stubs)
            self.assertEqual((10, avg, avg, p95), tuple(last[k] for k in ("requests", "avg", "rps", "p95")), measured)
            ends = {e["name"]: (e["avg"], e["p95"]) for e in last["endpoints"]}
            cell = lambda value: "" if value is None else "%.12g" % value
            self.assertEqual({"/odd": (cell(avg), cell(p95)), "/fine": ("12.5", "950")}, ends, measured)

    def test_percentile_that_fails(self):
        environment = start(self.stubs)
        environment.runner.stats.entries = {1: types.SimpleNamespace(
            name="/odd", method="GET", num_requests=1, num_failures=0, avg_response_time=1, min_response_time=None,
            max_response_time=None, avg_content_length=0, response_times={None: 1})}
        self.fire["quit"](exit_code=0)
        self.assertEqual("", read(self.stubs)["endpoints"][0]["p95"])

    def test_interpreter_ends_without_quit(self):
        environment = start(self.stubs)
        self.fire["test_start"](environment=environment)
        passed_on = []
        reporter = self.stubs.module.REPORTER
        try:
            raise RuntimeError("boom")
        except RuntimeError:
            reporter.excepthook(lambda *error: passed_on.append(error), *sys.exc_info())
        reporter.exit()
        last = read(self.stubs)
        self.assertEqual((False, ["CRITICAL: unhandled exception: RuntimeError: boom"], 1), (last["complete"], last["log"], len(passed_on)))
        self.assertGreater(last["end"], 0)
        self.assertTrue(last["custom_exit"], "the exit code does not depend on the requests")

    def test_interpreter_ends_after_the_load(self):
        for state, ago, listening, whole in (
                ("stopping", 0, False, True), ("stopped", 0, False, True), ("stopped", 6, True, True),
                ("stopped", 4, True, False), ("stopping", 60, True, False), ("stopping", 0, True, False)):
            self.setUp()
            environment = start(self.stubs)
            self.fire["test_start"](environment=environment)
            self.fire["test_stop"](environment=environment)
            reporter = self.stubs.module.REPORTER
            environment.runner.state = state
            end = reporter.end = reporter.end - ago
            if not listening:
                environment.runner.greenlet.clear()
            reporter.exit()
            last = read(self.stubs)
            self.assertEqual((whole, round(end, 3), True), (last["complete"], last["end"], last["custom_exit"]), (state, ago, listening))

    def test_interpreter_ends_in_the_next_load(self):
        environment = start(self.stubs)
        for name in "test_start", "test_stop", "test_start":
            self.fire[name](environment=environment)
        environment.runner.greenlet.clear()
        self.stubs.module.REPORTER.exit()
        self.assertFalse(read(self.stubs)["complete"])

    def page(self, path, json=None):
        """Returns the header of a page, and the data of the reporter."""
        self.stubs.request.path = path
        response = Response(json)
        for function in self.stubs.pages[None]:
            self.assertIs(response, function(response))
        return response.headers.get("X-Locust-Operator")

    def target(self, path="/stats/requests"):
        target = json.loads(self.page(path))
        self.assertEqual({"target_users", "run_time", "shape", "ended_by", "lost", "missing", "cpu", "exceptions"}, set(target))
        return target["target_users"], target["run_time"], target["shape"]

    def test_target(self):
        environment = start(self.stubs)
        self.assertEqual((0, None, False), self.target())
        environment.runner.target_user_count, environment.parsed_options.run_time = 6, 90
        self.assertEqual((6, 90, False), self.target("/base/path/stats/requests"))
        environment.shape_class = object()
        self.assertEqual((6, 90, True), self.target())
        for path in "/", "/stats/requests/csv", "/swarm", "/exceptions":
            self.assertIsNone(self.page(path))
        self.fire["test_start"](environment=environment)
        self.fire["quit"](exit_code=0)
        last = read(self.stubs)
        self.assertEqual((6, 90, True), (last["target_users"], last["run_time"], last["shape"]))

    def test_target_of_odd_values(self):
        environment = start(self.stubs)
        environment.runner.target_user_count, environment.parsed_options.run_time = "6", "90s"
        self.assertEqual((None, None, False), self.target())
        for endless in float("inf"), float("nan"):
            environment.parsed_options.run_time = endless
            self.assertEqual((None, None, False), self.target())
        del environment.parsed_options, environment.shape_class
        self.assertEqual('{"exceptions":[]}', self.page("/stats/requests"))
        self.fire["quit"](exit_code=0)
        self.assertNotIn("shape", read(self.stubs))
        del self.stubs.module.REPORTER.runner
        self.assertIsNone(self.page("/swarm", {"success": True}))

    def call(self, module, *functions):
        """Fires test_stopping from functions of a module, the last being the innermost; returns the cause of the end."""
        reporter = self.stubs.module.REPORTER
        reporter.ended_by = None
        code = "def %s(fire, environment): " % functions[-1] + "fire(environment=environment)\n"
        for outer, inner in zip(functions[-2::-1], functions[::-1]):
            code += "def %s(fire, environment): %s(fire, environment)\n" % (outer, inner)
        scope = {"__name__": module}
        exec(code, scope)
        scope[functions[0]](reporter.test_stopping, reporter.runner.environment)
        return reporter.ended_by

    def test_signal_ends_the_load_first(self):
        """The listener runs before those of the locustfile, which see the final numbers; Locust fires in reverse order."""
        self.stubs.events.quitting.add_listener(lambda **_: None)
        runner = start(self.stubs).runner
        for state, want in ("ready", "ready"), ("stopping", "stopping"), ("spawning", "stopped"), ("running", "stopped"):
            runner.state = state
            self.stubs.events.quitting[-1](environment=runner.environment)
            self.assertEqual(want, runner.state, state)
        self.assertEqual([(20.0, False)] * 2, self.stubs.timeouts)

    def test_ended_by(self):
        environment = start(self.stubs)
        environment.runner.worker_count = 0
        for want, module, *functions in (
                ("run-time", "locust.main", "stop_and_optionally_quit"), ("run-time", "locust.web", "_stop_runners"),
                ("shape", "locust.runners", "shape_worker", "stop"), ("web-ui", "locust.web", "stop"),
                ("workers-missing", "locust.runners", "heartbeat_worker", "stop"),
                ("workers-quit", "locust.runners", "client_listener", "stop"),
                ("workers-quit", "locust.runners", "client_listener", "handle_message", "quit", "stop"),
                ("signal", "locust.main", "sig_term_handler", "shutdown"), ("main", "locust.main", "main", "shutdown"),
                ("locustfile", "locustfile", "end"), ("locustfile", "locust_plugins.listeners", "end"), ("locustfile", "", "end")):
            self.assertEqual(want, self.call(module, *functions), (module, functions))
        self.assertEqual("locustfile", self.stubs.module.stopped_by(None), "a greenlet of its own")
        environment.runner.worker_count = 1
        self.assertEqual("workers-missing", self.call("locust.runners", "client_listener", "stop"))
        environment.shape_class = object()
        self.assertEqual("shape-failed", self.call("locust.main", "stop_and_optionally_quit"))
        self.assertEqual("shape", self.call("locust.runners", "shape_worker", "stop"))

    def test_ended_by_of_the_latest_load(self):
        environment = start(self.stubs)
        environment.runner.state = "running"
        self.fire["test_start"](environment=environment)
        environment.runner.clients.add("a", "missing")
        self.assertEqual("web-ui", self.call("locust.web", "stop"))
        self.fire["test_stop"](environment=environment)
        self.fire["quit"](exit_code=0)
        last = read(self.stubs)
        self.assertEqual(("web-ui", 1), (last["ended_by"], last["lost"]))
        self.fire["test_start"](environment=environment)
        reporter = self.stubs.module.REPORTER
        reporter.look()
        environment.runner.clients.clear()
        reporter.look()
        self.assertEqual((None, 1), (reporter.ended_by, reporter.lost), "it was missing before")

    def test_lost_workers(self):
        environment = start(self.stubs)
        runner, reporter = environment.runner, self.stubs.module.REPORTER
        for name in "abc":
            runner.clients.add(name)
        runner.state = "running"
        self.fire["test_start"](environment=environment)
        del runner.clients["c"]
        reporter.look()
        self.assertEqual(1, reporter.lost, "it quit before the first look")
        runner.clients["a"].state = "missing"
        reporter.look()
        self.assertEqual(1, reporter.lost, "it may come back")
        del runner.clients["a"]
        runner.clients.add("d")
        reporter.look()
        self.assertEqual(2, reporter.lost)
        runner.state = "stopped"
        runner.clients.clear()
        reporter.look()
        self.assertEqual(2, reporter.lost, "the load has ended")

    def test_processor_use(self):
        environment = start(self.stubs)
        runner, reporter = environment.runner, self.stubs.module.REPORTER
        a, b = runner.clients.add("shop-worker-0_ab"), runner.clients.add("shop-worker-1_cd")
        runner.state = "running"
        self.fire["test_start"](environment=environment)
        for use_a, use_b, pause, want in (
                (99, 99, 0, [0, ""]), (99, 20, 10, [0, ""]), (50, 95, 10, [50, "shop-worker-0"]), (96.5, 10, 4, [50, "shop-worker-0"]),
                (96.5, 10, 10, [96.5, "shop-worker-0"]), (0, 95, 10, [96.5, "shop-worker-0"])):
            a.cpu_usage, b.cpu_usage = use_a, use_b
            reporter.sampled -= pause
            reporter.look()
            self.assertEqual(want, reporter.cpu)

    def test_missing_users(self):
        slow = dict(target_user_count=500, spawn_rate=1.0, spawning_completed=False)
        for name, load, change, want in (
                ("all at work", {}, dict(user_count=9), None),
                ("a worker that does not get on", {}, dict(state="spawning"), [3, 9]),
                ("a worker that is silent", {}, dict(state="missing"), [3, 9]),
                ("they ended by themselves", {}, {}, None),
                ("fewer were started", {}, dict(started=4), [3, 9]),
                ("a load shape", {}, dict(state="spawning", shape_class=object()), None),
                ("never so many at this rate", slow, dict(user_count=40, state="spawning"), None),
                ("fewer than at this rate", slow, dict(state="spawning"), [3, 39])):
            self.setUp()
            environment = start(self.stubs)
            runner, reporter = environment.runner, self.stubs.module.REPORTER
            worker = runner.clients.add("a")
            runner.state, runner.target_user_count, runner.spawn_rate, runner.spawning_completed = "running", 9, 9.0, True
            self.fire["test_start"](environment=environment)
            for key, value in load.items():
                setattr(runner, key, value)
            reporter.compare([worker], 1000)
            for key, value in {"user_count": 3, **change}.items():
                target = worker if key == "state" else environment if key == "shape_class" else runner
                setattr(target, key, value)
            runner.target_user_classes_count = {"A": change.get("started", runner.target_user_count)}
            for now in range(1002, 1036, 2):
                reporter.compare([worker], now)
            self.assertIsNone(reporter.missing, "30 s have not passed")
            for now in range(1036, 1045, 2):
                reporter.compare([worker], now)
            self.assertEqual(want, reporter.missing, name)
            runner.user_count = 500
            reporter.compare([worker], 1046)
            self.assertEqual(want, reporter.missing, "it stays")

    def test_started_in_the_web_ui(self):
        environment = start(self.stubs)
        runner, options = environment.runner, environment.parsed_options
        options.run_time = 90
        for refused in None, {"success": False, "run_time": 5}, {}:
            self.page("/swarm", refused)
            self.assertEqual(90, self.target()[1])
        runner.worker_count = 0
        self.page("/swarm", {"success": True})
        self.assertEqual(90, self.target()[1], "without workers nothing starts")
        runner.worker_count, runner.state = 2, "running"
        self.page("/swarm", {"success": True})
        self.assertEqual(90, self.target()[1], "more users, and the end that it had")

        runner.state = "stopped"
        self.page("/base/swarm", {"success": True, "run_time": 30})
        self.assertEqual(30, self.target()[1])
        runner.state = "running"
        self.page("/swarm", {"success": True})
        self.assertIsNone(self.target()[1], "newer versions take back the end")

    def test_leaves_the_web_ui_as_it_is(self):
        environment = start(self.stubs)
        pages = {None: ["another's"], "locust": ["another's"]}
        web_ui = types.SimpleNamespace(app=types.SimpleNamespace(after_request_funcs=pages))
        self.fire["init"](environment=environment, runner=environment.runner, web_ui=web_ui)
        self.assertEqual((2, "another's", 1), (len(pages[None]), pages[None][0], len(pages["locust"])))
        self.fire["init"](environment=environment, runner=environment.runner, web_ui=None)  # --headless

    def test_size(self):
        for letter in "a", "\u0434", "\U0001f600", "\x00", "\ud800":
            environment = start(self.stubs)
            stats = environment.runner.stats
            stats.entries = {n: Entry(letter * 300 + str(n), failures=n) for n in range(60)}
            stats.errors = {n: types.SimpleNamespace(method="GET", name=letter * 300, error=letter * 999, occurrences=n) for n in range(60)}
            environment.runner.exceptions = {n: {"count": n, "msg": letter * 999, "traceback": ""} for n in range(60)}
            for _ in range(9):
                self.stubs.module.REPORTER.emit(logging.makeLogRecord({"msg": letter * 999, "levelname": "ERROR"}))
            self.fire["quit"](exit_code=0)
            report = read(self.stubs)
            self.assertEqual(10, report["requests"])
            self.assertEqual([60, 60, 60, 0, 0], report["n"])
            self.assertTrue(report["errors"] and report["exceptions"])
            self.assertEqual(3 if letter != "\U0001f600" else 0, len(report["log"]), letter)

    def test_history(self):
        environment = start(self.stubs)
        runner, reporter, now = environment.runner, self.stubs.module.REPORTER, 1000.0
        self.stubs.module.time = types.SimpleNamespace(time=lambda: now)
        for seconds in 30, 480, 500, 3000:
            self.fire["test_start"](environment=environment)
            runner.state, began = "running", now
            while now < began + seconds:
                reporter.look()
                now += 2
            rows, counts = reporter.rows(0)
            ages = sorted(int(row[1]) for row in rows if row[0] == "h")
            self.assertEqual(len(ages), counts[3])
            self.assertTrue(min(seconds / 2, 120) <= len(ages) <= 240, len(ages))
            self.assertEqual({ages[1]}, {b - a for a, b in zip(ages, ages[1:])}, "evenly thinned")
            self.assertLess(began + seconds - now - ages[-1], 2 * ages[1])

    def test_spread(self):
        spread = self.stubs.module.spread
        self.assertEqual([[], [0], [0, 1], [0, 2, 1], [0, 4, 2, 1, 3]], [spread(n) for n in (0, 1, 2, 3, 5)])
        for n in range(300):
            self.assertEqual(list(range(n)), sorted(spread(n)))

    def test_workers(self):
        environment = start(self.stubs)
        runner, reporter = environment.runner, self.stubs.module.REPORTER
        old, new = runner.clients.add("shop-worker-0_ab", cpu=20.4), runner.clients.add("shop-worker-1_cd", cpu=5)
        runner.state, new.memory_usage = "running", 7 << 20
        self.fire["test_start"](environment=environment)
        reporter.look()
        old.cpu_usage, new.cpu_usage, new.memory_usage = 10, 60, 5 << 20
        reporter.look()
        del runner.clients[old.id]
        self.fire["quit"](exit_code=0)
        self.assertEqual([["shop-worker-1", "60", str(7 << 20)], ["shop-worker-0", "20", ""]], read(self.stubs)["use"])

    def test_report_with_the_csv(self):
        environment = start(self.stubs)
        environment.runner.stats.entries = {n: Entry("/%d" % n) for n in range(9)}
        environment.runner.stats.errors = {n: types.SimpleNamespace(method="GET", name="/", error="e", occurrences=1) for n in range(9)}
        self.fire["test_start"](environment=environment)
        self.stubs.request.path = "/base/stats/requests/csv"
        for asked in {"X-Locust-Operator": "report"}, {}, {"X-Locust-Operator": "report"}:
            self.stubs.request.headers = asked
            response = Response()
            self.stubs.pages[None][0](response)
            ended = self.stubs.module.REPORTER.end > 0
            self.assertEqual(ended and bool(asked), "X-Locust-Report" in response.headers)
            self.fire["test_stop"](environment=environment)
        report = parse(response.headers["X-Locust-Report"], "\t")
        self.assertEqual(([], 9, 9), (report["endpoints"], len(report["errors"]), report["n"][0]))

    def test_swallows_its_errors(self):
        environment = start(self.stubs)
        del environment.runner.stats.total
        for name in NAMES:
            self.fire[name](environment=environment, exit_code=0)
        self.assertFalse(self.written())

    def test_only_the_users_files_show(self):
        for locustfile, shown in ("/src/test.py", "test.py"), ("/src/a.py, /src/b.py", "a.py"):
            environment = start(self.stubs, locustfile)
            self.assertEqual(shown, environment.locustfile)
            self.assertEqual([locustfile], environment.parsed_locustfiles)

    def test_leaves_the_command_line(self):
        stubs = load(["locust", "--locustfile=" + SOURCE + ",test.py", "-u", "1"])
        self.assertEqual(["locust", "--locustfile=test.py", "-u", "1"], stubs.argv)
        self.assertEqual("/found/test.py", stubs.main.load_locustfile("test.py"))
        stubs = load(["locust", "-f", SOURCE + ",a.py,b.py"])
        self.assertEqual(["locust", "-f", "a.py,b.py"], stubs.argv)
        self.assertEqual("a.py", stubs.main.load_locustfile("a.py"))


if __name__ == "__main__":
    unittest.main()
