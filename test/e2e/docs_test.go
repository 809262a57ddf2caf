//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/samples"
)

// reader runs commands of the documentation as they are written, in a folder of its own, with the fixture's namespace as the
// default one.
type reader struct {
	*fixture
	dir string
	// urls replaces addresses that the suite does not fetch by files of the folder.
	urls *strings.Replacer
	// env has more environment variables of the commands.
	env []string
}

func (s *fixture) reader() *reader {
	s.t.Helper()
	r := &reader{fixture: s, dir: s.t.TempDir(), urls: strings.NewReplacer()}
	config, _ := s.mustKubectl("config", "view", "--raw", "--flatten", "--minify")
	r.write("kubeconfig", config)
	r.run("kubectl config set-context --current --namespace " + s.namespace)
	return r
}

func (r *reader) write(name, content string) {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	require.NoError(r.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(r.t, os.WriteFile(path, []byte(content), 0o600))
}

func (r *reader) command(line string) *exec.Cmd {
	cmd := exec.CommandContext(r.t.Context(), "bash", "-e", "-o", "pipefail", "-c", r.urls.Replace(line))
	cmd.Dir, cmd.Env = r.dir, append(append(os.Environ(), "KUBECONFIG="+filepath.Join(r.dir, "kubeconfig")), r.env...)
	return cmd
}

// run runs a command, with the name of a test for NAME, and returns what it prints.
func (r *reader) run(line string, name ...string) string {
	r.t.Helper()
	for _, n := range name {
		line = strings.ReplaceAll(line, "NAME", n)
	}
	out, err := r.command(line).CombinedOutput()
	require.NoError(r.t, err, "%s: %s", line, out)
	return string(out)
}

// watch runs a command until it prints a line with a text, and interrupts it as a user does.
func (r *reader) watch(line, text string) {
	r.t.Helper()
	cmd := r.command("exec " + line)
	deadline := time.AfterFunc(timeout, func() { _ = cmd.Process.Kill() })
	defer deadline.Stop()
	out, err := cmd.StdoutPipe()
	require.NoError(r.t, err)
	require.NoError(r.t, cmd.Start())
	var printed strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		printed.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), v2.PhaseFailed) {
			_ = cmd.Process.Kill()
			break
		}
		if strings.Contains(lines.Text(), text) {
			require.NoError(r.t, cmd.Process.Signal(syscall.SIGINT))
			_ = cmd.Wait()
			return
		}
	}
	_ = cmd.Wait()
	require.Fail(r.t, "the command did not print the text in time", "%s: %q: %s", line, text, &printed)
}

// block returns the code block of a page that contains a text, without indentation, with the images of this cluster.
func block(t *testing.T, page, language, text string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", page))
	require.NoError(t, err)
	for _, part := range strings.Split(string(content), "```"+language+"\n")[1:] {
		code, _, _ := strings.Cut(part, "```")
		if strings.Contains(code, text) {
			return strings.ReplaceAll(code, samples.Image, locustImage)
		}
	}
	require.Fail(t, "no such block", "%s: %s", page, text)
	return ""
}

// withPlugin puts the plugin on the PATH, and the home folder and the summary page of a workflow into the reader's folder.
func (r *reader) withPlugin() {
	r.t.Helper()
	plugin, err := buildPlugin()
	require.NoError(r.t, err, "build the plugin")
	r.env = []string{
		"PATH=" + filepath.Dir(plugin) + ":" + os.Getenv("PATH"), "KUBECTL_LOCUST_IMAGE=" + locustImage,
		"HOME=" + r.dir, "GITHUB_STEP_SUMMARY=" + filepath.Join(r.dir, "summary.md"),
	}
	require.NoError(r.t, os.MkdirAll(filepath.Join(r.dir, ".local", "bin"), 0o755))
}

// recipe returns a file of docs/recipes.
func recipe(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "recipes", name))
	require.NoError(t, err)
	return string(text)
}

// sampleWithImage returns a file of config/samples with the image of this cluster.
func sampleWithImage(t *testing.T, name string) string {
	t.Helper()
	manifest, err := os.ReadFile(filepath.Join(samplesDir, name))
	require.NoError(t, err)
	return strings.ReplaceAll(string(manifest), samples.Image, locustImage)
}

