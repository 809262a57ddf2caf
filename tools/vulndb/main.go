// Vulndb creates a database for govulncheck from a checkout of golang.org/x/vulndb: the entries, and the index that
// govulncheck reads first (https://go.dev/doc/security/vuln/database, "API").
//
//	vulndb FOLDER_OF_ENTRIES DATABASE
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"time"

	"golang.org/x/mod/semver"
)

// entry has the needed fields of an entry in the OSV format (https://ossf.github.io/osv-schema).
type entry struct {
	ID        string     `json:"id"`
	Modified  time.Time  `json:"modified"`
	Withdrawn *time.Time `json:"withdrawn"`
	Affected  []struct {
		Package struct {
			Name string `json:"name"`
		} `json:"package"`
		Ranges []struct {
			Events []struct {
				Fixed string `json:"fixed"`
			} `json:"events"`
		} `json:"ranges"`
	} `json:"affected"`
}

type module struct {
	Path  string `json:"path"`
	Vulns []vuln `json:"vulns"`
}

type vuln struct {
	ID       string    `json:"id"`
	Modified time.Time `json:"modified"`
	// Fixed is the latest version with a fix; empty if there is none.
	Fixed string `json:"fixed,omitempty"`
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: vulndb FOLDER_OF_ENTRIES DATABASE")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "vulndb:", err)
		os.Exit(1)
	}
}

func run(from, to string) error {
	names, err := filepath.Glob(filepath.Join(from, "GO-*.json"))
	if err != nil || len(names) == 0 {
		return fmt.Errorf("no entries in %s: %w", from, err)
	}
	for _, folder := range []string{"ID", "index"} {
		if err := os.MkdirAll(filepath.Join(to, folder), 0o755); err != nil {
			return err
		}
	}
	modules := map[string]*module{}
	var newest time.Time
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		var e entry
		if err := json.Unmarshal(raw, &e); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if e.Withdrawn != nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(to, "ID", e.ID+".json"), raw, 0o600); err != nil {
			return err
		}
		if e.Modified.After(newest) {
			newest = e.Modified
		}
		index(modules, &e)
	}
	return writeIndex(to, newest, modules)
}

// index adds the entry to the affected modules.
func index(modules map[string]*module, e *entry) {
	for _, affected := range e.Affected {
		m := modules[affected.Package.Name]
		if m == nil {
			m = &module{Path: affected.Package.Name}
			modules[m.Path] = m
		}
		fixed := ""
		for _, r := range affected.Ranges {
			for _, event := range r.Events {
				if event.Fixed != "" && semver.Compare("v"+event.Fixed, "v"+fixed) > 0 {
					fixed = event.Fixed
				}
			}
		}
		m.Vulns = append(m.Vulns, vuln{ID: e.ID, Modified: e.Modified, Fixed: fixed})
	}
}

func writeIndex(to string, newest time.Time, modules map[string]*module) error {
	list := make([]*module, 0, len(modules))
	for _, m := range modules {
		list = append(list, m)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Path < list[j].Path })
	for name, content := range map[string]any{"db.json": map[string]time.Time{"modified": newest}, "modules.json": list} {
		raw, err := json.Marshal(content)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, "index", name), raw, 0o600); err != nil {
			return err
		}
	}
	return nil
}
