// Package config renders the configuration of every component. It only turns
// values into text: what the machine can do is found out elsewhere.
package config

import (
	"bytes"
	"encoding/json"
	"fmt"

	"sigs.k8s.io/yaml"
)

// ProxyMode is how kube-proxy programs Services.
type ProxyMode string

// The modes kube-proxy offers on a current kernel.
const (
	ProxyNFTables ProxyMode = "nftables"
	ProxyIPTables ProxyMode = "iptables"
)

// ParseProxyMode reads a mode; empty means nftables.
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

// Machine is what the configurations depend on.
type Machine struct {
	OpenFiles uint64 // hard limit of open files
	// SysResource says whether a process may lower its own OOM score and so
	// shield itself and the pods' sandboxes from the OOM killer.
	SysResource bool
	CNIBinDir   string
	ProxyMode   ProxyMode
}

type object = map[string]any

// toYAML also accepts what only marshals to JSON; keys come out sorted.
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
