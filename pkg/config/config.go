// Package config parses and validates the operator's settings: flags, each with an environment variable.
package config

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// EnvPrefix is the prefix of the environment variable of a flag: --startup-deadline is LOCUST_OPERATOR_STARTUP_DEADLINE. A flag
// on the command line takes precedence.
const EnvPrefix = "LOCUST_OPERATOR_"

// Values of --locust-access.
const (
	AccessAuto   = "auto"
	AccessDirect = "direct"
	AccessProxy  = "proxy"
)

// Values of --pod-user.
const (
	// PodUserAuto is PodUserPlatform where the API group security.openshift.io is served, otherwise PodUserLocust.
	PodUserAuto = "auto"
	// PodUserLocust sets the user and the group of the Locust image.
	PodUserLocust = "locust"
	// PodUserPlatform sets neither.
	PodUserPlatform = "platform"
)

// Values of --webhook-certificates.
const (
	// WebhooksOff disables the webhooks: v1 cannot be used, and only the reconciler validates tests.
	WebhooksOff = "off"
	// WebhooksSelf creates and rotates the certificate and its CA.
	WebhooksSelf = "self"
	// WebhooksFiles serves tls.crt and tls.key of a directory, which cert-manager or OLM writes.
	WebhooksFiles = "files"
)

// maxEndpointMetrics is how many endpoints Locust's web API reports at most.
const maxEndpointMetrics = 500

// namespaceFile contains the namespace of the pod.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// Config holds the operator's settings.
type Config struct {
	// StartupDeadline is how long a test's pods may be unhealthy before all workers have been connected once; after it the test
	// fails. Zero disables it.
	StartupDeadline time.Duration
	// PodDefaults is the JSON of the defaults for the pods of all tests; nil means none.
	PodDefaults []byte
	// PodUser is one of PodUserAuto, PodUserLocust, PodUserPlatform.
	PodUser string
	// JobTTL is the TTL of the Jobs of a finished test, in whole seconds; nil keeps them until the test is deleted.
	JobTTL *time.Duration
	// StatusRefreshInterval is the minimum time between status writes that change only counters and messages.
	StatusRefreshInterval time.Duration
	// PollInterval is the interval between polls of the web API of each running test's master; zero disables polling.
	PollInterval time.Duration
	// PollConcurrency is the maximum number of concurrent polls.
	PollConcurrency int
	// EndpointMetrics is the maximum number of endpoints per test that have their own series in the metrics; zero disables them.
	EndpointMetrics int
	// LocustAccess is how the operator connects to the masters: AccessAuto, AccessDirect or AccessProxy.
	LocustAccess string
	// Concurrency is the maximum number of concurrent reconciles.
	Concurrency int
	// KubeAPIQPS and KubeAPIBurst limit the operator's requests to the API server, per second; zero leaves that to API Priority
	// and Fairness, as controller-runtime does by default.
	KubeAPIQPS   float64
	KubeAPIBurst int
	// Namespace is that of the operator's pod; empty outside a cluster.
	Namespace string
	// WatchNamespaces are the namespaces of the tests to run; empty means all.
	WatchNamespaces []string
	// LeaderElect enables leader election, so that only one of several operator pods is active.
	LeaderElect bool
	// LeaderElectionID is the name of the Lease.
	LeaderElectionID string
	// MetricsAddress and ProbeAddress are listen addresses; "0" disables the metrics.
	MetricsAddress, ProbeAddress string
	// PprofAddress is the listen address of Go's profiles; empty disables them.
	PprofAddress string
	// MetricsSecure serves the metrics over TLS to authenticated and authorized clients only.
	MetricsSecure bool
	// MetricsCertDir has tls.crt and tls.key of the metrics server; empty means a self-signed certificate.
	MetricsCertDir string
	// WebhookCertificates is the source of the webhook certificate: WebhooksOff, WebhooksSelf or WebhooksFiles.
	WebhookCertificates string
	// WebhookPort is the port of the webhook server.
	WebhookPort int
	// WebhookCertDir is the directory for WebhooksFiles.
	WebhookCertDir string
	// WebhookName is the name of the webhooks' Service, Secret and ValidatingWebhookConfiguration, for WebhooksSelf.
	WebhookName string
	// WebhookNamespace is the namespace of the Service and the Secret, for WebhooksSelf.
	WebhookNamespace string
}

