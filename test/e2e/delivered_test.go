//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// loadBase is the common beginning of the locustfiles in this file. They may redefine User.
const loadBase = locustBase + `
def at_start(on_master, seconds, function, *args):
    @events.test_start.add_listener
    def start(environment, **_):
        if isinstance(environment.runner, MasterRunner) == on_master:
            gevent.spawn_later(seconds, function, *(args or [environment]))
` + user

// loadCase is a run with one worker whose load is delivered or not.
type loadCase struct {
	// file is appended to loadBase. Unless defaultHeartbeat is set, Locust waits 30 s for heartbeats, because a small machine
	// starts many tests.
	file             string
	defaultHeartbeat bool
	// disturbed is set for a run whose workers end repeatedly, which causes more status writes.
	disturbed bool
	// seconds is the run time; zero means 8 s.
	seconds int
	// lines are the images; empty means the newest.
	lines  []string
	change func(*v2.LocustTestSpec)
	// act is called once the workers are connected.
	act func(*fixture, *v2.LocustTest)
	// reason is that of LoadDelivered; the message of TestCompleted contains want.
	reason string
	want   []string
	// check is an additional check of the final status.
	check func(*testing.T, *fixture, *v2.LocustTest, *v2.LocustTestStatus)
}

var newest, bothLines = []string{"newest"}, []string{"newest", "debian"}

// masterOptions adds arguments to those of the master.
func masterOptions(args ...string) func(*v2.LocustTestSpec) {
	return func(spec *v2.LocustTestSpec) { spec.Master.ExtraArgs = append(spec.Master.ExtraArgs, args...) }
}

// emptyBasket kills each user at its start. Only newer masters receive the exception, and then exit with the code for errors.
const emptyBasket = `
def fail(self):
    raise RuntimeError('the basket is empty')
User.on_start = fail
`

