package main

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

// krewTemplate is the manifest without the parts that differ between releases.
//
//go:embed krew.yaml
var krewTemplate []byte

// krewPlugin is a manifest of krew, https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest/.
type krewPlugin struct {
	APIVersion string       `json:"apiVersion"`
	Kind       string       `json:"kind"`
	Metadata   krewMetadata `json:"metadata"`
	Spec       krewSpec     `json:"spec"`
}

type krewMetadata struct {
	Name string `json:"name"`
}

type krewSpec struct {
	Version          string         `json:"version"`
	Homepage         string         `json:"homepage"`
	ShortDescription string         `json:"shortDescription"`
	Description      string         `json:"description"`
	Caveats          string         `json:"caveats"`
	Platforms        []krewPlatform `json:"platforms"`
}

// krewPlatform is an archive. Without a list of files, krew extracts all of them.
type krewPlatform struct {
	Selector krewSelector `json:"selector"`
	URI      string       `json:"uri"`
	SHA256   string       `json:"sha256"`
	Bin      string       `json:"bin"`
}

type krewSelector struct {
	MatchLabels map[string]string `json:"matchLabels"`
}

// krewManifest returns the manifest of a release whose archives can be downloaded below an address.
func krewManifest(program, version, address string, archives []string) ([]byte, error) {
	if len(archives) == 0 {
		return nil, errors.New("no archive")
	}
	var plugin krewPlugin
	if err := yaml.UnmarshalStrict(krewTemplate, &plugin); err != nil {
		return nil, fmt.Errorf("krew.yaml: %w", err)
	}
	plugin.Spec.Version = "v" + version
	for _, archive := range archives {
		platform, err := archivePlatform(archive, program, version)
		if err != nil {
			return nil, err
		}
		data, err := os.ReadFile(archive)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(data)
		plugin.Spec.Platforms = append(plugin.Spec.Platforms, krewPlatform{
			Selector: krewSelector{map[string]string{"os": platform.OS, "arch": platform.Architecture}},
			URI:      address + "/" + filepath.Base(archive), SHA256: hex.EncodeToString(sum[:]), Bin: executable(program, platform),
		})
	}
	return yaml.Marshal(plugin)
}
