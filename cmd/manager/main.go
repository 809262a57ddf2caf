// Command manager is the Locust Kubernetes Operator.
package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"

	v1 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/controllers"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/background"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/config"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/metrics"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/peers"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/serverclock"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/validation"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/webhook"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/webhook/certs"
)

// version is set by the linker.
var version = "dev"

// crdName is the CRD whose versions the operator converts.
const crdName = "locusttests.locust.io"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run() error {
	logOptions := zap.Options{}
	logOptions.BindFlags(flag.CommandLine)
	settings, err := config.Load(flag.CommandLine, os.Args[1:], os.Getenv)
	if err != nil {
		return fmt.Errorf("invalid settings: %w", err)
	}
	if settings.PprofAddress == "" {
		runtime.MemProfileRate = 0 // the allocation profile takes memory and cannot be read
	}
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&logOptions)))
	log := ctrl.Log.WithName("setup")
	log.Info("Locust Kubernetes Operator", "version", version)

	server, rotator := newWebhookServer(settings)
	// The whole operator uses the API server's time, as the times in objects do.
	now := serverclock.New(clock.RealClock{})
	mgr, err := newManager(settings, server, now)
	if err != nil {
		return err
	}
	if settings.WebhookCertificates != config.WebhooksOff {
		if err := addWebhooks(mgr, rotator); err != nil {
			return err
		}
	}
	ctx := ctrl.SetupSignalHandler()
	if settings.WebhookCertificates != config.WebhooksOff {
		ctx = drain(ctx, server)
	}
	exposed := metrics.New(settings.EndpointMetrics)
	if err := exposed.Register(ctrlmetrics.Registry); err != nil {
		return fmt.Errorf("register the metrics: %w", err)
	}
	poller, err := newPoller(settings, mgr.GetConfig(), exposed, now)
	if err != nil {
		return err
	}
	defaults, err := podDefaults(settings, mgr.GetRESTMapper())
	if err != nil {
		return err
	}
	reconciler := &controllers.LocustTestReconciler{
		Client:    mgr.GetClient(),
		APIReader: mgr.GetAPIReader(),
		Recorder:  mgr.GetEventRecorder("locust-k8s-operator"),
		Clock:     now,
		Settings: status.Settings{
			StartupDeadline: settings.StartupDeadline, JobTTL: settings.JobTTL, PollInterval: settings.PollInterval, PodDefaults: defaults,
		},
		RefreshInterval: settings.StatusRefreshInterval,
		Concurrency:     settings.Concurrency,
		Poller:          poller,
		Metrics:         *exposed,
	}
	if err := addPeers(ctx, mgr, settings, now); err != nil {
		return err
	}
	if err := reconciler.SetupWithManager(ctx, mgr); err != nil {
		return fmt.Errorf("set up the LocustTest controller: %w", err)
	}
	return mgr.Start(ctx)
}

// drainTime is how long the API server may call the webhooks of a pod that ends: until the endpoints of the Service are updated,
// and its connections are closed.
const drainTime = 4 * time.Second

// drain returns a context that is canceled later than the given one, so that the operator goes on working while the server drains.
func drain(signals context.Context, server *webhook.Server) context.Context {
	ctx, cancel := context.WithCancel(context.WithoutCancel(signals))
	go func() {
		<-signals.Done()
		server.Drain()
		time.Sleep(drainTime)
		cancel()
	}()
	return ctx
}

// newWebhookServer returns the webhook server, and the Rotator of its certificate if the operator manages that itself.
func newWebhookServer(settings *config.Config) (*webhook.Server, *certs.Rotator) {
	options := ctrlwebhook.Options{Port: settings.WebhookPort, CertDir: settings.WebhookCertDir}
	if settings.WebhookCertificates != config.WebhooksSelf {
		return webhook.NewServer(options), nil
	}
	rotator := &certs.Rotator{
		Clock:         clock.RealClock{},
		Key:           client.ObjectKey{Namespace: settings.WebhookNamespace, Name: settings.WebhookName},
		Configuration: settings.WebhookName,
		CRD:           crdName,
	}
	options.TLSOpts = []func(*tls.Config){func(c *tls.Config) { c.GetCertificate = rotator.GetCertificate }}
	return webhook.NewServer(options), rotator
}

// addWebhooks serves conversion and admission on every replica, with the certificate of the Rotator or, if it is nil, that of the
// server's directory.
func addWebhooks(mgr ctrl.Manager, rotator *certs.Rotator) error {
	if err := webhook.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("set up the webhooks: %w", err)
	}
	if err := mgr.AddReadyzCheck("webhooks", webhook.UntilStarted(mgr.GetWebhookServer().StartedChecker())); err != nil {
		return fmt.Errorf("add /readyz/webhooks: %w", err)
	}
	if rotator == nil {
		return nil
	}
	rotator.Client, rotator.APIReader = mgr.GetClient(), mgr.GetAPIReader()
	if err := rotator.SetupWithManager(mgr); err != nil {
		return err
	}
	if err := mgr.AddReadyzCheck("webhook-certificate", rotator.Ready); err != nil {
		return fmt.Errorf("add /readyz/webhook-certificate: %w", err)
	}
	return nil
}

