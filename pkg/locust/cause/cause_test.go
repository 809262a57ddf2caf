package cause

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var chosen = Facts{OperatorChoseUser: true, User: 1000}

// checkBounds fails if a Cause is not valid for a condition.
func checkBounds(t *testing.T, c Cause, text string) {
	t.Helper()
	assert.LessOrEqual(t, utf8.RuneCountInString(c.Line), MaxLine)
	assert.LessOrEqual(t, len(c.Detail), MaxDetail)
	assert.True(t, utf8.ValidString(c.Line) && utf8.ValidString(c.Detail))
	assert.NotContains(t, c.Line, "\n")
	assert.Equal(t, -1, strings.IndexFunc(c.Line+strings.ReplaceAll(c.Detail, "\n", ""), func(r rune) bool {
		return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
	}), "characters that steer a terminal")
	if oneLine(text) != "" && len(text) <= maxText {
		assert.NotEmpty(t, c.Line)
	}
}

// The files are the output of Locust 2.47.0, truncated to 2 KiB by the kubelet, with the paths of the operator's pods.
func TestOfLogOfLocust(t *testing.T) {
	for name, want := range map[string]string{
		"autoquit":     "--autoquit is only meaningful in combination with --autostart",
		"badimport":    "ModuleNotFoundError: No module named 'requests_toolbelt' (/lotest/src/badimport.py, line 3); " + otherModule,
		"badtime":      "locust: error: argument -t/--run-time: Invalid time span format. Valid formats: 20, 20s, 3m, 2h, 1h20m, 3h30m10s, etc.",
		"badvalue":     "locust: error: argument -u/--users: invalid int value: 'abc'",
		"busy":         "locust.exception.RPCError: Socket bind f … ss already in use (addr='tcp://*:5557'); another process in the pod has this port; check the port options and the other containers",
		"comment":      "locust: error: unrecognized arguments: --x",
		"csvro":        "PermissionError: [Errno 13] Permission denied: '/sys/report_stats.csv'; the operator chose user 1000; choose another with spec.security.podSecurityContext.runAsUser",
		"duptwo":       "Duplicate user class names: MyUser is defined in both /lotest/src/a.py and /lotest/src/b.py; rename one of them, or name one file with -f",
		"folder":       "argparse.ArgumentError: argument --my-arg … 1_27_20_14_55.123/locustfile.py, line 4); " + fileTwice,
		"htmlro":       "FileNotFoundError: [Errno 2] No such file or directory: '/reports/report.html'",
		"initerr":      "RuntimeError: no data (/lotest/src/initerr.py, line 4)",
		"json":         "json.decoder.JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1) (/lotest/src/ctxjson.py, line 3)",
		"keyerr":       "ValueError: TARGET is not set (/lotest/src/helper.py, line 6)",
		"loglevel":     "locust: error: argument --loglevel/-L: invalid choice: 'FOO' (choose from 'DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL')",
		"nofile":       "Could not find '/lotest/src/none.py'. Ensure your locustfile … directory with locustfiles. See --help for available options; " + checkPath,
		"nohost":       "locust.exception.StopTest: You must specify the base host. Eith … the User class, or on the command line using the --host option; " + giveHost,
		"nouser":       "No User class found!",
		"onstart":      "RuntimeError: no token (/lotest/src/onstart.py, line 5)",
		"syntax":       "SyntaxError: expected ':' (/lotest/src/syntax.py, line 2)",
		"taskerr":      "7 × GET /: ConnectionRefusedError(111, 'Connection refused')",
		"unknownopt":   "locust: error: unrecognized arguments: --foo",
		"unknownuser":  "Unknown User(s): locust; remove the word locust from the command, the entrypoint is locust already",
		"unknownuser2": "Unknown User(s): http://x, --host; put options before --",
		"workerfail":   "Failed to connect to the Locust master",
	} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata", "2.47.0-"+name+".log"))
			require.NoError(t, err)
			c := FromLog(string(text), chosen)
			assert.Equal(t, want, c.Line)
			checkBounds(t, c, string(text))
			assert.NotContains(t, c.Detail, "^^^^^^^")
			assert.NotContains(t, c.Detail, "--------|")
			for cut := range text { // as the kubelet may have cut them
				part := string(text[cut:])
				checkBounds(t, FromLog(part, chosen), part)
			}
		})
	}
	files, err := filepath.Glob("testdata/*.log")
	require.NoError(t, err)
	assert.Len(t, files, 24, "a file that no case reads")
}

