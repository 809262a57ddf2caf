package resources

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	podsecurity "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
)

// The evaluator is the one of the API server's PodSecurity admission.
func TestPodsPassTheRestrictedStandard(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	require.NoError(t, err)
	restricted := podsecurity.LevelVersion{Level: podsecurity.LevelRestricted, Version: podsecurity.LatestVersion()}

	for name, test := range map[string]*v2.LocustTest{"smallest": builder.MakeShop(), "everything": builder.MakeShop(builder.Everything)} {
		for _, job := range []*batchv1.Job{masterOf(t, test), workerOf(t, test)} {
			if name == "everything" {
				job.Spec.Template.Spec.Volumes = nil // the user's own volume has no source here
			}
			result := policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &job.Spec.Template.ObjectMeta, &job.Spec.Template.Spec))
			assert.True(t, result.Allowed, "%s %s: %s", name, job.Name, result.ForbiddenDetail())
		}
	}
}

func TestSecurityContexts(t *testing.T) {
	const (
		seccomp     = `"seccompProfile":{"type":"RuntimeDefault"}`
		locust      = `{"runAsUser":1000,"runAsGroup":1000,"runAsNonRoot":true,` + seccomp + `}`
		unprivil    = `{"capabilities":{"drop":["ALL"]},"allowPrivilegeEscalation":false}`
		seccompOnly = `{` + seccomp + `}`
	)
	type podContext = corev1.PodSecurityContext
	type context = corev1.SecurityContext

	for name, row := range map[string]struct {
		pod                    *podContext
		container              *context
		wantPod, wantContainer string
	}{
		"defaults":                       {nil, nil, locust, unprivil},
		"empty contexts":                 {&podContext{}, &context{}, locust, unprivil},
		"own group":                      {&podContext{RunAsGroup: new(int64(0))}, nil, `{"runAsUser":1000,"runAsGroup":0,"runAsNonRoot":true,` + seccomp + `}`, unprivil},
		"own user":                       {&podContext{RunAsUser: new(int64(7))}, nil, `{"runAsUser":7,"runAsNonRoot":true,` + seccomp + `}`, unprivil},
		"root":                           {&podContext{RunAsUser: new(int64(0))}, nil, `{"runAsUser":0,` + seccomp + `}`, unprivil},
		"the platform assigns the user":  {&podContext{RunAsNonRoot: new(true)}, nil, `{"runAsNonRoot":true,` + seccomp + `}`, unprivil},
		"the image's user, even root":    {&podContext{RunAsNonRoot: new(false)}, nil, `{"runAsNonRoot":false,` + seccomp + `}`, unprivil},
		"own seccomp":                    {&podContext{RunAsNonRoot: new(true), SeccompProfile: &corev1.SeccompProfile{Type: "Unconfined"}}, nil, `{"runAsNonRoot":true,"seccompProfile":{"type":"Unconfined"}}`, unprivil},
		"root in the container only":     {nil, &context{RunAsUser: new(int64(0))}, seccompOnly, `{"capabilities":{"drop":["ALL"]},"runAsUser":0,"allowPrivilegeEscalation":false}`},
		"user in the container only":     {&podContext{RunAsUser: new(int64(0))}, &context{RunAsUser: new(int64(7))}, `{"runAsUser":0,"runAsNonRoot":true,` + seccomp + `}`, `{"capabilities":{"drop":["ALL"]},"runAsUser":7,"allowPrivilegeEscalation":false}`},
		"not root in the container only": {nil, &context{RunAsNonRoot: new(true)}, seccompOnly, `{"capabilities":{"drop":["ALL"]},"runAsNonRoot":true,"allowPrivilegeEscalation":false}`},
		"Windows":                        {&podContext{WindowsOptions: &corev1.WindowsSecurityContextOptions{}}, nil, `{"windowsOptions":{},` + seccomp + `}`, unprivil},
		"privileged":                     {nil, &context{Privileged: new(true)}, locust, `{"privileged":true}`},
		"not privileged":                 {nil, &context{Privileged: new(false)}, locust, `{"capabilities":{"drop":["ALL"]},"privileged":false,"allowPrivilegeEscalation":false}`},
		"own capabilities":               {nil, &context{Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"NET_RAW"}}}, locust, `{"capabilities":{"add":["NET_RAW"]},"allowPrivilegeEscalation":false}`},
		"system administrator":           {nil, &context{Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"CAP_SYS_ADMIN"}}}, locust, `{"capabilities":{"add":["CAP_SYS_ADMIN"]}}`},
		"escalation allowed":             {nil, &context{AllowPrivilegeEscalation: new(true)}, locust, `{"capabilities":{"drop":["ALL"]},"allowPrivilegeEscalation":true}`},
	} {
		t.Run(name, func(t *testing.T) {
			job := workerOf(t, builder.MakeShop(func(s *v2.LocustTestSpec) {
				s.Security = &v2.SecurityConfig{PodSecurityContext: row.pod, ContainerSecurityContext: row.container}
			}))
			assert.JSONEq(t, row.wantPod, asJSON(t, job.Spec.Template.Spec.SecurityContext))
			assert.JSONEq(t, row.wantContainer, asJSON(t, container(job).SecurityContext))
		})
	}
}
