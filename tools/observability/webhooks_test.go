package observability

import (
	"flag"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/config"
)

// crd has the tested fields of the CRD.
type crd struct {
	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     struct {
		Conversion struct {
			Webhook struct {
				ClientConfig admissionregistrationv1.WebhookClientConfig `json:"clientConfig"`
			} `json:"webhook"`
		} `json:"conversion"`
	} `json:"spec"`
}

// certificate has the tested fields of cert-manager's Certificate and Issuer.
type certificate struct {
	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     struct {
		DNSNames   []string `json:"dnsNames"`
		SecretName string   `json:"secretName"`
		IssuerRef  struct {
			Name string `json:"name"`
		} `json:"issuerRef"`
		CA struct {
			SecretName string `json:"secretName"`
		} `json:"ca"`
	} `json:"spec"`
}

// find returns the object with the wanted name.
func find[T any](t *testing.T, all []T, name func(T) string, wanted string) T {
	t.Helper()
	for _, object := range all {
		if name(object) == wanted {
			return object
		}
	}
	require.Failf(t, "no such object", "%q of %d", wanted, len(all))
	var none T
	return none
}

// settingsOf returns the operator's settings in a Deployment.
func settingsOf(t *testing.T, d *appsv1.Deployment) *config.Config {
	t.Helper()
	fs := flag.NewFlagSet("manager", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	settings, err := config.Load(fs, d.Spec.Template.Spec.Containers[0].Args, func(name string) string {
		return map[string]string{"LOCUST_OPERATOR_WEBHOOK_NAMESPACE": d.Namespace}[name]
	})
	require.NoError(t, err)
	return settings
}

// TestWebhooks_ReachOperator: in each overlay both webhooks reach the port that the operator listens on.
func TestWebhooks_ReachOperator(t *testing.T) {
	for _, overlay := range []string{"default", "cert-manager"} {
		t.Run(overlay, func(t *testing.T) {
			all := render(t, overlay)
			d := only[appsv1.Deployment](t, all, "apps/v1", "Deployment")
			settings := settingsOf(t, &d)
			definition := lenient[crd](t, all, "CustomResourceDefinition")[0]
			configuration := only[admissionregistrationv1.ValidatingWebhookConfiguration](t, all, "admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration")
			require.Len(t, configuration.Webhooks, 1)
			for _, ref := range []*admissionregistrationv1.ServiceReference{
				definition.Spec.Conversion.Webhook.ClientConfig.Service, configuration.Webhooks[0].ClientConfig.Service,
			} {
				require.NotNil(t, ref)
				service := find(t, decode[corev1.Service](t, all, "v1", "Service"), func(s corev1.Service) string { return s.Namespace + "/" + s.Name }, ref.Namespace+"/"+ref.Name)
				assert.True(t, labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(d.Spec.Template.Labels)), "the Service selects the operator's pod")
				port := find(t, d.Spec.Template.Spec.Containers[0].Ports, func(p corev1.ContainerPort) string { return p.Name }, service.Spec.Ports[0].TargetPort.String())
				assert.EqualValues(t, settings.WebhookPort, port.ContainerPort)
				assert.EqualValues(t, 443, service.Spec.Ports[0].Port, "the port that the API server calls")
			}
		})
	}
}

// TestWebhooks_OwnCertificate: the names in the operator's settings are those of the objects, and the operator may access them.
func TestWebhooks_OwnCertificate(t *testing.T) {
	all := render(t, "default")
	d := only[appsv1.Deployment](t, all, "apps/v1", "Deployment")
	settings := settingsOf(t, &d)
	assert.Equal(t, config.WebhooksSelf, settings.WebhookCertificates)
	configuration := only[admissionregistrationv1.ValidatingWebhookConfiguration](t, all, "admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration")
	assert.Equal(t, settings.WebhookName, configuration.Name)
	assert.Equal(t, settings.WebhookName, configuration.Webhooks[0].ClientConfig.Service.Name)
	assert.Equal(t, settings.WebhookNamespace, configuration.Webhooks[0].ClientConfig.Service.Namespace)

	roles := decode[rbacv1.ClusterRole](t, all, rbacv1.SchemeGroupVersion.String(), "ClusterRole")
	trust := find(t, roles, func(r rbacv1.ClusterRole) string { return r.Name }, "locust-k8s-operator-webhook-trust")
	may := map[string][]string{}
	for _, rule := range trust.Rules {
		may[rule.Resources[0]] = rule.ResourceNames
	}
	assert.Equal(t, map[string][]string{
		"customresourcedefinitions": {"locusttests.locust.io"}, "validatingwebhookconfigurations": {settings.WebhookName},
	}, may, "the operator may change nothing else in the cluster")
	own := find(t, decode[rbacv1.Role](t, all, rbacv1.SchemeGroupVersion.String(), "Role"), func(r rbacv1.Role) string { return r.Name }, "locust-k8s-operator-webhook-certificate")
	assert.Equal(t, settings.WebhookNamespace, own.Namespace)
	assert.Equal(t, []string{settings.WebhookName}, own.Rules[0].ResourceNames)
}

// TestWebhooks_CertManager: the certificate is for the Service and mounted in the operator's folder, and its CA is injected
// into the CA bundles.
func TestWebhooks_CertManager(t *testing.T) {
	all := render(t, "cert-manager")
	d := only[appsv1.Deployment](t, all, "apps/v1", "Deployment")
	settings := settingsOf(t, &d)
	assert.Equal(t, config.WebhooksFiles, settings.WebhookCertificates)

	byName := func(c certificate) string { return c.Metadata.Name }
	certificates, issuers := lenient[certificate](t, all, "Certificate"), lenient[certificate](t, all, "Issuer")
	configuration := only[admissionregistrationv1.ValidatingWebhookConfiguration](t, all, "admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration")
	ref := configuration.Webhooks[0].ClientConfig.Service
	const inject = "cert-manager.io/inject-ca-from"
	_, name, _ := strings.Cut(configuration.Annotations[inject], "/")
	leaf := find(t, certificates, byName, name)
	assert.Equal(t, leaf.Metadata.Namespace+"/"+leaf.Metadata.Name, configuration.Annotations[inject])
	assert.Equal(t, configuration.Annotations[inject], lenient[crd](t, all, "CustomResourceDefinition")[0].Metadata.Annotations[inject])
	host := ref.Name + "." + ref.Namespace + ".svc"
	assert.Equal(t, []string{host, host + ".cluster.local"}, leaf.Spec.DNSNames)

	issuer := find(t, issuers, byName, leaf.Spec.IssuerRef.Name)
	authority := find(t, certificates, func(c certificate) string { return c.Spec.SecretName }, issuer.Spec.CA.SecretName)
	find(t, issuers, byName, authority.Spec.IssuerRef.Name)

	volume := find(t, d.Spec.Template.Spec.Volumes, func(v corev1.Volume) string {
		if v.Secret == nil {
			return ""
		}
		return v.Secret.SecretName
	}, leaf.Spec.SecretName)
	mount := find(t, d.Spec.Template.Spec.Containers[0].VolumeMounts, func(m corev1.VolumeMount) string { return m.Name }, volume.Name)
	assert.Equal(t, settings.WebhookCertDir, mount.MountPath)
}