// Load returns the settings from the flags in args and, for flags not given, from the environment. The caller may have added
// flags to fs. The error lists all invalid settings, each with how to fix it.
func Load(fs *flag.FlagSet, args []string, getenv func(string) string) (*Config, error) {
	var c Config
	var jobTTL, namespaces, podDefaults string
	fs.DurationVar(&c.StartupDeadline, "startup-deadline", 5*time.Minute,
		"how long pods may be unhealthy before all workers have been connected once, or with no worker left, before the test fails; 0 disables the deadline")
	fs.StringVar(&jobTTL, "job-ttl", "",
		"TTL of the Jobs of a finished test, for example 1h; empty keeps them until the test is deleted")
	fs.DurationVar(&c.StatusRefreshInterval, "status-refresh-interval", 10*time.Second,
		"minimum time between status writes that change only counters and messages")
	fs.DurationVar(&c.PollInterval, "poll-interval", 5*time.Second,
		"interval between polls of the Locust web API of each running test; 0 disables polling: workers are then counted from ready pods, and only the final result is reported")
	fs.IntVar(&c.PollConcurrency, "poll-concurrency", 100, "maximum number of concurrent polls")
	fs.IntVar(&c.EndpointMetrics, "endpoint-metrics", 0,
		"maximum number of endpoints per test that have their own series in the metrics, at most 500; all others share one; 0 exports no series of endpoints")
	fs.StringVar(&c.LocustAccess, "locust-access", AccessAuto,
		"how to connect to the Locust web API: direct (pod IP), proxy (through the API server), auto (direct in a cluster, otherwise proxy)")
	fs.StringVar(&podDefaults, "pod-defaults", "",
		"YAML of defaults for the pods of all tests, where a spec sets nothing: master.resources, worker.resources, imagePullSecrets, nodeSelector, tolerations, priorityClassName, runtimeClassName")
	fs.StringVar(&c.PodUser, "pod-user", PodUserAuto,
		"source of the pods' user if the spec sets none: locust (user and group 1000, those of the Locust image), platform (none is set, as OpenShift requires), auto (platform on OpenShift, otherwise locust)")
	fs.IntVar(&c.Concurrency, "concurrency", 10, "maximum number of concurrent reconciles")
	fs.Float64Var(&c.KubeAPIQPS, "kube-api-qps", 0, "maximum requests per second to the API server; 0 leaves the limit to API Priority and Fairness")
	fs.IntVar(&c.KubeAPIBurst, "kube-api-burst", 0, "maximum burst of requests to the API server, with --kube-api-qps; 0 means twice --kube-api-qps")
	fs.StringVar(&namespaces, "watch-namespace", getenv("WATCH_NAMESPACE"),
		"comma-separated namespaces to watch; empty means all (default: environment variable WATCH_NAMESPACE)")
	fs.BoolVar(&c.LeaderElect, "leader-elect", false, "enable leader election, so that only one operator pod is active")
	fs.StringVar(&c.LeaderElectionID, "leader-election-id", "locust-k8s-operator.locust.io",
		"name of the leader election Lease; operators that watch different namespaces need different names")
	fs.StringVar(&c.MetricsAddress, "metrics-bind-address", ":8443", "listen address of the metrics; 0 disables them")
	fs.BoolVar(&c.MetricsSecure, "metrics-secure", true, "serve the metrics over TLS to authorized clients only")
	fs.StringVar(&c.MetricsCertDir, "metrics-cert-dir", "",
		"directory of tls.crt and tls.key of the metrics, which are reloaded when they change; empty creates a self-signed certificate at each start, which clients cannot verify")
	fs.StringVar(&c.ProbeAddress, "health-probe-bind-address", ":8081", "listen address of /healthz and /readyz")
	fs.StringVar(&c.PprofAddress, "pprof-bind-address", "", "listen address of the pprof profiles (/debug/pprof), without authentication; empty disables them")
	fs.StringVar(&c.WebhookCertificates, "webhook-certificates", WebhooksOff,
		"source of the webhook certificate: off (no webhooks: v1 cannot be used), self (created and rotated by the operator), files (cert-manager, OLM)")
	fs.IntVar(&c.WebhookPort, "webhook-port", 9443, "port of the webhook server")
	fs.StringVar(&c.WebhookCertDir, "webhook-cert-dir", "/tmp/k8s-webhook-server/serving-certs", "directory of tls.crt and tls.key, with --webhook-certificates=files")
	fs.StringVar(&c.WebhookName, "webhook-name", "locust-k8s-operator-webhook",
		"name of the webhooks' Service, Secret and ValidatingWebhookConfiguration, with --webhook-certificates=self")
	fs.StringVar(&c.WebhookNamespace, "webhook-namespace", "",
		"namespace of the webhooks' Service and Secret, with --webhook-certificates=self; empty means the namespace of the operator's pod")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	errs := []error{fromEnvironment(fs, getenv)}
	if jobTTL != "" {
		ttl, err := time.ParseDuration(jobTTL)
		if err != nil {
			errs = append(errs, fmt.Errorf("--job-ttl %q is not a duration; use for example 30m, or leave it empty to keep the Jobs", jobTTL))
		}
		c.JobTTL = &ttl
	}
	if podDefaults != "" {
		var err error
		if c.PodDefaults, err = yaml.YAMLToJSONStrict([]byte(podDefaults)); err != nil {
			errs = append(errs, fmt.Errorf("--pod-defaults is not YAML: %w", err))
		}
	}
	for _, name := range strings.Split(namespaces, ",") {
		if name = strings.TrimSpace(name); name != "" {
			c.WatchNamespaces = append(c.WatchNamespaces, name)
		}
	}
	if name, err := os.ReadFile(namespaceFile); err == nil {
		c.Namespace = strings.TrimSpace(string(name))
	}
	c.WebhookNamespace = cmp.Or(c.WebhookNamespace, c.Namespace)
	errs = append(errs, c.validate())
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &c, nil
}

