package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework"
)

// request holds the fields that are decoded from a line of the API server's audit log.
type request struct {
	AuditID   string
	Stage     string
	Verb      string
	UserAgent string
	User      struct {
		Username string
		Extra    map[string][]string
	}
	ObjectRef      *struct{ Resource, Subresource, Namespace, Name string }
	ResponseStatus *struct{ Code int }
	ResponseObject *struct {
		Metadata struct{ UID, ResourceVersion string }
	}
}

// what returns the resource of the request, with its subresource.
func (r *request) resource() string {
	if r.ObjectRef.Subresource != "" {
		return r.ObjectRef.Resource + "/" + r.ObjectRef.Subresource
	}
	return r.ObjectRef.Resource
}

// pod returns the pod whose service account token authenticated the request.
func (r *request) pod() string {
	return strings.Join(r.User.Extra["authentication.kubernetes.io/pod-name"], "")
}

// auditLog reads new lines of the embedded cluster's audit log, also across rotations.
type auditLog struct {
	path string
	file *os.File
	rest []byte
}

func openAuditLog() (*auditLog, error) {
	cache := os.Getenv("LOCUST_OPERATOR_CACHE")
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, fmt.Errorf("find the cluster's folder; set LOCUST_OPERATOR_CACHE: %w", err)
		}
		cache = filepath.Join(home, ".cache", "locust-operator")
	}
	path := filepath.Join(cache, "cluster", "logs", "audit.log")
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the audit log of the embedded cluster; run make cluster-up: %w", err)
	}
	if _, err := file.Seek(0, io.SeekEnd); err != nil {
		return nil, fmt.Errorf("seek to the end of the audit log: %w", err)
	}
	return &auditLog{path: path, file: file}, nil
}

// read passes the wanted requests that were completed since the last call to got.
func (l *auditLog) read(wanted func(*request) bool, got func(*request)) error {
	for {
		if err := l.readFile(wanted, got); err != nil {
			return err
		}
		next, err := l.next()
		if err != nil || next == nil {
			return err
		}
		// Read the lines written before the rotation.
		if err := l.readFile(wanted, got); err != nil {
			return err
		}
		_ = l.file.Close()
		l.file, l.rest = next, nil
	}
}

func (l *auditLog) readFile(wanted func(*request) bool, got func(*request)) error {
	chunk, err := io.ReadAll(l.file)
	if err != nil {
		return fmt.Errorf("read the audit log: %w", err)
	}
	l.rest = append(l.rest, chunk...)
	for {
		line, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		if !whole {
			return nil
		}
		l.rest = rest
		r := &request{}
		if err := json.Unmarshal(line, r); err != nil {
			return fmt.Errorf("decode a line of the audit log: %w", err)
		}
		// A watch is logged twice, when it starts and when it ends.
		if r.ObjectRef != nil && (r.Stage == "ResponseComplete") == (r.Verb != "watch") && r.Stage != "Panic" && wanted(r) {
			got(r)
		}
	}
}

// next opens the new file after a rotation. It returns nil if there was none.
func (l *auditLog) next() (*os.File, error) {
	now, err := os.Stat(l.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("stat the audit log: %w", err)
	}
	old, err := l.file.Stat()
	if err != nil || os.SameFile(now, old) {
		return nil, err
	}
	file, err := os.Open(l.path)
	if err != nil {
		return nil, fmt.Errorf("open the next audit log: %w", err)
	}
	return file, nil
}

func (l *auditLog) close() { _ = l.file.Close() }

// counts summarize the requests of one client in the audit log.
type counts struct {
	// Requests is the number of requests by verb, resource and code.
	Requests map[string]int `json:"requests"`
	// Total is the number of all requests, Leases of those for the leader election Lease.
	Total  int `json:"total"`
	Leases int `json:"leases"`
	// StatusWrites is the number of accepted writes of a status, NoOpWrites of those that changed nothing.
	StatusWrites int `json:"statusWrites"`
	NoOpWrites   int `json:"noOpWrites"`
	// MostStatusWrites is the maximum number of status writes of one test.
	MostStatusWrites int `json:"mostStatusWrites"`
	// Conflicts is the number of writes that were refused because of an outdated resourceVersion.
	Conflicts int `json:"conflicts"`
	// RefusedCreates is the number of creates of objects that already existed.
	RefusedCreates int `json:"refusedCreates"`
	// MainWrites is the number of writes of the LocustTest itself.
	MainWrites int `json:"mainWrites"`

	versions map[string]string
	writes   map[string]int
}

func newCounts() *counts {
	return &counts{Requests: map[string]int{}, versions: map[string]string{}, writes: map[string]int{}}
}

func (c *counts) add(r *request) {
	code := 0
	if r.ResponseStatus != nil {
		code = r.ResponseStatus.Code
	}
	resource := r.resource()
	c.Requests[fmt.Sprintf("%s %s %d", r.Verb, resource, code)]++
	c.Total++
	reads := r.Verb == "get" || r.Verb == "list" || r.Verb == "watch"
	switch {
	case resource == "leases":
		c.Leases++
	case r.Verb == "create" && code == 409:
		c.RefusedCreates++
	case code == 409:
		c.Conflicts++
	case resource == "locusttests" && !reads:
		c.MainWrites++
	case resource == "locusttests/status" && code == 200 && r.ResponseObject != nil:
		c.StatusWrites++
		uid, version := r.ResponseObject.Metadata.UID, r.ResponseObject.Metadata.ResourceVersion
		if c.versions[uid] == version {
			c.NoOpWrites++
		}
		c.versions[uid] = version
		c.writes[uid]++
		c.MostStatusWrites = max(c.MostStatusWrites, c.writes[uid])
	}
}

// follow reads the log until stop is closed, and once more a second later, because the log is written after the responses.
func (l *auditLog) follow(stop <-chan struct{}, wanted func(*request) bool, got func(*request)) error {
	for {
		select {
		case <-stop:
			time.Sleep(time.Second)
			return l.read(wanted, got)
		case <-time.After(500 * time.Millisecond):
			if err := l.read(wanted, got); err != nil {
				return err
			}
		}
	}
}

// byAgent selects the requests of a user agent.
func byAgent(agent string) func(*request) bool {
	return func(r *request) bool { return strings.HasPrefix(r.UserAgent, agent) }
}

// byUser selects the requests of a user.
func byUser(name string) func(*request) bool {
	return func(r *request) bool { return r.User.Username == name }
}

// byPod selects the requests of one pod of the operator.
func byPod(name string) func(*request) bool {
	return func(r *request) bool { return r.User.Username == framework.OperatorUser && r.pod() == name }
}
