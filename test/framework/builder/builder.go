// Package builder makes the LocustTests of all tests: each test sets only what matters to it.
//
//	builder.MakeLocustTest("shop").Namespace("load").Workers(3).Obj()
//
// It imports only the API's types, so that tests inside of any package can use it.
package builder

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// LocustTest is a LocustTest in the making.
type LocustTest struct {
	test v2.LocustTest
}

// MakeLocustTest starts a valid LocustTest with 2 workers.
func MakeLocustTest(name string) *LocustTest {
	b := &LocustTest{}
	b.test.Name = name
	return b.Image("locustio/locust:2.47.0").Locustfile("/lotest/src/locustfile.py").Workers(2)
}

// MakeShop returns a minimal stored LocustTest with changes of its spec.
func MakeShop(changes ...func(*v2.LocustTestSpec)) *v2.LocustTest {
	return MakeLocustTest("shop.load").Namespace("perf").Stored("uid-1", 3, time.Time{}).
		Locustfile("/lotest/src/test.py").Args("--users 10").Workers(3).Spec(changes...).Obj()
}

// Obj returns the LocustTest.
func (b *LocustTest) Obj() *v2.LocustTest { return b.test.DeepCopy() }

// Namespace sets the namespace.
func (b *LocustTest) Namespace(namespace string) *LocustTest {
	b.test.Namespace = namespace
	return b
}

// Stored sets what the API server sets.
func (b *LocustTest) Stored(uid types.UID, generation int64, created time.Time) *LocustTest {
	b.test.UID, b.test.Generation, b.test.CreationTimestamp = uid, generation, metav1.NewTime(created)
	return b
}

// Image sets the image.
func (b *LocustTest) Image(image string) *LocustTest {
	b.test.Spec.Image = image
	return b
}

// Locustfile sets the commands of master and workers, without further arguments.
func (b *LocustTest) Locustfile(path string) *LocustTest {
	b.test.Spec.Master.Command = "--locustfile " + path
	b.test.Spec.Worker.Command = "--locustfile " + path
	return b
}

// Args adds arguments to the master's command.
func (b *LocustTest) Args(args string) *LocustTest {
	b.test.Spec.Master.Command += " " + args
	return b
}

// Workers sets the number of workers.
func (b *LocustTest) Workers(n int) *LocustTest {
	b.test.Spec.Worker.Replicas = int32(n)
	return b
}

// Autoquit ends Locust so many seconds after the load.
func (b *LocustTest) Autoquit(seconds int32) *LocustTest {
	b.test.Spec.Master.Autoquit = &v2.AutoquitConfig{Timeout: &seconds}
	return b
}

// Files mounts the locustfiles of a ConfigMap.
func (b *LocustTest) Files(configMap string) *LocustTest {
	b.test.Spec.TestFiles = &v2.TestFilesConfig{ConfigMapRef: configMap}
	return b
}

// Variable adds an environment variable.
func (b *LocustTest) Variable(name, value string) *LocustTest {
	if b.test.Spec.Env == nil {
		b.test.Spec.Env = &v2.EnvConfig{}
	}
	b.test.Spec.Env.Variables = append(b.test.Spec.Env.Variables, corev1.EnvVar{Name: name, Value: value})
	return b
}

// Nodes selects nodes by a label.
func (b *LocustTest) Nodes(label, value string) *LocustTest {
	b.test.Spec.Scheduling = &v2.SchedulingConfig{NodeSelector: map[string]string{label: value}}
	return b
}

// Spec applies changes that have no method.
func (b *LocustTest) Spec(changes ...func(*v2.LocustTestSpec)) *LocustTest {
	for _, change := range changes {
		change(&b.test.Spec)
	}
	return b
}
