package resources

import (
	"testing"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locustcli"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
)

func TestConfigFor_WebAPI(t *testing.T) {
	for name, row := range map[string]struct {
		args string
		vars []corev1.EnvVar
		want WebAPI
	}{
		"default":                  {want: WebAPI{Port: 8089}},
		"port":                     {args: "--web-port 9000", want: WebAPI{Port: 9000}},
		"port, short":              {args: "-P9000", want: WebAPI{Port: 9000}},
		"port by a variable":       {vars: []corev1.EnvVar{{Name: "LOCUST_WEB_PORT", Value: "9000"}}, want: WebAPI{Port: 9000}},
		"port that is none":        {args: "--web-port 70000", want: WebAPI{Port: 8089}},
		"port 0":                   {args: "--web-port 0", want: WebAPI{Port: 8089}},
		"port that is no number":   {args: "--web-port http", want: WebAPI{Port: 8089}},
		"base path":                {args: "--web-base-path /locust", want: WebAPI{Port: 8089, BasePath: "/locust"}},
		"base path with slash":     {args: "--web-base-path=/a/b/", want: WebAPI{Port: 8089, BasePath: "/a/b"}},
		"base path is the root":    {args: "--web-base-path /", want: WebAPI{Port: 8089}},
		"base path without slash":  {args: "--web-base-path locust", want: WebAPI{Port: 8089}},
		"base path not known":      {args: "--web-base-path /$(PATH)", want: WebAPI{Port: 8089}},
		"TLS":                      {args: "--tls-cert c --tls-key k", want: WebAPI{Port: 8089, TLS: true}},
		"TLS, half of it variable": {args: "--tls-cert c", vars: []corev1.EnvVar{{Name: "LOCUST_TLS_KEY", Value: "k"}}, want: WebAPI{Port: 8089, TLS: true}},
		"certificate without key":  {args: "--tls-cert c", want: WebAPI{Port: 8089}},
		"all interfaces":           {args: "--web-host *", want: WebAPI{Port: 8089}},
		"address of the pod":       {args: "--web-host $(POD_IP)", want: WebAPI{Port: 8089}},
		"loopback":                 {args: "--web-host 127.0.0.1", want: WebAPI{Port: 8089, Unreachable: "--web-host 127.0.0.1 makes the web API unreachable from outside the pod"}},
		"loopback by name":         {args: "--web-host=localhost", want: WebAPI{Port: 8089, Unreachable: "--web-host localhost makes the web API unreachable from outside the pod"}},
		"loopback, abbreviated":    {args: "--web-ho ::1", want: WebAPI{Port: 8089, Unreachable: "--web-host ::1 makes the web API unreachable from outside the pod"}},
		"loopback by a variable":   {vars: []corev1.EnvVar{{Name: "LOCUST_WEB_HOST", Value: "::1"}}, want: WebAPI{Port: 8089, Unreachable: "--web-host ::1 makes the web API unreachable from outside the pod"}},
		"headless":                 {args: "--headless --web-host localhost", want: WebAPI{Port: 8089, Unreachable: "Locust runs with --headless, which has no web API"}},
		"headless taken back":      {args: "--headless --headful", want: WebAPI{Port: 8089}},
		"login":                    {args: "--web-login", want: WebAPI{Port: 8089, Unreachable: "with --web-login the web API requires a login"}},
		"login by a variable":      {vars: []corev1.EnvVar{{Name: "LOCUST_WEB_LOGIN", Value: "true"}}, want: WebAPI{Port: 8089, Unreachable: "with --web-login the web API requires a login"}},
		"basic authentication":     {args: "--web-auth user:secret", want: WebAPI{Port: 8089, Unreachable: "with --web-auth the web API requires a login"}},
		"unreadable":               {args: "'", want: WebAPI{Port: 8089}},
	} {
		t.Run(name, func(t *testing.T) {
			test := builder.MakeShop(builder.Variables(row.vars...), func(s *v2.LocustTestSpec) { s.Master.Command += " " + row.args })
			assert.Equal(t, row.want, ConfigFor(&test.Spec).WebAPI)

			extra := builder.MakeShop(builder.Variables(row.vars...), func(s *v2.LocustTestSpec) { s.Master.ExtraArgs, _ = locustcli.Split(row.args) })
			if name != "base path not known" {
				assert.Equal(t, row.want, ConfigFor(&extra.Spec).WebAPI, "the same in extraArgs")
			}
		})
	}
}

func TestPorts_FollowTheWebPort(t *testing.T) {
	for port, want := range map[string]struct {
		target int32
		ports  []corev1.ContainerPort
	}{
		"9000": {9000, []corev1.ContainerPort{
			{Name: "master", ContainerPort: 5557, Protocol: "TCP"}, {Name: "master-bind", ContainerPort: 5558, Protocol: "TCP"}, {Name: "web", ContainerPort: 9000, Protocol: "TCP"},
		}},
		// Locust does not listen on 5558 any more, so its web UI can.
		"5558": {5558, []corev1.ContainerPort{
			{Name: "master", ContainerPort: 5557, Protocol: "TCP"}, {Name: "master-bind", ContainerPort: 5558, Protocol: "TCP"},
		}},
	} {
		t.Run(port, func(t *testing.T) {
			test := builder.MakeShop(func(s *v2.LocustTestSpec) { s.Master.Command += " --web-port " + port })
			assert.Equal(t, want.ports, container(masterOf(t, test)).Ports)
			assert.Equal(t, []corev1.ServicePort{
				{Name: "master", Protocol: "TCP", Port: 5557, TargetPort: intstr.FromInt32(5557)},
				{Name: "master-bind", Protocol: "TCP", Port: 5558, TargetPort: intstr.FromInt32(5558)},
				{Name: "web", Protocol: "TCP", Port: 8089, TargetPort: intstr.FromInt32(want.target)},
			}, BuildService(test).Spec.Ports)
		})
	}
}