const (
	frameOfMain = `  File "/opt/venv/lib/python3.9/site-packages/locust/main.py", line 71, in main
    docstring, _user_classes, shape_class = load_locustfile(_locustfile)
`
	prefix = "[2026-11-27 12:27:19,123] load-master-7xk2p/"
	tb     = tracebackBegin + "\n"
	table  = `Type     Name                                                                          # reqs      # fails |    Avg     Min     Max    Med |   req/s  failures/s
--------|----------------------------------------------------------------------------|-------|-------------|-------|-------|-------|-------|--------|-----------
GET      /                                                                                  7   7(100.00%) |     13       1      74      2 |    5.04        5.04
--------|----------------------------------------------------------------------------|-------|-------------|-------|-------|-------|-------|--------|-----------
         Aggregated                                                                         7   7(100.00%) |     13       1      74      2 |    5.04        5.04

Response time percentiles (approximated)
Type     Name                                                                                  50%    66%    75%    80%    90%    95%    98%    99%  99.9% 99.99%   100% # reqs
--------|--------------------------------------------------------------------------------|--------|------|------|------|------|------|------|------|------|------|------|------
GET      /                                                                                       2      2     10     10     74     74     74     74     74     74     74      7
--------|--------------------------------------------------------------------------------|--------|------|------|------|------|------|------|------|------|------|------|------
`
)

