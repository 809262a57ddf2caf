// Package config renders the configuration of every component. It does not inspect
// the machine.
package config

import (
	"bytes"
	"encoding/json"
	"fmt"

	"sigs.k8s.io/yaml"
)

// ProxyMode is the mode of kube-proxy.
type ProxyMode string

// The supported modes of kube-proxy.
const (
	ProxyNFTables ProxyMode = "nftables"
	ProxyIPTables ProxyMode = "iptables"
)

// ParseProxyMode parses a mode; empty means nftables.
func ParseProxyMode(text string) (ProxyMode, error) {
	switch mode := ProxyMode(text); mode {
	case "":
		return ProxyNFTables, nil
	case ProxyNFTables, ProxyIPTables:
		return mode, nil
	default:
		return "", fmt.Errorf("proxy mode %q is neither nftables nor iptables", text)
	}
}

// Machine holds the properties of the machine that the configurations depend on.
type Machine struct {
	OpenFiles uint64 // hard limit of open files
	// SysResource reports whether processes may lower their OOM score, which
	// protects them and the pods' sandboxes from the OOM killer.
	SysResource bool
	CNIBinDir   string
	ProxyMode   ProxyMode
}

type object = map[string]any

// toYAML also accepts values that only marshal to JSON. The keys are sorted.
func toYAML(v any) ([]byte, error) {
	data, err := yaml.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("render yaml: %w", err)
	}
	return data, nil
}

func toJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("render json: %w", err)
	}
	return b.Bytes(), nil
}
