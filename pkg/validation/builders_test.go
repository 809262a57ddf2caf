package validation

import (
	"time"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
)

type edit = func(*v2.LocustTestSpec)

// makeTest returns a minimal valid test with the edits applied.
func makeTest(edits ...edit) *v2.LocustTest {
	return builder.MakeLocustTest("shop.load").Namespace("perf").Stored("uid-1", 3, time.Time{}).
		Locustfile("/lotest/src/test.py").Args("--users 10").Workers(3).Spec(edits...).Obj()
}
