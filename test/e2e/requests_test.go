//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/types"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework"
)

// auditEvent holds the fields that are decoded from a line of the API server's audit log.
type auditEvent struct {
	Verb           string
	User           struct{ Username string }
	ObjectRef      *struct{ Resource, Subresource, Namespace, Name string }
	ResponseStatus *struct{ Code int }
	ResponseObject *struct {
		Metadata struct{ UID, ResourceVersion string }
	}
}

// auditLog returns the path of the embedded cluster's audit log, or "" on other clusters.
func auditLog() string {
	if os.Getenv("LOCAL") == "0" {
		return ""
	}
	home, _ := os.UserHomeDir()
	cache := envOr("LOCUST_OPERATOR_CACHE", filepath.Join(home, ".cache", "locust-operator"))
	return filepath.Join(cache, "cluster", "logs", "audit.log")
}

// requests returns the operator's requests in a namespace from the audit log.
func requests(t *testing.T, namespace string) []auditEvent {
	t.Helper()
	file, err := os.Open(auditLog())
	if !assert.NoError(t, err, "the audit log; with a cluster of your own set LOCAL=0") {
		return nil
	}
	defer func() { _ = file.Close() }()
	var events []auditEvent
	// A Scanner would need a too large buffer for the lines of lists of large tests.
	for lines := bufio.NewReader(file); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			assert.ErrorIs(t, err, io.EOF)
			return events
		}
		if !bytes.Contains(line, []byte(namespace)) {
			continue
		}
		var e auditEvent
		if json.Unmarshal(line, &e) == nil && e.User.Username == framework.OperatorUser &&
			e.ObjectRef != nil && e.ObjectRef.Namespace == namespace {
			events = append(events, e)
		}
	}
}

// checkRequests checks section 5 of the contract in one namespace: no create that fails with AlreadyExists, no status write
// without a change, at most 8 status writes per test besides throttled progress, and no writes of the main object.
// The limit of writes does not apply to tests with injected faults, because these have more transitions.
func checkRequests(t *testing.T, namespace string) {
	t.Helper()
	if auditLog() == "" {
		return
	}
	time.Sleep(time.Second) // the log is written after the responses
	byKind := map[string]int{}
	versions := map[string]string{}
	writes := map[string]int{}
	for _, e := range requests(t, namespace) {
		resource := e.ObjectRef.Resource
		if e.ObjectRef.Subresource != "" {
			resource += "/" + e.ObjectRef.Subresource
		}
		code := 0
		if e.ResponseStatus != nil {
			code = e.ResponseStatus.Code
		}
		byKind[fmt.Sprintf("%s %s %d", e.Verb, resource, code)]++
		assert.False(t, e.Verb == "create" && code == 409, "create of %s %s failed with AlreadyExists", resource, e.ObjectRef.Name)
		released := resource == "locusttests" && e.Verb == "patch" && watcher.IsFromOperator2(namespace) // its finalizer
		assert.False(t, !released && resource == "locusttests" && e.Verb != "get" && e.Verb != "list" && e.Verb != "watch", "the main object %s was written: %s", e.ObjectRef.Name, e.Verb)
		if resource == "locusttests/status" && code == 200 && e.ResponseObject != nil {
			uid, version := e.ResponseObject.Metadata.UID, e.ResponseObject.Metadata.ResourceVersion
			assert.NotEqual(t, versions[uid], version, "a status write of %s changed nothing", e.ObjectRef.Name)
			versions[uid] = version
			writes[uid]++
		}
	}
	most := 0
	for uid, n := range writes {
		most = max(most, n-refreshes(types.UID(uid)))
	}
	if !disturbed.has(t) && !assert.LessOrEqual(t, most, 8, "status writes of one test") {
		for uid := range writes {
			for _, observation := range watcher.History(types.UID(uid)) {
				t.Logf("%s %s", observation.At.Format("15:04:05.000"), framework.Describe(&observation.Test.Status))
			}
		}
	}
	var kinds []string
	total := 0
	for kind, n := range byKind {
		kinds = append(kinds, fmt.Sprintf("%s: %d", kind, n))
		total += n
	}
	sort.Strings(kinds)
	t.Logf("%d requests for %d tests, at most %d status writes: %s", total, len(writes), most, strings.Join(kinds, ", "))
}

// refreshes returns the number of throttled writes of a test that changed only counters and messages.
func refreshes(uid types.UID) int {
	n := 0
	history := watcher.History(uid)
	for i := 1; i < len(history); i++ {
		if status.Compare(&history[i-1].Test.Status, &history[i].Test.Status) == status.Refresh {
			n++
		}
	}
	return n
}

// disturbances is the set of tests with injected faults, which have more transitions than a regular run.
type disturbances struct {
	mu    sync.Mutex
	names map[string]bool
}

func (d *disturbances) add(t *testing.T) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names == nil {
		d.names = map[string]bool{}
	}
	d.names[t.Name()] = true
}

func (d *disturbances) has(t *testing.T) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.names[t.Name()]
}

var disturbed disturbances