// The messages of Locust 2.12.1 are from its source; runtime messages are as passed on by containerd and CRI-O.
func TestOfLog(t *testing.T) {
	denied := "the operator chose user 1000; choose another with spec.security.podSecurityContext.runAsUser"
	for name, c := range map[string]struct{ text, want string }{
		"nothing": {" \n\r\n\t", ""},
		"colons":  {"::", "::"},
		"run time on workers": {
			prefix + "ERROR/locust.main: --run-time should be specified on the master node, and not on worker nodes\n",
			"--run-time should be specified on the master node, and not on worker nodes",
		},
		"run time's format":  {prefix + "ERROR/locust.main: Valid --run-time formats are: 20, 20s, 3m, 2h, 1h20m, 3h30m10s, etc.", "Valid --run-time formats are: 20, 20s, 3m, 2h, 1h20m, 3h30m10s, etc."},
		"no master":          {prefix + "INFO/locust.main: Starting\n" + prefix + "ERROR/locust.main: Failed to connect to the Locust master: [Errno -2] Name or service not known\n", "Failed to connect to the Locust master: [Errno -2] Name or service not known"},
		"no file":            {"Could not find '/lotest/src/x'. Ensure your locustfile ends with '.py' or is a directory with locustfiles. See --help for available options.\n", "Could not find '/lotest/src/x'. Ensure your locustfile ends … directory with locustfiles. See --help for available options; " + checkPath},
		"empty folder":       {"Could not find any locustfiles in directory '/lotest/src'", "Could not find any locustfiles in directory '/lotest/src'; " + checkPath},
		"no folder":          {"Could not find directory 'src'", "Could not find directory 'src'; " + checkPath},
		"name of the file":   {"The locustfile must not be named `locust.py`. Please rename the file and try again.\n", "The locustfile must not be named `locust.py`. Please rename the file and try again."},
		"no Python file":     {"Invalid file 'x.txt'. File should have '.py' extension\n", "Invalid file 'x.txt'. File should have '.py' extension"},
		"shape and time":     {prefix + "INFO/locust.main: Starting Locust 2.12.1\nIt makes no sense to combine --run-time and LoadShapes. Bailing out.\n", "It makes no sense to combine --run-time and LoadShapes. Bailing out."},
		"shape twice":        {"Duplicate shape classes: MyShape\n", "Duplicate shape classes: MyShape; " + nameFiles + ", and each class once"},
		"class twice":        {"Duplicate user class names: U is defined in both /lotest/src/..2026_11_27/a.py and /lotest/src/a.py\n", "Duplicate user class names: U is defined … c/..2026_11_27/a.py and /lotest/src/a.py; " + fileTwice},
		"same class name":    {tb + frameOfMain + "ValueError: The following user classes have the same class name: locustfile.U, locustfile.U\n", "ValueError: The following user classes have the same class name: locustfile.U, locustfile.U; " + nameFiles + ", and each class once"},
		"option twice, cut":  {"    raise ArgumentError(action, message % conflict_string)\nargparse.ArgumentError: argument --x: conflicting option string: --x\n\n" + prefix + "INFO/locust.main: Starting Locust 2.12.1\n", "argparse.ArgumentError: argument --x: conflicting option string: --x; when -f names a folder, " + nameFiles},
		"option of Locust":   {"ERROR:root:Uncaught exception in event handler: \n" + tb + "  File \"/lotest/src/a.py\", line 4, in _\n    parser.add_argument(\"--tags\")\nargparse.ArgumentError: argument --tags: conflicting option string: --tags\n", "argparse.ArgumentError: argument --tags: conflicting option string: --tags (/lotest/src/a.py, line 4); Locust or another locustfile has this option already"},
		"port":               {prefix + "ERROR/locust.runners: The Locust master port (5557) was busy. Close any applications using that port - perhaps an old instance of Locust master is still running? (Socket bind failure: Address already in use)\n", "The Locust master port (5557) was busy. … t bind failure: Address already in use); another process in the pod has this port; check the port options and the other containers"},
		"low port":           {tb + frameOfMain + "PermissionError: [Errno 13] Permission denied: ('', 80)", "PermissionError: [Errno 13] Permission denied: ('', 80); use a port from 1024 on"},
		"no host":            {tb + "  File \"src/gevent/greenlet.py\", line 906, in gevent._gevent_cgreenlet.Greenlet.run\nlocust.exception.LocustError: You must specify the base host. Either in the host attribute in the User class, or on the command line using the --host option.\n2026-11-27T12:00:00Z <Greenlet at 0x7f: <lambda>> failed with LocustError\n\n" + table, "locust.exception.LocustError: You must specify the base host. E … the User class, or on the command line using the --host option; " + giveHost},
		"no scheme":          {tb + "  File \"/lotest/src/a.py\", line 4, in x\nrequests.exceptions.MissingSchema: Invalid URL '/a': No scheme supplied. Perhaps you meant https:///a?", "requests.exceptions.MissingSchema: Invalid URL '/a': No scheme supplied. Perhaps you meant https:///a? (/lotest/src/a.py, line 4); " + giveHost},
		"host, no scheme":    {"locust.exception.LocustError: Invalid host (`localhost`), must be a valid base URL. E.g. http://example.com", "locust.exception.LocustError: Invalid host (`localhost`), must be a valid base URL. E.g. http://example.com; begin the host with http:// or https://"},
		"comment":            {"usage: locust [options]\nlocust: error: unrecognized arguments: # a comment\n", "locust: error: unrecognized arguments: # a comment; " + noComment},
		"text of a comment":  {prefix + "ERROR/locust.main: Unknown User(s): smoke, #, test\n\n", "Unknown User(s): smoke, #, test; " + noComment},
		"unknown class":      {prefix + "ERROR/locust.main: Unknown User(s): Shopper", "Unknown User(s): Shopper"},
		"read-only":          {tb + frameOfMain + "OSError: [Errno 30] Read-only file system: 'report.html'\n", "OSError: [Errno 30] Read-only file system: 'report.html'; " + writable},
		"not to be read":     {tb + "  File \"/lotest/src/a.py\", line 4, in <module>\nPermissionError: [Errno 13] Permission denied: '/data/users.csv'", "PermissionError: [Errno 13] Permission … /users.csv' (/lotest/src/a.py, line 4); " + denied},
		"denied by a server": {tb + "  File \"/lotest/src/a.py\", line 4, in <module>\napi.Forbidden: permission denied", "api.Forbidden: permission denied (/lotest/src/a.py, line 4)"},
		"memory":             {tb + "  File \"/lotest/src/a.py\", line 4, in <module>\n    x = [0] * 10**12\nMemoryError\n", "MemoryError (/lotest/src/a.py, line 4); raise the memory limit (resources), or run fewer users per worker"},
		"no locust module":   {"/usr/local/bin/python: No module named locust\n", "/usr/local/bin/python: No module named locust; " + noLocust},

		"no entrypoint": {`failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: exec: "--locustfile": executable file not found in $PATH: unknown`,
			"exec: \"--locustfile\": executable file not found in $PATH; the image has no `locust` entrypoint; use an image whose entrypoint is locust"},
		"no entrypoint, crun": {"container create failed: executable file `--master` not found in $PATH: No such file or directory\n",
			"executable file `--master` not found in $PATH: No such file or directory; the image has no `locust` entrypoint; use an image whose entrypoint is locust"},
		"no locust":        {`OCI runtime create failed: runc create failed: unable to start container process: exec: "locust": executable file not found in $PATH: unknown`, `exec: "locust": executable file not found in $PATH; ` + noLocust},
		"no locust, shell": {"/entrypoint.sh: line 3: locust: not found\n", "/entrypoint.sh: line 3: locust: not found; " + noLocust},
		"not to be run":    {`runc create failed: unable to start container process: exec: "/entry.sh": permission denied: unknown`, `exec: "/entry.sh": permission denied; ` + denied},
		"other machine":    {"exec /usr/local/bin/locust: exec format error\n", "exec /usr/local/bin/locust: exec format error; the image is for another CPU architecture than the node"},

		"chain": {tb + "  File \"/lotest/src/a.py\", line 1, in f\nKeyError: 'a'\n\nThe above exception was the direct cause of the following exception:\n\n" + tb + "  File \"/lotest/src/b.py\", line 2, in g\n  File \"/usr/local/lib/python3.11/json/x.py\", line 3, in h\n  [Previous line repeated 996 more times]\nRecursionError: too deep\n",
			"RecursionError: too deep (/lotest/src/b.py, line 2)"},
		"message on the next line": {tb + "  File \"/opt/locust/lib/a.py\", line 1, in f\nValueError:\nthe end\n", "ValueError: the end (/opt/locust/lib/a.py, line 1)"},
		"traceback in a record":    {prefix + "ERROR/user: Traceback (most recent call last):\n  File \"/lotest/src/a.py\", line 1, in f\n    f()\nValueError: x\n" + prefix + "INFO/locust.main: Shutting down (exit code 1)\n", "ValueError: x (/lotest/src/a.py, line 1)"},
		"indented traceback":       {"    " + tb + "      File \"/lotest/src/a.py\", line 1, in f\n        f()\n    ValueError: x\nbye\n", "ValueError: x (/lotest/src/a.py, line 1)"},
		"cut traceback":            {"src/a.py\", line 8, in g\n  File \"/lotest/src/b.py\", line 1, in f\n    f()\nValueError: x\n", "ValueError: x (/lotest/src/b.py, line 1)"},
		"task, then the end":       {prefix + "ERROR/locust.user.task: 'x'\n" + tb + "  File \"/lotest/src/a.py\", line 1, in f\nKeyError: 'x'\n\n" + prefix + "ERROR/locust.main: Gave up waiting for workers to connect\n", "Gave up waiting for workers to connect"},
		"the end, then a task":     {prefix + "CRITICAL/locust.runners: Gave up\n" + prefix + "ERROR/locust.user.task: 'x'\n" + tb + "  File \"/lotest/src/a.py\", line 1, in f\nKeyError: 'x'\n\n", "Gave up"},
		"only a task":              {prefix + "ERROR/locust.user.task: 'x'\n" + tb + "  File \"/lotest/src/a.py\", line 1, in f\nKeyError: 'x'\n\n" + table, "KeyError: 'x' (/lotest/src/a.py, line 1)"},
		"at exit":                  {tb + "  File \"/lotest/src/a.py\", line 1, in f\nValueError: x\nException ignored in: <function a at 0x7f>\n" + tb + "  File \"/lotest/src/b.py\", line 2, in g\nTypeError: y\n", "ValueError: x (/lotest/src/a.py, line 1)"},
		"no message":               {prefix + "INFO/locust.runners: Failed to connect to master m:5557, retry 60/60.\n" + tb + frameOfMain + "ConnectionError\n", "ConnectionError after: Failed to connect to master m:5557, retry 60/60."},
		"interrupted":              {"cannot go on\n" + prefix + "ERROR/app: no data\nKeyboardInterrupt\n" + tb + "  File \"/lotest/src/a.py\", line 1, in f\nKeyboardInterrupt\n", "no data"},
		"usage, interrupted":       {"locust: error: bad\n" + tb + "  File \"/lotest/src/a.py\", line 1, in f\nSystemExit: 2\n", "locust: error: bad"},
		"no message and no log":    {tb + frameOfMain + "ConnectionError\n", "ConnectionError"},
		"log in between":           {tb + "  File \"/lotest/src/a.py\", line 1, in f\n" + prefix + "INFO/app: x\nValueError: y\n", "ValueError: y"},
		"the reporter's frame":     {tb + "  File \"/lotest/src/a.py\", line 1, in f\n  File \"/locust.io/locust-reporter.py\", line 2, in g\nValueError: x\n", "ValueError: x (/lotest/src/a.py, line 1)"},

		"table":               {table + "\n" + prefix + "WARNING/root: CPU usage above 90%!\n" + table, "CPU usage above 90%!"},
		"table only":          {table, "GET / 2 2 10 10 74 74 74 74 74 74 74 7"},
		"only INFO":           {prefix + "INFO/locust.main: Starting Locust 2.12.1\n" + prefix + "INFO/locust.main: Shutting down (exit code 1)\n\n" + table, "Shutting down (exit code 1)"},
		"text after a report": {"Error report\n# occurrences      Error\n------------------|-----\n12                 GET /: x\n------------------|-----\n\nKilled\n", "Killed"},
		"most frequent":       {"# occurrences      Error\n9                  GET /: a\n12                 GET /: b\n", "12 × GET /: b"},
		"other format":        {"2026-11-27 12:00:00,123 - app - ERROR - no database\nbye\n", "no database"},
		"progress":            {"10 %\r20 %\rno space left\r\n", "no space left"},
		"colors":              {"\x1b[1;31mlocust: error:\x1b[0m unrecognized arguments: \x1b]0;title\x07--foo\u202e\x00\n", "locust: error: unrecognized arguments: --foo"},
		"other text":          {"hello\nworld\n", "world"},
	} {
		t.Run(name, func(t *testing.T) {
			got := FromLog(c.text, chosen)
			assert.Equal(t, c.want, got.Line)
			checkBounds(t, got, c.text)
		})
	}
}

