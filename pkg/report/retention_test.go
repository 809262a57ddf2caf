package report

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

func TestRetention_Spec(t *testing.T) {
	for name, row := range map[string]struct {
		report   *v2.ReportConfig
		retained bool
		limit    int
	}{
		"none":           {nil, false, 10},
		"empty":          {&v2.ReportConfig{}, false, 10},
		"retain":         {&v2.ReportConfig{Retain: true}, true, 10},
		"with a limit":   {&v2.ReportConfig{Retain: true, HistoryLimit: new(int32(1))}, true, 1},
		"only the limit": {&v2.ReportConfig{HistoryLimit: new(int32(3))}, false, 3},
	} {
		t.Run(name, func(t *testing.T) {
			test := &v2.LocustTest{Spec: v2.LocustTestSpec{Report: row.report}}
			assert.Equal(t, row.retained, Retained(test))
			assert.Equal(t, row.limit, HistoryLimit(test))
		})
	}
}

func TestExcess(t *testing.T) {
	at := func(name string, seconds int) metav1.PartialObjectMetadata {
		return metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Name: name, CreationTimestamp: metav1.NewTime(started.Add(time.Duration(seconds) * time.Second)),
		}}
	}
	owned := at("owned", 0)
	owned.OwnerReferences = []metav1.OwnerReference{{UID: "test"}}
	reports := []metav1.PartialObjectMetadata{at("third", 3), owned, at("second-b", 2), at("first", 1), at("second-a", 2)}
	for limit, want := range map[int][]string{
		1: {"first", "second-a", "second-b"}, 2: {"first", "second-a"}, 3: {"first"}, 4: {}, 5: {}, 1000: {},
		0: {"first", "second-a", "second-b", "third"},
	} {
		names := []string{}
		for _, r := range Excess(reports, "", limit) {
			names = append(names, r.Name)
		}
		assert.Equal(t, want, names, "limit %d", limit)
	}
	kept := Excess(reports, "first", 2)
	assert.Equal(t, []string{"second-a", "second-b"}, []string{kept[0].Name, kept[1].Name}, "the report of the existing test stays, however old it is")
	assert.Len(t, kept, 2)
	assert.Equal(t, "third", reports[0].Name, "the list is not modified")
	assert.Equal(t, "owned", reports[1].Name, "the list is not modified")
	assert.Empty(t, Excess(nil, "", 1))
}