// falseGreen are runs whose master exits with code 0 although there was no load, or nothing was measured.
var falseGreen = map[string]loadCase{
	"port":        {file: "User.host = HOST + ':81'", lines: bothLines, seconds: 12, reason: v2.ReasonNoRequests, want: []string{"no request has finished in 1", "check --host"}},
	"no-response": {file: "class User(HttpUser):\n    host = HOST\n    wait_time = constant(0.25)\n    @task\n    def ask(self):\n        self.client.get('/no-response')", seconds: 12, reason: v2.ReasonNoRequests},
	"no-host":     {file: "User.host = None", lines: bothLines, reason: v2.ReasonNoRequests, want: []string{"--host"}},
	"tags":        {change: masterOptions("--tags", "absent", "--exit-code-on-error", "0"), reason: v2.ReasonNoRequests},
	"no-task":     {file: "class User(HttpUser):\n    host = HOST", change: masterOptions("--exit-code-on-error", "0"), lines: bothLines, reason: v2.ReasonNoRequests},
	"on-start":    {file: emptyBasket, lines: []string{"debian"}, reason: v2.ReasonNoRequests},
	"exceptions":  {file: emptyBasket, change: masterOptions("--exit-code-on-error", "0"), reason: v2.ReasonNoRequests, want: []string{`"the basket is empty" (4 times)`}},
	"no-events":   {file: "class User(HttpUser):\n    host = HOST\n    wait_time = constant(0.25)\n    @task\n    def ask(self):\n        pass", reason: v2.ReasonNoRequests, want: []string{"spec.loadGuarantee: None"}},
	"quit-early":  {file: "def end(environment):\n    environment.runner.quit()\n    environment.web_ui.stop()\nat_start(True, 0, end)", reason: v2.ReasonNoRequests},
	"list":        {change: masterOptions("--list"), lines: bothLines, reason: v2.ReasonNoRequests, want: []string{"without having started a load"}},
	"version":     {change: masterOptions("--version"), reason: v2.ReasonNoRequests, want: []string{"without having started a load"}},
	"import":      {file: "if '--master' in sys.argv:\n    sys.exit(0)", reason: v2.ReasonNoRequests, want: []string{"without having started a load"}},
	"zero-users":  {change: masterOptions("--users", "0"), reason: v2.ReasonNoRequests},
	"shape":       {file: "class Shape(LoadTestShape):\n    def tick(self):\n        return None", reason: v2.ReasonNoRequests},
	"web-api": {file: "User.host = None", change: func(spec *v2.LocustTestSpec) {
		spec.Master.Reporter, spec.Master.Autoquit.Timeout = ptr.To(false), ptr.To[int32](12)
	}, reason: v2.ReasonNoRequests},
	"workers-exit": {file: "at_start(False, 0, os._exit, 0)", defaultHeartbeat: true, seconds: 12, reason: v2.ReasonNoRequests},
	"signal":       {file: "at_start(True, 4, os.kill, os.getpid(), signal.SIGTERM)", lines: bothLines, seconds: 60, reason: v2.ReasonLoadCutShort, want: []string{"a signal ended the master", "of 1m0s"}},
	"exit":         {file: "at_start(True, 6, os._exit, 0)", lines: bothLines, seconds: 60, reason: v2.ReasonLoadCutShort, want: []string{"the master's process ended during the load"}},
	"memory": {file: "at_start(False, 6, lambda _: bytearray(2 << 30).__setitem__(slice(0, 2 << 30, 4096), b'x' * (1 << 19)))", defaultHeartbeat: true, lines: bothLines, seconds: 300, change: func(spec *v2.LocustTestSpec) {
		spec.Worker.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("192Mi")}
	}, reason: v2.ReasonLoadCutShort, want: []string{"all workers were lost", "of 5m0s"}, check: endsEarly},
	"worker-pod": {defaultHeartbeat: true, lines: bothLines, seconds: 300, act: func(s *fixture, test *v2.LocustTest) {
		s.Until(test, "the master has counted requests", func(status *v2.LocustTestStatus) bool {
			return status.TestResult != nil && status.TestResult.TotalRequests > 0
		})
		pod := s.livePods(test, resources.RoleWorker)[0]
		require.NoError(s.t, k8s.Delete(s.t.Context(), &pod))
	}, reason: v2.ReasonLoadCutShort, want: []string{"all workers were lost"}, check: endsEarly},
	"run-time-for-all": {disturbed: true, lines: []string{"debian"}, seconds: 20, change: func(spec *v2.LocustTestSpec) {
		spec.Env.ConfigMapRefs = []v2.ConfigMapEnvSource{{Name: "run-time"}}
	}, reason: v2.ReasonNoRequests},
}

// endsEarly checks that a run of five minutes ends early, and that its load is stopped.
func endsEarly(t *testing.T, s *fixture, test *v2.LocustTest, final *v2.LocustTestStatus) {
	assert.Less(t, final.CompletionTime.Sub(final.StartTime.Time), 4*time.Minute)
	s.requireNoLoad(test)
}

// TestFalseGreen checks that tests without load do not succeed.
func TestFalseGreen(t *testing.T) {
	t.Parallel()
	for name, c := range falseGreen {
		c.run(t, name, func(t *testing.T, s *fixture, test *v2.LocustTest) {
			final := s.UntilPhase(test, v2.PhaseFailed)
			assert.Equal(t, c.reason, condition(final, v2.ConditionTypeLoadDelivered).Reason)
			message := condition(final, v2.ConditionTypeTestCompleted).Message
			assert.Contains(t, message, "load not delivered ("+c.reason+")")
			c.finish(t, s, test, final)
		})
	}
}