func TestDetail(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"no more than the line":     {"locust: error: unrecognized arguments: --foo\n", ""},
		"no more, in a record":      {prefix + "ERROR/locust.main: No User class found!\n", ""},
		"with what went before":     {"starting\n\n" + prefix + "ERROR/locust.main: Gave up\n", "starting\n" + prefix + "ERROR/locust.main: Gave up"},
		"without tables":            {"starting\n" + table + "stopped\n" + table, "starting\nstopped"},
		"the traceback only":        {"a\n" + tb + "  File \"/lotest/src/a.py\", line 1, in f\n    f()\n    ^^^\nValueError: x\ny\n\nb\n", tb + "  File \"/lotest/src/a.py\", line 1, in f\n    f()\nValueError: x\ny"},
		"a runtime's message":       {`OCI runtime create failed: exec: "a": no such file or directory: unknown`, ""},
		"the end of what is long":   {strings.Repeat("begin\n", 200) + strings.Repeat("end\n", 100), omittedLines + strings.TrimSpace(strings.Repeat("begin\n", 103)+strings.Repeat("end\n", 100))},
		"one line that is too long": {"a\n" + strings.Repeat("é", 600), omittedLines + strings.Repeat("é", 510)},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.want, FromLog(c.text, Facts{}).Detail)
		})
	}
}