// addPeers returns an error if another operator runs the same tests. The leader checks it again.
func addPeers(ctx context.Context, mgr ctrl.Manager, settings *config.Config, now clock.PassiveClock) error {
	operator := &peers.Operator{
		Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Clock: now, Log: ctrl.Log.WithName("peers"),
		Namespaces: settings.WatchNamespaces,
	}
	if settings.LeaderElect {
		operator.Lease = client.ObjectKey{Namespace: settings.Namespace, Name: settings.LeaderElectionID}
	}
	if err := operator.Check(ctx); err != nil {
		return err
	}
	if err := mgr.Add(operator); err != nil {
		return fmt.Errorf("add the check for other operators: %w", err)
	}
	return nil
}

// podDefaults returns the defaults for the pods of all tests.
func podDefaults(settings *config.Config, cluster meta.RESTMapper) (resources.PodDefaults, error) {
	defaults, err := resources.ParsePodDefaults(settings.PodDefaults)
	if err != nil {
		return defaults, fmt.Errorf("invalid settings: --pod-defaults: %w", err)
	}
	if errs := validation.ValidatePodDefaults(&defaults); len(errs) > 0 {
		return defaults, fmt.Errorf("invalid settings: --pod-defaults: %w", errs.ToAggregate())
	}
	defaults.PlatformUser = settings.PodUser == config.PodUserPlatform
	if settings.PodUser == config.PodUserAuto {
		_, err := cluster.RESTMapping(schema.GroupKind{Group: "security.openshift.io", Kind: "SecurityContextConstraints"})
		if err != nil && !meta.IsNoMatchError(err) {
			return defaults, fmt.Errorf("find out whether the cluster is OpenShift: %w", err)
		}
		defaults.PlatformUser = err == nil
	}
	return defaults, nil
}

// newPoller returns a Poller that connects to the masters directly in a cluster, and through the API server elsewhere; nil if
// polling is disabled.
func newPoller(settings *config.Config, cluster *rest.Config, observed *metrics.Metrics, now clock.PassiveClock) (*background.Poller, error) {
	if settings.PollInterval == 0 {
		return nil, nil
	}
	direct := settings.LocustAccess == config.AccessDirect
	if settings.LocustAccess == config.AccessAuto {
		_, err := rest.InClusterConfig()
		direct = err == nil
	}
	locustClient := locust.NewDirect()
	if !direct {
		var err error
		if locustClient, err = locust.NewProxy(cluster); err != nil {
			return nil, fmt.Errorf("set up the proxy client for Locust: %w", err)
		}
	}
	return background.NewPoller(locustClient, settings.PollInterval, settings.PollConcurrency, now, observed.Operator), nil
}

// authFilter returns a filter that serves the metrics to authorized clients only.
func authFilter(cluster *rest.Config, client *http.Client) (metricsserver.Filter, error) {
	filter, err := metrics.NewAuthFilter(cluster, client)
	if err != nil {
		return nil, fmt.Errorf("set up the metrics filter: %w", err)
	}
	return func(log logr.Logger, handler http.Handler) (http.Handler, error) {
		return filter.Handler(log, handler), nil
	}, nil
}

func newManager(settings *config.Config, webhooks ctrlwebhook.Server, now *serverclock.Clock) (ctrl.Manager, error) {
	// Reuse client-go's scheme, which is in memory anyway.
	scheme := clientgoscheme.Scheme
	utilruntime.Must(v1.AddToScheme(scheme))
	utilruntime.Must(v2.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))

	cluster, err := ctrl.GetConfig()
	if err != nil {
		return nil, fmt.Errorf("no cluster configured; run in a pod or set KUBECONFIG: %w", err)
	}
	// Compressed watches cost the API server and the operator more than they save on the network between them.
	cluster.DisableCompression = true
	cluster.Wrap(now.Observe)
	if qps := settings.KubeAPIQPS; qps > 0 {
		cluster.QPS, cluster.Burst = float32(qps), settings.KubeAPIBurst
		if cluster.Burst == 0 {
			cluster.Burst = max(1, int(2*qps))
		}
	}

	if settings.MetricsCertDir != "" {
		// Without the files the server would create a certificate that clients cannot verify.
		for _, name := range []string{"tls.crt", "tls.key"} {
			if _, err := os.Stat(filepath.Join(settings.MetricsCertDir, name)); err != nil {
				return nil, fmt.Errorf("invalid settings: --metrics-cert-dir must have tls.crt and tls.key: %w", err)
			}
		}
	}
	serving := metricsserver.Options{BindAddress: settings.MetricsAddress, SecureServing: settings.MetricsSecure, CertDir: settings.MetricsCertDir}
	if settings.MetricsSecure {
		serving.FilterProvider = authFilter
	}
	shutdown := 10 * time.Second
	mgr, err := ctrl.NewManager(cluster, ctrl.Options{
		Scheme:                        scheme,
		Cache:                         controllers.CacheOptions(settings.WatchNamespaces),
		Metrics:                       serving,
		HealthProbeBindAddress:        settings.ProbeAddress,
		PprofBindAddress:              settings.PprofAddress,
		WebhookServer:                 webhooks,
		LeaderElection:                settings.LeaderElect,
		LeaderElectionID:              settings.LeaderElectionID,
		LeaderElectionReleaseOnCancel: true,
		GracefulShutdownTimeout:       &shutdown,
	})
	if err != nil {
		return nil, fmt.Errorf("set up the manager: %w", err)
	}
	if err := mgr.AddHealthzCheck("healthz", healthz.Ping); err != nil {
		return nil, fmt.Errorf("add /healthz: %w", err)
	}
	if err := mgr.AddReadyzCheck("readyz", healthz.Ping); err != nil {
		return nil, fmt.Errorf("add /readyz: %w", err)
	}
	return mgr, nil
}
