package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// runCommand runs a command line without the user's kubeconfig.
func runCommand(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	var out, errOut bytes.Buffer
	code = execute(t.Context(), genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &errOut}, args)
	return out.String(), errOut.String(), code
}

// serveAPI starts an API server with fixed responses by path; others are 404.
func serveAPI(t *testing.T, responses map[string]string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, found := responses[r.URL.Path]
		switch {
		case body == forbidden:
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"user eve cannot"}`))
		case !found:
			w.WriteHeader(http.StatusNotFound)
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(body))
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// forbidden is a response of serveAPI.
const forbidden = "forbidden"

func TestExecute_CommandLines(t *testing.T) {
	for name, row := range map[string]struct {
		args   string
		code   int
		stdout string
		stderr string
	}{
		"nothing":             {"", 0, "Usage:\n  kubectl locust [command]", ""},
		"help":                {"stop --help", 0, "Usage:\n  kubectl locust stop NAME... | --all [flags]", ""},
		"an unknown command":  {"stopp", 2, "", "error: unknown command \"stopp\" for \"kubectl locust\"\n\nDid you mean this?\n    stop\n"},
		"remedy":              {"frobnicate", 2, "", "See 'kubectl locust --help'\n"},
		"an unknown flag":     {"stop shop --frobnicate", 2, "", "error: unknown flag: --frobnicate\nSee 'kubectl locust stop --help'\n"},
		"a missing argument":  {"logs", 2, "", "See 'kubectl locust logs --help'\n"},
		"flags that conflict": {"logs shop --master --workers", 2, "", "See 'kubectl locust logs --help'\n"},
		"names and all":       {"stop shop --all", 2, "", "error: give the names of tests, or --all\nSee"},
		"no names":            {"stop", 2, "", "error: give the names of tests, or --all\nSee"},
		"no cluster":          {"stop shop --server http://127.0.0.1:1", 2, "", "connection refused\nCheck the connection and the context"},
		"no context":          {"stop shop --context nope", 2, "", "error: read the kubeconfig: context \"nope\" does not exist\nCheck --kubeconfig"},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := runCommand(t, strings.Fields(row.args)...)
			assert.Equal(t, row.code, code)
			assert.Contains(t, stdout, row.stdout)
			assert.Contains(t, stderr, row.stderr)
			assert.NotContains(t, stdout, "kubectl-locust stop", "the name of the command is that of kubectl")
			if row.code == 0 {
				assert.Empty(t, stderr)
			}
		})
	}
	_, stderr, _ := runCommand(t, "stop", "shop", "--server", "http://127.0.0.1:1")
	assert.NotContains(t, stderr, "--help", "the command line was right")
}

// TestExecute_Remedies checks that each command names what to do if it cannot reach the cluster.
func TestExecute_Remedies(t *testing.T) {
	locustfile := filepath.Join(t.TempDir(), "locustfile.py")
	require.NoError(t, os.WriteFile(locustfile, []byte("class U(User): pass\n"), 0o600))
	remedies := map[string]string{
		"--server http://127.0.0.1:1": "connection refused\nCheck the connection and the context",
		"--context nope":              "error: read the kubeconfig: context \"nope\" does not exist\nCheck --kubeconfig",
		"--kubeconfig /nope":          "error: read the kubeconfig: stat /nope: no such file or directory\nCheck --kubeconfig",
	}
	for _, command := range []string{
		"run -t 1s " + locustfile, "rerun shop", "watch shop", "report shop", "list", "list -A", "ui shop", "logs shop", "stop shop", "stop --all", "version",
	} {
		for flags, want := range remedies {
			_, stderr, code := runCommand(t, strings.Fields(command+" -n load "+flags)...)
			assert.Equal(t, 2, code, "%s %s", command, flags)
			assert.Contains(t, stderr, want, "%s %s", command, flags)
		}
	}
}

func TestCompletion(t *testing.T) {
	url := serveAPI(t, map[string]string{"/api/v1/namespaces": `{"items":[{"metadata":{"name":"default"}},{"metadata":{"name":"load"}}]}`})
	stdout, _, code := runCommand(t, "__complete", "--server", url, "list", "--namespace", "")
	assert.Zero(t, code)
	assert.Equal(t, "default\nload\n:4\n", stdout)

	config := filepath.Join(t.TempDir(), "config")
	require.NoError(t, os.WriteFile(config, []byte(`{"contexts":[{"name":"prod"},{"name":"dev"}],"clusters":[{"name":"c"}],"users":[{"name":"u"}]}`), 0o600))
	for flag, want := range map[string]string{"--context": "dev\nprod\n:4\n", "--cluster": "c\n:4\n", "--user": "u\n:4\n"} {
		stdout, _, _ = runCommand(t, "__complete", "list", "--kubeconfig", config, flag, "")
		assert.Equal(t, want, stdout, flag)
	}

	stdout, _, code = runCommand(t, "__complete", "lo")
	assert.Zero(t, code)
	assert.Equal(t, "logs", strings.SplitN(strings.SplitN(stdout, "\n", 2)[0], "\t", 2)[0])

	stdout, _, code = runCommand(t, "completion", "bash")
	assert.Zero(t, code)
	assert.Contains(t, stdout, "__start_kubectl-locust kubectl-locust")
	stdout, _, code = runCommand(t, "completion", "kubectl")
	assert.Zero(t, code)
	assert.Equal(t, kubectlCompletion, stdout)
}

// TestKubectlCompletion runs the program that kubectl runs.
func TestKubectlCompletion(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no sh")
	}
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "kubectl-locust"), []byte("#!/bin/sh\nfor arg; do echo \"<$arg>\"; done\n"), 0o700))
	command := exec.CommandContext(t.Context(), shell, "kubectl_complete-locust", "logs", "a b", "")
	command.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH")}
	out, err := command.CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Equal(t, "<__complete>\n<logs>\n<a b>\n<>\n", string(out))
}

// maxInitBytes bounds what packages allocate before main, which is most of the cost of a start. It depends neither on the machine nor on its load;
// 3.1 MB take about 20 ms of processor time. BenchmarkStart measures the time, which must stay below 60 ms.
const maxInitBytes = 4_500_000

func TestStartIsCheap(t *testing.T) {
	command := exec.CommandContext(t.Context(), buildProgram(t), "version", "--client")
	command.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	var stderr bytes.Buffer
	command.Stderr = &stderr
	require.NoError(t, command.Run())
	total, packages := 0, regexp.MustCompile(`(?m)^init (\S+) .* (\d+) bytes,`).FindAllStringSubmatch(stderr.String(), -1)
	require.NotEmpty(t, packages, stderr.String())
	for _, found := range packages {
		size, err := strconv.Atoi(found[2])
		require.NoError(t, err)
		total += size
	}
	assert.Less(t, total, maxInitBytes, "packages initialize too much:\n%s", stderr.String())
}

func buildProgram(t testing.TB) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "kubectl-locust")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	return program
}

// BenchmarkStart reports the processor time of a start. Budget: 60 ms.
func BenchmarkStart(b *testing.B) {
	program := buildProgram(b)
	for _, args := range []string{"version --client", "--help"} {
		b.Run(args, func(b *testing.B) {
			var used float64
			for b.Loop() {
				command := exec.CommandContext(b.Context(), program, strings.Fields(args)...)
				require.NoError(b, command.Run())
				state := command.ProcessState
				used += float64((state.UserTime() + state.SystemTime()).Milliseconds())
			}
			b.ReportMetric(used/float64(b.N), "cpu-ms/start")
		})
	}
}