// unusualLoads are runs that end early or unlike others, although their load was delivered.
var unusualLoads = map[string]loadCase{
	"shape": {file: "class Shape(LoadTestShape):\n    def tick(self):\n        return (3, 3) if self.get_run_time() < 8 else None", change: func(spec *v2.LocustTestSpec) {
		spec.Master.Command = "--locustfile /lotest/src/load.py --users 9 --run-time 1h"
	}, check: claimsNothing},
	"shape-debian": {file: "class Shape(LoadTestShape):\n    def tick(self):\n        return (3, 3) if self.get_run_time() < 8 else None", lines: []string{"debian"}, change: func(spec *v2.LocustTestSpec) {
		spec.Master.Command = "--locustfile /lotest/src/load.py"
	}},
	"short":    {seconds: 3, lines: bothLines},
	"one-user": {change: masterOptions("--users", "1")},
	"web-ui": {seconds: 60, lines: bothLines, act: func(s *fixture, test *v2.LocustTest) {
		status := s.Until(test, "the load runs", func(status *v2.LocustTestStatus) bool {
			return status.TestResult != nil && status.TestResult.TotalRequests > 0
		})
		time.Sleep(5 * time.Second)
		method := "GET"
		if test.Spec.Image == locustImage {
			method = "POST"
		}
		s.webUI(status.MasterPod, method, "stop", "")
		s.Until(test, "the message reports the end of the load", func(status *v2.LocustTestStatus) bool {
			return status.Phase == v2.PhaseRunning && condition(status, v2.ConditionTypeTestCompleted).Message == "The load has ended; the master is still running"
		})
	}},
	"exit-code": {file: "@events.quitting.add_listener\ndef code(environment, **_):\n    environment.process_exit_code = 0\nclass User(HttpUser):\n    host = HOST\n    wait_time = constant(0.25)\n    @task\n    def ask(self):\n        self.client.get('/fail/x')"},
	"headless":  {change: masterOptions("--headless"), lines: bothLines},
	// With --stop-timeout the master does not wait for the workers' last statistics, which they send every 3 s.
	"long-tasks": {seconds: 6, change: func(spec *v2.LocustTestSpec) {
		masterOptions("--stop-timeout", "30")(spec)
		spec.Master.Autoquit.Timeout = ptr.To[int32](5)
	},
		file: "class User(HttpUser):\n    host = HOST\n    wait_time = constant(0.25)\n    @task\n    def ask(self):\n        gevent.sleep(9)\n        self.client.get('/hit/' + KEY)"},
	"slow-spawn":   {seconds: 12, change: masterOptions("--users", "500", "--spawn-rate", "1", "--headless")},
	"quits":        {seconds: 60, change: enough(20), file: "def end(environment):\n    while environment.stats.total.num_requests < 20:\n        gevent.sleep(0.2)\n    environment.runner.quit()\n    environment.web_ui.stop()\nat_start(True, 0, end)", lines: bothLines},
	"worker-quits": {seconds: 20, file: "def end(environment):\n    environment.runner.quit()\nat_start(False, 6, end)", lines: bothLines},
	"users-end":    {seconds: 12, file: "class User(HttpUser):\n    host = HOST\n    wait_time = constant(0.25)\n    @task\n    def ask(self):\n        self.client.get('/hit/' + KEY)\n        raise StopUser()"},
	"strict":       {change: func(spec *v2.LocustTestSpec) { spec.LoadGuarantee = v2.LoadGuaranteeStrict }},
}

// claimsNothing checks that the status of a test with a load shape has no target users, duration and percentage.
func claimsNothing(t *testing.T, s *fixture, test *v2.LocustTest, final *v2.LocustTestStatus) {
	for _, observation := range watcher.History(test.UID) {
		if p := observation.Test.Status.Progress; p != nil {
			assert.Nil(t, p.TargetUsers)
			assert.Nil(t, p.Duration)
			assert.Nil(t, p.Percent)
		}
	}
	assert.EqualValues(t, 3, final.Progress.CurrentUsers)
	assert.Equal(t, 1, count(t, "started", s.key(test.Name)))
}

// TestUnusualLoads checks that unusual runs whose load was delivered succeed.
func TestUnusualLoads(t *testing.T) {
	t.Parallel()
	for name, c := range unusualLoads {
		c.run(t, name, func(t *testing.T, s *fixture, test *v2.LocustTest) {
			final := s.UntilPhase(test, v2.PhaseSucceeded)
			assert.Equal(t, v2.ReasonLoadAsPlanned, condition(final, v2.ConditionTypeLoadDelivered).Reason, condition(final, v2.ConditionTypeLoadDelivered).Message)
			assert.Equal(t, "Test completed successfully", condition(final, v2.ConditionTypeTestCompleted).Message)
			require.NotNil(t, final.TestResult)
			assert.True(t, final.TestResult.Final)
			assert.Positive(t, final.TestResult.TotalRequests)
			c.finish(t, s, test, final)
		})
	}
}