// fromEnvironment sets the flags that were not given.
func fromEnvironment(fs *flag.FlagSet, getenv func(string) string) error {
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	var errs []error
	fs.VisitAll(func(f *flag.Flag) {
		variable := EnvPrefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value := getenv(variable)
		if given[f.Name] || value == "" {
			return
		}
		if err := fs.Set(f.Name, value); err != nil {
			errs = append(errs, fmt.Errorf("environment variable %s=%q: %w", variable, value, err))
		}
	})
	return errors.Join(errs...)
}

func (c *Config) validate() error {
	var errs []error
	reject := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	reject(c.StartupDeadline < 0, "--startup-deadline %s is negative; use 0 to disable the deadline", c.StartupDeadline)
	reject(c.JobTTL != nil && *c.JobTTL < 0, "--job-ttl must not be negative; leave it empty to keep the Jobs")
	reject(c.JobTTL != nil && *c.JobTTL%time.Second != 0, "--job-ttl must be a multiple of 1s")
	reject(c.JobTTL != nil && *c.JobTTL > math.MaxInt32*time.Second, "--job-ttl is too long; leave it empty to keep the Jobs")
	reject(c.StatusRefreshInterval < time.Second, "--status-refresh-interval %s is below 1s, which would overload the API server", c.StatusRefreshInterval)
	reject(c.PollInterval != 0 && c.PollInterval < time.Second, "--poll-interval %s is below 1s, which would overload the masters; use 0 to disable polling", c.PollInterval)
	reject(c.PollConcurrency < 1, "--poll-concurrency %d is below 1", c.PollConcurrency)
	reject(c.EndpointMetrics < 0 || c.EndpointMetrics > maxEndpointMetrics, "--endpoint-metrics %d must be between 1 and %d; use 0 to export no series of endpoints", c.EndpointMetrics, maxEndpointMetrics)
	reject(c.EndpointMetrics > 0 && c.PollInterval == 0, "--endpoint-metrics requires polls of Locust; set --poll-interval, or --endpoint-metrics to 0")
	reject(!slices.Contains([]string{AccessAuto, AccessDirect, AccessProxy}, c.LocustAccess), "--locust-access %q must be auto, direct or proxy", c.LocustAccess)
	reject(!slices.Contains([]string{PodUserAuto, PodUserLocust, PodUserPlatform}, c.PodUser), "--pod-user %q must be auto, locust or platform", c.PodUser)
	reject(!slices.Contains([]string{WebhooksOff, WebhooksSelf, WebhooksFiles}, c.WebhookCertificates), "--webhook-certificates %q must be off, self or files", c.WebhookCertificates)
	reject(c.WebhookPort < 1 || c.WebhookPort > math.MaxUint16, "--webhook-port %d must be between 1 and 65535", c.WebhookPort)
	reject(c.WebhookCertificates == WebhooksFiles && c.WebhookCertDir == "", "--webhook-certificates=files requires --webhook-cert-dir, the directory of tls.crt and tls.key")
	reject(c.WebhookCertificates == WebhooksSelf && c.WebhookName == "", "--webhook-certificates=self requires --webhook-name, the name of the webhooks' Service")
	reject(c.WebhookCertificates == WebhooksSelf && c.WebhookNamespace == "", "--webhook-certificates=self requires --webhook-namespace outside a pod")
	reject(c.MetricsCertDir != "" && !c.MetricsSecure, "--metrics-cert-dir requires --metrics-secure; remove one of them")
	reject(c.Concurrency < 1, "--concurrency %d is below 1", c.Concurrency)
	reject(c.LeaderElect && c.LeaderElectionID == "", "--leader-elect requires --leader-election-id, the name of a Lease")
	reject(c.KubeAPIQPS < 0 || c.KubeAPIBurst < 0, "--kube-api-qps and --kube-api-burst must not be negative; use 0 for no limit")
	reject(c.KubeAPIBurst > 0 && c.KubeAPIQPS == 0, "--kube-api-burst requires --kube-api-qps")
	reject(c.KubeAPIBurst > 0 && float64(c.KubeAPIBurst) < c.KubeAPIQPS, "--kube-api-burst %d is below --kube-api-qps %g; raise it", c.KubeAPIBurst, c.KubeAPIQPS)
	return errors.Join(errs...)
}