// TestDocs runs the commands of docs/commands.md that are under its name, with the manifests and the locustfile of the pages.
func TestDocs(t *testing.T) {
	t.Parallel()
	t.Run("start", func(t *testing.T) {
		t.Parallel()
		s := newFixture(t)
		r := s.reader()
		r.write("first.yaml", block(t, "docs/start.md", "yaml", "name: first"))
		r.run("kubectl apply -f first.yaml")
		r.watch("kubectl get locusttest first --watch", v2.PhaseSucceeded)
		assert.Contains(t, r.run("kubectl get locusttest first -o jsonpath-as-json='{.status.testResult}'"), `"final": true`)
		assert.Contains(t, r.run("kubectl logs job/first-master"), "Aggregated")
		assert.Contains(t, r.run("kubectl describe locusttest first"), "Test completed successfully")

		const raw = "https://raw.githubusercontent.com/AbdelrhmanHamouda/locust-k8s-operator/v3.0.0/"
		r.write("config/samples/"+samples.Target, sampleWithImage(t, samples.Target))
		r.urls = strings.NewReplacer(raw, "")
		r.run("kubectl apply -f https://raw.githubusercontent.com/AbdelrhmanHamouda/locust-k8s-operator/v3.0.0/config/samples/target.yaml")
		r.run("kubectl rollout status deployment/target")
		quick := strings.NewReplacer("--run-time 1m", "--run-time 5s", "p95: 500ms", "p95: 30s")
		r.write("shop.yaml", quick.Replace(block(t, "docs/start.md", "yaml", "configMapRef: shop-locustfile")))
		r.write("locustfile.py", block(t, "docs/start.md", "python", "wait_time = between(1, 3)"))
		r.run("kubectl create configmap shop-locustfile --from-file locustfile.py --dry-run=client -o yaml | kubectl apply -f -")
		r.run("kubectl delete locusttest shop --ignore-not-found")
		r.run("kubectl apply -f shop.yaml")
		r.run("kubectl wait locusttest shop --for=condition=TestCompleted --timeout=10m")
		assert.Regexp(t, `shop\s+Succeeded\s+2/2`, r.run("kubectl get locusttest shop"))
		assert.Regexp(t, `shop\s+Succeeded\s+2/2.*LoadAsPlanned`, r.run("kubectl get locusttest shop -o wide"))
		assert.Equal(t, "Test completed successfully", r.run(`kubectl get locusttest shop -o jsonpath='{.status.conditions[?(@.type=="TestCompleted")].message}'`))
		r.run("kubectl get locusttest shop -o jsonpath='{.status.phase}' | grep -qx Succeeded")
		assert.Regexp(t, `shop\s+Succeeded\s+2/2.*LoadAsPlanned`, r.run("kubectl get lotest -o wide"))
		r.run(`kubectl wait --for=create "lotreport/$(kubectl get locusttest shop -o jsonpath='{.status.report}')" --timeout=1m`)
		assert.Regexp(t, `shop-\S+\s+shop\s+Succeeded\s+\d+\s+0\s+\d+\S*ms`, r.run("kubectl get lotreport"))
		assert.Regexp(t, `^shop-\w{8}$`, r.run("kubectl get locusttest shop -o jsonpath='{.status.report}'"))
		assert.Contains(t, r.run(`kubectl get lotreport "$(kubectl get locusttest shop -o jsonpath='{.status.report}')" -o yaml`), "phase: Succeeded")
		assert.Contains(t, r.run("kubectl get lotreport -l performance-test-name=shop --sort-by=.run.endTime"), "Succeeded")
		assert.Contains(t, r.run("kubectl get crd locustreports.locust.io"), "locustreports.locust.io")
		r.run("kubectl delete locusttest first shop --ignore-not-found")
		r.run("kubectl delete configmap shop-locustfile --ignore-not-found")
		r.run("kubectl delete -f https://raw.githubusercontent.com/AbdelrhmanHamouda/locust-k8s-operator/v3.0.0/config/samples/target.yaml --ignore-not-found")
	})
	t.Run("versions", func(t *testing.T) {
		t.Parallel()
		s := newFixture(t)
		r := s.reader()
		s.UntilPhase(s.create(s.test("both", 60, enough(20))), v2.PhaseSucceeded)
		assert.Contains(t, r.run("kubectl get locusttest"), "both")
		assert.Contains(t, r.run("kubectl get locusttests.v1.locust.io NAME -o yaml", "both"), "apiVersion: locust.io/v1\n")
		assert.Contains(t, r.run("kubectl get locusttests.v2.locust.io NAME -o yaml", "both"), "apiVersion: locust.io/v2\n")
		assert.Contains(t, r.run("kubectl describe locusttest NAME", "both"), "Test completed successfully")
		r.run("kubectl wait locusttest NAME --for=condition=TestCompleted --timeout=30m", "both")
		assert.Contains(t, r.run("kubectl get locusttests -A"), s.namespace)

		assert.Contains(t, r.run("kubectl get locusttest NAME -o wide", "both"), "both")
		assert.Contains(t, r.run("kubectl get pods -l performance-test-name=NAME -o wide", "both"), "both-master")
		r.run("kubectl get pods -l performance-test-name=NAME -o yaml", "both")
		assert.Contains(t, r.run("kubectl logs job/NAME-master", "both"), "Aggregated")
		assert.Contains(t, r.run("kubectl logs -l performance-test-name=NAME,app.kubernetes.io/component=worker --prefix --tail 50", "both"), "[pod/both-worker")
		assert.Contains(t, r.run("kubectl -n locust-k8s-operator-system get pods"), "Running")
		assert.Contains(t, r.run("kubectl -n locust-k8s-operator-system logs -l app.kubernetes.io/name=locust-k8s-operator --prefix --tail 50"), "controller-manager")
		assert.Contains(t, r.run("kubectl -n locust-k8s-operator-system describe pods"), "controller-manager")
		assert.Contains(t, r.run("kubectl get deployments -A"), "locust-k8s-operator-controller-manager")
		assert.Contains(t, r.run("kubectl get leases -A -l locust.io/operator"), "locust-k8s-operator.locust.io")
		assert.Empty(t, r.run("kubectl get locusttest NAME -o jsonpath='{.metadata.finalizers}'", "both"))
		r.run("kubectl get locusttest NAME -o jsonpath-as-json='{.status.testResult.errors}'", "both")
		assert.Contains(t, r.run("kubectl get crd locusttests.locust.io -o jsonpath='{.status.storedVersions}'"), "v2")
		r.run("kubectl get crd locusttests.locust.io -o yaml")
		assert.Equal(t, "yes\n", r.run("kubectl auth can-i create locusttests.locust.io"))
		r.run("kubectl describe resourcequota")
		assert.Contains(t, r.run("kubectl get locusttests -A -o yaml"), "kind: LocustTest")

		r.run("kubectl delete service NAME-master", "both")
		assert.Contains(t, r.run("kubectl delete job NAME-master NAME-worker", "both"), "both-worker")
	})
	t.Run("howto", func(t *testing.T) {
		t.Parallel()
		s := newFixture(t)
		r := s.reader()
		r.write("locustfile.py", block(t, "docs/start.md", "python", "wait_time = between(1, 3)"))
		r.write("lib/browsing.py", "")
		r.write("ca.crt", "")
		r.run("kubectl create configmap shop-locustfile --from-file locustfile.py --dry-run=client -o yaml | kubectl apply -f -")
		r.run("kubectl create configmap shop-lib --from-file lib/")
		r.run("kubectl create configmap shop-ca --from-file ca.crt")
		r.run("kubectl create secret docker-registry registry --docker-server=registry.example.com --docker-username=USER --docker-password=PASSWORD")
		r.run("kubectl create secret generic shop-token --from-literal=token=x")
		r.write("shop.yaml", strings.NewReplacer("--host http://shop ", "--host http://target.e2e-target ", "--run-time 3m", "--run-time 1m").
			Replace(block(t, "docs/howto.md", "yaml", "mountPath: /etc/shop\n")))
		r.run("kubectl apply -f shop.yaml")
		s.Until(s.get("shop"), "has users", func(status *v2.LocustTestStatus) bool {
			return status.Progress != nil && status.Progress.CurrentUsers > 0
		})
		assert.Contains(t, r.run("kubectl exec job/shop-worker -- ls /etc/shop"), "token")
		assert.NotEmpty(t, r.run("kubectl logs job/shop-worker"))
		assert.Contains(t, r.run(`kubectl get locusttest shop -o jsonpath='{.status.conditions[?(@.type=="PodsHealthy")].message}'`), "All pods are running")
		r.watch("kubectl port-forward service/shop-master 8089", "Forwarding from")
		assert.Contains(t, r.run("kubectl get jobs"), "shop-master")
		assert.Contains(t, r.run("kubectl -n locust-k8s-operator-system get lease locust-k8s-operator.locust.io"), "controller-manager")
	})
	t.Run("plugin", func(t *testing.T) {
		t.Parallel()
		s := newFixture(t)
		r := s.reader()
		r.withPlugin()
		locustfile := block(t, "docs/start.md", "python", "wait_time = between(1, 3)")
		r.write("locustfile.py", locustfile)
		r.write("shop/locustfile.py", locustfile)
		r.write("gate.yaml", strings.NewReplacer("--run-time 2m", "--run-time 4s", "http://shop", "http://target.e2e-target", "p95: 500ms", "p95: 30s",
			samples.Image, locustImage).Replace(recipe(t, "gate.yaml")))
		r.urls = strings.NewReplacer("https://shop.example.com", "http://target.e2e-target", "-u 20 -w 3 -t 30s", "-u 4 -r 4 -w 1 -t 4s", "-t 5m", "-t 4s",
			"-u 100 -r 10", "-u 4 -r 4", "p95 500ms", "p95 30s")
		assert.Contains(t, r.run("kubectl locust version"), "LocustReport:")
		r.run("kubectl locust completion kubectl >~/.local/bin/kubectl_complete-locust")
		assert.Contains(t, r.run("kubectl locust run --name shop --host https://shop.example.com -u 20 -w 3 -t 30s locustfile.py"), "/shop: Succeeded")
		assert.Contains(t, r.run("kubectl locust report shop"), "Succeeded: Test completed successfully")
		r.run("kubectl locust report shop -o junit --output-file report.xml")
		r.run(`kubectl locust report shop -o markdown >>"$GITHUB_STEP_SUMMARY"`)
		assert.Contains(t, r.run(`cat "$GITHUB_STEP_SUMMARY"`), "## Load test shop: Succeeded")
		assert.Regexp(t, `shop +Succeeded`, r.run("kubectl locust list shop"))
		assert.Contains(t, r.run("kubectl locust watch shop"), "/shop: Succeeded")
		assert.Contains(t, r.run("kubectl locust stop shop"), "shop has ended: Succeeded")
		assert.Contains(t, r.run("kubectl locust logs shop --all --follow"), "Aggregated")
		assert.Contains(t, r.run("kubectl locust rerun shop --replace"), "/shop: Succeeded")
		r.run("kubectl locust run ./shop -H https://shop.example.com -u 100 -r 10 -t 5m --max-failure-ratio 0.01 --max-response-time-p95 500ms")
		assert.Contains(t, r.run("kubectl locust run --filename gate.yaml --replace"), "/gate: Succeeded")
		r.run("kubectl locust report gate --output junit --output-file load-test.xml")
		r.run("kubectl locust report gate --output markdown --output-file load-test.md")
	})
	t.Run("samples", func(t *testing.T) {
		t.Parallel()
		s := newFixture(t)
		r := s.reader()
		for _, name := range []string{samples.Target, "v2/minimal.yaml"} {
			r.write("config/samples/"+name, sampleWithImage(t, name))
		}
		t.Cleanup(func() {
			_ = k8s.Delete(context.Background(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "samples"}})
		})
		r.run("kubectl create namespace samples")
		r.run("kubectl -n samples apply -f config/samples/target.yaml")
		r.run("kubectl -n samples rollout status deployment/target")
		r.run("kubectl -n samples apply -f config/samples/v2/minimal.yaml")
		r.watch("kubectl -n samples get locusttests -w", v2.PhaseSucceeded)
		assert.Contains(t, r.run("kubectl -n samples get locusttests"), v2.PhaseSucceeded)
	})
}