// TestLoadGuarantee checks loads that are not observed or not guaranteed.
func TestLoadGuarantee(t *testing.T) {
	t.Parallel()
	unobserved := func(guarantee v2.LoadGuarantee) func(*v2.LocustTestSpec) {
		return func(spec *v2.LocustTestSpec) {
			spec.LoadGuarantee, spec.Master.Reporter = guarantee, ptr.To(false)
			spec.Master.ExtraArgs = []string{"--headless"}
		}
	}
	for name, c := range map[string]struct {
		phase string
		loadCase
	}{
		"unobserved": {v2.PhaseSucceeded, loadCase{file: "User.host = None", change: unobserved(v2.LoadGuaranteeBasic), reason: v2.ReasonNotObserved,
			want: []string{"Test completed successfully; the load was not observed"}}},
		"unobserved-strict": {v2.PhaseFailed, loadCase{change: unobserved(v2.LoadGuaranteeStrict), reason: v2.ReasonNotObserved,
			want: []string{"load not delivered (NotObserved)"}}},
		"none": {v2.PhaseSucceeded, loadCase{file: "User.host = None", reason: v2.ReasonNoRequests,
			change: func(spec *v2.LocustTestSpec) { spec.LoadGuarantee = v2.LoadGuaranteeNone }, want: []string{"Test completed successfully; but no request has finished"}}},
	} {
		c.run(t, name, func(t *testing.T, s *fixture, test *v2.LocustTest) {
			final := s.UntilPhase(test, c.phase)
			assert.Equal(t, c.reason, condition(final, v2.ConditionTypeLoadDelivered).Reason, condition(final, v2.ConditionTypeLoadDelivered).Message)
			c.finish(t, s, test, final)
		})
	}
}

// run runs the case with each of its Locust versions.
func (c *loadCase) run(t *testing.T, name string, check func(*testing.T, *fixture, *v2.LocustTest)) {
	lines := c.lines
	if lines == nil {
		lines = newest
	}
	for _, line := range lines {
		t.Run(name+"/"+line, func(t *testing.T) {
			t.Parallel()
			image := imageOf(t, line)
			s := newFixture(t)
			if c.disturbed || c.defaultHeartbeat {
				disturbed.add(t)
			}
			file := loadBase + c.file + "\n"
			if !c.defaultHeartbeat {
				file = longHeartbeat + file
			}
			s.configMap("load", map[string]string{"load.py": file})
			s.configMap("run-time", map[string]string{"LOCUST_RUN_TIME": "4s"})
			seconds := c.seconds
			if seconds == 0 {
				seconds = 8
			}
			test := s.create(s.test("load", seconds, func(spec *v2.LocustTestSpec) {
				spec.Image = image
				spec.TestFiles.ConfigMapRef = "load"
				spec.Master.Command = fmt.Sprintf("--locustfile /lotest/src/load.py --users 4 --spawn-rate 4 --run-time %ds", seconds)
				spec.Worker.Command = "--locustfile /lotest/src/load.py"
				spec.Worker.Replicas = 1
				if c.change != nil {
					c.change(spec)
				}
			}))
			if c.act != nil {
				s.UntilReason(test, v2.ConditionTypeWorkersConnected, v2.ReasonAllWorkersConnected)
				c.act(s, test)
			}
			check(t, s, test)
		})
	}
}

// finish checks the message, and calls the additional check of the case.
func (c *loadCase) finish(t *testing.T, s *fixture, test *v2.LocustTest, final *v2.LocustTestStatus) {
	message := condition(final, v2.ConditionTypeTestCompleted).Message
	t.Log(message)
	for _, want := range c.want {
		assert.Contains(t, message, want)
	}
	assert.LessOrEqual(t, count(t, "started", s.key(test.Name)), 1, "Locust ran once")
	if c.check != nil {
		c.check(t, s, test, final)
	}
}