func TestPermission(t *testing.T) {
	const text = "PermissionError: [Errno 13] Permission denied: 'a'"
	assert.Equal(t, text+"; check spec.security and the file's mode", FromLog(text, Facts{User: 1000}).Line)
	assert.Contains(t, FromLog(text, Facts{OperatorChoseUser: true, User: 65534}).Line, "chose user 65534;")
}

func TestShorten(t *testing.T) {
	for _, c := range []struct {
		text  string
		limit int
		want  string
	}{
		{"", 10, ""},
		{"short", 5, "short"},
		{" two\n\t lines\r\n", 20, "two lines"},
		{"0123456789", 9, "012 … 789"},
		{"0123456789", 8, "012 … 89"},
		{"ééééééééééé", 9, "ééé … ééé"},
		{"012 456 89", 9, "012 … 89"},
		{"0123456789", 5, "0 … 9"},
		{"0123456789", 4, "0123"},
		{"01 3456789", 3, "01"},
		{"0123456789", 0, ""},
		{"0123456789", -1, ""},
		{"a\xffb\x1b[31mc\x00", 9, "abc"},
	} {
		assert.Equal(t, c.want, Shorten(c.text, c.limit), "%q %d", c.text, c.limit)
	}
}

func FuzzFromLog(f *testing.F) {
	files, err := filepath.Glob("testdata/*.log")
	require.NoError(f, err)
	for _, name := range files {
		text, err := os.ReadFile(name)
		require.NoError(f, err)
		f.Add(string(text), int64(1000), true)
	}
	f.Add(strings.Repeat("é\r", 3000)+"\xff\x1b[", int64(-1<<63), true)
	f.Add("ERROR: \u2028x\u009b1m:", int64(0), false)
	f.Fuzz(func(t *testing.T, text string, user int64, chose bool) {
		checkBounds(t, FromLog(text, Facts{OperatorChoseUser: chose, User: user}), text)
		for _, limit := range []int{int(user % 300), 1, 200} {
			line := Shorten(text, limit)
			assert.LessOrEqual(t, utf8.RuneCountInString(line), max(limit, 0))
			assert.Equal(t, line, Shorten(line, limit), "shortened twice")
		}
	})
}
