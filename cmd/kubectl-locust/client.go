package main

import (
	"fmt"
	"io"

	"github.com/go-logr/logr"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/cmd/kubectl-locust/terminal"
)

// newScheme returns the types that the commands read and write. client-go's scheme has all of Kubernetes, and makes each start slower.
func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, batchv1.AddToScheme, v1alpha1.AddToScheme, v2.AddToScheme} {
		utilruntime.Must(add(scheme))
	}
	return scheme
}

// newMapper returns the resources of the scheme's types that the commands use, so that no discovery is needed.
func newMapper() meta.RESTMapper {
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, kind := range []schema.GroupVersionKind{
		v2.GroupVersion.WithKind("LocustTest"), v1alpha1.GroupVersion.WithKind("LocustReport"),
		corev1.SchemeGroupVersion.WithKind("ConfigMap"), corev1.SchemeGroupVersion.WithKind("Pod"), batchv1.SchemeGroupVersion.WithKind("Job"),
	} {
		mapper.Add(kind, meta.RESTScopeNamespace)
	}
	return mapper
}

// restConfig returns the connection that the flags and the kubeconfig select.
func (a *app) restConfig() (*rest.Config, error) {
	config, err := a.flags.ToRESTConfig()
	if err != nil {
		return nil, kubeconfigError(err)
	}
	config.UserAgent = "kubectl-locust/" + pluginVersion()
	config.WarningHandler = warningPrinter{a.ErrOut}
	// client-go's default of 5 requests per second is for controllers, and delays the logs of many pods.
	config.QPS, config.Burst = 50, 200
	return config, nil
}

// streamConfig is like restConfig, for requests that last: --request-timeout would end them.
func (a *app) streamConfig() (*rest.Config, error) {
	config, err := a.restConfig()
	if err != nil {
		return nil, err
	}
	config.Timeout = 0
	return config, nil
}

// rawClient returns a client for what is no object: logs, the discovery and the version of the API server.
func rawClient(config *rest.Config) (*rest.RESTClient, error) {
	raw := rest.CopyConfig(config)
	raw.NegotiatedSerializer = serializer.NewCodecFactory(newScheme()).WithoutConversion()
	return rest.UnversionedRESTClientFor(raw)
}

// client returns a client for LocustTests, LocustReports, ConfigMaps, Pods and Jobs. Manifests with other kinds need manifestClient.
func (a *app) client() (client.WithWatch, error) {
	config, err := a.restConfig()
	if err != nil {
		return nil, err
	}
	c, err := newClient(config, newMapper())
	if err != nil {
		return nil, err
	}
	return clusterClient{c, a}, nil
}

// connect returns a client, and the namespace of the command.
func (a *app) connect() (client.WithWatch, string, error) {
	c, err := a.client()
	if err != nil {
		return nil, "", err
	}
	namespace, err := a.namespace()
	return c, namespace, err
}

// clusterClient is a client with the flags that have selected its cluster, so that errors suggest commands for the same one.
type clusterClient struct {
	client.WithWatch
	flags connectionFlagger
}

// connectionFlagger returns the flags that select a namespace.
type connectionFlagger interface {
	connectionFlags(namespace string) string
}

func (c clusterClient) connectionFlags(namespace string) string {
	return c.flags.connectionFlags(namespace)
}

// flagsFor returns the flags that select a namespace of a client's cluster.
func flagsFor(c client.Client, namespace string) string {
	if cluster, known := c.(connectionFlagger); known {
		return cluster.connectionFlags(namespace)
	}
	return " -n " + namespace
}

// newClient returns a client. Without a mapper it discovers the resources of each API group that it is used for.
func newClient(config *rest.Config, mapper meta.RESTMapper) (client.WithWatch, error) {
	// controller-runtime prints a warning if no logger is set.
	log.SetLogger(logr.Discard())
	return client.NewWithWatch(config, client.Options{Scheme: newScheme(), Mapper: mapper})
}

// warningPrinter prints the warnings of the API server and of the operator's webhook.
type warningPrinter struct{ out io.Writer }

// HandleWarningHeader implements rest.WarningHandler.
func (w warningPrinter) HandleWarningHeader(code int, _ string, text string) {
	const miscellaneous = 299 // the only code that the API server uses
	if code == miscellaneous && text != "" {
		fmt.Fprintln(w.out, "warning: "+terminal.Safe(text))
	}
}

// namespace returns the namespace of --namespace, or else of the kubeconfig.
func (a *app) namespace() (string, error) {
	namespace, _, err := a.flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return "", kubeconfigError(err)
	}
	return namespace, nil
}

func kubeconfigError(err error) error {
	return fmt.Errorf("read the kubeconfig: %w\nCheck --kubeconfig, KUBECONFIG and --context; kubectl config get-contexts, with the same --kubeconfig, lists the contexts", err)
}
