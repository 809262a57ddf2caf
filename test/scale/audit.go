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
)

// request is what is read of a line of the API server's audit log.
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

// what is the kind of the request's object, with its subresource.
func (r *request) what() string {
	if r.ObjectRef.Subresource != "" {
		return r.ObjectRef.Resource + "/" + r.ObjectRef.Subresource
	}
	return r.ObjectRef.Resource
}

// pod is the pod whose token the request carried; the API server notes it.
func (r *request) pod() string {
	return strings.Join(r.User.Extra["authentication.kubernetes.io/pod-name"], "")
}

// auditLog reads the log of the embedded cluster's API server from now on, also where the API server turns to a new file.
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
		return nil, fmt.Errorf("go to the end of the audit log: %w", err)
	}
	return &auditLog{path: path, file: file}, nil
}

// read gives all requests that were finished since the last call and are wanted.
func (l *auditLog) read(wanted func(*request) bool, got func(*request)) error {
	for {
		if err := l.readFile(wanted, got); err != nil {
			return err
		}
		next, err := l.next()
		if err != nil || next == nil {
			return err
		}
		// What came before the API server turned to the new file.
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
		one := &request{}
		if err := json.Unmarshal(line, one); err != nil {
			return fmt.Errorf("decode a line of the audit log: %w", err)
		}
		// A watch is logged when it starts and when it ends.
		if one.ObjectRef != nil && (one.Stage == "ResponseComplete") == (one.Verb != "watch") && one.Stage != "Panic" && wanted(one) {
			got(one)
		}
	}
}

// next is the new file when the API server has begun one.
func (l *auditLog) next() (*os.File, error) {
	now, err := os.Stat(l.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for the audit log: %w", err)
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

// counts are what the audit log tells of one client.
type counts struct {
	// Requests by verb, resource and code.
	Requests map[string]int `json:"requests"`
	// Total is all of them, Leases those that keep the leader's lease.
	Total  int `json:"total"`
	Leases int `json:"leases"`
	// StatusWrites are the accepted writes of a status, NoOpWrites those of them that changed nothing.
	StatusWrites int `json:"statusWrites"`
	NoOpWrites   int `json:"noOpWrites"`
	// MostStatusWrites is the most that one test took.
	MostStatusWrites int `json:"mostStatusWrites"`
	// Conflicts are writes that were refused because they were made from an old state.
	Conflicts int `json:"conflicts"`
	// RefusedCreates are creates of what existed already.
	RefusedCreates int `json:"refusedCreates"`
	// MainWrites are writes of the LocustTest itself.
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
	what := r.what()
	c.Requests[fmt.Sprintf("%s %s %d", r.Verb, what, code)]++
	c.Total++
	reads := r.Verb == "get" || r.Verb == "list" || r.Verb == "watch"
	switch {
	case what == "leases":
		c.Leases++
	case r.Verb == "create" && code == 409:
		c.RefusedCreates++
	case code == 409:
		c.Conflicts++
	case what == "locusttests" && !reads:
		c.MainWrites++
	case what == "locusttests/status" && code == 200 && r.ResponseObject != nil:
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

// follow reads the log until stop is closed, and once more a moment after: the log is written behind the responses.
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

// byAgent wants the requests of a user agent.
func byAgent(agent string) func(*request) bool {
	return func(r *request) bool { return strings.HasPrefix(r.UserAgent, agent) }
}

// byUser wants the requests of a user.
func byUser(name string) func(*request) bool {
	return func(r *request) bool { return r.User.Username == name }
}

// byPod wants the requests of one pod of the operator.
func byPod(name string) func(*request) bool {
	return func(r *request) bool { return r.User.Username == operatorUser && r.pod() == name }
}
